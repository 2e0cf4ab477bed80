"""P7: an event on its way to the cliff is seen at a quarter, half and three quarters of it."""

from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from sqlalchemy import Engine, text

from bc_ometria.checks.cliff import FIRST_LOOKS, are_events_waiting, checks
from bc_ometria.store import stops
from bc_ometria_tests.checks.evaluating import evaluate, override, rows

FOUR_HOURS = 240.0


def check(engine: Engine) -> dg.AssetCheckResult:
    return evaluate(engine, checks, "delivery/order_events:events_will_be_in_time")


def record(engine: Engine, record_type: str, record_id: str, state: str) -> None:
    with engine.begin() as connection:
        connection.execute(
            text("INSERT INTO bc_ometria.outbox (record_type, record_id, state) VALUES (:type, :id, :state)"),
            {"type": record_type, "id": record_id, "state": state},
        )


def event(
    engine: Engine,
    record_id: str,
    *,
    order: str = "W1",
    customer: str = "",
    minutes: float = 0,
    cliff: float = FOUR_HOURS,
    event_type: str = "order_dispatched",
    **columns: Any,
) -> None:
    """An event that happened so many minutes ago, and waits."""
    row = {"record_type": "custom_event", "record_id": record_id, "state": "wanted", "lane": "events"} | columns
    with engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO bc_ometria.order_events "
                "(record_id, ord_num, customer, event_type, covers, happened_at, enters_until) "
                "SELECT :id, :order, :customer, :event_type, '', at, at + make_interval(secs => :cliff) "
                "FROM (SELECT now() - make_interval(secs => :ago) AS at) happened"
            ),
            {"id": record_id, "order": order, "customer": customer, "event_type": event_type, "ago": 60 * minutes,
             "cliff": 60 * cliff},
        )  # fmt: skip
        names = ", ".join(row)
        connection.execute(
            text(f"INSERT INTO bc_ometria.outbox ({names}) VALUES ({', '.join(f':{name}' for name in row)})"), row
        )
        connection.execute(text("UPDATE bc_ometria.live_since SET at = now() - interval '1 day'"))


def test_nothing_waits(engine: Engine) -> None:
    event(engine, "e1", minutes=239, state="accepted")
    result = check(engine)
    assert (result.passed, result.description, are_events_waiting(engine)) == (True, "No event waits.", False)


@pytest.mark.parametrize(
    ("minutes", "passed", "severity", "used"),
    [
        (59, True, None, None),
        (61, False, "WARN", "a quarter"),
        (119, False, "WARN", "a quarter"),
        (121, False, "WARN", "half"),
        (179, False, "WARN", "half"),
        (181, False, "ERROR", "three quarters"),
        (1000, False, "ERROR", "three quarters"),
    ],
)
def test_an_alert_at_a_quarter_at_half_and_at_three_quarters_of_the_cliff(
    engine: Engine, minutes: float, passed: bool, severity: str | None, used: str | None
) -> None:
    """An event past the cliff that nobody has taken out yet does not turn it green: delivery has died."""
    event(engine, "e1", minutes=minutes)
    result = check(engine)
    assert are_events_waiting(engine)
    assert result.passed == passed
    if not passed:
        assert result.severity.value == severity
        assert result.description == (
            f"1 event has used {used} of the time to start a journey. They wait for: 1 × order not confirmed."
        )


def test_it_is_the_share_of_the_time_that_an_event_has_that_counts(engine: Engine) -> None:
    event(engine, "e1", minutes=20, cliff=60)
    event(engine, "e2", minutes=20, order="W2")
    result = check(engine)
    assert result.severity == dg.AssetCheckSeverity.WARN
    assert [(row["time used"], row["events"]) for row in rows(result, "quarters")] == [
        ("a quarter", 1),
        ("less than a quarter", 1),
    ]


