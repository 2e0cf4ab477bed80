"""One budget for all processes of an account, and what they know together of its queue and its key (P3, P6)."""

import multiprocessing
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, text

from bc_ometria.delivery.budget import (
    SharedBudget,
    _Turn,
    bulk_may_go,
    clear_refusal,
    note_refusal,
    note_reply,
    refusal,
)
from bc_ometria.ometria.budget import AHEAD, MARGIN, Limits
from bc_ometria.store.database import connect
from bc_ometria_tests.store.rows import table, until_waiting

START = datetime(2026, 11, 23, 9, 5, tzinfo=UTC)
AT_ONCE = 0.0
"""As ``start_by``: take what is free now, wait for nothing."""


@pytest.fixture
def budget(engine: Engine) -> SharedBudget:
    return SharedBudget(engine, Limits())


@pytest.fixture
def other(database_url: str, engine: Engine) -> Iterator[SharedBudget]:
    """The budget as another process has it."""
    others = connect(database_url)
    yield SharedBudget(others, Limits())
    others.dispose()


def change(engine: Engine, sql: str) -> None:
    with engine.begin() as connection:
        connection.execute(text(f"SET LOCAL search_path TO bc_ometria; {sql}"))


def move(engine: Engine, seconds: float, kind: str = "push") -> None:
    """Let so many seconds pass, for the turns and the pauses."""
    by = f"interval '{seconds} seconds'"
    change(
        engine,
        f"UPDATE call_budget SET closed_until = closed_until - {by}, "
        f"taken = ARRAY(SELECT at - {by} FROM unnest(taken) AS at ORDER BY 1) WHERE kind = '{kind}'",
    )


def taken(engine: Engine, kind: str = "push") -> list[datetime]:
    return {row[0]: row[1] for row in table(engine, "call_budget", "kind, taken")}.get(kind, [])


def clock(engine: Engine) -> datetime:
    with engine.connect() as connection:
        return connection.execute(text("SELECT clock_timestamp()")).scalar_one()


def test_processes_share_one_rate(budget: SharedBudget, other: SharedBudget, engine: Engine) -> None:
    before = clock(engine)
    assert budget.acquire("erasure", up_to=4) == 4
    assert other.acquire("erasure", up_to=4) == 2
    assert budget.acquire("erasure", start_by=AT_ONCE) == 0
    assert other.acquire("erasure", start_by=AT_ONCE) == 0
    assert len(taken(engine, "erasure")) == 6
    assert all(before <= at <= clock(engine) for at in taken(engine, "erasure"))


def _take_and_tell(url: str, told: Any) -> None:
    engine = connect(url)
    told.put(SharedBudget(engine, Limits(erasure_per_min=6)).acquire("erasure", up_to=4, start_by=AT_ONCE))
    engine.dispose()


def test_real_processes_that_start_together_take_no_more_than_the_rate(database_url: str, engine: Engine) -> None:
    spawning = multiprocessing.get_context("spawn")
    told = spawning.Queue()
    processes = [spawning.Process(target=_take_and_tell, args=(database_url, told)) for _ in range(2)]
    for process in processes:
        process.start()
    assert sorted(told.get(timeout=60) for _ in processes) == [2, 4]
    for process in processes:
        process.join(60)


def test_threads_share_one_rate(budget: SharedBudget, other: SharedBudget) -> None:
    with ThreadPoolExecutor(20) as pool:
        calls = [pool.submit(each.acquire, "erasure", start_by=AT_ONCE) for each in (budget, other) * 20]
    assert sum(call.result() for call in calls) == 6


def test_kinds_are_counted_apart(budget: SharedBudget) -> None:
    for kind, rate in (("merge", 1), ("erasure", 6), ("push", 8), ("other", 4)):
        assert budget.acquire(kind, up_to=20) == rate


