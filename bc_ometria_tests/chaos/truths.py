"""An independent judge: what must always be true (design, "What must always be true"), judged from Blue Cherry's rows,
the store's tables and what Ometria received. It decides without the project's code.

Each truth takes the evidence and returns what violates it, in words; an empty list means that it holds.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from itertools import groupby
from typing import Any

import orjson

BATCH = 100
"""The most records in one call (contracts/ometria.md), and so the most that a killed process may have sent in vain."""

PERSONAL = ("canary", "wilhelmina", "+447700")
"""What a person of the scenarios is known by: e-mail address, names, telephone number."""
KEYS = ("sandbox-blue-cherry-key", "sandbox-ometria-key")

CONSENT_KEYS = {"marketing_optin", "@force_optin", "channels", "timestamp_subscribed", "timestamp_unsubscribed"}
OPT_IN = {"Y": "EXPLICITLY_OPTEDIN", "N": "EXPLICITLY_OPTEDOUT", "": None}

NOT_SENT_TWICE = "event_outcome_unknown"
"""The reason under which an event is held of which a call was lost: it may have been told."""

Row = dict[str, Any]


@dataclass(frozen=True)
class Evidence:
    """What is left behind."""

    blue_cherry: dict[str, list[Row]]
    """Its rows by resource, as Blue Cherry calls them."""
    mirror: dict[str, dict[int, datetime]]
    """The change stamp of each row by key, by the same names."""
    watermarks: dict[str, datetime]
    outbox: list[Row]
    excused: set[tuple[str, str]]
    """Type and id of every record about which an exception is open."""
    parents: dict[str, tuple[str, str]]
    """Order and customer (blank for a guest) of each event."""
    orders: dict[str, Row]
    contacts: dict[str, Row]
    events: dict[str, int]
    """How often Ometria has each event."""
    sent: dict[tuple[str, str], list[bytes]]
    """By type and id, the digest of what Ometria took in under it, in the order in which it came."""
    calls: list[tuple[str, list[str]]]
    """Type and ids of each push."""
    answers: Counter[str]
    """How often Ometria answered with which status."""
    duplicate_ids: int
    undisturbed: set[str]
    """The ids of the events that an empty store makes of the same rows."""
    wire: list[tuple[str, str]]
    """Method and server of every HTTP call."""
    blue_cherry_url: str
    kept: dict[str, str]
    """All that is kept where people look, by place: output, Dagster's home, Dagster's tables, exceptions …"""
    kills: int
    resends_allowed: int

    @property
    def lost(self) -> int:
        """How many records may have been sent without anybody having written it down."""
        return BATCH * self.kills + self.resends_allowed

    def states(self, record_type: str) -> dict[str, Row]:
        return {row["record_id"]: row for row in self.outbox if row["record_type"] == record_type}


Truth = Callable[[Evidence], Sequence[str]]


def nothing_vanishes(seen: Evidence) -> list[str]:
    """1. Every customer and order is confirmed and equal, held with an exception, or excluded with a reason; every
    event is accepted, held, withdrawn or excluded likewise. An event may wait for a parent that is held."""
    return [*_of_records(seen), *_of_contacts(seen), *_of_orders(seen), *_of_events(seen)]


def _of_records(seen: Evidence) -> Iterator[str]:
    held = {("order", id) for id, row in seen.states("order").items() if row["state"] == "held"}
    held |= {("contact", id) for id, row in seen.states("contact").items() if row["state"] == "held"}
    for row in seen.outbox:
        name, state = f"{row['record_type']} {row['record_id']}", row["state"]
        if state in ("held", "drift") and (row["record_type"], row["record_id"]) not in seen.excused:
            yield f"{name} is {state} and no exception says why"
        elif state in ("excluded", "withdrawn", "held") and not row["reason"]:
            yield f"{name} is {state} without a reason"
        elif state in ("wanted", "sent"):
            order, customer = seen.parents.get(row["record_id"], ("", ""))
            if not {("order", order), ("contact", customer)} & held:
                yield f"{name} is still {state}"


def _of_contacts(seen: Evidence) -> Iterator[str]:
    states = seen.states("contact")
    for row in seen.blue_cherry["customers"]:
        code = row["customer"]
        if code not in states:
            yield f"contact {code} is not in the outbox"
        elif not row["email"] and states[code]["state"] != "held":
            yield f"contact {code} has no e-mail address and is {states[code]['state']}"
        elif states[code]["state"] == "confirmed":
            shown = seen.contacts.get(code, {})
            for column, name in (("email", "email"), ("first_name", "firstname"), ("last_name", "lastname")):
                if row[column] != shown.get(name):
                    yield f"contact {code} is confirmed with another {name} than in Blue Cherry"


def _of_orders(seen: Evidence) -> Iterator[str]:
    states = seen.states("order")
    lines, stages = _by_order(seen, "order-lines"), _by_order(seen, "order-stages")
    for row in seen.blue_cherry["orders"]:
        number = row["ord_num"]
        if number not in states:
            yield f"order {number} is not in the outbox"
            continue
        due = "excluded" if row["ord_type"] == "S" else "held" if row["ord_status"] == "Q7" else states[number]["state"]
        if states[number]["state"] != due:
            yield f"order {number} should be {due} and is {states[number]['state']}"
        if states[number]["state"] != "confirmed":
            continue
        shown = seen.orders.get(number, {})
        expected: Row = {
            "grand_total": float(row["ord_total"]),
            "customer": row["customer"],
            "city": row["ship_city"] or None,
            "pieces": sum(line["total_qty"] for line in lines[number]),
            **_status(stages[number]),
        }
        found: Row = {
            "grand_total": shown.get("grand_total"),
            "customer": (shown.get("customer") or {}).get("id"),
            "city": (shown.get("shipping_address") or {}).get("city"),
            "pieces": sum(line.get("quantity", 0) for line in shown.get("lineitems") or []),
            "status": shown.get("status"),
            "is_valid": shown.get("is_valid"),
        }
        for name, value in expected.items():
            if found[name] != value:
                yield f"order {number} is confirmed with {name} {found[name]!r}, and Blue Cherry says {value!r}"


def _status(stages: Sequence[Row]) -> Row:
    """The order's status by where its pieces are; nothing where another case than these is on hand."""
    pieces: Counter[str] = Counter()
    for row in stages:
        pieces[row["rec_type"]] += row["total_qty"]
    ordered = pieces.total()
    if +pieces and not set(+pieces) <= {"OP", "RS", "PK", "IN", "CC"}:
        return {}
    if pieces["CC"]:
        return {"status": "cancelled", "is_valid": False} if pieces["CC"] == ordered else {}
    for stage, status in (("IN", "dispatched"), ("PK", "picking")):
        if pieces[stage]:
            part = stage == "IN" and pieces[stage] < ordered
            return {"status": "part_dispatched" if part else status, "is_valid": True}
    return {"status": "allocated" if pieces["RS"] else "placed", "is_valid": True}


