"""A small retailer whose every row a test writes by hand, between real stand-ins and a real database."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import dagster as dg
import httpx
import pytest
from sqlalchemy import Engine, text

from bc_ometria.automation.once import run_live_sync
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

ACCOUNT = """\
collection: bluecherry
discount_sign: positive
limits: {push_per_s: 1000, other_per_s: 1000, erasure_per_min: 1000, merge_per_min: 1000}
read_back_after: 0
read_back_until: 900
"""
"""An account whose plan sets no limit and that shows at once what it was sent."""


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
        "pkey": int(number) * 1000 + at * 10 + ("OP", "PK", "IN", "CC", "CH").index(rec_type),
        "fkey": int(number) * 100 + at,
        "ord_num": number,
        "rec_type": rec_type,
        "location": "0010",
        "trans_date": datetime(2026, 1, 5, 8),  # noqa: DTZ001
        "size03_qty": pieces,
        "total_qty": pieces,
        **columns,
    }


@dataclass
class Shop:
    """Blue Cherry and Ometria as servers, the database, and Dagster between them."""

    sandbox: Sandbox
    engine: Engine
    instance: dg.DagsterInstance
    rules_folder: Path

    def __post_init__(self) -> None:
        self.definitions = build_defs()

    # Blue Cherry

    def write(self, resource: str, *rows: Mapping[str, Value]) -> None:
        """Rows as Blue Cherry serves them from now on, stamped with its present."""
        self.sandbox.blue_cherry.apply(Write(resource, row) for row in rows)

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

    # Dagster and the database

    def sync(self) -> dg.ExecuteInProcessResult:
        """The live lane, once."""
        return run_live_sync(self.definitions, self.instance)

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

    def map_status(self, **codes: str) -> None:
        """Add codes of ``ord_status`` to the rules in force."""
        known = (DEFAULT_FOLDER / "statuses.yaml").read_text()
        added = "".join(f"  {code}: {rule}\n" for code, rule in codes.items())
        (self.rules_folder / "statuses.yaml").write_text(known.replace("ord_status:\n", f"ord_status:\n{added}"))


def empty(sandbox: Sandbox) -> None:
    """Take all customers and orders out of both systems, as on the day the shop opens."""
    sandbox.clock.set(OPENING)
    sandbox.account.settings = Settings(limits=False)
    sandbox.account.reset()
    for resource in RESOURCES:
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
    (event,) = result.asset_materializations_for_node("__".join(key))
    return {name: value.value for name, value in event.metadata.items()}


def everything_dagster_keeps(instance: dg.DagsterInstance, run_ids: Collection[str]) -> str:
    """All events of some runs, and the runs themselves, as the text that Dagster's database keeps."""
    from dagster._serdes import serialize_value

    kept = [serialize_value(instance.get_run_by_id(run_id)) for run_id in run_ids]
    for run_id in run_ids:
        kept += [serialize_value(entry) for entry in instance.all_logs(run_id)]
    return "\n".join(kept)
