"""How many calls of each kind an Ometria account may make, and waiting for one's turn."""

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import astuple, dataclass
from math import inf
from typing import Literal, Protocol

Kind = Literal["push", "other", "erasure", "merge"]
"""What Ometria counts apart: pushes, every other Data API call, erasure (GDPR) and merge-profile."""

_MARGIN = 1.01
"""How much longer than Ometria's windows ours are (ours).

Two calls do not take equally long to reach Ometria: with 1 %, hundredths of a second between them do no harm.
"""


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


class CallBudget(Protocol):
    """What the client asks before each call. May be shared by threads, or by processes."""

    def acquire(self, kind: Kind) -> None:
        """Wait until a call of this kind may start, and count it."""

    def pause(self, kind: Kind, seconds: float) -> None:
        """Let no call of this kind start for so long, because Ometria said 429."""


class Budget:
    """The budget of one process: safe for threads, keeps nothing for the next process."""

    def __init__(
        self,
        limits: Limits | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        limits = limits or Limits()
        self._buckets: dict[Kind, _Bucket] = {
            "push": _Bucket(limits.push_per_s, 1.0),
            "other": _Bucket(limits.other_per_s, 1.0),
            "erasure": _Bucket(limits.erasure_per_min, 60.0),
            "merge": _Bucket(limits.merge_per_min, 60.0),
        }
        self._lock = threading.Lock()
        self._clock = clock
        self._sleep = sleep

    @staticmethod
    def unlimited() -> CallBudget:
        """A budget that never waits: for a server without rate limits."""
        return _Unlimited()

    def acquire(self, kind: Kind) -> None:
        bucket = self._buckets[kind]
        while True:
            with self._lock:
                now = self._clock()
                free_at = bucket.free_at()
                if now >= free_at:
                    bucket.take(now)
                    return
            self._sleep(free_at - now)

    def pause(self, kind: Kind, seconds: float) -> None:
        with self._lock:
            self._buckets[kind].close(self._clock() + seconds)


class _Bucket:
    """A bucket of tokens, each of which comes back one window after it was taken.

    A bucket that refills steadily lets up to twice the rate through in the window after it was full. This one
    never does, wherever the server lets its windows begin: call n waits for the end of the window that
    call n - rate opened.
    """

    def __init__(self, rate: int, window: float) -> None:
        self._window = window * _MARGIN
        self._taken: deque[float] = deque(maxlen=rate)
        self._closed_until = -inf

    def free_at(self) -> float:
        full = len(self._taken) == self._taken.maxlen
        return max(self._closed_until, self._taken[0] + self._window if full else -inf)

    def take(self, now: float) -> None:
        self._taken.append(now)

    def close(self, until: float) -> None:
        self._closed_until = max(self._closed_until, until)


class _Unlimited:
    def acquire(self, kind: Kind) -> None:
        pass

    def pause(self, kind: Kind, seconds: float) -> None:
        pass
