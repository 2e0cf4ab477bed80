"""Events wait for their order, their contact and the events before them; what is no longer true is withdrawn, what is
too late or was lost sight of is held."""

from datetime import UTC, datetime, timedelta

import orjson
import pandas as pd
import pytest
from sqlalchemy import BigInteger, Engine, Text, text

from bc_ometria.store import order_events, outbox
from bc_ometria.store.outbox import Claimed
from bc_ometria.store.schema import MIRROR, SCHEMA
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
    state,
)

EVENT = order_events.RECORD_TYPE
FOUR_HOURS = 240.0


def now() -> datetime:
    return datetime.now(UTC)


def event(record_id: str, *, number: str = "W1", customer: str = "", reason: str = "", ago_min: int = 1) -> dict:
    """An event of an order as mapping gives it; held where there is a reason."""
    payload = None if reason else orjson.dumps({"id": record_id})
    return {
        "record_id": record_id,
        "ord_num": number,
        "customer": customer,
        "event_type": f"type of {record_id}",
        "covers": f"covers of {record_id}",
        "happened_at": now() - timedelta(minutes=ago_min),
        "payload": payload,
        "version": None if reason else f"v-{record_id}",
        "state": "held" if reason else "wanted",
        "reason": reason,
        "changed_at": CHANGED,
    }


def tell(
    engine: Engine, *told: dict, number: str = "W1", withdrawn: dict[str, str] | None = None, cliff: float = FOUR_HOURS
) -> dict[str, int]:
    frame = pd.DataFrame(list(told), columns=list(event("x")))
    frame["happened_at"] = pd.to_datetime(frame["happened_at"], utc=True)
    frame["changed_at"] = pd.to_datetime(frame["changed_at"], utc=True)
    gone = pd.DataFrame({"record_id": list(withdrawn or {}), "reason": list((withdrawn or {}).values())}, dtype=object)
    with engine.begin() as connection:
        return order_events.put(connection, [number], frame, gone, cliff)


def accept(engine: Engine, record_type: str, record_id: str, *, ago_min: float = 0, version: str = "a") -> None:
    """Ometria accepted the record so many minutes ago, and has not shown it."""
    put(engine, decided(record_id, version), record_type=record_type)
    send(engine, record_type=record_type)
    age(engine, "accepted_at", ago_min, record_id, record_type)


def confirm(engine: Engine, record_type: str, record_id: str, version: str = "a") -> None:
    accept(engine, record_type, record_id, version=version)
    prove(engine, record_type=record_type)


def age(engine: Engine, column: str, minutes: float, record_id: str, record_type: str = EVENT) -> None:
    with engine.begin() as connection:
        connection.execute(
            text(
                f"UPDATE {SCHEMA}.outbox SET {column} = now() - make_interval(secs => :seconds) "
                "WHERE record_type = :record_type AND record_id = :record_id"
            ),
            {"seconds": 60 * minutes, "record_type": record_type, "record_id": record_id},
        )


def claim_events(engine: Engine, parents_wait_min: float = 30) -> list[Claimed]:
    """What may be claimed when every event is released."""
    end_waits(engine)
    terms = outbox.EventTerms(parents_wait_min)
    batches = outbox.claim(engine, 1, record_types=[EVENT], terms=terms)
    return batches[0].records if batches else []


def claimed(engine: Engine, parents_wait_min: float = 30) -> list[str]:
    return [record.record_id for record in claim_events(engine, parents_wait_min)]


def send_events(engine: Engine, request_id: str = "r-1") -> None:
    outbox.acknowledge(engine, EVENT, claim_events(engine), request_id)


def waits_for(engine: Engine, parents_wait_min: float = 30) -> dict[str, str]:
    """What keeps each event; the same as what ``claim`` goes by."""
    with engine.connect() as connection:
        waiting = order_events.waiting(connection, parents_wait_min)
    return dict(zip(waiting["record_id"], waiting["waits_for"], strict=True))


def notes(engine: Engine) -> dict[str, str]:
    with engine.connect() as connection:
        waiting = order_events.waiting(connection, 30)
    return dict(zip(waiting["record_id"], waiting["note"], strict=True))


def told_of(engine: Engine, number: str = "W1") -> dict[str, str]:
    """What is remembered of an order: event id and state."""
    memory = order_events.memory(engine, [number])
    return dict(zip(memory["record_id"], memory["state"], strict=True))


def lapse(engine: Engine) -> pd.DataFrame:
    with engine.begin() as connection:
        return order_events.lapse(connection)


