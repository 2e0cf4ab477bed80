"""How many calls of each kind an Ometria account may make, and the rule by which their turns come."""

from bisect import insort
from collections.abc import Iterable
from dataclasses import astuple, dataclass
from datetime import datetime, timedelta
from math import inf
from typing import Literal, Protocol

Kind = Literal["push", "other", "erasure", "merge"]
"""What Ometria counts apart: pushes, every other Data API call, erasure (GDPR) and merge-profile."""

MARGIN = 1.01
"""How much longer than Ometria's windows ours are (ours).

Two calls do not take equally long to reach Ometria: with 1 %, hundredths of a second between them do no harm.
"""

AHEAD = timedelta(seconds=0.2)
"""How long before its moment a turn may be taken (ours): what comes before a call then costs nothing of the rate."""

MAX_PAUSE_S = 300.0
"""The longest pause that Ometria is believed (ours)."""


@dataclass(frozen=True)
class Limits:
    """The rates of an account; the defaults of ``contracts/ometria.md``, which a plan can change."""

    push_per_s: int = 8
    other_per_s: int = 4
    erasure_per_min: int = 6
    merge_per_min: int = 1

    def __post_init__(self) -> None:
        if min(astuple(self)) < 1:
            raise ValueError("every rate of an Ometria account is at least 1")

    def of(self, kind: Kind) -> tuple[int, timedelta]:
        """How many calls of a kind in any window of Ometria's, and how long that window is."""
        second, minute = timedelta(seconds=1), timedelta(minutes=1)
        return {
            "push": (self.push_per_s, second),
            "other": (self.other_per_s, second),
            "erasure": (self.erasure_per_min, minute),
            "merge": (self.merge_per_min, minute),
        }[kind]


class CallBudget(Protocol):
    """What is asked before each call. May be shared by threads and by processes."""

    def acquire(self, kind: Kind, up_to: int = 1, *, start_by: float = inf) -> int:
        """Wait until a call of this kind has its turn, take as many turns as are free by then, and say how many.

        ``up_to`` is at least 1. 0 where none comes before ``start_by`` (``time.monotonic``). Each turn taken is for
        one ``start``, or goes back.
        """

    def start(self, kind: Kind) -> None:
        """Wait for the moment of the oldest turn that ``acquire`` took: the call starts with this."""

    def give_back(self, kind: Kind, number: int) -> None:
        """Give back so many turns that were taken and are not used after all, the newest first."""

    def pause(self, kind: Kind, seconds: float) -> None:
        """Let no turn of this kind come for so long, because Ometria said 429."""


class Unlimited:
    """A budget that never waits: for a single call, or a server without rate limits."""

    def acquire(self, kind: Kind, up_to: int = 1, *, start_by: float = inf) -> int:
        return up_to

    def start(self, kind: Kind) -> None:
        pass

    def give_back(self, kind: Kind, number: int) -> None:
        pass

    def pause(self, kind: Kind, seconds: float) -> None:
        pass


class Bucket:
    """The turns of one kind of call as they are at ``now``: a token comes back one window after it was taken.

    A bucket that refills steadily lets up to twice the rate through in the window after it was full. This one
    never does, wherever the server lets its windows begin: call n waits for the end of the window that
    call n - rate opened. After a rest the calls of a window may start at once; while the account is busy they keep
    equal distances. That costs nothing of the rate, and calls that come together hold each other up on their way, each
    for another time, so that some would come too early.

    ``taken`` holds more times than the rate: turns that are given back uncover older ones. Times that no turn can
    have yet were written before the clock jumped back, and do not count.
    """

    def __init__(
        self, rate: int, window: timedelta, now: datetime, taken: Iterable[datetime], closed_until: datetime | None
    ) -> None:
        self.rate = rate
        self.now = now
        self._window = window * MARGIN
        self._taken = sorted(at for at in taken if at <= now + AHEAD)
        is_believed = closed_until is not None and closed_until <= now + timedelta(seconds=MAX_PAUSE_S)
        self.closed_until = closed_until if is_believed else None

    @property
    def taken(self) -> list[datetime]:
        """The newest turns, oldest first, as they are to be remembered."""
        return self._taken[-2 * self.rate :]

    def free_at(self) -> datetime:
        """The moment of the next turn; ``now`` where one is free."""
        at = self._free_by_rate()
        is_busy = len(self._taken) >= self.rate and self._taken[-self.rate] > at - 2 * self._window
        return max(at, self._taken[-1] + self._window / self.rate) if is_busy else at

    def take(self, up_to: int) -> list[datetime]:
        """Take the turns that are free, or soon will be; their moments, the first one first."""
        moments: list[datetime] = []
        while len(moments) < up_to and (at := self.free_at()) <= self.now + AHEAD:
            insort(self._taken, at)
            moments.append(at)
        return moments

    def delay(self, moment: datetime) -> list[datetime]:
        """Take another turn in place of one whose moment has passed: ``now``, where a window has not passed with it."""
        self.give_back([moment])
        if (at := self._free_by_rate()) > self.now + AHEAD:
            return []
        insort(self._taken, at)
        return [at]

    def give_back(self, moments: Iterable[datetime]) -> None:
        """Let turns be as if they had not been taken."""
        for at in moments:
            if at in self._taken:
                self._taken.remove(at)

    def _free_by_rate(self) -> datetime:
        at = max(self.now, self.closed_until or self.now)
        return max(at, self._taken[-self.rate] + self._window) if len(self._taken) >= self.rate else at

    def close(self, seconds: float) -> None:
        """Let no turn come for so long; an earlier end than is known already changes nothing."""
        until = self.now + timedelta(seconds=min(seconds, MAX_PAUSE_S))
        self.closed_until = max(until, self.closed_until or until)
