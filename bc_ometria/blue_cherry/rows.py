"""From rows as Blue Cherry serves them to a typed frame; what is malformed is held, row by row.

The types are parsed in ``cells``, the values are checked by the schemas of ``schemas``.
"""

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from operator import itemgetter
from typing import NamedTuple

import numpy as np
import orjson
import pandas as pd
import pandera.pandas as pa

from bc_ometria.blue_cherry import cells
from bc_ometria.blue_cherry.errors import MissingColumn
from bc_ometria.blue_cherry.masking import masked, reference
from bc_ometria.blue_cherry.profile import TenantProfile
from bc_ometria.blue_cherry.schemas import BUCKETED, BUCKETS, SCHEMAS, Column, frame_dtypes, served_columns

HELD_COLUMNS = {
    "resource": "str",
    "pkey": "Int64",
    "row_key": "str",
    "reference": "str",
    "field": "str",
    "rule": "str",
    "masked": "str",
}

EXPECTED = {
    "integer": "a whole number",
    "text": "text",
    "flag": "Y, N or blank",
    "currency": "a currency of ISO 4217",
    "money": "an amount as 129.00",
    "stamp": "a time",
}

BLOCK = 512

Fault = tuple[int, str, str]
"""Position of the row, our name of the field, the rule that it breaks."""

Typed = dict[str, np.ndarray]
"""Parsed columns by our names: int64, datetime64[us], or trimmed texts as objects."""


class TypedRows(NamedTuple):
    """What became of a batch of rows.

    ``frame``: the well-formed rows, in the columns and dtypes of ``frame_dtypes(resource)``: money in
    hundredths, naive local times, trimmed texts. ``row_hash`` is a 64-bit hash of everything but
    ``last_mod``, equal in every process. Rows with size buckets become one row per bucket that is not zero
    (``bucket`` 1–24, ``quantity``), or one with bucket 0 and quantity 0 where all are; the rest repeats.

    ``held``: one row per broken field of a malformed row, with ``resource``, ``pkey`` (null if unusable),
    ``row_key`` (the pkey, or a hash of the row), ``reference`` (``ord_num``, of customers and addresses
    ``customer``), ``field`` (our name), ``rule`` (what is wrong, in plain words) and ``masked`` (the value,
    or only its shape where it could be personal).
    """

    frame: pd.DataFrame
    held: pd.DataFrame


def typed_rows(resource: str, rows: Sequence[Mapping[str, object]], profile: TenantProfile) -> TypedRows:
    """Type and check a batch of rows; best called with up to 20,000 at a time.

    Of several rows with one ``pkey`` the last wins: that of the newest ``last_mod``, of equal ones the one
    read last; a malformed one that wins is held, and its older versions are not used either. A malformed row
    does not touch its neighbours.

    Raises ``MissingColumn`` if no row of a batch that is not empty has a column which the tenant profile says
    is there.
    """
    tenant = profile.resource(resource)
    fields = {name: tenant.field(name) for name in served_columns(resource) if name not in tenant.absent}
    formats = (profile.stamp_format, profile.date_format)
    raw = _columns(resource, rows, fields)
    typed: Typed = {}
    faults: list[Fault] = []
    for name, column in served_columns(resource).items():
        if name not in fields:
            typed[name] = _blanks(column, len(rows))
            continue
        typed[name], broken = _typed(raw[name], column, formats)
        faults += [(row, name, rule) for row, rule in broken.items()]
    buckets = _matrix([typed.pop(name) for name in BUCKETS if name in typed], len(rows))
    if "total_qty" in typed:
        faults += _wrong_totals(typed["total_qty"], buckets, faults)

    unkeyed = {row for row, field, _ in faults if field == "pkey"}
    wins = _newest(typed["pkey"], typed["last_mod"], unkeyed)
    faults = [fault for fault in faults if wins[fault[0]]]
    wins[[row for row, _, _ in faults]] = False
    good = np.flatnonzero(wins)

    typed["row_hash"] = _row_hashes(typed, buckets)
    frame, origin = _frame(resource, typed, buckets, good)
    frame, more = _checked(resource, frame, origin)
    return TypedRows(frame, _held(resource, rows, faults + more, typed["pkey"], unkeyed, fields))


