"""Run the demo: sandbox, a few simulated days through Dagster, and the proof."""

import os
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import httpx
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table
from sqlalchemy import Engine, text

from bc_ometria.demo import audit
from bc_ometria.demo.processes import end, start_sandbox
from bc_ometria.home import settle_in_afresh
from bc_ometria.store import merges, outbox
from bc_ometria.store.database import connect, migrate
from bc_ometria.store.lanes import BULK

FOLDER = Path(".bc_ometria") / "demo"
_STEPS_A_DAY = 3
_SETTLING_RUNS = 10  # after the last change: what Ometria shows late is proved by a later run


def run_demo(
    console: Console, tenant: str, data: tuple[Path, ...], *, days: int, orders_per_day: int, limits: bool
) -> int:
    """Everything from an empty database to the proof; the exit status, 0 where all is accounted for."""
    began = time.monotonic()
    with console.status("Starting PostgreSQL and the sandbox …"):
        settle_in_afresh(FOLDER)
        engine = connect(os.environ["BC_OMETRIA_DATABASE_URL"])
        migrate(engine)
    now = datetime.now(UTC).replace(microsecond=0)
    steps = _steps(now, days) if tenant == "apparel" else []
    arguments = [
        "--tenant",
        tenant,
        "--standing",
        "--days",
        str(days),
        "--orders-per-day",
        str(orders_per_day),
    ]
    arguments += [part for path in data for part in ("--data", str(path))]
    arguments += [] if limits else ["--no-limits"]
    with _sandbox(arguments) as variables:
        os.environ.update(variables)
        problems = _live(console, engine, variables, steps)
        with console.status("Comparing Ometria with Blue Cherry …"):
            contacts, orders, events = compare(engine, variables)
    console.print(_table(contacts, orders))
    console.print(_events_in_short(events), highlight=False, soft_wrap=True)
    for text_ in [*problems, *_complaints(contacts), *_complaints(orders), *events.wrong[:20]]:
        console.print(f"[red]✗[/] {escape(text_)}", highlight=False)
    clean = contacts.is_clean and orders.is_clean and not events.wrong and not problems
    verdict = "[green]Everything is accounted for" if clean else "[red]Something differs or is unaccounted for"
    console.print(f"{verdict}[/] ({time.monotonic() - began:.0f} s).")
    return 0 if clean else 1


def _steps(now: datetime, days: int) -> list[datetime]:
    count = days * _STEPS_A_DAY
    return [now - timedelta(days=days) * (1 - step / count) for step in range(1, count + 1)]


@contextmanager
def _sandbox(arguments: list[str]) -> Iterator[dict[str, str]]:
    process, variables = start_sandbox(arguments, ports=(0, 0))
    try:
        yield variables
    finally:
        end(process)


def _live(console: Console, engine: Engine, variables: dict[str, str], steps: list[datetime]) -> list[str]:
    """Live through the steps, a run of ``live_sync`` after each, and on until nothing waits."""
    from bc_ometria.automation.once import (
        failures,
        run_bulk_delivery,
        run_catalogue_sync,
        run_live_sync,
        run_merge_customers,
        run_sweep,
    )
    from bc_ometria.automation.partitions import months_since
    from bc_ometria.automation.sensors import is_anything_waiting
    from bc_ometria.config import load_rules
    from bc_ometria.definitions import build_defs

    definitions, rules = build_defs(), load_rules()
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with (
        dg.DagsterInstance.get() as instance,
        Progress(*columns, TimeElapsedColumn(), console=console) as progress,
    ):
        task = progress.add_task("Syncing", total=max(len(steps), 1))
        result = run_catalogue_sync(definitions, instance)
        if not result.success:
            return failures(result)
        for step in steps or (None,):
            if step:
                progress.update(task, description=f"Blue Cherry lives until {step:%A %d %B, %H:%M}")
                _advance(variables, step)
            progress.update(task, description=f"Syncing {f'{step:%A %d %B, %H:%M}' if step else 'all orders'}")
            result = run_live_sync(definitions, instance)
            if not result.success:
                return failures(result)
            progress.advance(task)
        for month in months_since(steps[0]) if steps else ():
            progress.update(task, description=f"Looking for what was deleted of {month}")
            result = run_sweep(definitions, instance, month)
            if not result.success:
                return failures(result)
        for _ in range(_SETTLING_RUNS):
            if not is_anything_waiting(engine, rules):
                if not merges.is_any_due(engine, rules.account.read_back_until):
                    return []
                progress.update(task, description="Merging customers, one call a minute")
                result = run_merge_customers(definitions, instance)
                if not result.success:
                    return failures(result)
                continue
            progress.update(task, description="Waiting until Ometria has shown everything")
            is_bulk = outbox.is_any_due(engine, BULK)
            result = (run_bulk_delivery if is_bulk else run_live_sync)(definitions, instance)
            if not result.success:
                return failures(result)
    return ["Something still waits to be sent or proved."]


