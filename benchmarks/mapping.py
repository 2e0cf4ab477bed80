"""The mapping: from the mirror's frames to payloads with their versions, on one core, without any I/O."""

import hashlib
from dataclasses import dataclass
from functools import partial

import orjson
import pandas as pd

from bc_ometria.blue_cherry.profile import TenantProfile
from bc_ometria.blue_cherry.rows import typed_rows
from bc_ometria.mapping import orders
from bc_ometria.mapping.assemble import Orders, assemble
from bc_ometria.mapping.events import Events, events, nothing_remembered
from bc_ometria.mapping.lifecycle import Lifecycle, lifecycle
from bc_ometria.rules import Rules
from bc_ometria.sandbox.blue_cherry.encoding import encode, unpack
from bc_ometria.store.mirror import ORDER_RESOURCES
from benchmarks.orders import changes
from benchmarks.speed import Speed, measure

SHIPPED_EVERY = 4


@dataclass(frozen=True)
class MappingSpeeds:
    """Orders a second: as a whole, step by step, and the raw limit, which is to write and hash ready payloads."""

    whole: Speed
    assemble: Speed
    lifecycle: Speed
    decide: Speed
    payloads: Speed
    events: Speed
    raw: Speed


def run(rules: Rules, profile: TenantProfile, orders_at_once: int, repetitions: int) -> MappingSpeeds:
    """Map the same frames over and over. Raises ``RuntimeError`` if not every order gets its payload."""
    frames = mirror_frames(profile, orders_at_once)
    numbers = frames["orders"]["ord_num"].tolist()

    def live(assembled: Orders) -> Lifecycle:
        return lifecycle(assembled, orders.claims_of(assembled, rules), rules.reasons)

    def payloads(assembled: Orders, life: Lifecycle, decisions: pd.DataFrame) -> pd.DataFrame:
        goes = (decisions["excluded"] == "").to_numpy()
        return orders.payloads(assembled, life, decisions, goes, rules, profile.time_zone)

    def tell(assembled: Orders, life: Lifecycle, decisions: pd.DataFrame) -> Events:
        return events(
            assembled,
            life,
            nothing_remembered(),
            changed_at=assembled.headers["changed_at"],
            stores=decisions["store"].to_numpy(dtype=object),
            excluded=(decisions["excluded"] != "").to_numpy(),
            rules=rules,
            time_zone=profile.time_zone,
        )

    def map_orders() -> tuple[pd.DataFrame, Events]:
        assembled = assemble(frames, numbers)
        life = live(assembled)
        decisions = orders.decide(assembled, life, rules)
        return payloads(assembled, life, decisions), tell(assembled, life, decisions)

    mapped, happened = map_orders()
    if mapped["record_id"].tolist() != numbers:
        raise RuntimeError("the mapping left orders out")
    ready = [orjson.loads(payload) for payload in [*mapped["payload"], *happened.told["payload"]]]

    def write_ready() -> None:
        for record in ready:
            hashlib.blake2b(orjson.dumps(record), digest_size=16).hexdigest()

    assembled = assemble(frames, numbers)
    life = live(assembled)
    decisions = orders.decide(assembled, life, rules)
    speed = partial(measure, "orders", orders_at_once)
    return MappingSpeeds(
        whole=speed(map_orders, repetitions),
        assemble=speed(lambda: assemble(frames, numbers), repetitions),
        lifecycle=speed(lambda: live(assembled), repetitions),
        decide=speed(lambda: orders.decide(assembled, life, rules), repetitions),
        payloads=speed(lambda: payloads(assembled, life, decisions), repetitions),
        events=speed(lambda: tell(assembled, life, decisions), repetitions),
        raw=speed(write_ready, repetitions),
    )


def mirror_frames(profile: TenantProfile, number: int) -> dict[str, pd.DataFrame]:
    """The mirror's rows of so many orders, typed as they come from Blue Cherry, and described by a catalogue."""
    served: dict[str, list] = {resource: [] for resource in ORDER_RESOURCES}
    resource_at = {profile.resource(resource).path: resource for resource in ORDER_RESOURCES}
    for change in changes(number, shipped_every=SHIPPED_EVERY):
        row = orjson.loads(unpack(encode(change.resource, change.row)))
        served[resource_at[change.resource]].append(row)
    frames = {resource: typed_rows(resource, rows, profile).frame for resource, rows in served.items()}
    frames["order_lines"] = frames["order_lines"].assign(size="12", colour="Black", upc="5012345678900")
    return frames
