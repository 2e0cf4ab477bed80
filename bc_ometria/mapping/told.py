"""What was told of orders before: the memory of their events, by order position."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import compress

import numpy as np
import pandas as pd

MEMORY = ("order", "record_id", "event_type", "state", "covers")
"""What is remembered of each event: its order's number; ``state``: ``sent`` (also while the outcome is not known),
``waiting``, ``withdrawn`` or ``held``; ``covers``: what of its order it told, as ``events.events`` gave it."""

_KINDS = {
    "order_part_dispatched": "parcel",
    "order_dispatched": "parcel",
    "order_part_refunded": "return",
    "order_refunded": "return",
}
_OF_LINES = ("order_part_cancelled", "order_back_ordered", "back_order_released")
_UNTRACKED = " untracked"

Line = tuple[int, str]
"""A line of an order: the order's position; line number and bucket as ``3-1``."""


def kind_of(event_type: str) -> str:
    """The kind of an event, of which an order tells each key once: a parcel leaves in part or in full, never both."""
    return _KINDS.get(event_type, event_type)


def parcel_covers(number: str, tracking: str) -> str:
    """What the event of a parcel covers; the part after the number says that it went without tracking."""
    return number if tracking else f"{number}{_UNTRACKED}"


def number_in(covers: str) -> str:
    """The number of the parcel or return that an event covers."""
    return covers.removesuffix(_UNTRACKED)


def moved_then(covers: str) -> Iterable[tuple[str, int]]:
    """The lines that an event covers, each with the pieces that had moved on by then, 0 where it does not say."""
    for part in covers.split():
        line, _, moved = part.partition("=")
        yield line, int(moved or 0)


@dataclass
class Told:
    """What was told, and what waits to be. An event that was withdrawn or held is not told yet."""

    keys: set[tuple[int, str, str]] = field(default_factory=set)
    """Order, kind and key of each event; of events of lines see below."""
    untracked: set[tuple[int, str]] = field(default_factory=set)
    """Order and number of parcels that were told without tracking."""
    cancelled: set[Line] = field(default_factory=set)
    back_ordered: dict[Line, int] = field(default_factory=dict)
    """With the pieces of the line that had moved on by then."""
    released: set[Line] = field(default_factory=set)
    waiting: list[tuple[int, str, str, str]] = field(default_factory=list)
    """Order, record id, event type and covers."""

    @classmethod
    def of(cls, memory: pd.DataFrame, order_numbers: np.ndarray) -> "Told":
        """What ``memory``, with the columns of ``MEMORY``, says of these orders; others in it are passed over."""
        positions = pd.Index(order_numbers).get_indexer(pd.Index(memory["order"].to_numpy(dtype=object)))
        state = memory["state"].to_numpy(dtype=object)
        counts = (positions >= 0) & ((state == "sent") | (state == "waiting"))
        order = positions[counts].tolist()
        ids, types, covers = (
            memory[name].to_numpy(dtype=object)[counts].tolist() for name in ("record_id", "event_type", "covers")
        )
        told = cls(waiting=list(compress(zip(order, ids, types, covers, strict=True), state[counts] == "waiting")))
        kinds = [_KINDS.get(event_type, event_type) for event_type in types]
        told.keys = set(zip(order, kinds, covers, strict=True))
        told.untracked = {
            (at, number_in(cover))
            for at, kind, cover in zip(order, kinds, covers, strict=True)
            if kind == "parcel" and cover.endswith(_UNTRACKED)
        }
        told.keys.update((at, "parcel", number) for at, number in told.untracked)
        for at, kind, cover in zip(order, kinds, covers, strict=True):
            if kind in _OF_LINES:
                told._note_lines(at, kind, cover)
        return told

    def _note_lines(self, order: int, kind: str, covers: str) -> None:
        for line, moved in moved_then(covers):
            if kind == "order_part_cancelled":
                self.cancelled.add((order, line))
            elif kind == "order_back_ordered":
                self.back_ordered[order, line] = moved
            else:
                self.released.add((order, line))

    def open_holds(self) -> dict[int, str]:
        """The hold code that was told and not released, by order."""
        holds = [(at, key) for at, kind, key in self.keys if kind == "order_on_hold"]
        return {at: key for at, key in sorted(holds) if (at, "order_hold_released", key) not in self.keys}
