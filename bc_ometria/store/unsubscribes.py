"""Who opted out at Ometria, and which opt-ins wait until that is known (truth 5)."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from itertools import islice
from typing import NamedTuple

import pandas as pd
from sqlalchemy import Connection, Engine, text

from bc_ometria.store.copy import copy_in, temporary_like
from bc_ometria.store.schema import MIRROR, customer_unsubscribes, ometria_account, outbox, touched, unsubscribes

CHANNELS = ("email", "sms")

_BATCH = 10_000  # entries copied at once
_READING_LASTS_S = 1_200  # a little longer than from one reading on schedule to the next
_CUSTOMERS = MIRROR["customers"].fullname

_READ_AT = f"(SELECT unsubscribes_read_at FROM {ometria_account.fullname})"

_UNCHECKED = f"""
    SELECT DISTINCT t.key, t.seen_at FROM {touched.fullname} t JOIN {_CUSTOMERS} c ON c.customer = t.key
    WHERE t.kind = 'customer' AND t.seen_at > coalesce({_READ_AT}, '-infinity')
        AND c.consent_date IS NOT NULL AND 'Y' IN (c.email_ok, c.sms_ok) AND c.erased_ok <> 'Y'
"""
"""Customers who opt in, of whom a row changed since the unsubscribes were last read, and when that was seen."""

_OPT_IN_WAITS = f"""EXISTS (
    SELECT FROM {outbox.fullname} WHERE record_type = 'contact' AND state = 'wanted' AND strpos(standing, '\\:in') > 0
)"""
"""Whether a contact that opts in waits to be sent."""

OPT_IN_MAY_GO = f"""(strpos(o.standing, '\\:in') = 0 OR NOT EXISTS (
    SELECT FROM {ometria_account.fullname} WHERE unsubscribes_failed_at IS NOT NULL
) AND NOT EXISTS (
    SELECT FROM {touched.fullname} t WHERE t.kind = 'customer' AND t.key = o.record_id
))"""
"""Whether the contact ``o`` of the outbox opts in to nothing, or its opt-in is known to be the last word: the
unsubscribes could be read when they last should be, and nothing waits that may have it mapped otherwise."""


class Unsubscribe(NamedTuple):
    """An opt-out that a person made at Ometria: the address in any writing, one of ``CHANNELS``, and when."""

    email: str
    channel: str
    at: datetime


class Waiting(NamedTuple):
    """How many opt-ins wait for the unsubscribes to be read, the longest for how many seconds, and how many seconds ago
    they were last read; None where there is nothing to tell."""

    opt_ins: int
    longest_s: float | None
    read_s_ago: float | None


def newest(engine: Engine) -> datetime | None:
    """When the newest unsubscribe that is known was made. One that is stamped in the future does not count: it says
    nothing about how far they were read."""
    with engine.connect() as connection:
        return connection.execute(
            text(f"SELECT max(at) FROM {unsubscribes.fullname} WHERE at <= now()")
        ).scalar_one_or_none()


def put(engine: Engine, listed: Iterable[Unsubscribe]) -> int:
    """Write a whole reading, or nothing of it if it breaks off; how many opt-outs are new or newer than known.

    The customers who have such an address are touched, so that they are mapped again.
    """
    with engine.begin() as connection:
        temporary_like(connection, unsubscribes, "listed", Unsubscribe._fields)
        # Read while the transaction is open, which keeps nobody waiting yet: the first reading may be a long one.
        entries = iter(listed)
        while batch := list(islice(entries, _BATCH)):
            copy_in(connection, "listed", unsubscribes, pd.DataFrame(batch))
        connection.execute(text("SELECT pg_advisory_xact_lock(hashtext(:table))"), {"table": unsubscribes.fullname})
        connection.exec_driver_sql(
            f"""
            CREATE TEMP TABLE news ON COMMIT DROP AS
            WITH put AS (
                INSERT INTO {unsubscribes.fullname} AS u (email, channel, at)
                SELECT lower(btrim(email)), channel, max(at) FROM listed GROUP BY 1, 2 ORDER BY 1, 2
                ON CONFLICT (email, channel) DO UPDATE SET at = excluded.at WHERE u.at < excluded.at
                RETURNING *
            )
            SELECT * FROM put
            """
        )
        connection.exec_driver_sql("ANALYZE news")
        connection.exec_driver_sql(
            f"""
            WITH noted AS ({_noted("news")} RETURNING customer)
            INSERT INTO {touched.fullname} (kind, key) SELECT DISTINCT 'customer', customer FROM noted ORDER BY 2
            ON CONFLICT (kind, key) DO UPDATE SET at = DEFAULT, seen_at = now()
            """
        )
        connection.exec_driver_sql(
            f"""
            INSERT INTO {ometria_account.fullname} AS a (unsubscribes_read_at) VALUES (now())
            ON CONFLICT (only_row) DO UPDATE
                SET unsubscribes_read_at = greatest(a.unsubscribes_read_at, excluded.unsubscribes_read_at),
                    unsubscribes_failed_at = NULL
            """
        )
        return connection.exec_driver_sql("SELECT count(*) FROM news").scalar_one()


def is_reading_old(engine: Engine) -> bool:
    """Whether contacts that opt in wait to be sent, and somebody may have opted out since the unsubscribes were last
    read: after a rest of ours, before their schedule or ``live_sync`` comes to it. While they cannot be read no opt-in
    goes, and they need not be."""
    with engine.connect() as connection:
        return connection.execute(
            text(
                f"""
                SELECT {_OPT_IN_WAITS} AND NOT EXISTS (
                    SELECT FROM {ometria_account.fullname} WHERE unsubscribes_failed_at IS NOT NULL
                        OR unsubscribes_read_at > now() - make_interval(secs => :lasts)
                )
                """
            ),
            {"lasts": _READING_LASTS_S},
        ).scalar_one()


def note_failure(engine: Engine) -> None:
    """Remember that the unsubscribes could not be read: until they can, no opt-in goes (``OPT_IN_MAY_GO``)."""
    with engine.begin() as connection:
        connection.execute(
            text(
                f"INSERT INTO {ometria_account.fullname} (unsubscribes_failed_at) VALUES (now()) "
                "ON CONFLICT (only_row) DO UPDATE SET unsubscribes_failed_at = excluded.unsubscribes_failed_at"
            )
        )


def note_seen(connection: Connection, opt_outs: Iterable[tuple[str, str, datetime]]) -> None:
    """Remember opt-outs that Ometria shows in contacts of ours that opted in, and have these mapped again: customer,
    channel, and when at the latest."""
    for customer, channel, at in sorted(opt_outs):
        connection.execute(
            text(
                f"""
                WITH noted AS (
                    INSERT INTO {customer_unsubscribes.fullname} AS k (customer, channel, at)
                    VALUES (:customer, :channel, :at)
                    ON CONFLICT (customer, channel) DO UPDATE SET at = excluded.at WHERE k.at < excluded.at
                    RETURNING customer
                )
                INSERT INTO {touched.fullname} (kind, key) SELECT 'customer', customer FROM noted
                ON CONFLICT (kind, key) DO UPDATE SET at = DEFAULT, seen_at = now()
                """
            ),
            {"customer": customer, "channel": channel, "at": at},
        )


def of_customers(engine: Engine, customers: Sequence[str]) -> pd.DataFrame:
    """The opt-outs of these customers: ``customer``, ``channel`` and ``at`` (UTC), one row per customer and channel.

    A customer has those of the present address, and keeps those of the addresses that were theirs before.
    """
    with engine.begin() as connection:
        connection.execute(
            text(_noted(unsubscribes.fullname, "AND c.customer = ANY(:customers)")), {"customers": list(customers)}
        )
        rows = connection.execute(
            text(
                f"SELECT customer, channel, at FROM {customer_unsubscribes.fullname} WHERE customer = ANY(:customers)"
            ),
            {"customers": list(customers)},
        ).all()
    found = pd.DataFrame([tuple(row) for row in rows], columns=["customer", "channel", "at"])
    return found.assign(at=pd.to_datetime(found["at"], utc=True).astype("datetime64[us, UTC]"))


def unchecked(engine: Engine, customers: Collection[str]) -> set[str]:
    """Those of these customers who opt in, and whose change is newer than the last reading of the unsubscribes."""
    with engine.connect() as connection:
        rows = connection.execute(text(f"{_UNCHECKED} AND t.key = ANY(:customers)"), {"customers": list(customers)})
        return {row.key for row in rows}


def opting_out(engine: Engine, customers: Collection[str]) -> set[str]:
    """Those of these customers who opt out of e-mail or texts in Blue Cherry, which the outbox does not say yet."""
    with engine.connect() as connection:
        rows = connection.execute(
            text(
                f"""
                SELECT c.customer FROM {_CUSTOMERS} c
                LEFT JOIN {outbox.fullname} o ON o.record_type = 'contact' AND o.record_id = c.customer
                WHERE c.customer = ANY(:customers) AND (
                    c.email_ok = 'N' AND strpos(coalesce(o.standing, ''), 'email\\:out') = 0
                    OR c.sms_ok = 'N' AND strpos(coalesce(o.standing, ''), 'sms\\:out') = 0
                )
                """
            ),
            {"customers": list(customers)},
        )
        return {row.customer for row in rows}


def are_needed(engine: Engine) -> bool:
    """Whether an opt-in is to be mapped or waits to be sent."""
    with engine.connect() as connection:
        return connection.execute(text(f"SELECT EXISTS ({_UNCHECKED}) OR {_OPT_IN_WAITS}")).scalar_one()


def waiting(engine: Engine) -> Waiting:
    """What waits for the unsubscribes to be read."""
    with engine.connect() as connection:
        row = connection.execute(
            text(
                f"""
                SELECT count(*), CAST(extract(epoch FROM now() - min(seen_at)) AS double precision),
                    CAST(extract(epoch FROM now() - {_READ_AT}) AS double precision)
                FROM ({_UNCHECKED}) unchecked
                """
            )
        ).one()
    return Waiting(*row)


def overtake(connection: Connection, channel: str, customers: Collection[str]) -> None:
    """Note in the outbox that Ometria no longer has the opt-ins that it once took from these customers.

    Not to repeat one of them is no change of consent, and nothing for the guard of controlled flow to stop.
    """
    connection.execute(
        text(
            f"UPDATE {outbox.fullname} SET sent_standing = replace(sent_standing, :opted_in, :unknown) "
            "WHERE record_type = 'contact' AND record_id = ANY(:customers) AND strpos(sent_standing, :opted_in) > 0"
        ),
        {"opted_in": f"{channel}:in", "unknown": f"{channel}:unknown", "customers": list(customers)},
    )


def _noted(source: str, condition: str = "") -> str:
    """A statement that notes the opt-outs of ``source`` beside the customers who have these addresses now."""
    return f"""
        INSERT INTO {customer_unsubscribes.fullname} AS k (customer, channel, at)
        SELECT c.customer, u.channel, max(u.at) FROM {_CUSTOMERS} c JOIN {source} u ON u.email = lower(c.email)
        WHERE c.erased_ok <> 'Y' {condition} GROUP BY 1, 2 ORDER BY 1, 2
        ON CONFLICT (customer, channel) DO UPDATE SET at = excluded.at WHERE k.at < excluded.at
    """
