"""What all processes of an Ometria account know together: the turns of its calls, its queue, whether it takes the key.

PostgreSQL's clock is the only one: the machines' own may differ.
"""

import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import inf
from threading import Lock
from typing import get_args

from sqlalchemy import Engine, func, select, text, update
from sqlalchemy.dialects.postgresql import insert

from bc_ometria.ometria.budget import AHEAD, MARGIN, Bucket, Kind, Limits
from bc_ometria.store.schema import call_budget, ometria_account

_QUEUE_WORD_LASTS = timedelta(seconds=5)


@dataclass(frozen=True)
class _Turn:
    """A turn that was taken: its moment by PostgreSQL's clock, and by this process's (``time.monotonic``)."""

    at: datetime
    moment: float


class SharedBudget:
    """The budget of an account, shared by all processes through one row per kind of call. Safe for threads.

    Each question is one short transaction that locks the row, and none is open while a thread waits. Of the threads of
    one process that wait for a kind of call, one asks. Every method raises SQLAlchemy's errors.
    """

    def __init__(self, engine: Engine, limits: Limits) -> None:
        self._engine = engine
        self._limits = limits
        self._asking: dict[Kind, Lock] = {kind: Lock() for kind in get_args(Kind)}
        self._turns: dict[Kind, deque[_Turn]] = {kind: deque() for kind in get_args(Kind)}

    def acquire(self, kind: Kind, up_to: int = 1, *, start_by: float = inf) -> int:
        with self._asking[kind]:
            while True:
                with self._bucket(kind) as (bucket, clock):
                    moments = bucket.take(up_to)
                    wait = (bucket.free_at() - bucket.now).total_seconds()
                self._turns[kind].extend(_Turn(at, at.timestamp() + clock) for at in moments)
                if moments or time.monotonic() + wait > start_by:
                    return len(moments)
                time.sleep(wait - AHEAD.total_seconds())

    def start(self, kind: Kind) -> None:
        late = (MARGIN - 1) / 2 * self._limits.of(kind)[1].total_seconds()
        turn = self._oldest(kind)
        time.sleep(max(turn.moment - time.monotonic(), 0.0))
        if time.monotonic() <= turn.moment + late:
            return
        # It might be one too many in the window that it falls into, so its turn counts from now on. Not more than
        # once: on a machine that is late with everything each would be late for ever, and keep the row from the others.
        with self._bucket(kind) as (bucket, clock):
            moments = bucket.delay(turn.at)
        self._turns[kind].extendleft(_Turn(at, at.timestamp() + clock) for at in moments)
        time.sleep(max(self._oldest(kind).moment - time.monotonic(), 0.0))

    def give_back(self, kind: Kind, number: int) -> None:
        turns: list[_Turn] = []
        with suppress(IndexError):
            while len(turns) < number:
                turns.append(self._turns[kind].pop())
        if turns:
            with self._bucket(kind) as (bucket, _):
                bucket.give_back(turn.at for turn in turns)

    def pause(self, kind: Kind, seconds: float) -> None:
        with self._bucket(kind) as (bucket, _):
            bucket.close(seconds)

    def _oldest(self, kind: Kind) -> _Turn:
        while True:
            try:
                return self._turns[kind].popleft()
            except IndexError:
                self.acquire(kind)

    @contextmanager
    def _bucket(self, kind: Kind) -> Iterator[tuple[Bucket, float]]:
        """The bucket of a kind as it is now, which no other process sees until it is written back; and what makes
        ``time.monotonic`` of a POSIX time of PostgreSQL's."""
        row = insert(call_budget).values(kind=kind)
        row = row.on_conflict_do_update(index_elements=["kind"], set_={"kind": kind})  # locks it, or makes it
        # Whatever is returned is worked out once the row is locked, however long that takes.
        asked = row.returning(call_budget.c.taken, call_budget.c.closed_until, func.clock_timestamp().label("now"))
        with self._engine.begin() as connection:
            found = connection.execute(asked).one()
            bucket = Bucket(*self._limits.of(kind), found.now, found.taken, found.closed_until)
            yield bucket, time.monotonic() - found.now.timestamp()
            changed = {"taken": bucket.taken, "closed_until": bucket.closed_until}
            connection.execute(update(call_budget).where(call_budget.c.kind == kind).values(changed))


def note_reply(engine: Engine, limit: int | None, remaining: int | None) -> None:
    """Remember that a push was answered, and what the reply said of Ometria's queue, in records."""
    of_queue = {"queue_limit": limit, "queue_remaining": remaining, "queue_seen_at": func.clock_timestamp()}
    _write(engine, push_lost_at=None, **({} if remaining is None else of_queue))


def note_lost_push(engine: Engine) -> None:
    """Remember that nobody knows what became of a push."""
    _write(engine, push_lost_at=func.clock_timestamp())


def is_push_lost(engine: Engine) -> bool:
    """Whether the newest push had no answer, and Ometria has answered nothing since."""
    with engine.connect() as connection:
        return connection.execute(select(ometria_account.c.push_lost_at)).scalar_one_or_none() is not None


def note_answer(engine: Engine) -> None:
    """Remember that Ometria answers again."""
    _write(engine, push_lost_at=None)


def bulk_may_go(engine: Engine, reserve: int) -> bool:
    """Whether Ometria's queue, as last heard, has room for more than live records: ``reserve`` free places.

    Of a small queue a fifth is enough (ours). What was heard ``_QUEUE_WORD_LASTS`` ago or earlier says nothing more.
    """
    with engine.connect() as connection:
        return not connection.execute(
            text(
                f"""
                SELECT EXISTS (
                    SELECT FROM {ometria_account.fullname}
                    WHERE queue_remaining < least(:reserve, queue_limit / 5)
                        AND queue_seen_at BETWEEN clock_timestamp() - :lasts AND clock_timestamp()
                )
                """
            ),
            {"reserve": reserve, "lasts": _QUEUE_WORD_LASTS},
        ).scalar_one()


def note_refusal(engine: Engine, message: str) -> None:
    """Remember that Ometria refuses the key, and the error's message, which holds neither key nor record."""
    _write(engine, refusal=message, refused_at=func.clock_timestamp())


def clear_refusal(engine: Engine) -> None:
    """Ometria takes the key. Writes nothing where it did before."""
    with engine.begin() as connection:
        connection.execute(
            update(ometria_account).where(ometria_account.c.refusal.is_not(None)).values(refusal=None, refused_at=None)
        )


def refusal(engine: Engine) -> tuple[str, datetime] | None:
    """The message of the newest refusal of the key and when it came; None where the key was taken since."""
    asked = select(ometria_account.c.refusal, ometria_account.c.refused_at)
    with engine.connect() as connection:
        found = connection.execute(asked.where(ometria_account.c.refusal.is_not(None))).one_or_none()
    return (found.refusal, found.refused_at) if found else None


def _write(engine: Engine, **values: object) -> None:
    row = insert(ometria_account).values(values)
    with engine.begin() as connection:
        connection.execute(row.on_conflict_do_update(index_elements=["only_row"], set_=values))
