"""Frames in and out of PostgreSQL by COPY, which is many times faster than statements."""

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from sqlalchemy import Column, Connection, DateTime, Integer, Table, Text


def copy_in(connection: Connection, target: str, table: Table, frame: pd.DataFrame) -> None:
    """Append a frame to ``target``, whose columns are declared by ``table``.

    Blank text stays blank; a blank of any other type, and a missing value anywhere, becomes NULL.
    """
    if frame.empty:
        return
    declared = [table.columns[name] for name in frame.columns]
    out = io.StringIO()
    cells = (_cells(frame[column.name], column) for column in declared)
    # The writer quotes what stands in its line end: PostgreSQL takes neither half of it unquoted in a text.
    csv.writer(out, lineterminator="\r\n").writerows(zip(*cells, strict=True))
    out.seek(0)
    names = ", ".join(column.name for column in declared)
    never_null = ", ".join(c.name for c in declared if isinstance(c.type, Text) and not c.nullable)
    force = f", FORCE_NOT_NULL ({never_null})" if never_null else ""
    _cursor(connection).copy_expert(f"COPY {target} ({names}) FROM STDIN WITH (FORMAT csv{force})", out)


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


def _cells(values: pd.Series, column: Column) -> list:
    if pd.api.types.is_datetime64_any_dtype(values):
        if getattr(values.dtype, "tz", None) is not None:
            values = values.dt.tz_convert("UTC").dt.tz_localize(None)
            suffix = "+00"
        else:
            suffix = ""
        texts = np.datetime_as_string(values.to_numpy(dtype="datetime64[us]"))
        return [None if text == "NaT" else text + suffix for text in texts.tolist()]
    if values.hasnans:
        values = values.astype(object).where(values.notna(), None)
    if isinstance(column.type, Text):
        return [value.decode() if isinstance(value, bytes) else value for value in values.tolist()]
    return values.tolist()
