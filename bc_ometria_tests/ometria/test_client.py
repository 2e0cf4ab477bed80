"""The client of Ometria's Data API over real HTTP: each call, and each documented way to fail."""

import logging
import socket
import time
import traceback
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime
from math import inf
from typing import Any

import httpx
import pytest
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from bc_ometria.ometria.budget import MAX_PAUSE_S, Kind, Unlimited
from bc_ometria.ometria.client import OmetriaClient, PushReply, RecordError
from bc_ometria.ometria.connection import retry_after
from bc_ometria.ometria.errors import (
    AccessRefused,
    NotReceived,
    OmetriaError,
    OutcomeUnknown,
    PayloadRefused,
    RateLimited,
    Unreachable,
)
from bc_ometria_tests.ometria.server import KEY, answering

PERSON = "ann@example.com"
ORDER = b'{"@type": "order",  "id": "1", "customer": {"email": "ann@example.com"}}'
RECEIVED = {"status": "OK", "request_id": "r-1", "accepted": 2, "rejected": 0}
SINCE = datetime(2026, 11, 23, 9, 5, tzinfo=UTC)


def failure(call: Callable[[], object]) -> OmetriaError:
    """The error of a call, after a look that nothing secret shows in it, however it is printed."""
    with pytest.raises(OmetriaError) as caught:
        call()
    printed = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
    assert KEY not in printed
    # What httpx raised holds the request, and that the key: no error reporter may come upon it.
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    assert PERSON not in str(caught.value)
    return caught.value


def test_a_push_sends_the_payloads_as_they_are() -> None:
    reply = JSONResponse(RECEIVED, 202, headers={"X-QueueSize-Limit": "50000", "X-QueueSize-Remaining": "49998"})
    with answering(reply) as ometria:
        assert ometria.client.push("order", [ORDER, ORDER]) == PushReply("r-1", 2, 0, 50_000, 49_998)
    (heard,) = ometria.heard
    assert (heard.method, heard.target) == ("POST", "/v2/push")
    assert heard.body == b"[" + ORDER + b"," + ORDER + b"]"
    assert heard.headers["content-type"] == "application/json"
    assert heard.headers["x-ometria-auth"] == KEY


def test_a_push_reply_without_queue_headers_says_so() -> None:
    with answering(JSONResponse({**RECEIVED, "accepted": 0, "rejected": 2}, 202)) as ometria:
        assert ometria.client.push("order", [ORDER, ORDER]) == PushReply("r-1", 0, 2, None, None)


@pytest.mark.parametrize("said", ["", "many", "-1", "1.5", "9" * 10, "9" * 5_000])
def test_a_queue_header_that_is_no_count_says_nothing(said: str) -> None:
    reply = JSONResponse(RECEIVED, 202, headers={"X-QueueSize-Limit": "7", "X-QueueSize-Remaining": said})
    with answering(reply) as ometria:
        assert ometria.client.push("order", [ORDER, ORDER]) == PushReply("r-1", 2, 0, 7, None)


@pytest.mark.parametrize(
    ("record_type", "payloads", "why"),
    [
        ("order", [], "1 to 100 records, not 0"),
        ("order", [ORDER] * 101, "1 to 100 records, not 101"),
        ("order", [ORDER, b'"' + b"x" * 60_000 + b'"'], "over 60,000 bytes"),
        ("orders", [ORDER], "contact, order, custom_event, product"),
    ],
)
def test_a_push_that_ometria_would_refuse_is_not_sent(record_type: str, payloads: list[bytes], why: str) -> None:
    with answering(JSONResponse(RECEIVED, 202)) as ometria:
        with pytest.raises(ValueError, match=why):
            ometria.client.push(record_type, payloads)
        assert ometria.heard == []
        ometria.client.push("order", [ORDER] * 100)


