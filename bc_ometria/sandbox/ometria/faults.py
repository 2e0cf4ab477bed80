"""What goes wrong on demand, each as "the next n calls (of path x)", or as a share of them."""

import threading
from dataclasses import dataclass
from typing import Annotated, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, NonNegativeInt, PositiveInt

ReplyKind = Literal[
    "too_many_requests",
    "server_error",
    "connection_reset",
    "half_body",
    "slow_body",
    "no_answer",
    "html_page",
    "redirect",
    "key_revoked",
    "bad_request",
]
PushKind = Literal["rejected", "reject_ids", "error_flood", "slow_queue", "out_of_order"]


class Fault(BaseModel):
    """One kind of trouble for the next ``calls`` calls; ``calls=None`` until the faults are cleared.

    With ``every`` it meets each so-manieth call of its path: 10 is a tenth of them, 20 a twentieth.

    Of the kinds that spoil a reply, one call meets only the first that is armed for its path, and due. One with
    ``every`` whose turn another took is due at the next call, so that shares armed together all come to their own:

    - ``too_many_requests``: 429, with ``retry_after`` as ``Retry-After`` if given
    - ``server_error``: ``status``; ``connection_reset``: a TCP reset. With ``after`` the call does its work
      first, so a push is accepted although nobody hears of it
    - ``no_answer``: silence for ``seconds``, then the connection ends; ``after`` as above
    - ``half_body``: the true reply, cut in the middle; ``slow_body``: stretched over ``seconds``
    - ``html_page``: a page with status 200; ``redirect``: 302 to ``location``; ``key_revoked``: 403
    - ``bad_request``: 400, with ``message`` as its reason, which then quotes the call as far as ``count`` characters

    Those that spoil a push combine, and only a push that passes key and limits uses them up:

    - ``rejected``: its last ``count`` records are counted as rejected in the reply, and appear nowhere
    - ``reject_ids``: records with these ``ids`` are refused asynchronously, with ``message`` in the errors ring
    - ``error_flood``: ``count`` errors of other records of the account follow its own in the ring
    - ``slow_queue``: it and all after it wait ``seconds`` longer, by the stand-in's clock
    - ``out_of_order``: it waits ``seconds`` longer and is overtaken; its records are applied in reverse
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: ReplyKind | PushKind
    calls: PositiveInt | None = 1
    every: PositiveInt | None = None
    path: str | None = None
    """The beginning of the path below ``/v2`` (``/push``, ``/orders``); ``None``: every path."""
    method: str | None = None
    after: bool = False
    status: Annotated[int, Field(ge=500, le=599)] = 503
    retry_after: str | None = None
    seconds: NonNegativeFloat = 1.0
    count: NonNegativeInt = 1
    ids: frozenset[str] = frozenset()
    location: str = "https://login.example.com/"
    message: str = "could not be processed"

    @property
    def spoils_push(self) -> bool:
        return self.kind in get_args(PushKind)

    def meets(self, method: str, path: str) -> bool:
        return path.startswith(self.path or "") and self.method in (None, method)


@dataclass
class _Armed:
    """A fault, how many calls it is still for, and how many passed since it was due (``every`` only)."""

    fault: Fault
    left: int | None
    passed: int = 0

    @property
    def is_due(self) -> bool:
        return self.passed >= (self.fault.every or 0)

    def use(self) -> None:
        self.passed -= self.fault.every or 0
        if self.left is not None:
            self.left -= 1


class Faults:
    """The armed faults, in the order they were armed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._armed: list[_Armed] = []

    @property
    def armed(self) -> list[Fault]:
        """What is still to come; ``calls`` is what is left."""
        with self._lock:
            return [each.fault.model_copy(update={"calls": each.left}) for each in self._armed]

    def arm(self, fault: Fault) -> None:
        with self._lock:
            self._armed.append(_Armed(fault, fault.calls))

    def clear(self) -> None:
        with self._lock:
            self._armed.clear()

    def for_reply(self, method: str, path: str) -> Fault | None:
        """The fault that spoils the reply to this call, used once."""
        with self._lock:
            meeting = [each for each in self._armed if not each.fault.spoils_push and each.fault.meets(method, path)]
            due = self._due(meeting)[:1]
            self._use(due)
        return due[0].fault if due else None

    def for_push(self) -> list[Fault]:
        """The faults that spoil this push, each used once."""
        with self._lock:
            due = self._due([each for each in self._armed if each.fault.spoils_push])
            self._use(due)
        return [each.fault for each in due]

    def _due(self, meeting: list[_Armed]) -> list[_Armed]:
        """Of the faults that meet a call, those that are due by now."""
        for each in meeting:
            each.passed += 1 if each.fault.every else 0
        return [each for each in meeting if each.is_due]

    def _use(self, due: list[_Armed]) -> None:
        for each in due:
            each.use()
        self._armed = [each for each in self._armed if each.left != 0]
