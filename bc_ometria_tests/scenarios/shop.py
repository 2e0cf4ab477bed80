"""A small retailer whose every row a test writes by hand, between real stand-ins and a real database."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import dagster as dg
import httpx
import pytest
from sqlalchemy import Engine, text

from bc_ometria.automation.once import run_bulk_delivery, run_catalogue_sync, run_live_sync
from bc_ometria.definitions import build_defs
from bc_ometria.rules import DEFAULT_FOLDER
from bc_ometria.sandbox.changes import Delete, Value, Write
from bc_ometria.sandbox.ometria import Settings
from bc_ometria.sandbox.running import Sandbox

Row = dict[str, Value]

OPENING = datetime.fromisoformat("2026-01-05T09:00:00+00:00")
"""A Monday in winter, when London's time is UTC. In the past, so that its partition exists on any machine."""
MONDAY, TUESDAY, WEDNESDAY = "2026-01-05", "2026-01-06", "2026-01-07"

RESOURCES = (
    "customers", "stores", "orders", "order-lines", "order-stages",
    "shipments", "shipment-lines", "returns", "return-lines",
)  # fmt: skip
"""What customers and orders are made of."""

CATALOGUE = ("styles", "style-colors", "sizes", "upcs")

STAGES = ("OP", "RS", "PK", "IN", "CC", "CH", "RT")
UNTIL_IT_LEAVES = ("PK", "RS", "OP")
"""The stages of a piece that is still in the warehouse, the last one first."""

ACCOUNT = """\
collection: bluecherry
discount_sign: positive
limits: {push_per_s: 1000, other_per_s: 1000, erasure_per_min: 1000, merge_per_min: 1000}
cliff_min: 10000000
history_after_h: 10000000
read_back_after: 0
read_back_until: 900
"""
"""An account whose plan sets no limit, that shows at once what it was sent, whose journeys take events of any age and
for which no change is history: the shop lives in the past."""


def customer(code: str = "00000001", **columns: Value) -> Row:
    """A customer who lacks nothing."""
    return {
        "pkey": int(code[1:]),
        "customer": code,
        "active_ok": "Y",
        "division": "100",
        "first_name": "Wilhelmina",
        "last_name": "Canary",
        "email": f"canary.{code}@example.com",
        "phone": f"+447700{code[-6:]}",
        "country": "GB",
        "email_ok": "Y",
        "sms_ok": "N",
        "consent_date": datetime(2025, 5, 1, 10),  # noqa: DTZ001 - Blue Cherry's times are naive local ones
        "create_date": datetime(2025, 5, 1, 10),  # noqa: DTZ001
        **columns,
    }


def header(number: str, total: str = "100.00", **columns: Value) -> Row:
    """The header of a web order of the customer 00000001."""
    return {
        "pkey": int(number),
        "ord_num": number,
        "division": "100",
        "customer": "00000001",
        "ord_status": "O",
        "ord_type": "W",
        "ord_date": datetime(2026, 1, 5, 8),  # noqa: DTZ001
        "currency": "GBP",
        "email": "canary.00000001@example.com",
        "first_name": "Wilhelmina",
        "last_name": "Canary",
        "phone": "+447700000001",
        "sub_total": Decimal(total),
        "ord_total": Decimal(total),
        **columns,
    }


def line(number: str, at: int = 1, pieces: int = 2, price: str = "50.00", **columns: Value) -> Row:
    """A line of an order, in one size."""
    return {
        "pkey": int(number) * 100 + at,
        "fkey": int(number),
        "ord_num": number,
        "line_num": at,
        "division": "100",
        "style": f"STYLE{at:03d}",
        "color_code": "NAV",
        "location": "0010",
        "unit_price": Decimal(price),
        "size03_qty": pieces,
        "total_qty": pieces,
        **columns,
    }


def stage(number: str, at: int = 1, pieces: int = 2, rec_type: str = "OP", **columns: Value) -> Row:
    """Where the pieces of that line are."""
    return {
        "pkey": int(number) * 1000 + at * 10 + STAGES.index(rec_type),
        "fkey": int(number) * 100 + at,
        "ord_num": number,
        "rec_type": rec_type,
        "location": "0010",
        "trans_date": datetime(2026, 1, 5, 8),  # noqa: DTZ001
        "size03_qty": pieces,
        "total_qty": pieces,
        **columns,
    }


