"""The records an account holds, and what one more good record does to them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson

from bc_ometria.sandbox.ometria.automation import PLACED_ORDER, SMS_OPTIN_MESSAGE, Automation, Veto
from bc_ometria.sandbox.ometria.checks import Problem, parse_timestamp
from bc_ometria.sandbox.ometria.identities import IDENTITY_KINDS, Identifier, identifier
from bc_ometria.sandbox.ometria.people import People
from bc_ometria.sandbox.ometria.settings import Settings
from bc_ometria.sandbox.ometria.shelf import Shelf, Stored, encoded


@dataclass(frozen=True, slots=True)
class Event:
    """A stored custom event; ``at`` in seconds since the epoch."""

    body: bytes
    identity: Identifier
    at: float

    @property
    def record(self) -> dict[str, Any]:
        return orjson.loads(self.body)


class Contents:
    """Orders and products by id, contacts by collection and id, events by type and id."""

    def __init__(self, people: People, automation: Automation) -> None:
        self._people = people
        self._automation = automation
        self._placed: set[str] = set()
        self.orders: Shelf[str] = Shelf()
        self.products: Shelf[str] = Shelf()
        self.contacts: dict[str, Shelf[str]] = {}
        self.events: dict[tuple[str, str], list[Event]] = {}
        self.event_repeats = 0

    def apply(self, record: dict[str, Any], body: bytes, at: float, settings: Settings) -> Problem | None:
        """Store ``record`` (``body`` is its JSON) or say what the account does not know in it."""
        apply: dict[str, Callable[[dict[str, Any], bytes, float, Settings], Problem | None]] = {
            "order": self._order,
            "contact": self._contact,
            "custom_event": self._event,
            "product": self._product,
        }
        return apply[record["@type"]](record, body, at, settings)

    def _order(self, pushed: dict[str, Any], body: bytes, at: float, settings: Settings) -> Problem | None:
        problem = self._unknown_reference(pushed, settings)
        if problem:
            return problem
        order, body = _as_stored(self.orders.get(pushed["id"]), pushed, body, settings)
        timestamp = parse_timestamp(order["timestamp"]).timestamp()
        new = self.orders.put(order["id"], body, at=at, timestamp=timestamp)
        self._people.put_order(order, joins_last=settings.joins_last)
        # An order counts as placed once: when it is first there and valid (ours).
        valid = order.get("is_valid") is not False
        if order["id"] not in self._placed and (new or valid):
            veto: Veto | None = None if valid else "not_valid"
            self._automation.trigger(PLACED_ORDER, "order", order["id"], timestamp=timestamp, at=at, veto=veto)
        if valid:
            self._placed.add(order["id"])
        return None

    def _unknown_reference(self, order: dict[str, Any], settings: Settings) -> Problem | None:
        store = order.get("store")
        if settings.stores is not None and store and store not in settings.stores:
            return Problem("/store", "is not a store of this account")
        if settings.unknown_products == "refused":
            for index, line in enumerate(order.get("lineitems") or []):
                if line["product_id"] not in self.products:
                    return Problem(f"/lineitems/{index}/product_id", "is not a known product")
        return None

    def _contact(self, pushed: dict[str, Any], body: bytes, at: float, settings: Settings) -> None:
        shelf = self.contacts.setdefault(pushed["@collection"], Shelf())
        contact, body = _as_stored(shelf.get(pushed["id"]), pushed, body, settings)
        new = shelf.put(contact["id"], body, at=at)
        self._people.put_contact(contact, pushed, at, joins_last=settings.joins_last)
        if new and contact["@collection"] == "optin:sms":
            self._automation.trigger(SMS_OPTIN_MESSAGE, "contact", contact["id"], timestamp=at, at=at)

    def _product(self, pushed: dict[str, Any], body: bytes, at: float, settings: Settings) -> None:
        product, body = _as_stored(self.products.get(pushed["id"]), pushed, body, settings)
        self.products.put(product["id"], body, at=at)

    def _event(self, pushed: dict[str, Any], body: bytes, at: float, settings: Settings) -> None:
        event_type, id = pushed["event_type"], pushed["id"]
        field = next(name for name in IDENTITY_KINDS if pushed.get(name))
        identity = identifier(IDENTITY_KINDS[field], pushed[field])
        held = self.events.setdefault((event_type, id), [])
        self.event_repeats += bool(held)
        veto: Veto | None = None
        if held and settings.event_repeats == "ignored":
            veto = "repeat"
        else:
            held.append(Event(body, identity, at))
            if settings.event_types is not None and event_type not in settings.event_types:
                veto = "undeclared"
            elif not self._people.identities.person([identity]).keys:
                veto = "unknown_profile"
        timestamp = parse_timestamp(pushed["timestamp"]).timestamp()
        self._automation.trigger(event_type, "custom_event", id, timestamp=timestamp, at=at, veto=veto)

    def erase(self, email: str) -> None:
        """Take away the person with this address: all listings, orders and events (that it is all: ours)."""
        person = self._people.identities.person([identifier("email_address", email)])
        for key in person.keys:
            if key[0] == "order":
                self.orders.remove(key[1])
                self._placed.discard(key[1])
            else:
                self.contacts[key[1]].remove(key[2])
        for name, held in list(self.events.items()):
            kept = [event for event in held if event.identity not in person.identifiers]
            if kept:
                self.events[name] = kept
            else:
                del self.events[name]
        self._people.forget(person)

    def merge(self, survivor: Identifier, merged: list[Identifier]) -> None:
        """Take away the merged persons' listings; their orders become the survivor's."""
        identities = self._people.identities
        kept = identities.person([survivor]).keys
        for person in [identities.person([each]) for each in merged]:
            for key in person.keys - kept:
                if key[0] == "contact":
                    self.contacts[key[1]].remove(key[2])
                    self._people.forget_listing(key)
            for each in person.identifiers - {survivor}:
                identities.join(survivor, each)


def _as_stored(
    stored: Stored | None, pushed: dict[str, Any], body: bytes, settings: Settings
) -> tuple[dict[str, Any], bytes]:
    """The record after ``pushed``, and its JSON: ``""`` becomes ``null``, and ``@merge`` is not kept."""
    merges = pushed.get("@merge") or not settings.replaces_without_merge
    if not merges and "@merge" not in pushed and b'""' not in body:
        return pushed, body
    record = {name: None if value == "" else value for name, value in pushed.items() if name != "@merge"}
    if merges and stored is not None:
        record = _merged(stored.record, record, deep=settings.merge_depth == "deep")
    return record, encoded(record)


def _merged(stored: dict[str, Any], pushed: dict[str, Any], *, deep: bool) -> dict[str, Any]:
    """``stored`` with ``pushed`` over it. Arrays, so a product's attributes too, are always replaced."""
    if not deep:
        return {**stored, **pushed}
    record = dict(stored)
    for name, value in pushed.items():
        before = record.get(name)
        nested = isinstance(before, dict) and isinstance(value, dict)
        record[name] = _merged(before or {}, value, deep=True) if nested else value
    return record
