"""Profiles: who is one person, what they agreed to, and which subscriptions that started."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import count
from typing import Any, get_args

from bc_ometria.sandbox.ometria.automation import SUBSCRIBED, Automation
from bc_ometria.sandbox.ometria.checks import parse_timestamp
from bc_ometria.sandbox.ometria.consent import (
    OPTED_IN,
    Channel,
    ListingConsent,
    Unsubscribe,
    listing_consent,
    marketing_optin,
    sms_marketing,
)
from bc_ometria.sandbox.ometria.identities import Identifier, Identities, Key, Person, identifiers_of
from bc_ometria.sandbox.ometria.shelf import iso


@dataclass(frozen=True, slots=True)
class Subscription:
    """A subscription event: one per person and channel, ever. ``timestamp`` in seconds since the epoch."""

    channel: Channel
    collection: str
    contact_id: str
    timestamp: float


class People:
    """The persons of an account."""

    def __init__(self, automation: Automation) -> None:
        self._automation = automation
        self._numbers = count(1)
        self._listings: dict[Key, tuple[int, ListingConsent]] = {}
        self._subscribed: dict[Channel, set[Identifier]] = {channel: set() for channel in get_args(Channel)}
        self.identities = Identities()
        self.subscriptions: list[Subscription] = []
        self.unsubscribes: list[Unsubscribe] = []

    def put_order(self, order: dict[str, Any], *, joins_last: bool = False) -> None:
        """Let an order link its customer's identifiers. It says nothing about consent."""
        key = ("order", order["id"])
        self.identities.put(key, identifiers_of(order.get("customer") or {}, "id"))
        if joins_last:
            self.identities.join_customers(key)

    def put_contact(
        self, contact: dict[str, Any], pushed: dict[str, Any], at: float, *, joins_last: bool = False
    ) -> None:
        """Take in the listing ``contact`` as stored, changed by ``pushed``."""
        key = ("contact", contact["@collection"], contact["id"])
        number = next(self._numbers)
        before = self._listings.get(key)
        consent = listing_consent(contact, pushed, before and before[1], number=number, now=iso(at))
        self._listings[key] = number, consent
        itself = ("listing", f"{key[1]}/{key[2]}")
        self.identities.put(key, (*identifiers_of(contact, "customer_id"), itself))
        if joins_last:
            self.identities.join_customers(key)
        if pushed.get("marketing_optin") == OPTED_IN:
            self._subscribe("email", key, pushed.get("timestamp_subscribed"), at)
        sms = (pushed.get("channels") or {}).get("sms") or {}
        if sms.get("allow_marketing"):
            self._subscribe("sms", key, sms.get("dt_updated_marketing"), at)

    def _subscribe(self, channel: Channel, key: Key, timestamp: str | None, at: float) -> None:
        """A subscription event, unless the person is opted out elsewhere or ever had one on this channel."""
        person = self.identities.person(self.identities.of(key))
        agreed = self.optin(person) == OPTED_IN if channel == "email" else self.sms(person)
        known = not person.identifiers.isdisjoint(self._subscribed[channel])
        self._subscribed[channel] |= person.identifiers if known or agreed else set()
        if known or not agreed:
            return
        moment = parse_timestamp(timestamp).timestamp() if timestamp else at
        self.subscriptions.append(Subscription(channel, key[1], key[2], moment))
        self._automation.trigger(SUBSCRIBED[channel], "contact", key[2], timestamp=moment, at=at)

    def unsubscribe(self, email: str, channel: Channel, source: str, at: float) -> None:
        """The person opts out at Ometria: preference centre, link or list header."""
        self.unsubscribes.append(Unsubscribe(email.lower(), channel, source, at, next(self._numbers)))

    def forget(self, person: Person) -> None:
        """Let go of all that is known of a person."""
        for key in person.keys:
            self.forget_listing(key)
        for seen in self._subscribed.values():
            seen -= person.identifiers
        self.unsubscribes = [
            each for each in self.unsubscribes if ("email_address", each.email) not in person.identifiers
        ]

    def forget_listing(self, key: Key) -> None:
        """Let go of one contact or order."""
        self.identities.remove(key)
        self._listings.pop(key, None)

    def optin(self, person: Person) -> str:
        return marketing_optin(self._consents(person), self._unsubscribes(person))

    def sms(self, person: Person) -> bool | None:
        return sms_marketing(self._consents(person), self._unsubscribes(person))

    def profile(self, person: Person) -> dict[str, Any]:
        """The read-only profile: all listings and orders of a person merged (the field names are ours)."""
        listings = sorted((self._listings[key][0], key) for key in person.keys if key[0] == "contact")
        emails = [value for _, key in reversed(listings) for value in self._values(key, "email_address")]
        emails += sorted(value for kind, value in person.identifiers if kind == "email_address")
        subscribed = [consent.subscribed for consent in self._consents(person) if consent.subscribed]
        return {
            "id": person.profile_hash,
            "email": emails[0] if emails else None,
            "emails": list(dict.fromkeys(emails)),
            "customer_ids": sorted(value for kind, value in person.identifiers if kind == "customer_id"),
            "marketing_optin": self.optin(person),
            "sms_allow_marketing": self.sms(person),
            "timestamp_subscribed": max(subscribed, key=parse_timestamp) if subscribed else None,
            "listings": [{"collection": key[1], "id": key[2]} for _, key in listings],
            "orders": sorted(key[1] for key in person.keys if key[0] == "order"),
        }

    def _values(self, key: Key, kind: str) -> list[str]:
        return [value for each, value in self.identities.of(key) if each == kind]

    def _consents(self, person: Person) -> list[ListingConsent]:
        return [self._listings[key][1] for key in person.keys if key in self._listings]

    def _unsubscribes(self, person: Person) -> Iterable[Unsubscribe]:
        return [each for each in self.unsubscribes if ("email_address", each.email) in person.identifiers]