def _advance(variables: dict[str, str], to: datetime) -> None:
    url = f"{variables['BLUE_CHERRY_BASE_URL']}/_control/retailer"
    httpx.post(url, json={"to": to.isoformat()}, timeout=300).raise_for_status()


def compare(engine: Engine, variables: dict[str, str]) -> tuple[audit.Account, audit.Account, audit.EventAccount]:
    """What became of all customers, orders and events: Blue Cherry against Ometria, while both stand still."""
    rows = audit.read_blue_cherry(variables)
    ometria = audit.read_ometria(variables["OMETRIA_BASE_URL"].removesuffix("/v2"))
    defects = httpx.get(f"{variables['BLUE_CHERRY_BASE_URL']}/_control/retailer").raise_for_status().json()
    deleted = {defect["key"] for defect in defects if defect["kind"] == "deleted_order"}
    return (
        audit.audit_contacts(rows["customers"], ometria.contacts, _held(engine, "contact")),
        audit.audit_orders(rows, ometria.orders, _held(engine, "order"), variables, "Europe/London", deleted),
        audit.audit_events(rows, ometria, _states(engine, "custom_event"), variables),
    )


def _held(engine: Engine, record_type: str) -> dict[str, str]:
    return {record: reason for record, (state, reason) in _states(engine, record_type).items() if state == "held"}


def _states(engine: Engine, record_type: str) -> dict[str, tuple[str, str]]:
    """State and reason of each record in the outbox."""
    with engine.connect() as connection:
        rows = connection.execute(
            text("SELECT record_id, state, reason FROM bc_ometria.outbox WHERE record_type = :type"),
            {"type": record_type},
        )
        return {row.record_id: (row.state, row.reason) for row in rows}


def _table(contacts: audit.Account, orders: audit.Account) -> Table:
    table = Table("", "customers", "orders", title="Blue Cherry and Ometria")
    both = (contacts, orders)

    def row(name: str, numbers: list[int], style: str = "") -> None:
        table.add_row(name, *(f"{number:,}" for number in numbers), style=style)

    row("in Blue Cherry", [each.in_blue_cherry for each in both])
    for reason in sorted(contacts.excluded | orders.excluded):
        row(f"  never go: {reason}", [each.excluded[reason] for each in both], "dim")
    row("expected in Ometria", [each.expected for each in both])
    row("confirmed equal", [each.equal for each in both], "green")
    for reason in sorted(contacts.held | orders.held):
        row(f"  held: {reason}", [each.held[reason] for each in both], "yellow")
    if orders.vanished:
        row("deleted in Blue Cherry, cancelled in Ometria", [0, orders.vanished], "yellow")
    row(
        "differing",
        [len(each.differing) for each in both],
        "red" if contacts.differing or orders.differing else "",
    )
    row("unaccounted for", [len(each.unaccounted) for each in both])
    return table


def _events_in_short(events: audit.EventAccount) -> str:
    """One line: how many events of which type Ometria has, and what became of the others."""

    def told(counts: Counter[str]) -> str:
        return ", ".join(f"{number:,} {name}" for name, number in sorted(counts.items())) or "none"

    return f"Events in Ometria: {told(events.in_ometria)}. Not sent: {escape(told(events.kept_back))}."


def _complaints(account: audit.Account) -> list[str]:
    return [*account.differing, *account.unaccounted][:20]
