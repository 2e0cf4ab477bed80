"""Ometria's rates per account (``contracts/ometria.md``), counted in real, monotonic time.

The stand-in's clock plays no part: a rate is about calls that were really made.
"""

from collections import deque
from time import monotonic

from bc_ometria.sandbox.ometria.settings import Settings


class SlidingWindow:
    """At most ``limit`` admitted calls in any ``period`` seconds: the strictest reading of a rate (ours).

    A refused call does not count.
    """

    def __init__(self, period: float) -> None:
        self.period = period
        self._admitted: deque[float] = deque()

    def admit(self, limit: int, now: float) -> bool:
        while self._admitted and self._admitted[0] <= now - self.period:
            self._admitted.popleft()
        if len(self._admitted) >= limit:
            return False
        self._admitted.append(now)
        return True


class RateLimits:
    """The four rates: push, GDPR calls, merge-profile calls, and everything else.

    That reading a deletion's or a merge's state counts against its own rate is the strict reading (ours).
    """

    def __init__(self) -> None:
        self._push = SlidingWindow(1)
        self._other = SlidingWindow(1)
        self._gdpr = SlidingWindow(60)
        self._merge = SlidingWindow(60)

    def admit(self, method: str, path: str, settings: Settings) -> bool:
        """Whether a call of ``path`` (below ``/v2``) may pass now."""
        if not settings.limits:
            return True
        now = monotonic()
        if method == "POST" and path == "/push":
            return self._push.admit(settings.push_per_second, now)
        if path.startswith("/data-deletion-requests"):
            return self._gdpr.admit(settings.gdpr_per_minute, now)
        if path.startswith("/merge-profile"):
            return self._merge.admit(settings.merges_per_minute, now)
        return self._other.admit(settings.other_per_second, now)
