"""Events that waited too long to enter a journey: reported as missed, never sent blind."""

import pandas as pd
from sqlalchemy import Engine

from bc_ometria.store import exceptions, order_events


def hold_late(engine: Engine) -> int:
    """Hold every event past the cliff, with an exception that says which journey was missed; how many.

    What happened before the store followed Blue Cherry is history: it is not sent either, and nothing was missed.
    """
    with engine.begin() as connection:
        late = order_events.lapse(connection)
        told = [
            f"{event_type} of order {number}, {at:%Y-%m-%d %H:%M} UTC"
            for event_type, number, at in zip(late["event_type"], late["ord_num"], late["happened_at"], strict=True)
        ]
        findings = pd.DataFrame(
            {
                "code": "event_too_late",
                "record_id": late["record_id"],
                "field": "",
                "detail": told,
                "division": "",
                "value": 0,
                "currency": "",
            }
        )
        exceptions.record(connection, order_events.RECORD_TYPE, late["record_id"].tolist(), findings)
    return len(late)
