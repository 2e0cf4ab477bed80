"""Routes under ``/_control`` that steer the stand-in of Blue Cherry: without a key, and no part of its API.

=========================  ==============================================================================
``GET /clock``             ``{"now": "2026-11-23T09:05:00+00:00", "frozen": true}``
``POST /clock``            ``{"set": time with offset or null}`` or ``{"advance_seconds": 60}``
``POST /stamps``           ``{"ahead_seconds": -60}``: rows are stamped by a clock of their own
``POST /backups``          ``{"backup": 1}``: what is there now, to be restored
``POST /restores``         ``{"backup": 1}``: everything is as it was then, stamps too
``POST /changes``          ``[{"write": {"resource", "row"}}, {"delete": {"resource", "pkey"}}, …]``
``POST /raw``              ``{"resource": …, "pkey": 1, "text": …}``: serve the text as that row
``POST /touches``          ``{"resource": …, "page": 2, "pkeys": [1, 2]}``: once, as soon as that page is read
``POST, DELETE /faults``   a `faults.Fault` as an object; or no more faults
``GET, DELETE /calls``     ``{"orders": 3}``, the calls with a good key by resource; or count anew
=========================  ==============================================================================

What cannot be understood is answered with 400 and a message.
"""

import json
import threading
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import anyio
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from bc_ometria.sandbox.blue_cherry.database import BlueCherryDatabase
from bc_ometria.sandbox.blue_cherry.faults import Fault, Faults
from bc_ometria.sandbox.blue_cherry.query import Query
from bc_ometria.sandbox.changes import Change, Delete, Write


class Controls:
    """What steers one running stand-in, and what it has counted."""

    def __init__(self, database: BlueCherryDatabase) -> None:
        self.database = database
        self.faults = Faults()
        self.backups: list[bytes] = []
        self._lock = threading.Lock()
        self._calls: Counter[str] = Counter()
        self._touches: dict[tuple[str, int], list[int]] = {}

    def count(self, resource: str) -> None:
        with self._lock:
            self._calls[resource] += 1

    def calls(self) -> dict[str, int]:
        with self._lock:
            return dict(self._calls)

    def count_anew(self) -> None:
        with self._lock:
            self._calls.clear()

    def touch_after(self, resource: str, page: int, pkeys: list[int]) -> None:
        """Once page ``page`` of ``resource`` has been read, stamp these rows anew, so that rows shift."""
        with self._lock:
            self._touches[resource, page] = pkeys

    def after_page(self, query: Query) -> None:
        with self._lock:
            pkeys = self._touches.pop((query.resource, query.page), [])
        if pkeys:
            self.database.touch(query.resource, pkeys)


Handler = Callable[[Controls, Any], Any]


def control_routes(controls: Controls) -> list[Route]:
    def route(path: str, handlers: dict[str, Handler]) -> Route:
        return Route(path, _endpoint(controls, handlers), methods=list(handlers))

    return [
        route("/clock", {"GET": _clock, "POST": _set_clock}),
        route("/changes", {"POST": _apply}),
        route("/stamps", {"POST": _stamp_ahead}),
        route("/backups", {"POST": _back_up}),
        route("/restores", {"POST": _restore}),
        route("/raw", {"POST": _plant}),
        route("/touches", {"POST": _touch_after}),
        route("/faults", {"POST": _add_fault, "DELETE": lambda controls, _: controls.faults.clear()}),
        route("/calls", {"GET": lambda c, _: c.calls(), "DELETE": lambda c, _: c.count_anew()}),
    ]


def _endpoint(controls: Controls, handlers: dict[str, Handler]) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        try:
            body = await request.body()
            given = json.loads(body, parse_float=Decimal) if body else None
            handler = handlers["GET" if request.method == "HEAD" else request.method]
            return JSONResponse(await anyio.to_thread.run_sync(handler, controls, given))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            return JSONResponse({"message": f"{type(error).__name__}: {error}"}, 400)

    return endpoint


def _clock(controls: Controls, _: Any) -> dict[str, Any]:
    clock = controls.database.clock
    return {"now": clock.now().isoformat(), "frozen": clock.frozen}


def _set_clock(controls: Controls, given: Any) -> dict[str, Any]:
    clock = controls.database.clock
    if "advance_seconds" in given:
        clock.advance(timedelta(seconds=float(given["advance_seconds"])))
    else:
        clock.set(datetime.fromisoformat(given["set"]) if given["set"] else None)
    return _clock(controls, given)


def _apply(controls: Controls, given: Any) -> dict[str, int]:
    return {"applied": controls.database.apply([_change(change) for change in given])}


def _change(given: Any) -> Change:
    if "write" in given:
        return Write(given["write"]["resource"], given["write"]["row"])
    return Delete(given["delete"]["resource"], given["delete"]["pkey"])


def _stamp_ahead(controls: Controls, given: Any) -> None:
    controls.database.ahead = timedelta(seconds=float(given["ahead_seconds"]))


def _back_up(controls: Controls, _: Any) -> dict[str, int]:
    controls.backups.append(controls.database.backup())
    return {"backup": len(controls.backups)}


def _restore(controls: Controls, given: Any) -> None:
    if not 1 <= given["backup"] <= len(controls.backups):
        raise ValueError(f"there is no backup {given['backup']}")
    controls.database.restore(controls.backups[given["backup"] - 1])


def _plant(controls: Controls, given: Any) -> None:
    controls.database.raw(given["resource"], given["pkey"], given["text"])


def _touch_after(controls: Controls, given: Any) -> None:
    controls.touch_after(given["resource"], given["page"], given["pkeys"])


def _add_fault(controls: Controls, given: Any) -> None:
    controls.faults.add(Fault(**given))
