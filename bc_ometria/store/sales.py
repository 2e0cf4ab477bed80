"""Assembled orders: one document per order, and which of its versions the outbox knows."""

from collections.abc import Iterable, Sequence

import pandas as pd
from sqlalchemy import Column, Connection, Engine, text

from bc_ometria.store import vanished
from bc_ometria.store.copy import copy_in, copy_out, temporary_keys, temporary_like
from bc_ometria.store.schema import rules_in_force, sales_orders, touched
from bc_ometria.store.touched import Touched, settle

_COLUMNS = ["ord_num", "document", "version", "customer", "changed_at", "placed_at"]


def put(engine: Engine, assembled: pd.DataFrame, done: Touched, gone: Sequence[str] = ()) -> int:
    """Write assembled orders and settle what touched them, in one transaction; returns how many are new.

    ``assembled`` has the columns ``ord_num``, ``document`` (JSON bytes), ``version``, ``customer``,
    ``changed_at`` and ``placed_at`` (the tenant's local time). Orders that are ``gone`` stay as they were last known,
    and are noted in ``vanished_orders``; one that is there again is taken out.
    """
    changes = ", ".join(f"{name} = excluded.{name}" for name in _COLUMNS[1:])
    names = ", ".join(_COLUMNS)
    with engine.begin() as connection:
        temporary_like(connection, sales_orders, "assembled", _COLUMNS)
        copy_in(connection, "assembled", sales_orders, assembled[_COLUMNS])
        written = connection.execute(
            text(
                f"INSERT INTO {sales_orders.fullname} AS o ({names}, seen_at) "
                f"SELECT {names}, coalesce(t.seen_at, now()) FROM assembled a "
                f"LEFT JOIN {touched.fullname} t ON t.kind = 'order' AND t.key = a.ord_num ORDER BY ord_num "
                f"ON CONFLICT (ord_num) DO UPDATE SET {changes}, seen_at = excluded.seen_at, assembled_at = now() "
                "WHERE o.version <> excluded.version OR o.changed_at IS DISTINCT FROM excluded.changed_at"
            )
        ).rowcount
        vanished.forget(connection, assembled["ord_num"].tolist())
        written += vanished.note(connection, gone)
        settle(connection, done)
    return written


def is_any_known(engine: Engine) -> bool:
    """Whether an order was ever assembled."""
    with engine.connect() as connection:
        return connection.execute(text(f"SELECT EXISTS (SELECT FROM {sales_orders.fullname})")).scalar_one()


def unmapped(engine: Engine, limit: int, *, after: str = "") -> list[str]:
    """The next orders behind ``after`` whose newest version the outbox does not know."""
    with engine.connect() as connection:
        return list(
            connection.execute(
                text(
                    f"SELECT ord_num FROM {sales_orders.fullname} WHERE mapped_version IS DISTINCT FROM version "
                    "AND ord_num > :after ORDER BY ord_num LIMIT :limit"
                ),
                {"limit": limit, "after": after},
            ).scalars()
        )


def documents(engine: Engine, order_numbers: Iterable[str]) -> pd.DataFrame:
    """The documents of the named orders: columns ``ord_num``, ``document``, ``version``, ``changed_at``."""
    columns: list[Column] = [sales_orders.columns[name] for name in ("ord_num", "document", "version", "changed_at")]
    names = ", ".join(f"o.{column.name}" for column in columns)
    with engine.begin() as connection:
        keys = temporary_keys(connection, order_numbers)
        return copy_out(
            connection,
            f"SELECT {names} FROM {sales_orders.fullname} o JOIN {keys} k ON o.ord_num = k.key",
            columns,
        )


def mark_mapped(connection: Connection, mapped: pd.DataFrame) -> None:
    """Say that the outbox knows these versions: columns ``ord_num`` and ``version``."""
    temporary_like(connection, sales_orders, "mapped", ["ord_num", "version"])
    copy_in(connection, "mapped", sales_orders, mapped[["ord_num", "version"]])
    connection.exec_driver_sql(
        f"UPDATE {sales_orders.fullname} o SET mapped_version = m.version FROM mapped m "
        "WHERE o.ord_num = m.ord_num AND o.mapped_version IS DISTINCT FROM m.version"
    )


def map_again(connection: Connection, customers: Iterable[str]) -> None:
    """Have the orders of these customers mapped again."""
    connection.execute(
        text(f"UPDATE {sales_orders.fullname} SET mapped_version = NULL WHERE customer = ANY(:customers)"),
        {"customers": list(customers)},
    )


def rules_are_applied(engine: Engine, version: str) -> bool:
    """Whether every record was last mapped with these rules."""
    with engine.connect() as connection:
        known = connection.execute(text(f"SELECT version FROM {rules_in_force.fullname}"))
        return known.scalar_one_or_none() in (version, None)


def apply_rules(engine: Engine, version: str) -> bool:
    """Have everything mapped again if the rules changed since the last time; returns whether they did.

    What comes out as before is not sent again, because its version is the same.
    """
    with engine.begin() as connection:
        known = connection.execute(text(f"SELECT version FROM {rules_in_force.fullname}")).scalar_one_or_none()
        if known == version:
            return False
        connection.execute(text(f"UPDATE {sales_orders.fullname} SET mapped_version = NULL"))
        connection.exec_driver_sql(
            "INSERT INTO bc_ometria.touched (kind, key) SELECT DISTINCT 'customer', customer "
            "FROM bc_ometria.blue_cherry_customers ON CONFLICT (kind, key) DO UPDATE SET at = DEFAULT, seen_at = now()"
        )
        connection.execute(
            text(
                f"INSERT INTO {rules_in_force.fullname} (version) VALUES (:version) "
                "ON CONFLICT (only_row) DO UPDATE SET version = excluded.version"
            ),
            {"version": version},
        )
    return known is not None
