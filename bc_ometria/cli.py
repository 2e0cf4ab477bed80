"""``bc-ometria``: the commands people type."""

import logging
import os
import signal
import subprocess
import sys
import threading
import warnings
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import click
from rich.console import Console
from rich.markup import escape

from bc_ometria.store.lanes import LANES

if TYPE_CHECKING:
    from sqlalchemy import Engine

console = Console()


@click.group()
@click.version_option(package_name="bc-ometria")
def main() -> None:
    """Keeps Ometria true to CGS Blue Cherry."""
    logging.getLogger("alembic").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", category=UserWarning, module="platformdirs")


@main.command()
@click.option("--port", default=3000, show_default=True, help="Port of the Dagster UI.")
@click.option("--sandbox", "with_sandbox", is_flag=True, help="Put a living sandbox behind it.")
def dev(port: int, with_sandbox: bool) -> None:
    """Serve the Dagster UI, with the sensor running.

    Starts an embedded PostgreSQL where BC_OMETRIA_DATABASE_URL is not set. A sandbox begins with an empty Ometria, so
    it always gets a new and empty database of its own.
    """
    from bc_ometria.demo.processes import end
    from bc_ometria.home import PROJECT, settle_in, settle_in_afresh
    from bc_ometria.store.database import connect, migrate

    if with_sandbox:
        settle_in_afresh(Path(".bc_ometria") / "sandbox")
    else:
        settle_in()
    migrate(connect(os.environ["BC_OMETRIA_DATABASE_URL"]))
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    processes = []
    try:
        if with_sandbox:
            processes.append(_start_sandbox())
        else:
            _require_settings()
        command = [sys.executable, "-m", "dagster", "dev", "-w", str(PROJECT / "workspace.yaml")]
        command += ["--log-level", "warning", "-p", str(port), "-h", "127.0.0.1"]
        processes.append(subprocess.Popen(command, start_new_session=True))
        console.print(f"The Dagster UI comes up at [bold]http://localhost:{port}[/]; Ctrl-C ends it.")
        processes[-1].wait()
    except KeyboardInterrupt:
        console.print("Stopping …")
    finally:
        for process in reversed(processes):
            end(process)


@main.command()
@click.option("--tenant", type=click.Choice(["apparel", "online-retail"]), default="apparel", show_default=True)
@click.option("--data", type=click.Path(exists=True, path_type=Path), multiple=True, help="Files of online-retail.")
@click.option("--blue-cherry-port", default=8801, show_default=True)
@click.option("--ometria-port", default=8802, show_default=True)
@click.option("--customers", default=1000, show_default=True, help="Customers that apparel begins with.")
@click.option("--orders-per-day", default=1440, show_default=True, help="Orders that apparel takes a day.")
@click.option("--days", default=1, show_default=True, help="Days that apparel has lived already.")
@click.option("--no-limits", is_flag=True, help="Let Ometria take any number of calls.")
@click.option("--standing", is_flag=True, help="Let time stand still until a control route moves it.")
@click.option("--env-file", type=click.Path(path_type=Path), help="Write the variables that point here to a file.")
def sandbox(
    tenant: str,
    data: tuple[Path, ...],
    blue_cherry_port: int,
    ometria_port: int,
    customers: int,
    orders_per_day: int,
    days: int,
    no_limits: bool,
    standing: bool,
    env_file: Path | None,
) -> None:
    """Serve stand-ins of Blue Cherry and Ometria; port 0 takes a free one.

    The apparel retailer goes on living in real time.
    """
    from bc_ometria.sandbox.running import Sandbox
    from bc_ometria.sandbox.server import PortTaken

    now = datetime.now(UTC).replace(microsecond=0)
    try:
        with Sandbox(
            tenant,  # type: ignore[arg-type]
            data=data,
            start=now - timedelta(days=days),
            customers=customers,
            orders_per_day=orders_per_day,
            blue_cherry_port=blue_cherry_port,
            ometria_port=ometria_port,
            limits=not no_limits,
        ) as servers:
            if not standing:
                servers.advance(now)
            lines = [f"export {name}={value}" for name, value in servers.environment().items()]
            console.print(
                "Point the project at this sandbox with:\n" + "\n".join(lines), highlight=False, soft_wrap=True
            )
            if env_file:
                env_file.write_text("\n".join(lines) + "\n")
            stop = threading.Event()
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, lambda *_: stop.set())
            if standing:
                stop.wait()
            else:
                servers.live(stop)
    except PortTaken as error:
        raise click.ClickException(f"{error}; take another with --blue-cherry-port and --ometria-port") from None


