"""Blue Cherry's rows as last seen, keyed as there, and how far they have been read."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import pandas as pd
from sqlalchemy import Column, Connection, Engine, Text, text
from sqlalchemy.dialects.postgresql import insert

from bc_ometria.store import catalogue
from bc_ometria.store.copy import copy_in, copy_out, temporary_keys, temporary_like
from bc_ometria.store.schema import MIRROR, SCHEMA, held_rows, watermarks

ORDER_RESOURCES = (
    "orders", "order_lines", "order_stages", "shipments", "shipment_lines", "returns", "return_lines",
)  # fmt: skip
"""The resources that an order is assembled from."""

CUSTOMER_RESOURCES = ("customers", "addresses")
"""The resources that a contact is made of."""


@dataclass(frozen=True)
class Written:
    """What one write of the mirror did: Blue Cherry rows (not size buckets) read, changed and held."""

    rows: int = 0
    changed: int = 0
    held: int = 0

    def __add__(self, other: "Written") -> "Written":
        return Written(self.rows + other.rows, self.changed + other.changed, self.held + other.held)


def write(
    engine: Engine,
    resource: str,
    frame: pd.DataFrame,
    held: pd.DataFrame,
    *,
    moves_watermark: bool = False,
    not_beyond: datetime | None = None,
    all_rows_of: Iterable[str] = (),
) -> Written:
    """Write the typed rows of one resource in one transaction.

    ``frame`` and ``held`` are those of ``blue_cherry.rows.TypedRows``. A row whose hash is new replaces what
    was there, all its size buckets at once, and touches its order or customer, or, of the catalogue, the
    orders whose lines it bears on; one whose stamp alone moved is stamped and touches nothing. A held row keeps
    the last good one and touches too, so that its order or customer is held back; the next good version lifts
    that. A held row of the catalogue holds no order back: its lines show what the last good one says. Of the
    orders or customers in ``all_rows_of`` these are all the rows there are: others of theirs are gone from Blue
    Cherry and go from the mirror too. The watermark moves in the same transaction, and never backwards.
    """
    table, staging = MIRROR[resource], "staging"
    kind = "customer" if table.info["reference"] == "customer" else "order"
    columns = [column.name for column in table.columns]
    with engine.begin() as connection:
        # One write at a time: two of the same new rows would both find them missing. The catalogue takes turns with
        # the lines: one written meanwhile would not be touched, and could be assembled with the old catalogue.
        locked = MIRROR["order_lines"] if resource in catalogue.RESOURCES else table
        connection.execute(text("SELECT pg_advisory_xact_lock(hashtext(:table))"), {"table": locked.fullname})
        temporary_like(connection, table, staging, columns)
        copy_in(connection, staging, table, frame[columns])
        # Without statistics PostgreSQL takes a temporary table for large, and reads the whole mirror for a few rows.
        _run(connection, f"ANALYZE {staging} (pkey)")
        _run(connection, f"CREATE TEMP TABLE changed ON COMMIT DROP AS {_changed(resource)}")
        _run(connection, "ANALYZE changed (pkey)")
        _touch(connection, kind, _references_of_changed(resource))
        _run(connection, f"DELETE FROM {table.fullname} m USING changed c WHERE m.pkey = c.pkey")
        names = ", ".join(columns)
        _run(
            connection,
            f"INSERT INTO {table.fullname} ({names}) "
            f"SELECT {names} FROM {staging} WHERE pkey IN (SELECT pkey FROM changed)",
        )
        changed = connection.execute(text("SELECT count(*) FROM changed WHERE content")).scalar_one()
        _lift(connection, kind, resource)
        if references := list(all_rows_of):
            changed += _remove_gone(connection, kind, resource, references, held)
        _hold(connection, kind, resource, held)
        if moves_watermark and not frame.empty:
            newest = frame["last_mod"].max().to_pydatetime()
            _move_watermark(connection, resource, min(newest, not_beyond or newest))
    return Written(frame["pkey"].nunique(), changed, held["row_key"].nunique())


def watermark(engine: Engine, resource: str) -> datetime | None:
    """The newest committed change stamp of a resource, the tenant's local time."""
    with engine.connect() as connection:
        return connection.execute(
            text(f"SELECT stamp FROM {watermarks.fullname} WHERE resource = :resource"),
            {"resource": resource},
        ).scalar_one_or_none()


def put_watermark_back(engine: Engine, resource: str, stamp: datetime) -> None:
    """Have the next reading begin at an earlier stamp."""
    with engine.begin() as connection:
        connection.execute(
            text(
                f"UPDATE {watermarks.fullname} SET stamp = :stamp, moved_at = now() "
                "WHERE resource = :resource AND stamp > :stamp"
            ),
            {"resource": resource, "stamp": stamp},
        )


