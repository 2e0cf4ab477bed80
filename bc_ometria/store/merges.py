"""Customers that Blue Cherry merged into another one, and how far Ometria is with it.

States: ``wanted`` → ``asked`` (Ometria works on it, or may) → ``done``, or ``failed``, which is asked for again later.
A customer of whom Ometria never had a contact is ``done`` without being asked for.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import pandas as pd
from sqlalchemy import Column, Connection, Engine, Text, text

from bc_ometria.store.copy import copy_out, temporary_keys
from bc_ometria.store.schema import MIRROR, merges, outbox, touched

_CUSTOMERS = MIRROR["customers"].fullname


def related(engine: Engine, customers: Collection[str]) -> pd.DataFrame:
    """Those of these customers who were merged or merged into, and everybody whom that connects them with:
    ``customer``, ``merged_into``, ``erased_ok``; one row each."""
    columns = [Column(name, Text) for name in ("customer", "merged_into", "erased_ok")]
    with engine.begin() as connection:
        keys = temporary_keys(connection, customers)
        return copy_out(
            connection,
            f"""
            WITH RECURSIVE related (customer) AS (
                SELECT key FROM {keys}
                UNION
                SELECT n.customer FROM related r CROSS JOIN LATERAL (
                    SELECT m.merged_into AS customer FROM {_CUSTOMERS} m
                    WHERE m.customer = r.customer AND m.merged_into <> ''
                    UNION ALL
                    SELECT m.customer FROM {_CUSTOMERS} m WHERE m.merged_into = r.customer AND m.merged_into <> ''
                ) n
            )
            SELECT DISTINCT ON (c.customer) c.customer, c.merged_into, c.erased_ok
            FROM {_CUSTOMERS} c JOIN related USING (customer)
            WHERE c.merged_into <> '' OR EXISTS (
                SELECT FROM {_CUSTOMERS} m WHERE m.merged_into = c.customer AND m.merged_into <> ''
            )
            ORDER BY c.customer, c.last_mod DESC, c.pkey DESC
            """,
            columns,
        )


@dataclass(frozen=True)
class Changed:
    """``relinked``: customers whose orders are another one's now; ``taken_back``: those who are merged no more."""

    relinked: list[str]
    taken_back: list[str]


def note(connection: Connection, customers: Sequence[str], survivors: Mapping[str, str]) -> Changed:
    """Write who of these customers is merged into whom, and of everybody else in ``survivors``; what changed with that.

    The survivors of before and of now are touched where it changed, for a survivor's consent is the strictest of all.
    Of one who is merged no more, nothing is known to be in Ometria. To be called in the transaction that writes the
    contacts, before they are put: whom Ometria never had needs no merge there.
    """
    names = {"customers": [*{*customers, *survivors}], "merged": list(survivors), "survivors": [*survivors.values()]}
    connection.execute(
        text(
            f"""
            CREATE TEMP TABLE news ON COMMIT DROP AS
            SELECT customer, d.survivor, m.survivor AS before, m.state
            FROM unnest(CAST(:customers AS text[])) customer
            LEFT JOIN unnest(CAST(:merged AS text[]), CAST(:survivors AS text[])) AS d (merged, survivor)
                ON d.merged = customer
            LEFT JOIN {merges.fullname} m ON m.merged = customer
            WHERE d.survivor IS DISTINCT FROM m.survivor
            """
        ),
        names,
    )
    connection.execute(
        text(
            f"""
            INSERT INTO {merges.fullname} AS m (merged, survivor, state)
            SELECT n.customer, n.survivor, CASE WHEN EXISTS (
                SELECT FROM {outbox.fullname} o WHERE o.record_type = 'contact' AND o.record_id = n.customer
                    AND (o.addresses IS NOT NULL OR o.accepted_at IS NOT NULL OR o.in_flight_version IS NOT NULL)
            ) THEN 'wanted' ELSE 'done' END
            FROM news n WHERE n.survivor IS NOT NULL ORDER BY 1
            ON CONFLICT (merged) DO UPDATE SET survivor = excluded.survivor
            """
        )
    )
    connection.execute(
        text(f"DELETE FROM {merges.fullname} m USING news n WHERE m.merged = n.customer AND n.survivor IS NULL")
    )
    taken_back = "n.customer FROM news n WHERE n.survivor IS NULL AND n.state <> 'wanted'"
    connection.execute(text(_forget_what_is_there(taken_back)))
    connection.execute(
        text(
            f"""
            INSERT INTO {touched.fullname} (kind, key)
            SELECT DISTINCT 'customer', s FROM news n CROSS JOIN unnest(ARRAY[n.before, n.survivor]) s
            WHERE s IS NOT NULL AND s <> ALL(:customers) ORDER BY 2
            ON CONFLICT (kind, key) DO UPDATE SET at = DEFAULT, seen_at = now()
            """
        ),
        {"customers": list(customers)},
    )
    rows = connection.execute(text("SELECT customer, survivor IS NULL AS is_back FROM news ORDER BY 1")).all()
    connection.execute(text("DROP TABLE news"))
    return Changed([row.customer for row in rows], [row.customer for row in rows if row.is_back])


