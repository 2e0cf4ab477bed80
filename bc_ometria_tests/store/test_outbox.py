"""Every way of a record through the outbox (truths 1 and 2)."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from sqlalchemy import Engine, text

from bc_ometria.store import outbox
from bc_ometria.store.schema import SCHEMA
from bc_ometria_tests.store.records import (
    CHANGED,
    claim,
    column,
    decided,
    end_leases,
    end_waits,
    excluded,
    give_back,
    prove,
    put,
    reject,
    send,
    settle,
    state,
    want,
)


def test_the_good_way(engine: Engine) -> None:
    assert want(engine, "1", "A") == {"wanted": 1}
    assert outbox.is_any_due(engine)
    (claimed,) = claim(engine)
    assert (claimed.record_id, claimed.version, claimed.attempts) == ("1", "A", 1)
    assert claimed.payload == b'{"id":"1","content":"A"}'
    assert state(engine) == "wanted"
    outbox.acknowledge(engine, "order", [claimed], "r-1")
    assert state(engine) == "sent"
    unproved = outbox.unproved_by_type(engine)["order"]
    assert unproved.records == 1
    (sent,) = outbox.unproved(engine, "order", 10)
    assert (sent.version, sent.payload, sent.accepted_at) == (
        "A",
        claimed.payload,
        unproved.oldest,
    )
    settle(engine, [sent], "confirmed")
    assert state(engine) == "confirmed"
    assert column(engine, "confirmed_at >= accepted_at")
    assert column(engine, "changed_at") == CHANGED
    assert not outbox.is_any_due(engine)
    assert outbox.unproved(engine, "order", 10) == []


def test_what_is_in_ometria_is_not_wanted_again(engine: Engine) -> None:
    for step in (lambda: None, lambda: send(engine), lambda: prove(engine)):
        want(engine, "1", "A")
        step()
        before = state(engine)
        assert want(engine, "1", "A") == {}
        assert state(engine) == before
    assert claim(engine) == []


def test_a_new_version_of_a_confirmed_record_is_sent(engine: Engine) -> None:
    want(engine, "1", "A")
    send(engine)
    prove(engine)
    want(engine, "1", "B")
    assert state(engine) == "wanted"
    assert send(engine) == ["B"]
    assert state(engine) == "sent"


def test_a_version_that_was_confirmed_and_comes_back_unsent_is_confirmed(engine: Engine) -> None:
    want(engine, "1", "A")
    send(engine)
    want(engine, "1", "B")
    assert want(engine, "1", "A") == {"sent": 1}
    prove(engine)
    want(engine, "1", "B")
    assert want(engine, "1", "A") == {"confirmed": 1}
    assert claim(engine) == []
    want(engine, "1", "B")
    send(engine)
    assert want(engine, "1", "A") == {"wanted": 1}  # Ometria has B now.


def test_a_proof_does_not_outlive_the_next_version(engine: Engine) -> None:
    want(engine, "1", "A")
    send(engine)
    prove(engine)
    for version in "BA":
        want(engine, "1", version)
        send(engine)
    put(engine, decided("1", None, reason="unmapped_status"))
    assert want(engine, "1", "A") == {"sent": 1}


def test_a_record_that_changes_in_flight_stays_wanted_and_the_newer_goes_after_it(engine: Engine) -> None:
    want(engine, "1", "A")
    in_flight = claim(engine)
    want(engine, "1", "B")
    assert claim(engine) == []  # never two versions at once
    outbox.acknowledge(engine, "order", in_flight, "r-1")
    assert state(engine) == "wanted"
    assert column(engine, "sent_version") == "A"
    assert send(engine) == ["B"]


def test_back_to_the_version_in_flight_is_sent_with_its_acknowledgement(engine: Engine) -> None:
    want(engine, "1", "A")
    in_flight = claim(engine)
    want(engine, "1", "B")
    assert want(engine, "1", "A") == {"wanted": 1}
    outbox.acknowledge(engine, "order", in_flight, "r-1")
    assert state(engine) == "sent"
    assert outbox.unproved(engine, "order", 1)[0].version == "A"


def test_back_to_what_was_sent_before_the_call_in_flight_is_sent_again(engine: Engine) -> None:
    want(engine, "1", "A")
    send(engine)
    prove(engine)
    want(engine, "1", "B")
    in_flight = claim(engine)
    assert want(engine, "1", "A") == {"wanted": 1}
    outbox.acknowledge(engine, "order", in_flight, "r-2")
    assert state(engine) == "wanted"
    assert send(engine) == ["A"]


@pytest.mark.parametrize("arrived", [True, False])
def test_what_was_given_back_goes_again_after_its_wait(engine: Engine, arrived: bool) -> None:
    want(engine, "1", "A")
    give_back(engine, claim(engine), waits=True, arrived=arrived)
    assert (state(engine), claim(engine), outbox.is_any_due(engine)) == ("wanted", [], False)
    end_waits(engine)
    (again,) = claim(engine)
    assert (again.version, again.attempts) == ("A", 2)
    give_back(engine, [again], arrived=arrived)
    want(engine, "1", "B")
    (changed,) = claim(engine)
    assert (changed.version, changed.attempts) == ("B", 1)


def test_after_a_call_that_did_not_arrive_ometria_has_what_it_had(engine: Engine) -> None:
    want(engine, "1", "A")
    send(engine)
    prove(engine)
    want(engine, "1", "B")
    give_back(engine, claim(engine), arrived=False)
    assert want(engine, "1", "A") == {"confirmed": 1}


def test_after_a_call_that_may_have_arrived_nothing_is_taken_for_known(engine: Engine) -> None:
    want(engine, "1", "A")
    send(engine)
    prove(engine)
    want(engine, "1", "B")
    give_back(engine, claim(engine), arrived=True)
    assert want(engine, "1", "A") == {"wanted": 1}


def test_a_new_version_does_not_wait_for_the_next_attempt_of_the_old(engine: Engine) -> None:
    want(engine, "1", "A")
    give_back(engine, claim(engine), waits=True, arrived=False)
    want(engine, "1", "B")
    assert send(engine) == ["B"]


def test_held_then_mended_to_the_same_version(engine: Engine) -> None:
    want(engine, "1", "A")
    send(engine)
    prove(engine)
    assert put(engine, decided("1", None, reason="unmapped_status")) == {"held": 1}
    assert state(engine) == "held: unmapped_status"
    assert column(engine, "payload") is None
    assert put(engine, decided("1", None, reason="unmapped_status")) == {}
    assert put(engine, decided("1", None, reason="unknown_division")) == {"held": 1}
    assert want(engine, "1", "A") == {"confirmed": 1}
    assert state(engine) == "confirmed"
    put(engine, decided("1", None, reason="unmapped_status"))
    assert want(engine, "1", "B") == {"wanted": 1}


def test_held_in_flight_is_not_sent_again_but_what_arrived_is_known(engine: Engine) -> None:
    want(engine, "1", "A")
    in_flight = claim(engine)
    put(engine, decided("1", None, reason="unmapped_status"))
    outbox.acknowledge(engine, "order", in_flight, "r-1")
    assert state(engine) == "held: unmapped_status"
    end_leases(engine)
    assert claim(engine) == []
    assert want(engine, "1", "A") == {"sent": 1}


def test_excluded_and_back(engine: Engine) -> None:
    assert put(engine, excluded("1")) == {"excluded": 1}
    assert (state(engine), claim(engine)) == ("excluded: wholesale", [])
    assert put(engine, excluded("1")) == {}
    assert want(engine, "1", "A") == {"wanted": 1}
    assert send(engine) == ["A"]
    assert put(engine, excluded("1")) == {"excluded": 1}
    assert outbox.unproved(engine, "order", 1) == []


def test_a_rejected_record_is_held_until_its_version_changes(engine: Engine) -> None:
    want(engine, "1", "A")
    send(engine)
    assert not reject(engine, "1", "another-request")
    assert not reject(engine, "2")
    assert reject(engine, "1")
    assert state(engine) == "held: rejected"
    assert not reject(engine, "1")  # the ring shows it for a long time
    assert want(engine, "1", "A") == {}
    assert (state(engine), claim(engine)) == ("held: rejected", [])
    assert want(engine, "1", "B") == {"wanted": 1}
    assert column(engine, "reason") == ""
    assert not reject(engine, "1")
    assert send(engine, "r-2") == ["B"]
    assert not reject(engine, "1", "r-1")


def test_a_rejected_version_that_comes_back_is_not_taken_for_sent(engine: Engine) -> None:
    want(engine, "1", "A")
    send(engine)
    reject(engine, "1")
    want(engine, "1", "B")
    assert want(engine, "1", "A") == {"wanted": 1}
    send(engine)
    reject(engine, "1")
    put(engine, decided("1", None, reason="unmapped_status"))
    assert want(engine, "1", "A") == {"wanted": 1}


def test_a_record_that_changed_after_it_was_sent_is_not_held_for_its_old_version(engine: Engine) -> None:
    want(engine, "1", "A")
    send(engine)
    want(engine, "1", "B")
    assert not reject(engine, "1")
    assert state(engine) == "wanted"


def test_what_differs_is_repaired_once_and_then_drift_until_its_version_changes(engine: Engine) -> None:
    """P2: the repair comes from Blue Cherry, and does not fight for ever with whoever else writes there."""
    want(engine, "1", "A")
    send(engine)
    prove(engine, "repair")
    assert (state(engine), want(engine, "1", "A"), column(engine, "lane")) == ("wanted", {}, "repairs")
    assert send(engine) == ["A"]
    prove(engine, "repair")
    assert (state(engine), want(engine, "1", "A"), claim(engine)) == ("drift", {}, [])
    assert reject(engine, "1")  # the errors ring told why later
    assert state(engine) == "held: rejected"
    want(engine, "1", "B")
    assert send(engine) == ["B"]


def test_a_proof_counts_only_for_the_version_that_was_compared(engine: Engine) -> None:
    want(engine, "1", "A")
    send(engine)
    compared = outbox.unproved(engine, "order", 1)
    want(engine, "1", "B")
    settle(engine, compared, "confirmed")
    assert state(engine) == "wanted"
    send(engine)
    settle(engine, compared, "confirmed")
    assert state(engine) == "sent"
    prove(engine)
    assert settle(engine, compared, "repair") == {}
    assert state(engine) == "confirmed"


def test_when_a_claimer_dies_another_takes_over_after_its_lease(engine: Engine) -> None:
    want(engine, "1", "A")
    send(engine)
    prove(engine)
    want(engine, "1", "B")
    claim(engine)
    assert claim(engine) == []
    end_leases(engine)
    # Ometria has A or B: neither may be taken for known.
    assert claim(engine) == []
    assert outbox.is_any_lost(engine)
    assert want(engine, "1", "A") == {"wanted": 1}
    (taken_over,) = claim(engine)
    assert taken_over.version == "A"
    assert column(engine, "sent_version") is None
    give_back(engine, [taken_over], arrived=False)
    assert want(engine, "1", "B") == {"wanted": 1}


@pytest.mark.parametrize("arrived", [True, False])
def test_what_a_dead_claimer_may_have_sent_is_looked_for_before_it_goes_again(engine: Engine, arrived: bool) -> None:
    """Sixteen calls under way when a process is killed are not sixteen hundred records sent twice."""
    want(engine, "1", "A")
    claim(engine)
    assert outbox.take_for_sent(engine) == 0
    end_leases(engine)
    assert outbox.take_for_sent(engine) == 1
    assert (state(engine), outbox.is_any_lost(engine), outbox.unproved(engine, "order", 1)) == ("sent", False, [])
    lost = outbox.unproved(engine, "order", 1, lost=True)
    assert settle(engine, lost, "confirmed" if arrived else "again") == {"1": "confirmed" if arrived else "wanted"}
    assert send(engine) == ([] if arrived else ["A"])


@pytest.mark.parametrize("version", ["A", "B"])
def test_one_whose_lease_was_taken_over_writes_nothing(engine: Engine, version: str) -> None:
    """Not even where the other sends the same version: that call is still under way."""
    want(engine, "1", "A")
    late = claim(engine)
    end_leases(engine)
    want(engine, "1", version)
    outbox.take_for_sent(engine)
    settle(engine, outbox.unproved(engine, "order", 1, lost=True), "again")
    (taken_over,) = claim(engine)
    outbox.acknowledge(engine, "order", late, "late")
    assert (state(engine), column(engine, "request_id") or None) == ("wanted", None)
    give_back(engine, late, arrived=False)
    want(engine, "1", "C")
    assert claim(engine) == []
    outbox.acknowledge(engine, "order", [taken_over], "r-2")
    assert column(engine, "ARRAY[sent_version, request_id]") == [version, "r-2"]


def test_claims_take_what_is_due_longest_and_one_type(engine: Engine) -> None:
    put(engine, *(decided(str(number), "A") for number in range(5)))
    put(engine, decided("0", "A"), record_type="contact")
    first = claim(engine, 2)
    assert {record.record_id for record in first} == {"0", "1"}
    give_back(engine, first, waits=True, arrived=False)
    assert {record.record_id for record in claim(engine, 3)} == {"2", "3", "4"}
    end_waits(engine)
    assert {record.record_id for record in claim(engine, 3)} == {"0", "1"}
    assert len(claim(engine, 3, "contact")) == 1


def test_two_claimers_never_get_the_same_record(engine: Engine) -> None:
    put(engine, *(decided(str(number), "A") for number in range(600)))
    start = Barrier(4)

    def take(_: int) -> list[str]:
        start.wait(60)
        taken: list[str] = []
        while batch := claim(engine, 20):
            taken += [record.record_id for record in batch]
        return taken

    with ThreadPoolExecutor(4) as threads:
        taken = [record for part in threads.map(take, range(4)) for record in part]
    assert len(taken) == len(set(taken)) == 600


def test_unproved_by_age_and_by_name(engine: Engine) -> None:
    put(engine, decided("1", "A"), decided("2", "A"))
    send(engine)
    assert outbox.unproved(engine, "order", 10, min_age=3600) == []
    assert [record.record_id for record in outbox.unproved(engine, "order", 10, of=["2", "3"])] == ["2"]
    assert outbox.unproved(engine, "order", 10, of=[]) == []
    assert len(outbox.unproved(engine, "order", 1)) == 1
    with engine.begin() as connection:
        connection.execute(
            text(f"UPDATE {SCHEMA}.outbox SET accepted_at = now() - interval '2 hours' WHERE record_id = '2'")
        )
    assert [record.record_id for record in outbox.unproved(engine, "order", 10, min_age=3600)] == ["2"]


def test_counts(engine: Engine) -> None:
    put(engine, decided("1", "A"), decided("2", "A"), decided("3", None, reason="unmapped_status"), excluded("4"))
    put(engine, decided("1", "A"), record_type="contact")
    assert outbox.counts(engine).to_numpy().tolist() == [
        ["contact", "wanted", "", 1],
        ["order", "excluded", "wholesale", 1],
        ["order", "held", "unmapped_status", 1],
        ["order", "wanted", "", 2],
    ]
