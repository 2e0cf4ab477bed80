"""What the stand-in of Blue Cherry holds: one SQLite table a resource, its rows ready to be served."""

import sqlite3
import threading
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import orjson

from bc_ometria.sandbox.blue_cherry.columns import FILTERABLE, RESOURCES, Column
from bc_ometria.sandbox.blue_cherry.encoding import decode, encode, unpack, written
from bc_ometria.sandbox.blue_cherry.query import Condition, Query
from bc_ometria.sandbox.changes import Change, Delete, Value, Write
from bc_ometria.sandbox.clock import Clock

_BATCH = 5_000


@dataclass(frozen=True, slots=True)
class Page:
    """Rows as JSON, joined by commas, and how many rows the whole query has."""

    rows: bytes
    total: int


class BlueCherryDatabase:
    """Blue Cherry's tables. Safe to use from several threads.

    ``path`` is a SQLite file; the default lives in memory. Rows are stamped by a clock that is ``ahead`` of ``clock``,
    or behind it.
    """

    def __init__(self, clock: Clock, time_zone: str = "Europe/London", path: str = ":memory:") -> None:
        self.clock = clock
        self.ahead = timedelta()
        self._time_zone = ZoneInfo(time_zone)
        self._lock = threading.RLock()
        self._connection = sqlite3.connect(path, check_same_thread=False)
        self._connection.execute("PRAGMA synchronous = OFF")
        self._tables = {name: _Table(name, columns) for name, columns in RESOURCES.items()}
        for table in self._tables.values():
            self._connection.executescript(table.schema)
        # What is true of a resource until one of its rows changes: totals, and where pages end.
        self._totals: dict[str, dict[tuple[Condition, ...], int]] = defaultdict(dict)
        self._ends: dict[str, dict[Query, tuple[str, int]]] = defaultdict(dict)

    def now(self) -> datetime:
        """The present in the tenant's local time, without an offset, to the second, as rows are stamped with it."""
        return (self.clock.now() + self.ahead).astimezone(self._time_zone).replace(tzinfo=None, microsecond=0)

    def apply(self, changes: Iterable[Change]) -> int:
        """Write and delete rows in one transaction; says how many changes there were.

        A write without ``last_mod`` is stamped with the present. Raises ``ValueError`` for a resource or a
        column that Blue Cherry does not have, and then nothing is changed.
        """
        pending: dict[str, list[tuple[Any, ...]]] = defaultdict(list)
        count = 0
        with self._lock:
            try:
                with self._connection:
                    for change in changes:
                        count += 1
                        rows = pending[change.resource]
                        if isinstance(change, Write):
                            rows.append(self._record(change.resource, change.row))
                        if isinstance(change, Delete) or len(rows) == _BATCH:
                            self._flush(change.resource, rows)
                        if isinstance(change, Delete):
                            delete = self._table(change.resource).delete
                            self._connection.execute(delete, (change.pkey,))
                    for resource, rows in pending.items():
                        self._flush(resource, rows)
            finally:
                for resource in pending:
                    self._forget(resource)
        return count

    def touch(self, resource: str, pkeys: Collection[int]) -> int:
        """Stamp rows with the present, as an edit that changes nothing else does."""
        touched = [row for pkey in pkeys for row in self.rows(resource, pkey=pkey)]
        return self.apply(Write(resource, {**row, "last_mod": None}) for row in touched)

    def raw(self, resource: str, pkey: int, text: str) -> None:
        """Serve ``text`` as the row ``pkey``, whatever it is.

        It is found by the stamp and the codes it carries, where it is a JSON object with any; else by now.
        """
        try:
            cells = orjson.loads(text)
        except orjson.JSONDecodeError:
            cells = {}
        cells = cells if isinstance(cells, dict) else {}
        keys = self._table(resource).keys({**cells, "last_mod": cells.get("last_mod") or self.now()})
        with self._lock, self._connection:
            self._connection.execute(self._table(resource).insert, (pkey, *keys, text.encode()))
            self._forget(resource)

    def rows(self, resource: str, **where: str | int) -> Iterator[dict[str, Any]]:
        """Rows by pkey, decoded; ``where`` names pkey or filterable columns and the value they equal.

        Text is unpadded, money ``Decimal``, times ``datetime``; a blank date is ``None``.
        """
        conditions = "".join(f" AND {name} = ?" for name in where)
        table = self._table(resource).name
        sql = f"SELECT pkey, row FROM {table} WHERE pkey > ?{conditions} ORDER BY pkey LIMIT ?"
        last = -1
        while True:
            with self._lock:
                found = self._connection.execute(sql, (last, *where.values(), _BATCH)).fetchall()
            for _, packed in found:
                yield decode(resource, packed)
            if len(found) < _BATCH:
                return
            last = found[-1][0]

    def backup(self) -> bytes:
        """All that is there now, for ``restore``."""
        with self._lock:
            return self._connection.serialize()

    def restore(self, backup: bytes) -> None:
        """Everything is as it was at the backup: rows with their old stamps, and those that came later are gone."""
        with self._lock:
            self._connection.commit()
            source = sqlite3.connect(":memory:")
            source.deserialize(backup)
            source.backup(self._connection)
            source.close()
            for resource in self._tables:
                self._forget(resource)

    def count(self, resource: str) -> int:
        return self.total(Query(resource))

    def total(self, query: Query) -> int:
        """How many rows the query has over all its pages."""
        with self._lock:
            totals = self._totals[query.resource]
            if query.conditions not in totals:
                where, arguments = _where(query.conditions)
                sql = f"SELECT count(*) FROM {self._table(query.resource).name} WHERE {where}"
                totals[query.conditions] = self._connection.execute(sql, arguments).fetchone()[0]
            return totals[query.conditions]

    def page(self, query: Query) -> Page:
        """One page, ordered by last_mod and pkey, of the rows as they are at this moment."""
        with self._lock:
            total = self.total(query)
            found = self._find(query) if (query.page - 1) * query.page_size < total else []
        rows = unpack(b",".join([packed for _, _, packed in found]))
        if query.select:
            chosen = [
                # A planted row may lack columns.
                {name: row[name] for name in query.select if name in row}
                for row in orjson.loads(b"[" + rows + b"]")
            ]
            rows = orjson.dumps(chosen)[1:-1]
        return Page(rows, total)

    def _find(self, query: Query) -> list[tuple[str, int, bytes]]:
        """The rows of a page: counted off from the start, or on from the known end of the page before."""
        ends = self._ends[query.resource]
        before = ends.get(_place(query, query.page - 1))
        skip = (query.page - 1) * query.page_size
        where, arguments = _where(query.conditions)
        if before:
            where, skip = f"{where} AND (last_mod, pkey) > (?, ?)", 0
        sql = (
            f"SELECT last_mod, pkey, row FROM {self._table(query.resource).name} WHERE {where}"
            " ORDER BY last_mod, pkey LIMIT ? OFFSET ?"
        )
        found = self._connection.execute(sql, (*arguments, *(before or ()), query.page_size, skip)).fetchall()
        if found:
            ends[_place(query, query.page)] = found[-1][:2]
        return found

    def _record(self, resource: str, row: Mapping[str, Value]) -> tuple[Any, ...]:
        if not row.get("last_mod"):
            row = {**row, "last_mod": self.now()}
        return (row["pkey"], *self._table(resource).keys(row), encode(resource, row))

    def _flush(self, resource: str, rows: list[tuple[Any, ...]]) -> None:
        self._connection.executemany(self._table(resource).insert, rows)
        rows.clear()

    def _table(self, resource: str) -> "_Table":
        try:
            return self._tables[resource]
        except KeyError:
            raise ValueError(f"Blue Cherry has no resource {resource!r}") from None

    def _forget(self, resource: str) -> None:
        self._totals.pop(resource, None)
        self._ends.pop(resource, None)


