"""The custom events of orders: what happened to each since it was last told, and what need not be told any more.

An event is a fact about an order with an id of its own. What was told before is remembered by id, so nothing is told
twice, whatever the order goes through; what the evidence alone shows (parcels, refunds, cancellations) comes out of
an empty memory as well, under the same ids.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bc_ometria.mapping.assemble import Orders
from bc_ometria.mapping.event_payloads import Names, event_id, payloads
from bc_ometria.mapping.facts import Facts
from bc_ometria.mapping.lifecycle import Lifecycle
from bc_ometria.mapping.told import MEMORY, Told
from bc_ometria.rules import Rules
from bc_ometria.rules.lifecycle import CANCELLED

__all__ = ["MEMORY", "Events", "event_id", "events", "nothing_remembered"]


@dataclass(frozen=True)
class Events:
    """``told``: events to be queued, in the order in which they happened within each order:

    - ``record_id``: 32 hex characters that follow from order number, kind of event and the key of its parcel,
      return, line or hold: the same in every process. The two dispatch types are one kind, and the two refund types
    - ``event_type``, ``order`` (its number), ``customer`` (blank for a guest), ``timestamp`` (UTC, without offset),
      ``payload`` (JSON bytes), ``version``
    - ``held``: the exception code of what keeps it back, blank where it may go: an ``ord_status``, a division, a reason
      or a location that no rule knows
    - ``covers``: to be remembered with it

    ``withdrawn``: events that were waiting and are no longer true: ``order``, ``record_id``, ``reason``.
    """

    told: pd.DataFrame
    withdrawn: pd.DataFrame


def nothing_remembered() -> pd.DataFrame:
    """The memory of an empty store."""
    return pd.DataFrame({name: pd.Series(dtype=object) for name in MEMORY})


def events(
    orders: Orders,
    life: Lifecycle,
    memory: pd.DataFrame,
    *,
    changed_at: pd.Series,
    stores: Sequence[str] | np.ndarray,
    excluded: np.ndarray,
    rules: Rules,
    time_zone: str,
) -> Events:
    """The events of some orders that are to be told, and those that are to be withdrawn.

    ``memory`` has the columns of ``MEMORY``: all events of these orders; ``changed_at`` (local time) and ``stores``
    (Ometria's, blank where the division is unknown) are per order; ``excluded`` marks those that never go. An order
    that is excluded, or of nobody whom Ometria could tell, has no new events. Those of an unmapped order are what its
    evidence says, and kept back.

    Times are those of the documents and of the newest movement. What has no time of its own happened when the order
    last changed, or before the first parcel or refund that is told with it if it must have come first (ours).

    When an event is told (ours where contracts say nothing):

    - every live parcel gives one event: ``order_dispatched`` where it and the parcels before it hold all that was
      not cancelled by then, else ``order_part_dispatched``. Goods that left without a shipment give none
    - every live return with money gives one: ``order_refunded`` where everything is then back and paid back, or
      everything is paid back, else ``order_part_refunded``
    - ``order_picking`` once, also where a parcel shows that it must have been
    - ``order_cancelled`` once; from then on the order is quiet: it is the only event, and all waiting ones are
      withdrawn, until the order is no longer cancelled
    - ``order_part_cancelled`` and ``order_back_ordered`` once per line, lines of one moment together; the smallest
      line is the key. ``back_order_released`` where the pieces of such a line have moved on, not where they were
      cancelled
    - ``order_on_hold`` once per hold code, none while an earlier hold is not released; ``order_hold_released`` for
      it when the header claims something else
    - ``tracking_added`` once per parcel whose event went without a tracking number
    """
    headers = orders.headers
    told = Told.of(memory, headers["ord_num"].to_numpy(dtype=object))
    state = life.orders["state"].to_numpy(dtype=object)
    unmapped = state == "unmapped"
    gone = life.orders["by_customer"].to_numpy() + life.orders["by_house"].to_numpy()
    ordered = life.orders["ordered"].to_numpy()
    cancelled = np.isin(state, CANCELLED) | (unmapped & (ordered > 0) & (gone >= ordered))
    speaks = (headers["customer"].to_numpy(dtype=object) != "") | (headers["email"].to_numpy(dtype=object) != "")
    speaks &= (headers["header_count"].to_numpy() > 0) & ~excluded
    facts = Facts(orders, life, told, changed_at.to_numpy(dtype="datetime64[us]"), speaks & ~cancelled)
    found = [facts.cancellations(speaks & cancelled), *facts.of_the_path()]
    of_stores = np.asarray(stores, dtype=object)
    held = np.select([unmapped, of_stores == ""], ["unmapped_status", "unknown_division"], "").astype(object)
    names = Names(orders, rules, of_stores, held)
    return Events(
        told=payloads([kind for kind in found if len(kind.frame)], names, time_zone),
        withdrawn=_withdrawn(told, facts, state, cancelled, excluded),
    )


def _withdrawn(
    told: Told, facts: Facts, state: np.ndarray, cancelled: np.ndarray, excluded: np.ndarray
) -> pd.DataFrame:
    """The waiting events that are no longer to be told. Those of an unmapped order wait on."""
    headers = facts.orders.headers
    numbers, there = headers["ord_num"].tolist(), headers["header_count"].to_numpy() > 0
    records = []
    for (at, record_id, event_type, _), stands in zip(told.waiting, facts.standing(), strict=True):
        if not there[at]:
            reason = "the order is gone"
        elif excluded[at]:
            reason = "the order never goes to Ometria"
        elif cancelled[at] and event_type != "order_cancelled":
            reason = "the order is cancelled"
        elif not cancelled[at] and state[at] != "unmapped" and not stands:
            reason = "it is no longer so"
        else:
            continue
        records.append((numbers[at], record_id, reason))
    return pd.DataFrame(records, columns=["order", "record_id", "reason"], dtype=object)
