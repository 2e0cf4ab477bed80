"""The stand-ins, each in a process of its own, so that they do not share the interpreter of what is measured."""

import gc
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from zoneinfo import ZoneInfo

from benchmarks.orders import FIRST, changes

TIME_ZONE = "Europe/London"
TENANT, ENVIRONMENT, KEY = "BENCH", "staging", "benchmark-key"


@contextmanager
def blue_cherry(orders: int) -> Iterator[str]:
    """The address of a Blue Cherry that holds so many orders."""
    with _process("blue-cherry", str(orders)) as url:
        yield url


@contextmanager
def ometria() -> Iterator[str]:
    """The address of an Ometria without rate limits, whose queue is never full."""
    with _process("ometria") as url:
        yield url


@contextmanager
def limited_ometria() -> Iterator[str]:
    """The address of an Ometria with the rates of an account."""
    with _process("limited-ometria") as url:
        yield url


@contextmanager
def _process(*arguments: str) -> Iterator[str]:
    """Runs this module; what it serves ends with its standard input, so it cannot outlive this process."""
    command = [sys.executable, "-m", "benchmarks.stand_ins", *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        if not url:
            raise RuntimeError(f"the stand-in did not start: {' '.join(arguments)}")
        try:
            yield url
        finally:
            process.stdin.close()


def _serve(name: str, *arguments: str) -> None:
    from bc_ometria.sandbox import blue_cherry, ometria
    from bc_ometria.sandbox.clock import Clock
    from bc_ometria.sandbox.server import Server

    # A full collection of all that a stand-in holds stops it for tenths of a second: calls behind it come too close.
    gc.set_threshold(700, 10, 1_000_000)
    with ExitStack() as opened:
        if name == "blue-cherry":
            orders = int(arguments[0])
            now = (FIRST + timedelta(seconds=orders, hours=1)).replace(tzinfo=ZoneInfo(TIME_ZONE))
            database = blue_cherry.BlueCherryDatabase(Clock(now), TIME_ZONE)
            database.apply(changes(orders))
            app = blue_cherry.create_app(database, tenant=TENANT, environment=ENVIRONMENT, api_keys=[KEY])
        else:
            settings = ometria.Settings(api_key=KEY)
            if name == "ometria":
                settings = settings.changed({"limits": False, "queue_limit": 10_000_000})
            app = ometria.create_app(ometria.Account(Clock(), settings))  # type: ignore[assignment]
        server = opened.enter_context(Server(app))
        sys.stdout.write(f"{server.url}\n")
        sys.stdout.flush()
        sys.stdin.read()


if __name__ == "__main__":
    _serve(*sys.argv[1:])