class _Table:
    """The SQL of one resource's table: pkey, last_mod, the filterable columns unpadded, the packed row."""

    def __init__(self, resource: str, columns: tuple[Column, ...]) -> None:
        self.name = resource.replace("-", "_")
        self._keys = [column for column in columns if column.name in ("last_mod", *FILTERABLE)]
        names = [column.name for column in self._keys]
        indexed = [name for name in names if name not in ("division", "location")]
        self.schema = (
            f"CREATE TABLE IF NOT EXISTS {self.name} (pkey INTEGER PRIMARY KEY, "
            + "".join(f"{name} TEXT NOT NULL, " for name in names)
            + "row BLOB NOT NULL);"
            # An index of SQLite ends with the primary key, so that of last_mod is the order of serving.
            + "".join(f"CREATE INDEX IF NOT EXISTS {self.name}_{name} ON {self.name} ({name});" for name in indexed)
        )
        self.insert = f"INSERT OR REPLACE INTO {self.name} VALUES ({', '.join('?' * (len(names) + 2))})"
        self.delete = f"DELETE FROM {self.name} WHERE pkey = ?"

    def keys(self, row: Mapping[str, Value]) -> tuple[str, ...]:
        """The unpadded cells that the row is found by."""
        return tuple(written(row.get(column.name), column.kind).rstrip(" ") for column in self._keys)


def _where(conditions: tuple[Condition, ...]) -> tuple[str, tuple[str, ...]]:
    sql = " AND ".join(condition.sql for condition in conditions) or "TRUE"
    return sql, tuple(argument for condition in conditions for argument in condition.arguments)


def _place(query: Query, page: int) -> Query:
    """The query's page whatever columns are selected."""
    return Query(query.resource, query.conditions, (), page, query.page_size)
