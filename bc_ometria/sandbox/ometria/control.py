"""The control routes, below ``/_control``: no key, no limits. They are ours; Ometria has nothing like them.

``GET|PUT /clock`` {at}, ``POST /clock/advance`` {seconds} · ``GET|PATCH /settings`` (every field of
``Settings``: key, limits, rates, lag, switches) · ``GET|POST|DELETE /faults`` (``Fault``) ·
``POST /unsubscribe`` {email, channel, source} · ``POST /reset`` · ``GET /counts`` ·
``GET /state`` (all parts in one object) and ``GET /state/{part}``: ``orders``, ``products``, ``contacts``,
``events``, ``profiles``, ``automation``, ``subscriptions``, ``unsubscribes``, ``pushes``, ``history``, ``errors``.
"""

from collections.abc import Callable
from dataclasses import asdict
from datetime import timedelta
from typing import Any, Literal

import orjson
from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bc_ometria.sandbox.ometria.account import Account
from bc_ometria.sandbox.ometria.faults import Fault
from bc_ometria.sandbox.ometria.journal import Version
from bc_ometria.sandbox.ometria.replies import json_array, json_reply
from bc_ometria.sandbox.ometria.shelf import iso

CONTROL_PATH = "/_control"


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ClockSetting(_Body):
    """``at`` stands the clock still there; ``null`` lets it run with the machine."""

    at: AwareDatetime | None


class Advance(_Body):
    seconds: float


class PersonsOptOut(_Body):
    email: str
    channel: Literal["email", "sms"] = "email"
    source: Literal["preference_centre", "link", "list_header"] = "preference_centre"


class Control:
    """The control endpoints, over one account."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._parts: dict[str, Callable[[], bytes]] = {
            "orders": lambda: json_array(account.orders.bodies()),
            "products": lambda: json_array(account.products.bodies()),
            "contacts": lambda: json_array(body for shelf in account.contacts.values() for body in shelf.bodies()),
            "events": lambda: json_array(event.body for held in account.events.values() for event in held),
            "profiles": self._profiles,
            "automation": self._automation,
            "subscriptions": lambda: orjson.dumps(
                [{**asdict(each), "timestamp": iso(each.timestamp)} for each in account.people.subscriptions]
            ),
            "unsubscribes": lambda: orjson.dumps(
                [{**asdict(each), "at": iso(each.at)} for each in account.people.unsubscribes]
            ),
            "pushes": lambda: orjson.dumps([{**asdict(each), "at": iso(each.at)} for each in account.pushes]),
            "history": self._history,
            "errors": lambda: orjson.dumps([error.shown("observed") for error in account.errors]),
        }

    def routes(self) -> list[Route]:
        served = [
            ("GET", "/clock", self.clock),
            ("PUT", "/clock", self.set_clock),
            ("POST", "/clock/advance", self.advance_clock),
            ("GET", "/settings", self.settings),
            ("PATCH", "/settings", self.change_settings),
            ("GET", "/faults", self.faults),
            ("POST", "/faults", self.arm_fault),
            ("DELETE", "/faults", self.clear_faults),
            ("POST", "/unsubscribe", self.unsubscribe),
            ("POST", "/reset", self.reset),
            ("GET", "/counts", self.counts),
            ("GET", "/state", self.state),
            ("GET", "/state/{part}", self.state_part),
        ]
        return [Route(CONTROL_PATH + path, endpoint, methods=[method]) for method, path, endpoint in served]

    async def clock(self, _: Request) -> Response:
        clock = self._account.clock
        return json_reply({"now": clock.now(), "frozen": clock.frozen})

    async def set_clock(self, request: Request) -> Response:
        self._account.clock.set((await _body(request, ClockSetting)).at)
        return await self.clock(request)

    async def advance_clock(self, request: Request) -> Response:
        self._account.clock.advance(timedelta(seconds=(await _body(request, Advance)).seconds))
        return await self.clock(request)

    async def settings(self, _: Request) -> Response:
        return json_reply(self._account.settings.model_dump(mode="json"))

    async def change_settings(self, request: Request) -> Response:
        try:
            changed = self._account.settings.changed(orjson.loads(await request.body()))
        except (orjson.JSONDecodeError, TypeError, ValidationError) as error:
            raise HTTPException(400, str(error)) from None
        self._account.settings = changed
        return await self.settings(request)

    async def faults(self, _: Request) -> Response:
        return json_reply([fault.model_dump(mode="json") for fault in self._account.faults.armed])

    async def arm_fault(self, request: Request) -> Response:
        self._account.faults.arm(await _body(request, Fault))
        return await self.faults(request)

    async def clear_faults(self, request: Request) -> Response:
        self._account.faults.clear()
        return await self.faults(request)

    async def unsubscribe(self, request: Request) -> Response:
        opt_out = await _body(request, PersonsOptOut)
        self._account.unsubscribe(opt_out.email, opt_out.channel, opt_out.source)
        return json_reply({})

    async def reset(self, _: Request) -> Response:
        self._account.reset()
        return json_reply({})

    async def counts(self, _: Request) -> Response:
        return json_reply({**vars(self._account.counts), "backlog": self._account.backlog})

    async def state(self, _: Request) -> Response:
        self._account.settle()
        parts = (b'"%b":%b' % (name.encode(), part()) for name, part in self._parts.items())
        return Response(b"{" + b",".join(parts) + b"}", media_type="application/json")

    async def state_part(self, request: Request) -> Response:
        part = self._parts.get(request.path_params["part"])
        if part is None:
            raise HTTPException(404, f"one of {', '.join(self._parts)}")
        return Response(part(), media_type="application/json")

    def _profiles(self) -> bytes:
        people = self._account.people
        return orjson.dumps([people.profile(person) for person in people.identities.persons()])

    def _history(self) -> bytes:
        def shown(version: Version) -> dict[str, Any]:
            return {"digest": version.digest.hex(), "request_id": version.request_id, "at": iso(version.at)}

        return orjson.dumps(
            [
                {"record_type": record_type, "id": id, "versions": [shown(each) for each in versions]}
                for (record_type, id), versions in self._account.history.items()
            ]
        )

    def _automation(self) -> bytes:
        def shown(trigger: Any) -> dict[str, Any]:
            times = {"timestamp": iso(trigger.timestamp), "decided": iso(trigger.decided)}
            return {**asdict(trigger), **times, "reason": trigger.reason}

        return orjson.dumps([shown(trigger) for trigger in self._account.automation.log])


async def _body(request: Request, model: type[Any]) -> Any:
    try:
        return model.model_validate_json(await request.body())
    except ValidationError as error:
        raise HTTPException(400, str(error)) from None
