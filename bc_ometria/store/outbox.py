"""One row per Ometria record: the payload that should be there, and what has been proved about it.

States: ``wanted`` (to be sent) → ``sent`` (accepted, not proved) → ``confirmed`` (read back and equal), or
``drift`` (read back and different, after its repair too); ``held`` (kept back with a reason) and ``excluded`` (never
goes, by the retailer's choice). ``accepted`` is what is not read back: an event, or a record outside the tenant's
sample. An event can also end as ``withdrawn`` (see ``order_events``). ``sent_version`` is what Ometria last accepted,
and empty where that is not known: while a call has no known outcome, and after one that had none.

``standing`` is what the guard of controlled flow watches: ``valid`` or ``invalid`` of an order, ``email:in sms:out``
of a contact (``in``, ``out`` or ``unknown``); ``sent_standing`` is that of what Ometria last accepted.

A contact with a new e-mail address goes in several payloads, one after the other (``mapping.addresses``). The first of
them is the row's version like any other; once it is proved the next one of ``following`` takes its place. ``address``
is a hash of the address in the payload, and ``addresses`` are those under which Ometria may know the contact.
"""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from math import ceil
from typing import Literal, NamedTuple

import pandas as pd
from sqlalchemy import Connection, Engine, text

from bc_ometria.store.copy import copy_in, temporary_like
from bc_ometria.store.lanes import LANES, RECORD_TYPES
from bc_ometria.store.parents import MAY_GO
from bc_ometria.store.schema import lane_stops, order_events, outbox, sales_orders, touched
from bc_ometria.store.unsubscribes import OPT_IN_MAY_GO

LEASE_SECONDS = 300.0
"""How long a claimed record is its claimer's alone."""

_LONGEST_WAIT_S = 900.0
"""Between two attempts to send a record (ours)."""

_FREE = "(o.leased_until IS NULL OR o.leased_until < now())"
_DUE = f"o.state = 'wanted' AND o.next_attempt <= now() AND o.payload IS NOT NULL AND {_FREE}"

_FLOWS = f"""NOT EXISTS (
    SELECT FROM {lane_stops.fullname} s
    WHERE s.ended_at IS NULL AND s.lane = l.lane AND s.record_type IN ('', t.record_type)
)"""
"""Whether nobody has stopped the lane ``l`` for the record type ``t``."""

_LOST = "o.state = 'wanted' AND o.in_flight_version IS NOT NULL AND o.leased_until < now()"
"""Who sent the record ``o`` died before the reply was written: Ometria may have it."""


def _in_motion(row: str) -> str:
    """Whether a contact is on its way to another address than one under which Ometria may know it."""
    return (
        f"{row}.record_type = 'contact' AND {row}.state IN ('wanted', 'sent') "
        f"AND {row}.addresses <> ARRAY[{row}.address]"
    )


_ADDRESS_IS_FREE = f"""(o.addresses IS NOT DISTINCT FROM ARRAY[o.address] OR NOT EXISTS (
    SELECT FROM {outbox.fullname} p WHERE {_in_motion("p")} AND p.record_id <> o.record_id
        AND p.address <> o.address AND o.address = ANY(p.addresses)
))"""
"""The contact ``o`` has its address at Ometria already, or nobody is about to give up the one that it is to get:
Ometria would take them for one person."""

_MAY_GO = f"""CASE o.record_type
    WHEN 'custom_event' THEN (o.in_flight_version IS NULL OR :resend_events) AND {MAY_GO}
    WHEN 'contact' THEN o.in_flight_version IS DISTINCT FROM o.wanted_version
        AND {OPT_IN_MAY_GO} AND {_ADDRESS_IS_FREE}
    ELSE o.in_flight_version IS DISTINCT FROM o.wanted_version
END"""
"""Of a version that was lost sight of, a look says first whether Ometria has it (``take_for_sent``); an event of which
a call was lost may have been told already (truth 3 of the design); and an opt-in may wait to be mapped again."""


_STANDING_IF_NOT_STORED = "CASE WHEN record_type = 'order' AND confirmed_at IS NOT NULL THEN 'valid' END"
"""The standing of what Ometria has, where it did not store what it was sent: of an order the one before, and that is
taken for revenue, so that a cancellation is not mistaken for less than it is (ours). Not known otherwise."""


