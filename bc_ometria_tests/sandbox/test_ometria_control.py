"""The control routes: clock, settings, state, reset. They need no key and know no rate."""

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import pytest

from bc_ometria_tests.sandbox.ometria_stand_in import NOW, contact, event, order, product, stand_in


def test_the_clock_is_read_set_advanced_and_let_go():
    with stand_in() as ometria:
        assert ometria.control.get("/clock").json() == {"now": "2026-11-23T09:00:00+00:00", "frozen": True}
        ometria.advance(hours=1)
        assert ometria.control.get("/clock").json()["now"] == "2026-11-23T10:00:00+00:00"
        ometria.control.put("/clock", json={"at": "2026-11-24T09:00:00+01:00"})
        assert ometria.control.get("/clock").json()["now"] == "2026-11-24T08:00:00+00:00"
        ometria.control.put("/clock", json={"at": None})
        assert ometria.control.get("/clock").json()["frozen"] is False


@pytest.mark.parametrize("ahead", [0, 3600, -3600])
def test_replies_are_dated_by_the_same_clock_as_what_is_stored(ahead):
    """A client tells Ometria's time by it, and so from when on it must read."""
    with stand_in(clock_ahead_seconds=ahead) as ometria:
        reply = ometria.api.post("/push", json=[order()])
        refused = ometria.api.get("/orders", headers={"X-Ometria-Auth": "another"})
        date = NOW + timedelta(seconds=ahead)
        for each in (reply, refused):
            assert [parsedate_to_datetime(value) for value in each.headers.get_list("Date")] == [date]
        stored = ometria.get("/orders/0000001001")["timestamp_update"]
        assert datetime.fromisoformat(stored) == date
        assert len(ometria.get("/orders", updateSince=date.isoformat())) == 1
        assert ometria.get("/orders", updateBefore=date.isoformat()) == []


def test_the_clock_of_ometria_runs_ahead_of_a_running_one():
    with stand_in(clock_ahead_seconds=3600) as ometria:
        ometria.control.put("/clock", json={"at": None})
        earliest = datetime.now(UTC) + timedelta(seconds=3599)
        date = parsedate_to_datetime(ometria.api.get("/orders").headers["Date"])
        assert earliest < date <= datetime.now(UTC) + timedelta(hours=1)


@pytest.mark.parametrize("body", [{}, {"at": "2026-11-24T09:00:00"}, {"at": "x"}])
def test_the_clock_wants_a_time_with_an_offset(body):
    with stand_in() as ometria:
        assert ometria.control.put("/clock", json=body).status_code == 400


def test_settings_are_read_and_changed():
    with stand_in() as ometria:
        assert ometria.control.get("/settings").json()["queue_limit"] == 50_000
        ometria.control.patch("/settings", json={"api_key": "rotated"}).raise_for_status()
        assert ometria.api.get("/orders").status_code == 403
        assert ometria.api.get("/orders", headers={"X-Ometria-Auth": "rotated"}).status_code == 200


@pytest.mark.parametrize("values", [{"unheard_of": 1}, {"push_per_second": 0}, {"error_shape": "x"}, []])
def test_unknown_settings_are_refused(values):
    with stand_in() as ometria:
        before = ometria.control.get("/settings").json()
        assert ometria.control.patch("/settings", json=values).status_code == 400
        assert ometria.control.get("/settings").json() == before


def test_the_whole_state_is_exported():
    with stand_in() as ometria:
        ometria.push(contact())
        ometria.push(order())
        ometria.push(product())
        ometria.push(event())
        state = ometria.control.get("/state").json()
        assert state["contacts"] == [contact()]
        assert state["orders"] == [order()]
        assert state["products"] == [product()]
        assert state["events"] == [event()]
        assert [each["orders"] for each in state["profiles"]] == [["0000001001"]]
        assert [each["flow"] for each in state["automation"]] == ["placed_order", "order_shipped"]
        assert {"subscriptions", "unsubscribes", "pushes", "errors"} < state.keys()
        assert ometria.account.orders["0000001001"] == order()
        assert ometria.control.get("/state/x").status_code == 404


def test_the_history_tells_what_was_pushed_under_an_id_how_often_and_in_which_order():
    with stand_in(history=True) as ometria:
        ometria.arm("server_error", after=True)
        ometria.arm("reject_ids", ids=["2"])
        ometria.api.post("/push", json=[order("1"), order("2")])
        second = ometria.push(order("1", status="newer"))["request_id"]
        ometria.arm("rejected")
        ometria.push(order("1"))
        ometria.arm("too_many_requests")
        ometria.api.post("/push", json=[order("1")])
        ometria.push(contact("1"))
        history = {(each["record_type"], each["id"]): each["versions"] for each in ometria.state("history")}
        assert history.keys() == {("order", "1"), ("order", "2"), ("contact", "1")}
        old, newer, again = history["order", "1"]
        assert old["digest"] == again["digest"] != newer["digest"]
        assert newer == {"digest": newer["digest"], "request_id": second, "at": "2026-11-23T09:00:00Z"}
        assert len(bytes.fromhex(newer["digest"])) == 8
        assert old["request_id"] == history["order", "2"][0]["request_id"]


def test_no_history_is_kept_unless_it_is_asked_for():
    with stand_in() as ometria:
        ometria.push(order())
        assert ometria.state("history") == []


def test_fifty_thousand_orders_are_exported():
    with stand_in() as ometria:
        for start in range(0, 50_000, 100):
            ometria.account.push([order(str(number)) for number in range(start, start + 100)])
        exported = ometria.state("orders")
        assert len(exported) == 50_000
        assert exported[-1] == order("49999")


def test_a_reset_forgets_everything_but_settings_and_clock():
    with stand_in(queue_lag_seconds=60) as ometria:
        ometria.push(order())
        ometria.arm("server_error", calls=None)
        ometria.control.post("/reset").raise_for_status()
        ometria.advance(hours=1)
        state = ometria.control.get("/state").json()
        assert all(part == [] for part in state.values())
        assert ometria.control.get("/counts").json()["calls"] == {}
        assert ometria.api.get("/orders").json() == []
        assert ometria.account.settings.queue_lag_seconds == 60
