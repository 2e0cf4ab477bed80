"""The Data API's own routes, below ``/v2`` (``contracts/ometria.md``)."""

from typing import Any

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bc_ometria.sandbox.ometria.account import Account, QueueFull
from bc_ometria.sandbox.ometria.checks import parse_timestamp
from bc_ometria.sandbox.ometria.front import BASE_PATH
from bc_ometria.sandbox.ometria.identities import KINDS, Identifier, identifier
from bc_ometria.sandbox.ometria.journal import Job
from bc_ometria.sandbox.ometria.replies import array_reply, error_reply, json_reply
from bc_ometria.sandbox.ometria.shelf import Shelf, Stamp, iso

MAX_RECORDS = 100
MAX_MERGED = 5
DEFAULT_PAGE, MAX_PAGE = 10, 250
STAMPS: tuple[Stamp, ...] = ("update", "create", "timestamp")


class Api:
    """The endpoints, over one account."""

    def __init__(self, account: Account) -> None:
        self._account = account

    def routes(self) -> list[Route]:
        served = [
            ("POST", "/push", self.push),
            ("GET", "/push/_errors", self.errors),
            ("GET", "/orders", self.orders),
            ("GET", "/orders/{id:path}", self.order),
            ("GET", "/contacts/{collection}", self.contacts),
            ("GET", "/contacts/{collection}/{id:path}", self.contact),
            ("GET", "/products/{id:path}", self.product),
            ("GET", "/profiles", self.profiles),
            ("GET", "/unsubscribes", self.unsubscribes),
            ("POST", "/data-deletion-requests", self.delete_person),
            ("GET", "/data-deletion-requests", self.deletions),
            ("GET", "/data-deletion-requests/{id}", self.deletion),
            ("POST", "/merge-profile", self.merge),
            ("GET", "/merge-profile/{id}", self.merge_job),
        ]
        return [Route(BASE_PATH + path, endpoint, methods=[method]) for method, path, endpoint in served]

    async def push(self, request: Request) -> Response:
        records = await _json(request)
        if not isinstance(records, list):
            raise HTTPException(400, "Payload invalid: an array of records is expected.")
        if len(records) > MAX_RECORDS:
            raise HTTPException(400, f"Payload invalid: at most {MAX_RECORDS} records in one call.")
        types = {str(record["@type"]) for record in records if isinstance(record, dict) and "@type" in record}
        if len(types) > 1:
            raise HTTPException(400, "Payload invalid: records of different types in one call.")
        try:
            request_id, rejected = self._account.push(records)
        except QueueFull:
            return error_reply(429, "The queue is full", self._queue_headers())
        receipt = {
            "status": "OK",
            "request_id": request_id,
            "accepted": len(records) - rejected,
            "rejected": rejected,
        }
        return json_reply(receipt, 202, self._queue_headers())

    def _queue_headers(self) -> dict[str, str]:
        limit = self._account.settings.queue_limit
        remaining = max(limit - self._account.backlog, 0)
        return {"X-QueueSize-Limit": str(limit), "X-QueueSize-Remaining": str(remaining)}

    async def errors(self, _: Request) -> Response:
        """The latest errors of the account, newest first (the order is ours)."""
        shape = self._account.settings.error_shape
        newest_first = reversed(self._account.errors)
        if shape == "mixed":
            shown = [error.shown("observed" if error.number % 2 else "documented") for error in newest_first]
        else:
            shown = [error.shown(shape) for error in newest_first]
        return json_reply(shown)

    async def orders(self, request: Request) -> Response:
        found: set[str] | None = None
        for parameter, kind in (("customer_id", "customer_id"), ("email", "email_address")):
            value = request.query_params.get(parameter)
            if value is not None:
                keys = self._account.people.identities.holders(identifier(kind, value))
                ids = {key[1] for key in keys if key[0] == "order"}
                found = ids if found is None else found & ids
        return self._page(request, self._account.orders, found)

    async def contacts(self, request: Request) -> Response:
        return self._page(request, self._account.contacts.get(request.path_params["collection"], Shelf()))

    def _page(self, request: Request, shelf: Shelf[str], ids: set[str] | None = None) -> Response:
        orderby = request.query_params.get("orderby")
        if orderby not in (None, "timestamp_update"):
            raise HTTPException(400, "orderby must be timestamp_update")
        stored = shelf.page(
            offset=_whole_number(request, "offset", 0),
            limit=_whole_number(request, "limit", DEFAULT_PAGE, most=MAX_PAGE),
            since=_bounds(request, "Since"),
            before=_bounds(request, "Before"),
            by_update=orderby is not None,
            ids=ids,
        )
        with_update = self._account.settings.reads_show_update
        return array_reply(each.shown(with_update=with_update) for each in stored)

    async def order(self, request: Request) -> Response:
        return self._one(self._account.orders, request)

    async def contact(self, request: Request) -> Response:
        return self._one(self._account.contacts.get(request.path_params["collection"], Shelf()), request)

    async def product(self, request: Request) -> Response:
        return self._one(self._account.products, request)

    def _one(self, shelf: Shelf[str], request: Request) -> Response:
        stored = shelf.get(request.path_params["id"])
        if stored is None:
            raise HTTPException(404, "Not found")
        body = stored.shown(with_update=self._account.settings.reads_show_update)
        return Response(body, media_type="application/json")

    async def profiles(self, request: Request) -> Response:
        """The profile with this address, in an array; an empty one if there is none (the shape is ours)."""
        email = request.query_params.get("email")
        if not email:
            raise HTTPException(400, "email is required")
        people = self._account.people
        person = people.identities.person([identifier("email_address", email)])
        return json_reply([people.profile(person)] if person.keys else [])

    async def unsubscribes(self, request: Request) -> Response:
        """People's own opt-outs in [since, before); those made through the API are not among them."""
        since, before = _moment(request, "since"), _moment(request, "before")
        offset = _whole_number(request, "offset", 0)
        limit = _whole_number(request, "limit", DEFAULT_PAGE, most=MAX_PAGE)
        found = [
            {"email": each.email, "channel": each.channel, "source": each.source, "timestamp": iso(each.at)}
            for each in self._account.people.unsubscribes
            if (since is None or each.at >= since) and (before is None or each.at < before)
        ]
        return json_reply(found[offset : offset + limit])

    async def delete_person(self, request: Request) -> Response:
        asked = await _json(request)
        if not isinstance(asked, dict) or not isinstance(asked.get("email"), str) or not asked["email"]:
            raise HTTPException(400, "email is required")
        return json_reply(self._account.delete_person(asked["email"]).shown(), 202)

    async def deletions(self, _: Request) -> Response:
        return json_reply([job.shown() for job in self._account.deletions.values()])

    async def deletion(self, request: Request) -> Response:
        return _job(self._account.deletions, request)

    async def merge(self, request: Request) -> Response:
        asked = await _json(request)
        if not isinstance(asked, dict) or not isinstance(asked.get("customers_to_merge"), list):
            raise HTTPException(400, "survivor and customers_to_merge are required")
        merged = asked["customers_to_merge"]
        if not 1 <= len(merged) <= MAX_MERGED:
            raise HTTPException(400, f"customers_to_merge must name 1 to {MAX_MERGED} customers")
        survivor, *others = [_identifier(each) for each in (asked.get("survivor"), *merged)]
        shown = {"survivor": asked["survivor"], "customers_to_merge": merged}
        job = self._account.merge_profiles(survivor, others, shown)
        return json_reply({"job_id": job.id, **job.shown()}, 202)

    async def merge_job(self, request: Request) -> Response:
        return _job(self._account.merges, request)


