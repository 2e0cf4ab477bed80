"""The custom events of orders: what each tells, and what it waits for. Their payloads are records of the outbox.

An event that Ometria took is ``accepted`` and not confirmed, because Ometria shows no events. One that is no longer
true before it was sent is ``withdrawn``.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd
from sqlalchemy import Column, Connection, Engine, Row, Text, text

from bc_ometria.store import outbox
from bc_ometria.store.copy import copy_in, copy_out, temporary_keys, temporary_like
from bc_ometria.store.parents import is_shown, is_there
from bc_ometria.store.schema import MIRROR, SCHEMA, exceptions, order_events, sales_orders

RECORD_TYPE = "custom_event"

_COLUMNS = ["record_id", "ord_num", "customer", "event_type", "covers", "happened_at", "enters_until"]
_OUTBOX = f"{SCHEMA}.outbox"

OUTCOME_UNKNOWN = "event_outcome_unknown"
"""The reason for which an event is held of which no reply came."""

_NOT_UNDER_WAY = "o.in_flight_version IS NULL"
"""Nobody is sending the record ``o``, or was when it died: Ometria cannot have it."""

_KEPT_BACK = (
    "('unmapped_status', 'unmapped_reason', 'unknown_division', 'unknown_warehouse', 'invalid_field', "
    "'record_too_large')"
)
"""Reasons of mapping for which an event is held: the next mapping of its order decides anew."""


def memory(engine: Engine, order_numbers: Iterable[str]) -> pd.DataFrame:
    """All events of the named orders, as ``mapping.events`` takes them: ``order``, ``record_id``, ``event_type``,
    ``state`` and ``covers``."""
    columns = [Column(name, Text) for name in ("order", "record_id", "event_type", "state", "covers")]
    with engine.begin() as connection:
        keys = temporary_keys(connection, order_numbers)
        return copy_out(
            connection,
            f"""
            SELECT e.ord_num, e.record_id, e.event_type, CASE
                WHEN o.state = 'wanted' AND {_NOT_UNDER_WAY} THEN 'waiting'
                WHEN o.state = 'withdrawn' THEN 'withdrawn'
                WHEN o.state = 'held' AND o.reason IN {_KEPT_BACK} THEN 'held'
                ELSE 'sent' END, e.covers
            FROM {order_events.fullname} e JOIN {keys} k ON e.ord_num = k.key
            JOIN {_OUTBOX} o ON o.record_type = '{RECORD_TYPE}' AND o.record_id = e.record_id
            ORDER BY e.at
            """,
            columns,
        )


def put(
    connection: Connection, order_numbers: Iterable[str], told: pd.DataFrame, withdrawn: pd.DataFrame, cliff_min: float
) -> dict[str, int]:
    """Write what mapping says of the events of some orders; returns how many events came to which state.

    ``told``, in the order in which they happened: ``record_id``, ``ord_num``, ``customer`` (blank for a guest),
    ``event_type``, ``covers``, ``happened_at`` (with offset), and ``payload``, ``version``, ``state``, ``reason``,
    ``changed_at`` as ``outbox.put`` takes them. ``withdrawn``: ``record_id`` and ``reason`` of events that wait and are
    no longer true. An event that was held and is not told again is withdrawn too. ``cliff_min``: minutes for which an
    event can enter a journey. To be called in the transaction that writes the orders.
    """
    staged = told.assign(enters_until=told["happened_at"] + pd.Timedelta(minutes=cliff_min))
    names = ", ".join(_COLUMNS)
    changes = ", ".join(f"{name} = excluded.{name}" for name in _COLUMNS[1:])
    temporary_like(connection, order_events, "told", _COLUMNS)
    copy_in(connection, "told", order_events, staged[_COLUMNS])
    connection.exec_driver_sql(
        f"INSERT INTO {order_events.fullname} ({names}) SELECT {names} FROM told ORDER BY ctid "
        f"ON CONFLICT (record_id) DO UPDATE SET {changes}, at = DEFAULT"
    )
    states = outbox.put(connection, RECORD_TYPE, told)
    no_longer_so = connection.execute(
        text(
            f"""
            UPDATE {_OUTBOX} o SET state = 'withdrawn', payload = NULL, wanted_version = NULL,
                reason = coalesce(w.reason, 'it is no longer so')
            FROM {order_events.fullname} e
            LEFT JOIN unnest(CAST(:ids AS text[]), CAST(:reasons AS text[])) AS w (record_id, reason) USING (record_id)
            WHERE o.record_type = '{RECORD_TYPE}' AND o.record_id = e.record_id AND e.ord_num = ANY(:order_numbers)
                AND (w.record_id IS NOT NULL AND o.state = 'wanted' AND {_NOT_UNDER_WAY}
                    OR o.state = 'held' AND o.reason IN {_KEPT_BACK}
                        AND NOT EXISTS (SELECT FROM told WHERE told.record_id = o.record_id))
            """
        ),
        {
            "ids": withdrawn["record_id"].tolist(),
            "reasons": withdrawn["reason"].tolist(),
            "order_numbers": list(order_numbers),
        },
    ).rowcount
    return states | ({"withdrawn": no_longer_so} if no_longer_so else {})


def forget_waiting(connection: Connection, customers: Sequence[str]) -> None:
    """Forget the events that wait of these customers' orders, as if they had not been told: their orders are another
    one's now, and the next mapping tells them again under the same ids."""
    connection.execute(
        text(
            f"""
            WITH forgotten AS (
                DELETE FROM {_OUTBOX} o USING {order_events.fullname} e, {sales_orders.fullname} s
                WHERE o.record_type = '{RECORD_TYPE}' AND o.record_id = e.record_id AND e.ord_num = s.ord_num
                    AND s.customer = ANY(:customers) AND o.state = 'wanted' AND {_NOT_UNDER_WAY}
                RETURNING o.record_id
            )
            DELETE FROM {order_events.fullname} e USING forgotten f WHERE e.record_id = f.record_id
            """
        ),
        {"customers": list(customers)},
    )


