"""Why records are held, and what people should know about those that go; closes itself.

A finding opens an exception. When the newest version of its record no longer shows it, the exception is
mended; it closes when that version is confirmed in Ometria, or needs no confirmation because the record is
excluded. What nothing can mend closes by its age.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

import pandas as pd
from sqlalchemy import Connection, Engine, select, text
from sqlalchemy.dialects.postgresql import insert

from bc_ometria.store.copy import copy_in, temporary_like
from bc_ometria.store.schema import (
    BLOCKED_EVENTS,
    OPEN_EXCEPTIONS,
    exception_codes,
    exceptions,
    order_events,
    outbox,
)

FINDING = ["code", "record_id", "field", "detail", "division", "value", "currency"]
"""Columns of a finding. ``field`` is blank where no single field is to blame; ``detail`` is masked text;
``value`` is the money at stake in minor units."""

_LATER = ("rejected", "drift")  # found by delivery, not by mapping: only a new version can mend them

MERGE_FAILED = "merge_failed"  # only Ometria can mend it, and who takes the merge back

_LASTS = f"EXISTS (SELECT FROM {exception_codes.fullname} c WHERE c.code = e.code AND c.lasts_h IS NOT NULL)"


class Code(Protocol):
    """What the rules say of one exception code, as ``rules.ExceptionCode``."""

    @property
    def owner(self) -> str: ...
    @property
    def severity(self) -> str: ...
    @property
    def wait_min(self) -> int: ...
    @property
    def lasts_h(self) -> int | None: ...
    @property
    def meaning(self) -> str: ...


def set_codes(connection: Connection, codes: Mapping[str, Code]) -> None:
    """Keep beside the exceptions what the rules in force say of each code; writes only what differs."""
    names = [column.name for column in exception_codes.columns if column.name != "code"]
    wanted = {code: {name: getattr(rule, name) for name in names} for code, rule in codes.items()}
    rows = connection.execute(select(exception_codes)).mappings()
    known = {row["code"]: {name: row[name] for name in names} for row in rows}
    for code in sorted(code for code in wanted if wanted[code] != known.get(code)):
        row = insert(exception_codes).values(code=code, **wanted[code])
        connection.execute(row.on_conflict_do_update(index_elements=["code"], set_=wanted[code]))
    if gone := known.keys() - wanted.keys():
        connection.execute(exception_codes.delete().where(exception_codes.c.code.in_(gone)))


def record(connection: Connection, record_type: str, record_ids: Sequence[str], findings: pd.DataFrame) -> None:
    """Open the findings about ``record_ids``, and mark as mended what those records no longer show.

    ``findings`` has the columns ``FINDING``. To be called in the transaction that writes the records' newest
    versions to the outbox, after it.
    """
    _alone(connection)
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
            is_open = true, is_mended = false, closed_at = NULL, closed_by = NULL
        """
    )
    later = ", ".join(f"'{code}'" for code in _LATER)
    connection.exec_driver_sql(
        f"""
        UPDATE {exceptions.fullname} e SET is_mended = true
        FROM evaluated v JOIN {outbox.fullname} o ON o.record_id = v.record_id
        WHERE e.is_open AND NOT e.is_mended AND e.record_type = '{record_type}' AND e.record_id = v.record_id
            AND o.record_type = e.record_type
            AND (e.code NOT IN ({later}) OR (o.state <> 'drift' AND o.reason <> e.code)) AND NOT {_LASTS}
            AND e.code <> '{MERGE_FAILED}'
            AND NOT EXISTS (
                SELECT FROM findings f
                WHERE f.code = e.code AND f.record_id = e.record_id AND f.field = e.field
            )
        """
    )
    connection.exec_driver_sql("DROP TABLE evaluated, findings")
    close_mended(connection, record_type)


def open_one(connection: Connection, code: str, record_type: str, record_id: str, detail: str) -> None:
    """Open an exception that delivery found; division and value are those that mapping last reported, if any."""
    _alone(connection)
    connection.execute(
        text(
            f"""
            INSERT INTO {exceptions.fullname} AS e
                (code, record_type, record_id, field, detail, division, value, currency)
            VALUES (:code, :record_type, :record_id, '', :detail, '', 0, '')
            ON CONFLICT (code, record_type, record_id, field) DO UPDATE SET
                detail = excluded.detail, last_seen = now(),
                is_open = true, is_mended = false, closed_at = NULL, closed_by = NULL,
                times_seen = CASE WHEN e.is_open THEN e.times_seen + 1 ELSE 1 END,
                first_seen = CASE WHEN e.is_open THEN e.first_seen ELSE now() END
            """
        ),
        {"code": code, "record_type": record_type, "record_id": record_id, "detail": detail},
    )


