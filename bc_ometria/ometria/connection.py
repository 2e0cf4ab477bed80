"""One HTTP call to Ometria: the key, the budget, and a typed error for whatever is no usable answer."""

import logging
import re
import ssl
import time
from collections import Counter
from collections.abc import Generator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import cache
from math import inf, isfinite
from typing import Any

import httpx
import orjson

from bc_ometria.ometria.budget import MAX_PAUSE_S, CallBudget, Kind
from bc_ometria.ometria.errors import (
    AccessRefused,
    NotReceived,
    OmetriaError,
    OutcomeUnknown,
    PayloadRefused,
    RateLimited,
    Unreachable,
)

PAUSE_S = 0.125
"""How long calls of a kind rest at least after a 429 (ours): where calls were a little too close, that is enough."""

_DOUBLINGS = 7
"""How often that is doubled at most, for one 429 after the other."""

_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)
_LOST: dict[Kind, str] = {
    "push": "The records may or may not have been received. Contacts and orders go again by themselves under the same "
    "ids, which changes nothing that is there.",
    "other": "Nothing was read; it is asked again by itself.",
    "merge": "Ometria may or may not merge the customers. Before it is asked again, it is looked whether it has.",
}


class Connection:
    """The HTTP connections to one Ometria account; the key goes nowhere but into its header.

    ``ahead`` is how far Ometria's clock is ahead of this machine's by the newest answer, up to a second and the
    answer's way too little and never too much; None until an answer tells its ``Date``.
    """

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
        self.budget = budget
        self.ahead: timedelta | None = None
        self._limited: Counter[Kind] = Counter()  # how many 429 in a row
        self._key = api_key
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

    def merge(self, content: bytes, *, has_turn: bool = False) -> Any:
        """The JSON that ``POST /merge-profile`` answers; ``has_turn``: the caller took the call's turn."""
        headers = {"Content-Type": "application/json"}
        request = self._http.build_request("POST", "/merge-profile", content=content, headers=headers)
        return self._json("merge", self._answer("merge", request, has_turn=has_turn))

    def push(self, content: bytes, start_by: float = inf, *, has_turn: bool = False) -> tuple[Any, httpx.Headers]:
        """The JSON and the headers that ``POST /push`` answers; raises ``NotReceived`` where the call's turn
        comes after ``start_by`` (``time.monotonic``). ``has_turn``: the caller took it."""
        headers = {"Content-Type": "application/json"}
        request = self._http.build_request("POST", "/push", content=content, headers=headers)
        answer = self._answer("push", request, start_by, has_turn=has_turn)
        return self._json("push", answer), answer.headers

    def _answer(
        self, kind: Kind, request: httpx.Request, start_by: float = inf, *, has_turn: bool = False
    ) -> httpx.Response:
        has_turn = has_turn or self.budget.acquire(kind, start_by=start_by) > 0
        if has_turn:
            self.budget.start(kind)
        if not has_turn or time.monotonic() > start_by:
            raise NotReceived(
                "The call's turn within Ometria's rates would have come too late: nothing was sent, and it goes again "
                "by itself."
            )
        deadline = time.monotonic() + self._timeout
        body = bytearray()
        # "from None" throughout: an httpx error holds the request, and that the key.
        try:
            with closing(self._http.send(request, stream=True)) as response:
                if (date := _http_date(response.headers.get("Date", ""))) is not None:
                    self.ahead = date - datetime.now(UTC)
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
            self._limited[kind] = 0
            return body
        error = self._error(kind, answer.status_code, answer.headers, body)
        if isinstance(error, RateLimited):
            self._limited[kind] += 1
            self.budget.pause(kind, error.pause_s)
        raise error

    def _error(self, kind: Kind, status: int, headers: httpx.Headers, body: Any) -> OmetriaError:
        if status in (401, 403):
            return AccessRefused(
                f"Ometria refused the API key ({status}): nothing was received. No record is marked as bad; all of "
                "them wait until the key is accepted. Look at OMETRIA_API_KEY: it must be a Data API key of the "
                "account at OMETRIA_BASE_URL."
            )
        if status == 429:
            pause = max(PAUSE_S * 2 ** min(self._limited[kind], _DOUBLINGS), retry_after(headers) or 0.0)
            return RateLimited(
                "Ometria says too many calls, or too many records waiting (429). Nothing was received; calls of this "
                f"kind pause for {pause:g} s, and it goes again by itself. If it stays, lower the limits in "
                "rules/ometria.yaml to those of the account.",
                pause,
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

    Never under 0 and never over ``MAX_PAUSE_S``. A date counts from the answer's own ``Date``, for the
    two machines' clocks may differ.
    """
    value = headers.get("Retry-After", "").strip()
    try:
        seconds = float(value)
    except ValueError:
        until = _http_date(value)
        if until is None:
            return None
        seconds = (until - (_http_date(headers.get("Date", "")) or datetime.now(UTC))).total_seconds()
    return min(max(seconds, 0.0), MAX_PAUSE_S) if isfinite(seconds) else None


def _http_date(value: str) -> datetime | None:
    try:
        at = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    return at if at.tzinfo else None


def _drop_query(record: logging.LogRecord) -> bool:
    """httpx logs each address at INFO, and a query may hold an e-mail address."""
    if isinstance(record.args, tuple):
        record.args = tuple(arg.copy_with(query=None) if isinstance(arg, httpx.URL) else arg for arg in record.args)
    return True


logging.getLogger("httpx").addFilter(_drop_query)
