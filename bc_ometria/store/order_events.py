"""The custom events of orders: what each tells, and what it waits for. Their payloads are records of the outbox.

An event that Ometria took is ``accepted`` and not confirmed, because Ometria shows no events. One that is no longer
true before it was sent is ``withdrawn``.
"""

from collections.abc import Iterable

import pandas as pd
from sqlalchemy import Column, Connection, Engine, Text, text

from bc_ometria.store import outbox
from bc_ometria.store.copy import copy_in, copy_out, temporary_keys, temporary_like
from bc_ometria.store.schema import SCHEMA, order_events

RECORD_TYPE = "custom_event"

_COLUMNS = ["record_id", "ord_num", "customer", "event_type", "covers", "happened_at", "enters_until"]
_OUTBOX = f"{SCHEMA}.outbox"

_NOT_UNDER_WAY = "(o.in_flight_version IS NULL OR o.leased_until < now())"
"""Nobody is sending the record ``o`` now."""

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


def lapse(connection: Connection) -> pd.DataFrame:
    """Take out what waited past the time until which it could enter a journey; the journeys that were missed.

    What happened before this store followed Blue Cherry is history and ``excluded``; the rest is ``held`` as
    ``event_too_late`` and returned: ``record_id``, ``ord_num``, ``event_type`` and ``happened_at``.
    """
    rows = connection.exec_driver_sql(
        f"""
        UPDATE {_OUTBOX} o SET payload = NULL, wanted_version = NULL,
            state = CASE WHEN e.happened_at < l.at THEN 'excluded' ELSE 'held' END,
            reason = CASE WHEN e.happened_at < l.at THEN 'history' ELSE 'event_too_late' END
        FROM {order_events.fullname} e, {SCHEMA}.live_since l
        WHERE o.record_type = '{RECORD_TYPE}' AND o.state = 'wanted' AND {_NOT_UNDER_WAY}
            AND e.record_id = o.record_id AND e.enters_until <= now()
        RETURNING o.state, o.record_id, e.ord_num, e.event_type, e.happened_at
        """
    ).all()
    columns = ["state", "record_id", "ord_num", "event_type", "happened_at"]
    lapsed = pd.DataFrame([tuple(row) for row in rows], columns=columns)
    return lapsed[lapsed["state"] == "held"].drop(columns="state").reset_index(drop=True)


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