@dataclass(frozen=True, slots=True)
class EventTerms:
    """On which terms a custom event may be claimed: minutes after which it no longer waits for Ometria to show its
    parents (``store.parents``), and whether one of which a call was lost goes again."""

    parents_wait_min: float = 30
    resend_unknown: bool = False

    @property
    def parameters(self) -> dict[str, object]:
        return {"parents_wait_min": self.parents_wait_min, "resend_events": self.resend_unknown}


@dataclass(frozen=True, slots=True)
class Claimed:
    """A record that this process alone may send until its lease ends."""

    record_id: str
    version: str
    payload: bytes
    attempts: int
    lease: datetime
    lane: str
    standing: str
    queued_at: datetime


@dataclass(frozen=True, slots=True)
class Batch:
    """Claimed records of one type, for one call, which is to begin before ``start_by`` (``time.monotonic``): a call,
    however slow, is then over before their lease."""

    record_type: str
    records: list[Claimed]
    start_by: float


@dataclass(frozen=True, slots=True)
class Sent:
    """A record that Ometria accepted and has not yet shown."""

    record_id: str
    version: str
    payload: bytes
    accepted_at: datetime


def put(
    connection: Connection, record_type: str, decided: pd.DataFrame, *, history_after_h: float = 48
) -> dict[str, int]:
    """Write what should be in Ometria; returns how many records now are in which state.

    ``decided`` has one row per record: ``record_id``, ``payload`` and ``version`` (missing where it is kept
    back), ``state`` (``wanted``, ``held`` or ``excluded``), ``reason``, ``changed_at`` (with offset), and
    ``standing``, ``address`` and ``following`` where there is one. A version that Ometria already has is not wanted
    again; a record that Ometria refused stays held until its version changes. Of several payloads the last one tells
    whether it did.

    The lane follows from what Ometria has: a new opt-out, an order that counts as revenue there and no longer here;
    else from its type, and from whether its change in Blue Cherry is older than ``history_after_h`` hours.
    """
    written = ["record_type", "record_id", "payload", "wanted_version", "state", "reason", "standing", "changed_at"]
    written += ["address", "following"]
    none = {"standing": "", "address": "", "following": ""}
    staged = pd.DataFrame({**none, **decided.rename(columns={"version": "wanted_version"})})
    staged["record_type"] = record_type
    temporary_like(connection, outbox, "decided", written)
    copy_in(connection, "decided", outbox, staged[written])
    names = ", ".join(written)
    rows = connection.execute(
        text(
            f"""
            WITH put AS (
            INSERT INTO {outbox.fullname} AS o ({names}, lane, next_attempt, seen_at)
            SELECT {", ".join(f"d.{name}" for name in written)}, {_LANE}, {_FIRST_ATTEMPT}, {_SEEN_AT}
            FROM decided d LEFT JOIN {outbox.fullname} known USING (record_type, record_id) ORDER BY d.record_id
            ON CONFLICT (record_type, record_id) DO UPDATE SET
                payload = excluded.payload,
                wanted_version = excluded.wanted_version,
                reason = excluded.reason,
                lane = excluded.lane,
                standing = excluded.standing,
                changed_at = excluded.changed_at, seen_at = excluded.seen_at,
                address = excluded.address, following = excluded.following,
                queued_at = now(), next_attempt = excluded.next_attempt, attempts = 0,
                state = CASE
                    WHEN excluded.state <> 'wanted' THEN excluded.state
                    WHEN o.in_flight_version IS NOT NULL OR o.sent_version IS DISTINCT FROM excluded.wanted_version
                        THEN 'wanted'
                    WHEN o.proved_version = o.sent_version THEN 'confirmed'
                    ELSE 'sent'
                END
            WHERE (excluded.state = 'wanted' AND {_last("o")} IS DISTINCT FROM {_last("excluded")})
                OR (excluded.state <> 'wanted'
                    AND (o.state, o.reason) IS DISTINCT FROM (excluded.state, excluded.reason))
            RETURNING state
            )
            SELECT state, count(*) AS records FROM put GROUP BY state
            """
        ),
        {"history_after_h": history_after_h},
    ).all()
    connection.exec_driver_sql("DROP TABLE decided")
    return {row.state: row.records for row in rows}


def _last(row: str) -> str:
    """The version that is to be there in the end."""
    return f"coalesce(CAST({row}.following AS jsonb) -> -1 ->> 'version', {row}.wanted_version)"


