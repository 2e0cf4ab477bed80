"""F3, P5: what happens to an order on its way out is told, each thing once and in order, whatever is taken back."""

import pytest

from bc_ometria_tests.scenarios.shop import MONDAY, TUESDAY, Shop, customer, header, line

ONE, TWO, THREE, FOUR = "0000003001", "0000003002", "0000003003", "0000003004"
LONDON, MANCHESTER = "0010", "0020"


@pytest.fixture
def opened(shop: Shop) -> Shop:
    """A shop with one customer."""
    shop.write("customers", customer())
    return shop


def test_three_lines_in_two_parcels_from_two_warehouses_with_a_back_order(opened: Shop) -> None:
    """F3, P5, P8, P20: each event once, with parcel and lines; and doing the day again sends nothing."""
    shop = opened
    shop.describe("STYLE001", "STYLE002", "STYLE003")
    shop.order(ONE, pieces=(1, 2, 3))
    shop.edit("order-lines", int(ONE) * 100 + 3, location=MANCHESTER)
    shop.sync()
    assert shop.told(ONE) == []

    shop.at("2026-01-05 10:00")
    shop.mark(ONE, ord_status="S")
    shop.ship(ONE, "0000000501", {1: 1, 2: 2}, tracking="LON1")
    shop.sync()
    assert shop.told(ONE) == ["order_picking", "order_part_dispatched", "order_back_ordered"]
    order = shop.orders()[ONE]
    assert (order["status"], order["is_valid"], order["grand_total"]) == ("part_dispatched", True, 300.0)
    assert order["lineitems"][0] | {"properties": {}} == {
        "product_id": "100-STYLE001",
        "variant_id": "100-STYLE001-NAV---03",
        "sku": "100-STYLE001-NAV---03",
        "quantity": 1,
        "unit_price": 50.0,
        "subtotal": 50.0,
        "discount": 0.0,
        "tax": 0.0,
        "total": 50.0,
        "variant_options": [
            {"type": "colour", "id": "NAV", "label": "Navy"},
            {"type": "size", "id": "03", "label": "M"},
        ],
        "properties": {},
    }
    assert [item["properties"] for item in order["lineitems"]] == [
        {"ordered": 1, "dispatched": 1, "warehouse": "London"},
        {"ordered": 2, "dispatched": 2, "warehouse": "London"},
        {"ordered": 3, "back_ordered": 3, "warehouse": "Manchester"},
    ]

    shop.at("2026-01-06 11:00")
    shop.reserve(ONE, {3: 3})
    shop.sync()
    shop.at("2026-01-06 12:00")
    shop.mark(ONE, ord_status="C")
    shop.ship(ONE, "0000000502", {3: 3}, tracking="MAN1", location=MANCHESTER, ship_via="YODEL")
    shop.sync()
    assert shop.states() == {ONE: "confirmed"}
    assert shop.orders()[ONE]["status"] == "dispatched"
    _, first, back_ordered, released, second = shop.events(ONE)
    assert [each.type for each in (first, back_ordered, released, second)] == [
        "order_part_dispatched",
        "order_back_ordered",
        "back_order_released",
        "order_dispatched",
    ]
    assert first.at == "2026-01-05T10:00:00Z"
    assert {name: value for name, value in first.properties.items() if name != "lines"} == {
        "order": ONE,
        "store": "uk",
        "parcel": "0000000501",
        "warehouse": "London",
        "warehouse_country": "GB",
        "carrier": "DPD",
        "tracking": "LON1",
    }
    assert first.lines == [("100-STYLE001", "M", "Navy", 1), ("100-STYLE002", "M", "Navy", 2)]
    assert back_ordered.lines == released.lines == second.lines == [("100-STYLE003", "M", "Navy", 3)]
    told = ("parcel", "warehouse", "carrier", "tracking")
    assert [second.properties[name] for name in told] == ["0000000502", "Manchester", "YODEL", "MAN1"]
    assert shop.open_exceptions() == set()

    pushes = shop.pushes
    assert all(shop.redo(day).success for day in (MONDAY, TUESDAY))
    assert shop.pushes == pushes
    assert shop.orders()[ONE]["status"] == "dispatched", "Monday's rows were the older ones"


def test_several_changes_between_two_polls_are_told_as_the_path(opened: Shop) -> None:
    """P5, P22: nobody looked while it was picked, sent in two parcels, cut short and partly returned."""
    shop = opened
    shop.order(ONE, pieces=(1, 2, 1))
    for moment, change in (
        ("10:00", lambda: shop.pick(ONE, {1: 1, 2: 2})),
        ("11:00", lambda: shop.ship(ONE, "0000000501", {1: 1}, tracking="A")),
        ("12:00", lambda: shop.cancel(ONE, {3: 1}, by="CH")),
        ("13:00", lambda: shop.ship(ONE, "0000000502", {2: 2}, tracking="B")),
        ("15:00", lambda: shop.refund(ONE, "0000000701", {1: 1})),
    ):
        shop.at(f"2026-01-05 {moment}")
        change()
    shop.sync()
    events = shop.events(ONE)
    assert [event.type for event in events] == [
        "order_picking",
        "order_part_dispatched",
        "order_part_cancelled",
        "order_dispatched",
        "order_part_refunded",
    ]
    assert [event.at[11:16] for event in events[1:]] == ["11:00", "12:00", "13:00", "15:00"]
    assert events[0].at <= events[1].at
    order = shop.orders()[ONE]
    assert (order["status"], order["is_valid"], order["grand_total"]) == ("partial_refund", True, 150.0)


