"""Custom events as Ometria gets them: after their parents, in time or not at all, and always under the same id."""

import re

import pytest
from sqlalchemy import text

from bc_ometria.store.database import migrate
from bc_ometria.store.schema import SCHEMA
from bc_ometria_tests.scenarios.shop import ACCOUNT, Shop, customer, evaluations, metadata, table

ONE, TWO, THREE, FOUR = "0000003001", "0000003002", "0000003003", "0000003004"


@pytest.fixture
def opened(shop: Shop) -> Shop:
    """A shop with one customer."""
    shop.write("customers", customer())
    return shop


def test_an_event_waits_for_its_order_and_for_its_contact(opened: Shop) -> None:
    """P23: a contact without an e-mail address and an order that does not add up, both mended; a guest has neither."""
    shop = opened
    nameless = customer("00000002", email="")
    shop.write("customers", nameless)
    no_contact, no_order, guest = ONE, TWO, THREE
    shop.order(no_contact, customer="00000002")
    shop.order(no_order)
    shop.mark(no_order, sub_total="90.00", ord_total="90.00")
    shop.order(guest, customer="", email="guest@example.com")
    for at, number in enumerate((no_contact, no_order, guest), 1):
        shop.mark(number, ord_status="C")
        shop.ship(number, f"000000050{at}", {1: 2}, tracking="A")
    shop.sync()
    assert shop.states() == {no_contact: "confirmed", no_order: "held: totals_differ", guest: "confirmed"}
    assert shop.states("contact") == {"00000001": "confirmed", "00000002": "held: missing_email"}
    waiting = {"order_picking": "wanted", "order_dispatched": "wanted"}
    assert shop.waiting_events(no_contact) == shop.waiting_events(no_order) == waiting
    assert shop.told(guest) == ["order_picking", "order_dispatched"]
    # The contacts' checks ran before the events were there; the next ones show what waits for them.
    lacking = evaluations(shop.sync())["ometria/contacts:attributes_are_there"]
    assert lacking.metadata["blocked_events"].value == 2
    (code,) = table(lacking, "codes")
    assert (code["code"], code["owner"], code["blocked events"]) == ("missing_email", "Marketing", 2)

    shop.at("2026-01-05 10:00")
    shop.write("customers", {**nameless, "email": "canary.00000002@example.com"})
    shop.mark(no_order, sub_total="100.00", ord_total="100.00")
    shop.sync()
    for number, parent in ((no_contact, "00000002"), (no_order, no_order)):
        assert shop.told(number) == ["order_picking", "order_dispatched"]
        assert shop.pushed.index(parent) < shop.pushed.index(shop.events(number)[0].id)
    assert {shop.states("custom_event")[event.id] for event in shop.events(no_order)} == {"accepted"}
    assert shop.open_exceptions() == set()


def test_an_event_past_the_cliff_is_a_journey_missed_and_history_is_none(opened: Shop) -> None:
    """Truth 8: neither is sent, then or later; only what happened since the store follows is an exception."""
    shop = opened
    (shop.rules_folder / "ometria.yaml").write_text(ACCOUNT.replace("cliff_min: 10000000", "cliff_min: 240"))
    shop.change("UPDATE bc_ometria.live_since SET at = '2026-01-05 09:30+00'")
    before, after = ONE, TWO
    shop.order(before, ord_status="C")
    shop.ship(before, "0000000501", {1: 2})
    shop.at("2026-01-05 10:00")
    shop.order(after, ord_status="C")
    shop.ship(after, "0000000502", {1: 2})
    result = shop.sync()
    assert set(shop.states().values()) == {"confirmed"}
    history, late = "excluded: history", "held: event_too_late"
    assert shop.waiting_events(before) == {"order_picking": history, "order_dispatched": history}
    assert shop.waiting_events(after) == {"order_picking": late, "order_dispatched": late}
    missed = shop.exceptions("event_too_late")
    assert {each["detail"] for each in missed} == {
        f"order_picking of order {after}, 2026-01-05 10:00 UTC: the journey that it starts was missed",
        f"order_dispatched of order {after}, 2026-01-05 10:00 UTC: the journey that it starts was missed",
    }
    assert metadata(result, "delivery", "order_events")["events_too_late"] == 2
    check = evaluations(result)["delivery/order_events:events_were_in_time"]
    assert (check.passed, check.severity.value) == (False, "WARN")
    assert {row["record"] for row in table(check, "examples")} == {
        f"{after} order_picking",
        f"{after} order_dispatched",
    }

    shop.change("UPDATE bc_ometria.exceptions SET last_seen = now() - interval '8 days'")
    shop.at("2026-01-05 11:00")
    for number in (before, after):
        shop.mark(number, promo_code="SPRING")
    result = shop.sync()
    assert shop.told(before) == shop.told(after) == []
    assert [each["closed_by"] for each in shop.exceptions("event_too_late")] == ["age", "age"]
    assert evaluations(result)["delivery/order_events:events_were_in_time"].passed


def test_a_store_rebuilt_from_nothing_has_the_same_ids(opened: Shop) -> None:
    """Truth 3: 32 hex characters that follow from Blue Cherry's keys; a parcel that becomes the last one keeps its."""
    shop = opened
    sent, cut, cancelled = ONE, TWO, THREE
    shop.order(sent, pieces=(1, 2))
    shop.order(cut, pieces=(2, 1))
    shop.order(cancelled)
    shop.at("2026-01-05 10:00")
    shop.ship(sent, "0000000501", {1: 1}, tracking="A")
    shop.cancel(cut, {1: 1})
    shop.sync()
    shop.at("2026-01-05 11:00")
    shop.ship(sent, "0000000502", {2: 2}, tracking="B")
    shop.mark(cancelled, ord_status="X", cancel_code="CU")
    shop.cancel(cancelled, {1: 2})
    shop.sync()
    shop.at("2026-01-05 12:00")
    shop.refund(sent, "0000000701", {1: 1})
    shop.ship(cut, "0000000503", {1: 1, 2: 1}, tracking="C")
    shop.sync()
    ids = {event.id: event.type for number in (sent, cut, cancelled) for event in shop.events(number)}
    assert sorted(ids.values()) == [
        "back_order_released",
        "order_back_ordered",
        "order_cancelled",
        "order_dispatched",
        "order_dispatched",
        "order_part_cancelled",
        "order_part_dispatched",
        "order_part_refunded",
        "order_picking",
        "order_picking",
    ]
    assert all(re.fullmatch("[0-9a-f]{32}", id) for id in ids)
    pushed = set(shop.pushed)

    with shop.engine.begin() as connection:
        connection.execute(text(f"DROP SCHEMA {SCHEMA} CASCADE"))
    migrate(shop.engine)
    assert shop.sync().success
    assert set(shop.pushed) == pushed
    assert set(shop.states("custom_event").values()) == {"accepted"}
    # That goods were short for an hour is nowhere in Blue Cherry any more.
    forgotten = {id for id, event_type in ids.items() if event_type.startswith(("order_back_", "back_order_"))}
    assert shop.states("custom_event").keys() == ids.keys() - forgotten