def live_since(engine: Engine, at: datetime) -> None:
    with engine.begin() as connection:
        connection.execute(text(f"UPDATE {SCHEMA}.live_since SET at = :at"), {"at": at})


def test_an_event_waits_until_its_order_and_its_contact_are_confirmed(engine: Engine) -> None:
    """P23."""
    tell(engine, event("e1", customer="C1"))
    assert (claimed(engine), waits_for(engine)) == ([], {"e1": "order"})
    confirm(engine, "order", "W1")
    assert (claimed(engine), waits_for(engine)) == ([], {"e1": "contact"})
    confirm(engine, "contact", "C1")
    assert (waits_for(engine), notes(engine)) == ({"e1": ""}, {"e1": ""})
    assert claimed(engine) == ["e1"]


def test_an_event_of_a_guest_waits_for_its_order_alone(engine: Engine) -> None:
    tell(engine, event("e1"))
    confirm(engine, "order", "W1")
    assert waits_for(engine) == {"e1": ""}
    assert claimed(engine) == ["e1"]


def test_an_event_waits_for_nobody_where_only_a_sample_is_read_back(engine: Engine) -> None:
    """What is accepted then stands for what Ometria has."""
    tell(engine, event("e1"))
    accept(engine, "order", "W1")
    assert claimed(engine) == []
    prove(engine, "accepted")
    assert (waits_for(engine), notes(engine)) == ({"e1": ""}, {"e1": ""})
    assert claimed(engine) == ["e1"]


def test_an_event_waits_for_the_proof_for_so_long_and_then_goes_with_a_note(engine: Engine) -> None:
    """P23: from when Ometria accepted the parents, or the event came, whichever was later."""
    tell(engine, event("e1", customer="C1"))
    confirm(engine, "order", "W1")
    accept(engine, "contact", "C1", ago_min=29)
    age(engine, "queued_at", 60, "e1")
    assert (claimed(engine), waits_for(engine)) == ([], {"e1": "contact"})
    age(engine, "accepted_at", 31, "C1", "contact")
    age(engine, "queued_at", 29, "e1")
    assert (claimed(engine), waits_for(engine)) == ([], {"e1": "contact"})
    age(engine, "queued_at", 31, "e1")
    assert waits_for(engine) == {"e1": ""}
    assert waits_for(engine, 32) == {"e1": "contact"}
    assert notes(engine) == {"e1": "went before Ometria showed its contact"}
    assert claimed(engine, 32) == []
    assert claimed(engine) == ["e1"]


def test_an_order_that_differs_in_ometria_keeps_its_event_no_longer_than_one_not_shown(engine: Engine) -> None:
    tell(engine, event("e1"))
    accept(engine, "order", "W1")
    prove(engine, "repair")
    age(engine, "queued_at", 60, "e1")
    age(engine, "accepted_at", 60, "W1", "order")
    assert waits_for(engine) == {"e1": "order"}  # it is to be sent again
    send(engine)
    prove(engine, "repair")  # once is enough
    assert state(engine, "W1") == "drift"
    assert (claimed(engine), waits_for(engine)) == ([], {"e1": "order"})
    age(engine, "accepted_at", 31, "W1", "order")
    assert notes(engine) == {"e1": "went before Ometria showed its order"}
    assert claimed(engine) == ["e1"]


@pytest.mark.parametrize("kept", [decided("W1", None, reason="unmapped_status"), excluded("W1"), decided("W1", "b")])
def test_an_event_does_not_go_without_its_order_however_long_it_waits(engine: Engine, kept: dict) -> None:
    """Held, excluded, or wanted in a version that Ometria has not: an old one there is no parent either."""
    confirm(engine, "order", "W1")
    put(engine, kept)
    tell(engine, event("e1"))
    for name, record_id, record_type in (("queued_at", "e1", EVENT), ("accepted_at", "W1", "order")):
        age(engine, name, 1000, record_id, record_type)
    kept_by = "held order" if kept["state"] == "held" else "order"
    assert (claimed(engine), waits_for(engine)) == ([], {"e1": kept_by})


def test_an_event_waits_again_while_a_newer_version_of_its_order_is_on_its_way(engine: Engine) -> None:
    """Q4: so a cancelled order is confirmed as such before its event goes."""
    confirm(engine, "order", "W1")
    put(engine, decided("W1", "b"))
    tell(engine, event("e1"))
    assert claimed(engine) == []
    send(engine)
    assert claimed(engine) == []
    prove(engine)
    assert claimed(engine) == ["e1"]


