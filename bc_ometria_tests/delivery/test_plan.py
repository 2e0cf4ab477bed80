"""The dry run: it says what a delivery then does, and does nothing (P3, P6, P7)."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Engine, text

from bc_ometria.delivery.drain import Drain, drain, lanes
from bc_ometria.delivery.effect import Consent
from bc_ometria.delivery.plan import DeliveryPlan, RecordPlan, plan
from bc_ometria.ometria.errors import AccessRefused, OutcomeUnknown
from bc_ometria.rules import Rules
from bc_ometria.store import stops
from bc_ometria_tests.delivery.outgoing import COLLECTION, Outgoing, account, contacts, orders
from bc_ometria_tests.delivery.waiting import event
from bc_ometria_tests.delivery.waiting import order as confirmed_order
from bc_ometria_tests.sandbox.ometria_stand_in import contact, order
from bc_ometria_tests.store.records import CHANGED, claim, decided, excluded, put, want
from bc_ometria_tests.store.waiting import fill

OF_THAT_DAY = (CHANGED - timedelta(hours=9), CHANGED + timedelta(hours=15))
THE_DAY_AFTER = (OF_THAT_DAY[1], OF_THAT_DAY[1] + timedelta(days=1))


@pytest.fixture(scope="module")
def rules() -> Rules:
    return Rules.load().model_copy(update={"account": account(pace={"contacts": 2, "minutes": 5})})


def change(engine: Engine, statement: str, **values: Any) -> None:
    with engine.begin() as connection:
        connection.execute(text(statement), values)


def of(found: DeliveryPlan, record_type: str) -> RecordPlan:
    (record,) = [each for each in found.records if each.record_type == record_type]
    return record


def counts(record: RecordPlan) -> tuple[int, int, int]:
    return record.effect.creates, record.effect.updates, record.effect.no_ops


def everything(out: Outgoing) -> list[Any]:
    """The store but for the turns of calls, and what Ometria was ever sent."""
    with out.engine.connect() as connection:
        tables = connection.execute(
            text("SELECT tablename FROM pg_tables WHERE schemaname = 'bc_ometria' AND tablename <> 'call_budget'")
        ).scalars()
        rows = [
            (name, sorted(map(str, connection.exec_driver_sql(f"SELECT * FROM bc_ometria.{name}").all())))
            for name in sorted(tables)
        ]
    return [*rows, out.stand_in.state("pushes"), out.stand_in.state("errors")]


def test_what_waits_against_what_ometria_has(out: Outgoing, rules: Rules) -> None:
    """The plan says creates, updates and no-ops, and the delivery after it does just that."""
    same, changed, new = (
        order("same", grand_total=10.0),
        order("changed", grand_total=20.0),
        order("new", grand_total=7),
    )
    out.stand_in.push(same, {**changed, "grand_total": 50.0})
    out.want(same, changed, new)
    put(out.engine, decided("h1", None, reason="unmapped_status"), decided("h2", None, reason="unmapped_status"))
    put(out.engine, excluded("x"))
    before = everything(out)
    found = plan(out.engine, out.client, rules)
    assert everything(out) == before
    (record,) = found.records
    assert (record.record_type, record.records, record.waiting, record.looked_up) == ("order", 3, 3, 3)
    assert counts(record) == (1, 1, 1)
    assert not record.is_extrapolated
    assert record.effect.revenue == {"GBP": Decimal("-23.00")}
    assert record.effect.fields == {"grand_total": 1}
    assert record.kept_back == {("excluded", "wholesale"): 1, ("held", "unmapped_status"): 2}

    stored = {id: out.stand_in.account.orders[id] for id in out.stand_in.account.orders}
    out.push()
    out.stand_in.account.settle()
    now = {id: out.stand_in.account.orders[id] for id in out.stand_in.account.orders}
    assert len(now.keys() - stored.keys()) == record.effect.creates
    assert sum(now[id] != stored[id] for id in stored) == record.effect.updates
    assert sum(each["grand_total"] for each in now.values()) - sum(
        each["grand_total"] for each in stored.values()
    ) == pytest.approx(-23)


def test_contacts_are_read_from_the_collection_that_is_ours(out: Outgoing, rules: Rules) -> None:
    out.stand_in.push(contact("C0", email="c0@example.com", marketing_optin="EXPLICITLY_OPTEDIN"))
    out.stand_in.push(contact("C1", **{"@collection": "website"}))
    out.record_type = "contact"
    out.want(*contacts(2, marketing_optin="EXPLICITLY_OPTEDOUT"))
    assert rules.account.collection == COLLECTION
    record = of(plan(out.engine, out.client, rules), "contact")
    assert counts(record) == (1, 1, 0)
    assert record.effect.consents == {Consent("email", "in", "out"): 1, Consent("email", "no contact", "out"): 1}


def test_beyond_the_sample_figures_are_extrapolated_and_say_so(out: Outgoing, rules: Rules) -> None:
    known = orders(40, grand_total=2.0)
    out.stand_in.push(*known[:30])
    out.want(*known)
    told: list[tuple[str, int, int]] = []
    record = of(plan(out.engine, out.client, rules, sample=8, progress=lambda *of: told.append(of)), "order")
    assert (record.records, record.looked_up, record.is_extrapolated) == (40, 8, True)
    assert told == [("order", done, 8) for done in range(9)]
    assert out.calls("GET /v2/orders/{id}") == 8
    assert sum(counts(record)) == 40
    assert record.effect.creates % 5 == 0
    assert record.effect.revenue == {"GBP": Decimal(2 * record.effect.creates)}
    again = of(plan(out.engine, out.client, rules, sample=8), "order")
    assert again == record
    assert counts(of(plan(out.engine, out.client, rules, sample=40), "order")) == (10, 0, 30)


def test_a_payload_that_has_expired_cannot_be_compared(out: Outgoing, rules: Rules) -> None:
    out.want(*orders(3))
    change(out.engine, "UPDATE bc_ometria.outbox SET payload = NULL WHERE record_id = '0000000001'")
    record = of(plan(out.engine, out.client, rules), "order")
    assert (record.records, record.without_payload, record.looked_up) == (3, 1, 2)
    assert counts(record) == (2, 0, 0)
    assert not record.is_extrapolated
    change(out.engine, "UPDATE bc_ometria.outbox SET payload = NULL")
    record = of(plan(out.engine, out.client, rules), "order")
    assert (record.without_payload, record.looked_up, counts(record)) == (3, 0, (0, 0, 0))


def test_a_day_means_the_records_that_changed_then_whatever_their_state(out: Outgoing, rules: Rules) -> None:
    """What was sent is compared too: what Ometria has lost since, a plan of what waits would not show."""
    out.want(*orders(3))
    out.push()
    out.prove()
    out.want(order("waits"))
    put(out.engine, decided("held", None, reason="unmapped_status"))
    change(
        out.engine,
        "UPDATE bc_ometria.outbox SET changed_at = :other WHERE record_id = '0000000002'",
        other=THE_DAY_AFTER[0],
    )
    out.stand_in.account.orders.remove("0000000001")
    record = of(plan(out.engine, out.client, rules, changed=OF_THAT_DAY), "order")
    assert (record.records, record.waiting, counts(record)) == (3, 1, (2, 0, 1))
    assert record.kept_back == {("held", "unmapped_status"): 1}
    after = of(plan(out.engine, out.client, rules, changed=THE_DAY_AFTER), "order")
    assert (after.records, counts(after), after.kept_back) == (1, (0, 0, 1), {})
    assert counts(of(plan(out.engine, out.client, rules), "order")) == (1, 0, 0)
    long_ago = tuple(at - timedelta(days=9) for at in OF_THAT_DAY)
    assert plan(out.engine, out.client, rules, changed=(long_ago[0], long_ago[1])).records == ()


# --- Ometria behaves badly ---------------------------------------------------------------------------------------


def test_a_record_that_cannot_be_read_is_left_out_of_the_sample(out: Outgoing, rules: Rules) -> None:
    out.want(*orders(10))
    out.stand_in.arm("html_page", path="/orders", calls=2)
    record = of(plan(out.engine, out.client, rules), "order")
    assert (record.looked_up, record.unreadable, record.is_extrapolated) == (8, 2, True)
    assert counts(record) == (10, 0, 0)


def test_where_nothing_can_be_read_there_is_no_plan(out: Outgoing, rules: Rules) -> None:
    out.want(*orders(5))
    out.stand_in.arm("html_page", path="/orders", calls=None)
    with pytest.raises(OutcomeUnknown):
        plan(out.engine, out.client, rules)


@pytest.mark.parametrize("calls", [1, None])
def test_a_refused_key_ends_it(out: Outgoing, rules: Rules, calls: int | None) -> None:
    """Also where the other calls get through: it is no record that cannot be read."""
    out.want(*orders(20))
    out.stand_in.arm("key_revoked", calls=calls)
    with pytest.raises(AccessRefused):
        plan(out.engine, out.client, rules)


# --- events, lanes, time -----------------------------------------------------------------------------------------


def test_the_events_that_would_fire_with_their_pace_and_those_that_are_too_late(out: Outgoing, rules: Rules) -> None:
    """P5, P23; two may go within five minutes. Three hours are left for one, minutes for none of the late one."""
    for at, ago_min in enumerate((10, 20, 30, 300)):
        confirmed_order(out.engine, f"W{at}")
        event(out.engine, f"e{at}", f"W{at}", ago_min=ago_min)
    confirmed_order(out.engine, "W9", "held")
    event(out.engine, "e9", "W9", ago_min=5, event_type="order_cancelled")
    change(out.engine, "UPDATE bc_ometria.live_since SET at = now() - interval '1 day'")
    before = everything(out)
    found = plan(out.engine, out.client, rules)
    assert everything(out) == before
    columns = ["event_type", "waiting", "wait_for_parents", "goes_now", "goes_later", "will_miss", "too_late"]
    assert found.events[columns].to_numpy().tolist() == [
        ["order_dispatched", 4, 0, 2, 1, 1, 1],
        ["order_cancelled", 1, 1, 0, 0, 0, 0],
    ]
    last = found.events["last_goes_at"].iloc[0]
    assert timedelta(minutes=4) < last - datetime.now(UTC) < timedelta(minutes=6)
    assert found.lanes.to_numpy().tolist() == [["events", "custom_event", 5, ""]]


def test_the_events_of_a_day_are_those_whose_order_changed_then(out: Outgoing, rules: Rules) -> None:
    for at, changed_at in enumerate((OF_THAT_DAY[0], OF_THAT_DAY[1])):
        confirmed_order(out.engine, f"W{at}")
        event(out.engine, f"e{at}", f"W{at}", ago_min=1)
        change(
            out.engine,
            "UPDATE bc_ometria.outbox SET changed_at = :at WHERE record_id = :id",
            at=changed_at,
            id=f"e{at}",
        )
    assert plan(out.engine, out.client, rules).events["waiting"].tolist() == [2]
    assert plan(out.engine, out.client, rules, changed=OF_THAT_DAY).events["waiting"].tolist() == [1]
    nothing = plan(out.engine, out.client, rules, changed=(OF_THAT_DAY[0] - timedelta(days=1), OF_THAT_DAY[0]))
    assert nothing.events.empty


def test_lanes_in_their_order_with_what_stops_them(engine: Engine) -> None:
    assert lanes(engine).empty
    fill(engine, 3, "history", sent=None, standing="valid")
    fill(engine, 2, "live", sent=None, standing="valid")
    fill(engine, 1, "live", sent=None, standing="email:in", record_type="contact", prefix="c")
    stops.pause(engine, "history")
    with engine.begin() as connection:
        id = stops.stop(connection, "live", "order", "orders_become_invalid", {}, 2)
        stops.stop(connection, "cancellations", "order", "orders_become_invalid", {}, 2)
    stops.pause(engine, "live")
    assert lanes(engine).to_numpy().tolist() == [
        ["live", "contact", 1, "paused"],
        ["live", "order", 2, f"stop {id}: orders_become_invalid, paused"],
        ["history", "order", 3, "paused"],
    ]
    stops.resume(engine, "history")
    assert lanes(engine)["stopped"].tolist()[-1] == ""


def test_the_time_it_takes_is_that_of_full_calls_at_the_accounts_rates() -> None:
    """Contacts and orders do not share a call; events are not read back; lists show 250 records a call."""
    waiting = {"contact": 101, "order": 1000, "custom_event": 250}
    by_lists = drain(waiting, account())
    assert by_lists == Drain(pushes=2 + 10 + 3, push_s=15 / 8, reads=1 + 4, read_s=5 / 4)
    by_id = drain(waiting, account(read_back_lists=False, read_back_sample=0.1))
    assert (by_id.reads, by_id.read_s) == (111, 111 / 4)
    assert drain({}, account()) == Drain(0, 0, 0, 0)


def test_what_is_under_way_is_planned_like_what_waits(out: Outgoing, rules: Rules) -> None:
    want(out.engine, "1", "v1")
    change(out.engine, """UPDATE bc_ometria.outbox SET payload = '{"@type": "order", "id": "1"}'""")
    claim(out.engine)
    assert counts(of(plan(out.engine, out.client, rules), "order")) == (1, 0, 0)
