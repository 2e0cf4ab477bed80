"""A batch is written while the next one is made, and none is written before its turn."""

from collections.abc import Iterator
from threading import Event, current_thread

import pytest

from bc_ometria.assets.overlap import write_behind


def test_outcomes_come_in_the_order_of_the_batches() -> None:
    assert list(write_behind(range(5), lambda batch: batch * 10)) == [0, 10, 20, 30, 40]
    assert list(write_behind([], lambda batch: batch)) == []


def test_a_batch_is_made_while_the_one_before_is_written() -> None:
    is_made, written_by = Event(), []

    def batches() -> Iterator[int]:
        yield 1
        is_made.set()
        yield 2

    def write(batch: int) -> int:
        assert is_made.wait(30), "the next batch was not made meanwhile"
        written_by.append(current_thread().name)
        return batch

    assert list(write_behind(batches(), write)) == [1, 2]
    assert len(set(written_by)) == 1
    assert current_thread().name not in written_by


def test_a_batch_that_cannot_be_written_stops_those_behind_it() -> None:
    """Truth 6: the watermark of a later batch would pass over the rows that were not committed."""
    written = []

    def write(batch: int) -> None:
        if batch == 2:
            raise ValueError("refused")
        written.append(batch)

    with pytest.raises(ValueError, match="refused"):
        list(write_behind(range(1, 6), write))
    assert written == [1]


def test_a_batch_that_cannot_be_made_leaves_what_was_made_before_written() -> None:
    written: list[int] = []

    def batches() -> Iterator[int]:
        yield 1
        raise ValueError("no JSON")

    with pytest.raises(ValueError, match="no JSON"):
        list(write_behind(batches(), written.append))
    assert written == [1]
