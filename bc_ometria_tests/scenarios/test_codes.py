"""Codes that the rules do not know, and orders that marketing never sees."""

import pytest

from bc_ometria_tests.scenarios.shop import Shop, customer, evaluations, header, line, stage, table

GOOD = "0000001999"


@pytest.fixture
def good(shop: Shop) -> Shop:
    """A shop with an order that nothing is wrong with."""
    shop.write("customers", customer())
    shop.order(GOOD)
    return shop


def test_an_unmapped_status_on_twelve_orders_is_shown_and_goes_by_itself_once_it_is_mapped(good: Shop) -> None:
    """P13: the code, how many, what is at stake, at most ten examples, an owner; no guess; then by itself."""
    twelve = [f"00000020{n:02d}" for n in range(1, 13)]
    for number in twelve:
        good.order(number, ord_status="Q7", pieces=(3,))
    result = good.sync()
    assert result.success
    assert good.states() == {GOOD: "confirmed", **dict.fromkeys(twelve, "held: unmapped_status")}
    assert not set(twelve) & set(good.pushed)

    check = evaluations(result)["ometria/orders:codes_are_mapped"]
    assert not check.passed
    assert check.severity.value == "ERROR"
    assert check.description == "12 × unmapped_status; at stake 1,800.00 GBP"
    assert check.metadata["records"].value == 12
    assert check.metadata["value_at_stake"].value == "1,800.00 GBP"
    (code,) = table(check, "codes")
    assert code == {
        "code": "unmapped_status",
        "field": "ord_status",
        "detail": "Q7",
        "records": 12,
        "at stake": "1,800.00 GBP",
        "meaning": "an order carries an ord_status that no rule knows",
        "owner": "Operations",
        "first action": "add the code to statuses.yaml",
    }
    examples = table(check, "examples")
    assert [row["record"] for row in examples] == twelve[:10]
    assert {(row["division"], row["code"], row["detail"]) for row in examples} == {("100", "unmapped_status", "Q7")}

    good.map_status(Q7='{status: quality_check, is_valid: true, meaning: "looked at before it leaves"}')
    mapped = good.sync()
    assert evaluations(mapped)["ometria/orders:codes_are_mapped"].passed
    assert set(good.states().values()) == {"confirmed"}
    assert {good.orders()[number]["status"] for number in twelve} == {"quality_check"}
    assert good.open_exceptions() == set()
    assert sorted(map(str, good.pushed)) == sorted(["00000001", GOOD, *twelve])


def test_an_unmapped_status_goes_when_blue_cherry_moves_on(good: Shop) -> None:
    good.order("0000002001", ord_status="Z1")
    good.sync()
    good.at("2026-01-05 12:00")
    good.write("orders", header("0000002001", ord_status="A"))
    good.sync()
    assert good.states()["0000002001"] == "confirmed"
    assert good.open_exceptions() == set()


def test_unknown_division_and_foreign_currency_are_held_with_their_revenue(good: Shop) -> None:
    """Q3: nothing lands in the wrong store."""
    good.order("0000002001", division="9X9")
    good.order("0000002002", division="300", currency="GBP")
    good.order("0000002003", division="300", currency="EUR")
    result = good.sync()
    assert good.states() == {
        GOOD: "confirmed",
        "0000002001": "held: unknown_division",
        "0000002002": "held: unexpected_currency",
        "0000002003": "confirmed",
    }
    assert good.orders()["0000002003"]["store"] == "ie"
    (code,) = table(evaluations(result)["ometria/orders:codes_are_mapped"], "codes")
    assert (code["detail"], code["at stake"], code["owner"]) == ("9X9", "100.00 GBP", "Ecommerce")
    (code,) = table(evaluations(result)["ometria/orders:orders_are_valid"], "codes")
    assert code["detail"] == "GBP instead of EUR"


def test_wholesale_and_edi_orders_never_reach_marketing_whatever_else_they_are(good: Shop) -> None:
    """Q3: neither as they are nor with codes that nobody knows; and an unknown type is held, not guessed."""
    good.order("0000002001", ord_type="S")
    good.order("0000002002", ord_type="E", ord_status="Q7", division="9X9")
    good.order("0000002003", ord_type="K")
    good.sync()
    assert good.states() == {
        GOOD: "confirmed",
        "0000002001": "excluded: wholesale orders are not sent",
        "0000002002": "excluded: EDI orders are not sent",
        "0000002003": "held: unknown_order_type",
    }
    assert {code for code, *_ in good.open_exceptions()} == {"unknown_order_type"}
    assert good.pushed == ["00000001", GOOD]


def test_a_till_sale_is_a_sale_in_a_store(good: Shop) -> None:
    good.order("0000002001", ord_type="R", ord_status="C")
    good.sync()
    assert good.orders()["0000002001"]["channel"] == "store"


def test_lines_before_their_header_wait_in_sight_and_become_one_order(good: Shop) -> None:
    """Q2"""
    number = "0000002001"
    good.write("order-lines", line(number), line(number, 2, 1))
    good.write("order-stages", stage(number), stage(number, 2, 1))
    result = good.sync()
    assert good.states()[number] == "held: lines_without_header"
    assert not evaluations(result)["ometria/orders:headers_and_lines_are_together"].passed
    good.at("2026-01-05 09:20")
    good.write("orders", header(number, "150.00"))
    good.sync()
    assert good.states()[number] == "confirmed"
    assert good.orders()[number]["grand_total"] == 150.0
    assert good.pushed.count(number) == 1


def test_a_header_before_its_lines_waits_and_never_carries_partial_money(good: Shop) -> None:
    """Q2, truth 4: first no line, then one of two, then all."""
    number = "0000002001"
    good.write("orders", header(number, "150.00"))
    good.sync()
    assert good.states()[number] == "held: header_without_lines"
    good.at("2026-01-05 09:20")
    good.write("order-lines", line(number))
    good.write("order-stages", stage(number))
    result = good.sync()
    assert good.states()[number] == "held: totals_differ"
    (code,) = table(evaluations(result)["ometria/orders:orders_are_valid"], "codes")
    assert code["detail"] == "header minus lines is 50.00"
    good.at("2026-01-05 09:40")
    good.write("order-lines", line(number, 2, 1))
    good.write("order-stages", stage(number, 2, 1))
    good.sync()
    assert good.states()[number] == "confirmed"
    assert good.pushed.count(number) == 1
    assert good.open_exceptions() == set()


def test_two_headers_of_one_number_are_held(good: Shop) -> None:
    """Q2"""
    good.order("0000002001")
    good.write("orders", header("0000002001", pkey=77))
    good.sync()
    assert good.states()["0000002001"] == "held: repeated_header"
