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

import click
from rich.console import Console
from rich.markup import escape

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
    """Run the live lane once: what is new in Blue Cherry, all the way into Ometria."""
    from bc_ometria.home import settle_in

    settle_in()
    _require_settings()
    import dagster as dg

    from bc_ometria.automation.once import failures, run_live_sync
    from bc_ometria.automation.sensors import is_anything_waiting
    from bc_ometria.config import load_rules
    from bc_ometria.definitions import defs
    from bc_ometria.report import outcome_table
    from bc_ometria.store.database import connect

    with dg.DagsterInstance.get() as instance, console.status("Syncing …"):
        result = run_live_sync(defs, instance)
    for text in failures(result):
        console.print(f"[red]✗[/] {escape(text)}", highlight=False)
    engine = connect(os.environ["BC_OMETRIA_DATABASE_URL"])
    console.print(outcome_table(engine))
    if is_anything_waiting(engine, load_rules().version):
        console.print("Something still waits to be sent or shown by Ometria: the next run goes on with it.")
    if not result.success:
        sys.exit(1)


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
