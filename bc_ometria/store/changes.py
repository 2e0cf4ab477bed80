"""Waiting records that would change in Ometria what the guard of controlled flow watches: whether an order counts as
revenue, and what a contact consents to (P6).

All queries go by the partial index ``outbox_changing``, so that they cost the same whatever else waits.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, Row, text

from bc_ometria.store.schema import outbox

_TO_JUDGE = """
    o.state = 'wanted' AND o.sent_standing IS NOT NULL AND o.approved_version IS DISTINCT FROM o.wanted_version
"""
"""The record ``o`` waits, Ometria has it, and its newest version has not been let go yet."""

_CHANGES = """CASE o.record_type
    WHEN 'order' THEN o.sent_standing = 'valid' AND o.standing = 'invalid'
    WHEN 'contact' THEN o.sent_standing <> o.standing
    ELSE false
END"""

_KEY = "lane, record_type, standing, sent_standing"


class Change(NamedTuple):
    """A lane's waiting records of a type with one standing here and another one in Ometria."""

    lane: str
    record_type: str
    standing: str
    sent_standing: str


class InLane(NamedTuple):
    """How many records of a lane change, when the newest of them was queued, and when they were counted."""

    name: str
    records: int
    newest: datetime
    counted_at: datetime


def waiting(connection: Connection) -> list[Change]:
    """Every change of which at least one record is to be judged."""
    # Jumps from one key of the index to the next, of which there are few, instead of reading all records.
    rows = connection.execute(
        text(
            f"""
            WITH RECURSIVE key AS (
                (SELECT {_KEY} FROM {outbox.fullname} o WHERE {_TO_JUDGE} ORDER BY {_KEY} LIMIT 1)
                UNION ALL
                SELECT next.* FROM key CROSS JOIN LATERAL (
                    SELECT {_KEY} FROM {outbox.fullname} o
                    WHERE {_TO_JUDGE} AND ({_KEY}) > (key.lane, key.record_type, key.standing, key.sent_standing)
                    ORDER BY {_KEY} LIMIT 1
                ) next
            )
            SELECT {_KEY} FROM key o WHERE {_CHANGES}
            """
        )
    )
    return [Change(*row) for row in rows]


def count(connection: Connection, changes: Sequence[Change], limit: int | None = None) -> int:
    """How many records with these changes are to be judged; counts up to ``limit``."""
    return connection.execute(
        text(f"SELECT count(*) FROM (SELECT 1 {_of(limit)} LIMIT :limit) counted"), _arrays(changes, limit)
    ).scalar_one()


def by_lane(connection: Connection, changes: Sequence[Change]) -> list[InLane]:
    """The lanes in which records with these changes are to be judged."""
    query = f"SELECT c.lane, count(*), max(w.queued_at), now() {_of(None)} GROUP BY c.lane ORDER BY c.lane"
    return [InLane(*row) for row in connection.execute(text(query), _arrays(changes))]


def known(connection: Connection, record_type: str, lanes: Sequence[str], limit: int | None = None) -> int:
    """How many records of a type are to be judged at all, changing or not; counts up to ``limit``."""
    return connection.execute(
        text(
            f"SELECT count(*) FROM (SELECT 1 FROM {outbox.fullname} o WHERE {_TO_JUDGE} "
            "AND o.record_type = :record_type AND o.lane = ANY(:lanes) LIMIT :limit) counted"
        ),
        {"record_type": record_type, "lanes": list(lanes), "limit": limit},
    ).scalar_one()


def records(connection: Connection, changes: Sequence[Change], limit: int) -> list[Row]:
    """Some of the records with these changes: ``record_id``, ``payload``, ``standing`` and ``sent_standing``."""
    return list(
        connection.execute(
            text(f"SELECT w.record_id, w.payload, c.standing, c.sent_standing {_of(limit)} ORDER BY 1 LIMIT :limit"),
            _arrays(changes, limit),
        )
    )


def let_go(connection: Connection, record_type: str, lanes: Sequence[str], until: datetime | str) -> int:
    """Judge the changes that were queued ``until`` then no more, for as long as their records stay as they are; how
    many."""
    return connection.execute(
        text(
            f"""
            WITH meant AS (
                SELECT o.record_id FROM {outbox.fullname} o
                WHERE {_TO_JUDGE} AND {_CHANGES} AND o.record_type = :record_type AND o.lane = ANY(:lanes)
                    AND o.queued_at <= CAST(:until AS timestamptz)
                ORDER BY o.record_id FOR UPDATE
            )
            UPDATE {outbox.fullname} o SET approved_version = o.wanted_version FROM meant
            WHERE o.record_type = :record_type AND o.record_id = meant.record_id
            """
        ),
        {"record_type": record_type, "lanes": list(lanes), "until": until},
    ).rowcount


def _of(limit: int | None) -> str:
    """The changes ``c`` and their records ``w``; with a ``limit`` no more of each change than that."""
    return f"""
        FROM unnest(
            CAST(:lanes AS text[]), CAST(:types AS text[]), CAST(:standings AS text[]), CAST(:sent AS text[])
        ) AS c (lane, record_type, standing, sent_standing)
        CROSS JOIN LATERAL (
            SELECT o.record_id, o.payload, o.queued_at FROM {outbox.fullname} o
            WHERE {_TO_JUDGE} AND (o.lane, o.record_type, o.standing, o.sent_standing)
                = (c.lane, c.record_type, c.standing, c.sent_standing)
            {"LIMIT :limit" if limit is not None else ""}
        ) w
    """


def _arrays(changes: Sequence[Change], limit: int | None = None) -> dict[str, object]:
    return {
        "lanes": [change.lane for change in changes],
        "types": [change.record_type for change in changes],
        "standings": [change.standing for change in changes],
        "sent": [change.sent_standing for change in changes],
        "limit": limit,
    }
