"""What is kept of Ometria's unsubscribes (Q1)."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine

from bc_ometria.store import touched, unsubscribes
from bc_ometria.store.unsubscribes import Unsubscribe

AT = datetime(2026, 1, 5, 10, tzinfo=UTC)
LATER = AT + timedelta(hours=1)


def test_the_newest_opt_out_of_an_address_and_channel_counts(engine: Engine) -> None:
    first = [Unsubscribe("Ann@Example.com ", "email", AT), Unsubscribe("ann@example.com", "sms", AT)]
    assert unsubscribes.put(engine, first) == 2
    assert unsubscribes.put(engine, first) == 0, "what is read again is no news"
    again = [Unsubscribe("ANN@example.com", "email", at) for at in (LATER, AT, AT - timedelta(days=1))]
    assert unsubscribes.put(engine, again) == 1
    assert unsubscribes.newest(engine) == LATER


def test_a_stamp_of_the_future_does_not_move_the_reading_on(engine: Engine) -> None:
    ahead = datetime.now(UTC) + timedelta(days=400)
    unsubscribes.put(engine, [Unsubscribe("ann@example.com", "email", ahead)])
    assert unsubscribes.newest(engine) is None
    unsubscribes.put(engine, [Unsubscribe("ann@example.com", "sms", AT)])
    assert unsubscribes.newest(engine) == AT


def test_a_reading_that_breaks_off_leaves_nothing(engine: Engine) -> None:
    def listed() -> Iterator[Unsubscribe]:
        for number in range(10_001):
            yield Unsubscribe(f"{number}@example.com", "email", AT)
        raise ConnectionError

    with pytest.raises(ConnectionError):
        unsubscribes.put(engine, listed())
    assert unsubscribes.newest(engine) is None
    assert unsubscribes.waiting(engine).read_s_ago is None
    assert touched.count(engine, "customer") == 0


def test_an_empty_list_was_read_too(engine: Engine) -> None:
    assert unsubscribes.put(engine, []) == 0
    assert unsubscribes.waiting(engine).read_s_ago is not None
    assert unsubscribes.of_customers(engine, []).empty
    assert not unsubscribes.are_needed(engine)