_IS_RECENT = "d.changed_at >= now() - make_interval(secs => 3600 * :history_after_h)"

_LANE = f"""CASE
    WHEN d.record_type = 'custom_event' THEN 'events'
    WHEN d.record_type = 'product' THEN 'products'
    WHEN d.record_type = 'contact' AND ({_IS_RECENT} OR known.sent_standing IS NOT NULL) AND EXISTS (
        SELECT FROM unnest(ARRAY['email\\:out', 'sms\\:out']) opt_out
        WHERE strpos(d.standing, opt_out) > 0 AND strpos(coalesce(known.sent_standing, ''), opt_out) = 0
    ) THEN 'opt_outs'
    WHEN d.record_type = 'order' AND known.sent_standing = 'valid' AND d.standing = 'invalid' THEN 'cancellations'
    WHEN {_IS_RECENT} THEN 'live'
    ELSE 'history'
END"""
"""The lane of the decided record ``d``, of which the outbox knew ``known``."""

_SEEN_AT = f"""coalesce(
    CASE d.record_type
        WHEN 'order' THEN (SELECT s.seen_at FROM {sales_orders.fullname} s WHERE s.ord_num = d.record_id)
        WHEN 'contact' THEN (
            SELECT t.seen_at FROM {touched.fullname} t WHERE t.kind = 'customer' AND t.key = d.record_id
        )
    END,
    now()
)"""
"""When the change that made this version came into the mirror; now, where a person has it mapped again."""

_FIRST_ATTEMPT = "CASE WHEN d.record_type = 'custom_event' THEN timestamptz 'infinity' ELSE now() END"
"""Events wait until they are released: their parents go first, and they keep a pace (``delivery.pace``)."""


def claim(
    engine: Engine,
    calls: int,
    *,
    size: int = 100,
    lanes: Sequence[str] = LANES,
    record_types: Sequence[str] = RECORD_TYPES,
    fill_wait: float = 0,
    terms: EventTerms = EventTerms(),
) -> list[Batch]:
    """Take the most urgent due records, for so many calls of up to ``size`` records; no other process gets them until
    the lease ends.

    Lane after lane, and within a lane parents before what refers to them. What is left of a call is filled with
    records of the same type from lower lanes. Records that would not fill a call are left for ``fill_wait`` seconds
    after they came: others use the turn better.
    """
    batches: list[Batch] = []
    start_by = time.monotonic() + LEASE_SECONDS / 2  # before the lease begins, whenever this process goes on
    with engine.begin() as connection:
        groups = _due(connection, calls * size, lanes, record_types, terms)
        of_type = Counter[str]()
        for group in groups:
            of_type[group.record_type] += group.records
        for at, group in enumerate(groups):
            is_full = of_type[group.record_type] >= size
            if len(batches) == calls or not (is_full or group.waited_s >= fill_wait):
                continue
            room = size * min(ceil(group.records / size), calls - len(batches))
            records: list[Claimed] = []
            for lane in (below.lane for below in groups[at:] if below.record_type == group.record_type):
                if len(records) < room:
                    records += _take(connection, lane, group.record_type, room - len(records), terms)
            batches += [
                Batch(group.record_type, records[begin : begin + size], start_by)
                for begin in range(0, len(records), size)
            ]
    return batches


def is_any_due(
    engine: Engine,
    lanes: Sequence[str] = LANES,
    record_types: Sequence[str] = RECORD_TYPES,
    terms: EventTerms = EventTerms(),
) -> bool:
    """Whether ``claim`` would find something now."""
    return longest_wait_s(engine, lanes, record_types, terms) is not None


def longest_wait_s(
    engine: Engine,
    lanes: Sequence[str] = LANES,
    record_types: Sequence[str] = RECORD_TYPES,
    terms: EventTerms = EventTerms(),
) -> float | None:
    """For how many seconds what is due longest has been due; None where nothing is."""
    with engine.connect() as connection:
        return max((group.waited_s for group in _due(connection, 1, lanes, record_types, terms)), default=None)