ANSWERS = [
    (JSONResponse({"message": "API key is not authorised"}, 403), AccessRefused, "OMETRIA_API_KEY"),
    (JSONResponse({}, 403), AccessRefused, "No record is marked as bad"),
    (JSONResponse({}, 401), AccessRefused, "OMETRIA_API_KEY"),
    (HTMLResponse("<html>Forbidden</html>", 403), AccessRefused, "OMETRIA_API_KEY"),
    (
        JSONResponse({"status": "ERROR", "message": "Payload invalid: Record is too large."}, 400),
        PayloadRefused,
        "Payload invalid: Record is too large",
    ),
    (
        JSONResponse({"message": f"Bad {PERSON} for {KEY}"}, 400),
        PayloadRefused,
        "Bad ***@*** for ***",
    ),
    (Response("not JSON", 400), PayloadRefused, "gave no reason"),
    (Response("", 413), PayloadRefused, "413"),
    (JSONResponse({}, 429), RateLimited, "Nothing was received; calls of this kind pause for 0.125 s"),
    (JSONResponse({}, 429, headers={"Retry-After": "7"}), RateLimited, "pause for 7 s, and it goes again by itself"),
    (JSONResponse({}, 429, headers={"Retry-After": "31536000"}), RateLimited, "pause for 300 s"),
    (JSONResponse({}, 404), Unreachable, "OMETRIA_BASE_URL"),
    *((Response("oops", status), OutcomeUnknown, "error of its own") for status in (408, 500, 502, 503, 504)),
    (HTMLResponse("<html>Back soon</html>", 200), OutcomeUnknown, "without JSON"),
    (HTMLResponse("<html>Back soon</html>", 202), OutcomeUnknown, "without JSON"),
    (Response("", 202), OutcomeUnknown, "without JSON"),
    (Response(status_code=204), OutcomeUnknown, "without JSON"),
    (Response('{"status":"OK","accep', 202), OutcomeUnknown, "without JSON"),
    *(
        (RedirectResponse("/v2/login", status), OutcomeUnknown, "redirect, which is not followed")
        for status in (301, 302, 303, 307, 308)
    ),
]


@pytest.mark.parametrize(("answer", "kind", "says"), ANSWERS)
def test_each_answer_that_is_no_success_has_its_error(answer: Response, kind: type[OmetriaError], says: str) -> None:
    with answering(answer) as ometria:
        for call in (lambda: ometria.client.push("order", [ORDER]), ometria.client.ping):
            error = failure(call)
            assert type(error) is kind
            assert says in str(error)
        assert len(ometria.heard) == 2  # Nothing is tried again, and no redirect followed.


@pytest.mark.parametrize("reply", [[], {}, {**RECEIVED, "status": "ERROR"}, {**RECEIVED, "accepted": "2"}, None])
def test_json_that_is_no_push_reply_leaves_the_outcome_unknown(reply: Any) -> None:
    with answering(JSONResponse(reply, 202)) as ometria:
        error = failure(lambda: ometria.client.push("order", [ORDER]))
    assert isinstance(error, OutcomeUnknown)
    assert "under the same ids" in str(error)


def test_what_a_caller_may_do_next_follows_from_the_kind_of_error() -> None:
    assert issubclass(AccessRefused, NotReceived)
    assert issubclass(RateLimited, NotReceived)
    assert issubclass(Unreachable, NotReceived)
    assert not issubclass(OutcomeUnknown, NotReceived)
    assert not issubclass(PayloadRefused, NotReceived)


def test_no_connection_means_not_sent() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # Bound and not listening: connections are refused.
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/v2"
        with OmetriaClient(url, KEY, budget=Unlimited()) as client:
            error = failure(lambda: client.push("order", [ORDER]))
    assert isinstance(error, Unreachable)
    assert "OMETRIA_BASE_URL" in str(error)
    assert "nothing was sent" in str(error)


