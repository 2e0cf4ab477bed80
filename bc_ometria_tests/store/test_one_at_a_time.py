"""A backfill beside the live sync: what one of them read earlier is never written later (truth 2, P20)."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import orjson
import pytest
from sqlalchemy import Engine

from bc_ometria.assets import ometria, sales
from bc_ometria.blue_cherry.profile import TenantProfile
from bc_ometria.rules import Rules
from bc_ometria.store import sales as stored
from bc_ometria.store.database import one_at_a_time
from bc_ometria_tests.store.records import column
from bc_ometria_tests.store.rows import row, served_customers, table, until_waiting, write

NUMBER = "0000001042"


def meanwhile(engine: Engine, work: str, begin: Callable[[], Any], change: Callable[[], Any]) -> None:
    """Begin while another process is at the same work, and let the data change before that one is done."""
    with ThreadPoolExecutor(1) as thread:
        with one_at_a_time(engine, work):
            begun = thread.submit(begin)
            until_waiting(engine, 1)
            change()
        begun.result(60)


def assemble(engine: Engine) -> None:
    sales.assemble_orders(engine, [NUMBER], lambda numbers: None)


def status(engine: Engine) -> str:
    ((document,),) = table(engine, "sales_orders", "document")
    return orjson.loads(document)["header"]["ord_status"]


@pytest.mark.parametrize("begin", [assemble, lambda engine: sales.assemble_touched(engine, lambda numbers: None)])
def test_assembling(engine: Engine, begin: Callable[[Engine], Any]) -> None:
    write(engine, "orders", row("orders"))

    def change() -> None:
        write(engine, "orders", row("orders", minutes=1, ord_status="X"))

    meanwhile(engine, sales._ASSEMBLING, lambda: begin(engine), change)
    assert status(engine) == "X"


@pytest.mark.parametrize("by_name", [True, False])
def test_mapping_orders(engine: Engine, rules: Rules, profile: TenantProfile, by_name: bool) -> None:
    write(engine, "orders", row("orders"))
    assemble(engine)

    def begin() -> None:
        if by_name:
            ometria.queue_orders(engine, rules, profile, [NUMBER])
        else:
            ometria.queue_unmapped_orders(engine, rules, profile)

    def change() -> None:
        write(engine, "orders", row("orders", minutes=1, ord_type="S"))
        assemble(engine)

    meanwhile(engine, ometria._MAPPING_ORDERS, begin, change)
    assert column(engine, "state", NUMBER) == "excluded"
    assert stored.unmapped(engine, 1) == []


def test_mapping_contacts(engine: Engine, rules: Rules, profile: TenantProfile) -> None:
    write(engine, "customers", *served_customers("C0"))

    def change() -> None:
        (changed,) = served_customers("C0")
        write(engine, "customers", {**changed, "erased_ok": "Y"})

    meanwhile(
        engine,
        ometria._MAPPING_CONTACTS,
        lambda: ometria.queue_contacts(engine, rules, profile, ["C0"]),
        change,
    )
    assert column(engine, "state", "C0", "contact") == "excluded"


def test_different_work_does_not_wait(engine: Engine) -> None:
    write(engine, "orders", row("orders"))
    with one_at_a_time(engine, ometria._MAPPING_ORDERS), ThreadPoolExecutor(1) as thread:
        thread.submit(assemble, engine).result(60)
    assert status(engine) == "O"
