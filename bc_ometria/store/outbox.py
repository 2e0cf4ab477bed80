"""One row per Ometria record: the payload that should be there, and what has been proved about it.

States: ``wanted`` (to be sent) → ``sent`` (accepted, not proved) → ``confirmed`` (read back and equal), or
``drift`` (read back and different); ``held`` (kept back with a reason) and ``excluded`` (never goes, by the
retailer's choice). An event ends as ``accepted`` or ``withdrawn`` (see ``order_events``). ``sent_version`` is what
Ometria last accepted, and empty where that is not known: while a call has no known outcome, and after one that had
none.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pandas as pd
from sqlalchemy import Connection, Engine, text

from bc_ometria.store.copy import copy_in, temporary_like
from bc_ometria.store.schema import order_events, outbox

LEASE_SECONDS = 300.0
"""How long a claimed record is its claimer's alone."""


_MAY_GO = f"""
    EXISTS (
        SELECT FROM {order_events.fullname} e WHERE e.record_id = o.record_id AND e.enters_until > now()
            AND EXISTS (SELECT FROM {outbox.fullname} p
                WHERE p.record_type = 'order' AND p.record_id = e.ord_num AND p.state = 'confirmed')
            AND (e.customer = '' OR EXISTS (SELECT FROM {outbox.fullname} p
                WHERE p.record_type = 'contact' AND p.record_id = e.customer AND p.state = 'confirmed'))
            AND NOT EXISTS (SELECT FROM {order_events.fullname} earlier JOIN {outbox.fullname} p
                ON p.record_type = 'custom_event' AND p.record_id = earlier.record_id
                WHERE earlier.ord_num = e.ord_num AND earlier.at < e.at AND p.state = 'wanted')
    )
"""
"""Whether the event ``o`` may go: its order and contact are confirmed, and every event before it has gone (P23)."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """A record that this process alone may send until its lease ends."""

    record_id: str
    version: str
    payload: bytes
    attempts: int
    lease: datetime


@dataclass(frozen=True, slots=True)
class Sent:
    """A record that Ometria accepted and has not yet shown."""

    record_id: str
    version: str
    payload: bytes
    accepted_at: datetime


def put(connection: Connection, record_type: str, decided: pd.DataFrame) -> dict[str, int]:
    """Write what should be in Ometria; returns how many records now are in which state.

    ``decided`` has one row per record: ``record_id``, ``payload`` and ``version`` (missing where it is kept
    back), ``state`` (``wanted``, ``held`` or ``excluded``), ``reason``, ``changed_at`` (with offset). A
    version that Ometria already has is not wanted again; a record that Ometria refused stays held until its
    version changes.
    """
    columns = ["record_type", "record_id", "payload", "wanted_version", "state", "reason", "changed_at"]
    staged = decided.rename(columns={"version": "wanted_version"}).assign(record_type=record_type)
    temporary_like(connection, outbox, "decided", columns)
    copy_in(connection, "decided", outbox, staged[columns])
    names = ", ".join(columns)
    rows = connection.exec_driver_sql(
        f"""
        WITH put AS (
        INSERT INTO {outbox.fullname} AS o ({names}) SELECT {names} FROM decided ORDER BY record_id
        ON CONFLICT (record_type, record_id) DO UPDATE SET
            payload = excluded.payload,
            wanted_version = excluded.wanted_version,
            reason = excluded.reason,
            changed_at = excluded.changed_at,
            queued_at = now(), next_attempt = now(), attempts = 0,
            state = CASE
                WHEN excluded.state <> 'wanted' THEN excluded.state
                WHEN o.in_flight_version IS NOT NULL OR o.sent_version IS DISTINCT FROM excluded.wanted_version
                    THEN 'wanted'
                WHEN o.proved_version = o.sent_version THEN 'confirmed'
                ELSE 'sent'
            END
        WHERE (excluded.state = 'wanted' AND o.wanted_version IS DISTINCT FROM excluded.wanted_version)
            OR (excluded.state <> 'wanted' AND (o.state, o.reason) IS DISTINCT FROM (excluded.state, excluded.reason))
        RETURNING state
        )
        SELECT state, count(*) AS records FROM put GROUP BY state
        """
    ).all()
    connection.exec_driver_sql("DROP TABLE decided")
    return {row.state: row.records for row in rows}


def claim(engine: Engine, record_type: str, limit: int) -> list[Claimed]:
    """Take the next due records for sending; no other process gets them until the lease ends."""
    with engine.begin() as connection:
        rows = connection.execute(
            text(
                f"""
                WITH due AS (
                    SELECT o.record_id FROM {outbox.fullname} o
                    WHERE o.record_type = :record_type AND o.state = 'wanted' AND o.next_attempt <= now()
                        AND (o.leased_until IS NULL OR o.leased_until < now())
                        AND (o.record_type <> 'custom_event' OR {_MAY_GO})
                    ORDER BY o.next_attempt, o.record_id LIMIT :limit FOR UPDATE OF o SKIP LOCKED
                )
                UPDATE {outbox.fullname} o SET
                    leased_until = now() + make_interval(secs => :lease),
                    in_flight_version = wanted_version, attempts = attempts + 1,
                    sent_version = CASE WHEN in_flight_version IS NULL THEN sent_version END
                FROM due WHERE o.record_type = :record_type AND o.record_id = due.record_id
                RETURNING o.record_id, o.wanted_version, o.payload, o.attempts, o.leased_until
                """
            ),
            {"record_type": record_type, "limit": limit, "lease": LEASE_SECONDS},
        )
        return [Claimed(row[0], row[1], row[2].encode(), row[3], row[4]) for row in rows]


def acknowledge(engine: Engine, record_type: str, batch: Sequence[Claimed], request_id: str) -> None:
    """Write "sent" for exactly the versions that were sent; a record that changed meanwhile stays wanted."""
    _update(
        engine,
        record_type,
        batch,
        "sent_version = in_flight_version, proved_version = NULL, in_flight_version = NULL, leased_until = NULL, "
        "request_id = :request_id, accepted_at = now(), "
        "state = CASE WHEN state = 'wanted' AND wanted_version = in_flight_version THEN 'sent' ELSE state END",
        request_id=request_id,
    )


def give_back(engine: Engine, record_type: str, batch: Sequence[Claimed], *, after: float, arrived: bool) -> None:
    """Put records back to be sent again in ``after`` seconds.

    ``arrived`` says that Ometria may have them all the same: what it has is then not known.
    """
    sent = "NULL" if arrived else "sent_version"
    _update(
        engine,
        record_type,
        batch,
        f"in_flight_version = NULL, sent_version = {sent}, leased_until = NULL, "
        "next_attempt = now() + make_interval(secs => :after)",
        after=after,
    )


def reject(connection: Connection, record_type: str, record_id: str, request_id: str | None) -> bool:
    """Hold a record that Ometria refused, until its version changes; whether it was one that was sent so.

    What Ometria has of it then is not known, so a version that comes back later is sent again.
    """
    return bool(
        connection.execute(
            text(
                f"UPDATE {outbox.fullname} SET state = 'held', reason = 'rejected', sent_version = NULL "
                "WHERE record_type = :record_type AND record_id = :record_id "
                "AND state IN ('sent', 'drift', 'accepted') AND wanted_version = sent_version "
                "AND (CAST(:request_id AS text) IS NULL OR request_id = :request_id)"
            ),
            {"record_type": record_type, "record_id": record_id, "request_id": request_id},
        ).rowcount
    )


def unproved(
    engine: Engine, record_type: str, limit: int, *, min_age: float = 0, of: Sequence[str] | None = None
) -> list[Sent]:
    """Accepted records that have not been read back, ``min_age`` seconds old; ``of`` names the ones meant."""
    with engine.connect() as connection:
        rows = connection.execute(
            text(
                f"SELECT record_id, sent_version, payload, accepted_at FROM {outbox.fullname} "
                "WHERE record_type = :record_type AND state = 'sent' "
                f"{'AND record_id = ANY(:of) ' if of is not None else ''}"
                "AND accepted_at <= now() - make_interval(secs => :min_age) LIMIT :limit"
            ),
            {
                "record_type": record_type,
                "limit": limit,
                "min_age": min_age,
                **({"of": of} if of is not None else {}),
            },
        )
        return [Sent(row[0], row[1], row[2].encode(), row[3]) for row in rows]


def count_unproved(engine: Engine, record_type: str) -> int:
    """How many records are accepted and not read back."""
    return _unproved_aggregate(engine, record_type, "count(*)")


def seconds_since_newest_unproved(engine: Engine, record_type: str) -> float:
    """How long ago the newest of them was accepted; infinite, where there is none."""
    age = "coalesce(extract(epoch FROM now() - max(accepted_at)), 'infinity')"
    return float(_unproved_aggregate(engine, record_type, age))


def oldest_unproved(engine: Engine, record_type: str) -> datetime:
    """When the oldest of them was accepted; now, where there is none."""
    return _unproved_aggregate(engine, record_type, "coalesce(min(accepted_at), now())")


def _unproved_aggregate(engine: Engine, record_type: str, aggregate: str) -> Any:
    with engine.connect() as connection:
        return connection.execute(
            text(f"SELECT {aggregate} FROM {outbox.fullname} WHERE record_type = :record_type AND state = 'sent'"),
            {"record_type": record_type},
        ).scalar_one()


def settle(engine: Engine, record_type: str, records: Sequence[Sent], state: str) -> None:
    """Write the outcome of reading back, ``confirmed`` or ``drift``, for the version that was compared."""
    proved = "sent_version" if state == "confirmed" else "NULL"
    with engine.begin() as connection:
        connection.execute(
            text(
                f"""
                WITH compared AS (
                    SELECT o.record_id FROM {outbox.fullname} o
                    JOIN unnest(CAST(:ids AS text[]), CAST(:versions AS text[])) AS d (record_id, version)
                    USING (record_id)
                    WHERE o.record_type = :record_type AND o.state = 'sent' AND o.sent_version = d.version
                    ORDER BY o.record_id FOR UPDATE OF o
                )
                UPDATE {outbox.fullname} o SET state = :state, proved_version = {proved},
                    confirmed_at = CASE WHEN :state = 'confirmed' THEN now() ELSE confirmed_at END
                FROM compared WHERE o.record_type = :record_type AND o.record_id = compared.record_id
                """
            ),
            {
                "state": state,
                "record_type": record_type,
                "ids": [record.record_id for record in records],
                "versions": [record.version for record in records],
            },
        )


def counts(engine: Engine) -> pd.DataFrame:
    """How many records of which type are in which state, for which reason: ``record_type``, ``state``,
    ``reason``, ``records``."""
    with engine.connect() as connection:
        rows = connection.execute(
            text(
                f"SELECT record_type, state, reason, count(*) AS records FROM {outbox.fullname} "
                "GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"
            )
        ).all()
    return pd.DataFrame([tuple(row) for row in rows], columns=["record_type", "state", "reason", "records"])


def is_anything_due(engine: Engine) -> bool:
    """Whether a record waits to be sent or read back now, or an event that waits cannot enter a journey any more."""
    with engine.connect() as connection:
        return connection.execute(
            text(
                f"""
                SELECT EXISTS (SELECT FROM {outbox.fullname} WHERE state = 'sent') OR EXISTS (
                    SELECT FROM {outbox.fullname} o WHERE o.state = 'wanted' AND o.next_attempt <= now()
                        AND (o.record_type <> 'custom_event' OR {_MAY_GO} OR EXISTS (
                            SELECT FROM {order_events.fullname} e
                            WHERE e.record_id = o.record_id AND e.enters_until <= now()))
                )
                """
            )
        ).scalar_one()


def _update(engine: Engine, record_type: str, batch: Sequence[Claimed], changes: str, **values: object) -> None:
    """Change the rows of a claimed batch that are still leased to its claimer.

    Rows are locked in the order in which ``put`` locks them, or the two could wait for each other.
    """
    with engine.begin() as connection:
        connection.execute(
            text(
                f"""
                WITH leased AS (
                    SELECT o.record_id FROM {outbox.fullname} o
                    JOIN unnest(
                        CAST(:ids AS text[]), CAST(:versions AS text[]), CAST(:leases AS timestamptz[])
                    ) AS d (record_id, version, lease) USING (record_id)
                    WHERE o.record_type = :record_type AND o.in_flight_version = d.version
                        AND o.leased_until = d.lease
                    ORDER BY o.record_id FOR UPDATE OF o
                )
                UPDATE {outbox.fullname} o SET {changes} FROM leased
                WHERE o.record_type = :record_type AND o.record_id = leased.record_id
                """
            ),
            {
                "record_type": record_type,
                "ids": [record.record_id for record in batch],
                "versions": [record.version for record in batch],
                "leases": [record.lease for record in batch],
                **values,
            },
        )
