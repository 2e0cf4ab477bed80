"""The product's delivery in a process of its own, as a run has one: how fast it is, and how much memory it takes."""

import json
import os
import resource
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from sqlalchemy import Engine

from bc_ometria.delivery.budget import SharedBudget
from bc_ometria.delivery.dispatch import Delivered, deliver
from bc_ometria.ometria.budget import Limits, Unlimited
from bc_ometria.ometria.client import OmetriaClient
from bc_ometria.rules import Rules
from bc_ometria.store.database import connect
from benchmarks.stand_ins import KEY

_DATABASE = "BENCHMARK_DATABASE_URL"
_LONGEST_S = 3_600


@dataclass(frozen=True)
class Delivery:
    """Records that Ometria accepted, the seconds and the processor time that it took, and the peak of the memory."""

    accepted: int
    seconds: float
    processor_s: float
    peak_rss_mb: float


def deliver_and_prove(engine: Engine, ometria_url: str) -> Delivery:
    """Deliver all that is due at the account's rates, until it is proved."""
    return _in_its_own_process(engine, ometria_url, "all")


def push(engine: Engine, ometria_url: str, records: int) -> Delivery:
    """``push_at_no_limit`` in a process of its own."""
    return _in_its_own_process(engine, ometria_url, str(records))


def push_at_no_limit(engine: Engine, ometria_url: str, records: int) -> None:
    """Deliver so many records without any rate, until the last is accepted.

    Next to nothing is read back meanwhile: at Ometria's rates the proof keeps up with the pushes, but not with so many.
    Raises ``RuntimeError`` where a record does not get through at once.
    """
    rules = Rules.load()
    account = rules.account.model_copy(
        update={"read_back_lists": False, "read_back_sample": 1e-9, "read_back_after": 60.0}
    )

    def end_with_the_last(delivered: Delivered) -> None:
        pushed = delivered.pushed
        if pushed.problems or pushed.refused:
            raise RuntimeError(f"not every record got through: {pushed.problems or pushed.refused}")
        if pushed.accepted.total() >= records:
            raise _AllAccepted

    try:
        with OmetriaClient(f"{ometria_url}/v2", KEY, budget=Unlimited()) as client:
            rules = rules.model_copy(update={"account": account})
            deliver(engine, client, rules, prove_for=0, progress=end_with_the_last)
    except _AllAccepted:
        return
    raise RuntimeError(f"there were fewer than {records:,} records to deliver")


class _AllAccepted(Exception):
    """Nothing is left to be pushed."""


def _in_its_own_process(engine: Engine, ometria_url: str, records: str) -> Delivery:
    """Runs this module."""
    command = [sys.executable, "-m", "benchmarks.product", ometria_url, records]
    environment = {**os.environ, _DATABASE: engine.url.render_as_string(hide_password=False)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=_LONGEST_S)
    if done.returncode:
        raise RuntimeError(f"the delivery failed: {done.stderr.strip().splitlines()[-1]}")
    return Delivery(**json.loads(done.stdout))


def _deliver(ometria_url: str, records: str) -> Delivery:
    engine, rules = connect(os.environ[_DATABASE]), Rules.load()
    began, busy = time.perf_counter(), time.process_time()
    if records == "all":
        budget = SharedBudget(engine, Limits(**rules.account.limits.model_dump()))
        with OmetriaClient(f"{ometria_url}/v2", KEY, budget=budget) as client:
            accepted = deliver(engine, client, rules).pushed.accepted.total()
    else:
        accepted = int(records)
        push_at_no_limit(engine, ometria_url, accepted)
    seconds, processor_s = time.perf_counter() - began, time.process_time() - busy
    return Delivery(accepted, seconds, processor_s, _peak_rss_mb())


def _peak_rss_mb() -> float:
    status = Path("/proc/self/status")
    if status.exists():  # Linux's getrusage also counts what the process was before: a copy of the one that began it
        return int(status.read_text().split("VmHWM:")[1].split()[0]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asdict(_deliver(*sys.argv[1:]))))