@main.command()
def sync() -> None:
    """Take what is new in Blue Cherry all the way into Ometria, and drain what waits in the outbox."""
    from bc_ometria.home import settle_in

    settle_in()
    _require_settings()
    import dagster as dg

    from bc_ometria.automation.once import (
        failures,
        run_bulk_delivery,
        run_catalogue_sync,
        run_live_sync,
        run_merge_customers,
    )
    from bc_ometria.automation.sensors import is_anything_waiting
    from bc_ometria.config import load_rules
    from bc_ometria.definitions import defs
    from bc_ometria.report import outcome_table
    from bc_ometria.store import merges, outbox
    from bc_ometria.store.database import connect
    from bc_ometria.store.lanes import BULK

    engine = connect(os.environ["BC_OMETRIA_DATABASE_URL"])
    with dg.DagsterInstance.get() as instance, console.status("Syncing …"):
        of_catalogue = run_catalogue_sync(defs, instance)
        result = run_live_sync(defs, instance)
        if result.success and outbox.is_any_due(engine, BULK):
            result = run_bulk_delivery(defs, instance)
        if result.success and merges.is_any_due(engine, load_rules().account.read_back_until):
            result = run_merge_customers(defs, instance)
    for text in failures(of_catalogue) + failures(result):
        console.print(f"[red]✗[/] {escape(text)}", highlight=False)
    console.print(outcome_table(engine))
    if is_anything_waiting(engine, load_rules()):
        console.print("Something still waits to be sent or shown by Ometria: the next run goes on with it.")
    if not (of_catalogue.success and result.success):
        sys.exit(1)


@main.command()
@click.argument("orders", nargs=-1, metavar="[ORDER]...")
@click.option("--customer", "customers", multiple=True, metavar="CODE", help="A customer's code. Repeatable.")
def refresh(orders: tuple[str, ...], customers: tuple[str, ...]) -> None:
    """Please update this one: take orders or customers again from Blue Cherry into Ometria, now.

    ORDER is an order's number as Blue Cherry has it, zeros included. Every part of the order is read again, and for a
    customer all addresses. It says of each what came of it. It may run at any time, beside the live lane too.
    """
    from bc_ometria.assets.refresh import NotAKey
    from bc_ometria.assets.refresh import refresh as refresh_now
    from bc_ometria.blue_cherry.errors import BlueCherryError
    from bc_ometria.config import Settings, load_profile, load_rules
    from bc_ometria.ometria.errors import OmetriaError
    from bc_ometria.resources import BlueCherry, Ometria

    if not orders and not customers:
        raise click.UsageError("Name an order, or a customer with --customer.")
    engine = _database()
    _require_settings()
    rules, profile = load_rules(), load_profile()
    given = Settings.from_environment(os.environ)
    blue_cherry = BlueCherry(
        base_url=given.blue_cherry_base_url,
        tenant=given.blue_cherry_tenant,
        environment=given.blue_cherry_environment,
        api_key=given.blue_cherry_api_key,
    )
    ometria = Ometria(base_url=given.ometria_base_url, api_key=given.ometria_api_key)
    try:
        with (
            console.status("Reading again and sending …"),
            blue_cherry.client(profile) as source,
            ometria.client(rules, engine) as account,
        ):
            found = refresh_now(engine, source, account, rules, profile, orders=orders, customers=customers)
    except NotAKey as error:
        raise click.ClickException(str(error)) from None
    except (BlueCherryError, OmetriaError) as error:
        raise click.ClickException(f"{error} What was named is kept, and the next live_sync goes on with it.") from None
    for each in found:
        console.print(f"{each.kind} {each.key}: {each.outcome}", highlight=False, markup=False, soft_wrap=True)
    if any(not each.is_served for each in found):
        sys.exit(1)