def test_events_of_an_order_go_one_after_the_other_and_those_of_others_meanwhile(engine: Engine) -> None:
    """In the order in which they were told, which is not that of their ids."""
    confirm(engine, "order", "W1")
    confirm(engine, "order", "W2")
    tell(engine, event("e9"), event("e1"))
    tell(engine, event("e5", number="W2"), number="W2")
    assert waits_for(engine) == {"e9": "", "e1": "earlier event", "e5": ""}
    first = claim_events(engine)
    assert sorted(record.record_id for record in first) == ["e5", "e9"]
    assert claimed(engine) == []  # e9 is under way
    assert waits_for(engine)["e1"] == "earlier event"
    outbox.acknowledge(engine, EVENT, first, "r-1")
    assert claimed(engine) == ["e1"]


def test_an_event_that_is_held_does_not_keep_those_after_it_back(engine: Engine) -> None:
    confirm(engine, "order", "W1")
    tell(engine, event("e1", reason="unmapped_reason"), event("e2"))
    assert claimed(engine) == ["e2"]


def test_what_waits_is_withdrawn_and_what_is_under_way_or_sent_is_not(engine: Engine) -> None:
    """Q4, P20. Also while it is not released yet."""
    confirm(engine, "order", "W1")
    tell(engine, event("e1"), event("e2"), event("e3"))
    send_events(engine)
    assert claimed(engine) == ["e2"]
    tell(engine, event("e4"))
    assert told_of(engine) == {"e1": "sent", "e2": "sent", "e3": "waiting", "e4": "waiting"}
    all_four = dict.fromkeys(("e1", "e2", "e3", "e4"), "the order is cancelled")
    assert tell(engine, withdrawn=all_four) == {"withdrawn": 2}
    assert [state(engine, name, EVENT) for name in ("e1", "e2")] == ["sent", "wanted"]
    assert state(engine, "e3", EVENT) == "withdrawn: the order is cancelled"
    assert column(engine, "payload", "e3", EVENT) is None
    assert told_of(engine) == {"e1": "sent", "e2": "sent", "e3": "withdrawn", "e4": "withdrawn"}


def test_an_event_that_was_withdrawn_can_be_told_anew(engine: Engine) -> None:
    confirm(engine, "order", "W1")
    tell(engine, event("e1"))
    tell(engine, withdrawn={"e1": "it is no longer so"})
    assert claimed(engine) == []
    tell(engine, event("e2"), event("e1"))
    assert claimed(engine) == ["e2"]  # told before it, the second time
    assert told_of(engine) == {"e2": "sent", "e1": "waiting"}


def test_a_held_event_goes_when_it_is_told_without_a_reason_and_is_withdrawn_when_not_told(engine: Engine) -> None:
    """P13: mapping the code lets it go by itself."""
    confirm(engine, "order", "W1")
    tell(engine, event("e1", reason="unmapped_reason"), event("e2", reason="unknown_warehouse"))
    assert told_of(engine) == {"e1": "held", "e2": "held"}
    tell(engine, event("e1"))
    assert told_of(engine) == {"e2": "withdrawn", "e1": "waiting"}
    assert claimed(engine) == ["e1"]


def test_events_of_other_orders_are_left_alone(engine: Engine) -> None:
    tell(engine, event("e1", number="W2", reason="unmapped_reason"), number="W2")
    tell(engine)
    assert told_of(engine, "W2") == {"e1": "held"}


def test_past_the_cliff_a_journey_was_missed(engine: Engine) -> None:
    """Truth 8."""
    live_since(engine, now() - timedelta(days=1))
    confirm(engine, "order", "W1")
    tell(engine, event("e1", ago_min=241), event("e2", ago_min=239))
    assert claimed(engine) == []  # not even before anybody looked; and what comes after waits for that
    (missed,) = lapse(engine).to_dict("records")
    assert (missed["record_id"], missed["ord_num"], missed["event_type"]) == ("e1", "W1", "type of e1")
    assert now() - missed["happened_at"] >= timedelta(minutes=241)
    assert state(engine, "e1", EVENT) == "held: event_too_late"
    assert told_of(engine) == {"e1": "sent", "e2": "waiting"}  # it is never told again
    assert claimed(engine) == ["e2"]
    assert lapse(engine).empty


def test_what_happened_before_the_store_followed_blue_cherry_is_history(engine: Engine) -> None:
    """Q5: it fires nothing, and nothing was missed."""
    live_since(engine, now() - timedelta(minutes=5))
    tell(engine, event("e1", ago_min=241), event("e2", ago_min=6))
    assert lapse(engine).empty
    assert state(engine, "e1", EVENT) == "excluded: history"
    assert state(engine, "e2", EVENT) == "wanted"  # young enough to enter a journey
    assert told_of(engine) == {"e1": "sent", "e2": "waiting"}


