"""Send what the outbox wants: one type per call, full batches, each record in one call at a time."""

import random
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from sqlalchemy import Engine

from bc_ometria.delivery.refusals import refuse
from bc_ometria.ometria.client import MAX_RECORDS, OmetriaClient
from bc_ometria.ometria.errors import AccessRefused, NotReceived, OutcomeUnknown, PayloadRefused, RateLimited
from bc_ometria.store import outbox
from bc_ometria.store.outbox import Claimed

_CONNECTIONS = 4  # Ometria takes some tenths of a second to answer; 8 calls a second need several under way
_CLAIM = 2 * _CONNECTIONS * MAX_RECORDS
_LONGEST_WAIT = 900.0  # seconds
_START_WITHIN = outbox.LEASE_SECONDS / 2  # so that a call, however slow, is over before its records' lease


@dataclass(frozen=True)
class Pushed:
    """What one delivery did. ``put_back`` records go again by themselves; ``problem`` says why, if any."""

    accepted: int = 0
    refused: int = 0
    put_back: int = 0
    calls: int = 0
    problem: str = ""

    def __add__(self, other: "Pushed") -> "Pushed":
        return Pushed(
            self.accepted + other.accepted,
            self.refused + other.refused,
            self.put_back + other.put_back,
            self.calls + other.calls,
            other.problem or self.problem,
        )


def push_waiting(
    engine: Engine,
    ometria: OmetriaClient,
    record_type: str,
    *,
    progress: Callable[[Pushed], None] = lambda pushed: None,
) -> Pushed:
    """Send every record of a type that is due; returns when none is, or none of those that were got through.

    Records whose call failed are put back with a growing wait, so they are not due again at once. Raises
    ``AccessRefused`` where Ometria refuses the key: nothing is marked as bad, all stays wanted.
    """
    done = Pushed()
    with ThreadPoolExecutor(_CONNECTIONS, thread_name_prefix="push") as connections:

        def next_calls() -> list[Future[Pushed]]:
            start_by = time.monotonic() + _START_WITHIN
            claimed = outbox.claim(engine, record_type, _CLAIM)
            batches = [claimed[at : at + MAX_RECORDS] for at in range(0, len(claimed), MAX_RECORDS)]
            return [connections.submit(_push, engine, ometria, record_type, batch, start_by) for batch in batches]

        under_way, is_flowing = next_calls(), False
        while under_way:
            # Once records get through, the next are claimed while these are under way: PostgreSQL then keeps no
            # connection waiting.
            coming = next_calls() if is_flowing else []
            now_done = _outcome(under_way)
            is_flowing = now_done.accepted + now_done.refused > 0
            done += now_done
            progress(done)
            under_way = coming or (next_calls() if is_flowing else [])
    return done


def _outcome(calls: Sequence[Future[Pushed]]) -> Pushed:
    """What the calls did, once all are over; raises what the first refused one raised."""
    refusals = [error for call in calls if (error := call.exception()) is not None]
    if refusals:
        raise refusals[0]
    return sum((call.result() for call in calls), Pushed())


def _push(
    engine: Engine, ometria: OmetriaClient, record_type: str, batch: Sequence[Claimed], start_by: float
) -> Pushed:
    try:
        reply = ometria.push(record_type, [record.payload for record in batch], start_by=start_by)
    except AccessRefused:
        outbox.give_back(engine, record_type, batch, after=0, arrived=False)
        raise
    except PayloadRefused as error:
        return _halve(engine, ometria, record_type, batch, start_by, str(error))
    except RateLimited as error:
        outbox.give_back(engine, record_type, batch, after=error.retry_after or _wait(batch), arrived=False)
        return Pushed(put_back=len(batch), calls=1, problem=str(error))
    except (NotReceived, OutcomeUnknown) as error:
        arrived = isinstance(error, OutcomeUnknown)
        outbox.give_back(engine, record_type, batch, after=_wait(batch), arrived=arrived)
        return Pushed(put_back=len(batch), calls=1, problem=str(error))
    # Which records a "rejected" count means is not documented: the errors ring and the read back tell.
    outbox.acknowledge(engine, record_type, batch, reply.request_id)
    return Pushed(accepted=len(batch), calls=1)


def _halve(
    engine: Engine, ometria: OmetriaClient, record_type: str, batch: Sequence[Claimed], start_by: float, words: str
) -> Pushed:
    """Find the record for which Ometria refuses a whole call, so that its neighbours go."""
    if len(batch) > 1:
        middle = len(batch) // 2
        halves = (_push(engine, ometria, record_type, half, start_by) for half in (batch[:middle], batch[middle:]))
        return sum(halves, Pushed(calls=1))
    outbox.acknowledge(engine, record_type, batch, "")
    refuse(engine, record_type, batch[0].record_id, None, words)
    return Pushed(refused=1, calls=1)


def _wait(batch: Sequence[Claimed]) -> float:
    """Seconds until the next attempt: doubling with each, with jitter so that batches spread."""
    attempts = min(record.attempts for record in batch)
    return min(2.0**attempts, _LONGEST_WAIT) * random.uniform(0.5, 1)
