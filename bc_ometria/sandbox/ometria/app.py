"""Puts the stand-in together: the API below ``/v2`` behind its front door, the control routes beside it."""

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from bc_ometria.sandbox.ometria.account import Account
from bc_ometria.sandbox.ometria.api import Api
from bc_ometria.sandbox.ometria.control import Control
from bc_ometria.sandbox.ometria.front import FrontDoor
from bc_ometria.sandbox.ometria.replies import error_reply


def create_app(account: Account) -> ASGIApp:
    """The stand-in over ``account``: base URL ``<server>/v2``, control routes at ``<server>/_control``.

    Faults that break a connection need uvicorn (``bc_ometria.sandbox.server.Server``).
    """
    api = Api(account).routes()
    app = Starlette(routes=[*api, *Control(account).routes()], exception_handlers={HTTPException: _error})
    return FrontDoor(app, account, api)


async def _error(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return error_reply(error.status_code, error.detail)