def _of_events(seen: Evidence) -> Iterator[str]:
    ids = set(seen.states("custom_event"))
    yield from (f"event {id} was lost: an empty store makes it" for id in sorted(seen.undisturbed - ids))
    for id, row in seen.states("custom_event").items():
        if row["state"] == "accepted" and not seen.events.get(id):
            yield f"event {id} is accepted, and Ometria does not have it"
        elif row["state"] == "withdrawn" and id in seen.undisturbed:
            yield f"event {id} was withdrawn, and an empty store makes it"


def newest_last(seen: Evidence) -> list[str]:
    """2. No older version came after a newer one, and "sent" stands only for the version that was sent last.

    Nothing in the scenarios returns to an earlier content: what comes again after something else is an older version.
    """
    found = []
    for (record_type, id), sent in seen.sent.items():
        versions = [version for version, _ in groupby(sent)]
        if len(set(versions)) < len(versions):
            found.append(f"{record_type} {id}: an older version came after a newer one")
    for row in seen.outbox:
        # Without a request id the outbox says that nobody knows whether it was sent.
        if row["payload"] and row["request_id"] and row["sent_version"] == row["wanted_version"]:
            wanted = blake2b(orjson.dumps(orjson.loads(row["payload"])), digest_size=8).digest()
            if seen.sent.get((row["record_type"], row["record_id"]), [b""])[-1] != wanted:
                found.append(f"{row['record_type']} {row['record_id']}: “sent” stands for a version that was not sent")
    return found


def events_once(seen: Evidence) -> list[str]:
    """3. No event was sent twice, and an empty store makes the same ids."""
    sent = {id: len(times) for (record_type, id), times in seen.sent.items() if record_type == "custom_event"}
    found = [f"event {id} was sent {times} times" for id, times in sorted(sent.items()) if times > 1]
    known = seen.states("custom_event").keys() | sent.keys()
    return found + [f"event {id} is one that an empty store does not make" for id in sorted(known - seen.undisturbed)]


def whole_calls(seen: Evidence) -> list[str]:
    """4. One type a call, no id twice in it, at most 100 records; no call that Ometria could not read. (That orders are
    whole, ``nothing_vanishes`` sees.)"""
    found = [f"a call of {len(ids)} {record_type}s" for record_type, ids in seen.calls if len(ids) > BATCH or not ids]
    if seen.duplicate_ids:
        found.append(f"{seen.duplicate_ids} records came twice in one call")
    if seen.answers["400"]:
        found.append(f"Ometria could not take {seen.answers['400']} calls")
    return found


