"""A tick's work against the size of the mirror: ``live_sync`` for 50 changed orders, in one store that grows."""

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import dagster as dg
import httpx
from sqlalchemy import Connection, Engine, Table, text

from bc_ometria.automation.once import failures, run_live_sync
from bc_ometria.definitions import build_defs
from bc_ometria.store.schema import MIRROR, order_events, outbox, sales_orders
from benchmarks import stand_ins
from benchmarks.ingest import empty_the_store
from benchmarks.speed import Speed, measure

CHANGED = 50
"""Orders that a run finds changed."""

SERVED = 100
"""Orders that Blue Cherry serves; the others are copies of these in the store, as far apart as makes 1,000 a day."""

_CUSTOMERS = 10
_PKEYS = 10_000_000  # from a row to its next copy

_COPIED: dict[Table, str] = {
    MIRROR["customers"]: "customer",
    MIRROR["addresses"]: "customer",
    MIRROR["orders"]: "ord_num",
    MIRROR["order_lines"]: "ord_num",
    MIRROR["order_stages"]: "ord_num",
    sales_orders: "ord_num",
    outbox: "record_id",
}
"""The tables that grow, and what names the order or customer in each."""

_TIMES = (
    "last_mod", "ord_date", "changed_at", "placed_at", "seen_at", "assembled_at", "queued_at", "next_attempt",
    "accepted_at", "confirmed_at",
)  # fmt: skip

_ACCOUNT = """\
collection: bluecherry
discount_sign: positive
limits: {push_per_s: 1000, other_per_s: 1000, erasure_per_min: 1000, merge_per_min: 1000}
cliff_min: 10000000
history_after_h: 10000000
read_back_after: 0
read_back_until: 900
"""
"""An account that lets nothing wait, so that only work counts; no change is history to it."""


@dataclass(frozen=True)
class Ticks:
    """The runs for ``CHANGED`` orders, by how many orders the mirror had."""

    runs: dict[int, Speed]

    def seconds(self, orders: int) -> float:
        """Of the best run."""
        return CHANGED / self.runs[orders].best

    @property
    def growth(self) -> float:
        """A run with the largest mirror over one with the smallest."""
        return self.seconds(max(self.runs)) / self.seconds(min(self.runs))


