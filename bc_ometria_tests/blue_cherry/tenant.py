"""The default tenant profile, and rows as the stand-in serves them."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson

import bc_ometria.rules
from bc_ometria.blue_cherry import TenantProfile
from bc_ometria.sandbox.blue_cherry.encoding import encode, unpack
from bc_ometria.sandbox.changes import Value

PROFILE_FILE = Path(bc_ometria.rules.__file__).parent / "tenant.yaml"
PROFILE = TenantProfile.load(PROFILE_FILE)

AT = datetime(2026, 11, 23, 9, 5)  # noqa: DTZ001 - Blue Cherry's times are naive local ones

ORDER: dict[str, Value] = {
    "pkey": 7,
    "last_mod": AT,
    "ord_num": "0000001042",
    "division": "UK",
    "customer": "C0000012",
    "ord_status": "O",
    "ord_type": "W",
    "ord_date": AT,
    "currency": "GBP",
    "email": "anna@example.com",
    "first_name": "Anna",
    "sub_total": Decimal("129.00"),
    "ord_total": Decimal("129.00"),
}
LINE: dict[str, Value] = {
    "pkey": 70,
    "last_mod": AT,
    "fkey": 7,
    "ord_num": "0000001042",
    "line_num": 1,
    "division": "UK",
    "style": "0420",
    "color_code": "BLK",
    "location": "W1",
    "unit_price": Decimal("64.50"),
    "size03_qty": 2,
    "size05_qty": 1,
    "total_qty": 3,
}


def served(resource: str, row: Mapping[str, Value], **cells: Any) -> dict[str, Any]:
    """The row as it comes over the wire; ``cells`` are put in afterwards, as they are.

    ``resource`` is our name of it.
    """
    loaded: dict[str, Any] = orjson.loads(unpack(encode(PROFILE.resource(resource).path, row)))
    return loaded | cells


def order(**cells: Any) -> dict[str, Any]:
    return served("orders", ORDER, **cells)


def line(**cells: Any) -> dict[str, Any]:
    return served("order_lines", LINE, **cells)


def without(row: dict[str, Any], field: str) -> dict[str, Any]:
    return {name: cell for name, cell in row.items() if name != field}
