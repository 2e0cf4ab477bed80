"""Customers who swap their e-mail addresses, or pass them round: each waits for the next to give its address up.

Ometria takes records that share an address for one person, and no documented call takes an address away
(contracts/ometria.md: never null, never blank). So one of them steps aside: it goes to an address that nobody has and
no mail reaches (ours), then the others to theirs, then it to its own.
"""

import hashlib
from collections.abc import Sequence

import orjson
from sqlalchemy import Engine

from bc_ometria.store import outbox
from bc_ometria.store.outbox import Moving

_NOWHERE = "address-change.invalid"
"""RFC 2606 keeps this domain from ever being anybody's."""


def part(engine: Engine) -> int:
    """Have one of each round of contacts that wait for each other step aside; how many."""
    with engine.begin() as connection:
        stepping_aside = _one_of_each_round(outbox.moving(connection))
        for contact in stepping_aside:
            email = f"{hashlib.blake2b(contact.record_id.encode(), digest_size=8).hexdigest()}@{_NOWHERE}"
            payload = orjson.dumps(orjson.loads(contact.payload) | {"email": email})
            version, address = (hashlib.blake2b(each, digest_size=16).hexdigest() for each in (payload, email.encode()))
            outbox.put_before(connection, contact, payload, version, address)
    return len(stepping_aside)


def _one_of_each_round(moving: Sequence[Moving]) -> list[Moving]:
    """The first contact of each round: no more than it takes to have none left."""
    chosen = []
    left = {contact.record_id: contact for contact in moving}
    while waiting_for := _who_waits_for_whom(left):
        at = min(waiting_for)
        passed: list[str] = []
        while at not in passed:
            passed.append(at)
            at = waiting_for[at]
        first = min(passed[passed.index(at) :])
        chosen.append(left.pop(first))
    return chosen


def _who_waits_for_whom(contacts: dict[str, Moving]) -> dict[str, str]:
    """Each contact that waits, directly or not, for one of a round, with one that it waits for."""
    left = dict(contacts)
    while True:
        holders = {address: contact.record_id for contact in left.values() for address in contact.addresses}
        waiting_for = {
            contact.record_id: holder
            for contact in left.values()
            if (holder := holders.get(contact.address)) and holder != contact.record_id
        }
        if len(waiting_for) == len(left):
            return waiting_for
        left = {record_id: left[record_id] for record_id in waiting_for}