def waiting(connection: Connection, parents_wait_min: float) -> pd.DataFrame:
    """The events that wait to be sent, without those that were history before anybody looked (``lapse``).

    Columns: ``record_id``, ``event_type``, ``happened_at`` and ``enters_until`` (with offset); ``next_attempt``,
    missing while the event is not released; ``is_tried``: it is under way, or was and goes again; ``waits_for``:
    ``order``, ``held order``, ``contact``, ``held contact`` or ``earlier event``, blank where no parent keeps it;
    ``note``: what is to be remembered of one that goes although Ometria does not show its parents; ``noted``: what is
    remembered of it now.
    """
    columns = ["record_id", "event_type", "happened_at", "enters_until", "next_attempt", "is_tried"]
    columns += ["waits_for", "note", "noted"]
    rows = connection.execute(
        text(
            f"""
            SELECT o.record_id, e.event_type, e.happened_at, e.enters_until, nullif(o.next_attempt, 'infinity'),
                o.attempts > 0 OR o.in_flight_version IS NOT NULL,
                CASE
                    WHEN p.state = 'held' THEN 'held order'
                    WHEN {is_there("p")} IS NOT TRUE THEN 'order'
                    WHEN c.state = 'held' THEN 'held contact'
                    WHEN e.customer <> '' AND {is_there("c")} IS NOT TRUE THEN 'contact'
                    WHEN row_number() OVER (PARTITION BY e.ord_num ORDER BY e.at) > 1 THEN 'earlier event'
                    ELSE ''
                END,
                CASE
                    WHEN {is_shown("p")} IS NOT TRUE THEN 'went before Ometria showed its order'
                    WHEN e.customer <> '' AND {is_shown("c")} IS NOT TRUE THEN 'went before Ometria showed its contact'
                    ELSE ''
                END,
                o.reason
            FROM {_OUTBOX} o JOIN {order_events.fullname} e USING (record_id)
            LEFT JOIN {_OUTBOX} p ON p.record_type = 'order' AND p.record_id = e.ord_num
            LEFT JOIN {_OUTBOX} c ON c.record_type = 'contact' AND c.record_id = e.customer
            WHERE o.lane = 'events' AND o.record_type = '{RECORD_TYPE}' AND o.state = 'wanted'
                AND (e.enters_until > now() OR e.happened_at >= (SELECT l.at FROM {SCHEMA}.live_since l))
            """
        ),
        {"parents_wait_min": parents_wait_min},
    ).all()
    times = ["happened_at", "enters_until", "next_attempt"]
    return _frame(rows, columns).astype(dict.fromkeys(times, "datetime64[us, UTC]") | {"is_tried": bool})


