"""Send again what the outbox holds, as for an account that lost it, or that refused what it would now take. A replay
fires no event again, releases nothing that is held for a reason of ours, and sends no older version: what goes is what
the outbox wants today."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import pandas as pd
from sqlalchemy import Connection, Engine, text

from bc_ometria.store.schema import MIRROR, outbox, sales_orders, touched

RECORD_TYPES = ("contact", "order")
"""What can be replayed."""

AGAIN, MAPPED_AGAIN = "again", "mapped again"

_COLUMNS = ["record_type", "state", "goes", "left_out", "records"]


class NotReplayable(ValueError):
    """Filters that no replay can follow; the text is for people."""


@dataclass(frozen=True)
class Filters:
    """Which records are meant; each narrows the choice, and at least one is needed.

    ``since`` and ``until``, with offset: when Ometria last accepted the record, from ``since`` to before ``until``.
    ``record_type``: ``contact`` or ``order``. ``division``: of the order or customer in Blue Cherry. Raises
    ``NotReplayable``.
    """

    since: datetime | None = None
    until: datetime | None = None
    record_type: str | None = None
    ids: Sequence[str] = ()
    division: str | None = None

    def __post_init__(self) -> None:
        if not (self.since or self.until or self.record_type or self.ids or self.division):
            raise NotReplayable("A replay of everything is not meant: give a time, a record type, an id or a division.")
        if self.record_type == "custom_event":
            raise NotReplayable(
                "Custom events are not replayed: an event is sent at most once, or a person would be told twice."
            )
        if self.record_type not in (None, *RECORD_TYPES):
            raise NotReplayable(f"A record type is {' or '.join(RECORD_TYPES)}, not {self.record_type}.")
        if self.since and self.until and self.since >= self.until:
            raise NotReplayable("The beginning of the time lies after its end.")


@dataclass(frozen=True)
class Selection:
    """What a replay would do: ``counts`` has the columns ``record_type``, ``state`` (now), ``goes`` (``again``,
    ``mapped again`` where the payload has expired, or blank), ``left_out`` (why, or blank) and ``records``."""

    counts: pd.DataFrame

    @property
    def going(self) -> dict[str, int]:
        """How many records of each type go."""
        of_type = self.counts[self.counts["goes"] != ""].groupby("record_type")["records"].sum()
        return {str(name): int(number) for name, number in of_type.items()}


def select(engine: Engine, filters: Filters) -> Selection:
    """What a replay would do; changes nothing. Raises ``NotReplayable`` for an id that the outbox does not know."""
    with engine.connect() as connection:
        _require_known(connection, filters)
        rows = connection.execute(
            text(
                f"SELECT o.record_type, o.state, {_GOES} AS goes, {_LEFT_OUT} AS left_out, count(*) AS records "
                f"FROM {outbox.fullname} o WHERE {_meant(filters)} GROUP BY 1, 2, 3, 4 ORDER BY 1, 3 DESC, 2, 4"
            ),
            _values(filters),
        ).all()
    return Selection(pd.DataFrame([tuple(row) for row in rows], columns=_COLUMNS))


def replay(engine: Engine, filters: Filters) -> dict[str, int]:
    """Have the chosen records sent again, in the lane of repairs; how many go ``again``, and how many are
    ``mapped again``. Raises ``NotReplayable`` as ``select``.

    What waits, is under way or excluded, or held for another reason than that Ometria refused it, stays as it is. A
    record whose payload has expired is mapped again by the next run; until then it is wanted, and no delivery can claim
    it.
    """
    with engine.begin() as connection:
        _require_known(connection, filters)
        rows = connection.execute(
            text(
                f"""
                WITH chosen AS (
                    SELECT o.record_type, o.record_id FROM {outbox.fullname} o
                    WHERE {_meant(filters)} AND {_GOES} <> '' ORDER BY 1, 2 FOR UPDATE OF o
                ), replayed AS (
                    UPDATE {outbox.fullname} o SET
                        state = 'wanted', reason = '', lane = 'repairs', attempts = 0, next_attempt = now(),
                        sent_version = NULL, proved_version = NULL,
                        wanted_version = CASE WHEN o.payload IS NOT NULL THEN o.wanted_version END
                    FROM chosen c WHERE o.record_type = c.record_type AND o.record_id = c.record_id
                    RETURNING o.record_type, o.record_id, o.payload IS NULL AS has_expired
                ), orders AS (
                    UPDATE {sales_orders.fullname} s SET mapped_version = NULL
                    FROM replayed r WHERE r.has_expired AND r.record_type = 'order' AND s.ord_num = r.record_id
                ), customers AS (
                    INSERT INTO {touched.fullname} (kind, key)
                    SELECT 'customer', record_id FROM replayed WHERE has_expired AND record_type = 'contact' ORDER BY 2
                    ON CONFLICT (kind, key) DO UPDATE SET at = DEFAULT, seen_at = now()
                )
                SELECT CASE WHEN has_expired THEN '{MAPPED_AGAIN}' ELSE '{AGAIN}' END AS goes, count(*) AS records
                FROM replayed GROUP BY 1
                """
            ),
            _values(filters),
        ).all()
    return {row.goes: row.records for row in rows}


_CAN_BE_MAPPED = f"""CASE o.record_type
    WHEN 'order' THEN EXISTS (SELECT FROM {sales_orders.fullname} s WHERE s.ord_num = o.record_id)
    WHEN 'contact' THEN EXISTS (SELECT FROM {MIRROR["customers"].fullname} c WHERE c.customer = o.record_id)
