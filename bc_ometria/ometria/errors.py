"""What can go wrong with a call to Ometria, sorted by what the caller may do next.

``NotReceived``: Ometria has nothing of the call; the same call may go again once the cause is gone.
``PayloadRefused``: Ometria has nothing of it and the same call would be refused again.
``OutcomeUnknown``: Ometria may or may not have the records; the same ids go again, which is safe.

No message carries the API key, a payload or an e-mail address.
"""


class OmetriaError(Exception):
    """A call to Ometria did not give a usable answer."""


class NotReceived(OmetriaError):
    """Surely not received: the call may go again as it is."""


class Unreachable(NotReceived):
    """No connection, or no Data API at the address."""


class AccessRefused(NotReceived):
    """Ometria refused the API key (403)."""


class RateLimited(NotReceived):
    """Too many calls, or a backlog of over 50,000 records (429).

    ``pause_s`` is for how many seconds calls of the kind pause: what Ometria asked for, from ``PAUSE_S`` of the
    connection to ``MAX_PAUSE_S`` of the budget.
    """

    def __init__(self, message: str, pause_s: float) -> None:
        super().__init__(message)
        self.pause_s = pause_s


class PayloadRefused(OmetriaError):
    """Ometria refused the call as a whole (400): nothing of it was received, and it must change first."""


class OutcomeUnknown(OmetriaError):
    """A timeout, a broken connection, a redirect, a server error, or an answer that is no JSON."""
