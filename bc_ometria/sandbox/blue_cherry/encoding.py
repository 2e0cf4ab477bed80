"""Rows as Blue Cherry writes them: cells to padded JSON, and back.

A row is encoded once, when it is written. Most of the 24 quantities of a row are 0, so the run of zeros
at their end is kept as a mark of two bytes, the first of which JSON never holds, and written out on serving.
"""

import re
from collections.abc import Callable, Mapping
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from json.encoder import encode_basestring
from typing import Any

import orjson

from bc_ometria.sandbox.blue_cherry.columns import BUCKETS, QUANTITIES, RESOURCES, Column, Kind
from bc_ometria.sandbox.changes import Value

_BUCKET_OF = {name: bucket for bucket, name in enumerate(QUANTITIES)}
_MARKS = [f"\0{chr(ord('A') + used)}" for used in range(BUCKETS)]
_ZEROS = {
    mark.encode(): ",".join(f'"{name}":0' for name in QUANTITIES[used:]).encode() for used, mark in enumerate(_MARKS)
}


def written(value: Value, kind: Kind) -> str:
    """A cell's text without padding. Text stands as it is in any column, so bad cells can be planted."""
    if isinstance(value, str):
        return value
    if value is None:
        return "0.00" if kind is Kind.MONEY else ""
    if kind is Kind.MONEY:
        return f"{value:.2f}"
    if isinstance(value, date):
        at = value if isinstance(value, datetime) else datetime(value.year, value.month, value.day)  # noqa: DTZ001
        return f"{at:%Y-%m-%d}" if kind is Kind.DATE else at.isoformat(" ", "seconds")
    return str(value)


def _cell(column: Column) -> Callable[[Value], str]:
    """The function that turns a value of ``column`` into ``"name":json``."""
    name, kind, width = f'"{column.name}":', column.kind, column.width
    if kind is Kind.INTEGER:
        return lambda value: name + (encode_basestring(value) if isinstance(value, str) else f"{value or 0}")
    return lambda value: name + encode_basestring(written(value, kind).ljust(width))


_CELLS = {resource: {c.name: _cell(c) for c in columns} for resource, columns in RESOURCES.items()}
_BLANK = {
    resource: {
        "quantities" if name == QUANTITIES[0] else name: cell(None)
        for name, cell in cells.items()
        if name not in QUANTITIES[1:]
    }
    for resource, cells in _CELLS.items()
}


def encode(resource: str, row: Mapping[str, Value]) -> bytes:
    """One row, packed; a column that ``row`` lacks is blank (numbers: 0).

    Raises ``ValueError`` for a column that the resource does not have.
    """
    functions = _CELLS[resource]
    cells = _BLANK[resource].copy()
    quantities: dict[int, str] = {}
    for name, value in row.items():
        cell = functions.get(name)
        if cell is None:
            raise ValueError(f"{resource} has no column {name!r}")
        bucket = _BUCKET_OF.get(name)
        if bucket is None:
            cells[name] = cell(value)
        elif value:
            quantities[bucket] = cell(value)
    if "quantities" in cells:
        cells["quantities"] = _pack(quantities, functions)
    return ("{" + ",".join(cells.values()) + "}").encode()


def _pack(quantities: Mapping[int, str], functions: Mapping[str, Callable[[Value], str]]) -> str:
    used = max(quantities, default=-1) + 1
    cells = [quantities.get(bucket) or functions[QUANTITIES[bucket]](0) for bucket in range(used)]
    if used < BUCKETS:
        cells.append(_MARKS[used])
    return ",".join(cells)


def unpack(packed: bytes) -> bytes:
    """JSON of one packed row, or of any number of them joined."""
    return re.sub(rb"\0[A-X]", lambda match: _ZEROS[match[0]], packed)


def decode(resource: str, packed: bytes) -> dict[str, Any]:
    """Values of a row: text unpadded, money as ``Decimal``, times as ``datetime``, no date as ``None``.

    A cell that does not have its column's form is given as it is served.
    """
    row = orjson.loads(unpack(packed))
    kinds = {column.name: column.kind for column in RESOURCES[resource]}
    return {name: _value(cell, kinds.get(name, Kind.TEXT)) for name, cell in row.items()}


def _value(cell: Any, kind: Kind) -> Any:
    if not isinstance(cell, str):
        return cell
    cell = cell.rstrip(" ")
    try:
        if kind is Kind.MONEY:
            return Decimal(cell)
        if kind is Kind.DATE:
            return date.fromisoformat(cell) if cell else None
        if kind is Kind.DATETIME:
            return datetime.fromisoformat(cell) if cell else None
    except (ValueError, InvalidOperation):
        pass
    return cell
