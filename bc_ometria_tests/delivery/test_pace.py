"""After an outage events are spread, and what can make it before its cliff does: the newest where not all can."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import combinations

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine, text

from bc_ometria.delivery.pace import Plan, goes_at, planned, release
from bc_ometria.rules import Pace
from bc_ometria.store import outbox
from bc_ometria.store.schema import SCHEMA
from bc_ometria_tests.delivery.waiting import account, change, claim, event, order, waiting

NOW = datetime(2026, 11, 23, 12, 0, 7, 123456, tzinfo=UTC)
CLIFF = 240.0
MINUTE = 60_000_000  # microseconds

Event = tuple[float, float]
"""Minutes since it happened, and minutes for which it can still enter a journey."""


def when(
    *events: Event,
    sent: Sequence[float] = (),
    contacts: int = 2,
    minutes: float = 5,
    event_type: str = "order_dispatched",
) -> list[float | None]:
    """In how many minutes each event goes; ``sent`` says how many minutes ago others went."""
    return when_of_types({event_type: events}, {event_type: sent}, contacts, minutes)[event_type]


def when_of_types(
    events: dict[str, Sequence[Event]], sent: dict[str, Sequence[float]], contacts: int, minutes: float
) -> dict[str, list[float | None]]:
    rows = [
        (f"{event_type}-{number}", event_type, NOW - timedelta(minutes=age), NOW + timedelta(minutes=left))
        for event_type, of_type in events.items()
        for number, (age, left) in enumerate(of_type)
    ]
    lately = [
        (event_type, len(ago), NOW - timedelta(minutes=min(ago)))
        for event_type, times in sent.items()
        if (ago := [each for each in times if each < minutes])
    ]
    frame = pd.DataFrame(rows, columns=["record_id", "event_type", "happened_at", "enters_until"])
    known = pd.DataFrame(lately, columns=["event_type", "events", "newest"])
    known["newest"] = pd.to_datetime(known["newest"], utc=True)
    goes = goes_at(frame, known, Pace(contacts=contacts, minutes=minutes), NOW)
    in_minutes = [None if pd.isna(at) else (at - NOW) // timedelta(microseconds=1) / MINUTE for at in goes]
    return {
        event_type: [at for of, at in zip(frame["event_type"], in_minutes, strict=True) if of == event_type]
        for event_type in events
    }


def of_age(age: float) -> Event:
    return age, CLIFF - age


def windows(goes: Sequence[float | None]) -> list[int | None]:
    """The windows in which they go, counted from 0 for now."""
    times = sorted({at for at in goes if at is not None})
    return [None if at is None else times.index(at) for at in goes]


def test_what_fits_goes_now() -> None:
    assert when(of_age(1), of_age(100)) == [0, 0]


def test_nothing_waits() -> None:
    assert when() == []


def test_more_go_in_windows_the_oldest_first() -> None:
    goes = when(*(of_age(age) for age in (1, 5, 3, 2, 4)))
    assert windows(goes) == [2, 0, 1, 1, 0]
    first, second, third = sorted(set(goes))
    assert (first, third - second) == (0, pytest.approx(5))
    assert 5 <= second <= 5.5  # a plan that is made again a second later is the same one


def test_what_went_lately_counts() -> None:
    """So a window is not begun anew by looking again."""
    one_left = when(of_age(1), of_age(2), sent=[4])
    assert windows(one_left) == [1, 0]
    assert one_left[1] == 0
    none_left = when(of_age(1), sent=[4, 3])
    assert 2 <= none_left[0] <= 2.5
    more_than_that = when(of_age(1), sent=[4, 3, 1])
    assert 4 <= more_than_that[0] <= 4.5
    long_ago = when(of_age(1), of_age(2), sent=[6, 7, 8])
    assert long_ago == [0, 0]


def test_where_not_all_can_make_it_the_newest_do_and_still_the_oldest_of_them_first() -> None:
    goes = when(*map(of_age, (239, 238, 237, 236, 231, 230)))
    assert windows(goes) == [None, None, 0, 0, 1, 1]


def test_what_is_too_late_already_takes_no_place() -> None:
    assert when((241, -1), (240, 0), (239, 1), (238, 2)) == [None, None, 0, 0]


def test_each_type_has_a_pace_of_its_own() -> None:
    goes = when_of_types(
        {"order_dispatched": [of_age(3), of_age(2), of_age(1)], "order_cancelled": [of_age(2), of_age(1)], "other": []},
        {"order_cancelled": [1, 1]},
        contacts=2,
        minutes=5,
    )
    assert windows(goes["order_dispatched"]) == [0, 0, 1]
    assert all(4 <= at <= 4.5 for at in goes["order_cancelled"])


def test_the_plan_holds_still_from_one_second_to_the_next() -> None:
    """Or 20,000 rows would be written at every look."""
    frame = pd.DataFrame(
        {
            "record_id": [f"e{n}" for n in range(50)],
            "event_type": "order_dispatched",
            "happened_at": NOW - pd.to_timedelta(range(50), unit="min"),
            "enters_until": NOW + timedelta(hours=4),
        }
    )
    sent = pd.DataFrame({"event_type": ["order_dispatched"], "events": [5], "newest": [pd.Timestamp(NOW)]})
    of_second = [
        goes_at(frame, sent, Pace(contacts=5, minutes=5), NOW + timedelta(seconds=seconds)).tolist()
        for seconds in range(20)
    ]
    assert all(plan == of_second[0] for plan in of_second)


# --- properties ----------------------------------------------------------------------------------------------

minutes_ago = st.integers(0, 2400).map(lambda tenths: tenths / 10)
of_one_cliff = st.lists(minutes_ago.map(of_age), max_size=40)
of_any_cliff = st.lists(st.tuples(minutes_ago, st.integers(-50, 600).map(lambda tenths: tenths / 10)), max_size=40)
paces = st.tuples(st.integers(1, 8), st.sampled_from([0.5, 1.0, 5.0]))
earlier = st.lists(st.integers(0, 99).map(lambda tenths: tenths / 10), max_size=20)
A_MICROSECOND = 1 / 60e6


@given(of_any_cliff, earlier, paces)
def test_no_window_sees_more_than_the_pace(events: list[Event], sent: list[float], pace: tuple[int, float]) -> None:
    """With what went before, wherever the window begins; where that alone was too much, nothing is added to it."""
    contacts, minutes = pace
    goes = [at for at in when(*events, sent=sent, contacts=contacts, minutes=minutes) if at is not None]
    times = sorted([-ago for ago in sent] + goes)
    for end in sorted(set(goes)):
        assert sum(end - minutes + A_MICROSECOND < at <= end for at in times) <= contacts


@given(of_any_cliff, earlier, paces)
def test_who_goes_goes_in_time(events: list[Event], sent: list[float], pace: tuple[int, float]) -> None:
    goes = when(*events, sent=sent, contacts=pace[0], minutes=pace[1])
    assert all(0 <= at < left for at, (_, left) in zip(goes, events, strict=True) if at is not None)


@given(of_any_cliff, earlier, paces)
def test_who_has_less_time_left_goes_no_later(events: list[Event], sent: list[float], pace: tuple[int, float]) -> None:
    """The oldest first, as long as the cliff is one."""
    goes = when(*events, sent=sent, contacts=pace[0], minutes=pace[1])
    in_turn = sorted((left, -age, at) for (age, left), at in zip(events, goes, strict=True) if at is not None)
    assert [at for *_, at in in_turn] == sorted(at for *_, at in in_turn)


@given(of_one_cliff, earlier, paces)
def test_who_is_given_up_is_older_than_all_who_go(
    events: list[Event], sent: list[float], pace: tuple[int, float]
) -> None:
    goes = when(*events, sent=sent, contacts=pace[0], minutes=pace[1])
    going = [age for (age, _), at in zip(events, goes, strict=True) if at is not None]
    given_up = [age for (age, _), at in zip(events, goes, strict=True) if at is None]
    assert max(going, default=0) <= min(given_up, default=CLIFF)


@given(of_any_cliff.map(lambda events: events[:7]), earlier, st.tuples(st.integers(1, 2), st.sampled_from([0.5, 5.0])))
def test_nobody_is_given_up_who_could_go(events: list[Event], sent: list[float], pace: tuple[int, float]) -> None:
    """As many go as any choice of events would allow."""
    contacts, minutes = pace
    goes = when(*events, sent=sent, contacts=contacts, minutes=minutes)
    # With endless time everybody goes: the places that there are, one after the other.
    of_endless_time = when(*[(1.0, 1e6)] * len(events), sent=sent, contacts=contacts, minutes=minutes)
    places = sorted(at for at in of_endless_time if at is not None)
    assert len(places) == len(events)

    def can_go(chosen: Sequence[Event]) -> bool:
        return all(at < left for at, left in zip(places, sorted(left for _, left in chosen), strict=False))

    most = max(size for size in range(len(events) + 1) if any(map(can_go, combinations(events, size))))
    assert sum(at is not None for at in goes) == most


# --- in the outbox -------------------------------------------------------------------------------------------


def claimed(engine: Engine) -> list[str]:
    return sorted(record.record_id for record in claim(engine))


def next_attempts(engine: Engine) -> dict[str, str]:
    """``due``, ``later`` or ``never`` for each event."""
    with engine.connect() as connection:
        rows = connection.execute(
            text(
                "SELECT record_id, CASE WHEN next_attempt <= now() THEN 'due' WHEN next_attempt = 'infinity' "
                f"THEN 'never' ELSE 'later' END FROM {SCHEMA}.outbox WHERE record_type = 'custom_event' ORDER BY 1"
            )
        ).all()
    return {row[0]: row[1] for row in rows}


def reason(engine: Engine, record_id: str) -> str:
    with engine.connect() as connection:
        statement = f"SELECT reason FROM {SCHEMA}.outbox WHERE record_id = :id"
        return connection.execute(text(statement), {"id": record_id}).scalar_one()


def written(engine: Engine) -> list[tuple[str, str]]:
    """Which transaction wrote each row last."""
    with engine.connect() as connection:
        rows = connection.execute(text(f"SELECT record_id, xmin::text FROM {SCHEMA}.outbox ORDER BY 1")).all()
    return [(row[0], row[1]) for row in rows]


def of_type(plan: Plan, event_type: str = "order_dispatched") -> dict[str, object]:
    (row,) = plan.by_type[plan.by_type["event_type"] == event_type].to_dict("records")
    return {name: value for name, value in row.items() if value != 0 and name not in ("event_type", "last_goes_at")}


def a_window_passes(engine: Engine, minutes: float = 5) -> None:
    back = "make_interval(secs => :seconds)"
    change(
        engine,
        f"UPDATE outbox SET accepted_at = accepted_at - {back}, next_attempt = next_attempt - {back}",
        seconds=60 * minutes + 31,
    )


def test_events_go_at_the_pace_the_oldest_first(engine: Engine) -> None:
    waiting(engine, 10, 50, 20, 40, 30)
    assert claimed(engine) == []
    plan = release(engine, account())
    assert of_type(plan) == {"waiting": 5, "goes_now": 2, "goes_later": 3}
    assert next_attempts(engine) == {"e0": "later", "e1": "due", "e2": "later", "e3": "due", "e4": "later"}
    first = claim(engine)
    assert sorted(record.record_id for record in first) == ["e1", "e3"]
    release(engine, account())
    assert claimed(engine) == []  # they are under way
    outbox.acknowledge(engine, "custom_event", first, "r-1")
    assert of_type(release(engine, account())) == {"waiting": 3, "goes_later": 3}
    assert claimed(engine) == []
    a_window_passes(engine)
    release(engine, account())
    assert claimed(engine) == ["e2", "e4"]


def test_the_newest_go_where_not_all_can_make_it_and_the_others_are_left_to_the_cliff(engine: Engine) -> None:
    waiting(engine, 239, 238, 237, 236, 235, 10)
    plan = release(engine, account())
    assert of_type(plan) == {"waiting": 6, "goes_now": 2, "goes_later": 1, "will_miss": 3}
    assert set(plan.events.loc[plan.events["goes_at"].isna(), "record_id"]) == {"e0", "e1", "e2"}
    assert next_attempts(engine) == {
        "e0": "never",
        "e1": "never",
        "e2": "never",
        "e3": "due",
        "e4": "due",
        "e5": "later",
    }


def test_the_plan_follows_what_comes(engine: Engine) -> None:
    """What was released and is not sent is planned anew, later too."""
    waiting(engine, 10, 20)
    release(engine, account())
    assert next_attempts(engine) == {"e0": "due", "e1": "due"}
    for record_id, ago_min in (("e8", 40), ("e9", 30)):
        order(engine, f"of {record_id}")
        event(engine, record_id, f"of {record_id}", ago_min=ago_min)
    release(engine, account())
    assert next_attempts(engine) == {"e0": "later", "e1": "later", "e8": "due", "e9": "due"}
    change(engine, "UPDATE outbox SET state = 'wanted' WHERE record_id IN ('of e8', 'of e9')")
    plan = release(engine, account())
    assert of_type(plan) == {"waiting": 4, "wait_for_parents": 2, "goes_now": 2}
    assert next_attempts(engine) == {"e0": "due", "e1": "due", "e8": "never", "e9": "never"}


def test_an_event_that_was_tried_keeps_its_own_next_attempt_and_its_place(engine: Engine) -> None:
    """So an outage leaves at most one window of events that go when it ends."""
    waiting(engine, 30, 20, 10)
    release(engine, account())
    outbox.give_back(engine, "custom_event", claim(engine), arrived=False)
    plan = release(engine, account())
    assert of_type(plan) == {"waiting": 3, "tried": 2, "goes_later": 1}
    assert {"e0", "e1"}.isdisjoint(plan.changes["record_id"])
    assert next_attempts(engine)["e2"] == "later"


def test_an_event_that_goes_before_ometria_showed_its_order_says_so(engine: Engine) -> None:
    """P23. Only when it goes, and no longer than it is so."""
    order(engine, "W1", "sent", ago_min=20)
    event(engine, "e1", "W1", ago_min=100)
    assert of_type(release(engine, account())) == {"waiting": 1, "wait_for_parents": 1}
    assert reason(engine, "e1") == ""
    release(engine, account(parents_wait_min=15))
    assert (next_attempts(engine), reason(engine, "e1")) == ({"e1": "due"}, "went before Ometria showed its order")
    change(engine, "UPDATE outbox SET state = 'confirmed' WHERE record_id = 'W1'")
    release(engine, account())
    assert reason(engine, "e1") == ""


def test_nothing_is_written_where_nothing_changes(engine: Engine) -> None:
    waiting(engine, *range(10, 30))
    assert len(release(engine, account()).changes) == 20
    first = written(engine)
    assert planned(engine, account()).changes.empty
    release(engine, account())
    assert written(engine) == first


def test_a_plan_without_events_is_empty(engine: Engine) -> None:
    plan = release(engine, account())
    assert (len(plan.by_type), len(plan.changes)) == (0, 0)
    assert {"waiting", "goes_now", "goes_later", "will_miss", "last_goes_at"} <= set(plan.by_type.columns)
