"""What happened to orders and was not told yet, kind by kind; the rules are those of ``events.events``."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import repeat

import numpy as np
import pandas as pd

from bc_ometria.mapping.assemble import Orders
from bc_ometria.mapping.lifecycle import PENNIES_A_LINE, Lifecycle
from bc_ometria.mapping.papers import Papers, line_rows
from bc_ometria.mapping.told import Line, Told, kind_of, moved_then, number_in, parcel_covers

_TRUE_OF_LINES = ("order_part_cancelled", "order_back_ordered", "back_order_released")


@dataclass(frozen=True)
class Found:
    """Events of one kind: a row each, with ``order``, ``type``, ``key``, ``covers``, ``at`` and properties; and their
    pieces: position of the event, row of the line, quantity."""

    frame: pd.DataFrame
    event: np.ndarray
    row: np.ndarray
    quantity: np.ndarray


_NO_ROWS = np.empty(0, dtype=np.int64)
_NOTHING = Found(pd.DataFrame({"order": _NO_ROWS, "at": _NO_ROWS.view("datetime64[us]")}), *[_NO_ROWS] * 3)
"""What most kinds of events come to in most batches: to make an empty frame of each would take longer than to find
out."""


class Facts:
    """What is true of some orders now, and which of it was not told yet."""

    def __init__(self, orders: Orders, life: Lifecycle, told: Told, changed_at: np.ndarray, active: np.ndarray) -> None:
        self.orders, self.life, self.told = orders, life, told
        self.changed_at, self.active = changed_at, active
        self.position = orders.lines["order"].to_numpy()
        self.pieces = {name: life.lines[name].to_numpy() for name in life.lines.columns if name != "state"}
        self.cancelled = self.pieces["by_customer"] + self.pieces["by_house"]
        self.moved = self.pieces["reserved"] + self.pieces["picked"] + self.pieces["dispatched"]
        self.parcels, self.refunds = _live(life.parcels), _live(life.refunds)

    def of_the_path(self) -> list[Found]:
        """The events of orders that are not cancelled."""
        return [
            self.holds(),
            self.hold_releases(),
            self.part_cancellations(),
            self.back_order_releases(),
            self.picking(),
            self.new_parcels,
            self.back_orders(),
            self.new_tracking(),
            self.new_refunds,
        ]

    @cached_property
    def before_papers(self) -> np.ndarray:
        """The time of what came before the parcels and refunds that are told with it."""
        before = self.changed_at.copy()
        for found in (self.new_parcels, self.new_refunds):
            np.fmin.at(before, found.frame["order"].to_numpy(), _times(found.frame["at"]))
        return before

    @cached_property
    def before(self) -> np.ndarray:
        """The time of what came before everything that has a time of its own and is told with it."""
        before = self.before_papers.copy()
        rows = self._rows(self.cancelled > 0, self.told.cancelled)
        np.fmin.at(before, self.position[rows], _newest_time(self.orders.lines, ("CC_at", "CH_at"))[rows])
        return before

    def cancellations(self, of: np.ndarray) -> Found:
        order = self._untold(np.flatnonzero(of), "order_cancelled")
        if not len(order):
            return _NOTHING
        at = self._newest(self.cancelled > 0, "CC_at", "CH_at")[order]
        frame = self._frame(order, "order_cancelled", at=np.where(np.isnat(at), self.changed_at[order], at))
        frame["cancelled_by"] = self._who(order)
        return self._with_lines(self._why(frame, "cancel_code"), self.cancelled)

    def part_cancellations(self) -> Found:
        rows = self._rows(self.cancelled > 0, self.told.cancelled)
        if not len(rows):
            return _NOTHING
        at = self.before[self.position[rows]]
        own = _newest_time(self.orders.lines, ("CC_at", "CH_at"))[rows]
        frame, event = self._by_moment("order_part_cancelled", rows, np.where(np.isnat(own), at, own))
        frame["cancelled_by"] = self._who(frame["order"].to_numpy())
        return Found(self._why(frame, "cancel_code"), event, rows, self.cancelled[rows])

    def holds(self) -> Found:
        order = np.flatnonzero(self.active & (self.life.orders["state"].to_numpy(dtype=object) == "on_hold"))
        codes = self.orders.headers["hold_code"].to_numpy(dtype=object)[order].tolist()
        open_holds = self.told.open_holds()
        new = [
            at not in open_holds and (at, "order_on_hold", code) not in self.told.keys
            for at, code in zip(order.tolist(), codes, strict=True)
        ]
        order = order[new]
        if not len(order):
            return _NOTHING
        key = np.array([code for code, wanted in zip(codes, new, strict=True) if wanted], dtype=object)
        frame = self._frame(order, "order_on_hold", key=key, at=self.before[order])
        return self._with_lines(self._why(frame, "hold_code"), self._waiting())

    def hold_releases(self) -> Found:
        state = self.life.orders["state"].to_numpy(dtype=object)
        released = {
            at: code
            for at, code in self.told.open_holds().items()
            if self.active[at] and state[at] not in ("on_hold", "unmapped")
        }
        if not released:
            return _NOTHING
        order = np.array(sorted(released), dtype=np.int64)
        key = np.array([released[at] for at in order.tolist()], dtype=object)
        frame = self._frame(order, "order_hold_released", key=key, at=self.before[order])
        return self._with_lines(frame, self._waiting())

    def back_orders(self) -> Found:
        rows = self._rows(self.pieces["back_ordered"] > 0, self.told.back_ordered)
        if not len(rows):
            return _NOTHING
        last = np.full(len(self.orders), np.datetime64("NaT", "us"))
        papers = self.parcels.frame
        np.fmax.at(last, papers["order"].to_numpy(), _times(papers["at"]))
        at = last[self.position[rows]]
        at = np.where(np.isnat(at), self.changed_at[self.position[rows]], at)
        frame, event = self._by_moment("order_back_ordered", rows, at)
        moved = [f"{line}={pieces}" for line, pieces in zip(self._labels(rows), self.moved[rows].tolist(), strict=True)]
        frame["covers"] = _joined(moved, event, len(frame))
        return Found(frame, event, rows, self.pieces["back_ordered"][rows])

    def back_order_releases(self) -> Found:
        owed = {line: moved for line, moved in self.told.back_ordered.items() if line not in self.told.released}
        if not owed:
            return _NOTHING
        rows = self._rows_of(list(owed))
        moved = np.array(list(owed.values()), dtype=np.int64)
        on = (rows >= 0) & self.active[self.position[rows]] & (self.moved[rows] > moved)
        in_order = np.flatnonzero(on)[np.argsort(rows[on], kind="stable")]
        rows, moved = rows[in_order], moved[in_order]
        frame, event = self._by_moment("back_order_released", rows, self.before[self.position[rows]])
        return Found(frame, event, rows, self.moved[rows] - moved)

    def picking(self) -> Found:
        picked = self._some(self.pieces["picked"] > 0) | self.parcels.any_live(len(self.orders))
        order = self._untold(np.flatnonzero(picked & self.active), "order_picking")
        own = self._newest(self.moved > 0, "PK_at")[order]
        at = np.where(np.isnat(own), self.before[order], np.fmin(own, self.before_papers[order]))
        return self._with_lines(
            self._frame(order, "order_picking", at=at), self.pieces["picked"] + self.pieces["dispatched"]
        )

    @cached_property
    def new_parcels(self) -> Found:
        papers = self.parcels.frame
        gone = _running(papers["order"].to_numpy(), papers["pieces"].to_numpy())
        full = gone >= self._wanted_then(papers)
        new = self._untold_papers(self.parcels, "parcel")
        return self._of_parcels(new, np.where(full[new], "order_dispatched", "order_part_dispatched"))

    def new_tracking(self) -> Found:
        """Parcels that now have the tracking number that their event went without."""
        if not self.told.untracked:
            return _NOTHING
        papers = self.parcels.frame
        order, row = papers["order"].to_numpy(), papers["row"].to_numpy()
        tracked = self.orders.shipments["tracking"].to_numpy(dtype=object)[row] != ""
        known = zip(order.tolist(), papers["number"].tolist(), strict=True)
        owed = np.array([paper in self.told.untracked for paper in known], dtype=bool)
        untold = np.zeros(len(papers), dtype=bool)
        untold[self._untold_papers(self.parcels, "tracking_added")] = True
        found = self._of_parcels(np.flatnonzero(owed & tracked & untold), "tracking_added")
        found.frame["at"] = self.changed_at[found.frame["order"].to_numpy()]
        return found

    @cached_property
    def new_refunds(self) -> Found:
        papers, returns = self.refunds.frame, self.orders.returns
        order, row = papers["order"].to_numpy(), papers["row"].to_numpy()
        money = returns["refund_total"].to_numpy()[row]
        due = (self.life.orders["total"] - self.life.orders["shipping"]).to_numpy()[order]
        tolerance = PENNIES_A_LINE * np.bincount(self.position, minlength=len(self.orders))[order]
        wanted_then = self._wanted_then(papers)
        ordered, by_customer, by_house = (
            self.life.orders[name].to_numpy() for name in ("ordered", "by_customer", "by_house")
        )
        wanted_now = ordered - by_customer - by_house
        all_back = _running(order, papers["pieces"].to_numpy()) >= wanted_then
        # Money alone is no proof where a later cancellation has made less of what was due.
        paid_for = (due > tolerance) & (wanted_then == wanted_now[order])
        full = (_running(order, money) + tolerance >= due) & (all_back | paid_for)
        new = self._untold_papers(self.refunds, "return")
        new = new[(money[new] > 0) | (due[new] == 0)]
        if not len(new):
            return _NOTHING
        frame = self._frame(
            order[new],
            np.where(full[new], "order_refunded", "order_part_refunded"),
            key=papers["number"].to_numpy(dtype=object)[new],
            at=_times(papers["at"])[new],
        )
        frame["return"] = frame["key"]
        frame["refunded"] = money[new]
        frame["reason_code"] = returns["reason_code"].to_numpy(dtype=object)[row[new]]
        return Found(frame, *_pieces_of(self.refunds, new, returns["quantity"].to_numpy()))

    @cached_property
    def live_papers(self) -> tuple[set[tuple[int, str]], set[tuple[int, str]]]:
        """Order and number of the parcels, and of the returns, that are not void."""
        return _keys_of(self.parcels), _keys_of(self.refunds)

    def standing(self) -> list[bool]:
        """Of each event that waits, whether it is still true; what later ones have overtaken is, being on the path."""
        lines = [
            (event, at, line, moved)
            for event, (at, _, event_type, covers) in enumerate(self.told.waiting)
            if event_type in _TRUE_OF_LINES
            for line, moved in moved_then(covers)
        ]
        event = np.array([event for event, *_ in lines], dtype=np.int64)
        rows = self._rows_of([(at, line) for _, at, line, _ in lines])
        more = self.moved[rows] > np.array([moved for *_, moved in lines], dtype=np.int64)
        short = self.pieces["back_ordered"][rows] > 0
        true_of = {
            "order_part_cancelled": self.cancelled[rows] > 0,
            "order_back_ordered": short | more,
            "back_order_released": ~short,
        }
        there = rows >= 0
        of_lines = {
            kind: np.bincount(event[there & true], minlength=len(self.told.waiting)) > 0
            for kind, true in true_of.items()
        }
        picked = self._some(self.pieces["picked"] + self.pieces["dispatched"] > 0)
        held = self.life.orders["state"].to_numpy(dtype=object) == "on_hold"

        def stands(number: int, at: int, event_type: str, covers: str) -> bool:
            kind = kind_of(event_type)
            if kind in _TRUE_OF_LINES:
                return bool(of_lines[kind][number])
            if kind in ("parcel", "tracking_added", "return"):
                return (at, number_in(covers)) in self.live_papers[kind == "return"]
            if kind == "order_picking":
                return bool(picked[at])
            if kind == "order_hold_released":
                return not held[at]
            return kind != "order_cancelled"

        return [stands(number, at, kind, covers) for number, (at, _, kind, covers) in enumerate(self.told.waiting)]

    def _of_parcels(self, new: np.ndarray, event_type: str | np.ndarray) -> Found:
        papers, shipments = self.parcels.frame, self.orders.shipments
        row = papers["row"].to_numpy()[new]
        number, tracking = papers["number"].tolist(), shipments["tracking"].to_numpy(dtype=object)[row]
        key = np.array([number[at] for at in new.tolist()], dtype=object)
        frame = self._frame(papers["order"].to_numpy()[new], event_type, key=key, at=_times(papers["at"])[new])
        if not isinstance(event_type, str):
            frame["covers"] = [parcel_covers(*of_parcel) for of_parcel in zip(key, tracking, strict=True)]
        frame = frame.assign(
            parcel=key,
            location=shipments["location"].to_numpy(dtype=object)[row],
            carrier=shipments["ship_via"].to_numpy(dtype=object)[row],
            tracking=tracking,
        )
        return Found(frame, *_pieces_of(self.parcels, new, shipments["quantity"].to_numpy()))

    def _untold_papers(self, papers: Papers, kind: str) -> np.ndarray:
        """The documents of active orders that no event of this kind told of."""
        order = papers.frame["order"].to_numpy()
        keys = zip(order.tolist(), repeat(kind), papers.frame["number"].tolist())
        return np.flatnonzero(np.array([key not in self.told.keys for key in keys], dtype=bool) & self.active[order])

    def _untold(self, order: np.ndarray, event_type: str) -> np.ndarray:
        """The orders of which no event of this type was told."""
        keys = zip(order.tolist(), repeat(event_type), repeat(""))
        return order[np.array([key not in self.told.keys for key in keys], dtype=bool)]

    def _wanted_then(self, papers: pd.DataFrame) -> np.ndarray:
        """Pieces that each document's order still wanted at its time: ordered, less what was cancelled by then.

        A cancellation without a time counts as one before.
        """
        order, lines = papers["order"].to_numpy(), self.orders.lines
        wanted = self.life.orders["ordered"].to_numpy()[order]
        rows = np.flatnonzero(self.cancelled > 0)
        if not len(rows) or not len(papers):
            return wanted
        own = _newest_time(lines, ("CC_at", "CH_at"))[rows]
        own = np.where(np.isnat(own), np.datetime64("1900-01-01", "us"), own)
        whose = np.r_[self.position[rows], order]
        when = np.r_[own, _times(papers["at"])]
        gone = np.r_[self.cancelled[rows], np.zeros(len(papers), dtype=np.int64)]
        in_time = np.lexsort((np.arange(len(when)), when, whose))
        upto = np.empty(len(when), dtype=np.int64)
        upto[in_time] = _running(whose[in_time], gone[in_time])
        return wanted - upto[len(rows) :]

    def _rows(self, wanted: np.ndarray, told: Collection[tuple[int, str]]) -> np.ndarray:
        """The rows of active orders that are wanted and were not told."""
        rows = np.flatnonzero(wanted & self.active[self.position])
        lines = zip(self.position[rows].tolist(), self._labels(rows), strict=True)
        return rows[np.array([line not in told for line in lines], dtype=bool)] if told else rows

    def _labels(self, rows: np.ndarray) -> list[str]:
        lines = self.orders.lines
        numbers, buckets = (lines[name].to_numpy()[rows].tolist() for name in ("line_num", "bucket"))
        return [f"{number}-{bucket}" for number, bucket in zip(numbers, buckets, strict=True)]

    def _rows_of(self, lines: Sequence[Line]) -> np.ndarray:
        """The rows of the named lines, -1 for those that are gone."""
        order = np.array([at for at, _ in lines], dtype=np.int64)
        parts = np.array([label.split("-") for _, label in lines], dtype=np.int64).reshape(-1, 2)
        return line_rows(self.orders, order, parts[:, 0], parts[:, 1])

    def _by_moment(self, event_type: str, rows: np.ndarray, at: np.ndarray) -> tuple[pd.DataFrame, np.ndarray]:
        """One event for the rows of an order and a moment, and the position of each row's event."""
        order = self.position[rows]
        in_time = np.lexsort((np.arange(len(rows)), at, order))
        begins = np.r_[True, (np.diff(order[in_time]) != 0) | (at[in_time][1:] != at[in_time][:-1])][: len(rows)]
        event = np.empty(len(rows), dtype=np.int64)
        event[in_time] = np.cumsum(begins) - 1
        first = in_time[begins]
        labels = self._labels(rows)
        frame = self._frame(order[first], event_type, key=np.array([labels[at] for at in first], object), at=at[first])
        frame["covers"] = _joined(labels, event, len(frame))
        return frame, event

    def _frame(
        self, order: np.ndarray, event_type: str | np.ndarray, *, at: np.ndarray, key: str | np.ndarray = ""
    ) -> pd.DataFrame:
        return pd.DataFrame({"order": order, "type": event_type, "key": key, "covers": key, "at": at})

    def _with_lines(self, frame: pd.DataFrame, quantity: np.ndarray) -> Found:
        """Events with all lines of their orders that have such a quantity."""
        event_of = np.full(len(self.orders), -1)
        event_of[frame["order"].to_numpy()] = np.arange(len(frame))
        rows = np.flatnonzero((event_of[self.position] >= 0) & (quantity > 0)) if len(frame) else np.zeros(0, np.int64)
        return Found(frame, event_of[self.position[rows]], rows, quantity[rows])

    def _why(self, frame: pd.DataFrame, column: str) -> pd.DataFrame:
        codes = self.orders.headers[column].to_numpy(dtype=object)[frame["order"].to_numpy()]
        return frame.assign(**{column: codes})

    def _who(self, order: np.ndarray) -> np.ndarray:
        by = self.life.orders["by_customer"].to_numpy() >= self.life.orders["by_house"].to_numpy()
        return np.where(by[order], "customer", "house")

    def _waiting(self) -> np.ndarray:
        return self.pieces["open"] + self.pieces["reserved"] + self.pieces["picked"]

    def _some(self, rows: np.ndarray) -> np.ndarray:
        """Which orders have such a row."""
        return np.bincount(self.position[rows], minlength=len(self.orders)) > 0

    def _newest(self, rows: np.ndarray, *columns: str) -> np.ndarray:
        """The newest of these times per order, over such rows."""
        newest = np.full(len(self.orders), np.datetime64("NaT", "us"))
        np.fmax.at(newest, self.position[rows], _newest_time(self.orders.lines, columns)[rows])
        return newest


