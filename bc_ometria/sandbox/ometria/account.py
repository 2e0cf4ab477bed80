"""An account of the stand-in: its queue, its errors ring and its jobs around what it holds."""

import threading
import uuid
from collections import deque
from collections.abc import Callable
from functools import partial
from hashlib import blake2b
from itertools import count
from typing import Any

from bc_ometria.sandbox.clock import Clock
from bc_ometria.sandbox.ometria.agenda import Agenda
from bc_ometria.sandbox.ometria.automation import Automation
from bc_ometria.sandbox.ometria.checks import Problem
from bc_ometria.sandbox.ometria.consent import Channel
from bc_ometria.sandbox.ometria.contents import Contents
from bc_ometria.sandbox.ometria.faults import Fault, Faults, PushKind, ReplyKind
from bc_ometria.sandbox.ometria.identities import Identifier
from bc_ometria.sandbox.ometria.journal import Counts, Job, Push, RecordError, Version
from bc_ometria.sandbox.ometria.limits import RateLimits
from bc_ometria.sandbox.ometria.people import People
from bc_ometria.sandbox.ometria.records import MAX_RECORD_BYTES, problem_of
from bc_ometria.sandbox.ometria.settings import Settings
from bc_ometria.sandbox.ometria.shelf import encoded, iso

ERRORS_RING = 100
PUSH_LOG = 10_000
TOO_LARGE = Problem("", "Payload invalid: Record is too large.")

Received = tuple[Any, bytes, Problem | None]
"""A record, its JSON, and why it will be refused."""


class QueueFull(Exception):
    """The push would take the backlog over ``queue_limit``."""


