"""The budget of calls: never over the account's rates, and nearly all of them used."""

import threading
from bisect import bisect_left
from concurrent.futures import ThreadPoolExecutor
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bc_ometria.ometria.budget import Budget, Kind, Limits

WINDOWS: dict[Kind, float] = {"push": 1.0, "other": 1.0, "erasure": 60.0, "merge": 60.0}
RATES: dict[Kind, int] = {"push": 8, "other": 4, "erasure": 6, "merge": 1}


class Time:
    """A clock that moves when somebody sleeps, a little longer than asked as real sleep does."""

    def __init__(self, oversleep: float = 0.0) -> None:
        self.now = 1_000.0
        self.slept = 0.0
        self._oversleep = oversleep

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.slept += seconds
        self.now += seconds + self._oversleep


def most_in_any_window(calls: list[float], window: float) -> int:
    """The most calls in a window of the server, wherever it begins (both ends included)."""
    return max(bisect_left(calls, start + window + 1e-9) - index for index, start in enumerate(calls))


@given(
    kind=st.sampled_from(get_args(Kind)),
    gaps=st.lists(st.floats(0, 2) | st.just(0.0), min_size=1, max_size=60),
    oversleep=st.floats(0, 0.2),
)
def test_no_window_of_the_server_ever_holds_more_calls_than_the_rate(
    kind: Kind, gaps: list[float], oversleep: float
) -> None:
    time = Time(oversleep)
    budget = Budget(clock=time.clock, sleep=time.sleep)
    calls = []
    for gap in gaps:
        time.now += gap * WINDOWS[kind] / 4
        budget.acquire(kind)
        calls.append(time.now)
    assert most_in_any_window(calls, WINDOWS[kind]) <= RATES[kind]


@given(rates=st.tuples(*[st.integers(1, 50)] * 4))
def test_a_busy_sender_uses_at_least_98_percent_of_every_rate(rates: tuple[int, int, int, int]) -> None:
    for kind, rate in zip(get_args(Kind), rates, strict=True):
        time = Time()
        budget = Budget(Limits(*rates), clock=time.clock, sleep=time.sleep)
        windows = 100
        for _ in range(windows * rate + 1):
            budget.acquire(kind)
        assert windows * WINDOWS[kind] < time.now - 1_000.0 <= windows * WINDOWS[kind] / 0.98


def test_the_first_calls_after_a_rest_do_not_wait() -> None:
    time = Time()
    budget = Budget(clock=time.clock, sleep=time.sleep)
    for kind, rate in RATES.items():
        for _ in range(rate):
            budget.acquire(kind)
    assert time.slept == 0


def test_kinds_are_counted_apart() -> None:
    time = Time()
    budget = Budget(clock=time.clock, sleep=time.sleep)
    for _ in range(9):
        budget.acquire("push")
    slept = time.slept
    assert slept > 0
    budget.acquire("other")
    assert time.slept == slept


def test_a_pause_holds_its_kind_for_as_long_as_ometria_asked() -> None:
    time = Time()
    budget = Budget(clock=time.clock, sleep=time.sleep)
    budget.pause("push", 30)
    budget.pause("push", 5)  # An earlier end does not shorten it.
    budget.acquire("other")
    assert time.slept == 0
    budget.acquire("push")
    assert time.now == 1_030.0
    budget.acquire("push")
    assert time.now == 1_030.0


def test_threads_share_one_budget() -> None:
    time = Time()
    lock = threading.Lock()
    asleep = 0

    def sleep(seconds: float) -> None:
        nonlocal asleep
        with lock:
            asleep += 1
        raise TimeoutError  # Whoever finds the bucket empty goes home.

    budget = Budget(Limits(push_per_s=8), clock=time.clock, sleep=sleep)
    with ThreadPoolExecutor(20) as pool:
        calls = [pool.submit(budget.acquire, "push") for _ in range(200)]
    assert sum(call.exception() is None for call in calls) == 8
    assert asleep == 192


@pytest.mark.parametrize("rates", [{"push_per_s": 0}, {"merge_per_min": -1}])
def test_a_rate_below_one_is_refused(rates: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Limits(**rates)


def test_an_unlimited_budget_never_waits() -> None:
    budget = Budget.unlimited()
    budget.pause("push", 3_600)
    for _ in range(1_000):
        budget.acquire("push")