def is_any_event_ready(engine: Engine, terms: EventTerms = EventTerms()) -> bool:
    """Whether an event that was not released yet may go, or one that waits cannot enter a journey any more."""
    with engine.connect() as connection:
        return connection.execute(
            text(
                f"""
                SELECT EXISTS (
                    SELECT FROM {outbox.fullname} o JOIN {order_events.fullname} e USING (record_id)
                    WHERE o.state = 'wanted' AND o.record_type = 'custom_event' AND {_FREE}
                        AND (e.enters_until <= now() OR o.next_attempt = 'infinity' AND {MAY_GO})
                )
                """
            ),
            terms.parameters,
        ).scalar_one()


class _Due(NamedTuple):
    """Records of a lane and type that may be claimed, and seconds since the first of them became due."""

    lane: str
    record_type: str
    records: int
    waited_s: float


def _due(
    connection: Connection, limit: int, lanes: Sequence[str], record_types: Sequence[str], terms: EventTerms
) -> list[_Due]:
    """What is due of each lane and type, the most urgent first; records are counted up to ``limit``."""
    rows = connection.execute(
        text(
            f"""
            SELECT l.lane, t.record_type, d.records, d.waited_s
            FROM unnest(CAST(:lanes AS text[])) WITH ORDINALITY l (lane, rank)
            CROSS JOIN unnest(CAST(:record_types AS text[])) WITH ORDINALITY t (record_type, place)
            CROSS JOIN LATERAL (
                SELECT count(*) AS records, CAST(extract(epoch FROM now() - min(since)) AS double precision) AS waited_s
                FROM (
                    SELECT greatest(o.queued_at, o.next_attempt) AS since FROM {outbox.fullname} o
                    WHERE o.lane = l.lane AND o.record_type = t.record_type AND {_DUE} AND {_MAY_GO}
                    ORDER BY o.next_attempt, o.record_id LIMIT :limit
                ) first
            ) d
            WHERE d.records > 0 AND {_FLOWS}
            ORDER BY l.rank, t.place
            """
        ),
        {"lanes": list(lanes), "record_types": list(record_types), "limit": limit, **terms.parameters},
    )
    return [_Due(*row) for row in rows]


def _take(connection: Connection, lane: str, record_type: str, limit: int, terms: EventTerms) -> list[Claimed]:
    rows = connection.execute(
        text(
            f"""
            WITH due AS (
                SELECT o.record_id FROM {outbox.fullname} o
                WHERE o.lane = :lane AND o.record_type = :record_type AND {_DUE} AND {_MAY_GO}
                ORDER BY o.next_attempt, o.record_id LIMIT :limit FOR UPDATE OF o SKIP LOCKED
            )
            UPDATE {outbox.fullname} o SET
                leased_until = now() + make_interval(secs => :lease),
                in_flight_version = wanted_version, attempts = attempts + 1,
                addresses = CASE WHEN o.address IS NULL OR o.address = ANY(o.addresses) THEN o.addresses
                    ELSE array_append(o.addresses, o.address) END,
                sent_version = CASE WHEN in_flight_version IS NULL THEN sent_version END
            FROM due WHERE o.record_type = :record_type AND o.record_id = due.record_id
            RETURNING o.record_id, o.wanted_version, o.payload, o.attempts, o.leased_until, o.standing, o.queued_at
            """
        ),
        {"lane": lane, "record_type": record_type, "limit": limit, "lease": LEASE_SECONDS, **terms.parameters},
    )
    return [Claimed(row[0], row[1], row[2].encode(), row[3], row[4], lane, row[5], row[6]) for row in rows]


def take_for_sent(engine: Engine) -> int:
    """Take what its dead sender may have sent for sent, until a look says whether Ometria has it; how many records.

    Without that look a process that is killed would have all its calls under way sent twice. Events cannot be looked
    at: ``order_events.outcome_unknown``.
    """
    with engine.begin() as connection:
        return connection.execute(
            text(
                f"""
                WITH lost AS (
                    SELECT o.record_type, o.record_id FROM {outbox.fullname} o
                    WHERE {_LOST} AND o.record_type <> 'custom_event' AND o.in_flight_version = o.wanted_version
                    ORDER BY o.record_type, o.record_id FOR UPDATE OF o SKIP LOCKED
                )
                UPDATE {outbox.fullname} o SET state = 'sent', sent_version = in_flight_version, proved_version = NULL,
                    sent_standing = standing, in_flight_version = NULL, leased_until = NULL, request_id = '',
                    accepted_at = leased_until - make_interval(secs => :lease)
                FROM lost WHERE o.record_type = lost.record_type AND o.record_id = lost.record_id
                """
            ),
            {"lease": LEASE_SECONDS},
        ).rowcount