def unknown_columns(resource: str, rows: Sequence[Mapping[str, object]], profile: TenantProfile) -> set[str]:
    """The columns that the rows have and that neither the project nor the tenant profile knows, as Blue Cherry calls
    them; also those that the profile lists as ``absent``."""
    tenant = profile.resource(resource)
    known = {tenant.field(name) for name in served_columns(resource) if name not in tenant.absent}
    return set[str]().union(*rows) - known


KEYS = ("pkey", "ord_num", "last_mod")
"""What a row of an order is told apart by, and its change stamp."""


def typed_keys(resource: str, rows: Sequence[Mapping[str, object]], profile: TenantProfile) -> pd.DataFrame:
    """The columns ``KEYS`` of an order's rows, one row per ``pkey``; a row of which one of them is malformed is left
    out. Raises ``MissingColumn`` as ``typed_rows`` does."""
    fields = {name: profile.resource(resource).field(name) for name in KEYS}
    raw = _columns(resource, rows, fields)
    dtypes = frame_dtypes(resource)
    typed, broken = {}, set[int]()
    for name in KEYS:
        column = served_columns(resource)[name]
        typed[name], faults = _typed(raw[name], column, (profile.stamp_format, profile.date_format))
        broken |= faults.keys()
    keys = pd.DataFrame({name: pd.Series(typed[name], dtype=dtypes[name]) for name in KEYS}).drop(index=sorted(broken))
    return keys.sort_values("last_mod", kind="stable").drop_duplicates("pkey", keep="last", ignore_index=True)


def _columns(resource: str, rows: Sequence[Mapping[str, object]], fields: Mapping[str, str]) -> dict[str, list[object]]:
    """The cells of each column; ``MISSING`` where a row lacks it."""
    columns: dict[str, list[object]] = {name: [] for name in fields}
    readers = [(columns[name], itemgetter(field), field) for name, field in fields.items()]
    # In blocks that stay in the processor's cache: a whole batch at once takes half as long again.
    for start in range(0, len(rows), BLOCK):
        block = rows[start : start + BLOCK]
        for column, read, field in readers:
            try:
                column += list(map(read, block))
            except KeyError:
                column += [row.get(field, cells.MISSING) for row in block]
    for name, found in columns.items():
        if found and all(cell is cells.MISSING for cell in found):
            raise MissingColumn(resource, name, fields[name], EXPECTED[served_columns(resource)[name].kind])
    return columns


def _typed(column_cells: Sequence[object], column: Column, formats: Sequence[str]) -> tuple[np.ndarray, cells.Faults]:
    if column.kind == "integer":
        return cells.integers(column_cells, column.maximum or cells.INT64)
    if column.kind == "money":
        return cells.money(column_cells)
    if column.kind == "stamp":
        return cells.stamps(column_cells, formats)
    found, faults = cells.texts(column_cells)
    return np.array(found, dtype=object), faults


def _blanks(column: Column, length: int) -> np.ndarray:
    """A column that the tenant does not have."""
    if column.kind == "stamp":
        return np.full(length, np.datetime64("NaT"), "datetime64[us]")
    return np.full(length, "", dtype=object)


def _matrix(buckets: list[np.ndarray], length: int) -> np.ndarray:
    return np.column_stack(buckets) if buckets else np.zeros((length, 0), np.int64)


def _wrong_totals(totals: np.ndarray, buckets: np.ndarray, faults: list[Fault]) -> list[Fault]:
    broken = {row for row, field, _ in faults if field == "total_qty" or field in BUCKETS}
    wrong = np.flatnonzero(totals != buckets.sum(axis=1)).tolist()
    return [(row, "total_qty", "differs from the sum of the size buckets") for row in wrong if row not in broken]


def _newest(pkeys: np.ndarray, stamps: np.ndarray, unkeyed: set[int]) -> np.ndarray:
    """True where a row is the last of its ``pkey``; one without a usable key or stamp counts as the last."""
    wins = np.ones(len(pkeys), bool)
    keyed = np.setdiff1d(np.arange(len(pkeys)), list(unkeyed)) if unkeyed else np.arange(len(pkeys))
    if len(np.unique(pkeys[keyed])) == len(keyed):
        return wins
    moments = np.where(np.isnat(stamps), np.iinfo(np.int64).max, stamps.view(np.int64))
    order = keyed[np.lexsort((keyed, moments[keyed], pkeys[keyed]))]
    wins[order[:-1]] = pkeys[order[:-1]] != pkeys[order[1:]]
    return wins


