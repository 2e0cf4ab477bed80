"""What runs in a process of its own: the live lane under Dagster, until it is done, pauses at a step, or dies there.

The product has no hooks: a step is a function of it that is wrapped before the work begins. A planted defect likewise
puts a wrong function in the place of a right one.
"""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import count
from multiprocessing.connection import Connection
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, Literal

import dagster as dg
import httpx
from sqlalchemy import Engine, event

from bc_ometria.automation.once import failures
from bc_ometria.automation.partitions import change_day
from bc_ometria.definitions import build_defs
from bc_ometria.resources import run_config

Work = Literal["live_sync", "mapping", "delivery"]

GROUPS: dict[Work, tuple[str, ...]] = {
    "live_sync": ("blue_cherry", "sales", "ometria", "delivery"),
    "mapping": ("blue_cherry", "sales", "ometria"),
    "delivery": ("delivery",),
}
"""The asset groups that each work materialises."""

_CLIENT = "bc_ometria.ometria.client:OmetriaClient"

STEPS: dict[str, tuple[str, str, Literal["before", "commit", "after"]]] = {
    "before_mirror_commits": ("bc_ometria.store.mirror", "write", "commit"),
    "after_mirror_commits": ("bc_ometria.store.mirror", "write", "after"),
    "before_documents_commit": ("bc_ometria.store.sales", "put", "commit"),
    "after_documents_commit": ("bc_ometria.store.sales", "put", "after"),
    "before_outbox_commits": ("bc_ometria.assets.ometria", "_put_orders", "commit"),
    "after_outbox_commits": ("bc_ometria.assets.ometria", "_put_orders", "after"),
    "before_claim": ("bc_ometria.store.outbox", "claim", "before"),
    "after_claim": ("bc_ometria.store.outbox", "claim", "after"),
    "before_call": (_CLIENT, "push", "before"),
    "after_call_before_acknowledgement": (_CLIENT, "push", "after"),
    "before_acknowledgement_commits": ("bc_ometria.store.outbox", "acknowledge", "commit"),
    "between_acknowledgement_and_watermark": ("bc_ometria.store.outbox", "acknowledge", "after"),
    "before_proof_commits": ("bc_ometria.store.outbox", "settle", "after"),
    "after_proof_commits": ("bc_ometria.delivery.proof:Prover", "_settle", "after"),
}
"""The steps: a function, and whether before it, just before the commit of what it does, or after it.

A watermark moves in the transaction that writes the rows it stands for. So between an acknowledgement and the next
movement of a watermark lies the rest of the run, and whatever Blue Cherry changed meanwhile.
"""


@dataclass(frozen=True)
class At:
    """The ``time``-th time that a step is reached, of calls and records of ``record_type`` only where one is named."""

    step: str
    time: int = 1
    record_type: str | None = None

    def __str__(self) -> str:
        time = f" number {self.time}" if self.time > 1 else ""
        return f"{self.step}{f' of {self.record_type}s' if self.record_type else ''}{time}"


@dataclass(frozen=True)
class Word:
    """Just before the ``number``-th word to PostgreSQL, Blue Cherry or Ometria: a statement, a commit or a call."""

    number: int

    def __str__(self) -> str:
        return f"before word {self.number}"


Moment = At | Word


@dataclass(frozen=True)
class Instructions:
    """What a victim is told: its whole environment, where to write, and what is to happen in it."""

    environment: Mapping[str, str]
    output: Path
    """Its standard output and its errors."""
    wire: Path
    """The method and the server of every HTTP call, one a line."""
    work: Work = "live_sync"
    die_at: Moment | None = None
    pause_at: Moment | None = None
    defect: Callable[[], None] | None = None


@dataclass(frozen=True)
class Report:
    """How a run ended that came to its end; ``words`` is how many words it said to others."""

    succeeded: bool
    failures: list[str]
    run_id: str
    words: int


def live(told: Instructions, harness: Connection) -> None:
    """Do the work as a process of production does it: settings from the environment, Dagster's instance on disk."""
    os.environ.clear()
    os.environ.update(told.environment)
    with told.output.open("ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    words = Words(told.wire)
    if told.die_at:
        words.act(told.die_at, _die)
    if told.pause_at:
        words.act(told.pause_at, lambda: _pause(harness))
    if told.defect:
        told.defect()
    definitions = build_defs()
    chosen = dg.AssetSelection.groups(*GROUPS[told.work])
    with dg.DagsterInstance.get() as instance:
        result = definitions.resolve_job_def("live_sync").execute_in_process(
            instance=instance,
            partition_key=change_day.get_last_partition_key(),
            asset_selection=sorted(chosen.resolve(definitions.resolve_asset_graph())),
            run_config=run_config(only_new=True),
            raise_on_error=False,
        )
        problems = failures(result)
    sys.stdout.write("".join(f"{problem}\n" for problem in problems))
    sys.stdout.flush()
    harness.send(Report(result.success, problems, result.run_id, words.spoken))


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _pause(harness: Connection) -> None:
    """Wait until the harness lets it go on; it may say how many seconds the machine has slept meanwhile."""
    harness.send("paused")
    slept, awake = harness.recv(), time.monotonic
    time.monotonic = lambda: awake() + slept


class Words:
    """What this process says to others; and what happens at a moment of it."""

    def __init__(self, wire: Path) -> None:
        self.spoken = 0
        self._wire = wire
        self._acts: dict[int, Callable[[], None]] = {}
        self._lock = threading.Lock()
        self._thread = threading.local()
        event.listen(Engine, "before_cursor_execute", lambda *_: self._say())
        event.listen(Engine, "commit", lambda _: self._commit())
        self._send = httpx.Client.send
        httpx.Client.send = lambda client, request, **options: self._call(client, request, **options)  # type: ignore[method-assign]

    def act(self, moment: Moment, act: Callable[[], None]) -> None:
        """Have ``act`` done at a moment, in the thread that comes to it."""
        if isinstance(moment, Word):
            self._acts[moment.number] = act
            return
        owner, name, place = STEPS[moment.step]
        home = resolve_name(owner)
        real, times = getattr(home, name), count(1)

        def reached() -> None:
            if next(times) == moment.time:
                act()

        def step(*args: Any, **options: Any) -> Any:
            if moment.record_type and moment.record_type not in args:
                return real(*args, **options)
            if place == "before":
                reached()
            self._thread.at_commit = reached if place == "commit" else None
            outcome = real(*args, **options)
            self._thread.at_commit = None
            if place == "after":
                reached()
            return outcome

        setattr(home, name, step)

    def _say(self) -> None:
        with self._lock:
            self.spoken += 1
            act = self._acts.get(self.spoken)
        if act:
            act()

    def _commit(self) -> None:
        self._say()
        if at_commit := getattr(self._thread, "at_commit", None):
            at_commit()

    def _call(self, client: httpx.Client, request: httpx.Request, **options: Any) -> httpx.Response:
        """The project makes all its calls with httpx."""
        with self._wire.open("a") as file:
            file.write(f"{request.method} {request.url.copy_with(path='/', query=None)}\n")
        self._say()
        return self._send(client, request, **options)
