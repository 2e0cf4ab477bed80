"""One HTTP call to Ometria: the key, the budget, and a typed error for whatever is no usable answer."""

import logging
import re
import ssl
import time
from collections.abc import Generator
from contextlib import closing
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from math import inf, isfinite
from typing import Any

import httpx
import orjson

from bc_ometria.ometria.budget import CallBudget, Kind
from bc_ometria.ometria.errors import (
    AccessRefused,
    NotReceived,
    OmetriaError,
    OutcomeUnknown,
    PayloadRefused,
    RateLimited,
    Unreachable,
)

MAX_RETRY_AFTER_S = 300.0
"""The longest wait that a ``Retry-After`` is believed for (ours)."""

PAUSE_S = 1.0
"""How long calls of a kind rest after a 429 without ``Retry-After``: one window of Ometria's rates (ours)."""

_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)
_LOST: dict[Kind, str] = {
    "push": "The records may or may not have been received: push the same ids again.",
    "other": "Nothing was read: ask again.",
}


class Connection:
    """The HTTP connections to one Ometria account; the key goes nowhere but into its header."""

    def __init__(
        self,
        base_url: str,
        api_key: str,
        budget: CallBudget,
        timeout: float,
        transport: httpx.BaseTransport | None,
    ) -> None:
        if not _is_web_address(base_url):
            raise ValueError("OMETRIA_BASE_URL must be a web address such as https://api.ometria.com/v2")
        if not api_key or not api_key.isascii() or not api_key.isprintable() or " " in api_key:
            raise ValueError("OMETRIA_API_KEY is empty or holds blanks or letters that no key has")
        self.base_url = base_url
        self._key = api_key
        self._budget = budget
        self._timeout = timeout
        self._http = httpx.Client(
            base_url=base_url,
            auth=_KeyAuth(api_key),
            timeout=timeout,
            follow_redirects=False,
            transport=transport,
            verify=_certificates(),
        )

    def close(self) -> None:
        self._http.close()

    def get(self, path: str, params: dict[str, str | int] | None = None, *, missing_ok: bool = False) -> Any:
        """The JSON at ``path``; None for a 404 where ``missing_ok``."""
        answer = self._answer("other", self._http.build_request("GET", path, params=params))
        return None if missing_ok and answer.status_code == 404 else self._json("other", answer)

    def push(self, content: bytes, start_by: float = inf) -> tuple[Any, httpx.Headers]:
        """The JSON and the headers that ``POST /push`` answers; raises ``NotReceived`` where the call's turn
        comes after ``start_by`` (``time.monotonic``)."""
        headers = {"Content-Type": "application/json"}
        answer = self._answer(
            "push", self._http.build_request("POST", "/push", content=content, headers=headers), start_by
        )
        return self._json("push", answer), answer.headers

    def _answer(self, kind: Kind, request: httpx.Request, start_by: float = inf) -> httpx.Response:
        self._budget.acquire(kind)
        if time.monotonic() > start_by:
            raise NotReceived("The call's turn within Ometria's rates came too late: nothing was sent.")
        deadline = time.monotonic() + self._timeout
        body = bytearray()
        # "from None" throughout: an httpx error holds the request, and that the key.
        try:
            with closing(self._http.send(request, stream=True)) as response:
                for chunk in response.iter_raw():
                    body += chunk
                    if time.monotonic() > deadline:
                        # httpx limits the wait for each piece, not a body that trickles.
                        raise httpx.ReadTimeout("", request=request)
            return httpx.Response(response.status_code, headers=response.headers, content=bytes(body))
        except _NOT_SENT as error:
            raise Unreachable(
                f"No connection to Ometria at {self.base_url} ({type(error).__name__}): nothing was sent. "
                "Look at OMETRIA_BASE_URL and the network."
            ) from None
        except httpx.TimeoutException:
            raise OutcomeUnknown(f"Ometria did not answer within {self._timeout:g} s. {_LOST[kind]}") from None
        except httpx.HTTPError as error:
            what = type(error).__name__
            raise OutcomeUnknown(f"The connection to Ometria broke ({what}). {_LOST[kind]}") from None

    def _json(self, kind: Kind, answer: httpx.Response) -> Any:
        try:
            body = orjson.loads(answer.content)
        except orjson.JSONDecodeError:
            body = _NO_JSON
        if answer.is_success and body is not _NO_JSON:
            return body
        error = self._error(kind, answer.status_code, answer.headers, body)
        if isinstance(error, RateLimited):
            self._budget.pause(kind, PAUSE_S if error.retry_after is None else error.retry_after)
        raise error

    def _error(self, kind: Kind, status: int, headers: httpx.Headers, body: Any) -> OmetriaError:
        if status in (401, 403):
            return AccessRefused(
                f"Ometria refused the API key ({status}): nothing was received. "
                "Look at OMETRIA_API_KEY: it must be a Data API key of the account at OMETRIA_BASE_URL."
            )
        if status == 429:
            wait = retry_after(headers)
            asked = "" if wait is None else f" and asks to wait {wait:g} s"
            return RateLimited(
                f"Ometria says too many calls, or too many records waiting (429){asked}. Nothing was "
                "received: send it again later; if it stays, lower the rates to those of the account.",
                wait,
            )
        if status in (404, 405, 407, 410):
            return Unreachable(
                f"There is no such call at {self.base_url} ({status}): nothing was received. Look at OMETRIA_BASE_URL."
            )
        if 400 <= status < 500 and status != 408:
            return PayloadRefused(
                f"Ometria refused the whole call ({status}): {self._reason(body)}. "
                "Nothing of it was received; it must change before it goes again."
            )
        if status >= 400:
            return OutcomeUnknown(f"Ometria answered with an error of its own ({status}). {_LOST[kind]}")
        how = "without JSON" if status < 300 else "with a redirect, which is not followed"
        return OutcomeUnknown(
            f"Ometria answered {how} ({status}). {_LOST[kind]} If it stays, look at OMETRIA_BASE_URL."
        )

    def _reason(self, body: Any) -> str:
        """Ometria's own short message, without the key and without e-mail addresses."""
        if isinstance(body, dict):
            for name in ("message", "error_message", "error"):
                if isinstance(text := body.get(name), str) and text:
                    return masked(text.replace(self._key, "***"))[:200].rstrip(". ")
        return "it gave no reason"


