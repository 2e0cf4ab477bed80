"""Looking before sending, and sending again: the whole project between its stand-ins (P6, P7, Q5; truths 1 to 5)."""

from collections import Counter
from decimal import Decimal
from typing import Any

import orjson
import pytest

from bc_ometria.delivery.effect import Consent
from bc_ometria.delivery.plan import DeliveryPlan, plan
from bc_ometria.delivery.replay import Filters, replay, select
from bc_ometria.resources import Ometria
from bc_ometria.rules import Rules
from bc_ometria.store import stops
from bc_ometria.store.lanes import LANES
from bc_ometria_tests.scenarios.shop import Shop, causes, customer

ONE, TWO, THREE = "0000001001", "0000001002", "0000001003"
ANNA, BEN, CARA = "00000001", "00000002", "00000003"


@pytest.fixture
def opened(shop: Shop) -> Shop:
    """Three customers with an order each, of which the second was dispatched, and one order that is held; all that
    may be in Ometria is there."""
    shop.write("customers", customer(ANNA), customer(BEN, email_ok="N"), customer(CARA))
    shop.order(ONE, customer=ANNA)
    shop.order(TWO, customer=BEN, division="200")
    shop.order(THREE, customer=CARA)
    shop.order("0000001004", ord_status="Q7")
    shop.sync()
    shop.at("2026-01-05 10:00")
    shop.ship(TWO, "0000000501", {1: 2})
    shop.sync()
    assert Counter(shop.states().values()) == {"confirmed": 3, "held: unmapped_status": 1}
    assert set(shop.states("contact").values()) == {"confirmed"}
    return shop


def rules_of(shop: Shop) -> Rules:
    return Rules.load(shop.rules_folder)


def look(shop: Shop, **options: Any) -> DeliveryPlan:
    variables = shop.sandbox.environment()
    ometria = Ometria(base_url=variables["OMETRIA_BASE_URL"], api_key=variables["OMETRIA_API_KEY"])
    rules = rules_of(shop)
    with ometria.client(rules, shop.engine) as client:
        return plan(shop.engine, client, rules, **options)


def effects(found: DeliveryPlan) -> dict[str, tuple[int, int, int]]:
    return {each.record_type: (each.effect.creates, each.effect.updates, each.effect.no_ops) for each in found.records}


def paused(shop: Shop) -> None:
    """No lane flows: what comes waits in the outbox."""
    for lane in LANES:
        stops.pause(shop.engine, lane)


def resumed(shop: Shop) -> None:
    for lane in LANES:
        stops.resume(shop.engine, lane)


def sent(shop: Shop) -> Counter[str | None]:
    """How often each record was on the wire."""
    return Counter(shop.pushed)


def events_sent(shop: Shop) -> dict[str, int]:
    return {number: len(shop.told(number)) for number in (ONE, TWO, THREE)}


# --- plan --------------------------------------------------------------------------------------------------------


def test_a_plan_foretells_what_a_delivery_does(opened: Shop) -> None:
    """P6: a new customer, an opt-out, a cancellation and a new order wait, and the plan says so first."""
    shop = opened
    paused(shop)
    shop.at("2026-01-05 11:00")
    shop.write("customers", customer("00000004"))
    shop.edit("customers", int(ANNA), email_ok="N")
    shop.mark(ONE, ord_status="X", cancel_code="CU")
    shop.cancel(ONE, {1: 2})
    shop.order("0000001005", pieces=(3,), customer="00000004")
    shop.sync()
    before, pushes = (shop.orders(), shop.contacts()), shop.pushes
    states = (shop.states(), shop.states("contact"), shop.states("custom_event"))
    found = look(shop)
    assert (shop.orders(), shop.contacts()) == before
    assert (shop.states(), shop.states("contact"), shop.states("custom_event")) == states
    assert shop.pushes == pushes

    assert effects(found) == {"contact": (1, 1, 0), "order": (1, 1, 0)}
    of_contacts, of_orders = found.records
    assert of_contacts.effect.consents == {
        Consent("email", "in", "out"): 1,
        Consent("email", "no contact", "in"): 1,
        Consent("sms", "no contact", "out"): 1,
    }
    assert of_orders.effect.revenue == {"GBP": Decimal("50.00")}
    assert {"status", "is_valid"} <= of_orders.effect.fields.keys()
    assert of_orders.kept_back == {("held", "unmapped_status"): 1}
    waiting = shop.waiting_events(ONE) | shop.waiting_events("0000001005")
    assert dict(zip(found.events["event_type"], found.events["waiting"], strict=True)) == Counter(waiting.keys())
    assert set(found.lanes["stopped"]) == {"paused"}
    assert {"opt_outs", "cancellations"} <= set(found.lanes["lane"])

    resumed(shop)
    shop.sync()
    assert len(shop.orders()) == len(before[0]) + 1
    assert shop.orders()[ONE]["is_valid"] is False
    assert shop.contacts()[ANNA]["marketing_optin"] == "EXPLICITLY_OPTEDOUT"
    assert effects(look(shop)) == {"order": (0, 0, 0)}


