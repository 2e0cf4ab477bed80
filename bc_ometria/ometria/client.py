"""The Ometria Data API v2 over HTTP (``contracts/ometria.md``)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import inf
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx
import orjson

from bc_ometria.ometria.budget import CallBudget
from bc_ometria.ometria.connection import Connection, masked
from bc_ometria.ometria.errors import OutcomeUnknown
from bc_ometria.ometria.payloads import MAX_RECORD_BYTES, RECORD_TYPES, too_large

MAX_RECORDS = 100
"""The most records in one push."""

PAGE_SIZE = 250
"""The most items in one page of a list."""

MAX_MERGED = 5
"""The most customers to merge into a survivor with one call."""


@dataclass(frozen=True)
class PushReply:
    """What Ometria said to a push: received, not yet validated and not yet stored.

    Ometria's queue takes ``queue_limit`` records, and ``queue_remaining`` more of them now; None where it did not say.
    """

    request_id: str
    accepted: int
    rejected: int
    queue_limit: int | None
    queue_remaining: int | None


@dataclass(frozen=True)
class RecordError:
    """A record that Ometria refused after it was pushed. One of the documented shapes names no record.

    ``at`` is Ometria's time; None where it gave none, or one without an offset.
    """

    request_id: str | None
    record_type: str | None
    record_id: str | None
    message: str
    path: str | None
    at: datetime | None = None


class OmetriaClient:
    """One account of Ometria. Safe for threads; use it in a ``with`` block or close it.

    Every call but a push for which the caller took a turn waits for its turn in ``budget``. ``timeout`` is how many
    seconds one call may take. Every method raises the errors of ``errors.py``.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str,
        *,
        budget: CallBudget,
        timeout: float = 30.0,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._connection = Connection(base_url, api_key, budget, timeout, transport)

    def __repr__(self) -> str:
        return f"OmetriaClient({self._connection.base_url!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._connection.close()

    @property
    def budget(self) -> CallBudget:
        return self._connection.budget

    @property
    def knows_ometria_time(self) -> bool:
        """Whether an answer told Ometria's time."""
        return self._connection.ahead is not None

    def ometria_time(self, at: datetime) -> datetime:
        """Ometria's time at our time ``at``, early by up to a second and the way of an answer, and never late; ``at``
        itself where Ometria's time is not known."""
        return at + (self._connection.ahead or timedelta())

    def ping(self) -> None:
        """One cheap call that needs the key; returns where Ometria answers and accepts it."""
        self._list("/orders", {"limit": 1})

    def push(
        self, record_type: str, payloads: Sequence[bytes], *, start_by: float = inf, has_turn: bool = False
    ) -> PushReply:
        """Push ready JSON records, all of ``record_type`` and no id twice (the caller's part).

        ``has_turn``: the caller took this call's turn with ``budget.acquire``; no other is taken. A call whose turn
        comes after ``start_by`` (``time.monotonic``) is not made: ``NotReceived``.
        Raises ``ValueError`` for no records, more than ``MAX_RECORDS``, or one over the size limit.
        """
        if record_type not in RECORD_TYPES:
            raise ValueError(f"a record type is one of {', '.join(RECORD_TYPES)}")
        if not 1 <= len(payloads) <= MAX_RECORDS:
            raise ValueError(f"a push takes 1 to {MAX_RECORDS} records, not {len(payloads)}")
        if any(too_large(payload) for payload in payloads):
            raise ValueError(f"a record of type {record_type} is over {MAX_RECORD_BYTES:,} bytes")
        body, headers = self._connection.push(b"[" + b",".join(payloads) + b"]", start_by, has_turn=has_turn)
        match body:
            case {
                "status": "OK",
                "request_id": str(request_id),
                "accepted": int(accepted),
                "rejected": int(rejected),
            }:
                limit, remaining = (_count(headers.get(f"X-QueueSize-{name}", "")) for name in ("Limit", "Remaining"))
                return PushReply(request_id, accepted, rejected, limit, remaining)
        raise OutcomeUnknown(
            "Ometria answered a push with JSON that is no push reply: the records may have been received. Contacts "
            "and orders go again by themselves under the same ids. If it stays, look at OMETRIA_BASE_URL."
        )

    def merge(self, survivor: str, merged: Sequence[str], *, has_turn: bool = False) -> str:
        """Ask for customers, by their ``customer_id``, to be merged into ``survivor``; the id of Ometria's job.

        ``has_turn``: the caller took this call's turn with ``budget.acquire``.
        Raises ``ValueError`` for nobody, or more than ``MAX_MERGED``.
        """
        if not 1 <= len(merged) <= MAX_MERGED:
            raise ValueError(f"a merge takes 1 to {MAX_MERGED} customers, not {len(merged)}")
        asked = {"survivor": _customer(survivor), "customers_to_merge": [_customer(each) for each in merged]}
        match self._connection.merge(orjson.dumps(asked), has_turn=has_turn):
            case {"job_id": str() | int() as job_id} | {"id": str() | int() as job_id}:
                return str(job_id)
        raise OutcomeUnknown("Ometria answered a merge without naming its job: it may or may not merge the customers.")

    def merge_job(self, job_id: str) -> dict[str, Any] | None:
        """A merge as Ometria tells of it, None where it knows none of that id."""
        return self._one(f"/merge-profile/{_segment(job_id)}")

    def errors(self) -> list[RecordError]:
        """The account's latest record errors, at most 100 and of every sender, in Ometria's order."""
        return [_record_error(element) for element in self._list("/push/_errors")]

    def order(self, id: str) -> dict[str, Any] | None:
        """The order as Ometria has it, None where it has none."""
        return self._one(f"/orders/{_segment(id)}")

    def contact(self, collection: str, id: str) -> dict[str, Any] | None:
        """The contact as Ometria has it, None where it has none."""
        return self._one(f"/contacts/{_segment(collection)}/{_segment(id)}")

    def product(self, id: str) -> dict[str, Any] | None:
        """The product as Ometria has it, None where it has none."""
        return self._one(f"/products/{_segment(id)}")

    def profile(self, email: str) -> dict[str, Any] | None:
        """The merged profile of an e-mail address, None where there is none."""
        profiles = self._list("/profiles", {"email": email})
        return profiles[0] if profiles else None

    def orders(self, update_since: datetime) -> Iterator[dict[str, Any]]:
        """Orders stored at or after ``update_since``; one that changes meanwhile may come twice."""
        return self._pages("/orders", {"updateSince": _moment(update_since)})

    def contacts(self, collection: str, update_since: datetime) -> Iterator[dict[str, Any]]:
        """Contacts stored at or after ``update_since``; one that changes meanwhile may come twice."""
        return self._pages(f"/contacts/{_segment(collection)}", {"updateSince": _moment(update_since)})

    def unsubscribes(self, since: datetime, before: datetime) -> Iterator[dict[str, Any]]:
        """Unsubscribes that people made themselves, from ``since`` up to ``before``; not those of the API."""
        return self._pages("/unsubscribes", {"since": _moment(since), "before": _moment(before)})

    def _one(self, path: str) -> dict[str, Any] | None:
        found = self._connection.get(path, missing_ok=True)
        if found is None or isinstance(found, dict):
            return found
        raise _unexpected("an object")

    def _list(self, path: str, params: dict[str, str | int] | None = None) -> list[dict[str, Any]]:
        found = self._connection.get(path, params)
        if isinstance(found, list) and all(isinstance(element, dict) for element in found):
            return found
        raise _unexpected("a list of objects")

    def _pages(self, path: str, params: dict[str, str | int]) -> Iterator[dict[str, Any]]:
        # In the default order, of internal id, an item that changes while pages are read keeps its place;
        # with orderby=timestamp_update its neighbours would shift and be missed. A short page is not taken
        # for the last one: Ometria may cap pages lower than it says.
        offset = 0
        before: list[dict[str, Any]] = []
        while page := self._list(path, {**params, "limit": PAGE_SIZE, "offset": offset}):
            if page == before:
                raise OutcomeUnknown("Ometria sent the same page of a list twice: its paging stands still.")
            yield from page
            offset += len(page)
            before = page


