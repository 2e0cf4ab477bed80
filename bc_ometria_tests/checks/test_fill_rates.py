"""P12: the fill rate of an attribute falls in one division, against its trailing weeks, and people see it."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from sqlalchemy import Engine, Text, insert

from bc_ometria.checks.fill_rates import checks
from bc_ometria.store.schema import MIRROR, watermarks
from bc_ometria_tests.checks.evaluating import evaluate, override, rows

NOW = datetime(2026, 1, 5, 12)  # noqa: DTZ001 - the tenant's local time
CONTACTS, ORDERS = "ometria/contacts:fill_rates_hold", "ometria/orders:fill_rates_hold"
WARN, ERROR = dg.AssetCheckSeverity.WARN, dg.AssetCheckSeverity.ERROR


@pytest.fixture(autouse=True)
def _thresholds(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    override(
        monkeypatch, tmp_path, "thresholds", fill_rates={"days": 7, "weeks": 4, "least": 10, "warn": 5, "fail": 20}
    )


_PKEYS = count(1)


def mirror(engine: Engine, resource: str, rows: Sequence[dict[str, Any]]) -> None:
    """Rows of the mirror as they were last seen; what they do not name is blank."""
    table = MIRROR[resource]
    blank = {column.name: "" if isinstance(column.type, Text) else 0 for column in table.columns if not column.nullable}
    with engine.begin() as connection:
        connection.execute(insert(table), [{**blank, **row, "pkey": next(_PKEYS)} for row in rows])


def read_until(engine: Engine, resource: str, stamp: datetime = NOW) -> None:
    with engine.begin() as connection:
        connection.execute(insert(watermarks).values(resource=resource, stamp=stamp))


def customers(number: int, days: float, prefix: str = "", **columns: Any) -> list[dict[str, Any]]:
    """Customers who lack nothing else, changed so many days ago."""
    whole = {
        "division": "100",
        "email": "somebody@example.com",
        "phone": "1",
        "country": "GB",
        "birth_date": NOW,
        "email_ok": "N",
        "last_mod": NOW - timedelta(days=days),
    }
    return [{**whole, "customer": f"{prefix}{n:08d}", **columns} for n in range(number)]


def verdict(engine: Engine, key: str = CONTACTS) -> dg.AssetCheckSeverity | None:
    """``None`` where the check passes."""
    found = evaluate(engine, checks, key)
    return None if found.passed else found.severity


def test_before_anything_was_read_nothing_fell(engine: Engine) -> None:
    assert verdict(engine, CONTACTS) is None
    assert verdict(engine, ORDERS) is None


def test_a_rate_that_fell_names_division_attribute_number_and_masked_examples(engine: Engine) -> None:
    read_until(engine, "customers")
    mirror(engine, "customers", customers(40, 20))
    mirror(engine, "customers", customers(20, 20, division="200"))
    mirror(engine, "customers", customers(15, 2, "1", email_ok="Y"))
    mirror(engine, "customers", customers(5, 1, "2", email_ok="", email=""))
    mirror(engine, "customers", customers(20, 2, "3", division="200"))
    found = evaluate(engine, checks, CONTACTS)
    assert (found.passed, found.severity) == (False, ERROR)
    assert set(found.description.split("; ")) == {  # type: ignore[union-attr]
        "consent of division 100 fell from 100 % to 75 %",
        "email of division 100 fell from 100 % to 75 %",
    }
    fallen = {row["attribute"]: row for row in rows(found, "fallen")}
    shown = fallen["email"].pop("examples").split(", ")
    assert fallen["email"] == {
        "division": "100",
        "attribute": "email",
        "now": "75.0 %",
        "before": "100.0 %",
        "rows": 20,
        "fell by": 25.0,
        "rows without": 5,
    }
    assert sorted(shown) == [f"…{n:04d}" for n in range(5)]
    assert "2000000" not in repr(found)
    assert len(rows(found, "fill_rates")) == 10


@pytest.mark.parametrize(("without", "severity"), [(0, None), (4, None), (5, WARN), (19, WARN), (20, ERROR)])
def test_how_far_it_fell_decides(engine: Engine, without: int, severity: dg.AssetCheckSeverity | None) -> None:
    read_until(engine, "customers")
    mirror(engine, "customers", customers(10, 20))
    mirror(engine, "customers", customers(100 - without, 1, "1"))
    if without:
        mirror(engine, "customers", customers(without, 1, "2", phone=""))
    assert verdict(engine) is severity


def test_current_rates_are_shown_where_all_is_well(engine: Engine) -> None:
    read_until(engine, "customers")
    mirror(engine, "customers", customers(10, 20, birth_date=None))
    mirror(engine, "customers", customers(10, 1, "1", birth_date=None))
    found = evaluate(engine, checks, CONTACTS)
    assert found.passed
    assert found.description == "No fill rate fell."
    assert {row["attribute"]: (row["now"], row["before"]) for row in rows(found, "fill_rates")} == {
        "birth_date": ("0.0 %", "0.0 %"),
        **dict.fromkeys(("consent", "country", "email", "phone"), ("100.0 %", "100.0 %")),
    }


def test_few_rows_a_new_division_and_what_was_long_ago_tell_nothing(engine: Engine) -> None:
    read_until(engine, "customers")
    mirror(engine, "customers", customers(40, 20))
    mirror(engine, "customers", customers(9, 1, "1", email=""))
    mirror(engine, "customers", customers(40, 1, "2", email="", division="200"))
    mirror(engine, "customers", customers(40, 7 + 28 + 1, "3", division="200"))
    assert verdict(engine) is None
    mirror(engine, "customers", customers(1, 6.9, "4", email=""))
    assert verdict(engine) is ERROR


def test_now_is_the_tenants_clock(engine: Engine) -> None:
    """Not this machine's: a store that was not fed for a month compares its last days all the same."""
    read_until(engine, "customers", NOW - timedelta(days=100))
    mirror(engine, "customers", customers(20, 120))
    mirror(engine, "customers", customers(20, 101, "1", email=""))
    assert verdict(engine) is ERROR


