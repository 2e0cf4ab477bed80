"""Records on their way from the outbox to the stand-in of Ometria, over HTTP."""

from collections import Counter
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import orjson
import pandas as pd
from sqlalchemy import Engine

from bc_ometria.delivery.proof import Patience, Proved, read_back
from bc_ometria.delivery.push import Pushed, push_waiting
from bc_ometria.delivery.refusals import hold_refused
from bc_ometria.ometria.client import OmetriaClient
from bc_ometria.store import exceptions, outbox
from bc_ometria.store.exceptions import FINDING
from bc_ometria_tests.sandbox.ometria_stand_in import StandIn, contact, order
from bc_ometria_tests.store.records import CHANGED, end_waits, state
from bc_ometria_tests.store.rows import table

COLLECTION = "blue_cherry"
ONE_LOOK = Patience(first_look=0, of_a_run=0, until_drift=3600)
AT_ONCE = Patience(first_look=0, of_a_run=0, until_drift=0)
"""One look, and what it does not show has drifted."""


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

    def push(self) -> Pushed:
        end_waits(self.engine)
        return push_waiting(self.engine, self.client, self.record_type)

    def read_errors(self) -> int:
        return hold_refused(self.engine, self.client, self.record_type)

    def prove(self, patience: Patience = ONE_LOOK) -> Proved:
        return read_back(self.engine, self.client, self.record_type, COLLECTION, patience)

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