DATE = "Mon, 23 Nov 2026 09:05:00 GMT"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"Retry-After": "7"}, 7.0),
        ({"Retry-After": " 1.5 "}, 1.5),
        ({"Retry-After": "-3"}, 0.0),
        ({"Retry-After": "86400"}, MAX_PAUSE_S),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "nan"}, None),
        ({"Retry-After": "Mon, 23 Nov 2026 09:05:20 GMT", "Date": DATE}, 20.0),
        ({"Retry-After": "Mon, 23 Nov 2026 09:04:20 GMT", "Date": DATE}, 0.0),
        ({"Retry-After": "Tue, 24 Nov 2026 09:05:00 GMT", "Date": DATE}, MAX_PAUSE_S),
        ({"Retry-After": "Wed, 01 Jan 2020 00:00:00 GMT"}, 0.0),
        ({"Retry-After": "Wed, 01 Jan 2020 00:00:00 GMT", "Date": "once"}, 0.0),
        ({"Retry-After": "Mon, 23 Nov 2026 09:05:20 +9999999999999"}, None),
        ({"Retry-After": "Mon, 23 Nov 2026 09:05:20 -0000"}, None),
    ],
)
def test_retry_after_in_seconds_or_as_a_date(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(httpx.Headers(headers)) == seconds


class Told(Unlimited):
    """A budget that has every turn in time and remembers what it was told."""

    def __init__(self, turns: int = 1_000) -> None:
        self.told: list[tuple[Any, ...]] = []
        self.turns = turns

    def acquire(self, kind: Kind, up_to: int = 1, *, start_by: float = inf) -> int:
        self.told.append(("acquire", kind, up_to, start_by))
        return min(up_to, self.turns)

    def start(self, kind: Kind) -> None:
        self.told.append(("start", kind))

    def pause(self, kind: Kind, seconds: float) -> None:
        self.told.append(("pause", kind, seconds))


@pytest.mark.parametrize(("asked", "paused"), [("7", 7.0), (None, 0.125), ("0", 0.125), ("1e9", 300.0)])
def test_after_a_429_the_calls_of_that_kind_pause(asked: str | None, paused: float) -> None:
    budget = Told()
    refusal = JSONResponse({}, 429, headers={"Retry-After": asked} if asked else {})
    with answering(refusal, [], refusal, budget=budget) as ometria:
        error = failure(lambda: ometria.client.push("order", [ORDER]))
        assert isinstance(error, RateLimited)
        assert error.pause_s == paused
        assert budget.told[-1] == ("pause", "push", paused)
        ometria.client.ping()
        assert len([word for word in budget.told if word[0] == "pause"]) == 1
        failure(ometria.client.ping)
        assert budget.told[-1] == ("pause", "other", paused)


def test_one_429_after_the_other_doubles_the_pause_up_to_a_limit() -> None:
    """A queue that stays full is not asked eight times a second."""
    budget = Told()
    refused, received = JSONResponse({}, 429), JSONResponse(RECEIVED, 202)
    with answering(*[refused] * 9, received, refused, refused, budget=budget) as ometria:
        for _ in range(9):
            failure(lambda: ometria.client.push("order", [ORDER]))
        ometria.client.push("order", [ORDER])
        failure(lambda: ometria.client.push("order", [ORDER]))
        failure(ometria.client.ping)
    pauses = [word[1:] for word in budget.told if word[0] == "pause"]
    assert pauses == [*(("push", s) for s in (0.125, 0.25, 0.5, 1, 2, 4, 8, 16, 16, 0.125)), ("other", 0.125)]


def test_every_call_takes_one_turn_of_its_kind_and_starts_with_it() -> None:
    budget = Told()
    with answering(JSONResponse(RECEIVED, 202), [], budget=budget) as ometria:
        ometria.client.push("order", [ORDER])
        ometria.client.errors()
    assert budget.told == [
        ("acquire", "push", 1, inf),
        ("start", "push"),
        ("acquire", "other", 1, inf),
        ("start", "other"),
    ]


def test_a_push_takes_no_turn_where_its_caller_has_taken_one() -> None:
    budget = Told()
    with answering(JSONResponse(RECEIVED, 202), budget=budget) as ometria:
        assert ometria.client.budget is budget
        ometria.client.push("order", [ORDER], has_turn=True)
    assert budget.told == [("start", "push")]


def test_a_push_whose_turn_would_come_too_late_is_not_made() -> None:
    budget = Told(turns=0)
    by = time.monotonic() + 60
    with answering(JSONResponse(RECEIVED, 202), budget=budget) as ometria:
        ometria.client.push("order", [ORDER], start_by=by, has_turn=True)
        assert len(ometria.heard) == 1
        budget.told.clear()
        assert type(failure(lambda: ometria.client.push("order", [ORDER], start_by=by))) is NotReceived
        assert budget.told == [("acquire", "push", 1, by)]  # What was not taken is not started with.
        error = failure(lambda: ometria.client.push("order", [ORDER], start_by=0.0, has_turn=True))
        assert type(error) is NotReceived
        assert "nothing was sent" in str(error)
        assert len(ometria.heard) == 1


def test_ometrias_clock_is_told_by_its_newest_answer() -> None:
    """What is asked by time is asked by Ometria's (P7): never by one that is later than it is."""
    at = datetime(2026, 11, 23, 12, tzinfo=UTC)
    ahead, behind = (datetime.now(UTC) + timedelta(hours=hours) for hours in (2, -3))
    dates = [None, *(format_datetime(date, usegmt=True) for date in (ahead, behind)), "some time", "0"]
    nothing = httpx.ByteStream(b"")
    answers = iter(httpx.Response(500, headers={"Date": date} if date else {}, stream=nothing) for date in dates)
    no_network = httpx.MockTransport(lambda request: next(answers))  # A server would send a Date of its own.
    with OmetriaClient("http://example.com/v2", KEY, budget=Unlimited(), transport=no_network) as client:
        failure(client.ping)
        assert not client.knows_ometria_time
        assert client.ometria_time(at) == at
        for hours in (2, -3, -3, -3):  # What is no date says nothing.
            failure(client.ping)
            assert client.knows_ometria_time
            early = at + timedelta(hours=hours) - client.ometria_time(at)
            assert timedelta(0) <= early < timedelta(seconds=30)


def test_both_shapes_of_a_record_error_are_read() -> None:
    elements = [
        {"error_message": "Invalid e-mail <ann@example.com>", "error_path": "/email"},
        {
            "request_id": "r-1",
            "record_type": "order",
            "record_id": "W1",
            "record": {"@type": "order", "id": "W1", "customer": {"email": "ann@example.com"}},
            "timestamp": "2026-11-23T09:05:00Z",
            "message": "is required",
        },
        {"request_id": "r-2", "record": {"@type": "contact", "id": "7"}, "message": ""},
    ]
    with answering(elements) as ometria:
        found = ometria.client.errors()
    assert found == [
        RecordError(None, None, None, "Invalid e-mail <***@***>", "/email"),
        RecordError("r-1", "order", "W1", "is required", None, SINCE),
        RecordError("r-2", "contact", "7", "no reason given", None),
    ]
    assert ometria.heard[0].target == "/v2/push/_errors"


@pytest.mark.parametrize(
    ("call", "target"),
    [
        (lambda client: client.order("W 1/2?#%é"), "/v2/orders/W%201%2F2%3F%23%25%C3%A9"),
        (lambda client: client.product("100-ST1"), "/v2/products/100-ST1"),
        (lambda client: client.contact("bc:customers", "00001234"), "/v2/contacts/bc%3Acustomers/00001234"),
    ],
)
def test_one_record_by_its_id(call: Callable[[OmetriaClient], Any], target: str) -> None:
    with answering({"id": "1"}, JSONResponse({"message": "Not found"}, 404), ["1"]) as ometria:
        assert call(ometria.client) == {"id": "1"}
        assert call(ometria.client) is None
        assert isinstance(failure(lambda: call(ometria.client)), OutcomeUnknown)
    assert {heard.target for heard in ometria.heard} == {target}


@pytest.mark.parametrize("id", ["", ".", ".."])
def test_an_id_that_would_lead_elsewhere_is_refused(id: str) -> None:
    with answering({}) as ometria:
        with pytest.raises(ValueError, match="an id"):
            ometria.client.order(id)
        assert ometria.heard == []


def test_a_list_is_read_to_its_first_empty_page_however_short_the_pages_are() -> None:
    pages = [[{"id": str(number)} for number in range(start, start + 3)] for start in (0, 3, 6)]
    with answering(*pages, []) as ometria:
        at = SINCE.astimezone(timezone(timedelta(hours=-5))) + timedelta(milliseconds=900)
        assert [order["id"] for order in ometria.client.orders(at)] == list("012345678")
    since = "updateSince=2026-11-23T09%3A05%3A00Z"
    assert [heard.target for heard in ometria.heard] == [
        f"/v2/orders?{since}&limit=250&offset={offset}" for offset in (0, 3, 6, 9)
    ]


def test_paging_that_stands_still_is_noticed() -> None:
    with answering([{"id": "1"}]) as ometria:
        error = failure(lambda: list(ometria.client.contacts("customers", SINCE)))
    assert isinstance(error, OutcomeUnknown)
    assert len(ometria.heard) == 2


@pytest.mark.parametrize("answer", [{"orders": []}, ["1"], "x"])
def test_a_list_that_is_none_is_noticed(answer: Any) -> None:
    with answering(answer) as ometria:
        assert isinstance(failure(lambda: list(ometria.client.orders(SINCE))), OutcomeUnknown)


def test_a_time_without_an_offset_is_refused() -> None:
    with answering([]) as ometria, pytest.raises(ValueError, match="offset"):
        list(ometria.client.orders(SINCE.replace(tzinfo=None)))


def test_no_log_shows_the_key_or_a_person(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with answering([{"email": "ann@example.com"}]) as ometria:
        assert ometria.client.profile("ann@example.com") == {"email": "ann@example.com"}
    assert ometria.heard[0].target == "/v2/profiles?email=ann%40example.com"
    assert "/v2/profiles" in caplog.text  # httpx did log the call.
    assert KEY not in caplog.text
    assert "ann" not in caplog.text


def test_a_person_without_a_profile() -> None:
    with answering([]) as ometria:
        assert ometria.client.profile("ann@example.com") is None


def test_the_key_shows_in_no_repr() -> None:
    with answering([]) as ometria:
        assert repr(ometria.client).startswith("OmetriaClient('http://127.0.0.1")
        assert KEY not in repr(ometria.client) + repr(vars(ometria.client))
        assert KEY not in repr(vars(ometria.client._connection._http))


@pytest.mark.parametrize(
    "url",
    [
        "",
        "api.ometria.com/v2",
        "ftp://example.com",
        "https://",
        "https://u:pw@example.com",
        "http://example.com:port",
    ],
)
def test_a_malformed_address_is_named_without_being_shown(url: str) -> None:
    with pytest.raises(ValueError, match="OMETRIA_BASE_URL") as caught:
        OmetriaClient(url, KEY, budget=Unlimited())
    assert "pw" not in str(caught.value)


@pytest.mark.parametrize("key", ["", "k3y\nX-Other: 1", "k3y ", "k\u00e9y"])
def test_a_malformed_key_is_named_without_being_shown(key: str) -> None:
    with pytest.raises(ValueError, match="OMETRIA_API_KEY") as caught:
        OmetriaClient("https://example.com/v2", key, budget=Unlimited())
    assert "k3y" not in str(caught.value)