def test_the_country_may_stand_in_the_default_address(engine: Engine) -> None:
    read_until(engine, "customers")
    mirror(engine, "customers", customers(20, 20))
    mirror(engine, "customers", customers(20, 1, "1", country=""))
    assert verdict(engine) is ERROR
    address = {"last_mod": NOW, "default_ok": "Y", "active_ok": "Y", "country": "IE"}
    mirror(engine, "addresses", [{**address, "customer": f"1{n:08d}", "default_ok": "N"} for n in range(20)])
    assert verdict(engine) is ERROR
    mirror(engine, "addresses", [{**address, "customer": f"1{n:08d}"} for n in range(20)])
    assert verdict(engine) is None


def test_erased_customers_do_not_count(engine: Engine) -> None:
    read_until(engine, "customers")
    mirror(engine, "customers", customers(20, 20))
    mirror(engine, "customers", customers(20, 1, "1", email="", phone="", erased_ok="Y"))
    assert verdict(engine) is None


def test_orders_are_shown_by_their_number(engine: Engine) -> None:
    def orders(number: int, days: float, prefix: str, email: str) -> list[dict[str, Any]]:
        stamp = NOW - timedelta(days=days)
        return [
            {"ord_num": f"{prefix}{n:03d}", "division": "100", "email": email, "phone": "1", "last_mod": stamp}
            for n in range(number)
        ]

    read_until(engine, "orders")
    mirror(engine, "orders", orders(20, 20, "1", "somebody@example.com"))
    mirror(engine, "orders", orders(19, 1, "2", "somebody@example.com"))
    mirror(engine, "orders", orders(1, 1, "3", ""))
    found = evaluate(engine, checks, ORDERS)
    assert (found.passed, found.severity) == (False, WARN)
    (row,) = rows(found, "fallen")
    assert (row["attribute"], row["rows without"], row["examples"]) == ("email", 1, "3000")
