"""The custom events of orders: what happened to each since it was last told, and what need not be told any more.

An event is a fact about an order with an id of its own. What was told before is remembered by id, so nothing is told
twice, whatever the order goes through; what the evidence alone shows (parcels, refunds, cancellations) comes out of
an empty memory as well, under the same ids.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bc_ometria.mapping.assemble import Orders
from bc_ometria.mapping.event_payloads import EVENT_TYPES, Names, Warehouse, event_id, payloads
from bc_ometria.mapping.facts import Facts
from bc_ometria.mapping.lifecycle import CANCELLED, Lifecycle, Reasons
from bc_ometria.mapping.told import MEMORY, Told

__all__ = [
    "EVENTS_OF_STATE",
    "EVENT_TYPES",
    "MEMORY",
    "Events",
    "Warehouse",
    "event_id",
    "events",
    "nothing_remembered",
]

EVENTS_OF_STATE: dict[str, tuple[str, ...]] = {
    "placed": (),
    "on_hold": ("order_on_hold",),
    "allocated": (),
    "picking": ("order_picking",),
    "back_ordered": ("order_back_ordered",),
    "part_dispatched": ("order_part_dispatched", "tracking_added"),
    "dispatched": ("order_dispatched", "tracking_added"),
    "part_cancelled": ("order_part_cancelled",),
    "cancelled_by_customer": ("order_cancelled",),
    "cancelled_by_house": ("order_cancelled",),
    "part_refunded": ("order_part_refunded",),
    "refunded": ("order_refunded",),
    "exchanged": ("order_part_refunded", "order_refunded"),
    "unmapped": (),
}
"""The events of coming to a state; ``order_hold_released`` and ``back_order_released`` are those of leaving one."""


@dataclass(frozen=True)
class Events:
    """``told``: events to be queued, in the order in which they happened within each order:

    - ``record_id``: 32 hex characters that follow from order number, kind of event and the key of its parcel,
      return, line or hold: the same in every process. The two dispatch types are one kind, and the two refund types
    - ``event_type``, ``order`` (its number), ``timestamp`` (UTC, without offset), ``payload`` (JSON bytes), ``version``
    - ``held``: which unmapped code keeps it back, as ``hold_code ZZ``; blank where it may go
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
    reasons: Reasons,
    warehouses: Mapping[str, Warehouse],
    time_zone: str,
    goes: np.ndarray | None = None,
    types: Collection[str] = EVENT_TYPES,
    goods: pd.DataFrame | None = None,
) -> Events:
    """The events of some orders that are to be told, and those that are to be withdrawn.

    ``memory`` has the columns of ``MEMORY``: all events of these orders; ``changed_at`` (local time) and ``stores``
    (Ometria's) are per order; ``goes`` marks the orders that are not excluded; ``types`` are those that the retailer
    wants; ``goods`` has ``size`` and ``colour`` of each line as people read them (otherwise the bucket's number and
    the colour's code). An order that is unmapped, or of nobody whom Ometria could tell, has no new events.

    Times are those of the documents. ``Orders.lines`` may have the columns ``PK_at``, ``CC_at`` and ``CH_at``: the
    newest ``trans_date`` of these stages. What has no time of its own happened when the order last changed, or
    before the first parcel or refund that is told with it if it must have come first (ours).

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
    cancelled = np.isin(state, CANCELLED)
    speaks = (headers["customer"].to_numpy(dtype=object) != "") | (headers["email"].to_numpy(dtype=object) != "")
    speaks &= (state != "unmapped") & (headers["header_count"].to_numpy() > 0)
    if goes is not None:
        speaks &= goes
    facts = Facts(orders, life, told, changed_at.to_numpy(dtype="datetime64[us]"), speaks & ~cancelled)
    found = [facts.cancellations(speaks & cancelled), *facts.of_the_path()]
    names = Names(orders, reasons, warehouses, np.asarray(stores, dtype=object), goods)
    return Events(
        told=payloads([kind for kind in found if len(kind.frame)], names, types, time_zone),
        withdrawn=_withdrawn(told, facts, state, cancelled),
    )


def _withdrawn(told: Told, facts: Facts, state: np.ndarray, cancelled: np.ndarray) -> pd.DataFrame:
    """The waiting events that are no longer to be told. Those of an unmapped order wait on."""
    headers = facts.orders.headers
    numbers, there = headers["ord_num"].tolist(), headers["header_count"].to_numpy() > 0
    records = []
    for (at, record_id, event_type, _), stands in zip(told.waiting, facts.standing(), strict=True):
        if not there[at]:
            reason = "the order is gone"
        elif cancelled[at] and event_type != "order_cancelled":
            reason = "the order is cancelled"
        elif not cancelled[at] and state[at] != "unmapped" and not stands:
            reason = "it is no longer so"
        else:
            continue
        records.append((numbers[at], record_id, reason))
    return pd.DataFrame(records, columns=["order", "record_id", "reason"], dtype=object)
