"""The front door of the API: counts every call, dates its reply, spoils it if a fault is armed, checks key and rate."""

from collections.abc import Sequence
from email.utils import formatdate
from typing import Any

from starlette.routing import Match, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bc_ometria.sandbox.ometria.account import Account
from bc_ometria.sandbox.ometria.replies import FORBIDDEN, error_reply
from bc_ometria.sandbox.ometria.wire import spoil

BASE_PATH = "/v2"


class FrontDoor:
    """ASGI middleware around the routes; it minds only calls below ``/v2``."""

    def __init__(self, app: ASGIApp, account: Account, routes: Sequence[Route]) -> None:
        self._app = app
        self._account = account
        self._routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        self._account.settle()
        if not scope["path"].startswith(f"{BASE_PATH}/"):
            await self._app(scope, receive, send)
            return
        counts, status = self._account.counts, "none"
        exchange = _exchange(send)
        if exchange is not None:  # its own Date is the machine's
            exchange.default_headers = [each for each in exchange.default_headers if each[0].lower() != b"date"]

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = str(message["status"])
                date = formatdate(self._account.timestamp(), usegmt=True).encode()
                message = {**message, "headers": [*message["headers"], (b"date", date)]}
            await send(message)

        counts.calls[f"{scope['method']} {self._route(scope)}"] += 1
        fault = self._account.faults.for_reply(scope["method"], _below_base(scope))
        try:
            if fault is None:
                await self._admit(scope, receive, noting)
            else:
                counts.faults[fault.kind] += 1
                await spoil(fault, self._admit, scope, receive, noting, getattr(exchange, "transport", None))
        finally:
            counts.statuses[status] += 1

    async def _admit(self, scope: Scope, receive: Receive, send: Send) -> None:
        settings = self._account.settings
        if dict(scope["headers"]).get(b"x-ometria-auth") != settings.api_key.encode():
            await error_reply(403, FORBIDDEN)(scope, receive, send)
        elif not self._account.limits.admit(scope["method"], _below_base(scope), settings):
            await error_reply(429, "Rate limit exceeded")(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _route(self, scope: Scope) -> str:
        matching = (route.path for route in self._routes if route.matches(scope)[0] is Match.FULL)
        return next(matching, "unknown").replace(":path", "")


def _below_base(scope: Scope) -> str:
    return scope["path"].removeprefix(BASE_PATH)


def _exchange(send: Send) -> Any:
    """What uvicorn keeps of a call, with ``transport`` and ``default_headers``: ``send`` is a method of it."""
    return getattr(send, "__self__", None)
