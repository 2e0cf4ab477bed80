"""Trouble on demand, over the wire as a client meets it."""

from collections import Counter

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bc_ometria.sandbox.ometria import Fault
from bc_ometria.sandbox.ometria.faults import Faults
from bc_ometria_tests.sandbox.ometria_stand_in import contact, event, order, stand_in


def stored(ometria):
    return [each["id"] for each in ometria.state("orders")]


@pytest.mark.parametrize("retry_after", [None, "2", "86400000", "soon"])
def test_a_burst_of_429_with_or_without_retry_after(retry_after):
    with stand_in() as ometria:
        ometria.arm("too_many_requests", calls=2, path="/push", retry_after=retry_after)
        assert ometria.api.get("/orders").status_code == 200
        for _ in range(2):
            reply = ometria.api.post("/push", json=[order()])
            assert reply.status_code == 429
            assert reply.headers.get("Retry-After") == retry_after
        assert stored(ometria) == []
        ometria.push(order())
        assert ometria.control.get("/counts").json()["statuses"]["429"] == 2


@pytest.mark.parametrize("status", [500, 502, 503])
@pytest.mark.parametrize(("after", "there"), [(False, []), (True, ["1"])])
def test_a_server_error_before_and_after_the_records_were_accepted(status, after, there):
    with stand_in() as ometria:
        ometria.arm("server_error", status=status, after=after)
        assert ometria.api.post("/push", json=[order("1")]).status_code == status
        assert stored(ometria) == there


@pytest.mark.parametrize(("after", "there"), [(False, []), (True, ["1"])])
def test_a_connection_reset_before_and_after_the_records_were_accepted(after, there):
    with stand_in() as ometria:
        ometria.arm("connection_reset", after=after)
        # What the client sees of a reset depends on whether it was still writing, or already reading.
        with pytest.raises((httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError)):
            ometria.api.post("/push", json=[order("1")])
        assert stored(ometria) == there
        assert ometria.control.get("/counts").json()["statuses"] == {"none": 1}
        ometria.push(order("2"))


@pytest.mark.parametrize(("after", "there"), [(False, []), (True, ["1"])])
def test_no_answer_before_and_after_the_records_were_accepted(after, there):
    with stand_in() as ometria:
        ometria.arm("no_answer", seconds=600, after=after)
        with pytest.raises(httpx.ReadTimeout):
            ometria.api.post("/push", json=[order("1")], timeout=0.2)
        assert stored(ometria) == there
        ometria.push(order("2"))


def test_no_answer_ends_with_the_connection():
    with stand_in() as ometria:
        ometria.arm("no_answer", seconds=0.01)
        with pytest.raises(httpx.RemoteProtocolError, match="without sending a response"):
            ometria.api.post("/push", json=[order("1")])
        assert ometria.control.get("/counts").json()["statuses"] == {"none": 1}


def test_half_a_body():
    with stand_in() as ometria:
        ometria.arm("half_body", path="/push")
        with pytest.raises(httpx.RemoteProtocolError, match="without sending complete"):
            ometria.api.post("/push", json=[order("1")])
        assert stored(ometria) == ["1"]
        ometria.push(order("2"))


def test_a_slow_body_comes_whole_or_runs_into_the_readers_patience():
    with stand_in() as ometria:
        ometria.push(order("1"))
        ometria.arm("slow_body", seconds=0.05)
        assert ometria.get("/orders/1")["id"] == "1"
        ometria.arm("slow_body", seconds=600)
        with pytest.raises(httpx.ReadTimeout):
            ometria.api.get("/orders/1", timeout=0.2)


def test_a_page_instead_of_json_and_a_redirect():
    with stand_in() as ometria:
        ometria.arm("html_page")
        ometria.arm("redirect")
        page = ometria.api.post("/push", json=[order()])
        assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
        redirect = ometria.api.post("/push", json=[order()])
        assert redirect.status_code == 302
        assert redirect.headers["location"] == "https://login.example.com/"
        assert stored(ometria) == []


