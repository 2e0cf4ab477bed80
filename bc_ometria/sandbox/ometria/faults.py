"""What goes wrong on demand, each as "the next n calls (of path x)"."""

import threading
from typing import Annotated, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, NonNegativeInt, PositiveInt

ReplyKind = Literal[
    "too_many_requests",
    "server_error",
    "connection_reset",
    "half_body",
    "slow_body",
    "html_page",
    "redirect",
    "key_revoked",
]
PushKind = Literal["rejected", "reject_ids", "error_flood", "slow_queue", "out_of_order"]


class Fault(BaseModel):
    """One kind of trouble for the next ``calls`` calls; ``calls=None`` until the faults are cleared.

    Of the kinds that spoil a reply, one call meets only the first that is armed for its path:

    - ``too_many_requests``: 429, with ``retry_after`` as ``Retry-After`` if given
    - ``server_error``: ``status``; ``connection_reset``: a TCP reset. With ``after`` the call does its work
      first, so a push is accepted although nobody hears of it
    - ``half_body``: the true reply, cut in the middle; ``slow_body``: stretched over ``seconds``
    - ``html_page``: a page with status 200; ``redirect``: 302 to ``location``; ``key_revoked``: 403

    Those that spoil a push combine, and only a push that passes key and limits uses them up:

    - ``rejected``: its last ``count`` records are counted as rejected in the reply, and appear nowhere
    - ``reject_ids``: records with these ``ids`` are refused asynchronously
    - ``error_flood``: ``count`` errors of other records of the account follow its own in the ring
    - ``slow_queue``: it and all after it wait ``seconds`` longer, by the stand-in's clock
    - ``out_of_order``: it waits ``seconds`` longer and is overtaken; its records are applied in reverse
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: ReplyKind | PushKind
    calls: PositiveInt | None = 1
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

    @property
    def spoils_push(self) -> bool:
        return self.kind in get_args(PushKind)

    def meets(self, method: str, path: str) -> bool:
        return path.startswith(self.path or "") and self.method in (None, method)


class Faults:
    """The armed faults, in the order they were armed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._armed: list[Fault] = []

    @property
    def armed(self) -> list[Fault]:
        """What is still to come; ``calls`` is what is left."""
        with self._lock:
            return list(self._armed)

    def arm(self, fault: Fault) -> None:
        with self._lock:
            self._armed.append(fault)

    def clear(self) -> None:
        with self._lock:
            self._armed.clear()

    def for_reply(self, method: str, path: str) -> Fault | None:
        """The fault that spoils the reply to this call, used once."""
        with self._lock:
            for fault in self._armed:
                if not fault.spoils_push and fault.meets(method, path):
                    self._use(fault)
                    return fault
        return None

    def for_push(self) -> list[Fault]:
        """The faults that spoil this push, each used once."""
        with self._lock:
            found = [fault for fault in self._armed if fault.spoils_push]
            for fault in found:
                self._use(fault)
        return found

    def _use(self, fault: Fault) -> None:
        if fault.calls is None:
            return
        place = next(index for index, each in enumerate(self._armed) if each is fault)
        if fault.calls == 1:
            del self._armed[place]
        else:
            self._armed[place] = fault.model_copy(update={"calls": fault.calls - 1})
