"""Send what is due: the most urgent first, full calls, each record in one call at a time."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import orjson
from sqlalchemy import Engine

from bc_ometria.delivery.budget import note_lost_push, note_reply
from bc_ometria.delivery.late import hold_unknown_batch
from bc_ometria.delivery.refusals import refuse
from bc_ometria.ometria.client import OmetriaClient, PushReply
from bc_ometria.ometria.errors import AccessRefused, NotReceived, OmetriaError, OutcomeUnknown, PayloadRefused
from bc_ometria.ometria.personal import without_personal
from bc_ometria.store import outbox
from bc_ometria.store.lanes import LIVE
from bc_ometria.store.order_events import RECORD_TYPE as EVENT
from bc_ometria.store.outbox import Batch, Claimed

_NO_RECORD_IS_TO_BLAME = 10  # refused alone, one after the other and none accepted: the cause is not in them (ours)


@dataclass(frozen=True)
class Pushed:
    """What some calls did: records by type. ``put_back`` ones go again by themselves; ``problems`` say why, each kind
    once; ``waited_s`` is how long live records waited in the outbox until they were accepted. ``suspects`` are records
    that were refused as the only one of a call, with Ometria's words, and are not held yet."""

    accepted: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    put_back: Counter[str] = field(default_factory=Counter)
    calls: Counter[str] = field(default_factory=Counter)
    problems: frozenset[str] = frozenset()
    waited_s: tuple[float, ...] = ()
    suspects: tuple[tuple[Claimed, str], ...] = ()

    def __add__(self, other: "Pushed") -> "Pushed":
        return Pushed(
            self.accepted + other.accepted,
            self.refused + other.refused,
            self.put_back + other.put_back,
            self.calls + other.calls,
            self.problems | other.problems,
            (self.waited_s + other.waited_s)[-_WAITS_KEPT:],
            self.suspects + other.suspects,
        )


_WAITS_KEPT = 1000


@dataclass(frozen=True)
class Push:
    """Sends batches whose turn has come. ``resend_events``: an event of which no reply came goes again."""

    engine: Engine
    ometria: OmetriaClient
    resend_events: bool = False

    def __call__(self, batch: Batch) -> Pushed:
        """Make the call, and write to the outbox what its reply means for each record.

        Raises ``AccessRefused`` where Ometria refuses the key: nothing is marked as bad, all stays wanted.
        """
        done = self._push(batch.record_type, batch.records, batch.start_by, has_turn=True)
        return done if not done.suspects else self._judged(batch.record_type, done)

    def _judged(self, record_type: str, done: Pushed) -> Pushed:
        """Hold the records that were refused alone; where so many were and none was accepted, send them again."""
        records, number = [record for record, _ in done.suspects], Counter({record_type: len(done.suspects)})
        if _is_of_the_account(done):
            outbox.give_back(self.engine, record_type, records, arrived=False)
            record, words = done.suspects[0]
            told = without_personal(words, orjson.loads(record.payload))
            problem = f"{told} It refuses every record alike, so none is held; all go again later."
            return replace(done, suspects=(), put_back=done.put_back + number, problems=done.problems | {problem})
        outbox.acknowledge(self.engine, record_type, records, "")
        for record, words in done.suspects:
            refuse(self.engine, record_type, record.record_id, None, words)
        return replace(done, suspects=(), refused=done.refused + number)

    def _push(self, record_type: str, records: Sequence[Claimed], start_by: float, *, has_turn: bool = False) -> Pushed:
        made = Counter({record_type: 1})
        try:
            payloads = [record.payload for record in records]
            reply = self.ometria.push(record_type, payloads, start_by=start_by, has_turn=has_turn)
        except AccessRefused:
            outbox.give_back(self.engine, record_type, records, arrived=False, counts=False)
            raise
        except PayloadRefused as error:
            if len(records) > 1:
                return Pushed(calls=made) + self._halves(record_type, records, start_by)
            return Pushed(calls=made, suspects=((records[0], str(error)),))
        except NotReceived as error:
            outbox.give_back(self.engine, record_type, records, arrived=False)
            return self._put_back(record_type, records, error)
        except OutcomeUnknown as error:
            note_lost_push(self.engine)
            if record_type == EVENT and not self.resend_events:
                hold_unknown_batch(self.engine, records)
                return Pushed(calls=made, problems=frozenset({f"{error} Events are not told twice: they are held."}))
            outbox.give_back(self.engine, record_type, records, arrived=True)
            return self._put_back(record_type, records, error)
        note_reply(self.engine, reply.queue_limit, reply.queue_remaining)
        if 0 < reply.rejected < len(records) and record_type != EVENT:
            # Which records it means is not documented. To send the others twice changes nothing in Ometria.
            return Pushed(calls=made) + self._halves(record_type, records, start_by)
        outbox.acknowledge(self.engine, record_type, records, reply.request_id)
        if reply.rejected >= len(records):
            return self._refused(record_type, records, reply.request_id)
        return self._accepted(record_type, records, reply)

    def _halves(self, record_type: str, records: Sequence[Claimed], start_by: float) -> Pushed:
        """Find the records for which Ometria refuses a call, so that their neighbours go."""
        middle = len(records) // 2
        done = self._push(record_type, records[:middle], start_by)
        if _is_of_the_account(done):
            outbox.give_back(self.engine, record_type, records[middle:], arrived=False)
            return done + Pushed(put_back=Counter({record_type: len(records) - middle}))
        return done + self._push(record_type, records[middle:], start_by)

    def _accepted(self, record_type: str, records: Sequence[Claimed], reply: PushReply) -> Pushed:
        problem = (
            f"Ometria counted {reply.rejected} of the {len(records)} events of the call {reply.request_id} as rejected "
            "without naming them. They are not told again; ask Ometria's support about that request."
        )
        now = datetime.now(UTC)
        return Pushed(
            accepted=Counter({record_type: len(records)}),
            calls=Counter({record_type: 1}),
            problems=frozenset({problem} if reply.rejected else ()),
            waited_s=tuple((now - record.queued_at).total_seconds() for record in records if record.lane in LIVE),
        )

    def _put_back(self, record_type: str, records: Sequence[Claimed], error: OmetriaError) -> Pushed:
        return Pushed(
            put_back=Counter({record_type: len(records)}),
            calls=Counter({record_type: 1}),
            problems=frozenset({str(error)}),
        )

    def _refused(self, record_type: str, records: Sequence[Claimed], request_id: str) -> Pushed:
        """Hold every one of the records, with Ometria's own words where the errors ring has some."""
        said = self._words(record_type, request_id)
        for record in records:
            words = said.get(record.record_id, "Ometria counted it as rejected, and says no more")
            refuse(self.engine, record_type, record.record_id, request_id, words)
        return Pushed(refused=Counter({record_type: len(records)}), calls=Counter({record_type: 1}))

    def _words(self, record_type: str, request_id: str) -> dict[str, str]:
        try:
            errors = self.ometria.errors()
        except AccessRefused:
            raise
        except OmetriaError:
            return {}
        return {
            error.record_id: error.message
            for error in errors
            if error.record_id and error.request_id == request_id and error.record_type in (None, record_type)
        }


def _is_of_the_account(done: Pushed) -> bool:
    return len(done.suspects) >= _NO_RECORD_IS_TO_BLAME and not done.accepted
