"""The way from the outbox to Ometria: every turn to call goes to the most urgent batch that is due at that moment.

Several processes may do this at once. They share the budget of calls (``delivery.budget``), no record is claimed twice
(``store.outbox``), and whichever gets a turn sends what is most urgent for all of them.
"""

import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from math import inf
from typing import Any

from sqlalchemy import Engine

from bc_ometria.delivery import budget, guard, late, pace, swaps
from bc_ometria.delivery.proof import Proved, Prover
from bc_ometria.delivery.push import Push, Pushed
from bc_ometria.ometria.client import OmetriaClient
from bc_ometria.ometria.errors import AccessRefused, OmetriaError
from bc_ometria.rules import Account, Rules
from bc_ometria.store import exceptions, outbox
from bc_ometria.store.lanes import BULK, LANES, LIVE, RECORD_TYPES
from bc_ometria.store.order_events import RECORD_TYPE as EVENT
from bc_ometria.store.outbox import Batch, EventTerms, Unproved

_CONNECTIONS = 16  # Ometria takes some tenths of a second to answer; 8 calls a second need several under way
_RELEASE_EVERY_S = 1.0  # events are released for the next minutes, not for the next call
_RELEASE_SHARE = 20  # of the time between two releases at most one part is spent on them
_PROBE_EVERY_S = 5.0
_OUT_AFTER = 2 * _CONNECTIONS  # calls in a row that get nothing through
_NO_WAIT_S = 0.02  # a turn that took longer to come says that the account is busy
_POLL_S = 0.05
_LONGEST_LOOK_WAIT_S = 30.0


@dataclass(frozen=True)
class Delivered:
    """What a delivery did so far: what was pushed, what was proved, how many events came too late or were lost sight
    of, and the plan of the events that still wait."""

    pushed: Pushed = field(default_factory=Pushed)
    proved: Proved = field(default_factory=Proved)
    too_late: int = 0
    outcome_unknown: int = 0
    plan: pace.Plan | None = None


def deliver(
    engine: Engine,
    ometria: OmetriaClient,
    rules: Rules,
    *,
    record_types: tuple[str, ...] = RECORD_TYPES,
    bulk_for: float = inf,
    prove_for: float = inf,
    progress: Callable[[Delivered], None] = lambda delivered: None,
) -> Delivered:
    """Send what is due of some types and prove it, until nothing is due and all is proved.

    ``bulk_for``: seconds after which only live lanes are served. ``prove_for``: seconds after the newest acceptance
    from which on no further look is waited for; what is open then is left to the next delivery. Raises
    ``AccessRefused`` where Ometria refuses the key, once every call under way is over: nothing is marked as bad.
    """
    with (
        ThreadPoolExecutor(_CONNECTIONS, thread_name_prefix="push") as connections,
        ThreadPoolExecutor(1, thread_name_prefix="prove") as proving,
    ):
        delivery = _Delivery(engine, ometria, rules, record_types, connections, proving, bulk_for, prove_for, progress)
        try:
            delivered = delivery.run()
        except AccessRefused as error:
            budget.note_refusal(engine, str(error))
            raise
    if delivered.pushed.accepted or delivered.pushed.refused or delivered.proved.settled:
        budget.clear_refusal(engine)
    with engine.begin() as connection:
        for record_type in RECORD_TYPES:
            exceptions.close_mended(connection, record_type)
    return delivered


