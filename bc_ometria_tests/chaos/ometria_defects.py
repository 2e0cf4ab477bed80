"""Planted defects in what the project makes of Ometria's answers: each puts a wrong function in place of a right one.

They run in a victim before its work begins. ``impatient`` is none: it only saves the tests from waiting.
"""

from collections.abc import Callable, Sequence
from typing import Any
from uuid import uuid4

import orjson
import pandas as pd

from bc_ometria.delivery import dispatch, late, pace, proof, push
from bc_ometria.delivery.proof import Pair, Proved, Prover
from bc_ometria.delivery.push import Push, Pushed
from bc_ometria.delivery.refusals import Errors, refuse
from bc_ometria.ometria.client import OmetriaClient, PushReply
from bc_ometria.ometria.connection import Connection
from bc_ometria.ometria.errors import AccessRefused, OmetriaError, OutcomeUnknown
from bc_ometria.store import outbox
from bc_ometria.store.outbox import Claimed

PATIENCE_S = 2.0
"""How long an impatient victim waits for an answer."""


def impatient() -> None:
    """Wait for Ometria two seconds instead of thirty."""
    assert OmetriaClient.__init__.__kwdefaults__["timeout"] == 30
    OmetriaClient.__init__.__kwdefaults__["timeout"] = PATIENCE_S


def tells_an_event_again() -> None:
    """An event of which no reply came is sent again, like any other record."""
    impatient()
    push.hold_unknown_batch = lambda engine, records: outbox.give_back(engine, "custom_event", records, arrived=True)


def tells_an_event_again_under_a_new_id() -> None:
    """A retry without a stable id."""
    impatient()

    def again(real: Callable[..., PushReply], record_type: str, payloads: Sequence[bytes], **options: Any) -> PushReply:
        if record_type == "custom_event":
            payloads = [orjson.dumps({**orjson.loads(each), "id": uuid4().hex}) for each in payloads]
        return real(record_type, payloads, **options)

    _on_error(OutcomeUnknown, again)


def takes_silence_for_a_202() -> None:
    """Whatever is no refusal counts as accepted."""
    impatient()
    _on_error(
        OutcomeUnknown, lambda real, record_type, payloads, **options: PushReply("", len(payloads), 0, None, None)
    )


def takes_a_403_for_a_refusal_of_the_records() -> None:
    """A refused key counts as records that Ometria rejects."""
    _on_error(AccessRefused, lambda real, record_type, payloads, **options: PushReply("", 0, len(payloads), None, None))
    OmetriaClient.errors = lambda self: []  # type: ignore[method-assign]


def follows_redirects() -> None:
    """Redirects are followed, with all that the call carries."""
    impatient()
    real = Connection.__init__

    def init(self: Connection, *args: Any) -> None:
        real(self, *args)
        self._http.follow_redirects = True

    Connection.__init__ = init  # type: ignore[method-assign]


def holds_the_whole_call() -> None:
    """Where some records of a call are rejected, all of them are held."""

    def halves(self: Push, record_type: str, records: Sequence[Claimed], start_by: float) -> Pushed:
        outbox.acknowledge(self.engine, record_type, records, "")
        return self._refused(record_type, records, "")

    Push._halves = halves  # type: ignore[method-assign]


def reads_the_errors_by_position() -> None:
    """As many records are held as the errors ring has entries, whoever the entries are about."""

    def read(engine: Any, ometria: OmetriaClient) -> Errors:
        for record, _ in zip(outbox.unproved(engine, "order", 100), ometria.errors(), strict=False):
            refuse(engine, "order", record.record_id, None, "refused")
        return Errors()

    proof.read_errors = read


def takes_a_202_for_stored() -> None:
    """Nothing is read back: what was accepted counts as confirmed."""

    def look_at(self: Prover, record_type: str, oldest: Any) -> Proved:
        shown: list[Pair] = [
            (each, orjson.loads(each.payload)) for each in outbox.unproved(self.engine, record_type, 9999)
        ]
        return self._settle(record_type, shown)

    Prover._look_at = look_at  # type: ignore[method-assign]


def keeps_no_pace() -> None:
    """Every event goes as soon as it may."""
    pace.goes_at = lambda events, sent, pace, now: pd.Series(now, index=events.index, dtype="datetime64[us, UTC]")


def knows_no_cliff() -> None:
    """However old, an event goes."""
    late.hold_late = lambda engine: 0
    dispatch.late.hold_late = late.hold_late
    outbox._EVENT_MAY_GO = "true"
    keeps_no_pace()


def quotes_the_records() -> None:
    """An error's message holds what was sent."""

    def quote(real: Callable[..., PushReply], record_type: str, payloads: Sequence[bytes], **options: Any) -> PushReply:
        raise OutcomeUnknown(f"Ometria did not take {b', '.join(payloads).decode()}")

    _on_error(OmetriaError, quote)


def _on_error(kind: type[OmetriaError], instead: Callable[..., PushReply]) -> None:
    """Where a push raises ``kind``, do something else: ``instead`` gets the real push and its arguments."""
    real = OmetriaClient.push

    def push(self: OmetriaClient, record_type: str, payloads: Sequence[bytes], **options: Any) -> PushReply:
        try:
            return real(self, record_type, payloads, **options)
        except kind:
            options = {**options, "has_turn": False}
            return instead(lambda *args, **again: real(self, *args, **again), record_type, payloads, **options)

    OmetriaClient.push = push  # type: ignore[method-assign]
