"""What a call of the stand-in is answered with, before any record is looked at."""

import httpx
import pytest

from bc_ometria_tests.sandbox.ometria_stand_in import contact, order, product, stand_in


def test_a_push_is_received_with_a_request_id_and_the_queue_headers():
    with stand_in() as ometria:
        first = ometria.api.post("/push", json=[order("1"), order("2")])
        second = ometria.push(order("3"))
        assert first.status_code == 202
        reply = first.json()
        assert (reply["status"], reply["accepted"], reply["rejected"]) == ("OK", 2, 0)
        assert reply["request_id"] != second["request_id"]
        assert first.headers["X-QueueSize-Limit"] == "50000"
        assert first.headers["X-QueueSize-Remaining"] == "50000"


def test_202_is_not_validated_and_not_stored():
    with stand_in() as ometria:
        assert ometria.push(order("1", currency="POUNDS"))["accepted"] == 1
        assert ometria.api.get("/orders/1").status_code == 404
        assert len(ometria.errors()) == 1


@pytest.mark.parametrize("key", [None, "", "another"])
@pytest.mark.parametrize(("method", "path"), [("POST", "/push"), ("GET", "/orders"), ("GET", "/push/_errors")])
def test_a_wrong_key_is_refused(key, method, path):
    with stand_in() as ometria:
        url = str(ometria.api.base_url) + path.removeprefix("/")
        reply = httpx.request(method, url, headers={} if key is None else {"X-Ometria-Auth": key}, json=[])
        assert reply.status_code == 403
        assert reply.json()["message"] == "API key is not authorised to access this resource"


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"<html>", id="no JSON"),
        pytest.param(b'{"@type": "order"}', id="no array"),
        pytest.param(b'[{"@type":"order"},{"@type":"contact"}]', id="mixed types"),
        pytest.param(b"[" + b",".join([b'{"@type":"order"}'] * 101) + b"]", id="101 records"),
    ],
)
def test_a_malformed_call_is_refused_whole(body):
    with stand_in() as ometria:
        reply = ometria.api.post("/push", content=body)
        assert reply.status_code == 400
        assert reply.json()["message"].startswith("Payload invalid")
        assert ometria.account.counts.pushes == 0
        assert ometria.errors() == []


def test_one_hundred_records_are_taken():
    with stand_in() as ometria:
        assert ometria.push(*(order(str(number)) for number in range(100)))["accepted"] == 100
        assert len(ometria.account.orders) == 100


def test_a_backlog_over_the_limit_is_refused_until_the_queue_has_moved():
    with stand_in(queue_limit=5, queue_lag_seconds=60) as ometria:
        first = ometria.api.post("/push", json=[order(str(number)) for number in range(4)])
        assert first.headers["X-QueueSize-Remaining"] == "1"
        refused = ometria.api.post("/push", json=[order("5"), order("6")])
        assert refused.status_code == 429
        assert refused.headers["X-QueueSize-Remaining"] == "1"
        ometria.push(order("5"))
        ometria.advance(seconds=60)
        ometria.push(order("6"))
        assert ometria.api.get("/orders/5").status_code == 200
        assert ometria.control.get("/counts").json()["backlog"] == 1


@pytest.mark.parametrize(
    "path",
    [
        "/orders/1",
        "/contacts/blue_cherry/1",
        "/products/1",
        "/data-deletion-requests/1",
        "/merge-profile/1",
        "/x",
    ],
)
def test_what_is_not_there_is_404(path):
    with stand_in() as ometria:
        reply = ometria.api.get(path)
        assert reply.status_code == 404
        assert reply.json()["status"] == "ERROR"


def test_calls_and_replies_are_counted_by_route():
    with stand_in() as ometria:
        ometria.push(order("1"), order("1"))
        ometria.push(contact())
        ometria.api.get("/orders/1")
        ometria.api.get("/orders/2")
        ometria.api.post("/push", content=b"x")
        counts = ometria.control.get("/counts").json()
        assert counts["calls"] == {"POST /v2/push": 3, "GET /v2/orders/{id}": 2}
        assert counts["statuses"] == {"202": 2, "200": 1, "404": 1, "400": 1}
        assert counts["pushes"] == 2
        assert counts["records"] == counts["stored"] == {"order": 2, "contact": 1}
        assert counts["duplicate_ids_in_call"] == 1


def test_pushes_are_kept_in_their_order():
    with stand_in() as ometria:
        ometria.push(contact("C1"))
        ometria.push(order("1"), order("2"))
        ometria.push(product())
        assert [(each["record_type"], each["ids"]) for each in ometria.state("pushes")] == [
            ("contact", ["C1"]),
            ("order", ["1", "2"]),
            ("product", ["P1"]),
        ]
