"""Money is exact to the penny, whatever is shared out, cancelled or free of charge (F2, P22)."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

from bc_ometria.mapping.assemble import assemble
from bc_ometria.mapping.money import as_ordered, is_whole, per_order, totals_apart, what_is_left, wholly_cancelled
from bc_ometria_tests.mapping.examples import Row, amounts, header, line, mirror, order, order_rows, stage

_PLAIN = settings(max_examples=25, deadline=None)


def _assembled(rows: dict[str, list[Row]]) -> Any:
    return assemble(mirror(rows), [row["ord_num"] for row in rows["orders"]])


@_PLAIN
@given(order_rows())
def test_shares_of_a_line_add_up_to_the_line(rows: dict[str, list[Row]]) -> None:
    orders = _assembled(rows)
    money = as_ordered(orders)
    shares = orders.lines.assign(discount=money.discount, tax=money.tax).groupby("pkey")
    assert (shares["discount"].sum() == shares["line_disc"].first()).all()
    assert (shares["tax"].sum() == shares["line_tax"].first()).all()
    assert (money.subtotal == orders.lines["unit_price"] * orders.lines["quantity"]).all()


def test_a_discount_is_shared_by_pieces() -> None:
    pieces = [line(bucket=1, quantity=1, line_disc=100), line(bucket=2, quantity=2, line_disc=100)]
    assert as_ordered(order(pieces)).discount.tolist() == [33, 67]


@_PLAIN
@given(order_rows())
def test_orders_that_add_up_are_whole(rows: dict[str, list[Row]]) -> None:
    orders = _assembled(rows)
    assert not totals_apart(orders).any()
    assert is_whole(orders).all()


@pytest.mark.parametrize(
    ("changes", "apart"),
    [
        ({}, 0),
        ({"ord_total": 2002, "sub_total": 2002}, 0),  # a penny a line
        ({"ord_total": 2003, "sub_total": 2003}, 3),
        ({"ord_total": 1997, "sub_total": 1997}, -3),
        ({"sub_total": 1997}, 3),  # the total is that of the lines, but not that of the header's own parts
        ({"sub_total": 2002}, 0),
        ({"ord_total": 2001, "sub_total": 900}, 1101),  # one penny within the tolerance hides nothing else
        ({"frt_amt": 495}, -495),
    ],
)
def test_header_and_lines_may_differ_by_a_penny_a_line(changes: Row, apart: int) -> None:
    orders = order([line(), line(pkey=101, line_num=2)], **changes)
    assert totals_apart(orders).tolist() == [apart]
    assert is_whole(orders).tolist() == [apart == 0]


def test_an_order_is_not_whole_without_one_header_and_its_lines() -> None:
    free: Row = amounts([])
    assert is_whole(order([], **free)).tolist() == [False]
    stray = {"orders": [header(**amounts([line()]))], "order_lines": [line(), line(pkey=101, fkey=9)]}
    twice = {"orders": [header(**amounts([line()])), header(pkey=9)], "order_lines": [line()]}
    assert [is_whole(_assembled(rows)).all() for rows in (stray, twice)] == [False, False]
    assert is_whole(assemble(mirror({"order_lines": [line()]}), ["W1"])).tolist() == [False]


@_PLAIN
@given(order_rows())
def test_what_is_left_adds_up_for_every_order(rows: dict[str, list[Row]]) -> None:
    orders = _assembled(rows)
    lines, money = what_is_left(orders)
    assert (money.total == money.subtotal - money.discount + money.shipping + money.tax).all()
    assert (money.total == per_order(orders, lines.total) + money.shipping).all()
    assert (lines.quantity >= 0).all()
    assert len(lines.quantity) == len(orders.lines)


@_PLAIN
@given(order_rows())
def test_cancelled_pieces_are_gone_unless_all_are(rows: dict[str, list[Row]]) -> None:
    orders = _assembled(rows)
    left = what_is_left(orders)[0].quantity
    gone = (orders.lines["CC"] + orders.lines["CH"]).to_numpy()
    whole = wholly_cancelled(orders)[orders.lines["order"]]
    ordered = orders.lines["quantity"].to_numpy()
    assert (left == np.where(whole, ordered, ordered - gone)).all()


@_PLAIN
@given(order_rows())
def test_the_amounts_are_the_headers_where_nothing_was_cancelled(rows: dict[str, list[Row]]) -> None:
    orders = _assembled(rows | {"order_stages": []})
    _, money = what_is_left(orders)
    names = {"subtotal": "sub_total", "discount": "disc_amt", "shipping": "frt_amt", "tax": "tax_amt"}
    for name, column in (names | {"total": "ord_total"}).items():
        assert getattr(money, name).tolist() == orders.headers[column].tolist()


def test_a_cancelled_piece_takes_its_share_of_discount_and_tax_with_it() -> None:
    orders = order([line(quantity=4, line_disc=100, line_tax=50)], [stage()], freight=495)
    lines, money = what_is_left(orders)
    assert (lines.quantity[0], lines.subtotal[0], lines.discount[0], lines.tax[0]) == (3, 3000, 75, 37)
    assert (money.subtotal[0], money.discount[0], money.shipping[0], money.tax[0]) == (3000, 75, 495, 37)
    assert money.total[0] == 3000 - 75 + 495 + 37


def test_cancellations_by_the_customer_and_by_the_house_add_up() -> None:
    orders = order([line(quantity=4)], [stage(), stage(pkey=2, rec_type="CH")])
    assert what_is_left(orders)[0].quantity.tolist() == [2]


def test_a_wholly_cancelled_order_stays_as_it_was_ordered() -> None:
    """Ometria asks for a full cancellation as the whole order again (contracts/ometria.md)."""
    orders = order([line(quantity=2, line_disc=10)], [stage(quantity=2)], freight=495)
    lines, money = what_is_left(orders)
    assert wholly_cancelled(orders).tolist() == [True]
    assert (lines.quantity.tolist(), money.total.tolist()) == ([2], [2485])


def test_more_cancelled_than_ordered_on_one_line_cancels_no_other() -> None:
    """A line that an agent made smaller leaves its cancelled pieces behind (F2)."""
    orders = order([line(), line(pkey=101, line_num=2)], [stage(quantity=2)])
    assert wholly_cancelled(orders).tolist() == [False]
    assert what_is_left(orders)[0].quantity.tolist() == [0, 1]


def test_zero_prices_and_zero_quantities_are_kept() -> None:
    """Known mistakes of others (mission): such lines dropped."""
    pieces = [
        line(unit_price=0),
        line(pkey=101, line_num=2, bucket=0, quantity=0, line_tax=7),
    ]
    lines, money = what_is_left(order(pieces))
    assert (lines.quantity.tolist(), lines.total.tolist()) == ([1, 0], [0, 7])
    assert money.total.tolist() == [7]


def test_an_order_of_nothing_is_not_cancelled() -> None:
    assert wholly_cancelled(order([line(bucket=0, quantity=0)])).tolist() == [False]
    assert wholly_cancelled(order([])).tolist() == [False]


def test_sums_per_order_know_orders_without_lines() -> None:
    rows = {"orders": [header(), header(pkey=20, ord_num="W2")], "order_lines": [line(fkey=20, ord_num="W2")]}
    assert per_order(_assembled(rows), np.array([5])).tolist() == [0, 5]
