"""Shipments and returns as wholes: which rows belong to one document, to which line each, and what was refunded."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from bc_ometria.mapping.assemble import Orders

_BUCKETS = 32  # more than the 24 size buckets, so that (order, line, bucket) fits one integer
_LINES = 2**31


@dataclass(frozen=True)
class Papers:
    """Shipments or returns, one row each.

    ``frame``, sorted by order, time and number: ``order`` (position), ``number``, ``at`` (local time), ``row`` (the
    first of its rows in ``Orders.shipments`` or ``.returns``), ``live`` (not void), ``pieces``.
    ``paper_of`` and ``line_of``: for each of those rows its document's position in ``frame``, and its row in
    ``Orders.lines``, -1 where the order has no such line.
    """

    frame: pd.DataFrame
    paper_of: np.ndarray
    line_of: np.ndarray

    def any_live(self, orders: int) -> np.ndarray:
        """Which of so many orders have a document that is not void."""
        return np.bincount(self.frame["order"].to_numpy()[self.frame["live"].to_numpy()], minlength=orders) > 0

    def pieces_of_lines(self, part: pd.DataFrame, lines: int, *, live: bool) -> np.ndarray:
        """Pieces of each of so many lines in documents that are not void, or in those that are."""
        counts = (self.line_of >= 0) & (self.frame["live"].to_numpy()[self.paper_of] == live)
        pieces = np.zeros(lines, dtype=np.int64)
        np.add.at(pieces, self.line_of[counts], part["quantity"].to_numpy()[counts])
        return pieces


def parcels_of(orders: Orders) -> Papers:
    """The shipments of some orders; one shipment number of an order is one parcel."""
    return _papers(orders, orders.shipments, "ship_num", "ship_date")


def refunds_of(orders: Orders) -> Papers:
    """The returns of some orders, by return number."""
    return _papers(orders, orders.returns, "ret_num", "ret_date")


def line_rows(orders: Orders, order: np.ndarray, line_num: np.ndarray, bucket: np.ndarray) -> np.ndarray:
    """The rows of ``Orders.lines`` with this order (position), line number and bucket.

    A bucket that the line does not have means its first row; -1 where the order has no such line.
    """
    lines = orders.lines
    if not len(lines):
        return np.full(len(order), -1)
    keys = _keys(lines["order"].to_numpy(), lines["line_num"].to_numpy(), lines["bucket"].to_numpy())
    by_key = np.argsort(keys, kind="stable")
    keys = keys[by_key]

    def find(wanted: np.ndarray) -> np.ndarray:
        return np.searchsorted(keys, wanted).clip(max=len(keys) - 1)

    wanted = _keys(order, line_num, bucket)
    found = find(wanted)
    missed = keys[found] != wanted
    if missed.any():
        found[missed] = find(wanted[missed] // _BUCKETS * _BUCKETS)
    return np.where(keys[found] // _BUCKETS == wanted // _BUCKETS, by_key[found], -1)


def refunded_pieces(returns: pd.DataFrame, refunds: Papers) -> np.ndarray:
    """What was refunded for each row of ``Orders.returns``, in minor units; 0 in a document that is void.

    ``refund_amt`` is of a whole return line, so where it has several size buckets it is shared out by pieces, to the
    penny. A column ``pkey`` of the return line tells its rows; without one, rows of one document, line and amount are
    one return line as long as their buckets rise (ours).
    """
    amount, bucket = returns["refund_amt"].to_numpy(), returns["bucket"].to_numpy()
    line_num = returns["line_num"].to_numpy()
    own_key = returns["pkey"].to_numpy() if "pkey" in returns else amount
    together = np.lexsort((bucket, own_key, line_num, refunds.paper_of))
    same = np.ones(max(len(returns) - 1, 0), dtype=bool)
    for column in (refunds.paper_of, line_num, own_key):
        same &= column[together][1:] == column[together][:-1]
    same &= bucket[together][1:] > bucket[together][:-1]
    begins = np.r_[True, ~same][: len(returns)]
    pieces = returns["quantity"].to_numpy()[together]
    line = np.cumsum(begins) - 1
    of_line = np.bincount(line, weights=pieces).astype(np.int64)[line]
    upto = np.cumsum(pieces)
    upto -= (upto - pieces)[begins][line]
    paid, divisor = amount[together], np.maximum(of_line, 1)
    by_pieces = paid * upto // divisor - paid * (upto - pieces) // divisor
    shares = np.empty(len(returns), dtype=np.int64)
    shares[together] = np.where(of_line == 0, np.where(begins, paid, 0), by_pieces)
    return np.where(refunds.frame["live"].to_numpy()[refunds.paper_of], shares, 0)


def _keys(order: np.ndarray, line_num: np.ndarray, bucket: np.ndarray) -> np.ndarray:
    return (order * _LINES + np.minimum(line_num, _LINES - 1)) * _BUCKETS + bucket


def _papers(orders: Orders, part: pd.DataFrame, number: str, when: str) -> Papers:
    order = part["order"].to_numpy()
    code, numbers = pd.factorize(part[number].to_numpy(dtype=object), sort=True)
    _, row, of_row = np.unique(order * (len(numbers) + 1) + code, return_index=True, return_inverse=True)
    at = part[when].to_numpy(dtype="datetime64[us]")[row]
    in_time = np.lexsort((code[row], at, order[row]))
    place = np.empty_like(in_time)
    place[in_time] = np.arange(len(in_time))
    paper_of, row = place[of_row], row[in_time]
    frame = pd.DataFrame(
        {
            "order": order[row],
            "number": numbers[code[row]],
            "at": at[in_time],
            "row": row,
            "live": part["void_ok"].to_numpy(dtype=object)[row] != "Y",
            "pieces": np.bincount(paper_of, weights=part["quantity"].to_numpy(), minlength=len(row)).astype(np.int64),
        }
    )
    line_of = line_rows(orders, order, part["line_num"].to_numpy(), part["bucket"].to_numpy())
    return Papers(frame, paper_of, line_of)
