"""Truth 9: nothing personal and no key reaches Dagster, whatever goes wrong. Its database keeps all events."""

from typing import Any

import pytest
from sqlalchemy import text

from bc_ometria.sandbox.ometria.faults import Fault
from bc_ometria_tests.scenarios.shop import (
    Shop,
    causes,
    customer,
    everything_dagster_keeps,
    header,
    line,
)

PERSONAL = {"canary", "wilhelmina", "7700900123", "swordfish", "SW1Y"}
"""What a person is known by, in any spelling; the tests plant nothing else that holds these letters, and
none stands in a run's id by chance."""

KEYS = {"sandbox-blue-cherry-key", "sandbox-ometria-key"}


def _person(code: str, **columns: Any) -> dict[str, Any]:
    return customer(code, **{"phone": "07700900123", "loyalty_num": "SWORDFISH-1", **columns})


def _personal(kept: str) -> set[str]:
    return {word for word in PERSONAL | KEYS if word.lower() in kept.lower()}


def test_nothing_personal_reaches_dagster_when_all_goes_well_and_when_rows_are_bad(shop: Shop) -> None:
    """Held rows, held records, reported attributes, refused records and drift, in one run each."""
    shop.write(
        "customers",
        _person("00000001"),
        _person("00000002", email="canary and no address"),
        _person("00000003", email=""),
        _person("00000004", phone="canary 12"),
        _person("00000005", last_name="Canary " * 12),
    )
    shop.raw("customers", _person("00000006"), birth_date="canary-1985", email=7700900123)
    shop.write(
        "stores", {"pkey": 1, "customer": "00000001", "store": "000001", "zipcode": "SW1Y 9ZZ", "default_ok": "Y"}
    )
    shop.order("0000001001", ship_zipcode="SW1Y 9ZZ", ship_city="Canary Wharf")
    shop.order("0000001002", ord_status="Q7")
    shop.order("0000001003", email="canary@", first_name="Wilhelmina " * 9)
    shop.raw("orders", header("0000001004"), ord_date="canary", ord_total="7700900123 canary", ord_status="wilhelmina")
    shop.raw("order-lines", line("0000001004"), size03_qty="canary", color_code="wilhelmina")
    account = shop.sandbox.account
    account.settings = account.settings.changed({"error_shape": "observed"})
    refused = Fault(kind="reject_ids", ids=frozenset({"00000001", "0000001001"}), calls=None)
    account.faults.arm(refused)
    runs = [shop.sync(), shop.sync()]
    assert all(run.success for run in runs)
    assert set(shop.states().values()) == {"held: rejected", "held: unmapped_status", "held: invalid_field"}
    assert _personal(everything_dagster_keeps(shop.instance, [run.run_id for run in runs])) == set()


@pytest.mark.parametrize("kind", ["html", "missing_column"])
def test_nothing_personal_stands_in_the_error_of_a_border(shop: Shop, kind: str) -> None:
    shop.write("customers", _person("00000001"))
    shop.order("0000001001")
    shop.fault(kind=kind, resource="customers", column="email")
    run = shop.redo("2026-01-05", "blue_cherry")
    assert not run.success
    assert _personal(everything_dagster_keeps(shop.instance, [run.run_id])) == set()


@pytest.mark.parametrize(
    ("table", "refuses"),
    [
        ("blue_cherry_customers", "email LIKE 'canary%'"),
        ("sales_orders", "document LIKE '%canary%'"),
        ("outbox", "payload LIKE '%canary%'"),
    ],
)
def test_nothing_personal_stands_in_an_error_of_the_database(shop: Shop, table: str, refuses: str) -> None:
    """PostgreSQL quotes the whole row that it cannot write, and SQLAlchemy the parameters of the statement."""
    with shop.engine.begin() as connection:
        connection.execute(text(f"ALTER TABLE bc_ometria.{table} ADD CONSTRAINT full_disk CHECK (NOT ({refuses}))"))
    shop.write("customers", _person("00000001"))
    shop.order("0000001001")
    run = shop.sync()
    assert "full_disk" in " ".join(causes(run).values())
    assert _personal(everything_dagster_keeps(shop.instance, [run.run_id])) == set()


def test_nothing_personal_stands_in_an_error_while_rows_are_copied(shop: Shop) -> None:
    """A line of COPY that PostgreSQL cannot take is quoted in the error's context."""
    with shop.engine.begin() as connection:
        connection.execute(text("ALTER TABLE bc_ometria.blue_cherry_customers ALTER COLUMN email TYPE varchar(5)"))
    shop.write("customers", _person("00000001"))
    run = shop.sync()
    assert "value too long" in " ".join(causes(run).values())
    assert _personal(everything_dagster_keeps(shop.instance, [run.run_id])) == set()
