"""Which flows would have fired: the assertion behind "history fires nothing" and "exactly once"."""

import pytest

from bc_ometria_tests.sandbox.ometria_stand_in import at, contact, event, order, stand_in


def test_a_fresh_order_fires_once_however_often_it_is_pushed():
    with stand_in() as ometria:
        for status in ("open", "part_shipped", "complete"):
            ometria.push(order(status=status))
        (trigger,) = ometria.state("automation")
        assert trigger == {
            "flow": "placed_order",
            "record_type": "order",
            "record_id": "0000001001",
            "timestamp": "2026-11-23T08:55:00Z",
            "decided": "2026-11-23T09:00:00Z",
            "outcome": "fired",
            "reason": "the contact entered the flow",
        }


def test_history_with_its_true_times_fires_nothing():
    """Q5: order history fires no flow."""
    with stand_in() as ometria:
        ometria.push(*(order(str(days), timestamp=at(days=days)) for days in range(1, 90)))
        assert set(ometria.outcomes("placed_order")) == {"too_old"}
        assert ometria.account.automation.fired() == []


@pytest.mark.parametrize(("ago", "outcome"), [({"hours": 4}, "fired"), ({"hours": 4, "seconds": 1}, "too_old")])
def test_the_cliff_is_four_hours(ago, outcome):
    with stand_in() as ometria:
        ometria.push(contact())
        ometria.push(event(timestamp=at(**ago)))
        assert ometria.outcomes("order_shipped") == [outcome]


def test_the_queue_can_push_an_event_over_the_cliff():
    with stand_in(queue_lag_seconds=3600) as ometria:
        ometria.push(contact())
        ometria.push(event(timestamp=at(hours=3, minutes=1)))
        ometria.advance(days=1)
        assert ometria.outcomes("order_shipped") == ["too_old"]


def test_a_late_look_at_the_queue_makes_nothing_older():
    with stand_in(queue_lag_seconds=60) as ometria:
        ometria.push(contact())
        ometria.push(event())
        ometria.advance(days=1)
        (trigger,) = ometria.state("automation")
        assert (trigger["outcome"], trigger["decided"]) == ("fired", "2026-11-23T09:01:00Z")


def test_a_future_event_waits_for_its_time():
    with stand_in() as ometria:
        ometria.push(contact())
        ometria.push(event(timestamp=at(hours=-2)))
        assert ometria.outcomes("order_shipped") == ["waiting"]
        ometria.advance(hours=1, minutes=59)
        assert ometria.outcomes("order_shipped") == ["waiting"]
        ometria.advance(days=1)
        (trigger,) = ometria.state("automation")
        assert (trigger["outcome"], trigger["decided"]) == ("fired", "2026-11-23T11:00:00Z")


def test_no_more_than_a_thousand_enter_at_once():
    with stand_in() as ometria:
        ometria.push(contact())
        for start in range(0, 1_100, 100):
            ometria.push(*(event(f"e{number}") for number in range(start, start + 100)))
        assert ometria.outcomes("order_shipped") == ["fired"] * 1_000 + ["dropped"] * 100
        ometria.push(event("other", event_type="order_returned"))
        ometria.advance(minutes=5)
        ometria.push(event("later"))
        assert ometria.outcomes("order_returned") == ["fired"]
        assert ometria.outcomes("order_shipped")[-1] == "fired"
        assert len(ometria.account.automation.fired("order_shipped")) == 1_001


def test_an_undeclared_event_type_is_stored_and_starts_nothing():
    with stand_in(event_types=["order_shipped"]) as ometria:
        ometria.push(contact())
        ometria.push(event("e1"), event("e2", event_type="order_delayed"))
        assert ometria.outcomes("order_shipped") == ["fired"]
        assert ometria.outcomes("order_delayed") == ["undeclared"]
        assert len(ometria.state("events")) == 2


@pytest.mark.parametrize(
    "identity",
    [
        {"identity_account_id": "C1"},
        {"identity_email": "ADA@example.com"},
        {"identity_phone_number": "+442079460000"},
    ],
)
def test_an_event_before_its_contact_starts_nothing(identity):
    """P23: parents first."""
    with stand_in() as ometria:
        shipped = {**event("e1", identity_account_id=None), **identity}
        ometria.push(shipped)
        ometria.push(contact(phone_number="+442079460000"))
        ometria.push({**shipped, "id": "e2"})
        assert ometria.outcomes("order_shipped") == ["unknown_profile", "fired"]


def test_an_order_that_is_not_valid_fires_when_it_becomes_so():
    with stand_in() as ometria:
        ometria.push(order(is_valid=False))
        ometria.push(order(is_valid=False, status="on_hold"))
        ometria.push(order())
        ometria.push(order(is_valid=False, status="cancelled"))
        ometria.push(order())
        assert ometria.outcomes("placed_order") == ["not_valid", "fired"]


def test_a_refused_record_triggers_nothing():
    with stand_in() as ometria:
        ometria.push(order(currency="GPB"))
        ometria.push(event(event_type=None))
        assert ometria.state("automation") == []