def test_a_call_that_is_refused_as_a_whole():
    with stand_in() as ometria:
        ometria.arm("bad_request", path="/push", message="Payload invalid:", count=16)
        reply = ometria.api.post("/push", json=[order()])
        assert (reply.status_code, reply.json()["message"]) == (400, 'Payload invalid: [{"@type":"order')
        assert stored(ometria) == []


def test_a_revoked_key():
    with stand_in() as ometria:
        ometria.arm("key_revoked", calls=None)
        for _ in range(3):
            reply = ometria.api.get("/orders")
            assert reply.status_code == 403
            assert reply.json()["message"] == "API key is not authorised to access this resource"
        ometria.control.delete("/faults")
        assert ometria.api.get("/orders").status_code == 200


def test_records_rejected_in_the_reply_are_nowhere():
    with stand_in() as ometria:
        ometria.arm("rejected", count=2)
        reply = ometria.push(order("1"), order("2"), order("3"))
        assert (reply["accepted"], reply["rejected"]) == (1, 2)
        assert stored(ometria) == ["1"]
        assert ometria.errors() == []


def test_given_ids_are_refused_asynchronously():
    with stand_in() as ometria:
        ometria.arm("reject_ids", ids=["2"], calls=2, message="ada@example.com cannot be reached")
        for _ in range(3):
            assert ometria.push(order("1"), order("2"))["rejected"] == 0
        assert [each["record_id"] for each in ometria.errors()] == ["2", "2"]
        assert ometria.errors()[0]["message"] == "/id: ada@example.com cannot be reached"
        assert stored(ometria) == ["1", "2"]


def test_a_flood_pushes_errors_out_of_the_ring():
    """P7: the ring alone proves nothing."""
    with stand_in() as ometria:
        ometria.arm("error_flood", count=150)
        ometria.push(order("1", currency="GPB"))
        assert len(ometria.get("/push/_errors")) == 100
        assert "1" not in {each["record_id"] for each in ometria.errors()}
        assert ometria.api.get("/orders/1").status_code == 404


def test_a_slow_queue_holds_up_all_that_follows():
    with stand_in() as ometria:
        ometria.arm("slow_queue", seconds=600)
        ometria.push(order("1"))
        ometria.push(order("2"))
        assert stored(ometria) == []
        ometria.advance(minutes=10)
        assert stored(ometria) == ["1", "2"]


def test_records_applied_out_of_order():
    """P20: an old version that comes late overwrites a newer one here; who reads back sees it."""
    with stand_in() as ometria:
        ometria.arm("out_of_order", seconds=60)
        ometria.push(order("1", status="old"), order("2"))
        ometria.push(order("1", status="new"))
        assert ometria.get("/orders/1")["status"] == "new"
        ometria.advance(seconds=60)
        assert ometria.get("/orders/1")["status"] == "old"
        ometria.arm("out_of_order", seconds=0)
        ometria.push(order("3", status="first"), order("3", status="second"))
        assert ometria.get("/orders/3")["status"] == "first"


def test_shares_of_calls_fail_until_they_are_cleared():
    with stand_in() as ometria:
        ometria.arm("too_many_requests", every=10, calls=None, path="/push")
        ometria.arm("server_error", every=20, calls=None, method="POST", path="/push")
        ometria.arm("server_error", every=20, calls=None, after=True, status=500, path="/push")
        statuses = [ometria.api.post("/push", json=[contact()]).status_code for _ in range(202)]
        assert Counter(statuses) == {202: 162, 429: 20, 503: 10, 500: 10}
        assert ometria.account.counts.pushes == 172
        assert [each["every"] for each in ometria.control.get("/faults").json()] == [10, 20, 20]
        ometria.control.delete("/faults")
        assert {ometria.api.post("/push", json=[contact()]).status_code for _ in range(20)} == {202}


