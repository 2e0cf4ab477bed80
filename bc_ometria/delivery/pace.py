"""When each waiting event goes: so many of one type within so many minutes, and what can make it before its cliff.

At most 1,000 contacts enter the flows of one event at once, and Ometria drops the others in silence
(contracts/ometria.md). So after an outage events are spread, and where not all can make it the newest do.
"""

from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

import pandas as pd
from sqlalchemy import Connection, Engine, func, select

from bc_ometria.rules import Account, Pace
from bc_ometria.store import order_events
from bc_ometria.store.database import one_at_a_time

_STEPS = 10  # to a window; so that a plan made a second later is the same, and need not be written again


@dataclass(frozen=True)
class Plan:
    """When every waiting event goes, as seen at one moment.

    ``events`` are those of ``store.order_events.waiting`` with ``goes_at``: missing on what was tried already, waits
    for its parents, or cannot make it.
    """

    events: pd.DataFrame
    now: pd.Timestamp

    @cached_property
    def by_type(self) -> pd.DataFrame:
        """One row per event type, the most waiting first: ``event_type``; how many are ``waiting``, of which
        ``tried`` were sent or are to be sent again, ``wait_for_parents``, ``goes_now``, ``goes_later`` and
        ``will_miss`` the journey; and ``last_goes_at``."""
        goes_at, free = self.events["goes_at"], self._free
        flags = {
            "waiting": pd.Series(True, self.events.index),
            "tried": self.events["is_tried"],
            "wait_for_parents": ~self.events["is_tried"] & ~free,
            "goes_now": goes_at <= self.now,
            "goes_later": goes_at > self.now,
            "will_miss": free & goes_at.isna(),
        }
        of_type = self.events["event_type"]
        table = pd.DataFrame(flags).groupby(of_type).sum().astype("int64")
        table["last_goes_at"] = goes_at.groupby(of_type).max()
        return table.sort_values("waiting", ascending=False, kind="stable").reset_index()

    @property
    def changes(self) -> pd.DataFrame:
        """What differs from what the outbox says: ``record_id``, ``next_attempt`` and ``reason``."""
        goes_at, next_attempt = self.events["goes_at"], self.events["next_attempt"]
        is_due = goes_at <= self.now
        reason = self.events["note"].where(is_due, "")
        is_unplanned = goes_at.isna() & next_attempt.isna()
        is_so = is_unplanned | (goes_at == next_attempt) | (is_due & (next_attempt <= self.now))
        differs = ~self.events["is_tried"] & ~(is_so & (reason == self.events["noted"]))
        planned = pd.DataFrame({"record_id": self.events["record_id"], "next_attempt": goes_at, "reason": reason})
        return planned[differs]

    @property
    def _free(self) -> pd.Series:
        """The events that neither an attempt nor a parent keeps."""
        return ~self.events["is_tried"] & (self.events["waits_for"] == "")


def release(engine: Engine, account: Account) -> Plan:
    """Let the events go that may go now, and those of the next windows when their time has come; all others wait.

    To be called every second or so while events wait, before they are claimed: the plan follows what was sent. An event
    that was tried keeps its own next attempt, and its place in the pace.
    """
    with one_at_a_time(engine, "pace of events"), engine.begin() as connection:
        plan = _plan(connection, account)
        changes = plan.changes
        if len(changes):
            order_events.release(connection, changes)
    return plan


def planned(engine: Engine, account: Account) -> Plan:
    """The same plan, only looked at."""
    with engine.connect() as connection:
        return _plan(connection, account)


def _plan(connection: Connection, account: Account) -> Plan:
    now = pd.Timestamp(connection.execute(select(func.now())).scalar_one()).tz_convert("UTC")
    # In this order: what another process claims in between then counts as sent, and not as neither.
    events = order_events.waiting(connection, account.parents_wait_min)
    sent = order_events.sent_lately(connection, account.pace.minutes)
    plan = Plan(events, now)
    free = events[plan._free]
    return Plan(events.assign(goes_at=goes_at(free, sent, account.pace, now)), now)


def goes_at(events: pd.DataFrame, sent: pd.DataFrame, pace: Pace, now: datetime) -> pd.Series:
    """When each event goes, by the index of ``events``; missing where it would miss its journey.

    ``events``: ``record_id``, ``event_type``, ``happened_at``, ``enters_until``. ``sent``: ``event_type``, how many
    ``events`` went within the last window, and the time of the ``newest``. All times with offset.

    - What is left of this window goes now. The next begins when none of what went before counts any more, and then one
      after the other: so no ``pace.minutes`` see more than ``pace.contacts`` events of a type.
    - As many as possible go before their ``enters_until``, and the newest of them: those that could start a journey for
      longest. They go oldest first.
    """
    columns = ["event_type", "enters_until", "happened_at", "record_id"]
    newest_first = events[columns].sort_values(columns, ascending=False)
    of_type = newest_first["event_type"]

    at, window = _microseconds(pd.Series([pd.Timestamp(now)])).iloc[0], round(60e6 * pace.minutes)
    step = max(window // _STEPS, 1)
    known = sent.set_index("event_type")
    left = (pace.contacts - of_type.map(known["events"]).fillna(0).astype("int64")).clip(lower=0)
    newest = of_type.map(_microseconds(known["newest"])).where(left == 0, at).astype("int64")
    second = -(-newest // step) * step + window

    # Places are counted from now on. Each event has a last one that is in time, and each place is taken once.
    enters_until = _microseconds(newest_first["enters_until"])
    windows = (-((second - enters_until) // window)).clip(lower=0)
    last_place = (left + pace.contacts * windows).where(enters_until > at, 0)
    newer = newest_first.groupby("event_type").cumcount()
    makes_it = (last_place + newer).groupby(of_type).cummin() > newer
    place = makes_it.groupby(of_type).transform("sum") - newer

    time = (second + (place - left - 1) // pace.contacts * window).where(place > left, at)
    times_of_all = pd.to_datetime(time, unit="us", utc=True).where(makes_it)
    return times_of_all.reindex(events.index)


def _microseconds(times: pd.Series) -> pd.Series:
    return pd.to_datetime(times, utc=True).dt.as_unit("us").astype("int64")