def pieces_of(document: str, number: str, at: int, pieces: int, **columns: Value) -> Row:
    """The pieces of that line in a shipment or in a return."""
    return {
        "pkey": int(document) * 100 + at,
        "fkey": int(document),
        "ord_num": number,
        "line_num": at,
        "division": "100",
        "style": f"STYLE{at:03d}",
        "color_code": "NAV",
        "size03_qty": pieces,
        "total_qty": pieces,
        **columns,
    }


@dataclass(frozen=True)
class Told:
    """A custom event as Ometria was sent it."""

    id: str
    type: str
    at: str
    properties: dict[str, Any]

    @property
    def lines(self) -> list[tuple[str, str, str, int]]:
        """Product, size, colour and quantity of each line."""
        names = ("product", "size", "colour", "quantity")
        return [tuple(line[name] for name in names) for line in self.properties.get("lines", [])]


@dataclass
class Shop:
    """Blue Cherry and Ometria as servers, the database, and Dagster between them."""

    sandbox: Sandbox
    engine: Engine
    instance: dg.DagsterInstance
    rules_folder: Path

    def __post_init__(self) -> None:
        self.definitions = build_defs()
        self.catalogue_has_news = False

    # Blue Cherry

    def write(self, resource: str, *rows: Mapping[str, Value]) -> None:
        """Rows as Blue Cherry serves them from now on, stamped with its present."""
        self.sandbox.blue_cherry.apply(Write(resource, row) for row in rows)
        self.catalogue_has_news |= resource in CATALOGUE

    def delete(self, resource: str, *pkeys: int) -> None:
        """Rows that Blue Cherry serves no longer."""
        self.sandbox.blue_cherry.apply(Delete(resource, pkey) for pkey in pkeys)

    def raw(self, resource: str, row: Mapping[str, Value], **cells: Any) -> None:
        """A row with cells as no column of Blue Cherry should hold them; ``...`` leaves one out."""
        self.write(resource, row)
        url = f"{self.sandbox.blue_cherry_url}/SANDBOX/staging/{resource}"
        key = {"Ocp-Apim-Subscription-Key": self.sandbox.environment()["BLUE_CHERRY_API_KEY"]}
        served = httpx.get(url, headers=key, params={"page_size": 1000}).json()["value"]
        whole = next(each for each in served if each["pkey"] == row["pkey"]) | cells
        planted = {name: cell for name, cell in whole.items() if cell is not ...}
        self.sandbox.blue_cherry.raw(resource, int(str(row["pkey"])), json.dumps(planted))

    def order(self, number: str, *, pieces: Sequence[int] = (2,), **columns: Value) -> None:
        """A whole order, each line at 50.00 a piece."""
        self.write("orders", header(number, f"{50 * sum(pieces)}.00", **columns))
        self.write("order-lines", *(line(number, at, count) for at, count in enumerate(pieces, 1)))
        self.write("order-stages", *(stage(number, at, count) for at, count in enumerate(pieces, 1)))

    def edit(self, resource: str, pkey: int, **columns: Value) -> None:
        """A row as it was but for these columns."""
        (row,) = self.sandbox.blue_cherry.rows(resource, pkey=pkey)
        self.write(resource, {**row, "last_mod": None, **columns})

    def mark(self, number: str, **columns: Value) -> None:
        """The header of an order says something else."""
        self.edit("orders", int(number), **columns)

    def move(self, number: str, target: str, pieces: Mapping[int, int], sources: Sequence[str] = ()) -> None:
        """Book so many pieces of each line, by line number, to a stage, from the first of ``sources`` that has them.
        The row of a stage that falls to zero stays."""
        for at, count in pieces.items():
            rows = self.sandbox.blue_cherry.rows("order-stages", ord_num=number)
            held = {row["rec_type"]: row["total_qty"] for row in rows if row["fkey"] == int(number) * 100 + at}
            now = {target: held.get(target, 0) + count}
            if sources:
                source = next(name for name in sources if held.get(name, 0) >= count)
                now[source] = held[source] - count
            self.write(
                "order-stages", *(stage(number, at, left, name, trans_date=self.now) for name, left in now.items())
            )

    def reserve(self, number: str, pieces: Mapping[int, int]) -> None:
        self.move(number, "RS", pieces, ["OP"])

    def pick(self, number: str, pieces: Mapping[int, int]) -> None:
        self.move(number, "PK", pieces, ["RS", "OP"])

    def cancel(self, number: str, pieces: Mapping[int, int], by: str = "CC") -> None:
        """The customer (``CC``) or the house (``CH``) cancels so many pieces of each line."""
        self.move(number, by, pieces, ["OP", "RS", "PK"])

    def ship(self, number: str, parcel: str, pieces: Mapping[int, int], **columns: Value) -> None:
        """A parcel leaves: its documents, and its pieces invoiced."""
        self.move(number, "IN", pieces, UNTIL_IT_LEAVES)
        document = {"pkey": int(parcel), "ship_num": parcel, "ord_num": number, "division": "100", "location": "0010"}
        self.write("shipments", {**document, "ship_date": self.now, "ship_via": "DPD", **columns})
        self.write("shipment-lines", *(pieces_of(parcel, number, at, count) for at, count in pieces.items()))

    def void(self, number: str, parcel: str) -> None:
        """A parcel did not leave after all: its pieces are picked ones again."""
        rows = self.sandbox.blue_cherry.rows("shipment-lines", ord_num=number)
        pieces = {row["line_num"]: row["total_qty"] for row in rows if row["fkey"] == int(parcel)}
        self.edit("shipments", int(parcel), void_ok="Y")
        self.move(number, "PK", pieces, ["IN"])

    def refund(
        self, number: str, document: str, pieces: Mapping[int, int], reason: str = "FIT", price: int = 50
    ) -> None:
        """Pieces come back and are paid back: the documents, and the pieces counted as returned."""
        self.move(number, "RT", pieces)
        of_return = {"pkey": int(document), "ret_num": document, "ord_num": number, "division": "100"}
        total = Decimal(price * sum(pieces.values()))
        self.write("returns", {**of_return, "ret_date": self.now, "reason_code": reason, "refund_total": total})
        self.write(
            "return-lines",
            *(
                pieces_of(document, number, at, count, refund_amt=Decimal(price * count))
                for at, count in pieces.items()
            ),
        )

    def describe(self, *styles: str, division: str = "100") -> None:
        """Styles in the catalogue, in navy and in the sizes S, M and L."""
        keys = {"division": division}
        self.write("sizes", {"pkey": 1, "size_code": "SML", "sz02": "S", "sz03": "M", "sz04": "L"})
        for at, style in enumerate(styles, int(division)):
            self.write("styles", {"pkey": at, **keys, "style": style, "style_name": "Coat", "size_code": "SML"})
            colour = {"pkey": at, **keys, "style": style, "color_code": "NAV", "color_name": "Navy"}
            self.write("style-colors", colour)

    @property
    def now(self) -> datetime:
        """Blue Cherry's present: local time without an offset."""
        return self.sandbox.blue_cherry.now()

    def at(self, moment: str) -> None:
        """Set Blue Cherry's clock, as ``2026-01-06 10:00``."""
        self.sandbox.clock.set(datetime.fromisoformat(f"{moment}+00:00"))

    def fault(self, **fault: Any) -> None:
        """Have the next calls of Blue Cherry go wrong."""
        httpx.post(f"{self.sandbox.blue_cherry_url}/_control/faults", json=fault).raise_for_status()

    # Ometria

    @property
    def pushes(self) -> int:
        """The calls that Ometria was sent records with."""
        return self.sandbox.account.counts.pushes

    @property
    def pushed(self) -> list[str | None]:
        """The id of each record that was ever on the wire, in the order it was sent."""
        return [id for push in self.sandbox.account.pushes for id in push.ids]

    def orders(self) -> dict[str, dict[str, Any]]:
        """The orders that Ometria has."""
        account = self.sandbox.account
        account.settle()
        return {str(id): account.orders[id] for id in account.orders}

    def contacts(self) -> dict[str, dict[str, Any]]:
        """The contacts that Ometria has."""
        account = self.sandbox.account
        account.settle()
        return {str(id): shelf[id] for shelf in account.contacts.values() for id in shelf}

    def events(self, number: str) -> list[Told]:
        """The custom events that Ometria was sent of an order, as often and in the order in which they were."""
        account = self.sandbox.account
        account.settle()
        records = {id: held[-1].record for (_, id), held in account.events.items()}
        sent = [records[id] for push in account.pushes for id in push.ids if id in records]
        return [
            Told(each["id"], each["event_type"], each["timestamp"], each["properties"])
            for each in sent
            if each["properties"]["order"] == number
        ]

    def told(self, number: str) -> list[str]:
        """The types of these events."""
        return [event.type for event in self.events(number)]

    # Dagster and the database

    def sync(self) -> dg.ExecuteInProcessResult:
        """The live lane, once; before it the catalogue, if that was written."""
        if self.catalogue_has_news:
            self.sync_catalogue()
        return run_live_sync(self.definitions, self.instance)

    def sync_catalogue(self) -> dg.ExecuteInProcessResult:
        """The catalogue, once."""
        self.catalogue_has_news = False
        return run_catalogue_sync(self.definitions, self.instance)

    def check(self) -> dg.ExecuteInProcessResult:
        """All checks and nothing else, as once an hour."""
        return self.definitions.resolve_job_def("check_what_is_open").execute_in_process(instance=self.instance)

    def drain(self) -> dg.ExecuteInProcessResult:
        """What waits in the outbox, bulk too, once."""
        return run_bulk_delivery(self.definitions, self.instance)

    def redo(self, day: str, *groups: str) -> dg.ExecuteInProcessResult:
        """Materialise a whole ``change_day``, as a person does in the UI."""
        job = self.definitions.resolve_job_def("live_sync")
        chosen = dg.AssetSelection.groups(*(groups or ("blue_cherry", "sales", "ometria", "delivery")))
        keys = chosen.resolve(self.definitions.resolve_asset_graph())
        return job.execute_in_process(
            instance=self.instance,
            partition_key=day,
            asset_selection=sorted(keys),
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            raise_on_error=False,
        )

    def states(self, record_type: str = "order") -> dict[str, str]:
        """What the outbox says of each record: its state, and its reason where there is one."""
        with self.engine.connect() as connection:
            rows = connection.execute(
                text("SELECT record_id, state, reason FROM bc_ometria.outbox WHERE record_type = :type"),
                {"type": record_type},
            )
            return {row.record_id: f"{row.state}: {row.reason}" if row.reason else row.state for row in rows}

    def open_exceptions(self) -> set[tuple[str, str, str, str]]:
        """Code, record, field and detail of every exception that is open."""
        with self.engine.connect() as connection:
            rows = connection.execute(
                text("SELECT code, record_id, field, detail FROM bc_ometria.exceptions WHERE is_open")
            )
            return {tuple(row) for row in rows}

    def exceptions(self, code: str) -> list[dict[str, Any]]:
        """All exceptions of a code, open or closed, by record."""
        query = "SELECT * FROM bc_ometria.exceptions WHERE code = :code ORDER BY record_id, field"
        with self.engine.connect() as connection:
            return [dict(row) for row in connection.execute(text(query), {"code": code}).mappings()]

    def waiting_events(self, number: str) -> dict[str, str]:
        """The events of an order that Ometria was not sent, by type: their state, and their reason if any."""
        query = (
            "SELECT e.event_type, o.state, o.reason FROM bc_ometria.order_events e "
            "JOIN bc_ometria.outbox o ON o.record_type = 'custom_event' AND o.record_id = e.record_id "
            "WHERE e.ord_num = :number AND o.state NOT IN ('sent', 'accepted') ORDER BY e.at"
        )
        with self.engine.connect() as connection:
            rows = connection.execute(text(query), {"number": number})
            return {row.event_type: f"{row.state}: {row.reason}" if row.reason else row.state for row in rows}

    def change(self, statement: str, **values: Any) -> None:
        """Change the database by hand, to have something be older than it is."""
        with self.engine.begin() as connection:
            connection.execute(text(statement), values)

    def let_pass(self, hours: float) -> None:
        """Every open exception is so many hours older."""
        self.change(
            "UPDATE bc_ometria.exceptions SET first_seen = first_seen - make_interval(secs => :seconds) WHERE is_open",
            seconds=3600 * hours,
        )

    def rule(self, file: str, section: str, **codes: str) -> None:
        """Add codes to a rules file in force, below a key of it; at its end, where ``section`` is blank."""
        path = self.rules_folder / file
        known = (path if path.exists() else DEFAULT_FOLDER / file).read_text()
        indent = "  " if section else ""
        added = "".join(f"{indent}{code}: {rule}\n" for code, rule in codes.items())
        path.write_text(known.replace(f"{section}:\n", f"{section}:\n{added}", 1) if section else known + added)

    def map_status(self, **codes: str) -> None:
        """Add codes of ``ord_status`` to the rules in force."""
        self.rule("statuses.yaml", "ord_status", **codes)


