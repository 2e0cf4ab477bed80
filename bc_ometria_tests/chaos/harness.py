"""The ground that scenarios stand on: real stand-ins, a PostgreSQL of their own, Dagster's instance, and victims."""

import io
import multiprocessing
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml
from sqlalchemy import text

from bc_ometria.store.database import connect
from bc_ometria_tests.chaos import trading, truths
from bc_ometria_tests.chaos.postgres import Postgres
from bc_ometria_tests.chaos.truths import Evidence
from bc_ometria_tests.chaos.victim import At, Instructions, Moment, Report, Work, live
from bc_ometria_tests.scenarios.shop import Shop

Defect = Callable[[], None]

SIGKILL = -9
"""The exit code of a process that was killed."""

PATIENCE = 180.0
"""Seconds after which a victim that neither ends nor pauses counts as hanging."""

ACCOUNT: dict[str, Any] = {"history_after_h": 10_000_000, "fill_wait_s": 0}
"""What differs from the shop's account: its changes of long ago are live ones, and no record waits for company."""

SERVED = {
    "customers": "customers",
    "addresses": "stores",
    "orders": "orders",
    "order_lines": "order-lines",
    "order_stages": "order-stages",
    "shipments": "shipments",
    "shipment_lines": "shipment-lines",
    "returns": "returns",
    "return_lines": "return-lines",
}
"""What the mirror and Blue Cherry call each resource."""

SHOWN = ("exceptions", "exception_codes", "blue_cherry_held_rows", "lane_stops", "ometria_account", "extracts")
"""The project's tables whose contents reach people."""

_UNDISTURBED: dict[int, set[str]] = {}  # the ids that an empty store makes, by Blue Cherry's rows

# Victims are forked from one process that has imported Dagster: each start then takes a tenth of a second, not four.
_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(["bc_ometria_tests.chaos.victim"])


@dataclass(frozen=True)
class Ended:
    """How a victim ended: ``report`` is None where it was killed or broke down."""

    exit_code: int
    output: str
    report: Report | None

    @property
    def succeeded(self) -> bool:
        return self.report is not None and self.report.succeeded

    @property
    def failures(self) -> list[str]:
        """What went wrong in each failed step, in the words of its error."""
        return self.report.failures if self.report else []


def _moment(named: str | Moment | None) -> Moment | None:
    return At(named) if isinstance(named, str) else named


class Victim:
    """A process that works, pauses where it was told to, or dies."""

    def __init__(self, told: Instructions, done: Callable[[Ended], None]) -> None:
        self._told, self._done = told, done
        self._said: Any = None
        self._line, theirs = _processes.Pipe()
        self._process = _processes.Process(target=live, args=(told, theirs), daemon=True)
        self._process.start()
        theirs.close()

    def wait_until_paused(self) -> None:
        if not (said := self._heard()) == "paused":
            raise AssertionError(f"the process came to its end without coming to {self._told.pause_at}: {said}")

    def go_on(self, *, after_sleep: float = 0) -> None:
        """Let it go on; to it so many seconds seem to have passed, as after the machine has slept."""
        self._line.send(after_sleep)

    def kill(self) -> Ended:
        """SIGKILL, wherever it is."""
        self._process.kill()
        return self.end()

    def wait_until_over(self) -> None:
        self._said = self._heard()
        self._process.join()

    def end(self) -> Ended:
        """Wait for its end, and take stock of what it left behind."""
        if self._process.is_alive():
            self.wait_until_over()
        output = self._told.output.read_text(errors="replace")
        ended = Ended(int(self._process.exitcode or 0), output, self._said if isinstance(self._said, Report) else None)
        self._done(ended)
        return ended

    def _heard(self) -> Any:
        if not self._line.poll(PATIENCE):
            self._process.kill()
            raise AssertionError(f"the process hung:\n{self._told.output.read_text(errors='replace')[-4000:]}")
        try:
            return self._line.recv()
        except EOFError:
            return None


