"""Every custom event that Ometria has against the order that it tells of."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from bc_ometria.config import rules_folder
from bc_ometria.demo.audit.account import EventAccount
from bc_ometria.demo.audit.reading import Ometria, Row
from bc_ometria.rules import rules_file

_CANCELLED = ("cancelled_by_customer", "cancelled_by_house")
_TAKEN = ("accepted", "sent")
_UNKNOWN = "event_outcome_unknown"  # a call of it was lost: Ometria may have it or not


def audit_events(
    rows: Mapping[str, list[Row]],
    ometria: Ometria,
    outbox: Mapping[str, tuple[str, str]],
    environment: Mapping[str, str],
) -> EventAccount:
    """Hold every custom event against its order; ``outbox`` has state and reason of each event by its id."""
    account = EventAccount(in_ometria=Counter(event["event_type"] for event in ometria.events))
    account.kept_back.update(
        f"{state}: {reason}" if reason else state for state, reason in outbox.values() if state not in _TAKEN
    )
    account.wrong += [
        *_repeated(ometria.events),
        *_without_document(rows, ometria.events),
        *_out_of_order(ometria, environment),
        *_unknown_to_one(ometria.events, outbox),
    ]
    return account


def _repeated(events: list[dict[str, Any]]) -> Iterator[str]:
    """An event goes once; after a call without an answer it may go again, but only as it was."""
    first: dict[str, dict[str, Any]] = {}
    for event in events:
        if first.setdefault(event["id"], event) != event:
            yield f"event {event['id']} of order {_order(event)} was sent twice, with different contents"


def _without_document(rows: Mapping[str, list[Row]], events: list[dict[str, Any]]) -> Iterator[str]:
    """A parcel or a return that is told of is in Blue Cherry, be it void by now."""
    documents = {("parcel", row["ord_num"], row["ship_num"]) for row in rows["shipments"]}
    documents |= {("return", row["ord_num"], row["ret_num"]) for row in rows["returns"]}
    for event in events:
        for kind in ("parcel", "return"):
            number = event["properties"].get(kind)
            if number and (kind, _order(event), number) not in documents:
                yield f"{event['event_type']} of order {_order(event)}: there is no {kind} {number}"
        if "dispatched" in event["event_type"] and "parcel" not in event["properties"]:
            yield f"{event['event_type']} of order {_order(event)} names no parcel"


def _out_of_order(ometria: Ometria, environment: Mapping[str, str]) -> Iterator[str]:
    """An event comes after its order; and after its cancellation nothing else does of an order that stays cancelled.

    That an order stands cancelled is read from what Ometria shows, which ``audit_orders`` proves.
    """
    path = rules_file("statuses", rules_folder(environment))
    states = yaml.load(path.read_text(), Loader=yaml.SafeLoader)["states"]
    cancelled = {(states[name]["status"], states[name]["is_valid"]) for name in _CANCELLED}
    order_of = {event["id"]: _order(event) for event in ometria.events}
    there: set[str] = set()
    quiet: set[str] = set()
    for entry in ometria.journal:
        if entry["record_type"] == "order":
            there.add(entry["record_id"])
        number, event_type = order_of.get(entry["record_id"]), entry["flow"]
        if entry["record_type"] != "custom_event" or number is None:
            continue
        if number not in there:
            yield f"{event_type} of order {number} came before the order"
        if number in quiet and event_type != "order_cancelled":
            yield f"{event_type} of order {number} came after the order was cancelled"
        order = ometria.orders.get(number, {})
        if event_type == "order_cancelled" and (order.get("status"), order.get("is_valid")) in cancelled:
            quiet.add(number)


def _unknown_to_one(events: list[dict[str, Any]], outbox: Mapping[str, tuple[str, str]]) -> Iterator[str]:
    """The events that Ometria has are those that the project knows it took."""
    there = {event["id"]: event for event in events}
    for record_id in sorted(set(outbox) - set(there)):
        if outbox[record_id][0] in _TAKEN:
            yield f"event {record_id} is said to be {outbox[record_id][0]}, and is not in Ometria"
    for record_id, event in sorted(there.items()):
        state, reason = outbox.get(record_id, ("unknown", ""))
        if state not in _TAKEN and reason != _UNKNOWN:
            yield f"{event['event_type']} of order {_order(event)} is in Ometria, and said to be {state}"


def _order(event: Mapping[str, Any]) -> str:
    return str(event["properties"]["order"])