@main.command()
@click.argument("ids", type=int, nargs=-1, metavar="[ID]...")
def approve(ids: tuple[int, ...]) -> None:
    """Let go what the guard has stopped; without ID, show what is stopped.

    Where too much would change at once, the guard stops the lane before anything of it is sent, and waits for a
    person. Look at the figures first: they say how many records would change, how, and what that is worth. A mistake
    needs no approval: once it is mended in Blue Cherry, the stop ends by itself.

    An approval is for the records of these figures; what changes after them is judged anew.
    """
    from bc_ometria.store import stops

    engine = _database()
    try:
        for id in ids:
            records = stops.approve(engine, id)
            console.print(f"Stop {id} has ended. {records:,} records were approved and go with the next run.")
    except stops.NotStopped as error:
        raise click.ClickException(str(error)) from None
    if not ids:
        lines = [line for stop in stops.open_stops(engine).to_dict("records") for line in _told(stop)]
        console.print("\n".join(lines) or "No lane is stopped.", highlight=False, markup=False, soft_wrap=True)


@main.command()
@click.argument("lane", type=click.Choice([*LANES, "all"]), metavar="LANE")
def pause(lane: str) -> None:
    """Send nothing of a lane until `bc-ometria resume`: the kill switch.

    It works from the next call to Ometria on, in every process. Nothing is lost: what belongs to the lane waits in the
    outbox, and Blue Cherry is read as before. But an event that waits for more than four hours starts no journey any
    more.

    The lanes, the most urgent first: opt_outs, cancellations, live (orders and contacts), events (custom events of
    orders), repairs (of differences found in Ometria, and replays), products, attributes (deep ones), history (what
    changed long ago); or all.
    """
    from bc_ometria.store import stops

    engine = _database()
    for each in LANES if lane == "all" else [lane]:
        is_new = stops.pause(engine, each)
        console.print(f"Lane {each} is paused." if is_new else f"Lane {each} was paused before, and still is.")


@main.command()
@click.argument("lane", type=click.Choice([*LANES, "all"]), metavar="LANE")
def resume(lane: str) -> None:
    """Let a paused lane flow again, or all.

    What the guard has stopped stays stopped: that takes `bc-ometria approve`.
    """
    from bc_ometria.store import stops

    engine = _database()
    found = stops.open_stops(engine)
    paused = found.loc[found["cause"] == stops.PAUSED, "lane"].unique().tolist()
    if lane == "all" and not paused:
        console.print("No lane is paused.")
    try:
        for each in paused if lane == "all" else [lane]:
            stops.resume(engine, each)
            console.print(f"Lane {each} flows again: what waits in it goes with the next run.")
    except stops.NotStopped as error:
        raise click.ClickException(str(error)) from None