def test_a_share_counts_only_calls_of_its_path_and_ends_after_so_many():
    with stand_in() as ometria:
        ometria.arm("server_error", every=2, calls=2, path="/orders")
        ometria.get("/push/_errors")
        statuses = [ometria.api.get("/orders").status_code for _ in range(6)]
        assert statuses == [200, 503, 200, 503, 200, 200]


@given(st.lists(st.integers(2, 40), min_size=1, max_size=6), st.integers(0, 500))
def test_no_share_is_kept_from_its_own_by_others(shares, calls):
    """Any shares that fit together: each comes to its own, late by no more calls than there are others."""
    while sum(1 / share for share in shares) > 1:
        shares.pop()
    faults = Faults()
    for share in shares:
        faults.arm(Fault(kind="server_error", every=share, calls=None, retry_after=str(len(faults.armed))))
    met = Counter(fault.retry_after for _ in range(calls) if (fault := faults.for_reply("POST", "/push")))
    for at, share in enumerate(shares):
        assert (calls - len(shares)) // share - 1 <= met[str(at)] <= calls // share


def test_a_share_of_the_pushes_is_refused_asynchronously():
    with stand_in() as ometria:
        ometria.arm("reject_ids", ids=["1"], every=2, calls=None)
        ometria.arm("rejected", every=3, calls=None)
        replies = [ometria.push(order("1"), order("2"))["rejected"] for _ in range(6)]
        assert replies == [0, 0, 1, 0, 0, 1]
        assert len(ometria.errors()) == 3


def test_faults_come_one_after_the_other_and_push_faults_together():
    with stand_in() as ometria:
        ometria.arm("server_error", after=True)
        ometria.arm("too_many_requests")
        ometria.arm("reject_ids", ids=["1"])
        ometria.arm("rejected", count=1)
        records = [order("1"), order("2"), order("3")]
        statuses = [ometria.api.post("/push", json=records).status_code for _ in range(3)]
        assert statuses == [503, 429, 202]
        assert ometria.account.counts.refused == 1
        # The push that gets a 503 was accepted, and the push faults met that one.
        met = ["server_error", "reject_ids", "rejected", "too_many_requests"]
        assert ometria.control.get("/counts").json()["faults"] == dict.fromkeys(met, 1)
        assert stored(ometria) == ["2", "1", "3"]


def test_a_call_that_is_refused_uses_up_no_push_fault():
    with stand_in() as ometria:
        ometria.arm("rejected")
        ometria.api.post("/push", json=[order()], headers={"X-Ometria-Auth": "another"})
        ometria.api.post("/push", content=b"x")
        assert [each["kind"] for each in ometria.control.get("/faults").json()] == ["rejected"]
        assert ometria.push(order())["rejected"] == 1


def test_faults_can_be_bound_to_a_method_and_armed_in_the_process():
    with stand_in() as ometria:
        ometria.account.faults.arm(Fault(kind="server_error", method="POST", path="/push", calls=3))
        assert ometria.get("/push/_errors") == []
        assert ometria.api.post("/push", json=[contact()]).status_code == 503
        (armed,) = ometria.control.get("/faults").json()
        assert armed["calls"] == 2


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "earthquake"},
        {"kind": "server_error", "status": 200},
        {"kind": "rejected", "calls": 0},
        {"kind": "too_many_requests", "every": 0},
        {"x": 1},
    ],
)
def test_an_unknown_fault_is_refused(fault):
    with stand_in() as ometria:
        assert ometria.control.post("/faults", json=fault).status_code == 400
        assert ometria.control.get("/faults").json() == []


def test_an_event_resent_after_a_lost_reply_is_there_twice():
    """Why an event is sent at most once per id, and nothing relies on a repeat."""
    with stand_in() as ometria:
        ometria.push(contact())
        ometria.arm("server_error", after=True)
        ometria.api.post("/push", json=[event()])
        ometria.push(event())
        assert ometria.outcomes("order_shipped") == ["fired", "fired"]