@dataclass
class _Delivery:
    engine: Engine
    ometria: OmetriaClient
    rules: Rules
    record_types: tuple[str, ...]
    connections: ThreadPoolExecutor
    proving: ThreadPoolExecutor
    bulk_for: float
    prove_for: float
    progress: Callable[[Delivered], None]
    done: Delivered = field(default_factory=Delivered)

    def __post_init__(self) -> None:
        self._began = time.monotonic()
        self._push = Push(self.engine, self.ometria, self._account.resend_unknown_events)
        self._prover = Prover(self.engine, self.ometria, self._account)
        self._calls: set[Future[Pushed]] = set()
        self._look: Future[Proved] | None = None
        self._look_wait = self._account.read_back_after
        self._next_look = self._began + self._look_wait
        self._is_look_owed = True
        self._next_release = self._began if EVENT in self.record_types else inf  # the last step does that for all
        self._next_probe = self._began
        self._unanswered = 0  # calls in a row that got nothing through
        self._terms = EventTerms(self._account.parents_wait_min, self._account.resend_unknown_events)

    @property
    def _account(self) -> Account:
        return self.rules.account

    def run(self) -> Delivered:
        guard.watch(self.engine, self.rules.thresholds.guard)  # also where nothing is due: a stop may be mended
        while True:
            self._collect()
            self._release_events()
            self._begin_look()
            if self._begin_calls():
                continue
            under_way: set[Future[Any]] = {*self._calls, *([self._look] if self._look else [])}
            if under_way:
                wait(under_way, timeout=_POLL_S, return_when=FIRST_COMPLETED)
            elif not self._is_out and self._is_anything_due(self._lanes_by_time()):
                time.sleep(_POLL_S)  # for others to fill the call, or for room in Ometria's queue
            elif swaps.part(self.engine):
                continue
            elif self._is_all_proved_or_left():
                return self.done
            else:
                time.sleep(max(0.0, min(self._next_look, self._next_release) - time.monotonic()))

    @property
    def _is_out(self) -> bool:
        """Whether Ometria takes nothing now: what is due is left to the next delivery, so that this one ends."""
        return self._unanswered >= _OUT_AFTER

    def _begin_calls(self) -> bool:
        """Take turns and give them to what is most urgent; whether a call began."""
        room = _CONNECTIONS - len(self._calls)
        if not room or self._is_out:
            return False
        lanes, record_types = self._lanes_by_time(), self._types_that_may_go()
        if lanes != LIVE and not budget.bulk_may_go(self.engine, self._account.queue_reserve):
            lanes = LIVE
        if not outbox.is_any_due(self.engine, lanes, record_types, self._terms):
            return False
        asked_at = time.monotonic()
        turns = self.ometria.budget.acquire("push", up_to=room)
        is_busy = time.monotonic() - asked_at > _NO_WAIT_S
        fill_wait = self._account.fill_wait_s if is_busy else 0
        claimed = outbox.claim(
            self.engine, turns, lanes=lanes, record_types=record_types, fill_wait=fill_wait, terms=self._terms
        )
        batches = self._that_may_flow(claimed)
        self.ometria.budget.give_back("push", turns - len(batches))
        self._calls |= {self.connections.submit(self._push, batch) for batch in batches}
        return bool(batches)

    def _lanes_by_time(self) -> tuple[str, ...]:
        return LANES if time.monotonic() - self._began < self.bulk_for else LIVE

    def _is_anything_due(self, lanes: tuple[str, ...]) -> bool:
        return outbox.is_any_due(self.engine, lanes, self._types_that_may_go(), self._terms)

    def _types_that_may_go(self) -> tuple[str, ...]:
        """All types; no events while Ometria leaves pushes unanswered, for each of theirs that it does not answer is
        lost to its journey (truth 3)."""
        if EVENT not in self.record_types or not budget.is_push_lost(self.engine):
            return self.record_types
        if time.monotonic() >= self._next_probe:
            self._next_probe = time.monotonic() + _PROBE_EVERY_S
            try:
                self.ometria.ping()
            except AccessRefused:
                raise
            except OmetriaError:
                pass
            else:
                budget.note_answer(self.engine)
                return self.record_types
        return tuple(record_type for record_type in self.record_types if record_type != EVENT)

    def _that_may_flow(self, claimed: list[Batch]) -> list[Batch]:
        """The batches without the records of lanes that are stopped, or that the guard stops now."""
        stopped = guard.watch(self.engine, self.rules.thresholds.guard) if claimed else set()
        if not stopped:
            return claimed
        flowing = []
        for batch in claimed:
            kept_back = [record for record in batch.records if (record.lane, batch.record_type) in stopped]
            outbox.give_back(self.engine, batch.record_type, kept_back, arrived=False, counts=False)
            if going := [record for record in batch.records if (record.lane, batch.record_type) not in stopped]:
                flowing.append(replace(batch, records=going))
        return flowing

    def _collect(self) -> None:
        """Take in what is over; once a call is refused, wait for the others and raise."""
        over = {call for call in self._calls if call.done()}
        if any(call.exception() for call in over):
            over = wait(self._calls).done
        self._calls -= over
        failed = [error for call in over if (error := call.exception())]
        for call in over:
            if not call.exception():
                is_answered = call.result().accepted or call.result().refused
                self._unanswered = 0 if is_answered else self._unanswered + 1
        if over:
            pushed = sum((call.result() for call in over if not call.exception()), Pushed())
            self.done = replace(self.done, pushed=self.done.pushed + pushed)
            if not self._is_look_owed:  # the first since the last look: those that follow must not put the next one off
                self._is_look_owed = True
                self._look_again_after(self._account.read_back_after)
        if failed:
            raise failed[0]
        if self._look and self._look.done():
            proved, self._look = self._look.result(), None
            self.done = replace(self.done, proved=self.done.proved + proved)
            if proved.settled:
                if EVENT in self.record_types:
                    self._next_release = time.monotonic()  # what waited for these may go
                self._look_again_after(self._account.read_back_after)
            else:
                self._look_again_after(min(max(2 * self._look_wait, 0.25), _LONGEST_LOOK_WAIT_S))
        elif not over:
            return
        self.progress(self.done)

    def _look_again_after(self, seconds: float) -> None:
        self._look_wait, self._next_look = seconds, time.monotonic() + seconds

    def _begin_look(self) -> None:
        if self._look is None and time.monotonic() >= self._next_look and self._unproved():
            self._is_look_owed = False
            self._look = self.proving.submit(self._prover.look, self._lanes_to_prove())

    def _unproved(self) -> dict[str, Unproved]:
        return outbox.unproved_by_type(self.engine, self._lanes_to_prove())

    def _lanes_to_prove(self) -> tuple[str, ...]:
        """A live delivery leaves the proof of bulk to the drain while that goes on: a look at it takes many calls."""
        is_drain = self.bulk_for == inf
        return LANES if is_drain or not outbox.is_any_due(self.engine, BULK) else LIVE

    def _release_events(self) -> None:
        began = time.monotonic()
        if began < self._next_release:
            return
        # In this order: an event whose sender died is not late, but lost sight of.
        if outbox.take_for_sent(self.engine):
            self._is_look_owed = True
        unknown = 0 if self._account.resend_unknown_events else late.hold_unknown(self.engine)
        too_late = late.hold_late(self.engine)
        self.done = replace(
            self.done,
            outcome_unknown=self.done.outcome_unknown + unknown,
            too_late=self.done.too_late + too_late,
            plan=pace.release(self.engine, self._account),
        )
        now = time.monotonic()
        self._next_release = now + max(_RELEASE_EVERY_S, _RELEASE_SHARE * (now - began))

    def _is_all_proved_or_left(self) -> bool:
        """Whether nothing is unproved, or what is was looked for and has been waited for long enough."""
        unproved = self._unproved()
        if not unproved:
            return True
        newest = min(of_type.newest_age_s for of_type in unproved.values())
        waited = max(time.monotonic() - self._began, newest)
        return not self._is_look_owed and waited + self._look_wait > self.prove_for