def test_it_says_what_the_events_wait_for_and_where_to_look(engine: Engine) -> None:
    for number in range(1, 8):
        record(engine, "order", f"W{number}", "wanted" if number == 1 else "confirmed")
    record(engine, "contact", "00000042", "held")
    event(engine, "e1", minutes=70, event_type="order_picking")
    event(engine, "e1b", minutes=65)
    event(engine, "e2", order="W2", customer="00000042", minutes=130)
    event(engine, "e3", order="W3", minutes=140, attempts=1)
    event(engine, "e4", order="W4", minutes=10)
    result = check(engine)
    assert result.description == (
        "2 events have used half of the time to start a journey, 2 a quarter of it. "
        "They wait for: 2 × order not confirmed, 1 × contact held, 1 × reply."
    )
    waits = {row["waits for"]: (row["events"], row["oldest"]) for row in rows(result, "waits_for")}
    assert waits == {
        "order not confirmed": (2, "1 h"),
        "contact held": (1, "2 h"),
        "reply": (1, "2 h"),
        "call": (1, "10 min"),
    }
    assert [row["first look"] for row in rows(result, "waits_for")] == [FIRST_LOOKS[reason] for reason in
        ("reply", "contact held", "order not confirmed", "call")]  # fmt: skip
    first = rows(result, "quarters")[0]
    assert (first["event type"], first["time used"], first["oldest"]) == ("order_dispatched", "half", "2 h")
    assert first["waits for"] in ("1 × reply, 1 × contact held", "1 × contact held, 1 × reply")
    assert "00000042" not in str(result.metadata)


def test_an_event_behind_another_of_its_order_waits_for_that(engine: Engine) -> None:
    record(engine, "order", "W1", "confirmed")
    event(engine, "e1", event_type="order_picking")
    event(engine, "e2")
    assert {row["waits for"] for row in rows(check(engine), "waits_for")} == {"call", "earlier event"}


def test_a_stopped_lane_is_named(engine: Engine) -> None:
    """P6."""
    record(engine, "order", "W1", "confirmed")
    event(engine, "e1", minutes=200)
    stops.pause(engine, "events")
    result = check(engine)
    assert result.severity == dg.AssetCheckSeverity.ERROR
    assert "1 × stopped lane" in str(result.description)


def test_it_shows_the_plan(engine: Engine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """When the last goes, and how many will miss their journey."""
    override(monkeypatch, tmp_path, "ometria", pace={"contacts": 1, "minutes": 5})
    for number, minutes in enumerate((239, 238, 237, 3, 2)):
        record(engine, "order", f"W{number}", "confirmed")
        event(engine, f"e{number}", order=f"W{number}", minutes=minutes)
    event(engine, "e9", order="W9", event_type="order_picking")
    result = check(engine)
    assert "2 will miss their journey at this pace." in str(result.description)
    assert result.metadata["will_miss"].value == 2
    dispatched, picking = rows(result, "plan")
    assert (dispatched["event type"], dispatched["waiting"]) == ("order_dispatched", 5)
    assert (dispatched["goes now"], dispatched["goes later"], dispatched["will miss"]) == (1, 2, 2)
    assert str(dispatched["last goes at"]).endswith(" UTC")
    assert (picking["wait for parents"], picking["last goes at"]) == (1, "")
    assert {row["waits for"]: row["events"] for row in rows(result, "waits_for")} == {
        "pace": 4,
        "call": 1,
        "order not confirmed": 1,
    }


def test_history_is_not_on_its_way_to_a_journey(engine: Engine) -> None:
    """Q5."""
    event(engine, "e1", minutes=3000)
    assert check(engine).description == "No event waits."


def test_the_check_only_looks(engine: Engine) -> None:
    record(engine, "order", "W1", "confirmed")
    event(engine, "e1", next_attempt="infinity")
    check(engine)
    with engine.connect() as connection:
        assert connection.execute(
            text("SELECT next_attempt = 'infinity' FROM bc_ometria.outbox WHERE record_id = 'e1'")
        ).scalar_one()


def test_what_a_held_record_keeps_back_warns_and_does_not_fail(engine: Engine) -> None:
    """P15: a contact without an address may stay held for good; a check that is red for good is read by nobody."""
    record(engine, "order", "W1", "confirmed")
    record(engine, "contact", "00000042", "held")
    event(engine, "e1", customer="00000042", minutes=230)
    result = check(engine)
    assert (result.passed, result.severity) == (False, dg.AssetCheckSeverity.WARN)
    event(engine, "e2", order="W2", minutes=230)
    assert check(engine).severity == dg.AssetCheckSeverity.ERROR