def consent(seen: Evidence) -> list[str]:
    """5. A contact's consent is what Blue Cherry says, no key where it says nothing; no order carries one."""
    found = [f"order {id} carries {keys}" for id, order in seen.orders.items() if (keys := CONSENT_KEYS & order.keys())]
    wanted = {row["customer"]: OPT_IN[row["email_ok"]] for row in seen.blue_cherry["customers"]}
    for id, contact in seen.contacts.items():
        row = seen.states("contact").get(id)
        if row and row["state"] == "confirmed" and contact.get("marketing_optin") != wanted.get(id):
            found.append(f"contact {id} is {contact.get('marketing_optin')}, and Blue Cherry says {wanted.get(id)}")
    return found


def watermark(seen: Evidence) -> list[str]:
    """6. The mirror holds every row of Blue Cherry that is stamped up to the watermark."""
    found = []
    for resource, stamp in seen.watermarks.items():
        kept = seen.mirror[resource]
        for row in seen.blue_cherry[resource]:
            mirrored = kept.get(row["pkey"])
            if row["last_mod"] <= stamp and (mirrored is None or mirrored < row["last_mod"]):
                found.append(f"{resource} {row['pkey']}: the watermark is beyond it, and the mirror has it not")
    return found


def held_alone(seen: Evidence) -> list[str]:
    """7. What is bad from the start was never on the wire, nor was an event of it; its neighbours are confirmed."""
    bad = {("contact", row["customer"]) for row in seen.blue_cherry["customers"] if not row["email"]}
    bad |= {
        ("order", row["ord_num"])
        for row in seen.blue_cherry["orders"]
        if row["ord_status"] == "Q7" or row["ord_type"] == "S"
    }
    found = [f"{record_type} {id} is bad and was sent" for record_type, id in sorted(bad & seen.sent.keys())]
    for id, (order, _) in seen.parents.items():
        if ("order", order) in bad and ("custom_event", id) in seen.sent:
            found.append(f"event {id} of the bad order {order} was sent")
    for row in seen.outbox:
        of_parent = seen.parents.get(row["record_id"], (row["record_id"], ""))[0]
        is_bad = (row["record_type"], row["record_id"]) in bad or ("order", of_parent) in bad
        if row["state"] in ("held", "drift") and not is_bad and row["reason"] != NOT_SENT_TWICE:
            found.append(f"{row['record_type']} {row['record_id']} is good and {row['state']}: {row['reason']}")
    unknown = sum(row["state"] == "held" and row["reason"] == NOT_SENT_TWICE for row in seen.outbox)
    if unknown > seen.lost:
        found.append(f"{unknown} events are held because their call was lost, and {seen.lost} may have been lost")
    return found


def nothing_personal(seen: Evidence) -> list[str]:
    """9. No key and nothing personal where people look."""
    found = []
    for place, text in seen.kept.items():
        lower = text.lower()
        found += [f"{place} holds “{word}”" for word in (*PERSONAL, *KEYS) if word in lower]
    return found


def only_read(seen: Evidence) -> list[str]:
    """10. Blue Cherry is only ever read."""
    others = Counter(method for method, server in seen.wire if server == seen.blue_cherry_url and method != "GET")
    return [f"{times} calls of {method} to Blue Cherry" for method, times in others.items()]


def resends(seen: Evidence) -> list[str]:
    """At most one batch was sent in vain for each process that was killed."""
    again = resent(seen)
    said = f"{again} records were sent again; after {seen.kills} kills {seen.lost} may be"
    return [said] if again > seen.lost else []


def resent(seen: Evidence) -> int:
    """How many records were sent again as they had been sent."""
    return sum(len(versions) - len(set(versions)) for versions in seen.sent.values())


ALL: dict[str, Truth] = {
    truth.__name__: truth
    for truth in (
        nothing_vanishes,
        newest_last,
        events_once,
        whole_calls,
        consent,
        watermark,
        held_alone,
        nothing_personal,
        only_read,
        resends,
    )
}

AT_ANY_TIME = ("newest_last", "whole_calls", "watermark", "only_read", "resends")
"""The truths that hold at every moment and not only once nothing is left to do."""


def _by_order(seen: Evidence, resource: str) -> dict[str, list[Row]]:
    rows: dict[str, list[Row]] = {row["ord_num"]: [] for row in seen.blue_cherry["orders"]}
    for row in seen.blue_cherry[resource]:
        rows.setdefault(row["ord_num"], []).append(row)
    return rows
