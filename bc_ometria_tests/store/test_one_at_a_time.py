"""A backfill beside the live sync: what one of them read earlier is never written later (truth 2, P20)."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import orjson
import pandas as pd
import pytest
from sqlalchemy import Connection, Engine, text

from bc_ometria.assets import ometria, sales
from bc_ometria.blue_cherry.profile import TenantProfile
from bc_ometria.rules import Rules
from bc_ometria.store import exceptions, stops, unsubscribes
from bc_ometria.store import sales as stored
from bc_ometria.store.database import one_at_a_time
from bc_ometria_tests.scenarios.shop import Shop, customer
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


def lock(connection: Connection, record_type: str, where: str) -> None:
    """Lock records of the outbox, as delivery does to write what became of them."""
    locked = text(f"SELECT FROM bc_ometria.outbox WHERE record_type = :type AND {where} FOR UPDATE")
    connection.execute(locked, {"type": record_type})


def test_mapping_and_delivery_lock_contacts_in_one_order(shop: Shop) -> None:
    """Delivery writes what became of two contacts while the second is mapped as one who opted out at Ometria."""
    shop.write("customers", customer("00000001"), customer("00000002"))
    shop.sync()
    shop.edit("customers", 1, first_name="Wilma")
    opt_out = unsubscribes.Unsubscribe("canary.00000002@example.com", "email", datetime.now(UTC))
    unsubscribes.put(shop.engine, [opt_out])
    with ThreadPoolExecutor(1) as thread:
        with shop.engine.begin() as delivering:
            lock(delivering, "contact", "record_id = '00000001'")
            syncing = thread.submit(shop.sync)
            until_waiting(shop.engine, 1)
            lock(delivering, "contact", "record_id = '00000002'")
        assert syncing.result(60).success


def test_mapping_and_delivery_lock_events_before_exceptions(shop: Shop) -> None:
    """Delivery holds an event, and reports it, while its order is cancelled, which withdraws it."""
    shop.write("customers", customer())
    shop.order(NUMBER)
    shop.sync()
    stops.pause(shop.engine, "events")
    shop.pick(NUMBER, {1: 2})
    shop.sync()
    shop.cancel(NUMBER, {1: 2})
    with ThreadPoolExecutor(1) as thread:
        with shop.engine.begin() as delivering:
            lock(delivering, "custom_event", "true")
            syncing = thread.submit(shop.sync)
            until_waiting(shop.engine, 1)
            exceptions.record(delivering, "custom_event", [], pd.DataFrame(columns=exceptions.FINDING))
        assert syncing.result(60).success