def test_tracking_comes_a_day_later_and_parcels_are_voided_and_repeated(opened: Shop) -> None:
    """P20, P22: what was told is not told again, what was not is withdrawn, and the new parcel is told."""
    shop = opened
    nameless = customer("00000002", email="")
    shop.write("customers", nameless)
    later, voided, unsent = ONE, TWO, THREE
    shop.order(later)
    shop.order(voided)
    shop.order(unsent, customer="00000002")
    shop.at("2026-01-05 10:00")
    shop.ship(later, "0000000501", {1: 2})
    shop.ship(voided, "0000000502", {1: 2}, tracking="OLD")
    shop.ship(unsent, "0000000503", {1: 2}, tracking="OLD")
    shop.sync()
    assert shop.told(later) == shop.told(voided) == ["order_picking", "order_dispatched"]
    assert "tracking" not in shop.events(later)[1].properties
    assert shop.told(unsent) == []
    assert shop.waiting_events(unsent) == {"order_picking": "wanted", "order_dispatched": "wanted"}

    shop.at("2026-01-06 10:00")
    shop.edit("shipments", 501, tracking="LATE")
    shop.void(voided, "0000000502")
    shop.void(unsent, "0000000503")
    shop.sync()
    assert shop.told(later) == ["order_picking", "order_dispatched", "tracking_added"]
    told = shop.events(later)[2]
    assert (told.properties["parcel"], told.properties["tracking"]) == ("0000000501", "LATE")
    assert told.at == "2026-01-06T10:00:00Z"
    assert shop.orders()[voided]["status"] == shop.orders()[unsent]["status"] == "picking"
    assert shop.told(voided) == ["order_picking", "order_dispatched"]
    assert shop.waiting_events(unsent) == {
        "order_picking": "wanted",
        "order_dispatched": "withdrawn: it is no longer so",
    }

    shop.at("2026-01-06 14:00")
    shop.edit("shipments", 501, ship_via="YODEL")
    shop.write("customers", {**nameless, "email": "canary.00000002@example.com"})
    shop.ship(voided, "0000000512", {1: 2}, tracking="NEW")
    shop.ship(unsent, "0000000513", {1: 2}, tracking="NEW")
    shop.sync()
    assert shop.told(later) == ["order_picking", "order_dispatched", "tracking_added"]
    assert shop.told(voided) == ["order_picking", "order_dispatched", "order_dispatched"]
    assert [event.properties.get("parcel") for event in shop.events(voided)] == [None, "0000000502", "0000000512"]
    assert [event.properties.get("parcel") for event in shop.events(unsent)] == [None, "0000000513"]
    assert {shop.orders()[number]["status"] for number in (later, voided, unsent)} == {"dispatched"}


def test_what_goes_backwards_updates_the_order_and_repeats_no_event(opened: Shop) -> None:
    """P20: quantities, a claim without evidence, an un-cancelled order, and one that was opened again."""
    shop = opened
    evidence, claim, uncancelled, reopened = ONE, TWO, THREE, FOUR
    numbers = (evidence, claim, uncancelled, reopened)
    for number in (evidence, uncancelled, reopened):
        shop.order(number)
    shop.write("orders", header(claim))
    shop.write("order-lines", line(claim))

    def forward() -> None:
        shop.mark(evidence, ord_status="P")
        shop.pick(evidence, {1: 2})
        shop.mark(claim, ord_status="H", hold_code="FR")
        shop.mark(uncancelled, ord_status="X", cancel_code="CU")
        shop.cancel(uncancelled, {1: 2})

    def statuses() -> list[str]:
        return [shop.orders()[number]["status"] for number in numbers]

    shop.at("2026-01-05 10:00")
    forward()
    shop.mark(reopened, ord_status="C")
    shop.ship(reopened, "0000000504", {1: 2}, tracking="A")
    shop.sync()
    assert statuses() == ["picking", "on_hold", "cancelled", "dispatched"]
    assert [shop.told(number) for number in numbers] == [
        ["order_picking"],
        ["order_on_hold"],
        ["order_cancelled"],
        ["order_picking", "order_dispatched"],
    ]

    shop.at("2026-01-05 11:00")
    shop.mark(evidence, ord_status="O")
    shop.move(evidence, "OP", {1: 2}, ["PK"])
    shop.mark(claim, ord_status="O", hold_code="")
    shop.mark(uncancelled, ord_status="O", cancel_code="")
    shop.move(uncancelled, "OP", {1: 2}, ["CC"])
    shop.mark(reopened, ord_status="P")
    shop.void(reopened, "0000000504")
    shop.sync()
    assert statuses() == ["placed", "placed", "placed", "picking"]
    assert shop.orders()[uncancelled]["is_valid"]
    told = [shop.told(number) for number in numbers]
    assert told == [
        ["order_picking"],
        ["order_on_hold", "order_hold_released"],
        ["order_cancelled"],
        ["order_picking", "order_dispatched"],
    ]

    shop.at("2026-01-05 12:00")
    forward()
    shop.mark(reopened, ord_status="C")
    shop.move(reopened, "IN", {1: 2}, ["PK"])
    shop.edit("shipments", 504, void_ok="")
    shop.sync()
    assert statuses() == ["picking", "on_hold", "cancelled", "dispatched"]
    assert [shop.told(number) for number in numbers] == told
    assert shop.sandbox.account.counts.event_repeats == 0
    assert shop.open_exceptions() == set()
