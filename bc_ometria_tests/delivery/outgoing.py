"""Records on their way from the outbox to the stand-in of Ometria, over HTTP."""

from collections import Counter
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import orjson
import pandas as pd
from sqlalchemy import Engine

from bc_ometria.delivery.proof import Prover
from bc_ometria.delivery.push import Push
from bc_ometria.delivery.refusals import read_errors
from bc_ometria.ometria.client import OmetriaClient
from bc_ometria.rules import Account, Rules
from bc_ometria.store import exceptions, outbox
from bc_ometria.store.exceptions import FINDING
from bc_ometria_tests.sandbox.ometria_stand_in import StandIn, contact, order
from bc_ometria_tests.store.records import CHANGED, end_waits, state
from bc_ometria_tests.store.rows import table

COLLECTION = "blue_cherry"
ONE_LOOK, AT_ONCE = 3600.0, 0.0
"""Seconds until drift: what one look does not show is waited for, or has drifted."""


@dataclass(frozen=True)
class Pushes:
    """What some calls did, records counted together; ``problem`` has what was said of them."""

    accepted: int
    refused: int
    put_back: int
    calls: int
    problem: str


@dataclass(frozen=True)
class Seen:
    """What a look found, records counted together; ``drifted`` are those that go again, or did in vain."""

    confirmed: int = 0
    drifted: int = 0
    open: int = 0
    problem: str = ""


def account(**changed: Any) -> Account:
    """The account of the tests' stand-in."""
    readings = {"collection": COLLECTION, "read_back_after": 0, **changed}
    return Account.model_validate(Rules.load().account.model_dump() | readings)


def push_all(engine: Engine, client: OmetriaClient, record_type: str = "order") -> Pushes:
    """Send all that is due of a type, one call after the other."""
    push, done = Push(engine, client), []
    while batches := outbox.claim(engine, 1, record_types=[record_type]):
        done += [push(batch) for batch in batches]
    return Pushes(
        *(sum(getattr(each, name).total() for each in done) for name in ("accepted", "refused", "put_back", "calls")),
        "; ".join(sorted({problem for each in done for problem in each.problems})),
    )


@dataclass
class Outgoing:
    """The outbox, the client and the stand-in; ``record_type`` is what is sent."""

    engine: Engine
    client: OmetriaClient
    stand_in: StandIn
    record_type: str = "order"

    def want(self, *records: dict[str, Any]) -> dict[str, int]:
        """Put records of which mapping has nothing to complain into the outbox."""
        payloads = [orjson.dumps(record) for record in records]
        frame = pd.DataFrame(
            {
                "record_id": [record["id"] for record in records],
                "payload": payloads,
                "version": [sha256(payload).hexdigest() for payload in payloads],
                "state": "wanted",
                "reason": "",
                "changed_at": pd.Timestamp(CHANGED),
            }
        )
        with self.engine.begin() as connection:
            states = outbox.put(connection, self.record_type, frame)
            exceptions.record(connection, self.record_type, frame["record_id"].tolist(), pd.DataFrame(columns=FINDING))
        return states

    def push(self) -> Pushes:
        """Send all that is due of the type, whatever its lane; what is put back waits for the next time."""
        end_waits(self.engine)
        return push_all(self.engine, self.client, self.record_type)

    def read_errors(self) -> int:
        return read_errors(self.engine, self.client).held[self.record_type]

    def prove(self, until_drift: float = ONE_LOOK) -> Seen:
        proved = Prover(self.engine, self.client, account(read_back_until=max(until_drift, 1e-9))).look()
        with self.engine.begin() as connection:
            exceptions.close_mended(connection, self.record_type)
        drifted = proved.repaired.total() + proved.drifted.total()
        problem = "; ".join(sorted(proved.problems))
        return Seen(proved.confirmed.total(), drifted, proved.open.total(), problem)

    def state(self, id: str) -> str:
        return state(self.engine, id, self.record_type)

    def states(self) -> dict[str, int]:
        """How many records are in which state, with the reason where there is one."""
        return dict(
            Counter(f"{each}: {why}".rstrip(": ") for each, why in table(self.engine, "outbox", "state, reason"))
        )

    def open_exceptions(self) -> list[tuple]:
        """The open exceptions: code, record and detail."""
        rows = table(self.engine, "exceptions", "code, record_id, detail, is_open", "code, record_id")
        return [row[:3] for row in rows if row[3]]

    def calls(self, route: str) -> int:
        """How many calls of a route came in at Ometria's, whatever became of them."""
        return self.stand_in.control.get("/counts").json()["calls"].get(route, 0)

    @property
    def pushes(self) -> int:
        return self.calls("POST /v2/push")


def orders(number: int, **fields: Any) -> list[dict[str, Any]]:
    return [order(f"{place:010}", **fields) for place in range(number)]


def contacts(number: int, **fields: Any) -> list[dict[str, Any]]:
    return [contact(f"C{place}", email=f"c{place}@example.com", **fields) for place in range(number)]