@main.command()
@click.option("--day", type=click.DateTime(["%Y-%m-%d"]), help="Only what changed in Blue Cherry on this day.")
@click.option(
    "--sample",
    type=click.IntRange(min=1),
    default=400,
    show_default=True,
    help="Records of each type that Ometria is asked about at most; beyond that, figures are extrapolated.",
)
def plan(day: datetime | None, sample: int) -> None:
    """Show what sending would change in Ometria; a dry run that sends nothing.

    It compares what waits in the outbox with what Ometria has: records that would be new, updated or are equal
    already, consent, revenue, events, and how long it would take. With --day, it compares every record whose newest
    change in Blue Cherry is of that day, those that were sent already too.

    What Blue Cherry changed after the last run is not in the outbox yet, and so not in the plan.
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from bc_ometria.config import load_profile, load_rules
    from bc_ometria.delivery import plan as dry_run
    from bc_ometria.ometria.errors import OmetriaError
    from bc_ometria.report import plan_told
    from bc_ometria.resources import Ometria

    engine = _database()
    _require_settings()
    rules, zone = load_rules(), ZoneInfo(load_profile().time_zone)
    changed = (day.replace(tzinfo=zone), (day + timedelta(days=1)).replace(tzinfo=zone)) if day else None
    ometria = Ometria(base_url=os.environ["OMETRIA_BASE_URL"].strip(), api_key=os.environ["OMETRIA_API_KEY"].strip())
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with (
        Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar,
        ometria.client(rules, engine) as client,
    ):
        tasks: dict[str, Any] = {}

        def show(record_type: str, done: int, of: int) -> None:
            if record_type not in tasks:
                told = f"Asking Ometria about {record_type}s, {rules.account.limits.other_per_s} a second"
                tasks[record_type] = bar.add_task(told, total=of)
            bar.update(tasks[record_type], completed=done)

        try:
            found = dry_run.plan(engine, client, rules, changed=changed, sample=sample, progress=show)
        except OmetriaError as error:
            raise click.ClickException(f"{error} Nothing was sent.") from None
    for part in plan_told(found):
        console.print(part, highlight=False, markup=False)
    console.print("Nothing was sent.")


@main.command()
@click.option("--since", metavar="TIME", help="Last accepted by Ometria at this time or later, as 2026-11-20T14:30.")
@click.option("--until", metavar="TIME", help="Last accepted before this time.")
@click.option("--type", "record_type", metavar="contact|order", help="Only records of this type.")
@click.option("--id", "ids", multiple=True, help="A record's id: an order's number or a customer's code. Repeatable.")
@click.option("--division", help="Only orders and customers of this division in Blue Cherry.")
@click.option("--go", is_flag=True, help="Send them; without it, nothing changes.")
def replay(
    since: str | None, until: str | None, record_type: str | None, ids: tuple[str, ...], division: str | None, go: bool
) -> None:
    """Send contacts and orders again as the outbox holds them.

    Without --go it only says what would go. At least one filter is needed, and a record has to pass all that are
    given. A time without an offset is one of the tenant's time zone; a day alone means its midnight.

    A replay fires no custom event again, and sends nothing that is excluded or held, but for what Ometria refused.
    """
    from bc_ometria.config import load_profile, load_rules
    from bc_ometria.delivery import replay as again
    from bc_ometria.delivery.drain import drain
    from bc_ometria.report import drain_told, replay_table
    from bc_ometria.rules import RulesError

    engine = _database()
    try:
        rules, zone = load_rules(), ZoneInfo(load_profile().time_zone)
        filters = again.Filters(_time(since, zone), _time(until, zone), record_type, ids, division)
        selection = again.select(engine, filters)
        replayed = again.replay(engine, filters) if go else {}
    except (again.NotReplayable, RulesError) as error:
        raise click.ClickException(str(error)) from None
    if selection.counts.empty:
        console.print("Nothing in the outbox matches. Nothing was changed.")
        return
    console.print(replay_table(selection), highlight=False, markup=False)
    if selection.going:
        console.print(drain_told(drain(selection.going, rules.account)), highlight=False)
    if go:
        console.print(
            f"{replayed.get(again.AGAIN, 0):,} records go again with the next run, in the lane repairs; "
            f"{replayed.get(again.MAPPED_AGAIN, 0):,} are mapped again first.",
            highlight=False,
        )
    else:
        told = "What goes would go in the lane repairs, after all that is live. With --go it does."
        console.print(f"Nothing was changed. {told if selection.going else ''}".rstrip())


@main.command()
@click.option("--tenant", type=click.Choice(["apparel", "online-retail"]), default="apparel", show_default=True)
@click.option("--data", type=click.Path(exists=True, path_type=Path), multiple=True, help="Files of online-retail.")
@click.option("--days", default=3, show_default=True, help="Days that apparel lives through.")
@click.option("--orders-per-day", default=300, show_default=True, help="Orders that apparel takes a day.")
@click.option("--no-limits", is_flag=True, help="Let the stand-in of Ometria take any number of calls.")
def demo(tenant: str, data: tuple[Path, ...], days: int, orders_per_day: int, no_limits: bool) -> None:
    """Show the main job end to end on this machine, and prove it by independent arithmetic.

    Ends non-zero if anything differs or is unaccounted for.
    """
    from bc_ometria.demo.run import run_demo

    if tenant == "online-retail" and not data:
        raise click.UsageError("online-retail needs its data: --data PATH, once or several times")
    sys.exit(run_demo(console, tenant, data, days=days, orders_per_day=orders_per_day, limits=not no_limits))


@main.command()
def doctor() -> None:
    """Test the database, both systems and the rules, and say what is wrong and what to set."""
    from bc_ometria.doctor import examine

    well = True
    for finding in examine():
        well &= finding.is_well
        mark = "[green]✓[/]" if finding.is_well else "[red]✗[/]"
        console.print(
            f"{mark} [bold]{finding.subject}[/]",
            escape(finding.advice or finding.note),
            highlight=False,
            soft_wrap=True,
        )
    sys.exit(0 if well else 1)


def _database() -> "Engine":
    """The store, brought to this version."""
    from bc_ometria.home import settle_in
    from bc_ometria.store.database import connect, migrate

    settle_in()
    engine = connect(os.environ["BC_OMETRIA_DATABASE_URL"])
    migrate(engine)
    return engine


def _time(written: str | None, zone: ZoneInfo) -> datetime | None:
    """A time as a person writes it, in ``zone`` where it says no offset."""
    if written is None:
        return None
    try:
        at = datetime.fromisoformat(written)
    except ValueError:
        raise click.ClickException(
            f"{written} is no time: write it as 2026-11-20, 2026-11-20T14:30 or 2026-11-20T14:30+01:00."
        ) from None
    return at if at.tzinfo else at.replace(tzinfo=zone)


def _told(stop: dict[Any, Any]) -> list[str]:
    """A row of ``store.stops.open_stops`` in lines: what a person needs to decide, and what to type."""
    detail, waiting = stop["detail"], f"{stop['waiting']:,} wait in the lane"
    of_what = f"Stop {stop['id']}: lane {stop['lane']}, {stop['record_type'] or 'record'}s"
    if stop["cause"] == "paused":
        since = f"paused {stop['stopped_at']:%Y-%m-%d %H:%M}"
        return [f"{of_what}, {since}", f"  {waiting}: bc-ometria resume {stop['lane']}"]
    figures = {name: detail[name] for name in ("statuses", "consents") if name in detail}
    return [
        f"{of_what}, since {stop['stopped_at']:%Y-%m-%d %H:%M}",
        f"  {detail['what']}",
        *(f"  revenue: {amount:,.2f} {currency}" for currency, amount in detail.get("revenue", {}).items()),
        *(f"  {name}: " + ", ".join(f"{n:,} × {what}" for what, n in of.items()) for name, of in figures.items()),
        *([f"  for example: {', '.join(detail['examples'])}"] if detail.get("examples") else []),
        f"  {stop['records']:,} records, {waiting}: bc-ometria approve {stop['id']}",
    ]


def _start_sandbox() -> subprocess.Popen:
    """Start a living sandbox beside this process and point the environment at it."""
    from bc_ometria.demo.processes import start_sandbox

    try:
        process, variables = start_sandbox([])
    except RuntimeError as error:
        raise click.ClickException(str(error)) from None
    os.environ.update(variables)
    console.print(f"The sandbox: Blue Cherry at {variables['BLUE_CHERRY_BASE_URL']}, ", end="")
    console.print(f"Ometria at {variables['OMETRIA_BASE_URL']}")
    return process


def _require_settings() -> None:
    from bc_ometria.config import Settings, SettingsError, load_profile, load_rules
    from bc_ometria.rules import RulesError

    try:
        Settings.from_environment(os.environ)
        load_rules()
        load_profile()
    except (SettingsError, RulesError) as error:
        raise click.ClickException(str(error)) from None


if __name__ == "__main__":
    main()