def held_keys(engine: Engine, resource: str) -> set[str]:
    """The keys of the malformed rows of a resource."""
    with engine.connect() as connection:
        return set(
            connection.execute(
                text(f"SELECT DISTINCT row_key FROM {held_rows.fullname} WHERE resource = :resource"),
                {"resource": resource},
            ).scalars()
        )


def read_orders(engine: Engine, order_numbers: Iterable[str]) -> tuple[dict[str, pd.DataFrame], pd.DataFrame]:
    """All parts of the named orders, as ``mapping.assemble`` takes them, and their held rows. The lines have what
    the catalogue says about them: ``size`` (label), ``colour`` (name) and ``upc``, blank where it knows nothing."""
    return _read(engine, ORDER_RESOURCES, order_numbers)


def read_customers(engine: Engine, customers: Iterable[str]) -> tuple[dict[str, pd.DataFrame], pd.DataFrame]:
    """The named customers and their addresses, and their held rows."""
    return _read(engine, CUSTOMER_RESOURCES, customers)


def held_rows_of(engine: Engine, resources: Sequence[str], keys: Iterable[str]) -> pd.DataFrame:
    """The malformed rows of the named orders or customers: ``resource``, ``row_key``, ``field``,
    ``reference``, ``rule`` and ``masked``."""
    with engine.begin() as connection:
        temporary_keys(connection, keys)
        return _held(connection, resources)


def changed_between(engine: Engine, resources: Sequence[str], begin: datetime, end: datetime) -> list[str]:
    """The orders or customers of which a row is stamped in ``[begin, end)``, the tenant's local time."""
    selects = " UNION ".join(
        f"SELECT {MIRROR[name].info['reference']} FROM {MIRROR[name].fullname} "
        "WHERE last_mod >= :begin AND last_mod < :end"
        for name in resources
    )
    with engine.connect() as connection:
        return sorted(connection.execute(text(selects), {"begin": begin, "end": end}).scalars())


def erased_customers(engine: Engine, customers: Iterable[str]) -> set[str]:
    """Those of the named customers that Blue Cherry marks as erased."""
    with engine.begin() as connection:
        name = temporary_keys(connection, customers)
        return set(
            connection.execute(
                text(
                    f"SELECT customer FROM {MIRROR['customers'].fullname} m JOIN {name} k ON m.customer = k.key "
                    "WHERE erased_ok = 'Y'"
                )
            ).scalars()
        )


def _read(
    engine: Engine, resources: Sequence[str], keys: Iterable[str]
) -> tuple[dict[str, pd.DataFrame], pd.DataFrame]:
    with (
        engine.connect().execution_options(isolation_level="REPEATABLE READ") as connection,
        connection.begin(),
    ):
        temporary_keys(connection, keys)
        frames = {resource: _rows(connection, resource) for resource in resources}
        held = _held(connection, resources)
    return frames, held


def _rows(connection: Connection, resource: str) -> pd.DataFrame:
    table, columns = MIRROR[resource], list(MIRROR[resource].columns)
    names = ", ".join(f"m.{column.name}" for column in columns)
    query = f"SELECT {names} FROM {table.fullname} m JOIN keys k ON m.{table.info['reference']} = k.key"
    if resource == "order_lines":
        query, columns = catalogue.describe(query), columns + catalogue.DESCRIPTION
    return copy_out(connection, query, columns)


def _held(connection: Connection, resources: Sequence[str]) -> pd.DataFrame:
    columns = [Column(name, Text) for name in ("resource", "row_key", "field", "reference", "rule", "masked")]
    names = ", ".join(f"h.{column.name}" for column in columns)
    wanted = ", ".join(f"'{resource}'" for resource in resources)
    query = (
        f"SELECT {names} FROM {held_rows.fullname} h JOIN keys k ON h.reference = k.key WHERE resource IN ({wanted})"
    )
    return copy_out(connection, query, columns)


def _changed(resource: str) -> str:
    """Keys of staged rows that differ from the mirror; ``content`` is false where only the stamp moved."""
    differs = "m.row_hash IS DISTINCT FROM s.row_hash"
    return f"""
        SELECT DISTINCT s.pkey, {differs} AS content
        FROM staging s LEFT JOIN {MIRROR[resource].fullname} m ON m.pkey = s.pkey
        WHERE {differs} OR m.last_mod <> s.last_mod
    """