def are_waiting(engine: Engine) -> bool:
    """Whether any event waits to be sent."""
    with engine.connect() as connection:
        return connection.exec_driver_sql(
            f"SELECT EXISTS (SELECT FROM {_OUTBOX} "
            f"WHERE lane = 'events' AND record_type = '{RECORD_TYPE}' AND state = 'wanted')"
        ).scalar_one()


def sent_lately(connection: Connection, minutes: float) -> pd.DataFrame:
    """How many events of each type may have started journeys in the last minutes: ``event_type``, ``events`` and
    ``newest``, when the last of them did.

    Those that were tried and wait to be tried again count, because they may go at any moment, and so do those of which
    no reply came.
    """
    rows = connection.execute(
        text(
            f"""
            SELECT e.event_type, count(*), max(s.at)
            FROM (
                SELECT record_id, accepted_at AS at FROM {_OUTBOX}
                WHERE record_type = '{RECORD_TYPE}' AND accepted_at > now() - make_interval(secs => 60 * :minutes)
                UNION ALL
                SELECT record_id, now() FROM {_OUTBOX}
                WHERE lane = 'events' AND record_type = '{RECORD_TYPE}' AND state = 'wanted'
                    AND (attempts > 0 OR in_flight_version IS NOT NULL)
                UNION ALL
                SELECT record_id, last_seen FROM {exceptions.fullname}
                WHERE record_type = '{RECORD_TYPE}' AND code = '{OUTCOME_UNKNOWN}' AND is_open
                    AND last_seen > now() - make_interval(secs => 60 * :minutes)
            ) s JOIN {order_events.fullname} e USING (record_id)
            GROUP BY 1
            """
        ),
        {"minutes": minutes},
    ).all()
    return _frame(rows, ["event_type", "events", "newest"]).astype({"newest": "datetime64[us, UTC]"})


def release(connection: Connection, planned: pd.DataFrame) -> None:
    """Let events go when they are planned to: ``record_id``, ``next_attempt`` (missing: not for now) and ``reason``.

    One that was tried meanwhile is left alone.
    """
    columns = ["record_id", "next_attempt", "reason"]
    temporary_like(connection, outbox.outbox, "planned", columns)
    copy_in(connection, "planned", outbox.outbox, planned[columns])
    connection.exec_driver_sql(
        f"""
        WITH waiting AS (
            SELECT o.record_id FROM {_OUTBOX} o JOIN planned USING (record_id)
            WHERE o.record_type = '{RECORD_TYPE}' AND o.state = 'wanted' AND o.attempts = 0
                AND o.in_flight_version IS NULL
            ORDER BY o.record_id FOR UPDATE OF o
        )
        UPDATE {_OUTBOX} o SET next_attempt = coalesce(p.next_attempt, 'infinity'), reason = p.reason
        FROM waiting JOIN planned p USING (record_id)
        WHERE o.record_type = '{RECORD_TYPE}' AND o.record_id = waiting.record_id
        """
    )
    connection.exec_driver_sql("DROP TABLE planned")


_OF_ITS_ORDER = f"""
    LEFT JOIN LATERAL (
        SELECT division, ord_total, currency FROM {MIRROR["orders"].fullname} m WHERE m.ord_num = e.ord_num
        ORDER BY m.last_mod DESC, m.pkey LIMIT 1
    ) m ON true
"""
_LOST = ["record_id", "ord_num", "event_type", "happened_at", "division", "value", "currency"]
_LOST_COLUMNS = (
    "e.record_id, e.ord_num, e.event_type, e.happened_at, "
    "coalesce(m.division, ''), coalesce(m.ord_total, 0), coalesce(m.currency, '')"
)


