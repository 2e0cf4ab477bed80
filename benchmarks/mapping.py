"""The mapping: from the mirror's frames to payloads with their versions, on one core, without any I/O."""

import hashlib
from dataclasses import dataclass
from functools import partial

import orjson
import pandas as pd

from bc_ometria.blue_cherry.profile import TenantProfile
from bc_ometria.blue_cherry.rows import typed_rows
from bc_ometria.mapping import orders
from bc_ometria.mapping.assemble import assemble
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
    decide: Speed
    payloads: Speed
    raw: Speed


def run(rules: Rules, profile: TenantProfile, orders_at_once: int, repetitions: int) -> MappingSpeeds:
    """Map the same frames over and over. Raises ``RuntimeError`` if not every order gets its payload."""
    frames = mirror_frames(profile, orders_at_once)
    numbers = frames["orders"]["ord_num"].tolist()

    def map_orders() -> pd.DataFrame:
        assembled = assemble(frames, numbers)
        decisions = orders.decide(assembled, rules)
        goes = (decisions["excluded"] == "").to_numpy()
        return orders.payloads(assembled, decisions, goes, rules, profile.time_zone)

    mapped = map_orders()
    if mapped["record_id"].tolist() != numbers:
        raise RuntimeError("the mapping left orders out")
    ready = [orjson.loads(payload) for payload in mapped["payload"]]

    def write_ready() -> None:
        for record in ready:
            hashlib.blake2b(orjson.dumps(record), digest_size=16).hexdigest()

    assembled = assemble(frames, numbers)
    decisions = orders.decide(assembled, rules)
    goes = (decisions["excluded"] == "").to_numpy()
    speed = partial(measure, "orders", orders_at_once)
    return MappingSpeeds(
        whole=speed(map_orders, repetitions),
        assemble=speed(lambda: assemble(frames, numbers), repetitions),
        decide=speed(lambda: orders.decide(assembled, rules), repetitions),
        payloads=speed(lambda: orders.payloads(assembled, decisions, goes, rules, profile.time_zone), repetitions),
        raw=speed(write_ready, repetitions),
    )


def mirror_frames(profile: TenantProfile, number: int) -> dict[str, pd.DataFrame]:
    """The mirror's rows of so many orders, typed as they come from Blue Cherry."""
    served: dict[str, list] = {resource: [] for resource in ORDER_RESOURCES}
    resource_at = {profile.resource(resource).path: resource for resource in ORDER_RESOURCES}
    for change in changes(number, shipped_every=SHIPPED_EVERY):
        row = orjson.loads(unpack(encode(change.resource, change.row)))
        served[resource_at[change.resource]].append(row)
    return {resource: typed_rows(resource, rows, profile).frame for resource, rows in served.items()}
