"""A dry run against the destination: what the outbox would change in Ometria. Sends nothing and writes nothing."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime

import orjson
import pandas as pd
from sqlalchemy import Connection, Engine, text

from bc_ometria.delivery import pace
from bc_ometria.delivery.drain import Drain, drain, lanes
from bc_ometria.delivery.effect import Effect, Record, effect_of
from bc_ometria.ometria.client import OmetriaClient
from bc_ometria.ometria.errors import AccessRefused, OmetriaError
from bc_ometria.rules import Rules
from bc_ometria.store.lanes import RECORD_TYPES
from bc_ometria.store.schema import outbox

_CONNECTIONS = 4  # 4 reads a second (contracts/ometria.md) stay so when Ometria takes up to a second for each
_PENDING = ("wanted",)
_OF_A_DAY = ("wanted", "sent", "confirmed", "drift", "accepted")


@dataclass(frozen=True)
class RecordPlan:
    """What the records of one type would change.

    ``records``: all that are meant, ``waiting`` of which wait to be sent; ``without_payload`` of them cannot be
    compared, because their payload has expired. ``looked_up`` were compared with what Ometria has, and ``unreadable``
    could not be read. ``effect`` is that of all records with payload, extrapolated where fewer were looked up.
    ``kept_back``: how many records are held or excluded, by state and reason.
    """

    record_type: str
    records: int
    waiting: int
    without_payload: int
    looked_up: int
    unreadable: int
    effect: Effect
    kept_back: Mapping[tuple[str, str], int]

    @property
    def is_extrapolated(self) -> bool:
        return self.looked_up < self.records - self.without_payload


@dataclass(frozen=True)
class DeliveryPlan:
    """A dry run: the records of each type; ``events`` that would fire, as ``delivery.pace.Plan.by_type`` with how many
    are ``too_late``; and of all that waits, whatever was asked for, the ``lanes`` and what it takes to drain them."""

    records: tuple[RecordPlan, ...]
    events: pd.DataFrame
    lanes: pd.DataFrame
    drain: Drain


Span = tuple[datetime, datetime]
"""Begin and end of a time, with offset; the end is not in it."""


def plan(
    engine: Engine,
    ometria: OmetriaClient,
    rules: Rules,
    *,
    changed: Span | None = None,
    sample: int = 400,
    progress: Callable[[str, int, int], None] = lambda record_type, done, of: None,
) -> DeliveryPlan:
    """What all that waits in the outbox would change in Ometria; or, with ``changed``, the records that changed in Blue
    Cherry in that time, whatever their state.

    At most ``sample`` records of a type are read from Ometria, by id, and chosen by a hash of it, so that the next
    plan asks about the same. ``progress`` is told the record type, and how many of how many were read. Raises
    ``AccessRefused`` where Ometria refuses the key, and what the reading raises where not one record can be read.
    """
    meant = _OF_A_DAY if changed else _PENDING
    with engine.connect().execution_options(postgresql_readonly=True) as connection:
        counts = _counts(connection, changed)
        payloads = {
            each: _sample(connection, each, meant, changed, sample) for each in RECORD_TYPES if each != "custom_event"
        }
        of_events = _event_ids(connection, changed)
    records = []
    for record_type, chosen in payloads.items():
        of_type = counts[(counts["record_type"] == record_type) & counts["state"].isin([*meant, "held", "excluded"])]
        if of_type.empty:
            continue
        shown, unreadable = _look_up(ometria, rules, record_type, chosen, progress)
        records.append(_record_plan(record_type, of_type, shown, unreadable))
    waiting = lanes(engine)
    events = pace.planned(engine, rules.account)
    events = replace(events, events=events.events[events.events["record_id"].isin(of_events)])
    is_late = events.events["enters_until"] <= events.now
    too_late = is_late.groupby(events.events["event_type"]).sum()
    by_type = events.by_type
    return DeliveryPlan(
        tuple(records),
        by_type.assign(too_late=by_type["event_type"].map(too_late).astype("int64")),
        waiting,
        drain(
            {str(name): int(n) for name, n in waiting.groupby("record_type")["waiting"].sum().items()}, rules.account
        ),
    )


def _record_plan(
    record_type: str,
    counts: pd.DataFrame,
    shown: list[tuple[Record, Record | None]],
    unreadable: int,
) -> RecordPlan:
    is_kept_back = counts["state"].isin(["held", "excluded"])
    meant, kept_back = counts[~is_kept_back], counts[is_kept_back]
    records, with_payload = int(meant["records"].sum()), int(meant["payloads"].sum())
    return RecordPlan(
        record_type,
        records,
        int(meant.loc[meant["state"] == "wanted", "records"].sum()),
        records - with_payload,
        len(shown),
        unreadable,
        effect_of(shown).scaled(with_payload / len(shown)) if shown else Effect(),
        {(state, why): n for state, why, n in kept_back[["state", "reason", "records"]].itertuples(index=False)},
    )


def _look_up(
    ometria: OmetriaClient,
    rules: Rules,
    record_type: str,
    payloads: list[str],
    progress: Callable[[str, int, int], None],
) -> tuple[list[tuple[Record, Record | None]], int]:
    """Records with what Ometria shows of them, and how many could not be read."""

    def look_up(wanted: Record) -> tuple[Record, Record | None] | OmetriaError:
        try:
            return wanted, _shown(ometria, rules.account.collection, record_type, wanted["id"])
        except AccessRefused:
            raise
        except OmetriaError as error:
            return error

    found = []
    failed: list[OmetriaError] = []
    connections = ThreadPoolExecutor(_CONNECTIONS, thread_name_prefix="plan")
    try:
        progress(record_type, 0, len(payloads))
        for done, looked_up in enumerate(connections.map(look_up, map(orjson.loads, payloads)), 1):
            if isinstance(looked_up, OmetriaError):
                failed.append(looked_up)
            else:
                found.append(looked_up)
            progress(record_type, done, len(payloads))
    finally:
        connections.shutdown(cancel_futures=True)
    if failed and not found:
        raise failed[-1]
    return found, len(failed)


def _shown(ometria: OmetriaClient, collection: str, record_type: str, record_id: str) -> Record | None:
    match record_type:
        case "contact":
            return ometria.contact(collection, record_id)
        case "order":
            return ometria.order(record_id)
    return ometria.product(record_id)


_CHANGED = "AND o.changed_at >= :begin AND o.changed_at < :end"


def _counts(connection: Connection, changed: Span | None) -> pd.DataFrame:
    """``record_type``, ``state``, ``reason``, ``records``, and how many of them have ``payloads``."""
    rows = connection.execute(
        text(
            f"SELECT o.record_type, o.state, o.reason, count(*), count(o.payload) FROM {outbox.fullname} o "
            f"WHERE o.record_type <> 'custom_event' {_CHANGED if changed else ''} GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"
        ),
        _span(changed),
    ).all()
    return pd.DataFrame([tuple(row) for row in rows], columns=["record_type", "state", "reason", "records", "payloads"])


def _sample(
    connection: Connection, record_type: str, states: Sequence[str], changed: Span | None, size: int
) -> list[str]:
    return list(
        connection.execute(
            text(
                f"SELECT o.payload FROM {outbox.fullname} o WHERE o.record_type = :record_type "
                f"AND o.state = ANY(:states) AND o.payload IS NOT NULL {_CHANGED if changed else ''} "
                "ORDER BY md5(o.record_id) LIMIT :size"
            ),
            {
                "record_type": record_type,
                "states": list(states),
                "size": size,
                **_span(changed),
            },
        ).scalars()
    )


def _event_ids(connection: Connection, changed: Span | None) -> list[str]:
    return list(
        connection.execute(
            text(
                f"SELECT o.record_id FROM {outbox.fullname} o "
                f"WHERE o.record_type = 'custom_event' AND o.state = 'wanted' {_CHANGED if changed else ''}"
            ),
            _span(changed),
        ).scalars()
    )


def _span(changed: Span | None) -> dict[str, datetime]:
    return dict(zip(("begin", "end"), changed, strict=True)) if changed else {}
