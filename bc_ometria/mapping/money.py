"""The money of assembled orders, in minor units: what was ordered, what is left of it, whether it adds up."""

from dataclasses import dataclass

import numpy as np

from bc_ometria.mapping.assemble import Orders, first_rows, sums


@dataclass(frozen=True)
class LineMoney:
    """Pieces and amounts of each row of ``Orders.lines``: arrays of int64."""

    quantity: np.ndarray
    subtotal: np.ndarray
    discount: np.ndarray
    tax: np.ndarray

    @property
    def total(self) -> np.ndarray:
        return self.subtotal - self.discount + self.tax


@dataclass(frozen=True)
class OrderMoney:
    """Amounts of each order: arrays of int64."""

    subtotal: np.ndarray
    discount: np.ndarray
    shipping: np.ndarray
    tax: np.ndarray
    total: np.ndarray


def wholly_cancelled(orders: Orders) -> np.ndarray:
    """Orders of which pieces were ordered and every one was cancelled, by the customer or by the house."""
    ordered = per_order(orders, orders.lines["quantity"].to_numpy())
    return (ordered > 0) & (per_order(orders, _cancelled(orders)) == ordered)


def totals_apart(orders: Orders) -> np.ndarray:
    """By how much header and lines of each order differ: the header's total minus that of its lines and
    freight, or minus its own parts. 0 where they agree within a penny a line (ours)."""
    headers = orders.headers
    total = headers["ord_total"].to_numpy()
    of_lines = per_order(orders, as_ordered(orders).total) + headers["frt_amt"].to_numpy()
    of_parts = (headers["sub_total"] - headers["disc_amt"] + headers["frt_amt"] + headers["tax_amt"]).to_numpy()
    tolerance = np.diff(first_rows(orders.lines, len(orders)))
    apart = np.where(np.abs(total - of_lines) > tolerance, total - of_lines, total - of_parts)
    return np.where(np.abs(apart) > tolerance, apart, 0)


def is_whole(orders: Orders) -> np.ndarray:
    """Orders of which the rows at hand prove that they are whole: one header, lines that all belong to it, and
    totals that add up."""
    headers = orders.headers
    has_lines = np.diff(first_rows(orders.lines, len(orders))) > 0
    one_header = (headers["header_count"] == 1).to_numpy() & (headers["stray_lines"] == 0).to_numpy()
    return one_header & has_lines & (totals_apart(orders) == 0)


def as_ordered(orders: Orders) -> LineMoney:
    """The lines as they were ordered. ``line_disc`` and ``line_tax`` are of a whole line: where it has several
    size buckets they are shared out by pieces, and the shares add up to the penny."""
    lines = orders.lines
    quantity = lines["quantity"].to_numpy()
    pkey = lines["pkey"].to_numpy()
    is_first = np.r_[True, pkey[1:] != pkey[:-1]][: len(pkey)]
    line = np.cumsum(is_first) - 1
    of_line = np.bincount(line, weights=quantity).astype(np.int64)[line]
    upto = np.cumsum(quantity)
    upto -= (upto - quantity)[is_first][line]

    def share(amount: np.ndarray) -> np.ndarray:
        divisor = np.maximum(of_line, 1)
        by_pieces = amount * upto // divisor - amount * (upto - quantity) // divisor
        return np.where(of_line == 0, np.where(is_first, amount, 0), by_pieces)

    return LineMoney(
        quantity=quantity,
        subtotal=lines["unit_price"].to_numpy() * quantity,
        discount=share(lines["line_disc"].to_numpy()),
        tax=share(lines["line_tax"].to_numpy()),
    )


def what_is_left(orders: Orders) -> tuple[LineMoney, OrderMoney]:
    """Lines and orders without their cancelled pieces; an order of which all are cancelled stays as ordered.

    An order's amounts are the header's, less what of its lines was cancelled, so they equal Blue Cherry's
    where nothing was.
    """
    ordered = as_ordered(orders)
    keeps = wholly_cancelled(orders)[orders.lines["order"].to_numpy()]
    gone = np.where(keeps, 0, _cancelled(orders))
    left = ordered.quantity - gone
    divisor = np.maximum(ordered.quantity, 1)

    def remaining(amount: np.ndarray) -> np.ndarray:
        return np.where(ordered.quantity == 0, amount, amount * left // divisor)

    lines = LineMoney(
        quantity=left,
        subtotal=orders.lines["unit_price"].to_numpy() * left,
        discount=remaining(ordered.discount),
        tax=remaining(ordered.tax),
    )
    headers = orders.headers
    subtotal = headers["sub_total"].to_numpy() - per_order(orders, ordered.subtotal - lines.subtotal)
    discount = headers["disc_amt"].to_numpy() - per_order(orders, ordered.discount - lines.discount)
    tax = headers["tax_amt"].to_numpy() - per_order(orders, ordered.tax - lines.tax)
    total = headers["ord_total"].to_numpy() - per_order(orders, ordered.total - lines.total)
    return lines, OrderMoney(subtotal, discount, headers["frt_amt"].to_numpy(), tax, total)


def per_order(orders: Orders, of_lines: np.ndarray) -> np.ndarray:
    """Sums of a value of each line, per order; 0 for an order without lines."""
    return sums(of_lines, first_rows(orders.lines, len(orders)))


def _cancelled(orders: Orders) -> np.ndarray:
    """Pieces cancelled, never more than were ordered: a line made smaller keeps the stages of the larger one."""
    lines = orders.lines
    return np.minimum((lines["CC"] + lines["CH"]).to_numpy(), lines["quantity"].to_numpy())
