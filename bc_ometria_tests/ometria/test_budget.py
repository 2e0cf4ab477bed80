"""The rule of the budget: never over the account's rates, and nearly all of them used (truth 4, P3)."""

from bisect import bisect_right
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bc_ometria.ometria.budget import AHEAD, MARGIN, MAX_PAUSE_S, Bucket, Kind, Limits, Unlimited

START = datetime(2026, 11, 23, 9, 5, tzinfo=UTC)
SECOND = timedelta(seconds=1)
WINDOW = SECOND * MARGIN
"""How long a token is away where Ometria counts by the second."""


def bucket(
    now: datetime, *taken: datetime, rate: int = 8, window: timedelta = SECOND, closed_until: datetime | None = None
) -> Bucket:
    return Bucket(rate, window, now, taken, closed_until)


def most_in_any_window(calls: Sequence[datetime], window: timedelta) -> int:
    """The most calls in a window of the server, wherever it begins (both ends included)."""
    return max((bisect_right(calls, start + window) - index for index, start in enumerate(calls)), default=0)


def latest(made: Sequence[datetime], rate: int, window: timedelta, now: datetime) -> datetime:
    """When the next call must be free to go at the latest, counted from the calls themselves."""
    if len(made) < rate:
        return now
    return max(now, made[-rate] + window * MARGIN, made[-1] + window * MARGIN / rate)


steps = st.lists(
    st.tuples(
        st.sampled_from(["take", "take", "take", "give_back", "late"]),
        st.integers(1, 12),
        st.floats(0, 1.5) | st.just(0.0),
    ),
    min_size=1,
    max_size=60,
)


@given(kind=st.sampled_from(get_args(Kind)), limits=st.builds(Limits, *[st.integers(1, 12)] * 4), steps=steps)
@settings(deadline=None)
def test_no_window_of_the_server_ever_holds_more_calls_than_the_rate_and_none_waits_in_vain(
    kind: Kind, limits: Limits, steps: list[tuple[str, int, float]]
) -> None:
    """Whatever is taken, given back, or begun later than its turn; between the steps nothing but the row is kept."""
    rate, window = limits.of(kind)
    now, row = START, bucket(START, rate=rate, window=window)
    made: list[datetime] = []
    for what, number, share in steps:
        now += window * share
        row = bucket(now, *row.taken, rate=rate, window=window)
        pending = [at for at in made if at > now - window * (MARGIN - 1)]
        if what == "take":
            for at in row.take(number):
                assert now <= at <= latest(made, rate, window, now)
                made.append(at)
                made.sort()
        elif what == "give_back":
            unused = pending[-number:]
            row.give_back(unused)
            for at in unused:
                made.remove(at)
        elif made and made[-1] <= now:
            moments = row.delay(made[-1])
            assert moments == [now] or now > made[-1] + window * MARGIN - AHEAD
            made = [*made[:-1], *moments]
    assert most_in_any_window(made, window) <= rate


@given(
    kind=st.sampled_from(get_args(Kind)),
    limits=st.builds(Limits, *[st.integers(1, 50)] * 4),
    up_to=st.integers(1, 20),
)
@settings(deadline=None)
def test_a_busy_sender_uses_at_least_98_percent_of_every_rate(kind: Kind, limits: Limits, up_to: int) -> None:
    """Also where each question comes some milliseconds late, as real ones do."""
    rate, window = limits.of(kind)
    row, now, made = bucket(START, rate=rate, window=window), START, []
    while len(made) <= 20 * rate:
        made += row.take(up_to)
        now = max(now, row.free_at() - AHEAD) + timedelta(milliseconds=5)
        row = bucket(now, *row.taken, rate=rate, window=window)
    assert 20 * window < made[20 * rate] - START <= 20 * window / 0.98


def test_the_first_calls_after_a_rest_do_not_wait() -> None:
    now = START + 2 * WINDOW
    assert bucket(now, *[START] * 8).take(20) == [now] * 8


def test_a_busy_account_makes_its_calls_at_equal_distances() -> None:
    row = bucket(START)
    made, now = row.take(20), START
    while len(made) < 40:
        now = row.free_at()
        row = bucket(now, *row.taken)
        made += row.take(20)
    assert made[:8] == [START] * 8
    assert made[8] == START + WINDOW
    gaps = [later - earlier for earlier, later in pairwise(made[8:])]
    assert all(abs(gap - WINDOW / 8) < timedelta(microseconds=2) for gap in gaps)