def empty(sandbox: Sandbox) -> None:
    """Take all customers, orders and products out of both systems, as on the day the shop opens."""
    sandbox.clock.set(OPENING)
    sandbox.blue_cherry.ahead = timedelta()
    sandbox.account.settings = Settings(limits=False)
    sandbox.account.reset()
    for resource in (*RESOURCES, *CATALOGUE):
        rows = list(sandbox.blue_cherry.rows(resource))
        sandbox.blue_cherry.apply(Delete(resource, row["pkey"]) for row in rows)
    httpx.delete(f"{sandbox.blue_cherry_url}/_control/faults").raise_for_status()


def opened(
    sandbox: Sandbox, engine: Engine, folder: Path, monkeypatch: pytest.MonkeyPatch, instance: dg.DagsterInstance
) -> Shop:
    """A shop without customers and orders, and the environment that points the project at it."""
    folder.mkdir()
    (folder / "ometria.yaml").write_text(ACCOUNT)
    for name, value in sandbox.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("BC_OMETRIA_DATABASE_URL", engine.url.render_as_string(hide_password=False))
    monkeypatch.setenv("BC_OMETRIA_RULES", str(folder))
    empty(sandbox)
    return Shop(sandbox, engine, instance, folder)


def causes(result: dg.ExecuteInProcessResult) -> dict[str, str]:
    """The failed steps, each with the words of the error that caused it."""
    from bc_ometria.automation.once import failures

    return dict(text.split(": ", 1) for text in failures(result))