def test_what_is_under_way_does_not_lapse(engine: Engine) -> None:
    confirm(engine, "order", "W1")
    tell(engine, event("e1"))
    assert claimed(engine) == ["e1"]
    with engine.begin() as connection:
        connection.execute(text(f"UPDATE {SCHEMA}.order_events SET enters_until = now()"))
    assert lapse(engine).empty
    assert state(engine, "e1", EVENT) == "wanted"


@pytest.mark.parametrize("min_age", [0, 60])
def test_what_ometria_took_is_accepted_after_a_while(engine: Engine, min_age: float) -> None:
    confirm(engine, "order", "W1")
    tell(engine, event("e1"))
    send_events(engine)
    assert order_events.accept(engine, min_age) == (1 if min_age == 0 else 0)
    assert state(engine, "e1", EVENT) == ("accepted" if min_age == 0 else "sent")
    assert told_of(engine) == {"e1": "sent"}


def test_a_refusal_that_comes_late_holds_the_event_for_good(engine: Engine) -> None:
    confirm(engine, "order", "W1")
    tell(engine, event("e1"))
    send_events(engine, "r-7")
    order_events.accept(engine, 0)
    with engine.begin() as connection:
        assert outbox.reject(connection, EVENT, "e1", "r-7")
    assert state(engine, "e1", EVENT) == "held: rejected"
    assert told_of(engine) == {"e1": "sent"}
    assert not reject(engine, "W1", "r-8")


def test_the_cliff_is_a_setting(engine: Engine) -> None:
    confirm(engine, "order", "W1")
    tell(engine, event("e1", ago_min=100), cliff=99)
    assert claimed(engine) == []
    assert len(lapse(engine)) == 0  # it happened before this store was there
    assert state(engine, "e1", EVENT) == "excluded: history"


# --- what was lost sight of -------------------------------------------------------------------------------------


def hold_unknown(engine: Engine, call: list[Claimed] | None = None) -> pd.DataFrame:
    with engine.begin() as connection:
        return order_events.outcome_unknown(connection, call)


def test_an_event_whose_sender_died_may_have_been_told_and_is_held(engine: Engine) -> None:
    """Truth 3."""
    confirm(engine, "order", "W1")
    confirm(engine, "order", "W2")
    tell(engine, event("e1"), event("e2"))
    assert claimed(engine) == ["e1"]
    tell(engine, event("e3", number="W2"), number="W2")
    assert hold_unknown(engine).empty  # its sender may be at work
    end_leases(engine)
    assert told_of(engine) == {"e1": "sent", "e2": "waiting"}
    assert tell(engine, withdrawn={"e1": "it is no longer so"}) == {}  # too late for that
    assert claimed(engine) == ["e3"]
    (lost,) = hold_unknown(engine).to_dict("records")
    assert (lost["record_id"], lost["ord_num"], lost["event_type"]) == ("e1", "W1", "type of e1")
    assert state(engine, "e1", EVENT) == "held: event_outcome_unknown"
    assert column(engine, "payload", "e1", EVENT) is not None
    assert told_of(engine) == {"e1": "sent", "e2": "waiting"}
    assert claimed(engine) == ["e2"]  # and e1 not again
    assert tell(engine, event("e1")) == {}  # not even if it were told again
    assert hold_unknown(engine).empty


def test_the_events_of_a_call_without_a_reply_are_held_and_no_others(engine: Engine) -> None:
    for number in ("W1", "W2", "W3"):
        confirm(engine, "order", number)
    tell(engine, event("e1"))
    call = claim_events(engine)
    tell(engine, event("e2", number="W2"), number="W2")
    another = claim_events(engine)
    assert [record.record_id for record in (*call, *another)] == ["e1", "e2"]
    assert hold_unknown(engine, call)["record_id"].tolist() == ["e1"]
    assert [state(engine, name, EVENT) for name in ("e1", "e2")] == ["held: event_outcome_unknown", "wanted"]
    outbox.acknowledge(engine, EVENT, call, "r-1")  # a reply that comes late changes nothing
    assert state(engine, "e1", EVENT) == "held: event_outcome_unknown"
    assert hold_unknown(engine, call).empty