def is_any_lost(engine: Engine) -> bool:
    """Whether somebody died while sending a record."""
    with engine.connect() as connection:
        return connection.execute(text(f"SELECT EXISTS (SELECT FROM {outbox.fullname} o WHERE {_LOST})")).scalar_one()


def acknowledge(engine: Engine, record_type: str, records: Sequence[Claimed], request_id: str) -> None:
    """Write "sent" for exactly the versions that were sent; a record that changed meanwhile stays wanted."""
    _update(
        engine,
        record_type,
        records,
        "sent_version = in_flight_version, sent_standing = leased.standing, proved_version = NULL, "
        "in_flight_version = NULL, leased_until = NULL, request_id = :request_id, accepted_at = now(), "
        "state = CASE WHEN state = 'wanted' AND wanted_version = in_flight_version THEN 'sent' ELSE state END",
        request_id=request_id,
    )


def give_back(
    engine: Engine, record_type: str, records: Sequence[Claimed], *, arrived: bool, counts: bool = True
) -> None:
    """Put records back to be sent again.

    ``arrived`` says that Ometria may have them all the same: what it has is then not known. An attempt that
    ``counts`` makes each record wait for itself, twice as long as before and with jitter, so that they spread;
    otherwise the cause lay elsewhere, and it is due at once.
    """
    sent = "NULL" if arrived else "sent_version"
    wait = f"least(power(2, least(attempts, 12)), {_LONGEST_WAIT_S}) * (0.5 + random() / 2)"
    again = f"next_attempt = now() + make_interval(secs => {wait})" if counts else "attempts = attempts - 1"
    _update(
        engine, record_type, records, f"in_flight_version = NULL, sent_version = {sent}, leased_until = NULL, {again}"
    )


def reject(connection: Connection, record_type: str, record_id: str, request_id: str | None) -> bool:
    """Hold a record that Ometria refused, until its version changes; whether it was one that was sent so.

    What Ometria has of it then is not known, so a version that comes back later is sent again.
    """
    return bool(
        connection.execute(
            text(
                f"UPDATE {outbox.fullname} SET state = 'held', reason = 'rejected', sent_version = NULL, "
                f"sent_standing = {_STANDING_IF_NOT_STORED} "
                "WHERE record_type = :record_type AND record_id = :record_id "
                "AND state IN ('sent', 'drift', 'accepted') AND wanted_version = sent_version "
                "AND (CAST(:request_id AS text) IS NULL OR request_id = :request_id)"
            ),
            {"record_type": record_type, "record_id": record_id, "request_id": request_id},
        ).rowcount
    )


def unproved(
    engine: Engine,
    record_type: str,
    limit: int,
    *,
    lanes: Sequence[str] = LANES,
    min_age: float = 0,
    of: Sequence[str] | None = None,
    lost: bool = False,
) -> list[Sent]:
    """Accepted records that have not been read back, ``min_age`` seconds old; ``of`` names the ones meant. With
    ``lost`` those of which only a look can say whether they were (``take_for_sent``)."""
    with engine.connect() as connection:
        rows = connection.execute(
            text(
                f"SELECT record_id, sent_version, payload, accepted_at FROM {outbox.fullname} "
                "WHERE record_type = :record_type AND state = 'sent' AND lane = ANY(:lanes) "
                f"AND request_id {'=' if lost else 'IS DISTINCT FROM'} '' "
                f"{'AND record_id = ANY(:of) ' if of is not None else ''}"
                "AND accepted_at <= now() - make_interval(secs => :min_age) LIMIT :limit"
            ),
            {
                "record_type": record_type,
                "limit": limit,
                "lanes": list(lanes),
                "min_age": min_age,
                **({"of": of} if of is not None else {}),
            },
        )
        return [Sent(row[0], row[1], row[2].encode(), row[3]) for row in rows]


@dataclass(frozen=True, slots=True)
class Unproved:
    """Accepted records of a type that have not been read back: how many, and when they were accepted."""

    records: int
    oldest: datetime
    newest_age_s: float


