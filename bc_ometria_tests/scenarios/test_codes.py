"""Codes that the rules do not know, and orders that marketing never sees."""

import pytest

from bc_ometria_tests.scenarios.shop import Shop, customer, evaluations, header, table

GOOD = "0000001999"
ONE, TWO, THREE, FOUR = "0000002001", "0000002002", "0000002003", "0000002004"
MAPPED = "ometria/orders:codes_are_mapped"


@pytest.fixture
def good(shop: Shop) -> Shop:
    """A shop with an order that nothing is wrong with."""
    shop.write("customers", customer())
    shop.order(GOOD)
    return shop


def test_an_unmapped_status_on_twelve_orders_is_shown_and_goes_by_itself_once_it_is_mapped(good: Shop) -> None:
    """P13, P19: the code, how many, what is at stake, the events it blocks, an owner; no guess; then by itself."""
    twelve = [f"00000020{n:02d}" for n in range(1, 13)]
    shipped = twelve[:2]
    for number in twelve:
        good.order(number, ord_status="Q7", pieces=(3,))
    for number in shipped:
        good.ship(number, f"00000005{number[-2:]}", {1: 3}, tracking="A")
    result = good.sync()
    assert result.success
    assert good.states() == {GOOD: "confirmed", **dict.fromkeys(twelve, "held: unmapped_status")}
    assert not set(twelve) & set(good.pushed)
    assert [good.told(number) for number in twelve] == [[]] * 12
    kept_back = {"order_picking": "held: unmapped_status", "order_dispatched": "held: unmapped_status"}
    assert [good.waiting_events(number) for number in shipped] == [kept_back, kept_back]

    check = evaluations(result)[MAPPED]
    assert not check.passed
    assert check.severity.value == "ERROR"
    assert check.description == "12 × unmapped_status; at stake 1,800.00 GBP"
    assert check.metadata["records"].value == 12
    assert check.metadata["value_at_stake"].value == "1,800.00 GBP"
    assert check.metadata["owners"].value == "Operations"
    assert check.metadata["blocked_events"].value == 4
    blocked = check.metadata["blocked_event_types"].value
    assert sorted(blocked.split(", ")) == ["2 × order_dispatched", "2 × order_picking"]
    (code,) = table(check, "codes")
    assert code == {
        "code": "unmapped_status",
        "field": "ord_status",
        "detail": "Q7",
        "records": 12,
        "at stake": "1,800.00 GBP",
        "blocked events": 4,
        "oldest": "0 min",
        "owner": "Operations",
        "meaning": "an order carries an ord_status that no rule knows",
        "first action": "add the code to statuses.yaml",
        "runbook": "docs/runbook/unmapped_status.md",
    }
    examples = table(check, "examples")
    assert [row["record"] for row in examples] == twelve[:10]
    assert {(row["division"], row["code"], row["detail"]) for row in examples} == {("100", "unmapped_status", "Q7")}

    good.map_status(Q7='{claim: dispatched, meaning: "has left"}')
    mapped = good.sync()
    assert evaluations(mapped)[MAPPED].passed
    assert set(good.states().values()) == {"confirmed"}
    assert {good.orders()[number]["status"] for number in shipped} == {"dispatched"}
    assert {good.orders()[number]["status"] for number in twelve[2:]} == {"placed"}, "evidence wins over the claim"
    assert [good.told(number) for number in shipped] == [["order_picking", "order_dispatched"]] * 2
    assert [good.told(number) for number in twelve[2:]] == [[]] * 10
    assert all(each["closed_by"].endswith(" confirmed") for each in good.exceptions("unmapped_status"))
    events = [event.id for number in shipped for event in good.events(number)]
    assert sorted(map(str, good.pushed)) == sorted(["00000001", GOOD, *twelve, *events]), "nothing else moves"


def test_an_unmapped_status_goes_when_blue_cherry_moves_on(good: Shop) -> None:
    """P13, P19"""
    good.order(ONE, ord_status="Z1")
    good.sync()
    good.at("2026-01-05 12:00")
    good.write("orders", header(ONE, ord_status="O"))
    good.sync()
    assert good.states()[ONE] == "confirmed"
    assert good.open_exceptions() == set()


def test_unknown_reasons_let_the_order_go_and_keep_their_event_until_they_are_mapped(good: Shop) -> None:
    """P13: hold, cancel and return codes; the other events of these orders are not kept back."""
    on_hold, cancelled, returned = ONE, TWO, THREE
    good.order(on_hold, ord_status="H", hold_code="Z1")
    good.order(cancelled, cancel_code="Z2", pieces=(2, 1))
    good.cancel(cancelled, {2: 1})
    good.order(returned, ord_status="C")
    good.ship(returned, "0000000503", {1: 2}, tracking="A")
    good.refund(returned, "0000000703", {1: 1}, "Z3")
    result = good.sync()
    assert set(good.states().values()) == {"confirmed"}
    held = "held: unmapped_reason"
    assert good.waiting_events(on_hold) == {"order_on_hold": held}
    assert good.waiting_events(cancelled) == {"order_part_cancelled": held}
    assert good.waiting_events(returned) == {"order_part_refunded": held}
    assert good.told(returned) == ["order_picking", "order_dispatched"]
    assert good.open_exceptions() == {
        ("unmapped_reason", on_hold, "hold_code", "Z1"),
        ("unmapped_reason", cancelled, "cancel_code", "Z2"),
        ("unmapped_reason", returned, "reason_code", "Z3"),
    }
    check = evaluations(result)[MAPPED]
    assert not check.passed
    assert check.severity.value == "WARN"
    assert check.metadata["blocked_events"].value == 3

    pushed = good.pushed
    good.rule("reasons.yaml", "hold", Z1='{meaning: "waits for a bank"}')
    good.rule("reasons.yaml", "cancel", Z2='{by: customer, meaning: "found it elsewhere"}')
    good.rule("reasons.yaml", "returned", Z3='{meaning: "the wrong colour"}')
    assert evaluations(good.sync())[MAPPED].passed
    last = {number: good.events(number)[-1] for number in (on_hold, cancelled, returned)}
    assert {event.type: event.properties["reason"] for event in last.values()} == {
        "order_on_hold": "waits for a bank",
        "order_part_cancelled": "found it elsewhere",
        "order_part_refunded": "the wrong colour",
    }
    assert sorted(map(str, good.pushed[len(pushed) :])) == sorted(event.id for event in last.values())
    assert good.open_exceptions() == set()