def _forget_what_is_there(customers: str) -> str:
    return (
        f"UPDATE {outbox.fullname} SET sent_version = NULL, proved_version = NULL, sent_standing = NULL, "
        f"addresses = NULL WHERE record_type = 'contact' AND record_id IN (SELECT {customers})"
    )


_READY = f"""
    SELECT m.merged, m.survivor FROM {merges.fullname} m
    JOIN {outbox.fullname} s ON s.record_type = 'contact' AND s.record_id = m.survivor
    LEFT JOIN {outbox.fullname} o ON o.record_type = 'contact' AND o.record_id = m.merged
    WHERE m.state IN ('wanted', 'failed') AND m.next_attempt <= now() AND s.state IN ('confirmed', 'accepted')
        AND (o.in_flight_version IS NULL OR o.leased_until < now())
        AND (o.proved_version = o.sent_version
            OR greatest(o.accepted_at, o.leased_until, m.wanted_at) < now() - make_interval(secs => :settles_in))
        AND NOT EXISTS (SELECT FROM {touched.fullname} t WHERE t.kind = 'customer' AND t.key IN (m.merged, m.survivor))
"""
"""Merges that Ometria can be asked for: it shows the survivor as it should be, and nothing of the merged contact is on
its way, or was accepted less than ``:settles_in`` seconds ago and not shown: it would come back after the merge."""


def is_any_due(engine: Engine, settles_in: float) -> bool:
    """Whether Ometria is to be asked for a merge, or looked at for one that it was asked for."""
    with engine.connect() as connection:
        return connection.execute(
            text(
                f"SELECT EXISTS ({_READY}) OR EXISTS "
                f"(SELECT FROM {merges.fullname} WHERE state = 'asked' AND next_attempt <= now())"
            ),
            {"settles_in": settles_in},
        ).scalar_one()


def is_any_ready(engine: Engine, settles_in: float) -> bool:
    """Whether Ometria is to be asked for a merge."""
    with engine.connect() as connection:
        return connection.execute(text(f"SELECT EXISTS ({_READY})"), {"settles_in": settles_in}).scalar_one()


@dataclass(frozen=True)
class Call:
    """Customers to merge into one survivor with one call."""

    survivor: str
    merged: list[str]


