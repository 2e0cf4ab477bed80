"""Records on their way into the outbox, and what stands there."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import orjson
import pandas as pd
from sqlalchemy import Engine, text

from bc_ometria.store import outbox
from bc_ometria.store.outbox import Claimed, Outcome, Sent
from bc_ometria.store.schema import SCHEMA

CHANGED = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)


def decided(record_id: str, version: str | None, *, reason: str = "") -> dict[str, Any]:
    """A record that is wanted in a version, or without one is held for ``reason``."""
    payload = orjson.dumps({"id": record_id, "content": version}) if version else None
    state = "wanted" if version else "held"
    return {"record_id": record_id, "payload": payload, "version": version, "state": state, "reason": reason}


def excluded(record_id: str, reason: str = "wholesale") -> dict[str, Any]:
    return {**decided(record_id, None, reason=reason), "state": "excluded"}


def put(engine: Engine, *records: dict[str, Any], record_type: str = "order") -> dict[str, int]:
    columns = ["record_id", "payload", "version", "state", "reason"]
    frame = pd.DataFrame(list(records), columns=columns).assign(changed_at=pd.Timestamp(CHANGED))
    with engine.begin() as connection:
        return outbox.put(connection, record_type, frame)


def want(engine: Engine, record_id: str, version: str) -> dict[str, int]:
    return put(engine, decided(record_id, version))


def claim(engine: Engine, limit: int = 100, record_type: str = "order") -> list[Claimed]:
    batches = outbox.claim(engine, 1, size=limit, record_types=[record_type])
    return batches[0].records if batches else []


def send(engine: Engine, request_id: str = "r-1", record_type: str = "order") -> list[str]:
    """Claim all that is due and have it accepted; the versions."""
    batch = claim(engine, record_type=record_type)
    outbox.acknowledge(engine, record_type, batch, request_id)
    return [record.version for record in batch]


def give_back(
    engine: Engine, records: Sequence[Claimed], *, arrived: bool, waits: bool = False, record_type: str = "order"
) -> None:
    """Put claimed records back: due at once, or after a wait that no test sees the end of."""
    outbox.give_back(engine, record_type, records, arrived=arrived, counts=waits)
    if waits:
        with engine.begin() as connection:
            later = f"UPDATE {SCHEMA}.outbox SET next_attempt = now() + interval '1 hour' WHERE record_id = ANY(:ids)"
            connection.execute(text(later), {"ids": [record.record_id for record in records]})


def settle(engine: Engine, records: Sequence[Sent], outcome: Outcome, record_type: str = "order") -> dict[str, str]:
    with engine.begin() as connection:
        return outbox.settle(connection, record_type, records, outcome)


def prove(engine: Engine, outcome: Outcome = "confirmed", record_type: str = "order") -> None:
    settle(engine, outbox.unproved(engine, record_type, 1000), outcome, record_type)


def reject(engine: Engine, record_id: str, request_id: str | None = "r-1") -> bool:
    with engine.begin() as connection:
        return outbox.reject(connection, "order", record_id, request_id)


def column(engine: Engine, name: str, record_id: str = "1", record_type: str = "order") -> Any:
    with engine.connect() as connection:
        return connection.execute(
            text(f"SELECT {name} FROM {SCHEMA}.outbox WHERE record_type = :record_type AND record_id = :record_id"),
            {"record_type": record_type, "record_id": record_id},
        ).scalar_one()


def state(engine: Engine, record_id: str = "1", record_type: str = "order") -> str:
    """The state, with the reason where there is one."""
    return ": ".join(filter(None, column(engine, "ARRAY[state, reason]", record_id, record_type)))


def end_leases(engine: Engine) -> None:
    """As if the processes that hold them had died long ago."""
    with engine.begin() as connection:
        connection.execute(
            text(f"UPDATE {SCHEMA}.outbox SET leased_until = leased_until - make_interval(secs => :lease)"),
            {"lease": outbox.LEASE_SECONDS + 1},
        )


def end_waits(engine: Engine) -> None:
    """As if the wait for the next attempt were over."""
    with engine.begin() as connection:
        connection.execute(text(f"UPDATE {SCHEMA}.outbox SET next_attempt = now() WHERE next_attempt > now()"))