def _row_hashes(typed: Typed, buckets: np.ndarray) -> np.ndarray:
    """BLAKE2b of the row's texts, NUL between them (no text holds one), and its numbers as 64 bits each."""
    texts = [values.tolist() for values in typed.values() if values.dtype == object]
    numbers = [values.view(np.int64) for name, values in typed.items() if values.dtype != object and name != "last_mod"]
    table = np.column_stack([*numbers, buckets]).astype("<i8")
    width, binary = table.shape[1] * 8, table.tobytes()
    lines = list(map("\0".join, zip(*texts, strict=True))) if texts else [""] * len(table)
    digests = [
        blake2b(line.encode() + b"\0" + binary[start : start + width], digest_size=8).digest()
        for line, start in zip(lines, range(0, len(binary), width), strict=True)
    ]
    return np.frombuffer(b"".join(digests), "<i8").astype(np.int64)


def _frame(resource: str, typed: Typed, buckets: np.ndarray, good: np.ndarray) -> tuple[pd.DataFrame, np.ndarray]:
    """The frame of the ``good`` rows, and the position of the served row that each of its rows comes from."""
    if resource not in BUCKETED:
        columns, origin = {name: values[good] for name, values in typed.items()}, good
    else:
        kept = buckets[good]
        # Bucket 0 stands for a row whose buckets are all zero.
        nth, bucket = np.nonzero(np.column_stack([~kept.any(axis=1), kept]))
        origin = good[nth]
        columns = {name: values[origin] for name, values in typed.items()}
        columns |= {"bucket": bucket, "quantity": np.where(bucket == 0, 0, kept[nth, bucket - 1])}
    dtypes = frame_dtypes(resource)
    return pd.DataFrame({name: pd.Series(columns[name], dtype=dtypes[name]) for name in dtypes}), origin


def _checked(resource: str, frame: pd.DataFrame, origin: np.ndarray) -> tuple[pd.DataFrame, list[Fault]]:
    """The frame without the rows that break a check of the schema, and what they break."""
    try:
        return SCHEMAS[resource].validate(frame, lazy=True), []
    except pa.errors.SchemaErrors as error:
        cases = error.failure_cases
    broken = cases["index"].to_numpy(np.int64)
    buckets = frame["bucket"].to_numpy() if resource in BUCKETED else None
    faults = set()
    for place, column, rule in zip(broken, cases["column"], cases["check"], strict=True):
        field = BUCKETS[buckets[place] - 1] if buckets is not None and column == "quantity" else column
        faults.add((int(origin[place]), field, cells.BLANK if rule == "not_nullable" else rule))
    kept = ~np.isin(origin, origin[broken])
    return frame[kept].reset_index(drop=True), sorted(faults)


def _held(
    resource: str,
    rows: Sequence[Mapping[str, object]],
    faults: list[Fault],
    pkeys: np.ndarray,
    unkeyed: set[int],
    fields: Mapping[str, str],
) -> pd.DataFrame:
    columns = served_columns(resource)
    named_by = next((name for name in ("ord_num", "customer") if columns.get(name, Column()).needed), None)
    held = []
    for position, field, rule in sorted(faults):
        row, pkey = rows[position], None if position in unkeyed else int(pkeys[position])
        key = _hash_of_raw(row, fields["last_mod"]) if pkey is None else str(pkey)
        name = reference(row.get(fields[named_by]), columns[named_by]) if named_by else ""
        cell = row.get(fields[field], cells.MISSING)
        held.append((resource, pkey, key, name, field, rule, masked(cell, columns[field])))
    frame = pd.DataFrame(held, columns=list(HELD_COLUMNS)).astype(HELD_COLUMNS)
    # A row without a usable key cannot be deduplicated before; read twice, it is held once.
    return frame.drop_duplicates(["row_key", "field"], ignore_index=True)


def _hash_of_raw(row: Mapping[str, object], last_mod: str) -> str:
    content = {field: cell for field, cell in row.items() if field != last_mod}
    return blake2b(orjson.dumps(content, option=orjson.OPT_SORT_KEYS), digest_size=16).hexdigest()
