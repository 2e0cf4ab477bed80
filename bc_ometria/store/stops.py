"""Lanes of which nothing is sent: paused by a person, or stopped by the guard until a person approves.

Their records stay ``wanted`` in the outbox, and go when the stop has ended. A stop of the guard is about the records
that its ``detail`` speaks of (``as_of``): they are what a person approves. What comes later is judged anew.
"""

from typing import Any

import orjson
import pandas as pd
from sqlalchemy import Connection, Engine, Row, text

from bc_ometria.store import changes
from bc_ometria.store.lanes import RECORD_TYPES
from bc_ometria.store.schema import lane_stops, outbox

PAUSED = "paused"
"""The cause of a stop that is a person's; every other one is the guard's."""


class NotStopped(LookupError):
    """There is no such stop to end; says what to do."""


def pause(engine: Engine, lane: str, record_type: str = "") -> bool:
    """Send nothing of a lane, or of one record type in it, until ``resume``; whether it was not paused before."""
    with engine.begin() as connection:
        return stop(connection, lane, record_type, PAUSED, {}, 0) is not None


def resume(engine: Engine, lane: str) -> None:
    """End every pause of a lane. Stops of the guard stay. Raises ``NotStopped`` where it is not paused."""
    with engine.begin() as connection:
        if connection.execute(
            text(
                f"UPDATE {lane_stops.fullname} SET ended_at = now(), ended_by = 'resume' "
                "WHERE lane = :lane AND cause = :paused AND ended_at IS NULL"
            ),
            {"lane": lane, "paused": PAUSED},
        ).rowcount:
            return
        guarded = [str(stop.id) for stop in of_guard(connection) if stop.lane == lane]
    advice = f" The guard has stopped it: `bc-ometria approve {' '.join(guarded)}` lets it go." if guarded else ""
    raise NotStopped(f"Lane {lane} is not paused.{advice}")


def stop(
    connection: Connection, lane: str, record_type: str, cause: str, detail: dict[str, Any], records: int
) -> int | None:
    """Stop a lane for a record type; the id of the stop. Where it is stopped for that cause already: ``None``, and
    ``detail`` and ``records`` are those given now."""
    opened = connection.execute(
        text(
            f"INSERT INTO {lane_stops.fullname} (lane, record_type, cause, detail, records) "
            "VALUES (:lane, :record_type, :cause, :detail, :records) "
            "ON CONFLICT (lane, record_type, cause) WHERE ended_at IS NULL "
            "DO UPDATE SET detail = excluded.detail, records = excluded.records RETURNING id, xmax = 0 AS is_new"
        ),
        {
            "lane": lane,
            "record_type": record_type,
            "cause": cause,
            "detail": orjson.dumps(detail).decode(),
            "records": records,
        },
    ).one()
    return opened.id if opened.is_new else None


def stopped(connection: Connection) -> set[tuple[str, str]]:
    """Lane and record type of every open stop; one of a whole lane stands for each record type."""
    rows = connection.execute(text(f"SELECT lane, record_type FROM {lane_stops.fullname} WHERE ended_at IS NULL")).all()
    return {(row.lane, each) for row in rows for each in ([row.record_type] if row.record_type else RECORD_TYPES)}


def of_guard(connection: Connection) -> list[Row]:
    """The guard's open stops, oldest first: ``id``, ``lane``, ``record_type``, ``cause``, ``detail`` (JSON) and the
    present as ``now``."""
    return list(
        connection.execute(
            text(
                f"SELECT id, lane, record_type, cause, detail, now() AS now FROM {lane_stops.fullname} "
                "WHERE ended_at IS NULL AND cause <> :paused ORDER BY id"
            ),
            {"paused": PAUSED},
        )
    )


def open_stops(engine: Engine) -> pd.DataFrame:
    """Every open stop, oldest first: ``id``, ``lane``, ``record_type`` (blank: all), ``cause``, ``detail`` (a dict),
    ``records`` that it is about, ``stopped_at``, ``age_h`` (hours since then), and how many records of the lane are
    ``waiting`` now."""
    columns = ["id", "lane", "record_type", "cause", "detail", "records", "stopped_at", "age_h", "waiting"]
    with engine.connect() as connection:
        rows = connection.execute(
            text(
                f"SELECT {', '.join(f's.{name}' for name in columns[:-2])}, "
                "CAST(extract(epoch FROM now() - s.stopped_at) / 3600 AS double precision), "
                f"(SELECT count(*) FROM {outbox.fullname} o WHERE o.state = 'wanted' AND o.lane = s.lane "
                "AND s.record_type IN ('', o.record_type)) "
                f"FROM {lane_stops.fullname} s WHERE s.ended_at IS NULL ORDER BY s.id"
            )
        ).all()
    found = pd.DataFrame([tuple(row) for row in rows], columns=columns)
    return found.assign(detail=found["detail"].map(orjson.loads))


def approve(engine: Engine, id: int) -> int:
    """End a stop of the guard, and let go the records that it was about; how many.

    Raises ``NotStopped`` for a stop that is not there, has ended, or is a person's pause.
    """
    with engine.begin() as connection:
        found = connection.execute(
            text(f"SELECT * FROM {lane_stops.fullname} WHERE id = :id FOR UPDATE"), {"id": id}
        ).one_or_none()
        if found is None:
            raise NotStopped(f"There is no stop {id}. `bc-ometria approve` lists those that are open.")
        if found.ended_at is not None:
            raise NotStopped(
                f"Stop {id} ended at {found.ended_at:%Y-%m-%d %H:%M} ({found.ended_by}): there is nothing to approve. "
                "`bc-ometria approve` lists the stops that are open."
            )
        if found.cause == PAUSED:
            raise NotStopped(f"Stop {id} is a pause of lane {found.lane}. `bc-ometria resume {found.lane}` ends it.")
        end(connection, id, "approve")
        as_of = orjson.loads(found.detail).get("as_of")
        return changes.let_go(connection, found.record_type, [found.lane], as_of) if as_of else 0


def end(connection: Connection, id: int, by: str) -> None:
    connection.execute(
        text(f"UPDATE {lane_stops.fullname} SET ended_at = now(), ended_by = :by WHERE id = :id"), {"id": id, "by": by}
    )
