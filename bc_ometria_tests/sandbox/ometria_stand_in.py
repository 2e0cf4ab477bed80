"""The stand-in of Ometria behind real HTTP, and records that it takes."""

import atexit
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import httpx

from bc_ometria.sandbox.clock import Clock
from bc_ometria.sandbox.ometria import Account, Settings, create_app
from bc_ometria.sandbox.server import Server

NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)


def at(**ago: float) -> str:
    """So long before the standing clock of a ``StandIn``."""
    return (NOW - timedelta(**ago)).isoformat()


@dataclass
class StandIn:
    account: Account
    api: httpx.Client
    control: httpx.Client

    def push(self, *records: Any) -> dict[str, Any]:
        reply = self.api.post("/push", json=list(records))
        assert reply.status_code == 202, reply.text
        return reply.json()

    def get(self, path: str, **parameters: Any) -> Any:
        reply = self.api.get(path, params=parameters)
        assert reply.status_code == 200, reply.text
        return reply.json()

    def arm(self, kind: str, **fields: Any) -> None:
        reply = self.control.post("/faults", json={"kind": kind, **fields})
        assert reply.status_code == 200, reply.text

    def advance(self, **by: float) -> None:
        self.control.post("/clock/advance", json={"seconds": timedelta(**by).total_seconds()}).raise_for_status()

    def state(self, part: str) -> Any:
        return self.control.get(f"/state/{part}").raise_for_status().json()

    def errors(self) -> list[dict[str, Any]]:
        return self.state("errors")

    def outcomes(self, flow: str) -> list[str]:
        return [each["outcome"] for each in self.state("automation") if each["flow"] == flow]


@cache
def _served() -> tuple[Account, str]:
    """One server for all tests of a run: starting and stopping one costs more than a test."""
    account = Account(Clock(NOW))
    server = Server(create_app(account)).__enter__()
    atexit.register(server.__exit__, None, None, None)
    return account, server.url


@contextmanager
def stand_in(**settings: Any) -> Iterator[StandIn]:
    """A fresh stand-in whose clock stands at ``NOW``, without rate limits unless ``settings`` say so."""
    account, url = _served()
    account.clock.set(NOW)
    account.settings = Settings(**{"limits": False, **settings})
    account.reset()
    key = {"X-Ometria-Auth": account.settings.api_key}
    with (
        httpx.Client(base_url=f"{url}/v2", headers=key, timeout=30, verify=False) as api,
        httpx.Client(base_url=f"{url}/_control", timeout=30, verify=False) as control,
    ):
        yield StandIn(account, api, control)


def order(id: str = "0000001001", **fields: Any) -> dict[str, Any]:
    return {
        "@type": "order",
        "id": id,
        "timestamp": at(minutes=5),
        "currency": "GBP",
        "grand_total": 129.0,
        "is_valid": True,
        "customer": {"id": "C1", "email": "ada@example.com"},
        "lineitems": [{"product_id": "P1", "quantity": 1, "unit_price": 129.0}],
        **fields,
    }


def contact(id: str = "C1", **fields: Any) -> dict[str, Any]:
    return {
        "@type": "contact",
        "@collection": "blue_cherry",
        "id": id,
        "customer_id": id,
        "email": "ada@example.com",
        **fields,
    }


def event(id: str = "e1", event_type: str = "order_shipped", **fields: Any) -> dict[str, Any]:
    return {
        "@type": "custom_event",
        "id": id,
        "event_type": event_type,
        "timestamp": at(minutes=5),
        "properties": {},
        "identity_account_id": "C1",
        **fields,
    }


def product(id: str = "P1", **fields: Any) -> dict[str, Any]:
    return {"@type": "product", "id": id, "title": "Wool coat", "price": 129.0, "currency": "GBP", **fields}
