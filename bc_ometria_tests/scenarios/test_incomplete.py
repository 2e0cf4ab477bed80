"""Q2: header and lines become one order. What is incomplete waits in sight, and is never partial money."""

from decimal import Decimal

import pytest

from bc_ometria_tests.scenarios.shop import Shop, customer, evaluations, header, line, stage, table

HEADER_FIRST, LINES_FIRST, STAYS = "0000002001", "0000002002", "0000002003"
TOGETHER, AGREE = "ometria/orders:headers_and_lines_are_together", "ometria/orders:orders_are_valid"


@pytest.fixture
def opened(shop: Shop) -> Shop:
    """A shop with one customer."""
    shop.write("customers", customer())
    return shop


def _lines(shop: Shop, number: str) -> None:
    shop.write("order-lines", line(number), line(number, 2, 1))
    shop.write("order-stages", stage(number), stage(number, 2, 1))


def test_what_is_incomplete_waits_then_is_an_exception_then_closes_by_itself(opened: Shop) -> None:
    """Q2, P19, truth 4: header first and its lines an hour later, lines first, and one that stays as it is."""
    shop = opened
    shop.write("orders", header(HEADER_FIRST, "150.00"), header(STAYS, "150.00"))
    _lines(shop, LINES_FIRST)
    result = shop.sync()
    assert shop.states() == dict.fromkeys([HEADER_FIRST, LINES_FIRST, STAYS], "held: incomplete_order")
    check = evaluations(result)[TOGETHER]
    assert check.passed
    assert (check.metadata["records"].value, check.metadata["waiting"].value) == (0, 3)
    assert check.description == "Nothing is open. Not yet an exception: 3 × incomplete_order; at stake 300.00 GBP"
    waiting = {row["record"]: row["detail"] for row in table(check, "waiting_examples")}
    assert waiting == {
        HEADER_FIRST: "a header, no line",
        LINES_FIRST: "2 lines, no header of theirs",
        STAYS: "a header, no line",
    }

    shop.at("2026-01-05 10:00")
    _lines(shop, HEADER_FIRST)
    shop.write("orders", header(LINES_FIRST, "150.00"))
    shop.sync()
    held = "held: incomplete_order"
    assert shop.states() == {HEADER_FIRST: "confirmed", LINES_FIRST: "confirmed", STAYS: held}
    assert {shop.orders()[number]["grand_total"] for number in (HEADER_FIRST, LINES_FIRST)} == {150.0}

    shop.let_pass(hours=1.1)
    check = evaluations(shop.sync())[TOGETHER]
    assert not check.passed
    assert check.severity.value == "ERROR"
    (code,) = table(check, "codes")
    assert (code["detail"], code["records"], code["owner"]) == ("a header, no line", 1, "Operations")

    shop.at("2026-01-05 12:00")
    _lines(shop, STAYS)
    result = shop.sync()
    assert evaluations(result)[TOGETHER].passed
    assert set(shop.states().values()) == {"confirmed"}
    assert all(shop.pushed.count(number) == 1 for number in (HEADER_FIRST, LINES_FIRST, STAYS))
    closed = shop.exceptions("incomplete_order")
    assert [each["record_id"] for each in closed] == [HEADER_FIRST, LINES_FIRST, STAYS]
    assert all(each["closed_by"].startswith("version ") and each["closed_by"].endswith(" confirmed") for each in closed)
    assert all(each["closed_at"] and not each["is_open"] for each in closed)


def test_one_of_two_lines_and_a_header_that_does_not_add_up_are_held_with_both_sums(opened: Shop) -> None:
    """Q2, P1: never partial money."""
    shop = opened
    part, apart, pennies = HEADER_FIRST, LINES_FIRST, STAYS
    shop.write("orders", header(part, "150.00"), header(apart, "129.00"), header(pennies, "100.01"))
    shop.write("order-lines", line(part), line(apart, pieces=1, price="128.00"), line(pennies))
    shop.write("order-stages", stage(part), stage(apart, pieces=1), stage(pennies))
    result = shop.sync()
    assert shop.states() == {part: "held: totals_differ", apart: "held: totals_differ", pennies: "confirmed"}
    details = {row["detail"]: row["at stake"] for row in table(evaluations(result)[AGREE], "codes")}
    assert details == {
        "header 150.00, adds up to 100.00": "150.00 GBP",
        "header 129.00, adds up to 128.00": "129.00 GBP",
    }
    shop.at("2026-01-05 09:40")
    shop.write("order-lines", line(part, 2, 1))
    shop.write("order-stages", stage(part, 2, 1))
    shop.mark(apart, sub_total=Decimal("128.00"), ord_total=Decimal("128.00"))
    shop.sync()
    assert set(shop.states().values()) == {"confirmed"}
    assert shop.orders()[part]["grand_total"] == 150.0
    assert shop.orders()[apart]["grand_total"] == 128.0
    assert shop.pushed.count(part) == shop.pushed.count(apart) == 1
    assert shop.open_exceptions() == set()


def test_two_headers_of_one_number_are_held(opened: Shop) -> None:
    """Q2"""
    shop = opened
    shop.order(STAYS)
    shop.write("orders", header(STAYS, pkey=77))
    result = shop.sync()
    assert shop.states()[STAYS] == "held: repeated_header"
    assert not evaluations(result)[TOGETHER].passed
