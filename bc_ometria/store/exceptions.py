"""Why records are held, and what people should know about those that go; closes itself.

A finding opens an exception. When the newest version of its record no longer shows it, the exception is
mended; it closes when that version is confirmed in Ometria, or needs no confirmation because the record is
excluded.
"""

from collections.abc import Sequence

import pandas as pd
from sqlalchemy import Connection, Engine, text

from bc_ometria.store.copy import copy_in, temporary_like
from bc_ometria.store.schema import exceptions, outbox

FINDING = ["code", "record_id", "field", "detail", "division", "value", "currency"]
"""Columns of a finding. ``field`` is blank where no single field is to blame; ``detail`` is masked text;
``value`` is the money at stake in minor units."""

_LATER = ("rejected", "drift")  # found by delivery, not by mapping: only a new version can mend them


def record(connection: Connection, record_type: str, record_ids: Sequence[str], findings: pd.DataFrame) -> None:
    """Open the findings about ``record_ids``, and mark as mended what those records no longer show.

    ``findings`` has the columns ``FINDING``. To be called in the transaction that writes the records' newest
    versions to the outbox, after it.
    """
    connection.exec_driver_sql("CREATE TEMP TABLE evaluated (record_id text PRIMARY KEY) ON COMMIT DROP")
    connection.execute(
        text("INSERT INTO evaluated SELECT DISTINCT unnest(CAST(:ids AS text[]))"), {"ids": list(record_ids)}
    )
    columns = [*FINDING, "record_type"]
    temporary_like(connection, exceptions, "findings", columns)
    staged = findings[FINDING].drop_duplicates(["code", "record_id", "field"], keep="last")
    copy_in(connection, "findings", exceptions, staged.assign(record_type=record_type))
    names = ", ".join(columns)
    connection.exec_driver_sql(
        f"""
        INSERT INTO {exceptions.fullname} AS e ({names}) SELECT {names} FROM findings
        ON CONFLICT (code, record_type, record_id, field) DO UPDATE SET
            detail = excluded.detail, division = excluded.division, value = excluded.value,
            currency = excluded.currency, last_seen = now(),
            first_seen = CASE WHEN e.is_open THEN e.first_seen ELSE now() END,
            times_seen = CASE WHEN e.is_open THEN e.times_seen + 1 ELSE 1 END,
            is_open = true, is_mended = false, closed_at = NULL
        """
    )
    later = ", ".join(f"'{code}'" for code in _LATER)
    connection.exec_driver_sql(
        f"""
        UPDATE {exceptions.fullname} e SET is_mended = true
        FROM evaluated v JOIN {outbox.fullname} o ON o.record_id = v.record_id
        WHERE e.is_open AND NOT e.is_mended AND e.record_type = '{record_type}' AND e.record_id = v.record_id
            AND o.record_type = e.record_type
            AND (e.code NOT IN ({later}) OR (o.state <> 'drift' AND o.reason <> e.code))
            AND NOT EXISTS (
                SELECT FROM findings f
                WHERE f.code = e.code AND f.record_id = e.record_id AND f.field = e.field
            )
        """
    )
    close_mended(connection, record_type)


def open_one(connection: Connection, code: str, record_type: str, record_id: str, detail: str) -> None:
    """Open an exception that delivery found; division and value are those that mapping last reported, if any."""
    connection.execute(
        text(
            f"""
            INSERT INTO {exceptions.fullname} AS e
                (code, record_type, record_id, field, detail, division, value, currency)
            VALUES (:code, :record_type, :record_id, '', :detail, '', 0, '')
            ON CONFLICT (code, record_type, record_id, field) DO UPDATE SET
                detail = excluded.detail, last_seen = now(), is_open = true, is_mended = false, closed_at = NULL,
                times_seen = CASE WHEN e.is_open THEN e.times_seen + 1 ELSE 1 END,
                first_seen = CASE WHEN e.is_open THEN e.first_seen ELSE now() END
            """
        ),
        {"code": code, "record_type": record_type, "record_id": record_id, "detail": detail},
    )


def close_mended(connection: Connection, record_type: str) -> None:
    """Close the mended exceptions of records whose newest version is confirmed, or excluded."""
    connection.execute(
        text(
            f"UPDATE {exceptions.fullname} e SET is_open = false, closed_at = now() FROM {outbox.fullname} o "
            "WHERE e.is_open AND e.is_mended AND e.record_type = :record_type AND o.record_type = e.record_type "
            "AND o.record_id = e.record_id AND o.state IN ('confirmed', 'excluded')"
        ),
        {"record_type": record_type},
    )


def open_now(engine: Engine, record_type: str, codes: Sequence[str]) -> pd.DataFrame:
    """The open and not mended exceptions of some codes: the columns of the table, oldest first."""
    names = ["code", "record_id", "field", "detail", "division", "value", "currency", "first_seen"]
    with engine.connect() as connection:
        rows = connection.execute(
            text(
                f"SELECT {', '.join(names)} FROM {exceptions.fullname} WHERE is_open AND NOT is_mended "
                "AND record_type = :record_type AND code = ANY(:codes) ORDER BY first_seen, record_id"
            ),
            {"record_type": record_type, "codes": list(codes)},
        ).all()
    return pd.DataFrame([tuple(row) for row in rows], columns=names)
