"""Blue Cherry rows on their way into the mirror."""

import time
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Engine, text

from bc_ometria.blue_cherry.rows import TypedRows, typed_rows
from bc_ometria.sandbox.changes import Value
from bc_ometria.store import mirror
from bc_ometria.store.mirror import Written
from bc_ometria.store.schema import SCHEMA
from bc_ometria_tests.blue_cherry.tenant import AT, LINE, ORDER, PROFILE, served

_GOODS = {name: LINE[name] for name in ("division", "style", "color_code")}

EXAMPLES: dict[str, dict[str, Value]] = {
    "orders": ORDER,
    "order_lines": LINE,
    "styles": {"division": _GOODS["division"], "style": _GOODS["style"], "size_code": "EU", "currency": "GBP"},
    "style_colors": _GOODS | {"color_name": "Black"},
    "sizes": {"size_code": "EU", "sz03": "36", "sz05": "40"},
    "upcs": _GOODS | {"bucket": 3, "upc": "5012345678900"},
}
"""An order, its line of two sizes, and what the catalogue says about that."""


def later(minutes: int) -> datetime:
    return AT + timedelta(minutes=minutes)


def row(resource: str, pkey: int = 7, *, minutes: int = 0, spoilt: dict[str, Any] | None = None, **values: Any) -> dict:
    """An example row as it is served; ``spoilt`` cells are put in as they are."""
    return served(
        resource, {**EXAMPLES[resource], "pkey": pkey, "last_mod": later(minutes), **values}, **(spoilt or {})
    )


def typed(resource: str, *rows: dict) -> TypedRows:
    return typed_rows(resource, rows, PROFILE)


def write(engine: Engine, resource: str, *rows: dict, moves: bool = False, all_of: Iterable[str] = ()) -> Written:
    found = typed(resource, *rows)
    return mirror.write(engine, resource, found.frame, found.held, moves_watermark=moves, all_rows_of=all_of)


def touched_since(engine: Engine) -> list[str]:
    """The keys touched since the last time this was asked, without their kind where it is an order."""
    with engine.begin() as connection:
        found = connection.execute(text(f"DELETE FROM {SCHEMA}.touched RETURNING kind, key")).all()
    return sorted(key if kind == "order" else f"{kind} {key}" for kind, key in found)


def table(engine: Engine, name: str, columns: str, order: str = "1") -> list[tuple]:
    with engine.connect() as connection:
        found = connection.execute(text(f"SELECT {columns} FROM {SCHEMA}.{name} ORDER BY {order}"))
        return [tuple(each) for each in found]


def until_waiting(engine: Engine, processes: int) -> None:
    """Return as soon as so many others wait for a lock."""
    deadline = time.monotonic() + 60
    waiting = 0
    while waiting < processes:
        assert time.monotonic() < deadline
        with engine.connect() as connection:
            waiting = connection.execute(text("SELECT count(*) FROM pg_locks WHERE NOT granted")).scalar_one()


def served_customers(*customers: str) -> list[dict]:
    return [
        served("customers", {"pkey": pkey, "last_mod": AT, "customer": customer})
        for pkey, customer in enumerate(customers)
    ]
