"""Simulated time: processes that sleep, wake in order and write rows stamped with the moment they woke."""

import heapq
from collections import Counter, defaultdict
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from zoneinfo import ZoneInfo

from bc_ometria.sandbox.changes import Change, Delete, Value, Write

MINUTE, HOUR, DAY = 60, 3600, 86400

Process = Generator[int, None, None]
"""A life told as a generator: it does something, yields the seconds until it goes on, and so forth."""


@dataclass(slots=True)
class Defect:
    """Trouble planted on purpose in one order or customer: the truth a demo or a test counts against."""

    kind: str
    resource: str
    """``orders`` or ``customers``."""
    key: str
    """``ord_num`` or ``customer``, not padded."""
    at: datetime
    """When it came into the rows, in the tenant's local time."""
    mended: datetime | None = None
    """When a later write put it right, or ``None`` while it stands."""


class Simulation:
    """One clock, the queue of sleeping processes, and what they wrote since it was last read.

    Processes that are due in the same second wake in the order they were started in, so what happens depends
    on the processes alone and not on how a run is cut up.
    """

    def __init__(self, start: datetime, time_zone: str) -> None:
        self._zone = ZoneInfo(time_zone)
        self.happened: Counter[str] = Counter()
        self.defects: list[Defect] = []
        self._standing: dict[tuple[str, str, str], Defect] = {}
        self._queue: list[tuple[int, int, Process]] = []
        self._numbers = count()
        self._pkeys: defaultdict[str, Iterator[int]] = defaultdict(lambda: count(1))
        self._changes: list[Change] = []
        self._turn(self.seconds(start))

    def seconds(self, at: datetime) -> int:
        """``at`` in whole seconds since the epoch; without an offset it is the tenant's local time."""
        return int((at if at.tzinfo else at.replace(tzinfo=self._zone)).timestamp())

    def _turn(self, now: int) -> None:
        self.now = now
        self.local = datetime.fromtimestamp(now, self._zone).replace(tzinfo=None)

    def start(self, process: Process, number: int | None = None) -> None:
        """Wake ``process`` for the first time in this very second, after all that woke before it.

        ``number`` is its rank among processes due in one second; by default it comes last.
        """
        heapq.heappush(self._queue, (self.now, next(self._numbers) if number is None else number, process))

    def run(self, until: int) -> Iterator[Change]:
        """Everything written up to and including ``until`` (seconds), in the order of time."""
        yield from self.take()
        while self._queue and self._queue[0][0] <= until:
            at, number, process = heapq.heappop(self._queue)
            if at != self.now:
                self._turn(at)
            sleep = next(process, None)
            if sleep is not None:
                heapq.heappush(self._queue, (at + sleep, number, process))
            yield from self.take()
        self._turn(until)

    def take(self) -> list[Change]:
        """What was written and not taken yet."""
        changes, self._changes = self._changes, []
        return changes

    def pkey(self, resource: str) -> int:
        """The next free ``pkey`` of a resource."""
        return next(self._pkeys[resource])

    def write(self, resource: str, row: dict[str, Value]) -> None:
        """Write a whole row; the caller gives up the dictionary."""
        self._changes.append(Write(resource, row))

    def delete(self, resource: str, pkey: int) -> None:
        self._changes.append(Delete(resource, pkey))

    def plant(self, kind: str, resource: str, key: str) -> None:
        """Note that a defect is in the rows from now on; planting a standing one again changes nothing."""
        if (kind, resource, key) not in self._standing:
            defect = Defect(kind, resource, key, self.local)
            self._standing[kind, resource, key] = defect
            self.defects.append(defect)
            self.happened[kind] += 1

    def mend(self, kind: str, resource: str, key: str) -> None:
        """Note that a defect, if it stood, is out of the rows from now on."""
        defect = self._standing.pop((kind, resource, key), None)
        if defect:
            defect.mended = self.local
