"""The stand-in's replies: JSON, errors as ``{"status": "ERROR", "message": …}`` (the shape is ours)."""

from collections.abc import Iterable, Mapping
from typing import Any

import orjson
from starlette.responses import Response

FORBIDDEN = "API key is not authorised to access this resource"


def json_reply(content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(orjson.dumps(content), status, headers, media_type="application/json")


def array_reply(bodies: Iterable[bytes]) -> Response:
    """An array of records that are JSON text already."""
    return Response(json_array(bodies), media_type="application/json")


def json_array(bodies: Iterable[bytes]) -> bytes:
    return b"[" + b",".join(bodies) + b"]"


def error_reply(status: int, message: str, headers: Mapping[str, str] | None = None) -> Response:
    return json_reply({"status": "ERROR", "message": message}, status, headers)
