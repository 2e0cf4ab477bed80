"""Replays: what the outbox holds goes again, and nothing else happens (P2, Q5; truths 1 to 3)."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, text

from bc_ometria.delivery.replay import Filters, NotReplayable, Selection, replay, select
from bc_ometria.store import outbox, sales, touched
from bc_ometria_tests.blue_cherry.tenant import AT, served
from bc_ometria_tests.delivery.outgoing import Outgoing, contacts, orders
from bc_ometria_tests.delivery.waiting import event
from bc_ometria_tests.store.records import claim, column, decided, end_leases, excluded, prove, put, send, state, want
from bc_ometria_tests.store.rows import row, touched_since, write

NOW = datetime.now(UTC)
HOUR = timedelta(hours=1)


def change(engine: Engine, statement: str, **values: Any) -> None:
    with engine.begin() as connection:
        connection.execute(text(statement), values)


def accepted(engine: Engine, record_id: str, ago: timedelta) -> None:
    change(
        engine,
        "UPDATE bc_ometria.outbox SET accepted_at = :at WHERE record_id = :id",
        at=NOW - ago,
        id=record_id,
    )


def mirrored_customer(engine: Engine, code: str, **columns: Any) -> None:
    """A customer in the mirror, who is touched by that."""
    write(engine, "customers", served("customers", {"pkey": int(code), "last_mod": AT, "customer": code, **columns}))


def told(selection: Selection) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in selection.counts.to_numpy().tolist()]


def everything(engine: Engine) -> list[Any]:
    tables = ("outbox", "touched", "sales_orders", "exceptions")
    with engine.connect() as connection:
        return [
            sorted(map(str, connection.exec_driver_sql(f"SELECT * FROM bc_ometria.{table}").all())) for table in tables
        ]


@pytest.fixture
def one_of_each(engine: Engine) -> Engine:
    """An order in every state that an order can have, each named after it; one of them, ``in flight``, under way."""
    put(engine, *(decided(each, "v1") for each in ("sent", "confirmed", "drift", "accepted", "rejected")))
    send(engine)
    for record_id, to in (("confirmed", "confirmed"), ("drift", "drift"), ("accepted", "accepted")):
        change(engine, "UPDATE bc_ometria.outbox SET state = :to WHERE record_id = :id", to=to, id=record_id)
    change(engine, "UPDATE bc_ometria.outbox SET state = 'held', reason = 'rejected' WHERE record_id = 'rejected'")
    want(engine, "in flight", "v1")
    claim(engine)
    put(engine, decided("wanted", "v1"), decided("held", None, reason="unmapped_status"), excluded("excluded"))
    return engine


# --- what goes, and what does not --------------------------------------------------------------------------------


def test_a_replay_takes_what_ometria_was_sent_and_leaves_the_rest(one_of_each: Engine) -> None:
    """Held and excluded records stay so, but for those that Ometria refused: the account may take them now. Nothing
    that waits or is under way is disturbed."""
    engine = one_of_each
    filters = Filters(record_type="order")
    assert told(select(engine, filters)) == [
        ("order", "accepted", "again", "", 1),
        ("order", "confirmed", "again", "", 1),
        ("order", "drift", "again", "", 1),
        ("order", "held", "again", "", 1),
        ("order", "sent", "again", "", 1),
        ("order", "excluded", "", "excluded: wholesale", 1),
        ("order", "held", "", "held: unmapped_status", 1),
        ("order", "wanted", "", "is on its way", 1),
        ("order", "wanted", "", "waits to be sent", 1),
    ]
    assert select(engine, filters).going == {"order": 5}
    untouched = ("excluded", "held", "in flight", "wanted")
    before = [column(engine, "(outbox.*)::text", each) for each in untouched]
    assert replay(engine, filters) == {"again": 5}
    assert [column(engine, "(outbox.*)::text", each) for each in untouched] == before
    for each in ("accepted", "confirmed", "drift", "rejected", "sent"):
        columns = "state || reason, lane, wanted_version, sent_version, proved_version, attempts::text"
        now = column(engine, f"ARRAY[{columns}]", each)
        assert now == ["wanted", "repairs", "v1", None, None, "0"]
    assert {record.record_id for record in claim(engine)} == {
        "accepted", "confirmed", "drift", "rejected", "sent", "wanted",
    }  # fmt: skip


def test_looking_changes_nothing(one_of_each: Engine) -> None:
    before = everything(one_of_each)
    select(one_of_each, Filters(record_type="order"))
    assert everything(one_of_each) == before


def test_a_record_in_flight_keeps_its_acknowledgement(engine: Engine) -> None:
    """Truth 2: a replay must not make a version that is under way go twice, nor lose what becomes of it."""
    want(engine, "1", "v1")
    batch = claim(engine)
    assert replay(engine, Filters(ids=["1"])) == {}
    outbox.acknowledge(engine, "order", batch, "r-1")
    assert state(engine) == "sent"
    assert replay(engine, Filters(ids=["1"])) == {"again": 1}


def test_a_record_whose_sender_died_waits_by_itself(engine: Engine) -> None:
    want(engine, "1", "v1")
    claim(engine)
    end_leases(engine)
    assert told(select(engine, Filters(ids=["1"]))) == [("order", "wanted", "", "waits to be sent", 1)]
    assert replay(engine, Filters(ids=["1"])) == {}
    assert column(engine, "in_flight_version") == "v1"


def test_a_proof_of_what_was_sent_before_does_not_settle_a_replay(engine: Engine) -> None:
    """Truth 2: what was under way to be confirmed when the replay came is sent and proved again all the same."""
    want(engine, "1", "v1")
    send(engine)
    looked_at = outbox.unproved(engine, "order", 10)
    replay(engine, Filters(ids=["1"]))
    with engine.begin() as connection:
        outbox.settle(connection, "order", looked_at, "confirmed")
    assert state(engine) == "wanted"
    assert send(engine) == ["v1"]
    prove(engine)
    assert state(engine) == "confirmed"


def test_mapping_the_same_again_changes_nothing_about_a_replay(engine: Engine) -> None:
    want(engine, "1", "v1")
    send(engine)
    prove(engine)
    replay(engine, Filters(ids=["1"]))
    want(engine, "1", "v1")
    assert (state(engine), column(engine, "lane")) == ("wanted", "repairs")
    want(engine, "1", "v2")
    assert send(engine) == ["v2"]


# --- filters -----------------------------------------------------------------------------------------------------


def test_by_the_time_of_the_last_acceptance(engine: Engine) -> None:
    """From ``since`` on, and before ``until``; what Ometria never accepted has no such time."""
    put(engine, *(decided(each, "v1") for each in ("old", "edge", "new", "never")))
    send(engine)
    for record_id, ago in (("old", 3 * HOUR), ("edge", 2 * HOUR), ("new", HOUR)):
        accepted(engine, record_id, ago)
    change(engine, "UPDATE bc_ometria.outbox SET accepted_at = NULL WHERE record_id = 'never'")

    def chosen(filters: Filters) -> int:
        return select(engine, filters).going.get("order", 0)

    assert chosen(Filters(since=NOW - 2 * HOUR)) == 2
    assert chosen(Filters(until=NOW - 2 * HOUR)) == 1
    assert chosen(Filters(since=NOW - 2 * HOUR, until=NOW - HOUR)) == 1
    replay(engine, Filters(since=NOW - 2 * HOUR, until=NOW - HOUR))
    assert [state(engine, each) for each in ("old", "edge", "new", "never")] == ["sent", "wanted", "sent", "sent"]


def test_by_record_type_and_by_id(out: Outgoing) -> None:
    """Of one id a contact and an order are two records."""
    engine = out.engine
    for record_type in ("contact", "order"):
        put(engine, decided("1", "v1"), decided("2", "v1"), record_type=record_type)
        send(engine, record_type=record_type)
    assert select(engine, Filters(ids=["1"])).going == {"contact": 1, "order": 1}
    assert replay(engine, Filters(record_type="contact", ids=["1"])) == {"again": 1}
    states = {
        (kind, each): state(engine, each, record_type=kind) for kind in ("contact", "order") for each in ("1", "2")
    }
    assert {key for key, said in states.items() if said == "wanted"} == {("contact", "1")}


def test_by_division_of_the_order_or_customer_in_blue_cherry(engine: Engine) -> None:
    for record_type in ("contact", "order"):
        put(engine, *(decided(each, "v1") for each in ("1", "2", "3")), record_type=record_type)
        send(engine, record_type=record_type)
    for key, division in (("1", "100"), ("2", "200")):
        write(engine, "orders", row("orders", int(key), ord_num=key, division=division))
        mirrored_customer(engine, key, division=division)
    assert select(engine, Filters(division="100")).going == {"contact": 1, "order": 1}
    assert replay(engine, Filters(division="200", record_type="order")) == {"again": 1}
    assert [state(engine, each) for each in ("1", "2", "3")] == ["sent", "wanted", "sent"]


def test_a_replay_of_everything_or_of_nothing_known_is_refused(engine: Engine) -> None:
    with pytest.raises(NotReplayable, match="give a time, a record type, an id or a division"):
        Filters()
    with pytest.raises(NotReplayable, match="A record type is contact or order, not orders"):
        Filters(record_type="orders")
    with pytest.raises(NotReplayable, match="beginning of the time lies after its end"):
        Filters(since=NOW, until=NOW)
    want(engine, "1", "v1")
    for refused in (select, replay):
        with pytest.raises(NotReplayable, match="knows no contact and no order with the id 2, 3"):
            refused(engine, Filters(ids=["1", "3", "2"]))
        with pytest.raises(NotReplayable, match="knows no contact with the id 1"):
            refused(engine, Filters(ids=["1"], record_type="contact"))


# --- events ------------------------------------------------------------------------------------------------------


def test_an_event_is_never_replayed(engine: Engine) -> None:
    """Truth 3, P5: not by type, not by id, and not with all that was accepted in some time."""
    event(engine, "e1", "1", ago_min=1)
    put(engine, decided("1", "v1"))
    send(engine)
    sent = "state = 'accepted', accepted_at = now(), sent_version = 'v'"
    change(engine, f"UPDATE bc_ometria.outbox SET {sent} WHERE record_id = 'e1'")
    with pytest.raises(NotReplayable, match="an event is sent at most once, or a person would be told twice"):
        Filters(record_type="custom_event")
    for ids in (["e1"], ["1", "e1"]):
        with pytest.raises(NotReplayable, match="e1: a custom event is not replayed"):
            replay(engine, Filters(ids=ids))
    assert told(select(engine, Filters(since=NOW - HOUR))) == [("order", "sent", "again", "", 1)]
    assert replay(engine, Filters(since=NOW - HOUR)) == {"again": 1}
    assert state(engine, "e1", record_type="custom_event") == "accepted"


# --- payloads that have expired ----------------------------------------------------------------------------------


def test_a_record_whose_payload_has_expired_is_mapped_again(engine: Engine) -> None:
    """Truth 1: wanted, and no delivery claims it before mapping has written it again."""
    for record_type in ("contact", "order"):
        put(engine, decided("1", "v1"), decided("gone", "v1"), record_type=record_type)
        send(engine, record_type=record_type)
        prove(engine, record_type=record_type)
    change(engine, "UPDATE bc_ometria.outbox SET payload = NULL")
    mirrored_customer(engine, "1")
    touched_since(engine)
    change(
        engine,
        "INSERT INTO bc_ometria.sales_orders (ord_num, document, version, customer, mapped_version) "
        "VALUES ('1', '{}', 'd1', '1', 'd1'), ('2', '{}', 'd1', '1', 'd1')",
    )
    gone = "its payload has expired, and Blue Cherry has it no more"
    assert told(select(engine, Filters(ids=["1", "gone"]))) == [
        ("contact", "confirmed", "mapped again", "", 1),
        ("contact", "confirmed", "", gone, 1),
        ("order", "confirmed", "mapped again", "", 1),
        ("order", "confirmed", "", gone, 1),
    ]
    assert replay(engine, Filters(ids=["1", "gone"])) == {"mapped again": 2}
    assert touched.waiting(engine, "customer", 10) == ["1"]
    assert sales.unmapped(engine, 10) == ["1"]
    assert [state(engine, each) for each in ("1", "gone")] == ["wanted", "confirmed"]
    assert (claim(engine), claim(engine, record_type="contact")) == ([], [])
    assert not outbox.is_any_due(engine)

    want(engine, "1", "v1")
    assert [record.version for record in claim(engine)] == ["v1"]


def test_a_replay_that_meets_a_mapping_under_way_is_not_lost(engine: Engine) -> None:
    """A contact that is touched while its mapping reads is mapped once more: ``touched.settle`` knows the touch."""
    put(engine, decided("1", "v1"), record_type="contact")
    send(engine, record_type="contact")
    change(engine, "UPDATE bc_ometria.outbox SET payload = NULL")
    mirrored_customer(engine, "1")
    seen = touched.of(engine, "customer", ["1"])
    replay(engine, Filters(ids=["1"]))
    with engine.begin() as connection:
        touched.settle(connection, seen)
    assert touched.waiting(engine, "customer", 10) == ["1"]


# --- over the wire -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("record_type", "records"), [("order", orders(120)), ("contact", contacts(120))])
def test_what_was_replayed_is_sent_once_and_confirmed_again(
    out: Outgoing, record_type: str, records: list[dict[str, Any]]
) -> None:
    out.record_type = record_type
    out.want(*records)
    out.push()
    out.prove()
    assert out.states() == {"confirmed": 120}
    calls = out.pushes
    assert replay(out.engine, Filters(record_type=record_type)) == {"again": 120}
    assert replay(out.engine, Filters(record_type=record_type)) == {}
    out.push()
    assert out.pushes == calls + 2
    out.prove()
    assert out.states() == {"confirmed": 120}
    sent = [id for push in out.stand_in.account.pushes for id in push.ids]
    assert {sent.count(record["id"]) for record in records} == {2}


def test_a_replayed_contact_is_welcomed_no_second_time(out: Outgoing) -> None:
    """Q5, and a resync that re-subscribes people is a known mistake of others."""
    out.record_type = "contact"
    consent = {"marketing_optin": "EXPLICITLY_OPTEDIN", "timestamp_subscribed": NOW.isoformat()}
    out.want(*contacts(2, **consent))
    out.push()
    out.prove()
    welcomed = len(out.stand_in.account.automation.fired("subscribed"))
    out.stand_in.control.post("/unsubscribe", json={"email": "c0@example.com"}).raise_for_status()
    replay(out.engine, Filters(record_type="contact"))
    out.push()
    out.prove()
    assert out.states() == {"confirmed": 2}
    assert len(out.stand_in.account.automation.fired("subscribed")) == welcomed == 2
    optins = {each: out.client.profile(f"c{each}@example.com") for each in (0, 1)}
    assert [(optins[each] or {})["marketing_optin"] for each in (0, 1)] == ["EXPLICITLY_OPTEDOUT", "EXPLICITLY_OPTEDIN"]
