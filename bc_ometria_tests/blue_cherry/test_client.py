"""The client against real servers: every documented error, retries, and what it asks for (truth 10)."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from bc_ometria.blue_cherry import (
    AccessRefused,
    BadRequest,
    BlueCherryClient,
    BlueCherryError,
    MissingColumn,
    NotFound,
    NotJson,
    TenantProfile,
    Unavailable,
)
from bc_ometria.sandbox.blue_cherry.app import create_app
from bc_ometria.sandbox.blue_cherry.database import BlueCherryDatabase
from bc_ometria.sandbox.blue_cherry.faults import HalfBody
from bc_ometria.sandbox.changes import Write
from bc_ometria.sandbox.clock import Clock
from bc_ometria.sandbox.server import Server
from bc_ometria_tests.blue_cherry.tenant import AT, LINE, ORDER, PROFILE

KEY = "key-0123456789"


def envelope(rows: list[Any], total: int | None = None, page: int = 1, page_size: int = 1000) -> dict[str, Any]:
    return {
        "value": rows,
        "page": page,
        "page_size": page_size,
        "total": len(rows) if total is None else total,
    }


class Scripted:
    """A server that gives its answers one after the other, the last one for ever, and notes the requests."""

    def __init__(self, *answers: Response) -> None:
        self.answers = list(answers)
        self.requests: list[Request] = []

    @contextmanager
    def client(
        self, profile: TenantProfile = PROFILE, key: str = KEY, patience: float | None = None
    ) -> Iterator[BlueCherryClient]:
        async def answer(request: Request) -> Response:
            self.requests.append(request)
            return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

        self.slept: list[float] = []
        app = Starlette(routes=[Route("/{path:path}", answer, methods=["GET", "POST", "PUT", "DELETE"])])
        with (
            Server(app) as server,
            BlueCherryClient(
                server.url, "ACME", "STG", key, profile, patience=patience, sleep=self.slept.append
            ) as client,
        ):
            yield client


@pytest.fixture(scope="module")
def database() -> BlueCherryDatabase:
    return BlueCherryDatabase(Clock(datetime(2026, 11, 23, 12, tzinfo=UTC)))


@pytest.fixture(scope="module")
def url(database: BlueCherryDatabase) -> Iterator[str]:
    with Server(create_app(database, tenant="ACME", environment="STG", api_keys=[KEY])) as server:
        yield server.url


def blue_cherry(url: str, tenant: str = "ACME", key: str = KEY) -> BlueCherryClient:
    return BlueCherryClient(url, tenant, "STG", key, PROFILE)


def test_ping_finds_the_reference_tenant(url: str) -> None:
    with blue_cherry(url) as client:
        client.ping()


def test_a_wrong_key_says_who_refused_it_and_what_to_set(url: str) -> None:
    with blue_cherry(url, key="wrong-key") as client, pytest.raises(AccessRefused) as refused:
        client.ping()
    assert "Blue Cherry refused the key" in str(refused.value)
    assert "invalid" in str(refused.value)
    assert "BLUE_CHERRY_API_KEY" in str(refused.value)
    assert "wrong-key" not in str(refused.value)


def test_a_key_under_another_header_is_missing(url: str) -> None:
    profile = PROFILE.model_copy(update={"key_header": "X-Key"})
    with (
        BlueCherryClient(url, "ACME", "STG", KEY, profile) as client,
        pytest.raises(AccessRefused, match=r"missing.*key_header"),
    ):
        client.ping()


@pytest.mark.parametrize("key", ["", "s3cret w0rd", "s3cret\n", "s3crét"])
def test_a_key_that_cannot_be_one_is_never_sent_or_shown(key: str) -> None:
    with pytest.raises(AccessRefused, match="BLUE_CHERRY_API_KEY") as refused:
        BlueCherryClient("http://127.0.0.1:9", "ACME", "STG", key, PROFILE)
    assert "s3cr" not in str(refused.value)


def test_an_unknown_tenant_names_the_settings(url: str) -> None:
    with blue_cherry(url, tenant="ACNE") as client, pytest.raises(NotFound, match="BLUE_CHERRY_TENANT"):
        client.ping()


@pytest.mark.parametrize("address", ["127.0.0.1:9", "ftp://127.0.0.1", "http://"])
def test_an_address_that_is_none_names_the_setting(address: str) -> None:
    with (
        BlueCherryClient(address, "ACME", "STG", KEY, PROFILE, sleep=lambda _: None) as client,
        pytest.raises(BlueCherryError, match="BLUE_CHERRY_BASE_URL"),
    ):
        client.ping()


def test_a_bad_parameter_carries_blue_cherrys_reason(url: str) -> None:
    too_many = PROFILE.model_copy(update={"max_keys": 101})
    with (
        BlueCherryClient(url, "ACME", "STG", KEY, too_many) as client,
        pytest.raises(BadRequest, match="lists more than 100 values"),
    ):
        list(client.pages("orders", order_numbers=[str(n) for n in range(101)]))


def test_an_error_never_repeats_the_key() -> None:
    scripted = Scripted(JSONResponse({"message": f"no such key {KEY}"}, 400))
    with scripted.client() as client, pytest.raises(BadRequest) as refused:
        client.ping()
    assert KEY not in str(refused.value)


@pytest.mark.parametrize(
    "answer",
    [
        HTMLResponse("<html>Sign in</html>"),
        JSONResponse([{"pkey": 1}]),
        JSONResponse({"rows": [], "page": 1, "page_size": 1, "total": 0}),
        JSONResponse(envelope([]) | {"value": {"pkey": 1}}),
        JSONResponse(envelope([]) | {"total": "many"}),
        JSONResponse(envelope([], page=2)),
        RedirectResponse("/sign-in", 302),
    ],
)
def test_what_is_not_the_described_json_names_resource_and_expectation(answer: Response) -> None:
    with Scripted(answer).client() as client, pytest.raises(NotJson, match=r"order_lines.*JSON"):
        list(client.pages("order_lines"))


def test_half_a_body_is_read_again() -> None:
    body = b'{"value":[],"page":1,"page_size":1,"total":0}'
    scripted = Scripted(HalfBody(body), JSONResponse(envelope([])))
    with scripted.client() as client:
        client.ping()
    assert scripted.slept == [0.5]


def test_a_failing_server_is_asked_again_and_then_reported() -> None:
    scripted = Scripted(Response("<html>", 502), Response(status_code=503), JSONResponse(envelope([])))
    with scripted.client() as client:
        client.ping()
    assert scripted.slept == [0.5, 1.0]

    scripted = Scripted(Response(status_code=503))
    with scripted.client() as client, pytest.raises(Unavailable, match=r"orders.*503"):
        list(client.pages("orders"))
    assert (len(scripted.requests), scripted.slept) == (5, [0.5, 1.0, 2.0, 4.0])


def test_with_patience_nothing_is_asked_twice() -> None:
    scripted = Scripted(Response(status_code=503))
    with scripted.client(patience=60) as client:
        with pytest.raises(Unavailable, match=r"orders could not be read: it failed with status 503"):
            list(client.pages("orders"))
        assert not client.is_out_of_time
    assert (len(scripted.requests), scripted.slept) == (1, [])


def test_patience_ends_an_answer_that_comes_in_drips() -> None:
    """A timeout of HTTP libraries is for each drip; this server sends one so often that none is ever late."""

    async def drips() -> AsyncIterator[bytes]:
        while True:
            yield b" "
            await asyncio.sleep(0.01)

    with Scripted(StreamingResponse(drips())).client(patience=0.5) as client:
        with pytest.raises(Unavailable, match="did not answer in time"):
            client.ping()
        assert client.is_out_of_time


def test_nobody_there_is_unavailable() -> None:
    slept: list[float] = []
    with (
        BlueCherryClient("http://127.0.0.1:9", "ACME", "STG", KEY, PROFILE, sleep=slept.append) as client,
        pytest.raises(Unavailable, match="BLUE_CHERRY_BASE_URL"),
    ):
        client.ping()
    assert len(slept) == 4


@pytest.mark.parametrize(
    ("asked", "waited"),
    [
        ("7", 7.0),
        ("86400", 60.0),
        (format_datetime(datetime.now(UTC) + timedelta(days=1), usegmt=True), 60.0),
        (format_datetime(datetime.now(UTC) - timedelta(days=1), usegmt=True), 0.0),
        ("soon", 0.5),
        ("", 0.5),
    ],
)
def test_too_many_calls_wait_as_long_as_asked_but_not_for_ever(asked: str, waited: float) -> None:
    headers = {"Retry-After": asked} if asked else {}
    scripted = Scripted(Response(status_code=429, headers=headers), JSONResponse(envelope([])))
    with scripted.client() as client:
        client.ping()
    assert scripted.slept == [waited]


def test_only_gets_with_the_key_and_the_tenants_names() -> None:
    """Truth 10: Blue Cherry is only ever read."""
    parameters = PROFILE.parameters.model_copy(update={"modified_since": "since", "page_size": "top"})
    profile = PROFILE.model_copy(
        update={"parameters": parameters, "key_header": "X-Key", "path": "{base_url}/api/{resource}/{tenant}"}
    )
    scripted = Scripted(JSONResponse(envelope([])))
    with scripted.client(profile) as client:
        pages = client.pages("addresses", modified_since=AT, modified_before=AT + timedelta(hours=1))
        assert [page.rows for page in pages] == [[]]
    (request,) = scripted.requests
    assert (request.method, request.url.path) == ("GET", "/api/stores/ACME")
    assert request.headers["X-Key"] == KEY
    assert dict(request.query_params) == {
        "since": "2026-11-23 09:05:00",
        "modified_before": "2026-11-23 10:05:00",
        "page": "1",
        "top": "1000",
    }


def test_moments_between_seconds_are_widened_to_whole_ones() -> None:
    scripted = Scripted(JSONResponse(envelope([])))
    with scripted.client() as client:
        moment = AT + timedelta(milliseconds=500)
        list(client.pages("orders", modified_since=moment, modified_before=moment + timedelta(seconds=1)))
    query = scripted.requests[0].query_params
    assert query["modified_since"] == "2026-11-23 09:05:00"
    assert query["modified_before"] == "2026-11-23 09:05:02"


def test_keys_are_asked_for_by_the_hundred_without_blanks_or_repeats(url: str, database: BlueCherryDatabase) -> None:
    wanted = [f"{n:010}" for n in range(250)]
    database.apply(Write("orders", {**ORDER, "pkey": n, "ord_num": f"{n:010}"}) for n in range(300))
    with blue_cherry(url) as client:
        pages = list(client.pages("orders", order_numbers=[*wanted, "", "   ", *wanted]))
    assert [len(page.rows) for page in pages] == [100, 100, 50]
    assert [page.number for page in pages] == [1, 2, 3]
    assert [row["ord_num"] for page in pages for row in page.rows] == wanted


def test_many_lines_of_few_orders_are_read_whole(url: str, database: BlueCherryDatabase) -> None:
    lines = [{**LINE, "pkey": n, "line_num": n} for n in range(1, 1115)]
    database.apply(Write("order-lines", row) for row in lines)
    with blue_cherry(url) as client:
        rows = [row for page in client.pages("order_lines", order_numbers=["0000001042"]) for row in page.rows]
    assert {row["pkey"] for row in rows} == set(range(1, 1115))


def test_only_the_columns_that_are_wanted_are_read_under_the_tenants_names(
    url: str, database: BlueCherryDatabase
) -> None:
    database.apply([Write("orders", {**ORDER, "pkey": 9001, "ord_num": "0000009001"})])
    with blue_cherry(url) as client:
        (page,) = client.pages("orders", order_numbers=["0000009001"], select=("pkey", "last_mod"))
    assert page.rows == [{"pkey": 9001, "last_mod": "2026-11-23 09:05:00"}]
    orders = PROFILE.resources.orders.model_copy(update={"columns": {"ord_num": "order_no"}})
    profile = PROFILE.model_copy(update={"resources": PROFILE.resources.model_copy(update={"orders": orders})})
    scripted = Scripted(JSONResponse(envelope([])))
    with scripted.client(profile) as client:
        list(client.pages("orders", select=("pkey", "ord_num", "last_mod")))
    assert scripted.requests[0].query_params["select"] == "pkey,order_no,last_mod"


def test_no_keys_read_nothing_rather_than_everything(url: str) -> None:
    with blue_cherry(url) as client:
        assert list(client.pages("orders", order_numbers=[])) == []
        assert list(client.pages("orders", customers=["  "])) == []


def test_questions_that_cannot_be_asked_are_refused_before_asking() -> None:
    scripted = Scripted(JSONResponse(envelope([])))
    with scripted.client() as client:
        with pytest.raises(ValueError, match="comma"):
            list(client.pages("orders", order_numbers=["1,2"]))
        with pytest.raises(ValueError, match="not both"):
            list(client.pages("orders", order_numbers=["1"], customers=["2"]))
        with pytest.raises(ValueError, match="without an offset"):
            list(client.pages("orders", modified_since=datetime.now(UTC)))
        with pytest.raises(KeyError, match="no resource 'stores'"):
            list(client.pages("stores"))
    assert scripted.requests == []


def test_a_server_that_ignores_the_time_filter_is_no_endless_loop() -> None:
    rows = [{"pkey": n, "last_mod": f"2026-11-23 09:05:0{n}"} for n in range(2)]
    scripted = Scripted(JSONResponse(envelope(rows, total=9, page_size=2)))
    with scripted.client() as client, pytest.raises(BlueCherryError, match=r"parameters\.modified_since"):
        list(client.pages("orders"))


def test_pages_without_stamps_cannot_be_continued() -> None:
    rows = [{"pkey": n} for n in range(2)]
    scripted = Scripted(JSONResponse(envelope(rows, total=9, page_size=2)))
    with scripted.client() as client, pytest.raises(MissingColumn, match="last_mod"):
        list(client.pages("orders"))


def test_an_unreadable_stamp_on_a_pages_last_row_does_not_stop_the_reading() -> None:
    rows = [
        {"pkey": 1, "last_mod": "2026-11-23 09:05:01"},
        {"pkey": 2, "last_mod": "2026-11-23 09:05:02"},
        {"pkey": 3, "last_mod": "yesterday"},
    ]
    scripted = Scripted(
        JSONResponse(envelope(rows, total=4, page_size=3)),
        JSONResponse(envelope([rows[1], rows[2], {"pkey": 4}, "no row"], total=4)),
    )
    with scripted.client() as client:
        pages = list(client.pages("orders"))
    assert scripted.requests[1].query_params["modified_since"] == "2026-11-23 09:05:02"
    assert pages[1].rows[-1] == {}
