"""F2: an order that was deleted and entered again under another number is suspected where all else is the same."""

from typing import Any

import pytest

from bc_ometria.mapping.assemble import Orders
from bc_ometria.mapping.reentered import same_orders
from bc_ometria_tests.mapping.examples import Row, line, order

GOODS = [line(), line(pkey=101, line_num=2, style="COAT", quantity=2)]


def _entered(number: str, lines: list[Row], **of_header: Any) -> Orders:
    return order([{**each, "ord_num": number} for each in lines], ord_num=number, **of_header)


def test_the_same_goods_in_another_order_of_lines_are_the_same() -> None:
    again = [{**GOODS[1], "line_num": 1, "pkey": 900}, {**GOODS[0], "line_num": 2, "pkey": 901}]
    assert same_orders(_entered("W1", GOODS), _entered("W2", again)) == {"W1": ["W2"]}


@pytest.mark.parametrize(
    "changes",
    [
        {"style": "SHIRT"},
        {"color_code": "RED"},
        {"bucket": 4},
        {"quantity": 3},
        {"unit_price": 999},
        {"division": "200"},
    ],
)
def test_other_goods_are_another_order(changes: Row) -> None:
    assert same_orders(_entered("W1", GOODS), _entered("W2", [{**GOODS[0], **changes}, GOODS[1]])) == {}


@pytest.mark.parametrize("changes", [{"customer": "C0000002"}, {"currency": "EUR"}, {"ord_total": 1}])
def test_another_customer_or_total_is_another_order(changes: Row) -> None:
    assert same_orders(_entered("W1", GOODS), _entered("W2", GOODS, **changes)) == {}


def test_a_guest_is_known_by_the_address_and_a_customer_is_not() -> None:
    guest = _entered("W1", GOODS, customer="", email="Ann@example.com")
    assert same_orders(guest, _entered("W2", GOODS, customer="", email="ann@example.com")) == {"W1": ["W2"]}
    assert same_orders(guest, _entered("W2", GOODS, customer="", email="bob@example.com")) == {}
    assert same_orders(guest, _entered("W2", GOODS, email="Ann@example.com")) == {}
    moved = _entered("W2", GOODS, email="new@example.com")
    assert same_orders(_entered("W1", GOODS), moved) == {"W1": ["W2"]}


def test_orders_without_lines_and_no_orders_at_all_are_compared_too() -> None:
    nothing = _entered("W1", [], ord_total=0)
    assert same_orders(nothing, _entered("W2", GOODS)) == {}
    assert same_orders(nothing, _entered("W3", [], ord_total=0)) == {"W1": ["W3"]}
