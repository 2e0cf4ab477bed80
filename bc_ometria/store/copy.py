"""Frames in and out of PostgreSQL by COPY, which is many times faster than statements."""

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from sqlalchemy import Column, Connection, DateTime, Integer, Table, Text

NULL = "\\N"
_ESCAPES = {"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"}
"""What COPY's text format writes for the characters that it gives a meaning; the backslash comes first."""

_CHUNK = 1 << 20  # characters handed over at once


def copy_in(connection: Connection, target: str, table: Table, frame: pd.DataFrame) -> None:
    """Append a frame to ``target``, whose columns are declared by ``table``.

    Blank text stays blank; a blank of any other type, and a missing value anywhere, becomes NULL.
    """
    if frame.empty:
        return
    declared = [table.columns[name] for name in frame.columns]
    # PostgreSQL's text format, not CSV: quotes, of which JSON is full, need no doubling on either side.
    cells = (_cells(frame[column.name], column) for column in declared)
    lines = io.StringIO("\n".join(map("\t".join, zip(*cells, strict=True))) + "\n")
    names = ", ".join(column.name for column in declared)
    _cursor(connection).copy_expert(f"COPY {target} ({names}) FROM STDIN", lines, size=_CHUNK)


def copy_out(connection: Connection, query: str, columns: Sequence[Column]) -> pd.DataFrame:
    """The rows of a query that takes no parameters, as a frame of ``columns`` in that order.

    Text is ``str`` with blanks for NULL, integers are ``int64``, times ``datetime64[us]``.
    """
    out = io.StringIO()
    _cursor(connection).copy_expert(f"COPY ({query}) TO STDOUT WITH (FORMAT csv)", out)
    out.seek(0)
    names = [column.name for column in columns]
    texts = {column.name: "str" for column in columns if not isinstance(column.type, Integer)}
    frame = pd.read_csv(
        out, header=None, names=names, dtype=texts | {c.name: "int64" for c in columns if c.name not in texts},
        keep_default_na=False, na_filter=False,
    )  # fmt: skip
    for column in columns:
        if isinstance(column.type, DateTime):
            written = frame[column.name].to_numpy(dtype=object)
            frame[column.name] = np.where(written == "", "NaT", written).astype("datetime64[us]")
    return frame


def temporary_keys(connection: Connection, keys: Iterable[str], name: str = "keys") -> str:
    """A temporary table of one text column ``key``, dropped with the transaction; returns its name."""
    with _cursor(connection) as cursor:
        cursor.execute(f"CREATE TEMP TABLE {name} (key text PRIMARY KEY) ON COMMIT DROP")
        out = io.StringIO()
        csv.writer(out, lineterminator="\n", quoting=csv.QUOTE_ALL).writerows([key] for key in sorted(set(keys)))
        out.seek(0)
        cursor.copy_expert(f"COPY {name} FROM STDIN WITH (FORMAT csv)", out)
        cursor.execute(f"ANALYZE {name}")
    return name


def temporary_like(connection: Connection, table: Table, name: str, columns: Sequence[str]) -> str:
    """An empty temporary table with some of the columns of ``table``, dropped with the transaction."""
    connection.exec_driver_sql(
        f"CREATE TEMP TABLE {name} ON COMMIT DROP AS SELECT {', '.join(columns)} FROM {table.fullname} LIMIT 0"
    )
    return name


def _cursor(connection: Connection) -> Any:
    """psycopg2's own cursor, which knows COPY."""
    return connection.connection.cursor()


def _cells(values: pd.Series, column: Column) -> list[str]:
    """The cells of a column as COPY's text format writes them."""
    if pd.api.types.is_datetime64_any_dtype(values):
        return _times(values)
    if isinstance(column.type, Text):
        return _texts(values, NULL if column.nullable else "")
    if pd.api.types.is_integer_dtype(values) and not values.hasnans:
        return list(map(str, values.tolist()))
    return [
        NULL if missing or value == "" else str(value) for value, missing in zip(values, values.isna(), strict=True)
    ]


def _times(values: pd.Series) -> list[str]:
    suffix = ""
    if getattr(values.dtype, "tz", None) is not None:
        values, suffix = values.dt.tz_convert("UTC").dt.tz_localize(None), "+00"
    texts = np.datetime_as_string(values.to_numpy(dtype="datetime64[us]"))
    return [NULL if text == "NaT" else text + suffix for text in texts.tolist()]


def _texts(values: pd.Series, blank: str) -> list[str]:
    """Texts with what stands for a blank or missing one."""
    texts = values.where(values.notna(), "").tolist() if values.hasnans else values.tolist()
    if bytes in set(map(type, texts)):
        texts = [value.decode() if isinstance(value, bytes) else value for value in texts]
    together = "".join(texts)
    if any(special in together for special in _ESCAPES):
        for special, escape in _ESCAPES.items():
            texts = [text.replace(special, escape) for text in texts]
    return [text or blank for text in texts] if blank else texts
