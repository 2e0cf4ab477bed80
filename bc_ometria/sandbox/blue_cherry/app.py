"""Blue Cherry's HTTP API, as `contracts/blue_cherry.md` describes the reference tenant.

``GET /{TENANT}/{ENVIRONMENT_CODE}/{resource}``; what steers the stand-in itself is in `control.py`.
"""

from collections.abc import Sequence
from email.utils import formatdate

import anyio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route

from bc_ometria.sandbox.blue_cherry.columns import RESOURCES
from bc_ometria.sandbox.blue_cherry.control import Controls, control_routes
from bc_ometria.sandbox.blue_cherry.database import BlueCherryDatabase
from bc_ometria.sandbox.blue_cherry.faults import HalfBody
from bc_ometria.sandbox.blue_cherry.query import BadParameter, Query, parse

KEY_HEADER = "Ocp-Apim-Subscription-Key"
# Azure API Management's own words.
MISSING_KEY = (
    "Access denied due to missing subscription key. "
    "Make sure to include subscription key when making requests to an API."
)
INVALID_KEY = (
    "Access denied due to invalid subscription key. Make sure to provide a valid key for an active subscription."
)


def create_app(database: BlueCherryDatabase, *, tenant: str, environment: str, api_keys: Sequence[str]) -> Starlette:
    """The API over ``database``. Any of ``api_keys`` opens it: a subscription has two, for rotation."""
    controls = Controls(database)

    async def read(request: Request) -> Response:
        response = await answer(request)
        response.headers["Date"] = formatdate(database.clock.timestamp(), usegmt=True)
        return response

    async def answer(request: Request) -> Response:
        resource = request.path_params["resource"]
        if (request.path_params["tenant"], request.path_params["environment"]) != (tenant, environment):
            return _refused(404, "Resource not found")
        if not (key := request.headers.get(KEY_HEADER, "")):
            return _refused(401, MISSING_KEY)
        if key not in api_keys:
            return _refused(401, INVALID_KEY)
        if resource not in RESOURCES:
            return _refused(404, "Resource not found")
        controls.count(resource)
        fault = controls.faults.take(resource)
        if fault and fault.seconds:
            await anyio.sleep(fault.seconds)
        if fault and (refusal := fault.refusal()):
            return refusal
        try:
            query = parse(resource, request.query_params.multi_items())
        except BadParameter as error:
            return _refused(400, str(error))
        body = await anyio.to_thread.run_sync(reply, query)
        if fault:
            body = fault.distort(body)
        half = fault is not None and fault.kind == "half_body"
        return (HalfBody if half else Response)(body, media_type="application/json")

    def reply(query: Query) -> bytes:
        page = database.page(query)
        controls.after_page(query)
        numbers = f'"page":{query.page},"page_size":{query.page_size},"total":{page.total}'
        return b'{"value":[%b],%b}' % (page.rows, numbers.encode())

    return Starlette(
        routes=[
            Mount("/_control", routes=control_routes(controls)),
            Route("/{tenant}/{environment}/{resource}", read, methods=["GET"]),
        ]
    )


def _refused(status: int, message: str) -> JSONResponse:
    return JSONResponse({"statusCode": status, "message": message}, status)
