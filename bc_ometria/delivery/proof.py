"""Read back what was accepted: nothing counts as synced until Ometria has shown it."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from itertools import islice
from typing import Any

import orjson
from sqlalchemy import Engine

from bc_ometria.delivery.refusals import Errors, read_errors
from bc_ometria.ometria.client import PAGE_SIZE, OmetriaClient
from bc_ometria.ometria.comparison import differences, opt_outs_of_ometria, opted_out_after_all
from bc_ometria.ometria.errors import AccessRefused, OmetriaError
from bc_ometria.rules import Account
from bc_ometria.store import exceptions, order_events, outbox, unsubscribes
from bc_ometria.store.lanes import LANES
from bc_ometria.store.order_events import RECORD_TYPE as EVENT
from bc_ometria.store.outbox import Outcome, Sent

_FEW = 4  # up to here single reads cost fewer seconds of the budget than pages that hold other records too
_FEW_OF_LIVE = 40  # while a drain goes on, whose records fill the pages
_ONE_BY_ONE = 200  # records looked up singly in one look: overdue ones, and where the account has no lists
_LOST = 2_000  # looked for in one look: what a process has under way, so that one reading of the lists is enough
_MARGIN = timedelta(seconds=2)  # between a record's stamp in a list and the answer to its push
_CLOCKS_APART = timedelta(minutes=5)  # where Ometria does not tell its time, which may be behind ours
_SHOWN_FIELDS = 5  # of those that differ, in an exception

Pair = tuple[Sent, dict[str, Any] | None]
"""A record with what Ometria shows of it."""


@dataclass(frozen=True)
class Proved:
    """Outcome of reading back, records by type.

    ``repaired`` ones differed and go again, ``drifted`` ones differ after their repair, ``again`` ones were lost on
    their way and go again, ``open`` ones Ometria has not shown yet. ``problems`` say what kept a look from seeing all.
    """

    confirmed: Counter[str] = field(default_factory=Counter)
    accepted: Counter[str] = field(default_factory=Counter)
    repaired: Counter[str] = field(default_factory=Counter)
    drifted: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    again: Counter[str] = field(default_factory=Counter)
    open: Counter[str] = field(default_factory=Counter)
    problems: frozenset[str] = frozenset()

    def __add__(self, other: "Proved") -> "Proved":
        return Proved(
            self.confirmed + other.confirmed,
            self.accepted + other.accepted,
            self.repaired + other.repaired,
            self.drifted + other.drifted,
            self.refused + other.refused,
            self.again + other.again,
            other.open,
            self.problems | other.problems,
        )

    @property
    def settled(self) -> int:
        """How many records came to an end, so that what waits for them may go."""
        outcomes = (self.confirmed, self.accepted, self.repaired, self.drifted, self.refused, self.again)
        return sum(outcome.total() for outcome in outcomes)


@dataclass
class Prover:
    """Compares what Ometria shows with what it accepted, one look after the other.

    A look goes back to the oldest unproved record, but not beyond the beginning of the look before.
    A record that is missing or different ``account.read_back_until`` seconds after it was accepted has drifted: an
    exception with both values, and one repair.
    """

    engine: Engine
    ometria: OmetriaClient
    account: Account
    _seen_until: dict[str, datetime] = field(default_factory=dict)

    def look(self, lanes: Sequence[str] = LANES) -> Proved:
        """Read the errors ring, then look once at everything in these lanes that is unproved.

        Raises ``AccessRefused`` where Ometria refuses the key; other failed calls only cost time.
        """
        errors = read_errors(self.engine, self.ometria)
        proved = Proved(refused=errors.held, problems=_told(errors))
        for record_type, unproved in outbox.unproved_by_type(self.engine, lanes).items():
            if record_type == EVENT:  # Ometria shows none: accepted and not refused is what can be known
                taken = order_events.accept(self.engine, self.account.read_back_after)
                proved += Proved(accepted=Counter({EVENT: taken}))
            else:
                proved += self._look_for_lost(record_type)
                proved += self._look_at(record_type, unproved.oldest, lanes)
        still = outbox.unproved_by_type(self.engine, lanes)
        return proved + Proved(open=Counter({each: of_type.records for each, of_type in still.items()}))

    def _look_for_lost(self, record_type: str) -> Proved:
        """Whether Ometria has the records whose sender died; those that it has not go again."""
        has_lists = self.account.read_back_lists and record_type != "product"
        lost = outbox.unproved(self.engine, record_type, _LOST if has_lists else _ONE_BY_ONE, lost=True)
        ids = {record.record_id for record in lost}
        try:
            if len(lost) <= _FEW or not has_lists:
                shown = {record.record_id: self._read(record_type, record.record_id) for record in lost}
            else:
                since = self._at_ometria(min(record.accepted_at for record in lost))
                listed = ((str(each.get("id")), each) for each in self._stored_since(record_type, since))
                shown = {id: each for id, each in listed if id in ids}  # most of the list is what others sent since
        except AccessRefused:
            raise
        except OmetriaError as error:
            return Proved(problems=frozenset({str(error)}))
        equal = [each for each in lost if not differences(orjson.loads(each.payload), shown.get(each.record_id))]
        others = [each for each in lost if each not in equal]
        confirmed = self._confirm(record_type, equal)
        with self.engine.begin() as connection:
            again = outbox.settle(connection, record_type, others, "again")
        return Proved(confirmed=Counter({record_type: confirmed}), again=Counter({record_type: len(again)}))

    def _look_at(self, record_type: str, oldest: datetime, lanes: Sequence[str]) -> Proved:
        proved = Proved()
        try:
            for shown in self._shown(record_type, oldest, lanes):
                proved += self._settle(record_type, shown)
        except AccessRefused:
            raise
        except OmetriaError as error:
            return proved + Proved(problems=frozenset({str(error)}))
        return proved

    def _shown(self, record_type: str, oldest: datetime, lanes: Sequence[str]) -> Iterator[list[Pair]]:
        """Unproved records with what Ometria shows of them, a part at a time."""
        at_most = _FEW if lanes == LANES else _FEW_OF_LIVE
        few = outbox.unproved(self.engine, record_type, at_most + 1, lanes=lanes)
        if not self.account.read_back_lists or record_type == "product":
            yield from self._sampled(record_type, lanes)
        elif len(few) <= at_most:
            yield from self._one_by_one(record_type, few)
        else:
            began = self._at_ometria(datetime.now(UTC))
            listed = self._listed(record_type, oldest)
            while page := {str(shown.get("id")): shown for shown in islice(listed, PAGE_SIZE)}:
                records = outbox.unproved(self.engine, record_type, len(page), lanes=lanes, of=list(page))
                yield [(record, page[record.record_id]) for record in records]
            self._seen_until[record_type] = began
            until = self.account.read_back_until
            overdue = outbox.unproved(self.engine, record_type, _ONE_BY_ONE, lanes=lanes, min_age=until)
            yield from self._one_by_one(record_type, overdue)

    def _listed(self, record_type: str, oldest: datetime) -> Iterator[dict[str, Any]]:
        """What Ometria stored since the look before, or since it accepted the oldest unproved record."""
        accepted = self._at_ometria(oldest)
        return self._stored_since(record_type, max(self._seen_until.get(record_type, accepted), accepted))

    def _stored_since(self, record_type: str, since: datetime) -> Iterator[dict[str, Any]]:
        since -= _MARGIN if self.ometria.knows_ometria_time else _CLOCKS_APART
        if record_type == "contact":
            return self.ometria.contacts(self.account.collection, since)
        return self.ometria.orders(since)

    def _at_ometria(self, at: datetime) -> datetime:
        """Our time by Ometria's clock; where that is ahead our own, in case it was set forward since."""
        return min(at, self.ometria.ometria_time(at))

    def _sampled(self, record_type: str, lanes: Sequence[str]) -> Iterator[list[Pair]]:
        """Records of the tenant's sample, one by one; the others end as accepted."""
        wait = self.account.read_back_after
        records = outbox.unproved(self.engine, record_type, _ONE_BY_ONE, lanes=lanes, min_age=wait)
        chosen = [record for record in records if _share(record) < self.account.read_back_sample]
        others = [record for record in records if _share(record) >= self.account.read_back_sample]
        with self.engine.begin() as connection:
            outbox.settle(connection, record_type, others, "accepted")
        yield from self._one_by_one(record_type, chosen)

    def _one_by_one(self, record_type: str, records: Sequence[Sent]) -> Iterator[list[Pair]]:
        for record in records:
            yield [(record, self._read(record_type, record.record_id))]

    def _read(self, record_type: str, record_id: str) -> dict[str, Any] | None:
        if record_type == "contact":
            return self.ometria.contact(self.account.collection, record_id)
        return self.ometria.order(record_id) if record_type == "order" else self.ometria.product(record_id)

    def _settle(self, record_type: str, shown: Sequence[Pair]) -> Proved:
        """Write what the comparison says; what differs but is not overdue is left for another look."""
        drift_before = datetime.now(UTC) - timedelta(seconds=self.account.read_back_until)
        equal: list[Sent] = []
        opt_outs: list[tuple[str, str, datetime]] = []
        overdue: dict[Outcome, dict[Sent, str]] = {"repair": {}, "drift": {}}
        for record, seen in shown:
            payload = orjson.loads(record.payload)
            found = differences(payload, seen)
            if record_type == "contact" and seen:
                at = _unsubscribed(seen)
                opt_outs += [(record.record_id, channel, at) for channel in opted_out_after_all(payload, seen)]
            if not found:
                equal.append(record)
            elif record.accepted_at < drift_before:
                # A repair would send our consent again, over an opt-out that was made at Ometria (P2).
                outcome: Outcome = "drift" if seen and opt_outs_of_ometria(payload, seen) else "repair"
                overdue[outcome][record] = "; ".join(map(str, found[:_SHOWN_FIELDS]))
        states: Counter[str] = Counter()
        with self.engine.begin() as connection:
            unsubscribes.note_seen(connection, opt_outs)
        confirmed = self._confirm(record_type, equal)
        for outcome, told in overdue.items():
            with self.engine.begin() as connection:
                settled = outbox.settle(connection, record_type, list(told), outcome)
                states.update(settled.values())
                for record, fields in told.items():
                    if record.record_id in settled:
                        exceptions.open_one(connection, "drift", record_type, record.record_id, fields)
        return Proved(
            confirmed=Counter({record_type: confirmed}),
            repaired=Counter({record_type: states["wanted"]}),
            drifted=Counter({record_type: states["drift"]}),
        )

    def _confirm(self, record_type: str, equal: Sequence[Sent]) -> int:
        # A transaction of its own: it locks records and then exceptions, and behind those no more records, as all do.
        with self.engine.begin() as connection:
            confirmed = outbox.settle(connection, record_type, equal, "confirmed")
            exceptions.mend(connection, "drift", record_type, list(confirmed))
        return len(confirmed)


def _unsubscribed(shown: dict[str, Any]) -> datetime:
    """When the person opted out by what Ometria shows, now where it does not say."""
    now = datetime.now(UTC)
    try:
        at = datetime.fromisoformat(shown["timestamp_unsubscribed"])
    except (KeyError, TypeError, ValueError):
        return now
    return min(at, now) if at.tzinfo else now


def _share(record: Sent) -> float:
    """Where in [0, 1) the record stands in its sample: always the same for one version of it."""
    digest = blake2b(f"{record.record_id} {record.version}".encode(), digest_size=6).digest()
    return int.from_bytes(digest) / 256**6


def _told(errors: Errors) -> frozenset[str]:
    told = []
    if errors.wrapped:
        told.append(
            "Ometria's errors ring has turned since it was last read: refusals may be lost. Contacts and orders are "
            "read back all the same; whether it refused events that it accepted meanwhile is not known."
        )
    if errors.problem:
        told.append(f"Ometria's errors ring could not be read, and is read again by itself: {errors.problem}")
    if errors.unnamed:
        told.append("Ometria refused records without naming them: the read back finds contacts and orders that miss.")
    return frozenset(told)