@cache
def _certificates() -> ssl.SSLContext:
    """Loaded once for all clients of this process: that costs as much as several calls."""
    return httpx.create_ssl_context()


def _is_web_address(text: str) -> bool:
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL:
        return False
    # A password or a token in the address would show wherever the address does.
    return url.scheme in ("http", "https") and bool(url.host) and not url.userinfo and not url.query


class _KeyAuth(httpx.Auth):
    """Sets the key on each request, so that neither the client's headers nor its repr hold it."""

    def __init__(self, api_key: str) -> None:
        self._key = api_key

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers["X-Ometria-Auth"] = self._key
        yield request


_NO_JSON = object()

_EMAIL_ADDRESS = re.compile(r"[^\s@\"'<>(),:;=]+@[^\s@\"'<>(),:;]+")


def masked(text: str) -> str:
    """The text without e-mail addresses."""
    return _EMAIL_ADDRESS.sub("***@***", text)


def retry_after(headers: httpx.Headers) -> float | None:
    """The seconds that a ``Retry-After`` asks for, in seconds or as an HTTP date; None where it does not.

    Never under 0 and never over ``MAX_RETRY_AFTER_S``. A date counts from the answer's own ``Date``, for the
    two machines' clocks may differ.
    """
    value = headers.get("Retry-After", "").strip()
    try:
        seconds = float(value)
    except ValueError:
        try:
            until = parsedate_to_datetime(value)
            now = parsedate_to_datetime(headers["Date"]) if "Date" in headers else datetime.now(UTC)
            seconds = (until - now).total_seconds()
        except (ValueError, TypeError):
            return None
    return min(max(seconds, 0.0), MAX_RETRY_AFTER_S) if isfinite(seconds) else None


def _drop_query(record: logging.LogRecord) -> bool:
    """httpx logs each address at INFO, and a query may hold an e-mail address."""
    if isinstance(record.args, tuple):
        record.args = tuple(arg.copy_with(query=None) if isinstance(arg, httpx.URL) else arg for arg in record.args)
    return True


logging.getLogger("httpx").addFilter(_drop_query)