def unproved_by_type(engine: Engine, lanes: Sequence[str] = LANES) -> dict[str, Unproved]:
    """What is accepted and not read back, by record type."""
    with engine.connect() as connection:
        rows = connection.execute(
            text(
                "SELECT record_type, count(*), min(accepted_at), "
                "CAST(extract(epoch FROM now() - max(accepted_at)) AS double precision) "
                f"FROM {outbox.fullname} WHERE state = 'sent' AND lane = ANY(:lanes) GROUP BY record_type"
            ),
            {"lanes": list(lanes)},
        )
        return {row[0]: Unproved(*row[1:]) for row in rows}


Outcome = Literal["confirmed", "accepted", "again", "repair", "drift"]

_NEXT = "CAST(following AS jsonb) -> 0 ->> "

_ARRIVED = f"""addresses = CASE WHEN address IS NULL THEN addresses ELSE ARRAY[address] END,
    payload = coalesce({_NEXT} 'payload', payload), wanted_version = coalesce({_NEXT} 'version', wanted_version),
    standing = coalesce({_NEXT} 'standing', standing), address = coalesce({_NEXT} 'address', address),
    attempts = CASE WHEN following IS NULL THEN attempts ELSE 0 END,
    following = CASE WHEN jsonb_array_length(CAST(following AS jsonb)) > 1
        THEN CAST(CAST(following AS jsonb) - 0 AS text) END"""
"""What is there is there under one address, and the next payload takes its turn."""

_OUTCOMES: dict[Outcome, str] = {
    "confirmed": f"""state = CASE WHEN following IS NULL THEN 'confirmed' ELSE 'wanted' END,
        proved_version = sent_version, confirmed_at = now(), {_ARRIVED}""",
    "accepted": f"state = CASE WHEN following IS NULL THEN 'accepted' ELSE 'wanted' END, {_ARRIVED}",
    "again": f"""state = 'wanted', sent_version = NULL, sent_standing = {_STANDING_IF_NOT_STORED},
        attempts = 0, next_attempt = now()""",
    "drift": "state = 'drift', proved_version = NULL",
    "repair": """proved_version = NULL,
        state = CASE WHEN repaired_version = wanted_version THEN 'drift' ELSE 'wanted' END,
        sent_version = CASE WHEN repaired_version = wanted_version THEN sent_version END,
        lane = 'repairs', repaired_version = wanted_version, attempts = 0, next_attempt = now()""",
}


def settle(connection: Connection, record_type: str, records: Sequence[Sent], outcome: Outcome) -> dict[str, str]:
    """Write the outcome of reading back for the versions that were compared; the new state of each record.

    ``again`` sends a record of which nobody knew whether it was sent. ``repair`` sends one again once, in the lane of
    repairs; where it was repaired before it ends as ``drift``.
    """
    rows = connection.execute(
        text(
            f"""
            WITH compared AS (
                SELECT o.record_id FROM {outbox.fullname} o
                JOIN unnest(CAST(:ids AS text[]), CAST(:versions AS text[])) AS d (record_id, version)
                USING (record_id)
                WHERE o.record_type = :record_type AND o.state = 'sent' AND o.sent_version = d.version
                ORDER BY o.record_id FOR UPDATE OF o
            )
            UPDATE {outbox.fullname} o SET {_OUTCOMES[outcome]}
            FROM compared WHERE o.record_type = :record_type AND o.record_id = compared.record_id
            RETURNING o.record_id, o.state
            """
        ),
        {
            "record_type": record_type,
            "ids": [record.record_id for record in records],
            "versions": [record.version for record in records],
        },
    )
    return {row.record_id: row.state for row in rows}


@dataclass(frozen=True, slots=True)
class Known:
    """What Ometria may know of a contact: hashes of its addresses, and what it last accepted about consent."""

    addresses: list[str]
    standing: str


def known_contacts(connection: Connection, customers: Sequence[str]) -> dict[str, Known]:
    """Those of these contacts that were ever sent. All of them stay as they are until the transaction ends."""
    rows = connection.execute(
        text(
            f"SELECT record_id, addresses, coalesce(sent_standing, '') FROM {outbox.fullname} "
            "WHERE record_type = 'contact' AND record_id = ANY(:ids) ORDER BY record_id FOR UPDATE"
        ),
        {"ids": list(customers)},
    )
    return {row[0]: Known(row[1], row[2]) for row in rows if row[1] is not None}


@dataclass(frozen=True, slots=True)
class Moving:
    """A contact that waits to go to another address; ``addresses`` are those under which Ometria may know it."""

    record_id: str
    version: str
    payload: str
    address: str
    addresses: list[str]