class Account:
    """All state of one Ometria account.

    Time is ``clock``'s, and as far ahead as the settings say. Queued records and jobs take effect when it has reached
    them **and** somebody looks: every HTTP call settles first; a test that looks inside by itself calls ``settle``.
    """

    def __init__(self, clock: Clock | None = None, settings: Settings | None = None) -> None:
        self.clock = clock or Clock()
        self.settings = settings or Settings()
        self._lock = threading.RLock()
        self.reset()

    def reset(self) -> None:
        """Forget all records, faults, counts and calls made; settings and clock stay."""
        with self._lock:
            self._agenda = Agenda()
            self._queue_end = 0.0
            self.automation = Automation(self._agenda)
            self.people = People(self.automation)
            self.contents = Contents(self.people, self.automation)
            self.orders = self.contents.orders
            self.products = self.contents.products
            self.contacts = self.contents.contacts
            self.events = self.contents.events
            self.errors: deque[RecordError] = deque(maxlen=ERRORS_RING)
            self._error_numbers = count()
            self.deletions: dict[str, Job] = {}
            self.merges: dict[str, Job] = {}
            self.pushes: deque[Push] = deque(maxlen=PUSH_LOG)
            self.history: dict[tuple[str, str], list[Version]] = {}
            """By type and id, what was pushed under it, in order; with the setting ``history`` only."""
            self.counts = Counts()
            self.faults = Faults()
            self.limits = RateLimits()

    def timestamp(self) -> float:
        """Ometria's present, in seconds since the epoch."""
        return self.clock.timestamp() + self.settings.clock_ahead_seconds

    @property
    def backlog(self) -> int:
        """Records that were accepted and cannot be read yet."""
        return self._agenda.records

    def settle(self) -> None:
        """Let everything happen that is due by the clock."""
        with self._lock:
            self._agenda.run(self.timestamp())
            self.counts.event_repeats = self.contents.event_repeats

    def push(self, records: list[Any]) -> tuple[str, int]:
        """Receive the records of a call: its request id, and how many are rejected in the reply.

        They are validated now, but nobody is told before the queue has come to them. Raises ``QueueFull``.
        """
        with self._lock:
            self.settle()
            if self.backlog + len(records) > self.settings.queue_limit:
                raise QueueFull
            faults = {fault.kind: fault for fault in self.faults.for_push()}
            self.counts.faults.update(faults.keys())
            request_id, now = uuid.uuid4().hex, self.timestamp()
            self._note(request_id, now, records)
            rejected = min(faults["rejected"].count, len(records)) if "rejected" in faults else 0
            received = [_received(record, faults.get("reject_ids")) for record in records]
            if self.settings.history:
                self._remember(request_id, now, received)
            received = received[: len(records) - rejected]
            self._enqueue(request_id, received, now, faults)
            if self.settings.rejects_in_reply:
                rejected += sum(1 for _, _, problem in received if problem)
            self.settle()
            return request_id, rejected

    def _note(self, request_id: str, at: float, records: list[Any]) -> None:
        known: list[dict[str, Any]] = [record if isinstance(record, dict) else {} for record in records]
        record_type = next((each["@type"] for each in known if isinstance(each.get("@type"), str)), None)
        ids = [each["id"] if isinstance(each.get("id"), str) else None for each in known]
        self.pushes.append(Push(request_id, at, record_type, ids))
        self.counts.pushes += 1
        self.counts.records[record_type or "unknown"] += len(ids)
        named = [(each.get("@collection"), id) for each, id in zip(known, ids, strict=True) if id]
        self.counts.duplicate_ids_in_call += len(named) - len({repr(each) for each in named})

    def _remember(self, request_id: str, at: float, received: list[Received]) -> None:
        for record, body, _ in received:
            if isinstance(record, dict) and isinstance(record.get("id"), str):
                version = Version(blake2b(body, digest_size=8).digest(), request_id, at, body)
                self.history.setdefault((str(record.get("@type")), record["id"]), []).append(version)

    def _enqueue(
        self, request_id: str, received: list[Received], now: float, faults: dict[PushKind | ReplyKind, Fault]
    ) -> None:
        due = max(now + self.settings.queue_lag_seconds, self._queue_end)
        if "slow_queue" in faults:
            due += faults["slow_queue"].seconds
        self._queue_end = due
        if "out_of_order" in faults:
            due += faults["out_of_order"].seconds
            received = received[::-1]
        self._agenda.add(due, partial(self._apply, request_id, received), records=len(received))
        if "error_flood" in faults:
            self._agenda.add(due, partial(self._flood, faults["error_flood"].count))

    def _apply(self, request_id: str, received: list[Received], at: float) -> None:
        for record, body, found in received:
            problem = found or self.contents.apply(record, body, at, self.settings)
            if problem:
                self.counts.refused += 1
                self._note_error(request_id, record, problem, at)
            else:
                self.counts.stored[record["@type"]] += 1

    def _flood(self, errors: int, at: float) -> None:
        for number in range(errors):
            record = {"@type": "product", "id": f"another-source-{number}", "price": "free"}
            self._note_error("another-source", record, Problem("/price", "must be a number"), at)

    def _note_error(self, request_id: str, record: Any, problem: Problem, at: float) -> None:
        self.errors.append(RecordError(next(self._error_numbers), request_id, record, problem, at))

    def unsubscribe(self, email: str, channel: Channel = "email", source: str = "preference_centre") -> None:
        """A person opts out at Ometria, now."""
        with self._lock:
            self.people.unsubscribe(email, channel, source, self.timestamp())

    def delete_person(self, email: str) -> Job:
        """Ask for the erasure of a person."""
        return self._start(self.deletions, {"email": email}, partial(self.contents.erase, email))

    def merge_profiles(self, survivor: Identifier, merged: list[Identifier], asked: dict[str, Any]) -> Job:
        """Ask for persons to be merged into ``survivor``; ``asked`` is what the job shows of it."""
        return self._start(self.merges, asked, partial(self.contents.merge, survivor, merged))

    def _start(self, jobs: dict[str, Job], asked: dict[str, Any], work: Callable[[], None]) -> Job:
        with self._lock:
            now = self.timestamp()
            job = Job(uuid.uuid4().hex, asked, iso(now))
            jobs[job.id] = job
            self._agenda.add(now + self.settings.job_lag_seconds, partial(_finish, job, work))
            self.settle()
            return job


def _received(record: Any, refusal: Fault | None) -> Received:
    body = encoded(record)
    problem = TOO_LARGE if len(body) > MAX_RECORD_BYTES else problem_of(record)
    if problem is None and refusal and record["id"] in refusal.ids:
        problem = Problem("/id", refusal.message)
    return record, body, problem


def _finish(job: Job, work: Callable[[], None], at: float) -> None:
    work()
    job.status, job.completed_at = "completed", iso(at)
