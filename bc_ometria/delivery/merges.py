"""Customers that Blue Cherry merged, merged in Ometria too: one call a minute, apart from all other delivery."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import Engine

from bc_ometria.ometria.client import MAX_MERGED, OmetriaClient
from bc_ometria.ometria.connection import masked
from bc_ometria.ometria.errors import AccessRefused, NotReceived, OmetriaError, OutcomeUnknown, PayloadRefused
from bc_ometria.rules import Account
from bc_ometria.store import exceptions, merges
from bc_ometria.store.merges import Asked

_FAILED = frozenset({"failed", "failure", "error", "rejected", "cancelled", "canceled"})
"""What a job's status may say of one that came to nothing; the contract names no status."""

_POLL_S = 1.0
_LOOK_AGAIN_S = 60.0
_TRY_AGAIN_S = 60.0
_FAILED_AGAIN_S = 86_400.0
_LONGEST_S = 86_400.0  # for which Ometria may work on a merge (ours)


@dataclass(frozen=True)
class Merged:
    """What came of it: calls, and customers who were ``asked`` for, are ``done``, or ``failed``; ``problems`` say why,
    each kind once."""

    calls: int = 0
    asked: int = 0
    done: int = 0
    failed: int = 0
    problems: frozenset[str] = field(default_factory=frozenset)

    def __add__(self, other: "Merged") -> "Merged":
        return Merged(
            self.calls + other.calls,
            self.asked + other.asked,
            self.done + other.done,
            self.failed + other.failed,
            self.problems | other.problems,
        )


def merge_customers(
    engine: Engine,
    ometria: OmetriaClient,
    account: Account,
    *,
    wait_for: float = 20.0,
    progress: Callable[[Merged], None] = lambda merged: None,
) -> Merged:
    """Ask Ometria for every merge that is due, and look whether it has done those that it was asked for.

    A merge is done when Ometria has the contact of the merged customer no more: what a job's status says is no proof.
    One of which no reply came is looked for first, and asked for again where Ometria has not done it
    ``account.read_back_until`` seconds later. ``wait_for``: seconds after the last call for which its merges are waited
    for. Raises ``AccessRefused`` where Ometria refuses the key.
    """
    done = Merged()
    wait_until = time.monotonic() + wait_for
    while True:
        while merges.is_any_ready(engine, account.read_back_until):
            ometria.budget.acquire("merge")
            # Not before the turn has come: what is due may be another one by then.
            asked = _ask(engine, ometria, account)
            if not asked.calls:  # another process is at it
                return done
            done += asked
            wait_until = time.monotonic() + wait_for
            progress(done)
        looked, are_open = _look(engine, ometria, account, is_last=time.monotonic() + _POLL_S > wait_until)
        done += looked
        if not are_open:
            return done
        progress(done)
        time.sleep(_POLL_S)


def _ask(engine: Engine, ometria: OmetriaClient, account: Account) -> Merged:
    call = merges.begin_call(engine, MAX_MERGED, account.read_back_until)
    if call is None:
        ometria.budget.give_back("merge", 1)
        return Merged()
    made = Merged(calls=1, asked=len(call.merged))
    try:
        job_id = ometria.merge(call.survivor, call.merged, has_turn=True)
    except AccessRefused:
        merges.ask_again(engine, call.merged, 0)
        raise
    except NotReceived as error:
        merges.ask_again(engine, call.merged, _TRY_AGAIN_S)
        return Merged(calls=1, problems=frozenset({str(error)}))
    except PayloadRefused as error:
        return replace(made, problems=frozenset({str(error)})) + _fail(engine, call.merged, str(error))
    except OutcomeUnknown as error:
        return replace(made, problems=frozenset({str(error)}))
    merges.note_job(engine, call.merged, job_id)
    return made


def _look(engine: Engine, ometria: OmetriaClient, account: Account, *, is_last: bool) -> tuple[Merged, bool]:
    """Look once for what Ometria was asked for; whether it is to be looked for again now."""
    looked, are_open = Merged(), False
    jobs: dict[str, dict[str, Any] | None] = {}
    for asked in merges.asked(engine):
        try:
            if ometria.contact(account.collection, asked.merged) is None:
                looked += _finish(engine, asked.merged)
                continue
            if asked.job_id and asked.job_id not in jobs:
                jobs[asked.job_id] = ometria.merge_job(asked.job_id)
        except AccessRefused:
            raise
        except OmetriaError as error:
            looked += Merged(problems=frozenset({str(error)}))
            merges.look_again(engine, [asked.merged], _LOOK_AGAIN_S)
            continue
        job = jobs.get(asked.job_id or "")
        if why := _why_not(asked, job, account.read_back_until):
            looked += _fail(engine, [asked.merged], why)
        elif not job and asked.asked_s > account.read_back_until:
            merges.ask_again(engine, [asked.merged], 0)
        elif is_last:
            merges.look_again(engine, [asked.merged], _LOOK_AGAIN_S)
        else:
            are_open = True
    return looked, are_open


def _why_not(asked: Asked, job: dict[str, Any] | None, settles_in: float) -> str:
    """Why a merge has come to nothing whose contact Ometria still shows; blank where it may yet be done."""
    status = str(job.get("status", "")).lower() if job else ""
    if status in _FAILED:
        said = job.get("message") or job.get("error") if job else ""
        words = f": {masked(said)[:200]}" if isinstance(said, str) and said else ""
        return f"Ometria's job ended as {status}{words}"
    if status.startswith("complete") and asked.asked_s > settles_in:
        return "Ometria says that it is done, and still shows the merged contact"
    return "Ometria has not done it within a day" if job and asked.asked_s > _LONGEST_S else ""


def _finish(engine: Engine, merged: str) -> Merged:
    with engine.begin() as connection:
        merges.finish(connection, [merged])
        exceptions.mend(connection, exceptions.MERGE_FAILED, "contact", [merged])
        exceptions.close_mended(connection, "contact")
    return Merged(done=1)


def _fail(engine: Engine, merged: Sequence[str], why: str) -> Merged:
    with engine.begin() as connection:
        merges.fail(connection, merged, _FAILED_AGAIN_S)
        for customer in merged:
            exceptions.open_one(connection, "merge_failed", "contact", customer, why)
    return Merged(failed=len(merged))
