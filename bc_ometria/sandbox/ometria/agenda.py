"""What is due later by the stand-in's clock: queued records, waiting flows, jobs. Nothing runs by itself."""

import heapq
from collections.abc import Callable
from itertools import count

Action = Callable[[float], None]
"""Does something, and is told the time (seconds since the epoch) at which it was due."""


class Agenda:
    """Actions in order of their due time, those of one time in the order they were added."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, int, Action]] = []
        self._number = count()
        self.records = 0
        """Pushed records that are still waiting."""

    def add(self, due: float, action: Action, *, records: int = 0) -> None:
        heapq.heappush(self._heap, (due, next(self._number), records, action))
        self.records += records

    def run(self, until: float) -> None:
        """Do all that is due, also what becomes due on the way."""
        while self._heap and self._heap[0][0] <= until:
            due, _, records, action = heapq.heappop(self._heap)
            self.records -= records
            action(due)
