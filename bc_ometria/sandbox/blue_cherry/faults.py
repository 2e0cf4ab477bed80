"""What can be made to go wrong in the stand-in of Blue Cherry, for its next calls."""

import threading
from dataclasses import dataclass
from typing import Any, Literal, get_args

import orjson
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.types import Receive, Scope, Send

Kind = Literal["status", "html", "half_body", "slow", "missing_value", "missing_column", "malformed"]


@dataclass(frozen=True, slots=True)
class Fault:
    """One way of failing, for the next ``times`` calls (of ``resource`` alone, where it is named).

    ========== =========================================================================================
    status     the error ``status`` (429, 503, …), with the header Retry-After where ``retry_after`` is set
    html       a page of HTML with status 200, as a proxy or a login page in between gives
    half_body  the connection is closed after half of the body
    slow       the right answer after ``seconds``
    missing_value   a reply without ``value``
    missing_column  rows without ``column``
    malformed       the first row has ``cell`` in ``column``
    ========== =========================================================================================
    """

    kind: Kind
    times: int = 1
    resource: str = ""
    status: int = 503
    retry_after: str = ""
    seconds: float = 0.0
    column: str = ""
    cell: Any = None

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ValueError(f"unknown fault {self.kind!r}; known are {', '.join(get_args(Kind))}")

    def refusal(self) -> Response | None:
        """The answer that stands in the place of the right one, if this fault gives any."""
        if self.kind == "status":
            headers = {"Retry-After": self.retry_after} if self.retry_after else None
            body = {"statusCode": self.status, "message": "Fault on demand."}
            return JSONResponse(body, self.status, headers)
        if self.kind == "html":
            return HTMLResponse("<!DOCTYPE html><html><body><h1>Service maintenance</h1></body></html>")
        return None

    def distort(self, body: bytes) -> bytes:
        """The reply's body with this fault in it."""
        if self.kind not in ("missing_value", "missing_column", "malformed"):
            return body
        reply = orjson.loads(body)
        if self.kind == "missing_value":
            del reply["value"]
        if self.kind == "missing_column":
            reply["value"] = [{n: cell for n, cell in row.items() if n != self.column} for row in reply["value"]]
        if self.kind == "malformed" and reply["value"]:
            reply["value"][0][self.column] = self.cell
        return orjson.dumps(reply)


class Faults:
    """The faults that wait for calls, first come first served."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: list[tuple[Fault, list[int]]] = []

    def add(self, fault: Fault) -> None:
        with self._lock:
            self._waiting.append((fault, [fault.times]))

    def clear(self) -> None:
        with self._lock:
            self._waiting.clear()

    def take(self, resource: str) -> Fault | None:
        """The fault that the present call of ``resource`` meets."""
        with self._lock:
            for fault, left in self._waiting:
                if fault.resource in ("", resource):
                    left[0] -= 1
                    if not left[0]:
                        self._waiting.remove((fault, left))
                    return fault
        return None


class HalfBody(Response):
    """Promises the whole body, sends half of it, and leaves; the server then closes the connection."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        half = self.body[: len(self.body) // 2]
        await send({"type": "http.response.body", "body": half, "more_body": True})
