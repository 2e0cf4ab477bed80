"""Spoilt replies, enacted at the level of ASGI messages and of the connection below them."""

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse
from starlette.types import Receive, Scope, Send

from bc_ometria.sandbox.ometria.faults import Fault
from bc_ometria.sandbox.ometria.replies import FORBIDDEN, error_reply

Handler = Callable[[Scope, Receive, Send], Awaitable[None]]

SLOW_PIECES = 10


async def spoil(fault: Fault, handler: Handler, scope: Scope, receive: Receive, send: Send, wire: Any) -> None:
    """Answer this call as ``fault`` says; ``handler`` would have answered it well.

    ``wire`` is the server's transport (an ``asyncio.Transport``); ``send`` writes to it.
    """
    match fault.kind:
        case "too_many_requests":
            headers = {"Retry-After": fault.retry_after} if fault.retry_after is not None else {}
            await error_reply(429, "Rate limit exceeded", headers)(scope, receive, send)
        case "key_revoked":
            await error_reply(403, FORBIDDEN)(scope, receive, send)
        case "bad_request":
            body = await Request(scope, receive).body()
            quoted = body.decode(errors="replace")[: fault.count]
            await error_reply(400, f"{fault.message} {quoted}")(scope, receive, send)
        case "html_page":
            page = "<!DOCTYPE html><html><title>Maintenance</title><body>Back soon.</body></html>"
            await HTMLResponse(page)(scope, receive, send)
        case "redirect":
            await RedirectResponse(fault.location, status_code=302)(scope, receive, send)
        case "server_error":
            if fault.after:
                await _reply_of(handler, scope, receive)
            await error_reply(fault.status, "Internal error")(scope, receive, send)
        case "connection_reset":
            if fault.after:
                await _reply_of(handler, scope, receive)
            _reset(wire)
            await _gone(receive)
        case "no_answer":
            if fault.after:
                await _reply_of(handler, scope, receive)
            if not await _gone(receive, within=fault.seconds):
                wire.close()
                await _gone(receive)
        case "half_body":
            start, body = await _reply_of(handler, scope, receive)
            await send(start)
            await send({"type": "http.response.body", "body": body[: len(body) // 2], "more_body": True})
            wire.close()
            await _gone(receive)
        case "slow_body":
            start, body = await _reply_of(handler, scope, receive)
            await send(start)
            size = -(-len(body) // SLOW_PIECES) or 1
            for place in range(0, len(body), size):
                if await _gone(receive, within=fault.seconds / SLOW_PIECES):
                    return
                piece = body[place : place + size]
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b""})


async def _reply_of(handler: Handler, scope: Scope, receive: Receive) -> tuple[dict[str, Any], bytes]:
    """Let the call do its work; the start of its reply, and the whole body."""
    messages: list[Any] = []

    async def keep(message: Any) -> None:
        messages.append(message)

    await handler(scope, receive, keep)
    return messages[0], b"".join(message.get("body", b"") for message in messages[1:])


def _reset(wire: Any) -> None:
    # A zero linger makes closing send a TCP reset instead of an orderly end.
    connection = wire.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    wire.abort()


async def _gone(receive: Receive, *, within: float | None = None) -> bool:
    """Whether the connection ends within so many seconds.

    A handler that breaks a connection must wait for this, or the server logs an error.
    """

    async def end() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    try:
        await asyncio.wait_for(end(), within)
    except TimeoutError:
        return False
    return True
