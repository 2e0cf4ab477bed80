"""F2: what a service agent changes by hand arrives whole, even where only a line's stamp moved."""

from decimal import Decimal

import pytest

from bc_ometria_tests.scenarios.shop import OPENING, Shop, customer, header, line, stage

NUMBER = "0000001001"
BEFORE = OPENING.strftime("%Y-%m-%d %H:%M:%S")


@pytest.fixture
def synced(shop: Shop) -> Shop:
    """A shop whose one order, of two lines and 200.00, is confirmed; half an hour later."""
    shop.write("customers", customer())
    shop.order(NUMBER, pieces=(1, 3))
    shop.sync()
    assert shop.states() == {NUMBER: "confirmed"}
    shop.at("2026-01-05 09:30")
    return shop


def _pieces(shop: Shop) -> list[int]:
    return [item["quantity"] for item in shop.orders()[NUMBER]["lineitems"]]


def test_a_quiet_quantity_edit_sends_the_whole_order_with_the_new_totals(synced: Shop) -> None:
    """The line is stamped; the header has new amounts under its old stamp."""
    synced.write("order-lines", line(NUMBER, 2, 2))
    synced.write("order-stages", stage(NUMBER, 2, 2))
    synced.write("orders", header(NUMBER, "150.00", last_mod=BEFORE))
    synced.sync()
    assert synced.states() == {NUMBER: "confirmed"}
    assert synced.orders()[NUMBER]["grand_total"] == 150.0
    assert _pieces(synced) == [1, 2]


def test_a_quiet_size_swap_sends_the_order_though_no_amount_changed(synced: Shop) -> None:
    other = {"size03_qty": 0, "size04_qty": 3}
    synced.write("order-lines", line(NUMBER, 2, 3, **other))
    synced.write("order-stages", stage(NUMBER, 2, 3, **other))
    synced.sync()
    assert [item["sku"][-2:] for item in synced.orders()[NUMBER]["lineitems"]] == ["03", "04"]
    assert synced.pushed == ["00000001", NUMBER, NUMBER]


def test_an_edit_of_a_price_arrives(synced: Shop) -> None:
    synced.write("order-lines", line(NUMBER, 1, 1, "45.00"))
    synced.write("orders", header(NUMBER, "195.00"))
    synced.sync()
    assert synced.orders()[NUMBER]["grand_total"] == 195.0
    assert synced.orders()[NUMBER]["lineitems"][0]["unit_price"] == 45.0


def test_a_deleted_line_is_gone_in_ometria_too(synced: Shop) -> None:
    """The line leaves no trace but a header whose total no longer fits: the order is read again whole."""
    synced.delete("order-lines", int(NUMBER) * 100 + 2)
    synced.delete("order-stages", int(NUMBER) * 1000 + 20)
    synced.write("orders", header(NUMBER, "50.00"))
    synced.sync()
    assert synced.states() == {NUMBER: "confirmed"}
    assert _pieces(synced) == [1]
    assert synced.orders()[NUMBER]["grand_total"] == 50.0


def test_a_line_deleted_quietly_is_found_when_anything_of_the_order_moves(synced: Shop) -> None:
    """Only the remaining line is stamped; header and deleted line leave no stamp at all."""
    synced.delete("order-lines", int(NUMBER) * 100 + 2)
    synced.delete("order-stages", int(NUMBER) * 1000 + 20)
    synced.write("orders", header(NUMBER, "100.00", last_mod=BEFORE))
    synced.write("order-lines", line(NUMBER, 1, 2))
    synced.write("order-stages", stage(NUMBER, 1, 2))
    synced.sync()
    assert synced.states() == {NUMBER: "confirmed"}
    assert _pieces(synced) == [2]


def test_cancelled_pieces_leave_quantity_and_money_and_a_whole_cancellation_is_no_revenue(synced: Shop) -> None:
    """Q4 in part, P22."""
    synced.write("order-stages", stage(NUMBER, 2, 2), stage(NUMBER, 2, 1, "CC"))
    synced.sync()
    order = synced.orders()[NUMBER]
    assert (order["grand_total"], order["is_valid"], _pieces(synced)) == (150.0, True, [1, 2])
    synced.at("2026-01-05 10:30")
    synced.write("order-stages", stage(NUMBER, 1, 0), stage(NUMBER, 2, 0))
    synced.write("order-stages", stage(NUMBER, 1, 1, "CC"), stage(NUMBER, 2, 3, "CC"))
    synced.sync()
    order = synced.orders()[NUMBER]
    assert (order["grand_total"], order["is_valid"], order["status"]) == (200.0, False, "cancelled")


def test_a_version_that_comes_back_is_sent_again(synced: Shop) -> None:
    """There and back: Ometria must show the last version, not the first one that looked the same."""
    synced.write("orders", header(NUMBER, "200.00", promo_code="TEN"))
    synced.sync()
    synced.at("2026-01-05 10:00")
    synced.write("orders", header(NUMBER, "200.00"))
    synced.sync()
    assert "coupon_code" not in synced.orders()[NUMBER]
    assert synced.pushed.count(NUMBER) == 3


def test_a_change_that_ometria_never_sees_sends_nothing(synced: Shop) -> None:
    synced.write("orders", header(NUMBER, "200.00", hold_code="FR", aux_ref_num="7"))
    synced.sync()
    assert synced.pushed == ["00000001", NUMBER]
    assert synced.states() == {NUMBER: "confirmed"}


def test_an_edit_of_the_customer_arrives_and_the_order_keeps_its_link(synced: Shop) -> None:
    """F1: a new e-mail address, and a new default address that does not move the customer's stamp."""
    synced.write("customers", customer(email="another@example.com", country=""))
    synced.write("stores", {"pkey": 1, "customer": "00000001", "country": "IE", "default_ok": "Y"})
    synced.sync()
    contact = synced.contacts()["00000001"]
    assert (contact["email"], contact["country_id"]) == ("another@example.com", "IE")
    assert synced.orders()[NUMBER]["customer"]["id"] == contact["customer_id"] == "00000001"
    synced.at("2026-01-05 10:30")
    synced.write("stores", {"pkey": 1, "customer": "00000001", "country": "FR", "default_ok": "Y"})
    synced.sync()
    assert synced.contacts()["00000001"]["country_id"] == "FR"


def test_an_erased_customer_and_the_orders_go_no_more(synced: Shop) -> None:
    synced.write("customers", customer(erased_ok="Y", email="", phone="", first_name="", last_name=""))
    synced.write("orders", header(NUMBER, "200.00", ord_status="A"))
    synced.sync()
    assert synced.states("contact") == {"00000001": "excluded: the customer was erased"}
    assert synced.states() == {NUMBER: "excluded: the customer was erased"}
    assert synced.pushed == ["00000001", NUMBER]


def test_money_is_never_a_float_on_the_way(synced: Shop) -> None:
    number = "0000001002"
    synced.write("orders", header(number, "0.30"))
    synced.write("order-lines", line(number, 1, 3, "0.10", line_disc=Decimal("0.00")))
    synced.write("order-stages", stage(number, 1, 3))
    synced.sync()
    assert synced.orders()[number]["grand_total"] == 0.3
