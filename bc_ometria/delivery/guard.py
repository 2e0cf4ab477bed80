"""What is out of all proportion stops its lane before anything of it is sent, until a person approves (P6).

Judged are waiting records that Ometria has: how many orders that count as revenue there would not any more, and how
many contacts would have another consent there. A change is out of proportion where it is ``least`` records, and the
threshold's share of the records of its type that wait beside it in the live lanes. So the 900,000 updates of a history
import hide no mass cancellation, and what comes in ones and twos over a day stops nothing. Each version of a record is
judged once: what was in proportion is not judged again when its neighbours have gone.

Judged is also the size of each reading of Blue Cherry, once, when it is over.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median
from typing import Any

import orjson
from sqlalchemy import Connection, Engine, Row

from bc_ometria.rules import GuardThresholds
from bc_ometria.store import changes, extracts, mirror, stops
from bc_ometria.store.changes import Change, InLane
from bc_ometria.store.extracts import Reading
from bc_ometria.store.lanes import LIVE

STOPPED_BY_READING = {"contact": ("live",), "order": ("cancellations", "live")}
"""The lanes that an unusual reading stops, by the type of the records that it feeds. An opt-out goes all the same: it
stands for itself, however many rows came with it. Events wait for their orders."""

_FIGURES_LAST = timedelta(seconds=30)  # those of an open stop; to take them costs more than a look
_READ_FOR_FIGURES = 10_000  # records
_EXAMPLES = 10
_MOST_FREQUENT = 5
_READINGS_BEFORE = 5  # fewer do not tell what is usual


@dataclass(frozen=True)
class _Kind:
    """Changes of one record type that are judged together, and what they mean in Ometria."""

    record_type: str
    cause: str
    meaning: str


_ORDERS = _Kind("order", "orders_become_invalid", "would not count as revenue any more")
_CONTACTS = _Kind("contact", "contacts_change_consent", "would have another consent there")


def watch(engine: Engine, thresholds: GuardThresholds) -> set[tuple[str, str]]:
    """Stop the lanes in which what waits is out of proportion; lane and record type of every open stop.

    To be called after records were claimed and before they are sent. A stop ends by itself when none of its records
    would change any more, because that was taken back in Blue Cherry.
    """
    with engine.begin() as connection:
        waiting = changes.waiting(connection)
        of_guard = stops.of_guard(connection)
        for kind, percent in (
            (_ORDERS, thresholds.orders_become_invalid),
            (_CONTACTS, thresholds.contacts_change_consent),
        ):
            stopped = {stop.lane: stop for stop in of_guard if stop.cause == kind.cause}
            of_kind = [change for change in waiting if change.record_type == kind.record_type]
            flowing = [change for change in of_kind if change.lane not in stopped]
            if flowing and changes.count(connection, flowing, thresholds.least) >= thresholds.least:
                _judge(connection, kind, flowing, set(LIVE) - stopped.keys(), percent)
            if stopped and _is_due(stopped.values()):
                _look_again(connection, kind, [each for each in of_kind if each.lane in stopped], stopped, percent)
        return stops.stopped(connection)


def _judge(
    connection: Connection, kind: _Kind, changing: Sequence[Change], beside: Collection[str], percent: float
) -> None:
    """Stop the lanes of these changes where they are out of proportion to what waits ``beside`` them; else let the
    changes go."""
    lanes = changes.by_lane(connection, changing)
    records = sum(lane.records for lane in lanes)
    waiting = _waiting(connection, kind, lanes, beside, limit=int(100 * records / percent) + 1)
    if 100 * records >= percent * waiting:
        _stop(connection, kind, changing, lanes, waiting, percent)
    elif lanes:
        newest = max(lane.newest for lane in lanes)
        changes.let_go(connection, kind.record_type, [lane.name for lane in lanes], newest)


def _is_due(open_stops: Iterable[Row]) -> bool:
    """Whether the figures of one of the stops are old."""
    return any(
        stop.now - datetime.fromisoformat(orjson.loads(stop.detail)["looked_at"]) >= _FIGURES_LAST
        for stop in open_stops
    )


def _look_again(
    connection: Connection, kind: _Kind, changing: Sequence[Change], stopped: Mapping[str, Row], percent: float
) -> None:
    """Take the figures of open stops anew, for what came since; end those of which nothing is left."""
    lanes = changes.by_lane(connection, changing)
    for name in stopped.keys() - {lane.name for lane in lanes}:
        stops.end(connection, stopped[name].id, "mended")
    _stop(connection, kind, changing, lanes, _waiting(connection, kind, lanes, LIVE), percent)


def _waiting(
    connection: Connection, kind: _Kind, lanes: Sequence[InLane], beside: Collection[str], limit: int | None = None
) -> int:
    """All records of the type that wait in the live lanes ``beside``, and those of other lanes that change; of the
    former no more than ``limit`` are counted."""
    elsewhere = sum(lane.records for lane in lanes if lane.name not in beside)
    in_live_lanes = changes.known(connection, kind.record_type, sorted(beside), limit)
    return max(elsewhere + in_live_lanes, sum(lane.records for lane in lanes))  # some may just have gone


def _stop(
    connection: Connection,
    kind: _Kind,
    changing: Sequence[Change],
    lanes: Sequence[InLane],
    waiting: int,
    percent: float,
) -> None:
    records = sum(lane.records for lane in lanes)
    for lane in lanes:
        detail = {
            "what": f"{records:,} of {waiting:,} waiting {kind.record_type}s that Ometria has {kind.meaning}: "
            f"{100 * records / waiting:.0f} %, and {percent:g} % stop the lane",
            "as_of": lane.newest,
            "looked_at": lane.counted_at,
            **_figures(connection, kind, [change for change in changing if change.lane == lane.name]),
        }
        stops.stop(connection, lane.name, kind.record_type, kind.cause, detail, lane.records)


def _figures(connection: Connection, kind: _Kind, changing: Sequence[Change]) -> dict[str, Any]:
    """What a person needs to decide about the changes of one lane; nothing personal."""
    records = changes.records(connection, changing, _READ_FOR_FIGURES)
    if kind is _CONTACTS:
        return {
            "looked_into": len(records),
            "consents": _most_frequent(f"{each.sent_standing} → {each.standing}" for each in records),
            "examples": [f"…{each.record_id[-4:]}" for each in records[:_EXAMPLES]],
        }
    payloads = [_parsed(each.payload) for each in records]
    revenue: Counter[str] = Counter()
    for payload in payloads:
        revenue[payload.get("currency", "no currency")] += payload.get("grand_total", 0)
    return {
        "looked_into": len(records),
        "revenue": {currency: round(amount, 2) for currency, amount in revenue.items()},
        "statuses": _most_frequent(payload.get("status", "no status") for payload in payloads),
        "examples": [each.record_id for each in records[:_EXAMPLES]],
    }


def _parsed(payload: str | None) -> dict[str, Any]:
    """A payload; nothing where it is no JSON, for Ometria to refuse: it must not keep the others back."""
    try:
        return orjson.loads(payload or "{}")
    except orjson.JSONDecodeError:
        return {}


def _most_frequent(values: Iterable[str]) -> dict[str, int]:
    return dict(Counter(values).most_common(_MOST_FREQUENT))


def judge_reading(
    engine: Engine, thresholds: GuardThresholds, resource: str, rows: int, known_rows: int, overlap: timedelta
) -> str:
    """Write down how many rows a reading of what is new gave, and stop the lanes that it feeds where they are too many
    or none; what is unusual about it, blank where nothing is.

    ``known_rows``: how many of the same window the mirror knew before. ``overlap``: how far behind the newest stamp
    the reading began. A reading may have as many rows as it has time to cover: one after an outage of six hours is
    larger than one of half a minute, and nothing is wrong with it.
    """
    with engine.begin() as connection:
        readings = extracts.record(connection, resource, rows, known_rows)
        usual = usual_rows(readings, overlap)
        if rows == 0 and known_rows >= thresholds.extract_least:
            cause, what = "extract_empty", f"Blue Cherry gave none of the {known_rows:,} {resource} that it gave before"
        elif usual and rows >= thresholds.extract_least and rows > thresholds.extract_times * usual:
            cause = "extract_too_large"
            what = (
                f"Blue Cherry gave {rows:,} {resource} at once, where {usual:,.0f} are usual, "
                f"and {thresholds.extract_times:g} times as many stop the lane"
            )
        else:
            return ""
        record_type = "contact" if resource in mirror.CUSTOMER_RESOURCES else "order"
        said = {resource: {"at": readings[0].at, "rows": rows, "known_rows": known_rows, "what": what}}
        for lane in STOPPED_BY_READING[record_type]:
            before = {
                name: reading
                for stop in stops.of_guard(connection)
                if (stop.lane, stop.record_type, stop.cause) == (lane, record_type, cause)
                for name, reading in orjson.loads(stop.detail)["readings"].items()
            }
            together = before | said
            detail = {"what": "; ".join(reading["what"] for reading in together.values()), "readings": together}
            stops.stop(connection, lane, record_type, cause, detail, sum(each["rows"] for each in together.values()))
        return what


def usual_rows(readings: Sequence[Reading], overlap: timedelta) -> float | None:
    """How many rows the newest of the readings would have by the median of those before it, for the time that it
    covers; ``None`` where they are too few, or all were empty. The newest comes first."""
    if len(readings) <= _READINGS_BEFORE:
        return None
    begins = [*(reading.at for reading in readings[1:]), readings[-1].at]
    covers = [reading.at - begin + overlap for reading, begin in zip(readings, begins, strict=True)]
    paces = [reading.rows / time.total_seconds() for reading, time in zip(readings, covers, strict=True)]
    paces_before = [pace for pace in paces[1:] if pace > 0]
    return median(paces_before) * covers[0].total_seconds() if paces_before else None
