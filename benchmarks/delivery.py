"""From the outbox to Ometria at no limit: claimed, pushed, and acknowledged in PostgreSQL."""

from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import httpx
from sqlalchemy import Engine, text

from bc_ometria.ometria.client import MAX_RECORDS
from bc_ometria.store import outbox
from bc_ometria.store.schema import SCHEMA
from benchmarks.product import push_at_no_limit
from benchmarks.speed import Speed, measure
from benchmarks.stand_ins import KEY

CONNECTIONS = 4
"""More make the bare loop no faster."""


def run(engine: Engine, ometria_url: str, repetitions: int) -> Speed:
    """Records a second of what the outbox holds, all of which is made to be wanted before.

    Raises ``RuntimeError`` if not each of them is accepted and acknowledged.
    """
    number = sum(map(len, _payloads(engine).values()))

    def begin() -> None:
        forget_all(ometria_url)
        _want_all(engine)

    def deliver() -> None:
        push_at_no_limit(engine, ometria_url, number)

    speed = measure("records", number, deliver, repetitions, before=begin)
    check_all_are_there(engine, ometria_url, number)
    return speed


def raw_push(engine: Engine, ometria_url: str, repetitions: int) -> Speed:
    """Records a second of bare httpx loops that push the same records as ready JSON."""
    bodies = [
        b"[" + b",".join(payloads[at : at + MAX_RECORDS]) + b"]"
        for payloads in _payloads(engine).values()
        for at in range(0, len(payloads), MAX_RECORDS)
    ]
    number = sum(map(len, _payloads(engine).values()))

    def push(own: Sequence[bytes]) -> None:
        headers = {"X-Ometria-Auth": KEY, "Content-Type": "application/json"}
        with httpx.Client(headers=headers, timeout=30) as client:
            for body in own:
                client.post(f"{ometria_url}/v2/push", content=body).raise_for_status()

    def push_all() -> None:
        with ThreadPoolExecutor(CONNECTIONS) as connections:
            list(connections.map(push, [bodies[nth::CONNECTIONS] for nth in range(CONNECTIONS)]))

    speed = measure("records", number, push_all, repetitions, before=lambda: forget_all(ometria_url))
    if _stored(ometria_url) != number:
        raise RuntimeError("not every record was stored")
    return speed


def check_all_are_there(engine: Engine, ometria_url: str, number: int) -> None:
    """Raises ``RuntimeError`` unless so many records are acknowledged, and no others, and Ometria has them."""
    counts, stored = outbox.counts(engine), _stored(ometria_url)
    if not set(counts["state"]) <= {"sent", "accepted"} or counts["records"].sum() != number or stored != number:
        told = counts.to_dict("records")
        raise RuntimeError(f"not every record was delivered: {told}, {stored} of {number} are there")


def forget_all(ometria_url: str) -> None:
    """Ometria as on the first day."""
    httpx.post(f"{ometria_url}/_control/reset").raise_for_status()


def _payloads(engine: Engine) -> dict[str, list[bytes]]:
    """What the outbox holds, by record type."""
    payloads: dict[str, list[bytes]] = defaultdict(list)
    with engine.connect() as connection:
        for record_type, payload in connection.execute(text(f"SELECT record_type, payload FROM {SCHEMA}.outbox")):
            payloads[record_type].append(payload.encode())
    return payloads


def _want_all(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(
            text(
                f"UPDATE {SCHEMA}.outbox SET state = 'wanted', sent_version = NULL, sent_standing = NULL, "
                "in_flight_version = NULL, leased_until = NULL, attempts = 0, next_attempt = now()"
            )
        )


def _stored(ometria_url: str) -> int:
    counts = httpx.get(f"{ometria_url}/_control/counts").raise_for_status().json()
    return sum(counts["stored"].values())
