"""The time a stand-in lives in: the machine's, or one that a test or the demo sets."""

import threading
import time
from datetime import UTC, datetime, timedelta


class Clock:
    """A clock that runs with the machine until it is set; from then on it stands still until advanced."""

    def __init__(self, at: datetime | None = None) -> None:
        self._lock = threading.Lock()
        self._at = at.astimezone(UTC) if at else None

    def now(self) -> datetime:
        """The present, in UTC."""
        with self._lock:
            return self._at or datetime.now(UTC)

    def timestamp(self) -> float:
        """The present in seconds since the epoch."""
        with self._lock:
            return self._at.timestamp() if self._at else time.time()

    @property
    def frozen(self) -> bool:
        return self._at is not None

    def set(self, at: datetime | None) -> None:
        """Stand still at ``at`` (which must carry an offset); ``None`` runs with the machine again."""
        if at is not None and at.tzinfo is None:
            raise ValueError("a clock is set to a time with an offset")
        with self._lock:
            self._at = at.astimezone(UTC) if at else None

    def advance(self, by: timedelta) -> None:
        """Move a standing clock on; a running one starts to stand at now + ``by``."""
        with self._lock:
            self._at = (self._at or datetime.now(UTC)) + by