def moving(connection: Connection) -> list[Moving]:
    """The contacts that wait to go to another address, and are not under way."""
    rows = connection.execute(
        text(
            f"SELECT record_id, wanted_version, payload, address, addresses FROM {outbox.fullname} o "
            f"WHERE {_in_motion('o')} AND state = 'wanted' AND in_flight_version IS NULL AND payload IS NOT NULL "
            "ORDER BY record_id"
        )
    )
    return [Moving(*row) for row in rows]


def put_before(connection: Connection, contact: Moving, payload: bytes, version: str, address: str) -> None:
    """Have another payload go before that of a contact, unless it changed or went meanwhile."""
    now = "json_build_object('version', wanted_version, 'payload', payload, 'standing', standing, 'address', address)"
    connection.execute(
        text(
            f"UPDATE {outbox.fullname} SET payload = :payload, wanted_version = :version, address = :address, "
            f"following = CAST(jsonb_build_array({now}) || coalesce(CAST(following AS jsonb), '[]') AS text) "
            "WHERE record_type = 'contact' AND record_id = :id AND state = 'wanted' AND in_flight_version IS NULL "
            "AND wanted_version = :before"
        ),
        {
            "payload": payload.decode(),
            "version": version,
            "address": address,
            "id": contact.record_id,
            "before": contact.version,
        },
    )


def is_any_contact_kept_back(engine: Engine, lanes: Sequence[str] = LANES) -> bool:
    """Whether a contact would be due if its address were free, or its opt-in known to be the last word."""
    with engine.connect() as connection:
        return connection.execute(
            text(
                f"""
                SELECT EXISTS (
                    SELECT FROM {outbox.fullname} o JOIN unnest(CAST(:lanes AS text[])) l (lane) USING (lane)
                    CROSS JOIN (VALUES ('contact')) t (record_type)
                    WHERE o.record_type = 'contact' AND {_DUE} AND {_FLOWS}
                        AND NOT ({OPT_IN_MAY_GO} AND {_ADDRESS_IS_FREE})
                )
                """
            ),
            {"lanes": list(lanes)},
        ).scalar_one()


def expire_payloads(engine: Engine, days: float) -> int:
    """Forget the payloads of records that were settled, held or found to have drifted so many days ago; how many.
    Versions, request ids and outcomes stay."""
    with engine.begin() as connection:
        return connection.execute(
            text(
                f"UPDATE {outbox.fullname} SET payload = NULL WHERE payload IS NOT NULL "
                "AND state NOT IN ('wanted', 'sent') "
                "AND greatest(queued_at, accepted_at, confirmed_at) < now() - make_interval(secs => 86400 * :days)"
            ),
            {"days": days},
        ).rowcount


@dataclass(frozen=True)
class Record:
    """A row of the outbox: its state, the reason for it, its lane, and the version that should be in Ometria."""

    state: str
    reason: str
    lane: str
    version: str | None


def records(engine: Engine, record_type: str, record_ids: Sequence[str]) -> dict[str, Record]:
    """The named records, as far as the outbox has them."""
    with engine.connect() as connection:
        rows = connection.execute(
            text(
                f"SELECT record_id, state, reason, lane, wanted_version FROM {outbox.fullname} "
                "WHERE record_type = :type AND record_id = ANY(:ids)"
            ),
            {"type": record_type, "ids": list(record_ids)},
        )
        return {row.record_id: Record(row.state, row.reason, row.lane, row.wanted_version) for row in rows}


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


def _update(engine: Engine, record_type: str, records: Sequence[Claimed], changes: str, **values: object) -> None:
    """Change the rows of claimed records that are still leased to their claimer.

    Rows are locked in the order in which ``put`` locks them, or the two could wait for each other.
    """
    with engine.begin() as connection:
        connection.execute(
            text(
                f"""
                WITH leased AS (
                    SELECT o.record_id, d.standing FROM {outbox.fullname} o
                    JOIN unnest(
                        CAST(:ids AS text[]), CAST(:versions AS text[]), CAST(:leases AS timestamptz[]),
                        CAST(:standings AS text[])
                    ) AS d (record_id, version, lease, standing) USING (record_id)
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
                "ids": [record.record_id for record in records],
                "versions": [record.version for record in records],
                "leases": [record.lease for record in records],
                "standings": [record.standing for record in records],
                **values,
            },
        )