def _live(papers: Papers) -> Papers:
    """The documents that are not void."""
    live = papers.frame["live"].to_numpy()
    if live.all():
        return papers
    place = np.where(live, np.cumsum(live) - 1, -1)
    return Papers(papers.frame[live].reset_index(drop=True), place[papers.paper_of], papers.line_of)


def _keys_of(papers: Papers) -> set[tuple[int, str]]:
    return set(zip(papers.frame["order"].tolist(), papers.frame["number"].tolist(), strict=True))


def _pieces_of(papers: Papers, chosen: np.ndarray, quantity: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of some documents: which of them, which line, how many."""
    event_of = np.full(len(papers.frame) + 1, -1)  # the last is that of rows without a document
    event_of[chosen] = np.arange(len(chosen))
    event = event_of[papers.paper_of]
    rows = np.flatnonzero((event >= 0) & (papers.line_of >= 0))
    return event[rows], papers.line_of[rows], quantity[rows]


def _running(order: np.ndarray, amount: np.ndarray) -> np.ndarray:
    """Sums so far, from the beginning of each order; sorted by order."""
    upto = np.cumsum(amount)
    begins = np.searchsorted(order, order)
    return upto - np.r_[0, upto][begins]


def _newest_time(lines: pd.DataFrame, columns: Sequence[str]) -> np.ndarray:
    newest = np.full(len(lines), np.datetime64("NaT", "us"))
    for column in columns:
        if column in lines:
            newest = np.fmax(newest, _times(lines[column]))
    return newest


def _joined(texts: Sequence[str], event: np.ndarray, events: int) -> list[str]:
    """The texts of each event, in their order, with blanks between."""
    parts: defaultdict[int, list[str]] = defaultdict(list)
    for at, text in zip(event.tolist(), texts, strict=True):
        parts[at].append(text)
    return [" ".join(parts[at]) for at in range(events)]


def _times(column: pd.Series) -> np.ndarray:
    return column.to_numpy(dtype="datetime64[us]")
