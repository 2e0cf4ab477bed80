"""A server that answers what a test tells it to, for answers the stand-in does not give."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain, repeat
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from bc_ometria.ometria.budget import CallBudget, Unlimited
from bc_ometria.ometria.client import OmetriaClient
from bc_ometria.sandbox.server import Server

KEY = "k3y-that-nobody-may-see"


@dataclass
class Heard:
    """One request that came in."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Scripted:
    """The client of a server that gives ``replies`` in turn, the last of them for ever."""

    client: OmetriaClient
    heard: list[Heard] = field(default_factory=list)


@contextmanager
def answering(*replies: Response | Any, budget: CallBudget | None = None) -> Iterator[Scripted]:
    """Replies that are no ``Response`` are sent as JSON with status 200."""
    script = chain(replies, repeat(replies[-1]))
    heard: list[Heard] = []

    async def answer(request: Request) -> Response:
        target = request.scope["raw_path"].decode()
        query = f"?{request.url.query}" if request.url.query else ""
        heard.append(Heard(request.method, target + query, dict(request.headers), await request.body()))
        reply = next(script)
        return reply if isinstance(reply, Response) else JSONResponse(reply)

    app = Starlette(routes=[Route("/{path:path}", answer, methods=["GET", "POST"])])
    with (
        Server(app) as server,
        OmetriaClient(f"{server.url}/v2", KEY, budget=budget or Unlimited()) as client,
    ):
        yield Scripted(client, heard)