def test_a_turn_is_taken_a_little_ahead_of_its_moment_and_not_earlier() -> None:
    free = START + WINDOW
    assert bucket(free - AHEAD, *[START] * 8).take(20) == [free]
    early = bucket(free - AHEAD - timedelta(milliseconds=1), *[START] * 8)
    assert early.take(1) == []
    assert early.free_at() == free


def test_a_pause_holds_for_as_long_as_ometria_asked() -> None:
    row = bucket(START)
    row.close(30)
    row.close(5)  # An earlier end does not shorten it.
    assert row.closed_until == START + 30 * SECOND
    later = bucket(START + 20 * SECOND, closed_until=row.closed_until)
    assert later.take(1) == []
    assert later.free_at() == START + 30 * SECOND
    assert bucket(START + 30 * SECOND, closed_until=row.closed_until).take(9) == [START + 30 * SECOND] * 8


@given(seconds=st.floats(0, 1e18))
def test_an_absurd_pause_is_capped(seconds: float) -> None:
    row = bucket(START)
    row.close(seconds)
    assert row.free_at() <= START + timedelta(seconds=MAX_PAUSE_S)


@given(back=st.floats(0, 1e7), kind=st.sampled_from(get_args(Kind)), pause=st.none() | st.floats(0, MAX_PAUSE_S))
def test_a_clock_that_jumps_back_blocks_no_longer_than_one_window_or_pause(
    back: float, kind: Kind, pause: float | None
) -> None:
    """A restored database: its clock stands before the times that it remembers."""
    rate, window = Limits().of(kind)
    row = bucket(START, rate=rate, window=window)
    row.take(rate)
    if pause is not None:
        row.close(pause)
    now = START - timedelta(seconds=back)
    after = bucket(now, *row.taken, rate=rate, window=window, closed_until=row.closed_until)
    longest = max(window * MARGIN, timedelta(seconds=MAX_PAUSE_S if pause is not None else 0))
    assert after.free_at() <= now + AHEAD + longest


@pytest.mark.parametrize(("before", "after"), [(8, 4), (4, 8), (8, 1), (1, 12)])
def test_a_changed_rate_holds_at_once(before: int, after: int) -> None:
    row = bucket(START, rate=before)
    assert len(row.take(20)) == before
    changed = bucket(START, *row.taken, rate=after)
    assert len(changed.take(20)) == max(0, after - before)
    next_window = bucket(START + 2 * WINDOW, *changed.taken, rate=after)
    assert len(next_window.take(20)) == after


def test_turns_that_are_given_back_uncover_the_older_ones() -> None:
    now = START + WINDOW - AHEAD / 2
    row = bucket(now, *[START] * 8)
    row.give_back(row.take(8))
    assert row.take(1) == [START + WINDOW]


def test_a_late_call_counts_from_its_start_and_not_from_its_turn() -> None:
    now = START + WINDOW / 2
    row = bucket(now, *[START] * 8)
    assert row.delay(START) == [now]
    assert bucket(START + WINDOW, *row.taken).free_at() < START + 1.5 * WINDOW
    row.delay(START)
    assert row.taken == [*[START] * 6, now, now]


def test_a_turn_of_long_ago_is_none_any_more() -> None:
    now = START + WINDOW
    row = bucket(now, *[START] * 8, *[now] * 8)  # others have had the turns that came back since
    assert row.delay(START) == []
    assert row.taken == [*[START] * 7, *[now] * 8]


def test_only_as_many_times_are_remembered_as_can_count() -> None:
    row = bucket(START, *[START - 100 * SECOND] * 1_000)
    row.take(8)
    assert len(row.taken) == 16
    assert row.taken[-8:] == [START] * 8


@pytest.mark.parametrize("rates", [{"push_per_s": 0}, {"merge_per_min": -1}])
def test_a_rate_below_one_is_refused(rates: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Limits(**rates)


def test_an_unlimited_budget_never_waits() -> None:
    budget = Unlimited()
    budget.pause("push", 3_600)
    assert budget.acquire("push", 1_000) == 1_000
    budget.start("push")
    budget.give_back("push", 999)
