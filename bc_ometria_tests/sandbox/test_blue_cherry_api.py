"""The stand-in of Blue Cherry over HTTP: parameters, paging, errors, faults (`contracts/blue_cherry.md`)."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from bc_ometria.sandbox.blue_cherry import BlueCherryDatabase, create_app
from bc_ometria.sandbox.changes import Delete, Write
from bc_ometria.sandbox.clock import Clock
from bc_ometria.sandbox.server import Server

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
START = datetime.fromisoformat("2026-11-23 09:00:00")
KEYS = ["first-key", "second-key"]


def order(number: int, **columns: Any) -> Write:
    """Order ``number``, changed that many minutes after nine; two of them share a stamp."""
    row = {
        "pkey": number,
        "last_mod": START + timedelta(minutes=number // 2),
        "ord_num": f"W{number:04d}",
        "division": "001" if number % 2 else "002",
        "customer": f"{number % 3:08d}",
        "ord_date": datetime.fromisoformat(f"2026-11-{number:02d} 00:00:00"),
    }
    return Write("orders", {**row, **columns})


@pytest.fixture
def database() -> BlueCherryDatabase:
    database = BlueCherryDatabase(Clock(NOON))
    database.apply(order(number) for number in range(1, 11))
    database.apply(
        Write("order-lines", {"pkey": 100 + n, "fkey": n, "ord_num": f"W{n:04d}", "location": "WH01"})
        for n in range(1, 4)
    )
    return database


@pytest.fixture
def api(database: BlueCherryDatabase) -> Iterator[httpx.Client]:
    app = create_app(database, tenant="ACME", environment="PRD", api_keys=KEYS)
    with Server(app) as server, httpx.Client(base_url=server.url) as client:
        client.headers["Ocp-Apim-Subscription-Key"] = KEYS[0]
        yield client


def get(api: httpx.Client, resource: str = "orders", **parameters: Any) -> dict[str, Any]:
    response = api.get(f"/ACME/PRD/{resource}", params=parameters)
    assert response.status_code == 200, response.text
    return response.json()


def pkeys(reply: dict[str, Any]) -> list[int]:
    return [row["pkey"] for row in reply["value"]]


def test_a_reply_is_an_envelope_of_rows_ordered_by_stamp_and_pkey(
    api: httpx.Client, database: BlueCherryDatabase
) -> None:
    database.apply([order(2, last_mod=START + timedelta(hours=1))])
    reply = get(api)
    assert {key: reply[key] for key in ("page", "page_size", "total")} == {
        "page": 1,
        "page_size": 500,
        "total": 10,
    }
    assert pkeys(reply) == [1, 3, 4, 5, 6, 7, 8, 9, 10, 2]
    assert (reply["value"][0]["ord_num"], reply["value"][0]["last_mod"]) == (
        "W0001     ",
        "2026-11-23 09:00:00",
    )


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({"modified_since": "2026-11-23 09:04:00"}, [8, 9, 10]),
        ({"modified_before": "2026-11-23 09:01:00"}, [1]),
        ({"modified_since": "2026-11-23 09:01:00", "modified_before": "2026-11-23 09:02:00"}, [2, 3]),
        ({"division": "002"}, [2, 4, 6, 8, 10]),
        ({"ord_num": "W0003,W0001,W9999"}, [1, 3]),
        ({"customer": "00000000"}, [3, 6, 9]),
        ({"ord_date_from": "2026-11-03 00:00:00", "ord_date_to": "2026-11-05 00:00:00"}, [3, 4]),
        ({"division": "001", "customer": "00000001", "modified_since": "2026-11-23 09:01:00"}, [7]),
        ({"modified_since": "2026-11-24 00:00:00"}, []),
    ],
)
def test_each_parameter_narrows_the_rows(api: httpx.Client, parameters: dict[str, str], expected: list[int]) -> None:
    reply = get(api, **parameters)
    assert pkeys(reply) == expected
    assert reply["total"] == len(expected)


def test_location_narrows_where_the_resource_has_it(api: httpx.Client) -> None:
    assert get(api, "order-lines", location="WH01")["total"] == 3
    assert get(api, "order-lines", location="WH02")["total"] == 0


def test_select_gives_the_named_columns_in_any_case(api: httpx.Client) -> None:
    reply = get(api, select="PKEY,Ord_Num", page_size=2)
    assert reply["value"] == [{"pkey": 1, "ord_num": "W0001     "}, {"pkey": 2, "ord_num": "W0002     "}]


def test_pages_hold_every_row_once(api: httpx.Client) -> None:
    pages = [get(api, page=page, page_size=3, division="001") for page in (1, 2, 3)]
    assert [pkeys(page) for page in pages] == [[1, 3, 5], [7, 9], []]
    assert [page["total"] for page in pages] == [5, 5, 5]
    # Asked for in any order, a page is the same.
    assert [pkeys(get(api, page=page, page_size=3)) for page in (4, 2, 1, 3)] == [
        [10],
        [4, 5, 6],
        [1, 2, 3],
        [7, 8, 9],
    ]


def test_paging_is_not_atomic(api: httpx.Client) -> None:
    api.post("/_control/touches", json={"resource": "orders", "page": 1, "pkeys": [1, 2]}).raise_for_status()
    pages = [pkeys(get(api, page=page, page_size=4)) for page in (1, 2, 3)]
    # 5 and 6 slipped to the first page behind the reader's back; 1 and 2 moved to the end.
    assert pages == [[1, 2, 3, 4], [7, 8, 9, 10], [1, 2]]
    moved = get(api, modified_since="2026-11-23 12:00:00")
    assert pkeys(moved) == [1, 2]
    assert pkeys(get(api, page=1, page_size=4)) == [3, 4, 5, 6]


def test_a_deleted_row_stops_being_served(api: httpx.Client, database: BlueCherryDatabase) -> None:
    assert get(api, page_size=2, page=5)["total"] == 10
    database.apply([Delete("orders", 1)])
    reply = get(api, page_size=2, page=5)
    assert (pkeys(reply), reply["total"]) == ([10], 9)


@pytest.mark.parametrize(
    ("parameters", "named"),
    [
        ({"page": "0"}, "page"),
        ({"page": "one"}, "page"),
        ({"page_size": "1001"}, "page_size"),
        ({"modified_since": "yesterday"}, "modified_since"),
        ({"modified_since": "2026-11-23T09:00:00+00:00"}, "modified_since"),
        ({"ord_num": ",".join(f"W{n}" for n in range(101))}, "ord_num"),
        ({"select": "pkey,colour"}, "colour"),
        ({"location": "WH01"}, "location"),
        ({"division": ""}, "division"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_bad_parameter_is_named_in_a_400(api: httpx.Client, parameters: dict[str, str], named: str) -> None:
    response = api.get("/ACME/PRD/orders", params=parameters)
    assert response.status_code == 400
    assert response.json()["statusCode"] == 400
    assert f"'{named}'" in response.json()["message"]


def test_either_key_opens_and_others_get_azures_words(api: httpx.Client) -> None:
    def answer(headers: dict[str, str]) -> httpx.Response:
        with httpx.Client(base_url=api.base_url, headers=headers) as client:
            return client.get("/ACME/PRD/orders")

    assert answer({"ocp-apim-subscription-key": KEYS[1]}).status_code == 200
    missing, invalid = answer({}), answer({"Ocp-Apim-Subscription-Key": "third-key"})
    assert (missing.status_code, missing.json()) == (
        401,
        {
            "statusCode": 401,
            "message": "Access denied due to missing subscription key. Make sure to include"
            " subscription key when making requests to an API.",
        },
    )
    assert (invalid.status_code, invalid.json()) == (
        401,
        {
            "statusCode": 401,
            "message": "Access denied due to invalid subscription key. Make sure to provide"
            " a valid key for an active subscription.",
        },
    )


@pytest.mark.parametrize("path", ["/ACME/PRD/parcels", "/ACME/STG/orders", "/OTHER/PRD/orders"])
def test_what_does_not_exist_is_a_404(api: httpx.Client, path: str) -> None:
    response = api.get(path)
    assert (response.status_code, response.json()["statusCode"]) == (404, 404)


def test_nothing_can_be_written(api: httpx.Client) -> None:
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        assert api.request(method, "/ACME/PRD/orders").status_code == 405


def fail(api: httpx.Client, **fault: Any) -> None:
    api.post("/_control/faults", json=fault).raise_for_status()


@pytest.mark.parametrize(("status", "retry_after"), [(503, ""), (429, "7"), (429, "Mon, 23 Nov 2026 12:00:07 GMT")])
def test_an_error_on_demand_passes_after_its_times(api: httpx.Client, status: int, retry_after: str) -> None:
    fail(api, kind="status", status=status, retry_after=retry_after, times=2, resource="orders")
    assert get(api, "customers")["total"] == 0
    for _ in range(2):
        response = api.get("/ACME/PRD/orders")
        assert (response.status_code, response.headers.get("Retry-After", "")) == (status, retry_after)
    assert get(api)["total"] == 10


def test_replies_that_are_not_what_they_should_be(api: httpx.Client) -> None:
    fail(api, kind="html")
    response = api.get("/ACME/PRD/orders")
    assert (response.status_code, response.headers["content-type"]) == (200, "text/html; charset=utf-8")
    fail(api, kind="missing_value")
    assert set(get(api)) == {"page", "page_size", "total"}
    fail(api, kind="missing_column", column="ord_status")
    assert all("ord_status" not in row and "ord_num" in row for row in get(api)["value"])
    fail(api, kind="malformed", column="ord_total", cell="many")
    assert [row["ord_total"] for row in get(api, page_size=2)["value"]] == ["many", "0.00"]
    assert get(api, page_size=1)["value"][0]["ord_total"] == "0.00"


def test_half_a_body_breaks_the_connection(api: httpx.Client) -> None:
    fail(api, kind="half_body")
    with pytest.raises(httpx.RemoteProtocolError):
        api.get("/ACME/PRD/orders")
    assert get(api)["total"] == 10


def test_a_slow_reply_is_late_but_right(api: httpx.Client) -> None:
    fail(api, kind="slow", seconds=60)
    with pytest.raises(httpx.ReadTimeout):
        api.get("/ACME/PRD/orders", timeout=0.2)
    fail(api, kind="slow", seconds=0.01)
    assert get(api)["total"] == 10


def test_faults_can_be_withdrawn_and_an_unknown_one_is_refused(api: httpx.Client) -> None:
    fail(api, kind="status", times=1000)
    api.delete("/_control/faults").raise_for_status()
    assert get(api)["total"] == 10
    response = api.post("/_control/faults", json={"kind": "earthquake"})
    assert response.status_code == 400
    assert "earthquake" in response.json()["message"]


def test_rows_change_through_the_control_routes(api: httpx.Client) -> None:
    done = api.post(
        "/_control/changes",
        json=[
            {"write": {"resource": "orders", "row": {"pkey": 11, "ord_num": "W0011", "ord_total": 12.5}}},
            {"delete": {"resource": "orders", "pkey": 1}},
        ],
    )
    assert done.json() == {"applied": 2}
    (row,) = get(api, ord_num="W0011")["value"]
    assert (row["ord_total"], row["last_mod"]) == ("12.50", "2026-11-23 12:00:00")
    assert get(api)["total"] == 10
    api.post("/_control/raw", json={"resource": "orders", "pkey": 12, "text": '{"pkey":12,"ord_num":7}'})
    assert get(api)["value"][-1] == {"pkey": 12, "ord_num": 7}
    response = api.post("/_control/changes", json=[{"write": {"resource": "parcels", "row": {"pkey": 1}}}])
    assert response.status_code == 400


def test_the_clock_stands_advances_and_runs(api: httpx.Client) -> None:
    assert api.get("/_control/clock").json() == {"now": "2026-11-23T12:00:00+00:00", "frozen": True}
    moved = api.post("/_control/clock", json={"advance_seconds": 90}).json()
    assert moved["now"] == "2026-11-23T12:01:30+00:00"
    assert api.post("/_control/clock", json={"set": None}).json()["frozen"] is False
    again = api.post("/_control/clock", json={"set": "2026-11-23T14:00:00+01:00"}).json()
    assert again == {"now": "2026-11-23T13:00:00+00:00", "frozen": True}
    assert api.post("/_control/clock", json={"set": "2026-11-23T14:00:00"}).status_code == 400


def test_rows_are_stamped_by_a_clock_of_their_own_and_replies_dated_by_the_other(api: httpx.Client) -> None:
    api.post("/_control/stamps", json={"ahead_seconds": -3600})
    api.post("/_control/changes", json=[{"write": {"resource": "stores", "row": {"pkey": 1}}}])
    assert get(api, "stores")["value"][0]["last_mod"] == "2026-11-23 11:00:00"
    assert api.get("/ACME/PRD/stores").headers.get_list("Date") == ["Mon, 23 Nov 2026 12:00:00 GMT"]
    assert api.get("/ACME/PRD/parcels").headers["Date"] == "Mon, 23 Nov 2026 12:00:00 GMT"


def test_a_restore_brings_back_rows_and_stamps_and_takes_what_came_later(api: httpx.Client) -> None:
    before = get(api)
    assert api.post("/_control/backups").json() == {"backup": 1}
    changes = [
        {"write": {"resource": "orders", "row": {"pkey": 11}}},
        {"write": {"resource": "orders", "row": {"pkey": 2}}},
        {"delete": {"resource": "orders", "pkey": 1}},
    ]
    api.post("/_control/changes", json=changes)
    assert get(api) != before
    assert api.post("/_control/restores", json={"backup": 1}).status_code == 200
    assert get(api) == before
    api.post("/_control/changes", json=changes[:1])
    assert get(api)["total"] == 11
    assert api.post("/_control/restores", json={"backup": 2}).status_code == 400


def test_calls_are_counted_by_resource(api: httpx.Client) -> None:
    get(api)
    get(api)
    get(api, "stores")
    assert api.get("/_control/calls").json() == {"orders": 2, "stores": 1}
    api.delete("/_control/calls")
    assert api.get("/_control/calls").json() == {}