def lapse(connection: Connection) -> pd.DataFrame:
    """Take out what waited past the time until which it could enter a journey; the journeys that were missed.

    What happened before this store followed Blue Cherry is history and ``excluded``; the rest is ``held`` as
    ``event_too_late`` and returned: ``record_id``, ``ord_num``, ``event_type``, ``happened_at``, and of its order
    ``division``, ``value`` (minor units) and ``currency``.
    """
    rows = connection.exec_driver_sql(
        f"""
        WITH lapsed AS (
            UPDATE {_OUTBOX} o SET payload = NULL, wanted_version = NULL,
                state = CASE WHEN e.happened_at < l.at THEN 'excluded' ELSE 'held' END,
                reason = CASE WHEN e.happened_at < l.at THEN 'history' ELSE 'event_too_late' END
            FROM {order_events.fullname} e, {SCHEMA}.live_since l
            WHERE o.record_type = '{RECORD_TYPE}' AND o.state = 'wanted'
                AND ({_NOT_UNDER_WAY} OR o.leased_until < now())
                AND e.record_id = o.record_id AND e.enters_until <= now()
            RETURNING o.state, o.record_id
        )
        SELECT {_LOST_COLUMNS} FROM lapsed JOIN {order_events.fullname} e USING (record_id) {_OF_ITS_ORDER}
        WHERE lapsed.state = 'held' ORDER BY e.at
        """
    ).all()
    return _frame(rows, _LOST)


def outcome_unknown(connection: Connection, call: Sequence[outbox.Claimed] | None = None) -> pd.DataFrame:
    """Hold the events of a call to which no reply came; the same columns as of ``lapse``.

    Without a call it is those whose sender died: they are still under way, and their lease is over. Whether Ometria has
    them is not known, so they are not sent again (truth 3); their payload is kept.
    """
    records = call or []
    rows = connection.execute(
        text(
            f"""
            WITH lost AS (
                SELECT o.record_id FROM {_OUTBOX} o {"" if call is None else _OF_A_CALL}
                WHERE o.record_type = '{RECORD_TYPE}' AND {_SENDER_DIED if call is None else _STILL_LEASED}
                ORDER BY o.record_id FOR UPDATE OF o
            ), held AS (
                UPDATE {_OUTBOX} o SET state = 'held', reason = '{OUTCOME_UNKNOWN}', sent_version = NULL,
                    in_flight_version = NULL, leased_until = NULL
                FROM lost WHERE o.record_type = '{RECORD_TYPE}' AND o.record_id = lost.record_id
                RETURNING o.record_id
            )
            SELECT {_LOST_COLUMNS} FROM held JOIN {order_events.fullname} e USING (record_id) {_OF_ITS_ORDER}
            ORDER BY e.at
            """
        ),
        {
            "ids": [record.record_id for record in records],
            "versions": [record.version for record in records],
            "leases": [record.lease for record in records],
        }
        if call is not None
        else {},
    ).all()
    return _frame(rows, _LOST)


_SENDER_DIED = "o.lane = 'events' AND o.state = 'wanted' AND o.in_flight_version IS NOT NULL AND o.leased_until < now()"
_OF_A_CALL = (
    "JOIN unnest(CAST(:ids AS text[]), CAST(:versions AS text[]), CAST(:leases AS timestamptz[])) "
    "AS d (record_id, version, lease) USING (record_id)"
)
_STILL_LEASED = "o.in_flight_version = d.version AND o.leased_until = d.lease"


def _frame(rows: Sequence[Row[Any]], columns: list[str]) -> pd.DataFrame:
    return pd.DataFrame([tuple(row) for row in rows], columns=columns)


def accept(engine: Engine, min_age: float) -> int:
    """Take as accepted what was sent ``min_age`` seconds ago and that Ometria has not refused; how many."""
    with engine.begin() as connection:
        return connection.execute(
            text(
                f"UPDATE {_OUTBOX} SET state = 'accepted' WHERE record_type = '{RECORD_TYPE}' AND state = 'sent' "
                "AND accepted_at <= now() - make_interval(secs => :min_age)"
            ),
            {"min_age": min_age},
        ).rowcount