def test_unknown_division_and_foreign_currency_are_held_with_their_revenue(good: Shop) -> None:
    """Q3: nothing lands in the wrong store."""
    good.order(ONE, division="9X9")
    good.order(TWO, division="300", currency="GBP")
    good.order(THREE, division="300", currency="EUR")
    result = good.sync()
    assert good.states() == {
        GOOD: "confirmed",
        ONE: "held: unknown_division",
        TWO: "held: unexpected_currency",
        THREE: "confirmed",
    }
    assert good.orders()[THREE]["store"] == "ie"
    (code,) = table(evaluations(result)[MAPPED], "codes")
    assert (code["detail"], code["at stake"], code["owner"]) == ("9X9", "100.00 GBP", "Ecommerce")
    (code,) = table(evaluations(result)["ometria/orders:orders_are_valid"], "codes")
    assert code["detail"] == "GBP instead of EUR"


def test_an_unknown_warehouse_is_held_with_its_revenue_and_terms_of_trade_are_none(good: Shop) -> None:
    """Q3: of a line or of a parcel; POE, FOB and blank are no warehouses and keep nothing back."""
    no_building, of_line, of_parcel = ONE, TWO, THREE
    good.order(no_building, pieces=(1, 1, 1))
    for at, location in enumerate(("POE", "FOB", ""), 1):
        good.edit("order-lines", int(no_building) * 100 + at, location=location)
    good.order(of_line)
    good.edit("order-lines", int(of_line) * 100 + 1, location="M9")
    good.order(of_parcel, ord_status="C")
    good.ship(of_parcel, "0000000503", {1: 2}, tracking="A", location="M9")
    good.ship(no_building, "0000000501", {1: 1, 2: 1, 3: 1}, tracking="A", location="FOB")
    good.mark(no_building, ord_status="C")
    result = good.sync()
    held = "held: unknown_warehouse"
    assert good.states() == {GOOD: "confirmed", no_building: "confirmed", of_line: held, of_parcel: held}
    assert [item["properties"].get("warehouse") for item in good.orders()[no_building]["lineitems"]] == [None] * 3
    assert good.told(no_building) == ["order_picking", "order_dispatched"]
    assert not {"warehouse", "warehouse_country"} & good.events(no_building)[1].properties.keys()
    assert good.waiting_events(of_parcel)["order_dispatched"] == held
    (code,) = table(evaluations(result)[MAPPED], "codes")
    assert (code["field"], code["detail"], code["records"], code["at stake"]) == ("location", "M9", 2, "200.00 GBP")

    good.rule("warehouses.yaml", "", M9="{name: Leith, country: GB}")
    assert evaluations(good.sync())[MAPPED].passed
    assert set(good.states().values()) == {"confirmed"}
    assert good.events(of_parcel)[-1].properties["warehouse"] == "Leith"
    assert good.open_exceptions() == set()


def test_wholesale_and_edi_orders_never_reach_marketing_whatever_else_they_are(good: Shop) -> None:
    """Q3: neither they nor what happens to them, nor with codes that nobody knows; an unknown type is held."""
    good.order(ONE, ord_type="S")
    good.order(TWO, ord_type="E", ord_status="Q7", division="9X9")
    good.order(THREE, ord_type="K")
    for at, number in enumerate((ONE, TWO), 1):
        good.ship(number, f"000000050{at}", {1: 2}, tracking="A")
    good.sync()
    assert good.states() == {
        GOOD: "confirmed",
        ONE: "excluded: wholesale orders are not sent",
        TWO: "excluded: EDI orders are not sent",
        THREE: "held: unknown_order_type",
    }
    assert {code for code, *_ in good.open_exceptions()} == {"unknown_order_type"}
    assert good.waiting_events(ONE) == good.waiting_events(TWO) == {}
    assert good.pushed == ["00000001", GOOD]


def test_the_same_style_in_two_divisions_is_two_products(good: Shop) -> None:
    """Q3, and a till sale is a sale in a store."""
    women, men = ONE, TWO
    good.describe("STYLE001")
    good.describe("STYLE001", division="200")
    good.edit("style-colors", 200, color_name="Midnight")
    for number, division in ((women, "100"), (men, "200")):
        good.order(number, division=division, ord_type="R", ord_status="C")
        good.edit("order-lines", int(number) * 100 + 1, division=division)
        good.ship(number, f"0000000{division}", {1: 2}, tracking="A")
    good.sync()
    orders = [good.orders()[number] for number in (women, men)]
    assert [(order["channel"], order["properties"]["brand"]) for order in orders] == [
        ("store", "Women"),
        ("store", "Men"),
    ]
    assert [order["lineitems"][0]["product_id"] for order in orders] == ["100-STYLE001", "200-STYLE001"]
    assert good.events(women)[-1].lines == [("100-STYLE001", "M", "Navy", 2)]
    assert good.events(men)[-1].lines == [("200-STYLE001", "M", "Midnight", 2)]