def _references_of_changed(resource: str) -> str:
    """What the changed rows touch: the orders or customers that they belonged to and belong to now."""
    if resource in catalogue.RESOURCES:
        return catalogue.orders_of_changed(resource)
    return " UNION ".join(
        f"SELECT {MIRROR[resource].info['reference']} AS reference FROM {rows} "
        "WHERE pkey IN (SELECT pkey FROM changed WHERE content)"
        for rows in (MIRROR[resource].fullname, "staging")
    )


def _touch(connection: Connection, kind: str, references: str) -> None:
    _run(
        connection,
        f"INSERT INTO {SCHEMA}.touched (kind, key) SELECT '{kind}', reference FROM ({references}) r "
        "WHERE reference <> '' ORDER BY reference ON CONFLICT (kind, key) DO UPDATE SET at = DEFAULT, seen_at = now()",
    )


def _lift(connection: Connection, kind: str, resource: str) -> None:
    """Forget what was held about rows that are good now; their orders or customers are touched."""
    lifted = (
        f"DELETE FROM {held_rows.fullname} WHERE resource = '{resource}' "
        "AND row_key IN (SELECT DISTINCT pkey::text FROM staging) RETURNING reference"
    )
    _run(connection, "CREATE TEMP TABLE lifted (reference text) ON COMMIT DROP")
    _run(connection, f"WITH gone AS ({lifted}) INSERT INTO lifted SELECT reference FROM gone")
    _touch(connection, kind, "SELECT DISTINCT reference FROM lifted")


def _remove_gone(connection: Connection, kind: str, resource: str, references: list[str], held: pd.DataFrame) -> int:
    """Remove the rows of these orders or customers that were neither staged nor held, and what was held about
    rows that are not held any more; how many rows."""
    table = MIRROR[resource]
    reference = table.info["reference"]
    _run(connection, "CREATE TEMP TABLE gone (pkey bigint, reference text) ON COMMIT DROP")
    connection.execute(
        text(
            f"WITH removed AS (DELETE FROM {table.fullname} WHERE {reference} = ANY(:references) "
            "AND pkey NOT IN (SELECT pkey FROM staging) AND pkey <> ALL(:held) "
            f"RETURNING pkey, {reference}) INSERT INTO gone SELECT * FROM removed"
        ),
        {"references": references, "held": held["pkey"].dropna().astype("int64").tolist()},
    )
    connection.execute(
        text(
            f"WITH removed AS (DELETE FROM {held_rows.fullname} WHERE resource = :resource "
            "AND reference = ANY(:references) AND row_key <> ALL(:held) "
            "RETURNING reference) INSERT INTO gone (reference) SELECT reference FROM removed"
        ),
        {"resource": resource, "references": references, "held": held["row_key"].tolist()},
    )
    _touch(connection, kind, "SELECT DISTINCT reference FROM gone")
    return connection.execute(text("SELECT count(DISTINCT pkey) FROM gone")).scalar_one()


def _hold(connection: Connection, kind: str, resource: str, held: pd.DataFrame) -> None:
    if held.empty:
        return
    columns = ["resource", "row_key", "field", "reference", "rule", "masked"]
    staged = held.assign(resource=resource)[columns].drop_duplicates(["row_key", "field"], keep="last")
    temporary_like(connection, held_rows, "staged_held", columns)
    copy_in(connection, "staged_held", held_rows, staged)
    names = ", ".join(columns)
    _run(
        connection,
        f"CREATE TEMP TABLE held_before ON COMMIT DROP AS SELECT {names} FROM {held_rows.fullname} "
        f"WHERE resource = '{resource}' AND row_key IN (SELECT row_key FROM staged_held)",
    )
    _touch(
        connection,
        kind,
        "SELECT reference FROM (TABLE held_before EXCEPT TABLE staged_held) mended "
        "UNION SELECT reference FROM (TABLE staged_held EXCEPT TABLE held_before) broken",
    )
    _run(
        connection,
        f"DELETE FROM {held_rows.fullname} WHERE resource = '{resource}' "
        "AND row_key IN (SELECT row_key FROM held_before)",
    )
    _run(connection, f"INSERT INTO {held_rows.fullname} ({names}) SELECT {names} FROM staged_held")


def _move_watermark(connection: Connection, resource: str, stamp: datetime) -> None:
    moved = insert(watermarks).values(resource=resource, stamp=stamp)
    connection.execute(
        moved.on_conflict_do_update(
            index_elements=["resource"],
            set_={"stamp": moved.excluded.stamp, "moved_at": text("now()")},
            where=watermarks.c.stamp < moved.excluded.stamp,
        )
    )


def _run(connection: Connection, statement: str) -> None:
    connection.exec_driver_sql(statement)