def begin_call(engine: Engine, at_most: int, settles_in: float) -> Call | None:
    """Take the merges of one survivor that has waited longest, and note that Ometria may have been asked for them.

    That stands before the call goes out: one whose reply is lost, or whose sender died, is looked for in Ometria
    before it is asked for again.
    """
    with engine.begin() as connection:
        rows = connection.execute(
            text(
                f"""
                WITH ready AS ({_READY}), chosen AS (
                    SELECT m.merged FROM {merges.fullname} m JOIN ready USING (merged)
                    WHERE m.survivor = (
                        SELECT r.survivor FROM ready r JOIN {merges.fullname} f USING (merged)
                        ORDER BY f.wanted_at, f.merged LIMIT 1
                    )
                    ORDER BY m.wanted_at, m.merged LIMIT :at_most FOR UPDATE OF m SKIP LOCKED
                )
                UPDATE {merges.fullname} m SET state = 'asked', asked_at = now(), job_id = NULL, calls = m.calls + 1,
                    next_attempt = now()
                FROM chosen WHERE m.merged = chosen.merged AND m.state IN ('wanted', 'failed')
                RETURNING m.survivor, m.merged
                """
            ),
            {"settles_in": settles_in, "at_most": at_most},
        ).all()
    return Call(rows[0].survivor, sorted(row.merged for row in rows)) if rows else None


def note_job(engine: Engine, merged: Sequence[str], job_id: str) -> None:
    """Ometria works on these merges."""
    _write(engine, merged, "job_id = :job_id", job_id=job_id)


def ask_again(engine: Engine, merged: Sequence[str], after_s: float) -> None:
    """Ometria was surely not asked for these, or has not done what it was asked for."""
    _write(engine, merged, f"state = 'wanted', job_id = NULL, {_LATER}", after_s=after_s)


def look_again(engine: Engine, merged: Sequence[str], after_s: float) -> None:
    """Ometria has not merged these yet."""
    _write(engine, merged, _LATER, after_s=after_s)


def fail(connection: Connection, merged: Sequence[str], after_s: float) -> None:
    """Ometria will not merge these; it is asked again after so many seconds."""
    _change(connection, merged, f"state = 'failed', job_id = NULL, {_LATER}", after_s=after_s)


def finish(connection: Connection, merged: Sequence[str]) -> None:
    """Ometria has the contacts of these customers no more."""
    _change(connection, merged, "state = 'done', settled_at = now()")
    connection.execute(text(_forget_what_is_there("unnest(CAST(:merged AS text[]))")), {"merged": list(merged)})


_LATER = "next_attempt = now() + make_interval(secs => :after_s)"


@dataclass(frozen=True)
class Asked:
    """A merge that Ometria was asked for; ``job_id`` is None where its reply was lost. ``asked_s`` seconds ago."""

    merged: str
    job_id: str | None
    asked_at: datetime
    asked_s: float


def asked(engine: Engine) -> list[Asked]:
    """The merges that it is time to look for."""
    with engine.connect() as connection:
        rows = connection.execute(
            text(
                "SELECT merged, job_id, asked_at, CAST(extract(epoch FROM now() - asked_at) AS double precision) "
                f"FROM {merges.fullname} WHERE state = 'asked' AND next_attempt <= now() ORDER BY asked_at, merged"
            )
        )
        return [Asked(*row) for row in rows]


@dataclass(frozen=True)
class Open:
    """How many merges are not done, by state, and for how many hours the longest has waited."""

    by_state: dict[str, int]
    longest_h: float


def open_now(engine: Engine) -> Open:
    with engine.connect() as connection:
        rows = connection.execute(
            text(
                "SELECT state, count(*) AS merges, "
                "CAST(max(extract(epoch FROM now() - wanted_at)) / 3600 AS double precision) AS hours "
                f"FROM {merges.fullname} WHERE state <> 'done' GROUP BY state ORDER BY state"
            )
        ).all()
    return Open({row.state: row.merges for row in rows}, max((row.hours for row in rows), default=0.0))


def _write(engine: Engine, merged: Sequence[str], changes: str, **values: object) -> None:
    with engine.begin() as connection:
        _change(connection, merged, changes, **values)


def _change(connection: Connection, merged: Sequence[str], changes: str, **values: object) -> None:
    """Change merges that were asked for; one that was taken back meanwhile is there no more."""
    connection.execute(
        text(f"UPDATE {merges.fullname} SET {changes} WHERE merged = ANY(:merged) AND state = 'asked'"),
        {"merged": list(merged), **values},
    )
