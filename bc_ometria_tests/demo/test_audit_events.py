"""The demo's audit of events is put to the test: whatever is planted, it finds (P5, P23, Q4)."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from bc_ometria.demo.audit import EventAccount, audit_events, read_ometria
from bc_ometria_tests.sandbox.ometria_stand_in import StandIn, at, order, stand_in

GONE, QUIET = "0000001001", "0000001002"
ROWS: dict[str, list[dict[str, Any]]] = {
    "shipments": [{"ord_num": GONE, "ship_num": "S1"}, {"ord_num": GONE, "ship_num": "S2", "void_ok": "Y"}],
    "returns": [{"ord_num": GONE, "ret_num": "R1"}],
}


def event(id: str, event_type: str, number: str = GONE, **properties: Any) -> dict[str, Any]:
    return {
        "@type": "custom_event",
        "id": id,
        "event_type": event_type,
        "timestamp": at(minutes=5),
        "identity_account_id": "C1",
        "properties": {"order": number, **properties},
    }


def cancelled(number: str = QUIET) -> dict[str, Any]:
    return order(number, status="cancelled", is_valid=False)


@dataclass
class Sent:
    """What was pushed, in this order, and what the outbox says of it. At the beginning all of it is right."""

    ometria: StandIn
    outbox: dict[str, tuple[str, str]] = field(default_factory=dict)

    def push(self, *records: dict[str, Any], state: str = "accepted") -> None:
        for record in records:
            self.ometria.push(record)
            if record["@type"] == "custom_event":
                self.outbox[record["id"]] = (state, "")

    def audit(self, rows: dict[str, list[dict[str, Any]]] = ROWS) -> EventAccount:
        stored = read_ometria(str(self.ometria.control.base_url).split("/_control")[0])
        return audit_events(rows, stored, self.outbox, {})


@pytest.fixture
def sent() -> Any:
    with stand_in() as ometria:
        sent = Sent(ometria)
        sent.push(order(GONE, status="placed"), order(QUIET, status="placed"))
        sent.push(event("e1", "order_picking"), event("e2", "order_part_dispatched", parcel="S1"))
        sent.push(event("e3", "order_dispatched", parcel="S2"), event("e4", "tracking_added", parcel="S1"))
        sent.push(event("e5", "order_refunded", **{"return": "R1"}), event("e6", "order_picking", QUIET))
        sent.push(cancelled(), event("e7", "order_cancelled", QUIET))
        sent.outbox |= {"h1": ("excluded", "history"), "h2": ("held", "event_too_late"), "h3": ("excluded", "history")}
        yield sent


def test_what_is_right_is_counted(sent: Sent) -> None:
    found = sent.audit()
    assert found.wrong == []
    assert found.in_ometria == {
        "order_picking": 2,
        "order_part_dispatched": 1,
        "order_dispatched": 1,
        "tracking_added": 1,
        "order_refunded": 1,
        "order_cancelled": 1,
    }
    assert found.kept_back == {"excluded: history": 2, "held: event_too_late": 1}


def test_an_event_that_was_sent_again_as_it_was_is_no_mistake(sent: Sent) -> None:
    sent.push(event("e1", "order_picking"))
    assert sent.audit().wrong == []


def test_an_order_that_is_no_longer_cancelled_may_speak_again(sent: Sent) -> None:
    sent.push(order(QUIET, status="picking"), event("e8", "order_hold_released", QUIET))
    assert sent.audit().wrong == []


def test_an_event_of_which_a_call_was_lost_may_be_there_or_not(sent: Sent) -> None:
    sent.outbox |= {"e1": ("held", "event_outcome_unknown"), "e8": ("held", "event_outcome_unknown")}
    found = sent.audit()
    assert found.wrong == []
    assert found.kept_back["held: event_outcome_unknown"] == 2


PLANTED: dict[str, tuple[Callable[[Sent], Any], str]] = {
    "another content under the same id": (
        lambda sent: sent.push(event("e1", "order_picking", warehouse="London")),
        f"event e1 of order {GONE} was sent twice, with different contents",
    ),
    "another type under the same id": (
        lambda sent: sent.push(event("e2", "order_dispatched", parcel="S1")),
        f"event e2 of order {GONE} was sent twice, with different contents",
    ),
    "a parcel that never was": (
        lambda sent: sent.push(event("e8", "order_dispatched", parcel="S3")),
        f"order_dispatched of order {GONE}: there is no parcel S3",
    ),
    "another order's parcel": (
        lambda sent: sent.push(order("0000001003"), event("e8", "order_part_dispatched", "0000001003", parcel="S1")),
        "order_part_dispatched of order 0000001003: there is no parcel S1",
    ),
    "a dispatch without a parcel": (
        lambda sent: sent.push(event("e8", "order_dispatched")),
        f"order_dispatched of order {GONE} names no parcel",
    ),
    "a return that never was": (
        lambda sent: sent.push(event("e8", "order_part_refunded", **{"return": "R2"})),
        f"order_part_refunded of order {GONE}: there is no return R2",
    ),
    "an event before its order": (
        lambda sent: sent.push(event("e8", "order_picking", "0000001003"), order("0000001003")),
        "order_picking of order 0000001003 came before the order",
    ),
    "an event without its order": (
        lambda sent: sent.push(event("e8", "order_picking", "0000001003")),
        "order_picking of order 0000001003 came before the order",
    ),
    "a word after the cancellation": (
        lambda sent: sent.push(event("e8", "order_back_ordered", QUIET)),
        f"order_back_ordered of order {QUIET} came after the order was cancelled",
    ),
    "an event that Ometria never got": (
        lambda sent: sent.outbox.update(e8=("accepted", "")),
        "event e8 is said to be accepted, and is not in Ometria",
    ),
    "an event that was withdrawn and sent": (
        lambda sent: sent.push(event("e8", "order_on_hold"), state="withdrawn"),
        f"order_on_hold of order {GONE} is in Ometria, and said to be withdrawn",
    ),
    "an event that nobody knows of": (
        lambda sent: sent.outbox.pop("e1"),
        f"order_picking of order {GONE} is in Ometria, and said to be unknown",
    ),
}


@pytest.mark.parametrize("what", PLANTED)
def test_a_planted_mistake_is_found_and_nothing_else(sent: Sent, what: str) -> None:
    plant, said = PLANTED[what]
    plant(sent)
    assert sent.audit().wrong == [said]
