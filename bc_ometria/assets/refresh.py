"""Orders and customers that somebody named, read again now: a service agent's "please update this one", or a hint from
outside. Nothing but the key is taken from whoever names them; the record is what Blue Cherry serves."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain

import dagster as dg
from sqlalchemy import Engine

from bc_ometria.assets.mirror import capture_customers, capture_orders
from bc_ometria.assets.ometria import queue_contacts, queue_orders, queue_touched_contacts
from bc_ometria.assets.sales import assemble_orders
from bc_ometria.assets.unsubscribes import read_unsubscribes
from bc_ometria.blue_cherry.client import BlueCherryClient
from bc_ometria.blue_cherry.errors import BadRequest, BlueCherryError
from bc_ometria.blue_cherry.profile import TenantProfile
from bc_ometria.delivery.dispatch import deliver
from bc_ometria.ometria.client import OmetriaClient
from bc_ometria.ometria.errors import AccessRefused, OmetriaError
from bc_ometria.resources import BlueCherry, Store, Tenant
from bc_ometria.rules import Rules
from bc_ometria.store import mirror, outbox, sales, stops, to_refresh, touched, unsubscribes
from bc_ometria.store.outbox import Record
from bc_ometria.store.touched import Kind

_KEY = re.compile(r"[A-Za-z0-9._/-]{1,32}")
_PROVE_S = 20.0  # how long a refresh waits for Ometria to show what it accepted

_RECORD_TYPES: dict[Kind, str] = {"customer": "contact", "order": "order"}
"""Contacts first: an event of an order waits for its contact."""

_CAPTURES: dict[Kind, Callable[[Engine, BlueCherryClient, TenantProfile, Sequence[str]], None]] = {
    "customer": capture_customers,
    "order": capture_orders,
}


class NotAKey(ValueError):
    """What was named can be no order number or customer code."""


@dataclass(frozen=True)
class Reread:
    """How many orders and customers were read again, and the keys that Blue Cherry did not accept."""

    read: Counter[Kind] = field(default_factory=Counter)
    refused: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Refreshed:
    """What came of one order or customer; ``is_served`` where Blue Cherry has it."""

    kind: Kind
    key: str
    is_served: bool
    outcome: str


def is_key(text: str) -> bool:
    """Whether an order number or a customer code can look so: 1 to 32 letters, digits, and ``. _ / -`` (ours)."""
    return bool(_KEY.fullmatch(text))


def read_again(engine: Engine, blue_cherry: BlueCherryClient, profile: TenantProfile) -> Reread:
    """Read every order and customer that waits in ``store.to_refresh`` whole into the mirror.

    What changed is touched like any other change. A key that Blue Cherry does not accept waits no longer, or it would
    be asked for for ever. Raises what the client raises; what was not read by then still waits.
    """
    reread = Reread()
    for kind, capture in _CAPTURES.items():
        last = ""
        while (asked := to_refresh.waiting(engine, kind, profile.max_keys, after=last)).keys:
            reread.refused.extend(_accepted_or_refused(partial(capture, engine, blue_cherry, profile), asked.keys))
            to_refresh.settle(engine, asked)
            reread.read[kind] += len(asked.keys)
            last = asked.keys[-1]
    return reread


def refresh(
    engine: Engine,
    blue_cherry: BlueCherryClient,
    ometria: OmetriaClient,
    rules: Rules,
    profile: TenantProfile,
    *,
    orders: Sequence[str] = (),
    customers: Sequence[str] = (),
) -> list[Refreshed]:
    """Take the named orders and customers all the way into Ometria now, and say what came of each.

    It may run beside ``live_sync``. What is named is written down first: where this is cut off or Blue Cherry does not
    answer, the next ``live_sync`` reads it. Raises ``NotAKey`` before anything is done, and a ``BlueCherryError`` or
    ``OmetriaError`` where a system does not do its part.
    """
    named: dict[Kind, Sequence[str]] = {"customer": customers, "order": orders}
    if wrong := [key for key in chain(*named.values()) if not is_key(key)]:
        raise NotAKey(
            f"{len(wrong)} of what was named can be no order number or customer code: those have 1 to 32 letters, "
            "digits and . _ / -. Nothing was read."
        )
    before = {kind: outbox.records(engine, _RECORD_TYPES[kind], keys) for kind, keys in named.items()}
    for kind, keys in named.items():
        to_refresh.ask(engine, kind, keys)
    refused = set(read_again(engine, blue_cherry, profile).refused)
    served = {"customer": _served_customers(engine, customers), "order": _served_orders(engine, orders)}
    if _read_opt_outs(engine, ometria):
        queue_touched_contacts(engine, rules, profile)
    if served["customer"]:
        queue_contacts(engine, rules, profile, served["customer"])
    if accepted := [number for number in dict.fromkeys(orders) if number not in refused]:
        # Also those that are gone: an order that was deleted is noted to be so.
        assemble_orders(engine, accepted, partial(capture_orders, engine, blue_cherry, profile))
    if known := sales.documents(engine, accepted)["ord_num"].tolist():
        queue_orders(engine, rules, profile, known)
    deliver(engine, ometria, rules, bulk_for=0, prove_for=_PROVE_S)
    found = []
    for kind, keys in named.items():
        after = outbox.records(engine, _RECORD_TYPES[kind], keys)
        unmapped = set(touched.of(engine, kind, keys).keys)
        for key in dict.fromkeys(keys):
            is_served = key in served[kind]
            if key in refused:
                outcome = "Blue Cherry does not take this for a key"
            elif not is_served and key not in after:
                outcome = "unknown in Blue Cherry"
            elif key in unmapped or key not in after:
                outcome = "read again, and waits to be mapped; live_sync goes on with it"
            else:
                outcome = _told(engine, kind, after[key], before[kind].get(key), rules)
            gone = "no longer in Blue Cherry; " if key in after and not is_served else ""
            found.append(Refreshed(kind, key, is_served, gone + outcome))
    return found


def _read_opt_outs(engine: Engine, ometria: OmetriaClient) -> int:
    """Where an opt-in of whomever is to be mapped or sent; how many opt-outs are new.

    If that cannot be done, opt-ins that are to be mapped wait (truth 5), and the others go; a refused key is for all.
    """
    try:
        return read_unsubscribes(engine, ometria) if unsubscribes.are_needed(engine) else 0
    except AccessRefused:
        raise
    except OmetriaError:
        return 0


def _accepted_or_refused(capture: Callable[[Sequence[str]], None], keys: Sequence[str]) -> Iterable[str]:
    """Read some keys; those that Blue Cherry does not accept. One of them must not keep back the others."""
    try:
        capture(keys)
    except BadRequest:
        if len(keys) == 1:
            return keys
        return list(chain.from_iterable(_accepted_or_refused(capture, [key]) for key in keys))
    return []


def _served_orders(engine: Engine, order_numbers: Sequence[str]) -> list[str]:
    """Those of the named orders of which Blue Cherry served anything."""
    rows, held_rows = mirror.read_orders(engine, order_numbers)
    served = set(held_rows["reference"]).union(*(frame["ord_num"] for frame in rows.values()))
    return sorted(served.intersection(order_numbers))


def _served_customers(engine: Engine, customers: Sequence[str]) -> list[str]:
    rows, held_rows = mirror.read_customers(engine, customers)
    served = set(held_rows["reference"]).union(*(frame["customer"] for frame in rows.values()))
    return sorted(served.intersection(customers))


def _told(engine: Engine, kind: Kind, now: Record, before: Record | None, rules: Rules) -> str:
    """The state of a record as a person asks for it."""
    match now.state:
        case "confirmed":
            was_there = before is not None and (before.state, before.version) == (now.state, now.version)
            return "unchanged: Ometria has it as it is" if was_there else "confirmed: Ometria shows it as it is now"
        case "accepted":
            return "accepted by Ometria; it is not read back"
        case "sent":
            return "sent; Ometria does not show it yet"
        case "wanted":
            with engine.connect() as connection:
                is_stopped = (now.lane, _RECORD_TYPES[kind]) in stops.stopped(connection)
            if is_stopped:
                return f"waits: the lane {now.lane} is stopped, see `bc-ometria approve`"
            return "waits to be sent; the next run goes on with it"
        case "held" | "drift":
            return f"{now.state}: {now.reason}: {rules.exceptions[now.reason].meaning}"
    return f"{now.state}: {now.reason}"


updates = dg.AssetSpec(
    ["blue_cherry", "updates"],
    group_name="blue_cherry",
    owners=["team:operations"],
    kinds={"api"},
    description="Hints from outside that orders or customers have changed: whoever knows reports a materialisation "
    'with the metadata {"orders": "0000001234"} or {"customers": "00000042"}, several with commas between. They are '
    "read again from Blue Cherry; nothing else of a hint is used.",
)


@dg.asset(
    key=["blue_cherry", "refreshed"],
    deps=[updates],
    group_name="blue_cherry",
    kinds={"postgres"},
    owners=["team:operations"],
    op_tags={"dagster/priority": "1"},  # first of its run: somebody waits for it
    description="Orders and customers that somebody named, read again whole into the mirror.",
)
def refreshed(
    context: dg.AssetExecutionContext, blue_cherry: BlueCherry, store: Store, tenant: Tenant
) -> dg.MaterializeResult:
    """Fails for no hint: orders that nobody named do not wait for those that somebody did."""
    reread = Reread()
    try:
        if to_refresh.is_any_waiting(store.engine):
            with blue_cherry.client(tenant.profile) as client:
                reread = read_again(store.engine, client, tenant.profile)
    except BlueCherryError as error:
        context.log.warning(f"What was named could not all be read again, the next run does it: {error}")
    if reread.refused:
        context.log.warning(f"Blue Cherry does not accept {len(reread.refused)} of the keys that were named.")
    return dg.MaterializeResult(
        metadata={
            "orders_read": reread.read["order"],
            "customers_read": reread.read["customer"],
            "keys_refused": len(reread.refused),
        }
    )
