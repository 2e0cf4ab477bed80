"""Events wait for their order, their contact and the events before them; what is no longer true is withdrawn."""

from datetime import UTC, datetime, timedelta

import orjson
import pandas as pd
import pytest
from sqlalchemy import Engine, text

from bc_ometria.store import order_events, outbox
from bc_ometria.store.schema import SCHEMA
from bc_ometria_tests.store.records import CHANGED, claim, column, decided, end_leases, put, reject, send, state

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


def confirm(engine: Engine, record_type: str, record_id: str, version: str = "a") -> None:
    put(engine, decided(record_id, version), record_type=record_type)
    send(engine, record_type=record_type)
    outbox.settle(engine, record_type, outbox.unproved(engine, record_type, 100), "confirmed")


def claimed(engine: Engine) -> list[str]:
    return [record.record_id for record in claim(engine, record_type=EVENT)]


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
    assert (claimed(engine), outbox.is_anything_due(engine)) == ([], False)
    confirm(engine, "order", "W1")
    assert (claimed(engine), outbox.is_anything_due(engine)) == ([], False)
    confirm(engine, "contact", "C1")
    assert outbox.is_anything_due(engine)
    assert claimed(engine) == ["e1"]


def test_an_event_of_a_guest_waits_for_its_order_alone(engine: Engine) -> None:
    tell(engine, event("e1"))
    confirm(engine, "order", "W1")
    assert claimed(engine) == ["e1"]


def test_an_event_waits_again_while_a_newer_version_of_its_order_is_on_its_way(engine: Engine) -> None:
    """Q4: so a cancelled order is confirmed as such before its event goes."""
    confirm(engine, "order", "W1")
    put(engine, decided("W1", "b"))
    tell(engine, event("e1"))
    assert claimed(engine) == []
    send(engine)
    assert claimed(engine) == []
    outbox.settle(engine, "order", outbox.unproved(engine, "order", 100), "confirmed")
    assert claimed(engine) == ["e1"]


def test_events_of_an_order_go_one_after_the_other_and_those_of_others_meanwhile(engine: Engine) -> None:
    """In the order in which they were told, which is not that of their ids."""
    confirm(engine, "order", "W1")
    confirm(engine, "order", "W2")
    tell(engine, event("e9"), event("e1"))
    tell(engine, event("e5", number="W2"), number="W2")
    first = claim(engine, record_type=EVENT)
    assert sorted(record.record_id for record in first) == ["e5", "e9"]
    assert claimed(engine) == []  # e9 is under way
    outbox.acknowledge(engine, EVENT, first, "r-1")
    assert claimed(engine) == ["e1"]


def test_an_event_that_is_held_does_not_keep_those_after_it_back(engine: Engine) -> None:
    confirm(engine, "order", "W1")
    tell(engine, event("e1", reason="unmapped_reason"), event("e2"))
    assert claimed(engine) == ["e2"]


def test_what_waits_is_withdrawn_and_what_is_under_way_or_sent_is_not(engine: Engine) -> None:
    """Q4, P20."""
    confirm(engine, "order", "W1")
    tell(engine, event("e1"), event("e2"), event("e3"))
    send(engine, record_type=EVENT)
    assert claimed(engine) == ["e2"]
    all_three = dict.fromkeys(("e1", "e2", "e3"), "the order is cancelled")
    assert tell(engine, withdrawn=all_three) == {"withdrawn": 1}
    assert [state(engine, name, EVENT) for name in ("e1", "e2")] == ["sent", "wanted"]
    assert state(engine, "e3", EVENT) == "withdrawn: the order is cancelled"
    assert column(engine, "payload", "e3", EVENT) is None
    assert told_of(engine) == {"e1": "sent", "e2": "sent", "e3": "withdrawn"}
    end_leases(engine)  # its sender died: whether it arrived is not known, and it waits again
    assert told_of(engine)["e2"] == "waiting"


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
    assert outbox.is_anything_due(engine)
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
    send(engine, record_type=EVENT)
    assert order_events.accept(engine, min_age) == (1 if min_age == 0 else 0)
    assert state(engine, "e1", EVENT) == ("accepted" if min_age == 0 else "sent")
    assert told_of(engine) == {"e1": "sent"}


def test_a_refusal_that_comes_late_holds_the_event_for_good(engine: Engine) -> None:
    confirm(engine, "order", "W1")
    tell(engine, event("e1"))
    send(engine, "r-7", record_type=EVENT)
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
