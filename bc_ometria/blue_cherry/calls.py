"""Ask Blue Cherry one question over HTTP: the key, the address, retries, and what a refusal means."""

import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from math import inf
from typing import Any, cast
from urllib.parse import quote

import httpx
import orjson

from bc_ometria.blue_cherry.errors import (
    AccessRefused,
    BadRequest,
    BlueCherryError,
    NotFound,
    NotJson,
    Unavailable,
)
from bc_ometria.blue_cherry.profile import TenantProfile

ATTEMPTS = 5
FIRST_PAUSE = 0.5
LONGEST_PAUSE = 60.0
"""Seconds (ours): a failed call is repeated after 0.5, 1, 2 and 4 s, or after ``Retry-After``, at most 60."""


class Calls:
    """GET calls to one tenant and environment, as JSON. Nothing but GET (truth 10).

    ``answered_at`` is when the latest good reply was made: by its own ``Date``, only where it has none by our clock.
    """

    def __init__(
        self,
        base_url: str,
        tenant: str,
        environment: str,
        api_key: str,
        profile: TenantProfile,
        *,
        timeout: float,
        patience: float | None = None,
        transport: httpx.BaseTransport | None,
        sleep: Callable[[float], None],
    ) -> None:
        # An illegal header value would be quoted, whole, in the error of the HTTP library.
        if not api_key or not all("!" <= letter <= "~" for letter in api_key):
            raise AccessRefused(
                "BLUE_CHERRY_API_KEY is empty or holds a space, a line break or a letter that no key has, "
                "so Blue Cherry was not asked. Set it to the subscription key of the tenant's API."
            )
        self._profile = profile
        self._address = {"base_url": base_url.rstrip("/"), "tenant": quote(tenant, safe="")}
        self._address["environment"] = quote(environment, safe="")
        self._key = api_key
        self._sleep = sleep
        self._attempts = ATTEMPTS if patience is None else 1
        self._until = inf if patience is None else time.monotonic() + patience
        self._timeout = timeout
        self.answered_at = datetime.now(UTC)
        self._http = httpx.Client(
            headers={profile.key_header: api_key, "Accept": "application/json"},
            timeout=timeout,
            transport=transport,
            verify=_certificates(),
            event_hooks={"response": [self._hurry]},
        )

    def close(self) -> None:
        self._http.close()

    @property
    def is_out_of_time(self) -> bool:
        """Whether the patience is at its end."""
        return time.monotonic() >= self._until

    def json(self, resource: str, query: Mapping[str, str]) -> Any:
        """The parsed answer. Raises a ``BlueCherryError``, ``Unavailable`` only after every retry."""
        response = self._get(resource, query)
        try:
            return orjson.loads(response.content)
        except orjson.JSONDecodeError:
            kind = response.headers.get("Content-Type", "no content type")
            raise NotJson(
                f"Blue Cherry answered {resource} with something that is not JSON ({kind}): rows as JSON "
                "were expected. Look at BLUE_CHERRY_BASE_URL: a sign-in page or a proxy may stand in between."
            ) from None

    def _get(self, resource: str, query: Mapping[str, str]) -> httpx.Response:
        url = self._profile.path.format(**self._address, resource=self._profile.resource(resource).path)
        trouble = ""
        for attempt in range(self._attempts):
            pause = FIRST_PAUSE * 2**attempt
            try:
                response = self._http.get(url, params=query, timeout=self._time_left())
            except (httpx.InvalidURL, httpx.UnsupportedProtocol):
                raise NotFound(
                    "BLUE_CHERRY_BASE_URL is not an address as https://name.example.com: set it to the API's."
                ) from None
            except httpx.TimeoutException:
                trouble = "it did not answer in time"
            except httpx.TransportError as error:
                trouble = f"the connection failed ({type(error).__name__})"
            except httpx.DecodingError:
                trouble = "its answer was cut or garbled"
            else:
                if response.status_code == 429:
                    trouble = "it allows no more calls for now (429)"
                    pause = _retry_after(response, otherwise=pause)
                elif response.status_code >= 500:
                    trouble = f"it failed with status {response.status_code}"
                elif response.status_code == 200:
                    self.answered_at = _http_date(response.headers.get("Date", "")) or datetime.now(UTC)
                    return response
                else:
                    raise self._refusal(resource, response)
            if attempt + 1 < self._attempts:
                self._sleep(pause)
        raise Unavailable(
            f"Blue Cherry's {resource} could not be read{_in_attempts(self._attempts)}: {trouble}. Nothing is "
            "lost, the next run reads them; if it lasts, look at BLUE_CHERRY_BASE_URL and ask who runs it."
        )

    def _time_left(self) -> float:
        return max(min(self._timeout, self._until - time.monotonic()), 0.001)

    def _hurry(self, response: httpx.Response) -> None:
        """Have a body that comes in drips end with the patience: a timeout of the library is for each drip."""
        if self._until < inf and isinstance(response.stream, httpx.SyncByteStream):
            response.stream = _Hurried(response.stream, self._until)

    def _refusal(self, resource: str, response: httpx.Response) -> BlueCherryError:
        status = response.status_code
        said = self._message(response)
        if status in (401, 403):
            fault = "not allowed" if status == 403 else "missing" if "missing" in said.lower() else "invalid"
            return AccessRefused(
                f"Blue Cherry refused the key for {resource} ({status}: the key is {fault}). "
                f"Look at BLUE_CHERRY_API_KEY and at key_header in tenant.yaml."
            )
        if status == 404:
            return NotFound(
                f"Blue Cherry has no {resource} at this address (404). Look at BLUE_CHERRY_BASE_URL, "
                f"BLUE_CHERRY_TENANT, BLUE_CHERRY_ENVIRONMENT and resources.{resource}.path in tenant.yaml."
            )
        if 300 <= status < 400:
            return NotJson(
                f"Blue Cherry sent {resource} elsewhere ({status}) instead of answering with rows as JSON. "
                f"Look at BLUE_CHERRY_BASE_URL."
            )
        return BadRequest(
            f"Blue Cherry did not accept the query for {resource} ({status}: {said or 'no reason given'}). "
            f"Look at parameters in tenant.yaml."
        )

    def _message(self, response: httpx.Response) -> str:
        try:
            said = str(cast("dict[str, object]", orjson.loads(response.content))["message"])
        except (orjson.JSONDecodeError, KeyError, TypeError):
            return ""
        return said.replace(self._key, "…")[:200]


class _Hurried(httpx.SyncByteStream):
    """A body that is given up when its time is over."""

    def __init__(self, stream: httpx.SyncByteStream, until: float) -> None:
        self._stream, self._until = stream, until

    def __iter__(self) -> Iterator[bytes]:
        for part in self._stream:
            if time.monotonic() > self._until:
                raise httpx.ReadTimeout("")
            yield part

    def close(self) -> None:
        self._stream.close()


def _in_attempts(attempts: int) -> str:
    return f" in {attempts} attempts" if attempts > 1 else ""


@cache
def _certificates() -> ssl.SSLContext:
    """Loaded once for all clients of this process: that costs as much as several calls."""
    return httpx.create_ssl_context()


def _retry_after(response: httpx.Response, *, otherwise: float) -> float:
    """Seconds to wait as the reply asks, given as seconds or as a date."""
    asked = response.headers.get("Retry-After", "").strip()
    if asked.isdecimal():
        return min(float(asked), LONGEST_PAUSE)
    until = _http_date(asked)
    if until is None:
        return otherwise
    return min(max((until - datetime.now(UTC)).total_seconds(), 0.0), LONGEST_PAUSE)


def _http_date(text: str) -> datetime | None:
    """The moment that a header names; ``None`` where it names none."""
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
