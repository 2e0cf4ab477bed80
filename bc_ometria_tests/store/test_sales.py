"""Assembled orders, and which of their versions the outbox knows."""

from datetime import datetime

import pandas as pd
from sqlalchemy import Engine

from bc_ometria.store import sales, touched
from bc_ometria_tests.blue_cherry.tenant import AT
from bc_ometria_tests.store.rows import later, row, served_customers, table, touched_since, write

NOTHING = touched.Touched("order", [], [])


def put(engine: Engine, *orders: tuple[str, str], at: datetime | None = AT, done: touched.Touched = NOTHING) -> int:
    """Orders as number and version."""
    assembled = pd.DataFrame(list(orders), columns=["ord_num", "version"]).assign(
        document=[f'{{"ord_num":"{number}","name":"Zoë, \\"{version}\\""}}'.encode() for number, version in orders],
        customer="C1",
        changed_at=pd.Series([at] * len(orders), dtype="datetime64[us]"),
        placed_at=pd.Series([AT] * len(orders), dtype="datetime64[us]"),
    )
    return sales.put(engine, assembled, done)


def mark(engine: Engine, documents: pd.DataFrame) -> None:
    with engine.begin() as connection:
        sales.mark_mapped(connection, documents)


def map_all(engine: Engine) -> None:
    mark(engine, sales.documents(engine, sales.unmapped(engine, 100)))


def test_a_new_order_and_a_new_version_wait_to_be_mapped_and_an_old_one_does_not(engine: Engine) -> None:
    assert put(engine, ("1", "A"), ("2", "A")) == 2
    assert sales.unmapped(engine, 1) == ["1"]
    assert sales.unmapped(engine, 10, after="1") == ["2"]
    documents = sales.documents(engine, ["1", "2", "3"]).set_index("ord_num").sort_index()
    assert documents["version"].tolist() == ["A", "A"]
    assert documents.loc["1", "document"] == '{"ord_num":"1","name":"Zoë, \\"A\\""}'
    assert documents["changed_at"].tolist() == [AT, AT]
    map_all(engine)
    assert sales.unmapped(engine, 10) == []
    assert put(engine, ("1", "A"), ("2", "B")) == 1
    assert sales.unmapped(engine, 10) == ["2"]


def test_a_stamp_that_alone_moved_is_stored_and_not_mapped_again(engine: Engine) -> None:
    put(engine, ("1", "A"))
    map_all(engine)
    put(engine, ("1", "A"), at=later(7))
    assert sales.unmapped(engine, 10) == []
    assert sales.documents(engine, ["1"])["changed_at"].tolist() == [later(7)]
    put(engine, ("1", "A"), at=None)
    assert sales.documents(engine, ["1"])["changed_at"].isna().all()


def test_an_order_that_changes_between_reading_and_marking_is_mapped_again(engine: Engine) -> None:
    put(engine, ("1", "A"), ("2", "A"))
    read = sales.documents(engine, ["1", "2"])
    put(engine, ("1", "B"))
    mark(engine, read)
    assert sales.unmapped(engine, 10) == ["1"]
    assert sales.documents(engine, ["1"])["version"].tolist() == ["B"]


def test_assembled_orders_settle_what_touched_them(engine: Engine) -> None:
    write(engine, "orders", row("orders"))
    write(engine, "orders", row("orders", 8, ord_num="0000001043"))
    put(engine, ("0000001042", "A"), done=touched.of(engine, "order", ["0000001042"]))
    assert touched_since(engine) == ["0000001043"]


def test_orders_of_a_customer_are_mapped_again(engine: Engine) -> None:
    put(engine, ("1", "A"))
    map_all(engine)
    with engine.begin() as connection:
        sales.map_again(connection, ["C2"])
    assert sales.unmapped(engine, 10) == []
    with engine.begin() as connection:
        sales.map_again(connection, ["C1"])
    assert sales.unmapped(engine, 10) == ["1"]


def test_new_rules_have_everything_mapped_again_once(engine: Engine) -> None:
    """P13: mapping a code re-evaluates the records that wait for it by itself."""
    assert sales.rules_are_applied(engine, "rules 1")  # nothing was ever mapped with others
    assert not sales.apply_rules(engine, "rules 1")
    put(engine, ("1", "A"))
    map_all(engine)
    write(engine, "customers", *served_customers("C1", "C2"))
    touched_since(engine)
    assert not sales.apply_rules(engine, "rules 1")
    assert (sales.unmapped(engine, 10), touched_since(engine)) == ([], [])
    assert not sales.rules_are_applied(engine, "rules 2")
    assert sales.apply_rules(engine, "rules 2")
    assert sales.unmapped(engine, 10) == ["1"]
    assert touched_since(engine) == ["customer C1", "customer C2"]
    map_all(engine)
    assert sales.rules_are_applied(engine, "rules 2")
    assert not sales.apply_rules(engine, "rules 2")
    assert sales.unmapped(engine, 10) == []
    assert table(engine, "rules_in_force", "version") == [("rules 2",)]