async def _json(request: Request) -> Any:
    try:
        return orjson.loads(await request.body())
    except orjson.JSONDecodeError:
        raise HTTPException(400, "Payload invalid: not JSON.") from None


def _job(jobs: dict[str, Job], request: Request) -> Response:
    job = jobs.get(request.path_params["id"])
    if job is None:
        raise HTTPException(404, "Not found")
    return json_reply(job.shown())


def _identifier(named: Any) -> Identifier:
    if not isinstance(named, dict) or named.get("type") not in KINDS or not isinstance(named.get("value"), str):
        raise HTTPException(400, f"a customer is named by a value and a type out of {', '.join(KINDS)}")
    return identifier(named["type"], named["value"])


def _whole_number(request: Request, name: str, default: int, *, most: int | None = None) -> int:
    text = request.query_params.get(name, str(default))
    if not (text.isascii() and text.isdigit()) or (most is not None and int(text) > most):
        raise HTTPException(400, f"{name} must be a whole number" + (f" up to {most}" if most else ""))
    return int(text)


def _moment(request: Request, name: str) -> float | None:
    text = request.query_params.get(name)
    if text is None:
        return None
    try:
        return parse_timestamp(text).timestamp()
    except (ValueError, OverflowError):
        raise HTTPException(400, f"{name} must be an ISO 8601 date and time") from None


def _bounds(request: Request, end: str) -> dict[Stamp, float]:
    bounds = {stamp: _moment(request, stamp + end) for stamp in STAMPS}
    return {stamp: bound for stamp, bound in bounds.items() if bound is not None}
