"""What the mirror knows of the rows that Blue Cherry changed last, to be held against what it serves now."""

from collections.abc import Iterable
from datetime import datetime

import pandas as pd
from sqlalchemy import Engine, text

from bc_ometria.store.copy import copy_out
from bc_ometria.store.schema import MIRROR, held_rows


def stamps(engine: Engine, resource: str, since: datetime, before: datetime | None = None) -> pd.Series:
    """The change stamp of every mirrored row that is stamped in ``[since, before)``, by its ``pkey``."""
    table = MIRROR[resource]
    until = f" AND last_mod < '{before.isoformat()}'" if before else ""
    with engine.connect() as connection:
        rows = copy_out(
            connection,
            f"SELECT DISTINCT pkey, last_mod FROM {table.fullname} WHERE last_mod >= '{since.isoformat()}'{until}",
            [table.columns["pkey"], table.columns["last_mod"]],
        )
    return rows.set_index("pkey")["last_mod"]


def stamp_before(engine: Engine, resource: str, stamp: datetime, rows: int) -> datetime | None:
    """The stamp from which on so many mirrored rows, or all there are, are older than ``stamp``; ``None`` where none
    is. A row counts once for each of its size buckets."""
    with engine.connect() as connection:
        return connection.execute(
            text(
                f"SELECT min(last_mod) FROM (SELECT last_mod FROM {MIRROR[resource].fullname} "
                "WHERE last_mod < :stamp ORDER BY last_mod DESC LIMIT :rows) r"
            ),
            {"stamp": stamp, "rows": rows},
        ).scalar_one()


def references(engine: Engine, resource: str, pkeys: Iterable[int]) -> list[str]:
    """The orders or customers that the mirrored rows with these keys belong to."""
    table = MIRROR[resource]
    with engine.connect() as connection:
        return list(
            connection.execute(
                text(f"SELECT DISTINCT {table.info['reference']} FROM {table.fullname} WHERE pkey = ANY(:pkeys)"),
                {"pkeys": list(pkeys)},
            ).scalars()
        )


def count(engine: Engine, resource: str, since: datetime, but: Iterable[int] = ()) -> int:
    """How many mirrored rows are stamped ``since`` or later, without those of some keys and those that are held."""
    with engine.connect() as connection:
        return connection.execute(
            text(
                f"SELECT count(DISTINCT pkey) FROM {MIRROR[resource].fullname} WHERE last_mod >= :since "
                "AND pkey <> ALL(CAST(:but AS bigint[])) "
                f"AND pkey::text NOT IN (SELECT row_key FROM {held_rows.fullname} WHERE resource = :resource)"
            ),
            {"since": since, "but": list(but), "resource": resource},
        ).scalar_one()


def versions(engine: Engine, resource: str, pkeys: Iterable[int]) -> set[tuple[int, datetime, int]]:
    """``pkey``, ``last_mod`` and ``row_hash`` of the mirrored rows with these keys."""
    with engine.connect() as connection:
        rows = connection.execute(
            text(f"SELECT pkey, last_mod, row_hash FROM {MIRROR[resource].fullname} WHERE pkey = ANY(:pkeys)"),
            {"pkeys": list(pkeys)},
        )
        return {(row.pkey, row.last_mod, row.row_hash) for row in rows}