END"""

_LEFT_OUT = f"""CASE
    WHEN o.in_flight_version IS NOT NULL AND o.leased_until >= now() THEN 'is on its way'
    WHEN o.state = 'wanted' THEN 'waits to be sent'
    WHEN o.state NOT IN ('sent', 'confirmed', 'drift', 'accepted') AND o.reason <> 'rejected'
        THEN o.state || ': ' || o.reason
    WHEN o.payload IS NULL AND NOT {_CAN_BE_MAPPED} THEN 'its payload has expired, and Blue Cherry has it no more'
    ELSE ''
END"""
"""Why a replay leaves the record ``o`` as it is; blank where it goes."""

_GOES = f"""CASE
    WHEN {_LEFT_OUT} <> '' THEN '' WHEN o.payload IS NULL THEN '{MAPPED_AGAIN}' ELSE '{AGAIN}'
END"""

_OF_DIVISION = f"""CASE o.record_type
    WHEN 'order' THEN EXISTS (
        SELECT FROM {MIRROR["orders"].fullname} b WHERE b.ord_num = o.record_id AND b.division = :division
    )
    WHEN 'contact' THEN EXISTS (
        SELECT FROM {MIRROR["customers"].fullname} b WHERE b.customer = o.record_id AND b.division = :division
    )
END"""


def _meant(filters: Filters) -> str:
    conditions = ["o.record_type = ANY(:record_types)"]
    if filters.since:
        conditions.append("o.accepted_at >= :since")
    if filters.until:
        conditions.append("o.accepted_at < :until")
    if filters.ids:
        conditions.append("o.record_id = ANY(:ids)")
    if filters.division:
        conditions.append(_OF_DIVISION)
    return " AND ".join(conditions)


def _values(filters: Filters) -> dict[str, object]:
    return {
        "record_types": [filters.record_type] if filters.record_type else list(RECORD_TYPES),
        "since": filters.since,
        "until": filters.until,
        "ids": list(filters.ids),
        "division": filters.division,
    }


def _require_known(connection: Connection, filters: Filters) -> None:
    if not filters.ids:
        return
    rows = connection.execute(
        text(f"SELECT record_id, record_type FROM {outbox.fullname} WHERE record_id = ANY(:ids)"),
        {"ids": list(filters.ids)},
    ).all()
    wanted = (filters.record_type,) if filters.record_type else RECORD_TYPES
    known = {row.record_id for row in rows if row.record_type in wanted}
    events = {row.record_id for row in rows if row.record_type == "custom_event"} - known
    if events:
        raise NotReplayable(
            f"{', '.join(sorted(events))}: a custom event is not replayed. It is sent at most once, or a person would "
            "be told twice."
        )
    if unknown := set(filters.ids) - known:
        raise NotReplayable(f"The outbox knows no {' and no '.join(wanted)} with the id {', '.join(sorted(unknown))}.")
