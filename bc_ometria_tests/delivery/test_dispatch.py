"""Every call goes to what is most urgent at that moment; nothing that is due is left (P3, P6, P23)."""

from typing import Any

import orjson
import pytest
from sqlalchemy import Engine, text

from bc_ometria.delivery import dispatch
from bc_ometria.delivery.budget import SharedBudget, note_reply, refusal
from bc_ometria.delivery.dispatch import Delivered, deliver
from bc_ometria.ometria.budget import Limits
from bc_ometria.ometria.client import OmetriaClient
from bc_ometria.ometria.errors import AccessRefused
from bc_ometria.rules import Rules
from bc_ometria.store import outbox, stops
from bc_ometria.store.schema import SCHEMA
from bc_ometria_tests.delivery.outgoing import Outgoing, contacts, orders
from bc_ometria_tests.sandbox.ometria_stand_in import contact, order
from bc_ometria_tests.store.records import column, decided, put, state
from bc_ometria_tests.store.rows import table
from bc_ometria_tests.store.test_order_events import confirm, event, tell

PATIENT: dict[str, Any] = {"read_back_after": 0, "collection": "blue_cherry", "fill_wait_s": 0}


def rules(**account: Any) -> Rules:
    loaded = Rules.load()
    changed = type(loaded.account).model_validate(loaded.account.model_dump() | PATIENT | account)
    return loaded.model_copy(update={"account": changed})


def move(engine: Engine, lane: str, where: str = "true") -> None:
    """Records of the outbox belong to another lane."""
    with engine.begin() as connection:
        connection.execute(text(f"UPDATE {SCHEMA}.outbox SET lane = :lane WHERE {where}"), {"lane": lane})


def pushed(out: Outgoing) -> list[list[str]]:
    """The ids of each call, in the order in which Ometria received them."""
    return [call["ids"] for call in out.stand_in.state("pushes")]


def want(out: Outgoing, record_type: str, *records: dict[str, Any]) -> None:
    out.record_type = record_type
    out.want(*records)


@pytest.fixture
def one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """One connection, so that Ometria receives calls in the order in which they were begun."""
    monkeypatch.setattr(dispatch, "_CONNECTIONS", 1)


def test_a_drain_ends_when_all_is_confirmed(out: Outgoing) -> None:
    want(out, "contact", *contacts(150))
    want(out, "order", *orders(250))
    done = deliver(out.engine, out.client, rules())
    assert done.pushed.accepted == {"contact": 150, "order": 250}
    assert done.proved.confirmed == {"contact": 150, "order": 250}
    assert out.states() == {"confirmed": 400}
    assert {len(ids) for ids in pushed(out)} == {100, 50}


@pytest.mark.usefixtures("one_by_one")
def test_lanes_go_in_their_order_and_parents_first(out: Outgoing) -> None:
    """P3: consent first, then cancellations, then what lives; bulk comes last."""
    want(out, "order", *orders(3))
    for number, lane in enumerate(("history", "live", "cancellations")):
        move(out.engine, lane, f"record_id = '{number:010}'")
    want(out, "contact", contact("C1", email="c1@example.com"), contact("C2", email="c2@example.com"))
    move(out.engine, "opt_outs", "record_id = 'C1'")
    move(out.engine, "attributes", "record_id = 'C2'")
    deliver(out.engine, out.client, rules())
    # A call that begins with an urgent record is filled with others of its type.
    assert pushed(out) == [["C1", "C2"], ["0000000002", "0000000001", "0000000000"]]


@pytest.mark.usefixtures("one_by_one")
def test_with_bulk_queued_a_new_order_and_an_opt_out_leave_in_the_next_free_call(out: Outgoing) -> None:
    """P3, with the real budget's turns: what comes while a drain runs is ahead of all that waits."""
    want(out, "contact", *contacts(1_000))
    move(out.engine, "attributes")
    came: list[int] = []

    def come(delivered: Delivered) -> None:
        if not came and delivered.pushed.calls.total() == 3:
            came.append(len(pushed(out)))
            want(out, "order", order("new order"))
            want(out, "contact", contact("left", email="left@example.com", marketing_optin="EXPLICITLY_OPTEDOUT"))
            move(out.engine, "opt_outs", "record_id = 'left'")

    deliver(out.engine, out.client, rules(), progress=come)
    following = pushed(out)[came[0] : came[0] + 2]
    assert following[0][0] == "left"
    assert following[1] == ["new order"]
    assert out.states() == {"confirmed": 1_002}


def test_a_call_that_is_not_full_waits_for_others_while_the_account_is_busy(out: Outgoing) -> None:
    want(out, "order", *orders(2))
    want(out, "contact", *contacts(100))
    move(out.engine, "history", "record_type = 'contact'")
    (bulk,) = outbox.claim(out.engine, 1, fill_wait=3600)
    assert (bulk.record_type, len(bulk.records)) == ("contact", 100)
    (live,) = outbox.claim(out.engine, 1, fill_wait=0)
    assert (live.record_type, len(live.records)) == ("order", 2)