def test_what_is_lost_carries_the_value_of_its_order(engine: Engine) -> None:
    live_since(engine, now() - timedelta(days=1))
    mirrored(engine, "W1", total=4990, currency="EUR", division="200")
    confirm(engine, "order", "W1")
    confirm(engine, "order", "W2")
    tell(engine, event("e1"))
    tell(engine, event("e2", number="W2"), number="W2")
    call = claim_events(engine)
    lost = hold_unknown(engine, call).set_index("record_id")[["division", "value", "currency"]]
    assert lost.loc["e1"].tolist() == ["200", 4990, "EUR"]
    assert lost.loc["e2"].tolist() == ["", 0, ""]  # the mirror does not know it
    tell(engine, event("e3", ago_min=241))
    (late,) = lapse(engine).to_dict("records")
    assert (late["division"], late["value"], late["currency"]) == ("200", 4990, "EUR")


def mirrored(engine: Engine, number: str, *, total: int, currency: str, division: str) -> None:
    """An order of the mirror, in two versions of its header: the newest counts."""
    texts = [name for name, kind in MIRROR["orders"].columns.items() if isinstance(kind.type, Text)]
    amounts = [name for name, kind in MIRROR["orders"].columns.items() if isinstance(kind.type, BigInteger)]
    row = dict.fromkeys(texts, "") | dict.fromkeys(amounts, 0)
    row |= {"ord_num": number, "division": division, "currency": currency}
    with engine.begin() as connection:
        for pkey, stamp, amount in ((1, CHANGED, total), (2, CHANGED - timedelta(days=1), 1)):
            values = row | {"pkey": pkey, "last_mod": stamp.replace(tzinfo=None), "ord_total": amount}
            connection.execute(MIRROR["orders"].insert().values(**values))


# --- the pace ---------------------------------------------------------------------------------------------------


def lately(engine: Engine, minutes: float = 5) -> dict[str, int]:
    with engine.connect() as connection:
        sent = order_events.sent_lately(connection, minutes)
    return dict(zip(sent["event_type"], sent["events"], strict=True))


def test_an_event_waits_to_be_released(engine: Engine) -> None:
    confirm(engine, "order", "W1")
    tell(engine, event("e1"), event("e2"))
    assert claim(engine, record_type=EVENT) == []
    plan = pd.DataFrame({"record_id": ["e1"], "next_attempt": [pd.Timestamp(now())], "reason": ["a note"]})
    with engine.begin() as connection:
        order_events.release(connection, plan)
    with engine.connect() as connection:
        waiting = order_events.waiting(connection, 30).set_index("record_id")
    assert waiting.loc["e1", ["next_attempt", "noted"]].tolist() == [plan["next_attempt"].iloc[0], "a note"]
    assert pd.isna(waiting.loc["e2", "next_attempt"])
    assert told_of(engine) == {"e1": "waiting", "e2": "waiting"}
    assert [record.record_id for record in claim(engine, record_type=EVENT)] == ["e1"]


def test_an_event_that_was_tried_meanwhile_is_not_released_anew(engine: Engine) -> None:
    """Its own next attempt stands."""
    confirm(engine, "order", "W1")
    tell(engine, event("e1"))
    call = claim_events(engine)
    give_back(engine, call, arrived=False, waits=True, record_type=EVENT)
    before = column(engine, "next_attempt", "e1", EVENT)
    with engine.begin() as connection:
        plan = pd.DataFrame({"record_id": ["e1"], "next_attempt": [pd.Timestamp(now())], "reason": [""]})
        order_events.release(connection, plan)
        assert order_events.waiting(connection, 30)["is_tried"].tolist() == [True]
    assert column(engine, "next_attempt", "e1", EVENT) == before


def test_what_went_or_may_go_at_any_moment_counts_as_sent_lately(engine: Engine) -> None:
    for number in ("W1", "W2", "W3", "W4", "W5"):
        confirm(engine, "order", number)
        tell(engine, event(f"of {number}", number=number), number=number)
    assert lately(engine) == {}
    *others, of_w4, of_w5 = sorted(claim_events(engine), key=lambda record: record.record_id)
    assert sum(lately(engine).values()) == 5  # under way
    outbox.acknowledge(engine, EVENT, others, "r-1")
    give_back(engine, [of_w4], arrived=False, waits=True, record_type=EVENT)
    give_back(engine, [of_w5], arrived=False, record_type=EVENT)  # no attempt: it is planned anew
    order_events.accept(engine, 0)
    age(engine, "accepted_at", 6, "of W1")
    assert set(lately(engine)) == {"type of of W2", "type of of W3", "type of of W4"}
    assert set(lately(engine, 7)) == {f"type of of {number}" for number in ("W1", "W2", "W3", "W4")}
