"""What waits in each lane, and how long it takes to drain at the account's budget."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil

import pandas as pd
from sqlalchemy import Engine, text

from bc_ometria.ometria.client import MAX_RECORDS, PAGE_SIZE
from bc_ometria.rules import Account
from bc_ometria.store.lanes import LANES
from bc_ometria.store.schema import lane_stops, outbox
from bc_ometria.store.stops import PAUSED


@dataclass(frozen=True)
class Drain:
    """The calls that some records take, and the seconds for which they keep the account's budget busy: to send them,
    and, at the same time, to read them back."""

    pushes: int
    push_s: float
    reads: int
    read_s: float


def drain(waiting: Mapping[str, int], account: Account) -> Drain:
    """What it takes to send so many records of each type in full calls, and to prove them. Ometria shows no events."""
    pushes = sum(ceil(records / MAX_RECORDS) for records in waiting.values())
    shown = [records for record_type, records in waiting.items() if record_type != "custom_event"]
    if account.read_back_lists:
        reads = sum(ceil(records / PAGE_SIZE) for records in shown)
    else:
        reads = ceil(sum(shown) * account.read_back_sample)
    limits = account.limits
    return Drain(pushes, pushes / limits.push_per_s, reads, reads / limits.other_per_s)


def lanes(engine: Engine) -> pd.DataFrame:
    """What waits, the most urgent lane first: ``lane``, ``record_type``, ``waiting``, and ``stopped``: by which stops,
    blank where it flows."""
    with engine.connect() as connection:
        rows = connection.execute(
            text(
                f"""
                SELECT w.*, coalesce(string_agg(
                    CASE s.cause WHEN '{PAUSED}' THEN 'paused' ELSE 'stop ' || s.id || ': ' || s.cause END, ', '
                    ORDER BY s.id
                ), '')
                FROM (
                    SELECT lane, record_type, count(*) AS waiting FROM {outbox.fullname}
                    WHERE state = 'wanted' GROUP BY 1, 2
                ) w
                LEFT JOIN {lane_stops.fullname} s
                    ON s.ended_at IS NULL AND s.lane = w.lane AND s.record_type IN ('', w.record_type)
                GROUP BY w.lane, w.record_type, w.waiting
                ORDER BY array_position(CAST(:lanes AS text[]), w.lane), w.record_type
                """
            ),
            {"lanes": list(LANES)},
        ).all()
    return pd.DataFrame([tuple(row) for row in rows], columns=["lane", "record_type", "waiting", "stopped"])
