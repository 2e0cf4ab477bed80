"""Events that can start no journey any more, or may have started one unseen: held and reported, never sent blind."""

from collections.abc import Sequence

import pandas as pd
from sqlalchemy import Connection, Engine

from bc_ometria.store import exceptions, order_events
from bc_ometria.store.outbox import Claimed


def hold_late(engine: Engine) -> int:
    """Hold every event past the cliff, with an exception that says which journey was missed; how many.

    What happened before the store followed Blue Cherry is history: it is not sent either, and nothing was missed.
    """
    with engine.begin() as connection:
        late = order_events.lapse(connection)
        _report(connection, late, "the journey that it starts was missed", code="event_too_late")
    return len(late)


def hold_unknown(engine: Engine) -> int:
    """Hold every event whose sender died in mid-call; how many. To be called before ``hold_late``."""
    with engine.begin() as connection:
        return _hold_unknown(connection, order_events.outcome_unknown(connection))


def hold_unknown_batch(engine: Engine, records: Sequence[Claimed]) -> int:
    """Hold the events of a call to which no reply came; how many."""
    with engine.begin() as connection:
        return _hold_unknown(connection, order_events.outcome_unknown(connection, records))


def _hold_unknown(connection: Connection, unknown: pd.DataFrame) -> int:
    _report(connection, unknown, "it was sent, and no reply came", code="event_outcome_unknown")
    return len(unknown)


def _report(connection: Connection, events: pd.DataFrame, what: str, *, code: str) -> None:
    """Open an exception for each event, with the value of its order."""
    if events.empty:
        return
    told = [
        f"{event_type} of order {number}, {at:%Y-%m-%d %H:%M} UTC: {what}"
        for event_type, number, at in zip(events["event_type"], events["ord_num"], events["happened_at"], strict=True)
    ]
    findings = events.assign(code=code, field="", detail=told)
    exceptions.record(connection, order_events.RECORD_TYPE, events["record_id"].tolist(), findings)