def evaluations(result: dg.ExecuteInProcessResult) -> dict[str, dg.AssetCheckEvaluation]:
    """What each check said, by ``asset/key:check``."""
    return {
        f"{each.asset_key.to_user_string()}:{each.check_name}": each for each in result.get_asset_check_evaluations()
    }


def table(evaluation: dg.AssetCheckEvaluation, name: str) -> list[dict[str, Any]]:
    """The rows of a table in a check's metadata."""
    value = evaluation.metadata[name]
    assert isinstance(value, dg.TableMetadataValue)
    return [dict(record.data) for record in value.records]


def metadata(result: dg.ExecuteInProcessResult, *key: str) -> dict[str, Any]:
    """What the materialisation of an asset reported."""
    events = [event.materialization for event in result.get_asset_materialization_events()]
    (materialization,) = (each for each in events if each.asset_key == dg.AssetKey(key))
    return {name: value.value for name, value in materialization.metadata.items()}


def everything_dagster_keeps(instance: dg.DagsterInstance, run_ids: Collection[str]) -> str:
    """All events of some runs, and the runs themselves, as the text that Dagster's database keeps."""
    from dagster._serdes import serialize_value

    kept = [serialize_value(instance.get_run_by_id(run_id)) for run_id in run_ids]
    for run_id in run_ids:
        kept += [serialize_value(entry) for entry in instance.all_logs(run_id)]
    return "\n".join(kept)
