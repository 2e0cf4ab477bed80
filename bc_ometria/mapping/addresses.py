"""A contact with a new e-mail address goes to Ometria in several payloads for the one id, in order.

That there are two, and that they are separate, is Ometria's (contracts/ometria.md, Consent 6); what is in which is
ours: first the new address alone, merged into what is there, then the whole contact. The first one carries an opt-out
as well, for that waits for nothing.
"""

import hashlib
from collections.abc import Mapping
from typing import Protocol

import orjson
import pandas as pd

_OF_ADDRESS = ("@type", "@collection", "id", "customer_id", "email")


class Known(Protocol):
    """What Ometria may know of a contact, as ``store.outbox.Known``."""

    @property
    def addresses(self) -> list[str]: ...
    @property
    def standing(self) -> str: ...


def address_key(email: str) -> str:
    """A hash by which an e-mail address is known again, in capital or small letters; blank for none."""
    return hashlib.blake2b(email.lower().encode(), digest_size=16).hexdigest() if email else ""


def in_steps(decided: pd.DataFrame, known: Mapping[str, Known]) -> pd.DataFrame:
    """Contacts as ``outbox.put`` takes them, those that Ometria may know under another address with that change first.

    ``decided`` has ``record_id``, ``payload``, ``version``, ``standing`` and ``address`` (its key, blank for none).
    Adds ``following``: what goes after the payload, as a JSON array of ``version``, ``payload``, ``standing`` and
    ``address``; blank where nothing does.
    """
    decided = decided.assign(following="")
    for at, record_id, payload, version, standing, address in decided[
        ["record_id", "payload", "version", "standing", "address"]
    ].itertuples():
        before = known.get(record_id)
        if before is None or payload is None or not address or before.addresses == [address]:
            continue
        whole = {"version": version, "payload": payload.decode(), "standing": standing, "address": address}
        first = _address_alone(orjson.loads(payload))
        decided.at[at, "payload"] = first
        decided.at[at, "version"] = hashlib.blake2b(first, digest_size=16).hexdigest()
        decided.at[at, "standing"] = _standing_after(standing, before.standing)
        decided.at[at, "following"] = orjson.dumps([whole]).decode()
    return decided


def _address_alone(contact: dict[str, object]) -> bytes:
    first = {name: contact[name] for name in _OF_ADDRESS if name in contact} | {"@merge": True}
    if contact.get("marketing_optin") == "EXPLICITLY_OPTEDOUT":
        kept = ("marketing_optin", "timestamp_unsubscribed", "@force_optin")
        first |= {name: contact[name] for name in kept if name in contact}
    match contact.get("channels"):
        case {"sms": {"allow_marketing": False}} as channels:
            first["channels"] = channels
    return orjson.dumps(first)


def _standing_after(whole: str, before: str) -> str:
    """What Ometria has of consent when it has merged the first payload of a contact into what was there before."""
    was = dict(each.split(":") for each in before.split())
    will_be = dict(each.split(":") for each in whole.split())
    return " ".join(
        f"{channel}:{'out' if said == 'out' else was.get(channel, 'unknown')}" for channel, said in will_be.items()
    )
