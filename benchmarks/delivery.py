"""From the outbox to Ometria: claimed, pushed, and acknowledged in PostgreSQL."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import httpx
from sqlalchemy import Engine, text

from bc_ometria.delivery.push import push_waiting
from bc_ometria.ometria.budget import Unlimited
from bc_ometria.ometria.client import MAX_RECORDS, OmetriaClient
from bc_ometria.store import outbox
from benchmarks.speed import Speed, measure
from benchmarks.stand_ins import KEY

CONNECTIONS = 4
"""As many as the product opens."""


def run(engine: Engine, ometria_url: str, repetitions: int) -> Speed:
    """Records a second of the orders that the outbox holds, all of which are made to be wanted before.

    Raises ``RuntimeError`` if not each of them is accepted and acknowledged.
    """
    number = len(_payloads(engine))

    def deliver() -> None:
        with OmetriaClient(f"{ometria_url}/v2", KEY, budget=Unlimited()) as client:
            push_waiting(engine, client, "order")

    def begin() -> None:
        _forget_all(ometria_url)
        _want_all(engine)

    speed = measure("records", number, deliver, repetitions, before=begin)
    states = outbox.counts(engine)[["state", "records"]].to_numpy().tolist()
    if states != [["sent", number]] or _stored(ometria_url) != number:
        raise RuntimeError(f"not every record was delivered: {states}, {_stored(ometria_url)} of {number} are there")
    return speed


def raw_push(engine: Engine, ometria_url: str, repetitions: int) -> Speed:
    """Records a second of bare httpx loops that push the same records as ready JSON."""
    payloads = _payloads(engine)
    bodies = [b"[" + b",".join(payloads[at : at + MAX_RECORDS]) + b"]" for at in range(0, len(payloads), MAX_RECORDS)]

    def push(own: Sequence[bytes]) -> None:
        headers = {"X-Ometria-Auth": KEY, "Content-Type": "application/json"}
        with httpx.Client(headers=headers, timeout=30) as client:
            for body in own:
                client.post(f"{ometria_url}/v2/push", content=body).raise_for_status()

    def push_all() -> None:
        with ThreadPoolExecutor(CONNECTIONS) as connections:
            list(connections.map(push, [bodies[nth::CONNECTIONS] for nth in range(CONNECTIONS)]))

    speed = measure("records", len(payloads), push_all, repetitions, before=lambda: _forget_all(ometria_url))
    if _stored(ometria_url) != len(payloads):
        raise RuntimeError("not every record was stored")
    return speed


def _payloads(engine: Engine) -> list[bytes]:
    with engine.connect() as connection:
        found = connection.execute(text("SELECT payload FROM bc_ometria.outbox WHERE record_type = 'order'"))
        return [payload.encode() for payload in found.scalars()]


def _want_all(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(
            text(
                "UPDATE bc_ometria.outbox SET state = 'wanted', sent_version = NULL, proved_version = NULL, "
                "in_flight_version = NULL, leased_until = NULL, attempts = 0, next_attempt = now()"
            )
        )


def _forget_all(ometria_url: str) -> None:
    httpx.post(f"{ometria_url}/_control/reset").raise_for_status()


def _stored(ometria_url: str) -> int:
    return httpx.get(f"{ometria_url}/_control/counts").raise_for_status().json()["stored"].get("order", 0)