def test_a_plan_of_nothing(shop: Shop) -> None:
    found = look(shop)
    assert (found.records, found.events.empty, found.lanes.empty) == ((), True, True)


# --- replay ------------------------------------------------------------------------------------------------------


def test_after_a_replay_all_is_confirmed_again_and_no_event_was_told_twice(opened: Shop) -> None:
    """Truths 1 and 3: each record once more on the wire, nothing that is held, and not one event."""
    shop = opened
    before, told, stored = sent(shop), events_sent(shop), (shop.orders(), shop.contacts())
    assert told[TWO] > 0
    fired = len(shop.sandbox.account.automation.log)
    assert replay(shop.engine, Filters(record_type="order")) == {"again": 3}
    assert replay(shop.engine, Filters(record_type="contact")) == {"again": 3}
    shop.sync()
    assert sent(shop) - before == dict.fromkeys([ONE, TWO, THREE, ANNA, BEN, CARA], 1)
    assert Counter(shop.states().values()) == {"confirmed": 3, "held: unmapped_status": 1}
    assert Counter(shop.states("contact").values()) == {"confirmed": 3}
    assert events_sent(shop) == told
    assert len(shop.sandbox.account.automation.log) == fired
    assert (shop.orders(), shop.contacts()) == stored


def test_a_replay_brings_back_what_ometria_lost(opened: Shop) -> None:
    """P7: the outbox says confirmed, and a plan of the day says what is not there any more."""
    shop = opened
    shop.sandbox.account.orders.remove(ONE)
    shop.sandbox.account.orders.remove(THREE)
    assert effects(look(shop)) == {"order": (0, 0, 0)}
    begin, end = (shop.sandbox.clock.now().replace(hour=0), shop.sandbox.clock.now().replace(hour=23))
    assert effects(look(shop, changed=(begin, end))) == {"contact": (0, 0, 3), "order": (2, 0, 1)}
    assert causes(shop.sync()) == {}
    assert set(shop.orders()) == {TWO}
    replay(shop.engine, Filters(ids=[ONE, THREE]))
    assert effects(look(shop)) == {"order": (2, 0, 0)}
    assert causes(shop.sync()) == {}
    assert set(shop.orders()) == {ONE, TWO, THREE}


def test_a_replay_by_division_takes_its_orders_and_customers(opened: Shop) -> None:
    shop = opened
    assert select(shop.engine, Filters(division="200")).going == {"order": 1}
    before = sent(shop)
    replay(shop.engine, Filters(division="200"))
    shop.sync()
    assert sent(shop) - before == {TWO: 1}
    assert select(shop.engine, Filters(division="100")).going == {"contact": 3, "order": 2}


def test_a_replay_of_what_was_forgotten_maps_it_anew(opened: Shop) -> None:
    """Truth 1: payloads expire, the records do not. The next run maps them, and they end confirmed."""
    shop = opened
    shop.change("UPDATE bc_ometria.outbox SET payload = NULL WHERE state = 'confirmed'")
    before, told, stored = sent(shop), events_sent(shop), (shop.orders(), shop.contacts())
    assert replay(shop.engine, Filters(record_type="order")) == {"mapped again": 3}
    assert replay(shop.engine, Filters(ids=[BEN])) == {"mapped again": 1}
    found = look(shop)
    assert {each.record_type: each.without_payload for each in found.records} == {"contact": 1, "order": 3}
    shop.sync()
    assert sent(shop) - before == dict.fromkeys([ONE, TWO, THREE, BEN], 1)
    assert Counter(shop.states().values()) == {"confirmed": 3, "held: unmapped_status": 1}
    assert set(shop.states("contact").values()) == {"confirmed"}
    assert events_sent(shop) == told
    assert (shop.orders(), shop.contacts()) == stored


def test_a_replay_waits_behind_a_pause_where_a_plan_shows_what_it_would_undo(opened: Shop) -> None:
    """P2, truth 5: someone opted Anna out in Ometria; who looks first sees that a replay would end that."""
    shop = opened
    account = shop.sandbox.account
    listing = account.contacts["bluecherry"]
    out = {**listing[ANNA], "marketing_optin": "EXPLICITLY_OPTEDOUT"}
    listing.put(ANNA, orjson.dumps(out), at=account.clock.timestamp())
    stops.pause(shop.engine, "repairs")
    replay(shop.engine, Filters(record_type="contact"))
    pushes = shop.pushes
    shop.sync()
    assert shop.pushes == pushes
    (of_contacts,) = [each for each in look(shop).records if each.record_type == "contact"]
    assert of_contacts.effect.consents == {Consent("email", "out", "in"): 1}
