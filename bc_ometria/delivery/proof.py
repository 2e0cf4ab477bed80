"""Read back what was accepted: nothing counts as synced until Ometria has shown it."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

import orjson
from sqlalchemy import Engine

from bc_ometria.ometria.client import OmetriaClient
from bc_ometria.ometria.comparison import differences
from bc_ometria.ometria.errors import AccessRefused, OmetriaError
from bc_ometria.store import exceptions, outbox
from bc_ometria.store.outbox import Sent

_FEW = 4  # up to here single reads cost fewer seconds of the budget than pages that hold other records too
_OVERDUE = 200  # records that a list did not show, looked up singly in one look before they count as drift
_CLOCKS_APART = timedelta(minutes=5)  # Ometria's clock may be behind ours


@dataclass(frozen=True)
class Proved:
    """Outcome of reading back: records confirmed, drifted, and not shown yet; ``problem`` says why, if known."""

    confirmed: int = 0
    drifted: int = 0
    open: int = 0
    problem: str = ""


@dataclass(frozen=True)
class Patience:
    """Seconds: before the first look, of one run, and after which a record that is not there has drifted."""

    first_look: float
    of_a_run: float
    until_drift: float


def read_back(
    engine: Engine,
    ometria: OmetriaClient,
    record_type: str,
    collection: str,
    patience: Patience,
    *,
    progress: Callable[[Proved], None] = lambda proved: None,
) -> Proved:
    """Compare every accepted and unproved record of a type with what Ometria shows.

    Looks again, with growing waits, while records are missing or still old, for at most
    ``patience.of_a_run`` seconds after they were accepted; what is open then is left to the next run, which looks
    once and does not wait for it. A record that is missing or
    different ``patience.until_drift`` seconds after it was accepted becomes drift, an exception with the
    fields that differ. Raises ``AccessRefused`` where Ometria refuses the key; other failed calls only cost
    time.
    """
    began, wait, proved = time.monotonic(), patience.first_look, Proved()
    look = _Look(engine, ometria, record_type, collection, patience.until_drift)
    while outbox.unproved(engine, record_type, 1):
        time.sleep(wait)
        confirmed, drifted, problem = look()
        still_open = outbox.count_unproved(engine, record_type)
        proved = Proved(proved.confirmed + confirmed, proved.drifted + drifted, still_open, problem)
        progress(proved)
        wait = max(2 * wait, 0.25)
        waited = max(time.monotonic() - began, outbox.seconds_since_newest_unproved(engine, record_type))
        if waited + wait > patience.of_a_run:
            break
    with engine.begin() as connection:
        exceptions.close_mended(connection, record_type)
    return proved


@dataclass(frozen=True)
class _Look:
    """One look at the unproved records of a type: few by id, many by the list of what was updated."""

    engine: Engine
    ometria: OmetriaClient
    record_type: str
    collection: str
    until_drift: float

    def __call__(self) -> tuple[int, int, str]:
        """How many records were confirmed, how many have drifted, and what kept it from seeing all."""
        confirmed = drifted = 0
        try:
            for shown in self._shown():
                now_confirmed, now_drifted = self._settle(shown)
                confirmed, drifted = confirmed + now_confirmed, drifted + now_drifted
        except AccessRefused:
            raise
        except OmetriaError as error:
            return confirmed, drifted, str(error)
        return confirmed, drifted, ""

    def _shown(self) -> Iterator[list[tuple[Sent, dict[str, Any] | None]]]:
        """Unproved records with what Ometria shows of them, a part at a time."""
        few = outbox.unproved(self.engine, self.record_type, _FEW + 1)
        if len(few) <= _FEW:
            yield self._one_by_one(few)
            return
        listed = self._listed(outbox.oldest_unproved(self.engine, self.record_type))
        while page := {str(shown.get("id")): shown for shown in islice(listed, 250)}:
            records = outbox.unproved(self.engine, self.record_type, len(page), of=list(page))
            yield [(record, page[record.record_id]) for record in records]
        yield self._one_by_one(outbox.unproved(self.engine, self.record_type, _OVERDUE, min_age=self.until_drift))

    def _one_by_one(self, records: Sequence[Sent]) -> list[tuple[Sent, dict[str, Any] | None]]:
        if self.record_type == "contact":
            return [(record, self.ometria.contact(self.collection, record.record_id)) for record in records]
        return [(record, self.ometria.order(record.record_id)) for record in records]

    def _listed(self, accepted_since: datetime) -> Iterator[dict[str, Any]]:
        since = accepted_since - _CLOCKS_APART
        if self.record_type == "contact":
            return self.ometria.contacts(self.collection, since)
        return self.ometria.orders(since)

    def _settle(self, shown: Sequence[tuple[Sent, dict[str, Any] | None]]) -> tuple[int, int]:
        """Write what the comparison says; what differs but is not overdue is left for another look."""
        drift_before = datetime.now(UTC) - timedelta(seconds=self.until_drift)
        equal: list[Sent] = []
        drifted: dict[str, str] = {}
        overdue: list[Sent] = []
        for record, seen in shown:
            differing = ["missing"] if seen is None else differences(orjson.loads(record.payload), seen)
            if not differing:
                equal.append(record)
            elif record.accepted_at < drift_before:
                overdue.append(record)
                drifted[record.record_id] = ", ".join(differing[:10])
        outbox.settle(self.engine, self.record_type, equal, "confirmed")
        outbox.settle(self.engine, self.record_type, overdue, "drift")
        with self.engine.begin() as connection:
            for record_id, fields in drifted.items():
                exceptions.open_one(connection, "drift", self.record_type, record_id, fields)
        return len(equal), len(overdue)