def test_bulk_rests_while_ometrias_queue_is_nearly_full_and_live_records_go(out: Outgoing) -> None:
    """Before Ometria says 429: ``X-QueueSize-Remaining``."""
    settings = out.stand_in.account.settings
    out.stand_in.account.settings = settings.changed({"queue_limit": 1_000, "queue_lag_seconds": 3600})
    want(out, "contact", *contacts(900))
    deliver(out.engine, out.client, rules(queue_reserve=0), prove_for=0)
    want(out, "contact", contact("bulk", email="bulk@example.com"))
    move(out.engine, "history", "record_id = 'bulk'")
    want(out, "order", *orders(1))
    done: list[Delivered] = []
    note_reply(out.engine, 1_000, 100)  # as the last reply said, and has just been said
    with pytest.raises(KeyboardInterrupt):
        deliver(out.engine, out.client, rules(queue_reserve=10_000), prove_for=0, progress=_stop_at_first(done))
    assert done[0].pushed.accepted == {"order": 1}
    assert state(out.engine, "bulk", "contact") == "wanted"


def _stop_at_first(done: list[Delivered]) -> Any:
    def stop(delivered: Delivered) -> None:
        if delivered.pushed.accepted:
            done.append(delivered)
            raise KeyboardInterrupt

    return stop


def test_a_live_run_leaves_bulk_to_the_drain(out: Outgoing) -> None:
    want(out, "order", *orders(2))
    move(out.engine, "history", "record_id = '0000000000'")
    deliver(out.engine, out.client, rules(), bulk_for=0)
    assert out.states() == {"wanted": 1, "confirmed": 1}
    deliver(out.engine, out.client, rules())
    assert out.states() == {"confirmed": 2}


@pytest.mark.parametrize("record_type", ["", "order"])
def test_nothing_of_a_paused_lane_goes_until_it_is_resumed(out: Outgoing, record_type: str) -> None:
    """P6."""
    want(out, "order", *orders(2))
    move(out.engine, "cancellations", "record_id = '0000000000'")
    stops.pause(out.engine, "cancellations", record_type)
    deliver(out.engine, out.client, rules())
    assert pushed(out) == [["0000000001"]]
    stops.resume(out.engine, "cancellations")
    deliver(out.engine, out.client, rules())
    assert out.states() == {"confirmed": 2}


def test_a_refused_key_stops_the_delivery_is_remembered_and_marks_nothing_as_bad(out: Outgoing) -> None:
    want(out, "order", *orders(3_000))
    out.stand_in.arm("key_revoked", calls=None)
    with pytest.raises(AccessRefused, match="OMETRIA_API_KEY"):
        deliver(out.engine, out.client, rules())
    assert out.pushes <= 16
    assert out.states() == {"wanted": 3_000}
    assert out.open_exceptions() == []
    assert refusal(out.engine) is not None
    deliver(out.engine, out.client, rules(), record_types=("contact",))
    assert refusal(out.engine) is not None, "a delivery that asked nothing of Ometria does not know better"
    out.stand_in.control.delete("/faults")
    deliver(out.engine, out.client, rules())
    assert out.states() == {"confirmed": 3_000}
    assert refusal(out.engine) is None


def test_one_delivery_looks_again_until_ometria_has_applied_all(out: Outgoing) -> None:
    settings = out.stand_in.account.settings
    out.stand_in.account.settings = settings.changed({"queue_lag_seconds": 60})
    want(out, "order", *orders(5))
    open_then: list[int] = []

    def come(delivered: Delivered) -> None:
        if delivered.proved.open:
            open_then.append(delivered.proved.open.total())
            out.stand_in.advance(seconds=61)

    done = deliver(out.engine, out.client, rules(), progress=come)
    assert open_then == [5]
    assert done.proved.confirmed == {"order": 5}


def test_a_delivery_looks_once_for_what_an_earlier_one_has_waited_for(out: Outgoing) -> None:
    """F4: one record that Ometria does not show must not slow every run until it counts as drift."""
    settings = out.stand_in.account.settings
    out.stand_in.account.settings = settings.changed({"queue_lag_seconds": 600})
    want(out, "order", *orders(1))
    out.push()
    with out.engine.begin() as connection:
        connection.execute(text(f"UPDATE {SCHEMA}.outbox SET accepted_at = now() - interval '1 minute'"))
    done = deliver(out.engine, out.client, rules(), prove_for=20)
    assert done.proved.open == {"order": 1}
    assert out.calls("GET /v2/orders/{id}") == 1