@dataclass
class Chaos:
    """One scenario's world. Victims find everything by variables of the environment, as in production."""

    shop: Shop
    postgres: Postgres
    home: Path
    folder: Path
    tell: Callable[[str], None]
    """Says in `make chaos` how far a scenario is."""
    resends_allowed: int = 0
    """Records that may be sent again beyond one batch per kill, where their outcome was not known."""
    ended: list[Ended] = field(default_factory=list)
    noted: dict[str, list[str]] = field(default_factory=dict)
    """Violations that were seen on the way; a later run may have mended what caused them."""
    _customers: int = 0
    _orders: int = 0
    _started: int = 0

    def __post_init__(self) -> None:
        self.account(**ACCOUNT)
        account = self.shop.sandbox.account
        account.settings = account.settings.changed({"history": True})

    def account(self, **values: Any) -> None:
        """Change keys of ``ometria.yaml`` in force."""
        path = self.shop.rules_folder / "ometria.yaml"
        path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | values))

    # Blue Cherry

    def open_shop(self, customers: int = 130, orders: int = 130) -> None:
        """A first day of trade: more than one call of each record type, some records bad."""
        self._customers, self._orders = customers, orders
        trading.open_shop(self.shop, customers, orders)

    def trade(self) -> None:
        """What changes in the hour after."""
        trading.trade(self.shop, self._customers, self._orders)

    # Victims

    @property
    def kills(self) -> int:
        return sum(each.exit_code == SIGKILL for each in self.ended)

    def start(
        self,
        *,
        work: Work = "live_sync",
        die_at: str | Moment | None = None,
        pause_at: str | Moment | None = None,
        defect: Defect | None = None,
        **environment: str,
    ) -> Victim:
        """A process that begins to work; a step is named by its name in ``victim.STEPS``, or as a ``Moment``."""
        told = self._instructions(work, **environment)
        if die_at or pause_at or defect:
            told = replace(told, die_at=_moment(die_at), pause_at=_moment(pause_at), defect=defect)
        return Victim(told, self._note)

    def _instructions(self, work: Work, **environment: str) -> Instructions:
        self._started += 1
        return Instructions(
            environment={**os.environ, "DAGSTER_HOME": str(self.home), **environment},
            output=self.folder / f"{self._started}.output",
            wire=self.folder / f"{self._started}.wire",
            work=work,
        )

    def run(self, **options: Any) -> Ended:
        """A process, from its start to its end; ``options`` as ``start`` takes them."""
        return self.start(**options).end()

    def until_quiet(self, *, defect: Defect | None = None, rounds: int = 4) -> None:
        """One process after the other, until nothing is left to do. Gives up after so many: the truths then tell."""
        for _ in range(rounds):
            self.end_waits()
            ended = self.run(defect=defect)
            assert ended.report, f"the process broke down:\n{ended.output[-4000:]}"
            if self.is_quiet():
                break

    def is_quiet(self) -> bool:
        """Whether nothing waits to be assembled, mapped, sent or read back, other than events of what is held."""
        return not self._rows(
            """
            SELECT 'to be assembled or mapped' FROM bc_ometria.touched
            UNION SELECT 'to be mapped' FROM bc_ometria.sales_orders WHERE mapped_version IS DISTINCT FROM version
            UNION SELECT state FROM bc_ometria.outbox WHERE state IN ('wanted', 'sent')
            """
        )

    def end_waits(self) -> None:
        """Have time pass: leases are over, waits too, and what was accepted was accepted an hour ago."""
        self.shop.change(
            """
            UPDATE bc_ometria.outbox SET leased_until = LEAST(leased_until, now() - interval '1 second'),
                next_attempt = CASE WHEN isfinite(next_attempt) THEN LEAST(next_attempt, now()) ELSE next_attempt END,
                accepted_at = CASE WHEN state = 'sent' THEN accepted_at - interval '1 hour' ELSE accepted_at END
            WHERE state IN ('wanted', 'sent', 'drift') OR leased_until IS NOT NULL
            """
        )

    # What is left behind

    def violations(self) -> dict[str, list[str]]:
        """What violates which truth; only truths that do not hold. To be asked once nothing is left to do."""
        seen = self.evidence()
        found = {name: [*self.noted.get(name, []), *truth(seen)] for name, truth in truths.ALL.items()}
        broken = {name: list(dict.fromkeys(said)) for name, said in found.items() if said}
        said = "; ".join(f"{name} is violated ({len(of_truth)})" for name, of_truth in broken.items())
        self.tell(f"{self.kills} kills, {truths.resent(seen)} records sent again: {said or 'all truths hold'}")
        return broken

    def evidence(self, *, at_any_time: bool = False) -> Evidence:
        """What the truths are judged by; ``at_any_time`` leaves out what costs time and only counts in the end."""
        account = self.shop.sandbox.account
        account.settle()
        rows = self.shop.sandbox.blue_cherry.rows
        parents = self._rows("SELECT record_id, ord_num, customer FROM bc_ometria.order_events")
        excused = self._rows("SELECT DISTINCT record_type, record_id FROM bc_ometria.exceptions WHERE is_open")
        watermarks = self._rows("SELECT resource, stamp FROM bc_ometria.watermarks")
        return Evidence(
            blue_cherry={served: list(rows(served)) for served in SERVED.values()},
            mirror={served: self._stamps(resource) for resource, served in SERVED.items()},
            watermarks={SERVED[row["resource"]]: row["stamp"] for row in watermarks if row["resource"] in SERVED},
            outbox=self._rows("SELECT * FROM bc_ometria.outbox"),
            excused={(row["record_type"], row["record_id"]) for row in excused},
            parents={row["record_id"]: (row["ord_num"], row["customer"]) for row in parents},
            orders=self.shop.orders(),
            contacts=self.shop.contacts(),
            events={id: len(held) for (_, id), held in account.events.items()},
            sent={name: [version.digest for version in versions] for name, versions in account.history.items()},
            calls=[(push.record_type or "", [str(id) for id in push.ids]) for push in account.pushes],
            answers=Counter(account.counts.statuses),
            duplicate_ids=account.counts.duplicate_ids_in_call,
            undisturbed=set() if at_any_time else self._events_of_an_empty_store(),
            wire=self._wire(),
            blue_cherry_url=f"{self.shop.sandbox.blue_cherry_url}/",
            kept={} if at_any_time else self.kept(),
            kills=self.kills,
            resends_allowed=self.resends_allowed,
        )

    def kept(self) -> dict[str, str]:
        """All that is kept where people look, by place: each victim's output, the files of Dagster's home, Dagster's
        tables, and those of the project's tables that its checks and commands show."""
        files = [*self.folder.glob("*.output"), *(path for path in self.home.rglob("*") if path.is_file())]
        kept = {path.name: path.read_text(errors="replace") for path in files}
        with self.shop.engine.connect() as connection:
            tables = connection.execute(text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")).scalars()
            cursor = connection.connection.cursor()
            for table in [*(f'public."{name}"' for name in tables), *(f"bc_ometria.{name}" for name in SHOWN)]:
                written = io.StringIO()
                cursor.copy_expert(f"COPY (SELECT * FROM {table}) TO STDOUT", written)
                kept[table] = written.getvalue()
        return kept

    def _note(self, ended: Ended) -> None:
        """Judge, at each end of a process, what must be true at any time: the next process may mend it."""
        self.ended.append(ended)
        seen = self.evidence(at_any_time=True)
        for name in truths.AT_ANY_TIME:
            self.noted.setdefault(name, []).extend(truths.ALL[name](seen))

    def _stamps(self, resource: str) -> dict[int, datetime]:
        stamps = self._rows(f"SELECT DISTINCT pkey, last_mod FROM bc_ometria.blue_cherry_{resource}")
        return {row["pkey"]: row["last_mod"] for row in stamps}

    def _wire(self) -> list[tuple[str, str]]:
        lines = [line for path in self.folder.glob("*.wire") for line in path.read_text().splitlines()]
        return [(method, server) for method, server in (line.split(" ", 1) for line in lines)]

    def _events_of_an_empty_store(self) -> set[str]:
        """The ids that an undisturbed process makes of Blue Cherry's rows as they are now, in a new database."""
        rows = hash(repr([list(self.shop.sandbox.blue_cherry.rows(served)) for served in SERVED.values()]))
        if rows not in _UNDISTURBED:
            url = self.postgres.new_database()
            told = self._instructions("mapping", BC_OMETRIA_DATABASE_URL=url)
            assert Victim(told, lambda ended: None).end().succeeded
            engine = connect(url)
            with engine.connect() as connection:
                found = connection.execute(text("SELECT record_id FROM bc_ometria.order_events")).scalars()
                _UNDISTURBED[rows] = set(found)
            engine.dispose()
            self.postgres.drop(url)
        return _UNDISTURBED[rows]

    def _rows(self, query: str) -> list[dict[str, Any]]:
        with self.shop.engine.connect() as connection:
            return [dict(row) for row in connection.execute(text(query)).mappings()]
