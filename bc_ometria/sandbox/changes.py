"""What happens in the stand-in of Blue Cherry: rows that are written and rows that vanish."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

Value = str | int | Decimal | date | datetime | None
"""A cell before it is padded and written as Blue Cherry writes it; ``None`` becomes blank.

A ``datetime`` is the tenant's local time without an offset.
"""


@dataclass(frozen=True, slots=True)
class Write:
    """A row inserted or replaced whole, by ``row["pkey"]``; ``row["last_mod"]`` is its change stamp."""

    resource: str
    row: Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class Delete:
    """A row that simply stops being served."""

    resource: str
    pkey: int


Change = Write | Delete