def test_two_deliveries_share_the_rate_and_no_record_is_sent_twice(out: Outgoing, engine: Engine) -> None:
    """Truth 4, at the stand-in's real rates."""
    from concurrent.futures import ThreadPoolExecutor

    account = out.stand_in.account
    account.settings = account.settings.changed({"limits": True})
    want(out, "order", *orders(2_500))
    limits = Limits()

    def one(_: int) -> Delivered:
        key = account.settings.api_key
        with OmetriaClient(str(out.stand_in.api.base_url), key, budget=SharedBudget(engine, limits)) as client:
            return deliver(engine, client, rules())

    with ThreadPoolExecutor(2) as both:
        delivered = list(both.map(one, range(2)))
    assert sum(each.pushed.accepted["order"] for each in delivered) == 2_500
    assert sorted(id for ids in pushed(out) for id in ids) == [f"{number:010}" for number in range(2_500)]
    assert out.states() == {"confirmed": 2_500}


def test_the_outbox_knows_every_step_of_a_record(out: Outgoing) -> None:
    want(out, "order", *orders(1))
    deliver(out.engine, out.client, rules())
    steps = (
        "seen_at <= queued_at AND queued_at <= accepted_at AND accepted_at <= confirmed_at AND changed_at IS NOT NULL"
    )
    assert column(out.engine, steps, "0000000000")


def test_a_payload_is_forgotten_after_its_days_and_its_versions_stay(out: Outgoing) -> None:
    want(out, "order", *orders(2))
    deliver(out.engine, out.client, rules())
    with out.engine.begin() as connection:
        connection.execute(
            text(
                f"UPDATE {SCHEMA}.outbox SET queued_at = queued_at - interval '91 days', accepted_at = accepted_at - "
                "interval '91 days', confirmed_at = confirmed_at - interval '91 days' WHERE record_id = '0000000000'"
            )
        )
    assert outbox.expire_payloads(out.engine, 90) == 1
    rows = table(
        out.engine, "outbox", "payload IS NULL, state, proved_version IS NOT NULL, request_id <> ''", "record_id"
    )
    assert rows == [(True, "confirmed", True, True), (False, "confirmed", True, True)]
    out.want(*orders(2))
    assert deliver(out.engine, out.client, rules()).pushed.calls.total() == 0
    out.want(order("0000000000", status="returned"))
    deliver(out.engine, out.client, rules())
    assert orjson.loads(column(out.engine, "payload", "0000000000"))["status"] == "returned"


@pytest.mark.parametrize("state", ["held", "drift"])
def test_a_payload_that_waits_for_nothing_but_a_new_version_is_forgotten_too(out: Outgoing, state: str) -> None:
    want(out, "order", *orders(1))
    deliver(out.engine, out.client, rules())
    with out.engine.begin() as connection:
        aged = "queued_at = now() - interval '91 days', accepted_at = NULL, confirmed_at = NULL"
        connection.execute(text(f"UPDATE {SCHEMA}.outbox SET state = '{state}', reason = 'rejected', {aged}"))
    assert outbox.expire_payloads(out.engine, 90) == 1
    out.want(*orders(1))
    assert deliver(out.engine, out.client, rules()).pushed.calls.total() == 0
    out.want(order("0000000000", status="returned"))
    deliver(out.engine, out.client, rules())
    assert out.states() == {"confirmed": 1}


@pytest.mark.parametrize("state", ["wanted", "sent"])
def test_a_payload_that_is_on_its_way_is_kept_however_old(engine: Engine, state: str) -> None:
    put(engine, decided("1", "A"))
    with engine.begin() as connection:
        aged = "queued_at = now() - interval '91 days', accepted_at = now() - interval '91 days'"
        connection.execute(text(f"UPDATE {SCHEMA}.outbox SET state = '{state}', {aged}"))
    assert outbox.expire_payloads(engine, 90) == 0


def test_no_event_is_risked_while_ometria_leaves_pushes_unanswered(out: Outgoing) -> None:
    """Truth 3: one of which no reply comes is lost to its journey, so an outage must not take them call by call."""
    tell(out.engine, event("e1"))
    confirm(out.engine, "order", "W1")
    want(out, "order", *orders(1))
    out.stand_in.arm("server_error", calls=None)
    deliver(out.engine, out.client, rules(), record_types=("contact", "order"))
    done = deliver(out.engine, out.client, rules())
    assert done.pushed.calls["custom_event"] == 0
    assert state(out.engine, "e1", "custom_event") == "wanted"
    out.stand_in.control.delete("/faults")
    assert deliver(out.engine, out.client, rules()).pushed.calls["custom_event"] == 1


def test_a_delivery_ends_while_ometria_takes_nothing_and_the_next_goes_on(out: Outgoing) -> None:
    """A live run that went on and on would read no change of Blue Cherry meanwhile."""
    want(out, "order", *orders(10_000))
    out.stand_in.arm("server_error", path="/push", calls=None)
    done = deliver(out.engine, out.client, rules())
    assert done.pushed.calls.total() <= 3 * 16
    assert out.states() == {"wanted": 10_000}
