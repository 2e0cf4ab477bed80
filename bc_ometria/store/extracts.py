"""How many rows the readings of what is new in Blue Cherry gave, so that an unusual one is noticed (P6)."""

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, text

from bc_ometria.store.schema import extracts

_KEPT = 200  # readings of each resource


class Reading(NamedTuple):
    """When a reading was over, and how many rows it gave."""

    at: datetime
    rows: int


def record(connection: Connection, resource: str, rows: int, known_rows: int) -> list[Reading]:
    """Write down a reading; it and those before it, the newest first."""
    connection.execute(
        text(f"INSERT INTO {extracts.fullname} (resource, rows, known_rows) VALUES (:resource, :rows, :known)"),
        {"resource": resource, "rows": rows, "known": known_rows},
    )
    connection.execute(
        text(
            f"DELETE FROM {extracts.fullname} WHERE resource = :resource AND at <= (SELECT at FROM {extracts.fullname} "
            "WHERE resource = :resource ORDER BY at DESC OFFSET :kept LIMIT 1)"
        ),
        {"resource": resource, "kept": _KEPT},
    )
    readings = connection.execute(
        text(f"SELECT at, rows FROM {extracts.fullname} WHERE resource = :resource ORDER BY at DESC"),
        {"resource": resource},
    )
    return [Reading(*row) for row in readings]
