"""Q4: cancelled means quiet. Whole or in part, by whom and why; and nothing after it."""

import pytest

from bc_ometria.sandbox.ometria.faults import Fault
from bc_ometria_tests.scenarios.shop import Shop, customer

ONE, TWO, THREE, FOUR = "0000003001", "0000003002", "0000003003", "0000003004"


@pytest.fixture
def opened(shop: Shop) -> Shop:
    """A shop with one customer."""
    shop.write("customers", customer())
    return shop


def test_customer_and_house_cancel_whole_and_in_part(opened: Shop) -> None:
    """Q4, F3, P5: status, validity, money without what was cancelled, and an event that says who and why."""
    shop = opened
    by_customer, by_house, part_by_customer, part_by_house = ONE, TWO, THREE, FOUR
    for number in (ONE, TWO, THREE, FOUR):
        shop.order(number, pieces=(2, 1))
    shop.sync()

    shop.at("2026-01-05 10:00")
    shop.mark(by_customer, ord_status="X", cancel_code="CU")
    shop.cancel(by_customer, {1: 2, 2: 1})
    shop.mark(by_house, ord_status="X", cancel_code="NS")
    shop.cancel(by_house, {1: 2, 2: 1}, by="CH")
    shop.mark(part_by_customer, cancel_code="CU")
    shop.cancel(part_by_customer, {2: 1})
    shop.mark(part_by_house, cancel_code="NS")
    shop.cancel(part_by_house, {1: 1}, by="CH")
    shop.sync()

    def shown(number: str) -> tuple[object, ...]:
        order = shop.orders()[number]
        pieces = [item["quantity"] for item in order["lineitems"]]
        cancelled = [item["properties"].get("cancelled", 0) for item in order["lineitems"]]
        return order["status"], order["is_valid"], order["grand_total"], order["subtotal"], pieces, cancelled

    assert shown(by_customer) == ("cancelled", False, 150.0, 150.0, [2, 1], [2, 1])
    assert shown(by_house) == ("cancelled", False, 150.0, 150.0, [2, 1], [2, 1])
    assert shown(part_by_customer) == ("part_cancelled", True, 100.0, 100.0, [2, 0], [0, 1])
    assert shown(part_by_house) == ("part_cancelled", True, 100.0, 100.0, [1, 1], [1, 0])

    def event(number: str) -> tuple[object, ...]:
        (told,) = shop.events(number)
        names = ("cancelled_by", "reason", "reason_code")
        pieces = [(product, quantity) for product, _, _, quantity in told.lines]
        return told.type, told.at, *(told.properties[name] for name in names), pieces

    one, two = "100-STYLE001", "100-STYLE002"
    at, no_stock = "2026-01-05T10:00:00Z", "out of stock"
    whole, part, mind = "order_cancelled", "order_part_cancelled", "changed their mind"
    assert event(by_customer) == (whole, at, "customer", mind, "CU", [(one, 2), (two, 1)])
    assert event(by_house) == (whole, at, "house", no_stock, "NS", [(one, 2), (two, 1)])
    assert event(part_by_customer) == (part, at, "customer", mind, "CU", [(two, 1)])
    assert event(part_by_house) == (part, at, "house", no_stock, "NS", [(one, 1)])
    assert shop.open_exceptions() == set()


def test_a_cancellation_withdraws_what_waits_and_is_the_last_word(opened: Shop) -> None:
    """Q4, P23: the order is confirmed as cancelled before its event, and nothing is told after that."""
    shop = opened
    nameless = customer("00000002", email="")
    shop.write("customers", nameless)
    shop.order(ONE, pieces=(1, 1), customer="00000002")
    shop.at("2026-01-05 10:00")
    shop.ship(ONE, "0000000501", {1: 1})
    shop.sync()
    waiting = dict.fromkeys(["order_picking", "order_part_dispatched", "order_back_ordered"], "wanted")
    assert shop.waiting_events(ONE) == waiting

    shop.at("2026-01-05 11:00")
    shop.void(ONE, "0000000501")
    shop.cancel(ONE, {1: 1, 2: 1})
    shop.mark(ONE, ord_status="X", cancel_code="CU")
    shop.sync()
    withdrawn = dict.fromkeys(waiting, "withdrawn: the order is cancelled")
    assert shop.waiting_events(ONE) == {**withdrawn, "order_cancelled": "wanted"}
    assert shop.states() == {ONE: "confirmed"}
    assert shop.orders()[ONE]["status"] == "cancelled"

    shop.at("2026-01-05 12:00")
    shop.edit("shipments", 501, tracking="LATE")
    shop.write("customers", {**nameless, "email": "canary.00000002@example.com"})
    shop.sync()
    assert shop.told(ONE) == ["order_cancelled"]
    assert shop.waiting_events(ONE) == withdrawn

    shop.at("2026-01-05 13:00")
    shop.refund(ONE, "0000000701", {1: 1})
    shop.mark(ONE, hold_code="FR")
    shop.sync()
    assert shop.told(ONE) == ["order_cancelled"]
    assert shop.orders()[ONE]["status"] == "cancelled"


def test_the_event_of_a_cancellation_waits_until_ometria_shows_the_order_as_cancelled(opened: Shop) -> None:
    """Q4: while the order is refused as cancelled, no event of it goes."""
    shop = opened
    shop.order(ONE)
    shop.sync()
    account = shop.sandbox.account
    account.settings = account.settings.changed({"error_shape": "observed"})
    account.faults.arm(Fault(kind="reject_ids", ids=frozenset({ONE})))
    shop.at("2026-01-05 10:00")
    shop.mark(ONE, ord_status="X", cancel_code="CU")
    shop.cancel(ONE, {1: 2})
    shop.sync()
    assert shop.states() == {ONE: "held: rejected"}
    assert shop.waiting_events(ONE) == {"order_cancelled": "wanted"}

    shop.at("2026-01-05 11:00")
    shop.mark(ONE, promo_code="AGAIN")
    shop.sync()
    assert shop.states() == {ONE: "confirmed"}
    (told,) = shop.events(ONE)
    assert shop.pushed.index(told.id) > len(shop.pushed) - 1 - shop.pushed[::-1].index(ONE)