def _customer(code: str) -> dict[str, str]:
    return {"type": "customer_id", "value": code}


def _count(header: str) -> int | None:
    return int(header) if header.isdecimal() and len(header) < 10 else None


def _segment(part: str) -> str:
    # A dot segment would be resolved away, and the call would read something else.
    if not part.strip("."):
        raise ValueError("an id is not empty and not made of dots alone")
    return quote(part, safe="")


def _moment(at: datetime) -> str:
    """UTC to the second, rounded down: a filter that starts early loses nothing."""
    if at.tzinfo is None:
        raise ValueError("a time carries its offset")
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _record_error(element: dict[str, Any]) -> RecordError:
    """Reads both shapes of the contract, without the rejected record itself, which is personal data."""
    record = element.get("record")
    record = record if isinstance(record, dict) else {}
    message = _text(element.get("message")) or _text(element.get("error_message")) or "no reason given"
    path = _text(element.get("error_path"))
    return RecordError(
        request_id=_text(element.get("request_id")),
        record_type=_text(element.get("record_type")) or _text(record.get("@type")),
        record_id=_text(element.get("record_id")) or _text(record.get("id")),
        message=masked(message),
        path=masked(path) if path else None,
        at=_instant(element.get("timestamp")),
    )


def _text(value: Any) -> str | None:
    return str(value) if isinstance(value, str | int) and value != "" else None


def _instant(value: Any) -> datetime | None:
    try:
        at = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return None
    return at if at.tzinfo else None


def _unexpected(wanted: str) -> OutcomeUnknown:
    return OutcomeUnknown(
        f"Ometria answered with JSON that is not {wanted}: nothing was read. If it stays, look at OMETRIA_BASE_URL."
    )
