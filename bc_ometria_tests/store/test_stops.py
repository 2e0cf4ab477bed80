"""Lanes of which nothing is sent, and how they come to flow again (P6)."""

from datetime import UTC, datetime

import pytest
from sqlalchemy import Engine

from bc_ometria.store import stops
from bc_ometria.store.lanes import RECORD_TYPES
from bc_ometria.store.stops import NotStopped
from bc_ometria_tests.store import waiting
from bc_ometria_tests.store.rows import table
from bc_ometria_tests.store.waiting import UNCHANGED, VALID_TO_INVALID, fill

CAUSE = "orders_become_invalid"


def stop(engine: Engine, lane: str = "cancellations", records: int = 1, **detail: object) -> int | None:
    with engine.begin() as connection:
        return stops.stop(connection, lane, "order", CAUSE, {"what": "much", **detail}, records)


def stopped(engine: Engine) -> set[tuple[str, str]]:
    with engine.begin() as connection:
        return stops.stopped(connection)


def test_a_pause_holds_every_record_type_of_its_lane_until_it_is_resumed(engine: Engine) -> None:
    assert stops.pause(engine, "live")
    assert not stops.pause(engine, "live")
    assert stopped(engine) == {("live", record_type) for record_type in RECORD_TYPES}
    stops.resume(engine, "live")
    assert stopped(engine) == set()
    assert waiting.stops(engine) == [("live", "", "paused", 0, "resume")]
    assert stops.pause(engine, "live")


def test_a_pause_of_one_record_type(engine: Engine) -> None:
    stops.pause(engine, "live", "contact")
    stops.pause(engine, "events")
    assert ("live", "contact") in stopped(engine)
    assert ("live", "order") not in stopped(engine)
    stops.resume(engine, "live")
    assert {lane for lane, _ in stopped(engine)} == {"events"}


def test_a_lane_that_is_not_paused_cannot_be_resumed(engine: Engine) -> None:
    stops.pause(engine, "events")
    with pytest.raises(NotStopped, match=r"^Lane live is not paused\.$"):
        stops.resume(engine, "live")


def test_resume_leaves_the_stops_of_the_guard(engine: Engine) -> None:
    id = stop(engine, "live")
    with pytest.raises(NotStopped, match=f"is not paused. The guard has stopped it: `bc-ometria approve {id}`"):
        stops.resume(engine, "live")
    stops.pause(engine, "live")
    stops.resume(engine, "live")
    assert stopped(engine) == {("live", "order")}


def test_a_stop_that_is_open_is_brought_up_to_date(engine: Engine) -> None:
    id = stop(engine, records=60, said="first")
    assert stop(engine, records=70, said="second") is None
    (row,) = stops.open_stops(engine).to_dict("records")
    assert (row["id"], row["records"], row["detail"]["said"]) == (id, 70, "second")
    assert stop(engine, "live") not in (None, id)
    stops.approve(engine, id or 0)
    assert stop(engine) not in (None, id)


def test_open_stops_tell_how_much_waits_behind_each(engine: Engine) -> None:
    fill(engine, 3, "cancellations", **VALID_TO_INVALID)
    fill(engine, 2, "cancellations", sent=None, standing="", record_type="contact")
    fill(engine, 4, "live", **UNCHANGED)
    stop(engine)
    stops.pause(engine, "cancellations")
    found = stops.open_stops(engine)
    assert found[["lane", "record_type", "cause", "waiting"]].to_numpy().tolist() == [
        ["cancellations", "order", CAUSE, 3],
        ["cancellations", "", "paused", 5],
    ]
    assert stops.open_stops(engine).columns.tolist() == found.columns.tolist()


def test_open_stops_of_a_store_without_any(engine: Engine) -> None:
    assert stops.open_stops(engine).empty


def test_approving_lets_go_what_the_stop_was_about_and_nothing_else(engine: Engine) -> None:
    """What came later, in another lane, or changes nothing is judged anew."""
    fill(engine, 3, "cancellations", **VALID_TO_INVALID, prefix="meant ")
    fill(engine, 1, "cancellations", **UNCHANGED, prefix="unchanged ")
    fill(engine, 1, "live", **VALID_TO_INVALID, prefix="elsewhere ")
    waiting.change(engine, "queued_at = '2026-01-05T09:00Z'")
    id = stop(engine, records=3, as_of=datetime(2026, 1, 5, 9, tzinfo=UTC))
    fill(engine, 2, "cancellations", **VALID_TO_INVALID, prefix="later ")
    waiting.change(engine, "wanted_version = 'newer', queued_at = now()", "record_id = 'meant 0000003'")
    assert stops.approve(engine, id or 0) == 2
    let_go = [row[0] for row in table(engine, "outbox", "record_id, approved_version", "1") if row[1]]
    assert let_go == ["meant 0000001", "meant 0000002"]
    assert stopped(engine) == set()
    assert waiting.stops(engine) == [("cancellations", "order", CAUSE, 3, "approve")]


def test_what_cannot_be_approved_says_what_to_do(engine: Engine) -> None:
    with pytest.raises(NotStopped, match=r"There is no stop 99\. `bc-ometria approve` lists those that are open"):
        stops.approve(engine, 99)
    id = stop(engine) or 0
    stops.approve(engine, id)
    with pytest.raises(NotStopped, match=rf"Stop {id} ended at \d{{4}}-.* \(approve\): there is nothing to approve"):
        stops.approve(engine, id)
    stops.pause(engine, "live")
    with pytest.raises(NotStopped, match=r"is a pause of lane live\. `bc-ometria resume live` ends it"):
        stops.approve(engine, int(stops.open_stops(engine)["id"].iloc[0]))
    assert {lane for lane, _ in stopped(engine)} == {"live"}