def run(engine: Engine, sizes: Sequence[int], repetitions: int) -> Ticks:
    """Let the mirror grow to each of the sizes, multiples of ``SERVED``, and run for what changed then.

    Raises ``RuntimeError`` where a run does not confirm all that changed.
    """
    empty_the_store(engine)
    with (
        stand_ins.blue_cherry(SERVED) as blue_cherry,
        stand_ins.ometria() as ometria,
        _settings(engine, blue_cherry, ometria),
        dg.DagsterInstance.ephemeral() as instance,
    ):
        shop = _Shop(engine, blue_cherry, instance, build_defs())
        shop.open()
        runs, copies = {}, 1
        for size in sorted(sizes):
            _copy(engine, copies, size // SERVED)
            copies = size // SERVED
            shop.change()
            shop.sync()  # the first after that has nothing in memory
            runs[size] = measure("orders", CHANGED, shop.sync, repetitions, before=shop.change)
    return Ticks(runs)


@dataclass
class _Shop:
    """Blue Cherry's stand-in, and the store that follows it."""

    engine: Engine
    blue_cherry: str
    instance: dg.DagsterInstance
    definitions: dg.Definitions

    def __post_init__(self) -> None:
        self._minutes = count(1)
        self._changing: list[dict] = []

    def open(self) -> None:
        """Customers beside the orders, and all of them confirmed."""
        keys = [{"pkey": nth, "customer": f"{nth:08d}"} for nth in range(1, _CUSTOMERS + 1)]
        named = {"active_ok": "Y", "division": "100", "first_name": "Fern", "last_name": "Heath", "country": "GB"}
        self._write("customers", [{**key, **named, "email": f"fern.{key['pkey']}@example.com"} for key in keys])
        self._write("stores", [{**key, "store": "1", "default_ok": "Y", "country": "GB"} for key in keys])
        self._run()

    def change(self) -> None:
        """A minute later: the headers of other orders have changed."""
        self._control("clock", {"advance_seconds": 60})
        minute = next(self._minutes)
        begin = minute * CHANGED % SERVED
        changing = self._headers()[begin : begin + CHANGED]
        self._changing = [{**row, "ship_city": f"City {minute}"} for row in changing]
        self._write("orders", self._changing)

    def sync(self) -> None:
        """The run that is measured."""
        self._run()
        query = text(
            f"SELECT count(*) FROM {outbox.fullname} WHERE record_type = 'order' AND record_id = ANY(:numbers) "
            "AND state = 'confirmed' AND payload LIKE :city"
        )
        numbers = [row["ord_num"] for row in self._changing]
        with self.engine.connect() as connection:
            like = f"%{self._changing[0]['ship_city']}%"
            confirmed = connection.execute(query, {"numbers": numbers, "city": like}).scalar_one()
        if confirmed != CHANGED:
            raise RuntimeError(f"{confirmed} of {CHANGED} changed orders were confirmed")

    def _run(self) -> None:
        result = run_live_sync(self.definitions, self.instance)
        if not result.success:
            raise RuntimeError(f"the run failed: {'; '.join(failures(result))}")

    def _headers(self) -> list[dict]:
        url = f"{self.blue_cherry}/{stand_ins.TENANT}/{stand_ins.ENVIRONMENT}/orders"
        headers = {"Ocp-Apim-Subscription-Key": stand_ins.KEY}
        reply = httpx.get(url, headers=headers, params={"page_size": SERVED}).raise_for_status().json()
        rows = sorted(reply["value"], key=lambda row: row["pkey"])
        return [
            {name: value.strip() if isinstance(value, str) else value for name, value in row.items()}
            | {"last_mod": None}
            for row in rows
        ]

    def _write(self, resource: str, rows: Sequence[dict]) -> None:
        self._control("changes", [{"write": {"resource": resource, "row": row}} for row in rows])

    def _control(self, route: str, body: object) -> None:
        httpx.post(f"{self.blue_cherry}/_control/{route}", json=body, timeout=60).raise_for_status()


def _copy(engine: Engine, begin: int, end: int) -> None:
    """The copies from ``begin`` up to ``end`` of all that the store has of Blue Cherry's rows, and of each copied order
    an event that went."""
    copies = f"generate_series({begin}, {end - 1}) AS k"
    with engine.begin() as connection:
        for table, key in _COPIED.items():
            is_number = f"length({key}) = 8 AND {key} <= '{SERVED:08d}'"
            of_served = f"pkey < {_PKEYS}" if "pkey" in table.columns else is_number
            names = [column.name for column in table.columns]
            values = ", ".join(_value(table, name, key) for name in names)
            _insert(connection, table, names, f"SELECT {values} FROM {table.fullname} CROSS JOIN {copies}", of_served)
        _add_events(connection, begin * SERVED)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for table in (*_COPIED, order_events):
            connection.exec_driver_sql(f"VACUUM ANALYZE {table.fullname}")


def _value(table: Table, name: str, key: str) -> str:
    """A cell of a copy."""
    if name == key:
        return f"lpad(CAST(CAST({name} AS bigint) + k * {SERVED} AS text), 8, '0')"
    if name in ("pkey", "fkey"):
        return f"{name} + CAST(k AS bigint) * {_PKEYS}"
    if name in _TIMES:
        return f"{name} - k * interval '144 minutes'"
    return "k || email" if name == "email" and key == "customer" else name


def _add_events(connection: Connection, above: int) -> None:
    """An event that Ometria accepted, of each order with a number ``above`` that."""
    source = f"FROM {sales_orders.fullname} o JOIN {outbox.fullname} b ON b.record_id = o.ord_num"
    is_copy = f"b.record_type = 'order' AND o.ord_num > '{above:08d}'"
    event = {
        "record_id": "md5(o.ord_num)", "ord_num": "o.ord_num", "customer": "o.customer",
        "event_type": "'order_dispatched'", "covers": "''", "happened_at": "b.queued_at",
        "enters_until": "b.queued_at + interval '4 hours'",
    }  # fmt: skip
    _insert(connection, order_events, list(event), f"SELECT {', '.join(event.values())} {source}", is_copy)
    record = {
        "record_type": "'custom_event'", "record_id": "md5(o.ord_num)", "state": "'accepted'", "lane": "'events'",
        "wanted_version": "md5(o.ord_num)", "sent_version": "md5(o.ord_num)", "accepted_at": "b.accepted_at",
        "queued_at": "b.queued_at",
    }  # fmt: skip
    _insert(connection, outbox, list(record), f"SELECT {', '.join(record.values())} {source}", is_copy)


def _insert(connection: Connection, table: Table, names: Sequence[str], select: str, where: str) -> None:
    connection.exec_driver_sql(f"INSERT INTO {table.fullname} ({', '.join(names)}) {select} WHERE {where}")


@contextmanager
def _settings(engine: Engine, blue_cherry: str, ometria: str) -> Iterator[None]:
    """The environment of a run, for as long as the block lasts."""
    before = dict(os.environ)
    with tempfile.TemporaryDirectory() as rules:
        (Path(rules) / "ometria.yaml").write_text(_ACCOUNT)
        os.environ |= {
            "BLUE_CHERRY_BASE_URL": blue_cherry,
            "BLUE_CHERRY_TENANT": stand_ins.TENANT,
            "BLUE_CHERRY_ENVIRONMENT": stand_ins.ENVIRONMENT,
            "BLUE_CHERRY_API_KEY": stand_ins.KEY,
            "OMETRIA_BASE_URL": f"{ometria}/v2",
            "OMETRIA_API_KEY": stand_ins.KEY,
            "BC_OMETRIA_DATABASE_URL": engine.url.render_as_string(hide_password=False),
            "BC_OMETRIA_RULES": rules,
        }
        try:
            yield
        finally:
            os.environ.clear()
            os.environ.update(before)
