"""Any order of mapping, sending, failing, dying and reading back leaves the outbox true (truths 1 and 2)."""

from collections import Counter
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import Engine, text

from bc_ometria.store import outbox
from bc_ometria.store.outbox import Claimed
from bc_ometria.store.schema import SCHEMA
from bc_ometria_tests.store.records import (
    claim,
    decided,
    end_leases,
    end_waits,
    excluded,
    give_back,
    put,
    reject,
    settle,
)
from bc_ometria_tests.store.rows import table

IDS = ("1", "2")
HELD, EXCLUDED = "held: unmapped_status", "excluded: wholesale"
FATES = ("accepted", "accepted", "accepted and never stored", "not received", "received unheard", "lost")
DEAD_FOR = timedelta(seconds=outbox.LEASE_SECONDS + 1)

ids = st.sampled_from(IDS)
outcomes = st.sampled_from(["A", "A", "B", "B", "C", HELD, EXCLUDED])


@dataclass
class Call:
    """A push under way: its records, and which decision about each of them was the newest when it began."""

    batch: list[Claimed]
    decisions: dict[str, int]
    arrived: bool = False


class Delivery(RuleBasedStateMachine):
    """The outbox beside what really happened: what is wanted, which calls are under way, what Ometria has."""

    def __init__(self, engine: Engine) -> None:
        super().__init__()
        self.engine = engine
        self.wanted: dict[str, str] = {}  # a version, or "held: …" or "excluded: …"
        self.decision: Counter[str] = Counter()
        self.calls: list[Call] = []
        self.dead: list[Call] = []
        self.ometria: dict[str, str] = {}
        self.newest: Counter[str] = Counter()  # the newest decision that reached Ometria
        self.refused: set[tuple[str, str]] = set()  # the latest of that version was accepted and never stored

    @initialize(confirmed=st.booleans())
    def begin(self, confirmed: bool) -> None:
        with self.engine.begin() as connection:
            connection.execute(text(f"TRUNCATE {SCHEMA}.outbox"))
        if confirmed:
            self.map("1", "A")
            self.deliver(None, "accepted")
            self.look(errors_too=False)

    @rule(id=ids, outcome=outcomes)
    def map(self, id: str, outcome: str) -> None:
        if self.wanted.get(id) != outcome:
            self.decision[id] += 1
        self.wanted[id] = outcome
        kept_back = {HELD: decided(id, None, reason="unmapped_status"), EXCLUDED: excluded(id)}
        put(self.engine, kept_back.get(outcome) or decided(id, outcome))

    @rule(limit=st.integers(1, len(IDS)))
    def begin_call(self, limit: int) -> None:
        batch = claim(self.engine, limit)
        in_flight = {record.record_id for call in self.calls for record in call.batch}
        for record in batch:
            assert record.record_id not in in_flight, "two calls with one id at once"
            assert record.version == self.wanted[record.record_id], "not the newest version"
        if batch:
            self.calls.append(Call(batch, dict(self.decision)))

    def arrive(self, call: Call, stored: bool = True) -> None:
        call.arrived = True
        for record in call.batch:
            id = record.record_id
            assert call.decisions[id] >= self.newest[id], "an older version after a newer one"
            self.newest[id] = call.decisions[id]
            self.refused.discard((id, record.version))
            if stored:
                self.ometria[id] = record.version
            else:
                self.refused.add((id, record.version))

    @precondition(lambda self: self.calls)
    @rule(data=st.data(), fate=st.sampled_from(FATES))
    def end_call(self, data: st.DataObject, fate: str) -> None:
        self.end(self.calls.pop(data.draw(st.integers(0, len(self.calls) - 1))), fate)

    @rule(meanwhile=st.none() | outcomes, fate=st.sampled_from(FATES))
    def deliver(self, meanwhile: str | None, fate: str) -> None:
        """A whole call, during which a record may change."""
        before = len(self.calls)
        self.begin_call(1)
        if len(self.calls) > before:
            call = self.calls.pop()
            if meanwhile:
                self.map(call.batch[0].record_id, meanwhile)
            self.end(call, fate)

    def end(self, call: Call, fate: str) -> None:
        if fate in ("accepted", "accepted and never stored", "received unheard"):
            self.arrive(call, stored=fate != "accepted and never stored")
        if fate.startswith("accepted"):
            outbox.acknowledge(self.engine, "order", call.batch, "r-1")
        else:
            give_back(self.engine, call.batch, arrived=fate != "not received")

    @precondition(lambda self: self.calls)
    @rule(arrived=st.booleans())
    def die(self, arrived: bool) -> None:
        """Every process that sends dies, and nobody comes until their leases have ended."""
        for call in self.calls:
            if arrived:
                self.arrive(call)
        end_leases(self.engine)
        self.dead = [
            replace(call, batch=[replace(record, lease=record.lease - DEAD_FOR) for record in call.batch])
            for call in self.dead + self.calls
        ]
        self.calls = []

    @precondition(lambda self: self.dead)
    @rule(data=st.data())
    def rise(self, data: st.DataObject) -> None:
        """One was not dead, only slow, and writes now what became of its call."""
        call = self.dead.pop(data.draw(st.integers(0, len(self.dead) - 1)))
        if call.arrived:
            outbox.acknowledge(self.engine, "order", call.batch, "late")
        else:
            give_back(self.engine, call.batch, arrived=False)

    @rule(errors_too=st.booleans())
    def look(self, errors_too: bool) -> None:
        """What delivery does after sending: the errors ring if it is still there, and the read back."""
        for id, version in self.refused if errors_too else ():
            if self.wanted[id] == version:
                reject(self.engine, id)
        outbox.take_for_sent(self.engine)
        for sent in outbox.unproved(self.engine, "order", 100, lost=True):
            equal = self.ometria.get(sent.record_id) == sent.version
            settle(self.engine, [sent], "confirmed" if equal else "again")
        for sent in outbox.unproved(self.engine, "order", 100):
            equal = self.ometria.get(sent.record_id) == sent.version
            settle(self.engine, [sent], "confirmed" if equal else "repair")

    @invariant()
    def the_outbox_is_true(self) -> None:
        rows = table(self.engine, "outbox", "record_id, state, reason, wanted_version, payload IS NULL")
        assert {row[0] for row in rows} == set(self.wanted), "a record vanished"
        for id, state, reason, version, no_payload in rows:
            wanted = self.wanted[id]
            if len(wanted) > 1:
                assert (f"{state}: {reason}", version, no_payload) == (wanted, None, True)
                continue
            assert (version, no_payload) == (wanted, False)
            refused = (id, wanted) in self.refused
            if state == "confirmed":
                assert self.ometria[id] == wanted, "confirmed, but something else is there"
            elif state == "sent":
                assert refused or self.ometria[id] == wanted, "sent, but it was not"
            elif state != "wanted":
                assert (state, reason) in [("drift", ""), ("held", "rejected")]
                assert refused, "kept back without a reason"

    def teardown(self) -> None:
        """When the dust has settled, Ometria has what is wanted, or the outbox says what it has not."""
        end_leases(self.engine)
        end_waits(self.engine)
        self.look(errors_too=False)  # after what the dead may have sent
        for _ in range(2):  # what is missing is sent once more
            self.calls = []
            self.begin_call(100)
            for call in self.calls:
                self.arrive(call)
                outbox.acknowledge(self.engine, "order", call.batch, "r-9")
            self.look(errors_too=False)
            self.the_outbox_is_true()
        for id, state, reason in table(self.engine, "outbox", "record_id, state, reason"):
            if len(self.wanted[id]) == 1:
                assert state == "confirmed" or (state, reason) in [("drift", ""), ("held", "rejected")]


def test_whatever_happens_in_whatever_order(engine: Engine) -> None:
    run_state_machine_as_test(
        partial(Delivery, engine), settings=settings(max_examples=100, stateful_step_count=25, deadline=None)
    )
