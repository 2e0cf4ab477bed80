"""Which listings and orders are one person: those that share a customer id or an e-mail address."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

Identifier = tuple[str, str]
"""A kind, as ``merge-profile`` names it, and a value: ``("email_address", "a@example.com")``."""

Key = tuple[str, ...]
"""A record that belongs to a person: ``("contact", collection, id)`` or ``("order", id)``."""

KINDS = ("customer_id", "email_address", "phone_number", "profile_hash")

IDENTITY_KINDS = {
    "identity_account_id": "customer_id",
    "identity_email": "email_address",
    "identity_phone_number": "phone_number",
    "profile_id": "profile_hash",
}
"""The identity fields of a custom event, in the order in which they are looked at."""


def identifier(kind: str, value: str) -> Identifier:
    """An e-mail address is the same in upper and lower case."""
    return kind, value.lower() if kind == "email_address" else value


def identifiers_of(person: dict[str, Any], customer_id: str) -> tuple[Identifier, ...]:
    """The identifiers in a contact or in an order's customer; ``customer_id`` names its id field."""
    found: list[Identifier] = []
    if value := person.get(customer_id):
        found.append(("customer_id", value))
    if value := person.get("email"):
        found.append(("email_address", value.lower()))
    if value := person.get("phone_number"):
        found.append(("phone_number", value))
    return tuple(found)


@dataclass(slots=True)
class Person:
    """A cluster: all records of one person and all identifiers in them."""

    keys: set[Key] = field(default_factory=set)
    identifiers: set[Identifier] = field(default_factory=set)

    @property
    def profile_hash(self) -> str:
        """Opaque, and the same as long as the smallest identifier is."""
        return hashlib.sha256(repr(min(self.identifiers)).encode()).hexdigest()[:24]


class Identities:
    """Records by identifier, and persons as connected components of that graph.

    A shared phone number finds a person but does not join two (ours: families share one).
    """

    def __init__(self) -> None:
        self._holders: dict[Identifier, set[Key]] = {}
        self._identifiers: dict[Key, tuple[Identifier, ...]] = {}
        self._aliases: dict[Identifier, set[Identifier]] = {}
        self._shown: dict[str, Identifier] = {}

    def put(self, key: Key, identifiers: tuple[Identifier, ...]) -> None:
        """Let ``key`` hold these identifiers and no others."""
        if self._identifiers.get(key) == identifiers:
            return
        self.remove(key)
        self._identifiers[key] = identifiers
        for each in identifiers:
            self._holders.setdefault(each, set()).add(key)

    def remove(self, key: Key) -> None:
        for each in self._identifiers.pop(key, ()):
            holders = self._holders[each]
            holders.discard(key)
            if not holders:
                del self._holders[each]

    def holders(self, identifier: Identifier) -> set[Key]:
        """The records that carry exactly this identifier."""
        return self._holders.get(identifier, set())

    def of(self, key: Key) -> tuple[Identifier, ...]:
        return self._identifiers.get(key, ())

    def join(self, one: Identifier, other: Identifier) -> None:
        """Make the two one person for ever, as ``merge-profile`` does."""
        self._aliases.setdefault(one, set()).add(other)
        self._aliases.setdefault(other, set()).add(one)

    def join_customers(self, key: Key) -> None:
        """Make all customers one person for ever who now are one through the record ``key``."""
        customers = sorted(each for each in self.person(self.of(key)).identifiers if each[0] == "customer_id")
        for one, other in pairwise(customers):
            self.join(one, other)

    def person(self, start: Iterable[Identifier]) -> Person:
        """Everyone and everything reachable from ``start``; without keys if nobody is."""
        person = Person()
        ahead = [self._shown.get(each[1], each) if each[0] == "profile_hash" else each for each in start]
        first = set(ahead)
        while ahead:
            each = ahead.pop()
            if each in person.identifiers:
                continue
            person.identifiers.add(each)
            ahead.extend(self._aliases.get(each, ()))
            if each[0] == "phone_number" and each not in first:
                continue
            for key in self._holders.get(each, set()) - person.keys:
                person.keys.add(key)
                ahead.extend(self._identifiers[key])
        if person.keys:
            self._shown[person.profile_hash] = min(person.identifiers)
        return person

    def persons(self) -> Iterable[Person]:
        """All persons, each once."""
        seen: set[Key] = set()
        for key, identifiers in list(self._identifiers.items()):
            if key not in seen and identifiers:
                person = self.person(identifiers)
                seen |= person.keys
                yield person