def mend(connection: Connection, code: str, record_type: str, record_ids: Sequence[str]) -> None:
    """Mark as mended what delivery found about records, now that it sees it no more."""
    _alone(connection)
    connection.execute(
        text(
            f"UPDATE {exceptions.fullname} SET is_mended = true WHERE is_open AND NOT is_mended "
            "AND code = :code AND record_type = :record_type AND record_id = ANY(:ids)"
        ),
        {"code": code, "record_type": record_type, "ids": list(record_ids)},
    )


def close_mended(connection: Connection, record_type: str) -> None:
    """Close what is settled about records of a type, and note by what in ``closed_by``.

    - ``version 3f2a91c0… confirmed``, ``excluded: …``: it was mended, and so stands the record's newest version
    - ``version … accepted``, ``withdrawn: …``: a custom event's, which cannot be read back (contracts/ometria.md), so
      that going or not going any more is all there is to mend
    - ``age``: its code has ``lasts_h``, it was not seen for so long, and nothing else can close it
    """
    _alone(connection)
    connection.execute(
        text(
            f"""
            UPDATE {exceptions.fullname} e SET is_open = false, closed_at = now(), closed_by = CASE
                WHEN o.state IN ('excluded', 'withdrawn') THEN o.state || ': ' || o.reason
                ELSE 'version ' || left(o.wanted_version, 8) || '… ' || o.state
            END
            FROM {outbox.fullname} o
            WHERE e.is_open AND e.record_type = :record_type AND (e.is_mended OR e.record_type = 'custom_event')
                AND NOT {_LASTS} AND o.record_type = e.record_type AND o.record_id = e.record_id
                AND o.state IN ('confirmed', 'accepted', 'excluded', 'withdrawn')
            """
        ),
        {"record_type": record_type},
    )
    connection.execute(
        text(
            f"""
            UPDATE {exceptions.fullname} e SET is_open = false, closed_at = now(), closed_by = 'age'
            FROM {exception_codes.fullname} c
            WHERE e.is_open AND e.record_type = :record_type AND c.code = e.code
                AND e.last_seen < now() - make_interval(hours => c.lasts_h)
            """
        ),
        {"record_type": record_type},
    )


def _alone(connection: Connection) -> None:
    """Let one transaction at a time write exceptions: two that lock several in another order would wait for each
    other for ever."""
    connection.execute(text("SELECT pg_advisory_xact_lock(hashtext(:table))"), {"table": exceptions.fullname})


def open_now(engine: Engine, record_type: str, codes: Sequence[str]) -> pd.DataFrame:
    """The open and not mended exceptions of some codes, oldest first.

    Columns: ``FINDING``, ``first_seen``, ``age_h`` (hours since then), ``blocked_events`` (how many), ``is_waiting``,
    and ``event``: order number and type where it is about a custom event, else blank.
    """
    columns = {name: f"x.{name}" for name in (*FINDING, "first_seen", "blocked_events", "is_waiting")} | {
        "age_h": "CAST(extract(epoch FROM now() - x.first_seen) / 3600 AS double precision)",
        "event": "coalesce(v.ord_num || ' ' || v.event_type, '')",
    }
    with engine.connect() as connection:
        rows = connection.execute(
            text(
                f"SELECT {', '.join(columns.values())} FROM {OPEN_EXCEPTIONS} x "
                f"LEFT JOIN {order_events.fullname} v ON x.record_type = 'custom_event' AND v.record_id = x.record_id "
                "WHERE x.record_type = :record_type AND x.code = ANY(:codes) ORDER BY x.first_seen, x.record_id"
            ),
            {"record_type": record_type, "codes": list(codes)},
        ).all()
    return pd.DataFrame([tuple(row) for row in rows], columns=list(columns)).astype({"is_waiting": bool})


def blocked_events(engine: Engine, record_type: str, codes: Sequence[str]) -> pd.DataFrame:
    """The events that wait for open exceptions of some codes: ``record_id`` of the exception, ``event_id`` and
    ``event_type``, each event once per record."""
    columns = ["record_id", "event_id", "event_type"]
    with engine.connect() as connection:
        rows = connection.execute(
            text(
                f"SELECT DISTINCT {', '.join(columns)} FROM {BLOCKED_EVENTS} "
                "WHERE record_type = :record_type AND code = ANY(:codes)"
            ),
            {"record_type": record_type, "codes": list(codes)},
        ).all()
    return pd.DataFrame([tuple(row) for row in rows], columns=columns)