def test_whoever_finds_no_turn_sleeps_until_one_is_back_and_keeps_nobody_out_meanwhile(
    budget: SharedBudget, other: SharedBudget, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        change(engine, "SELECT FROM call_budget FOR UPDATE NOWAIT")  # fails where a transaction is open
        assert other.acquire("erasure", start_by=AT_ONCE) == 0
        move(engine, seconds, "erasure")

    monkeypatch.setattr(time, "sleep", sleep)
    assert other.acquire("erasure", up_to=6) == 6
    assert budget.acquire("erasure", up_to=6) == 1
    assert 55 < sum(slept) <= 60 * MARGIN - AHEAD.total_seconds()
    assert len(slept) <= 2
    made = taken(engine, "erasure")
    assert made[6] - made[0] >= timedelta(seconds=60 * MARGIN)


def test_one_thread_of_a_process_asks_for_all(budget: SharedBudget, engine: Engine) -> None:
    """The others wait for it, and not at the database's. However long it waits there: the turn counts from its end."""
    with engine.begin() as connection, ThreadPoolExecutor(6) as pool:
        connection.execute(text("LOCK TABLE bc_ometria.call_budget"))
        calls = [pool.submit(budget.acquire, "erasure") for _ in range(6)]
        until_waiting(engine, 1)
        assert waiting(engine) == 1
        freed_at = clock(engine)
        connection.commit()
        assert sum(call.result(60) for call in calls) == 6
    assert min(taken(engine, "erasure")) > freed_at


def waiting(engine: Engine) -> int:
    with engine.connect() as connection:
        return connection.execute(text("SELECT count(*) FROM pg_locks WHERE NOT granted")).scalar_one()


def test_a_call_starts_with_its_turn_and_not_before(
    budget: SharedBudget, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    hold(budget, START, time.monotonic() + 50)
    budget.start("merge")
    assert 40 < sum(slept) <= 50
    assert taken(engine, "merge") == []  # Nothing was asked of the database.


def test_a_call_that_is_later_than_its_turn_counts_from_its_start(budget: SharedBudget, engine: Engine) -> None:
    """Or nine calls would meet in one second: eight with turns of a second ago that start now, and the next one."""
    assert SharedBudget(engine, Limits()).acquire("merge") == 1
    hold(budget, taken(engine, "merge")[0], time.monotonic() - 30)
    before = clock(engine)
    budget.start("merge")
    (at,) = taken(engine, "merge")
    assert before <= at <= clock(engine)


def hold(budget: SharedBudget, at: datetime, moment: float) -> None:
    """Let the budget have a turn for merge-profile as if it had been taken."""
    budget._turns["merge"].append(_Turn(at, moment))


def test_a_call_without_a_turn_takes_one(budget: SharedBudget, engine: Engine) -> None:
    budget.start("push")
    assert len(taken(engine)) == 1


def test_turns_that_are_given_back_are_free_for_others(
    budget: SharedBudget, other: SharedBudget, engine: Engine
) -> None:
    assert budget.acquire("erasure", up_to=6) == 6
    budget.give_back("erasure", 4)
    budget.give_back("erasure", 0)
    assert len(taken(engine, "erasure")) == 2
    assert other.acquire("erasure", up_to=6) == 4
    budget.give_back("erasure", 100)  # It has two.
    assert other.acquire("erasure", up_to=6) == 2
    assert len(taken(engine, "erasure")) == 6


def test_a_pause_holds_its_kind_in_every_process(budget: SharedBudget, other: SharedBudget, engine: Engine) -> None:
    budget.pause("push", 30)
    other.pause("push", 5)  # An earlier end does not shorten it.
    for each in (budget, other):
        assert each.acquire("push", start_by=time.monotonic() + 20) == 0
        assert each.acquire("other", start_by=AT_ONCE) == 1
    move(engine, 20)
    assert budget.acquire("push", start_by=AT_ONCE) == 0
    move(engine, 10)
    assert budget.acquire("push", start_by=AT_ONCE) == 1


def test_an_absurd_pause_is_capped(budget: SharedBudget, engine: Engine) -> None:
    budget.pause("push", 1e12)
    move(engine, 300)
    assert budget.acquire("push", start_by=AT_ONCE) == 1


def test_a_clock_that_jumps_back_blocks_nobody(budget: SharedBudget, engine: Engine) -> None:
    """A restored database remembers calls and pauses of times that are to come."""
    budget.acquire("erasure", up_to=6)
    budget.pause("erasure", 30)
    move(engine, -86_400, "erasure")
    assert budget.acquire("erasure", up_to=6) == 6
    assert max(taken(engine, "erasure")) <= clock(engine)


@pytest.mark.parametrize(("before", "after", "more"), [(8, 4, 0), (4, 8, 4)])
def test_a_changed_rate_counts_the_calls_made_before(engine: Engine, before: int, after: int, more: int) -> None:
    assert SharedBudget(engine, Limits(erasure_per_min=before)).acquire("erasure", up_to=20) == before
    changed = SharedBudget(engine, Limits(erasure_per_min=after))
    assert changed.acquire("erasure", up_to=20, start_by=AT_ONCE) == more
    move(engine, 122, "erasure")
    assert changed.acquire("erasure", up_to=20) == after


# --- the queue -----------------------------------------------------------------------------------------------


def test_bulk_stops_while_ometrias_queue_is_nearly_full(engine: Engine) -> None:
    assert bulk_may_go(engine, 10_000)
    note_reply(engine, 50_000, 10_000)
    assert bulk_may_go(engine, 10_000)
    note_reply(engine, 50_000, 9_999)
    assert not bulk_may_go(engine, 10_000)
    assert bulk_may_go(engine, 9_999)
    assert bulk_may_go(engine, 0)
    note_reply(engine, None, None)  # A reply without the headers says nothing.
    assert not bulk_may_go(engine, 10_000)
    note_reply(engine, 50_000, 40_000)
    assert bulk_may_go(engine, 10_000)


def test_of_a_small_queue_a_fifth_is_enough(engine: Engine) -> None:
    note_reply(engine, 1_000, 200)
    assert bulk_may_go(engine, 10_000)
    note_reply(engine, 1_000, 199)
    assert not bulk_may_go(engine, 10_000)
    note_reply(engine, None, 9_999)  # How many it takes was not said.
    assert not bulk_may_go(engine, 10_000)


@pytest.mark.parametrize("aside", ["- interval '5 seconds'", "+ interval '1 day'"])
def test_what_was_heard_long_ago_lets_bulk_try_again(engine: Engine, aside: str) -> None:
    note_reply(engine, 50_000, 0)
    assert not bulk_may_go(engine, 10_000)
    change(engine, f"UPDATE ometria_account SET queue_seen_at = queue_seen_at {aside}")
    assert bulk_may_go(engine, 10_000)


# --- the key -------------------------------------------------------------------------------------------------


def test_every_process_knows_that_the_key_is_refused(engine: Engine) -> None:
    clear_refusal(engine)
    assert refusal(engine) is None
    note_reply(engine, 50_000, 0)
    assert refusal(engine) is None
    before = clock(engine)
    note_refusal(engine, "Ometria refused the API key (403).")
    said = refusal(engine)
    assert said is not None
    assert said[0] == "Ometria refused the API key (403)."
    assert before <= said[1] <= clock(engine)
    assert said[1].astimezone(UTC).tzinfo is UTC
    note_refusal(engine, "Ometria refused the API key (401).")
    again = refusal(engine)
    assert again is not None
    assert again[0] == "Ometria refused the API key (401)."
    assert again[1] > said[1]
    clear_refusal(engine)
    assert refusal(engine) is None
    assert not bulk_may_go(engine, 10_000)  # What was said of the queue stays.
