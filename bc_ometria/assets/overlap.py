"""Work on one batch while the one before it is written."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Batch = TypeVar("Batch")
Outcome = TypeVar("Outcome")


def write_behind(batches: Iterable[Batch], write: Callable[[Batch], Outcome]) -> Iterator[Outcome]:
    """The outcome of writing each batch, in their order.

    One thread writes, so batches are committed one after the other; meanwhile this one makes the next, for
    PostgreSQL needs none of this process's time. A batch that cannot be made or written stops those behind it,
    and the error is raised here; what was written before stays.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="write") as writer:
        under_way: Future[Outcome] | None = None
        for batch in batches:
            if under_way:
                yield under_way.result()
            under_way = writer.submit(write, batch)
        if under_way:
            yield under_way.result()
