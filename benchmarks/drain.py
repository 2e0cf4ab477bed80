"""A history drained: at Ometria's own rate while live orders come, and at no limit."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from threading import Event

import httpx
from sqlalchemy import Engine, text

from bc_ometria.ometria.client import MAX_RECORDS
from bc_ometria.rules import Rules
from bc_ometria.store import outbox
from bc_ometria.store.schema import SCHEMA
from benchmarks import delivery, product
from benchmarks.backlog import fill, trade
from benchmarks.product import Delivery
from benchmarks.speed import Speed


@dataclass(frozen=True)
class AtTheLimit:
    """A drain at Ometria's rate.

    ``budget_used``: the pushes that Ometria received, as a share of those that its rate allows between the first and
    the last. ``batch_fill``: records in a push, as a share of the most that it takes. ``live_p50_s`` and
    ``live_p95_s``: seconds of a live order from the outbox to Ometria's acceptance. ``proved``: the share of what was
    accepted that was read back when the last record of the history was. ``noop_calls``: those of a delivery with
    nothing to do.
    """

    delivery: Delivery
    budget_used: float
    batch_fill: float
    live_orders: int
    live_p50_s: float
    live_p95_s: float
    proved: float
    noop_calls: int


@dataclass(frozen=True)
class AtNoLimit:
    """A small drain and a large one at no limit, each in a process of its own, and a bare loop with the small one's
    records."""

    small: Delivery
    large: Delivery
    raw_push: Speed

    @property
    def speed(self) -> Speed:
        """Of the large one."""
        records = self.large.accepted
        return Speed("records", (records / self.large.seconds,), (self.large.processor_s / records * 1e6,))

    @property
    def growth(self) -> float:
        """The memory of the large one over that of the small one."""
        return self.large.peak_rss_mb / self.small.peak_rss_mb


def at_the_limit(engine: Engine, ometria_url: str, records: int) -> AtTheLimit:
    """Drain so many records of the history with live orders beside them, and once more when nothing is left.

    Raises ``RuntimeError`` where a record is not proved in the end, or no figure can be had.
    """
    fill(engine, records)
    is_over = Event()
    with ThreadPoolExecutor(1) as shop:
        trading = shop.submit(trade, engine, is_over)
        try:
            delivered = product.deliver_and_prove(engine, ometria_url)
        finally:
            is_over.set()
        proved = trading.result()
    states = outbox.counts(engine)
    if set(states["state"]) != {"confirmed"} or states["records"].sum() != delivered.accepted:
        raise RuntimeError(f"not every record was proved: {states.to_dict('records')}")
    pushes = httpx.get(f"{ometria_url}/_control/state/pushes").raise_for_status().json()
    sent = sum(len(push["ids"]) for push in pushes)
    if sent < delivered.accepted:
        raise RuntimeError(f"Ometria knows of {sent:,} records in {len(pushes):,} pushes only")
    seconds = (datetime.fromisoformat(pushes[-1]["at"]) - datetime.fromisoformat(pushes[0]["at"])).total_seconds()
    calls = _calls(ometria_url)
    product.deliver_and_prove(engine, ometria_url)
    return AtTheLimit(
        delivered,
        len(pushes) / (Rules.load().account.limits.push_per_s * seconds),
        sent / len(pushes) / MAX_RECORDS,
        *_live_orders(engine),
        proved,
        _calls(ometria_url) - calls,
    )


def at_no_limit(engine: Engine, ometria_url: str, small: int, large: int) -> AtNoLimit:
    """Drain so many and so many records of the history without any rate, and nothing read back."""
    small_one = _drained(engine, ometria_url, small)
    raw_push = delivery.raw_push(engine, ometria_url, 2)
    return AtNoLimit(small_one, _drained(engine, ometria_url, large), raw_push)


def _drained(engine: Engine, ometria_url: str, records: int) -> Delivery:
    fill(engine, records)
    delivery.forget_all(ometria_url)
    delivered = product.push(engine, ometria_url, records)
    delivery.check_all_are_there(engine, ometria_url, records)
    return delivered


def _live_orders(engine: Engine) -> tuple[int, float, float]:
    """How many there were, and the median and the 95th percentile of their seconds from the outbox to Ometria."""
    seconds = "extract(epoch FROM accepted_at - queued_at)"
    percentiles = f"percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY {seconds})"
    with engine.connect() as connection:
        orders, waited = connection.execute(
            text(f"SELECT count(*), {percentiles} FROM {SCHEMA}.outbox WHERE lane = 'live'")
        ).one()
    if not orders:
        raise RuntimeError("no live order came while the history was drained")
    return orders, *map(float, waited)


def _calls(ometria_url: str) -> int:
    counts = httpx.get(f"{ometria_url}/_control/counts").raise_for_status().json()
    return sum(counts["calls"].values())
