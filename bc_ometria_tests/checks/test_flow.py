"""What the guard stopped and what a person paused, as the checks show it (P6)."""

import dagster as dg
import pytest
from sqlalchemy import Engine, text

from bc_ometria.checks import flow
from bc_ometria.delivery.guard import judge_reading, watch
from bc_ometria.resources import Store
from bc_ometria.rules import Rules
from bc_ometria.store import stops
from bc_ometria.store.lanes import LANES
from bc_ometria_tests.checks.evaluating import rows
from bc_ometria_tests.delivery.test_guard import OVERLAP
from bc_ometria_tests.store.waiting import OPT_IN, OPT_OUT, UNCHANGED, VALID_TO_INVALID, fill

LIMITS = Rules.load().thresholds.guard


def evaluate(engine: Engine, records: str, name: str) -> dg.AssetCheckResult:
    """What the check says; it asks for the store and nothing else."""
    key = dg.AssetCheckKey(dg.AssetKey(["delivery", records]), name)
    (check,) = (check for check in flow.checks if key in check.check_keys)
    store = Store(database_url=engine.url.render_as_string(hide_password=False))
    result = check(store=store)
    store.engine.dispose()
    assert isinstance(result, dg.AssetCheckResult)
    return result


def proportion(engine: Engine, records: str) -> dg.AssetCheckResult:
    return evaluate(engine, records, "changes_are_in_proportion")


def flows(engine: Engine, records: str) -> dg.AssetCheckResult:
    return evaluate(engine, records, "lanes_flow")


def test_nothing_stopped_and_nothing_paused(engine: Engine) -> None:
    assert {proportion(engine, records).passed for records in ("contacts", "orders")} == {True}
    assert {flows(engine, records).passed for records in flow.LANES_OF} == {True}


def test_a_stop_fails_the_check_of_its_records_with_all_that_a_person_needs(engine: Engine) -> None:
    fill(engine, 60, "cancellations", **VALID_TO_INVALID, prefix="000")
    fill(engine, 40, "live", **UNCHANGED)
    watch(engine, LIMITS)
    assert proportion(engine, "contacts").passed
    result = proportion(engine, "orders")
    assert (result.passed, result.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert result.description == (
        "Stop 1 of lane cancellations: 60 of 100 waiting orders that Ometria has would not count as revenue any more: "
        "60 %, and 20 % stop the lane. Nothing of it was sent. `bc-ometria approve 1` or the job `approve` lets it go; "
        "what is a mistake is mended in Blue Cherry."
    )
    assert result.metadata["records"] == dg.MetadataValue.int(60)
    assert result.metadata["revenue_that_would_go"] == dg.MetadataValue.text("750.00 GBP")
    (stop,) = rows(result, "stops")
    assert (stop["stop"], stop["lane"], stop["waiting in the lane"]) == (1, "cancellations", 60)
    assert stop["would become"] == "60 × cancelled"
    assert stop["to let it go"] == "bc-ometria approve 1"
    assert stop["examples"].startswith("0000000001, 0000000002, ")


def test_consent_shows_the_end_of_a_code_only(engine: Engine) -> None:
    fill(engine, 40, "opt_outs", **OPT_OUT, prefix="C")
    fill(engine, 20, "live", **OPT_IN, prefix="D")
    watch(engine, LIMITS)
    assert proportion(engine, "orders").passed
    result = proportion(engine, "contacts")
    assert {row["would become"] for row in rows(result, "stops")} == {
        "40 × email:in sms:in → email:out sms:in",
        "20 × email:out sms:unknown → email:in sms:unknown",
    }
    assert "`bc-ometria approve 1 2`" in str(result.description)
    assert {row["examples"][:14] for row in rows(result, "stops")} == {"…0001, …0002, "}
    assert result.metadata["revenue_that_would_go"] == dg.MetadataValue.text("none")


def test_an_unusual_reading_fails_the_check_of_what_it_feeds(engine: Engine) -> None:
    for size in [100] * 6 + [5000]:
        judge_reading(engine, LIMITS, "customers", size, 0, OVERLAP)
    assert proportion(engine, "orders").passed
    result = proportion(engine, "contacts")
    assert "Blue Cherry gave 5,000 customers at once" in str(result.description)
    assert [row["examples"] for row in rows(result, "stops")] == [""]


def test_approved_stops_pass(engine: Engine) -> None:
    fill(engine, 60, "cancellations", **VALID_TO_INVALID)
    watch(engine, LIMITS)
    stops.approve(engine, 1)
    assert proportion(engine, "orders").passed


@pytest.mark.parametrize("lane", LANES)
def test_every_paused_lane_is_shown_by_the_records_that_go_by_it(engine: Engine, lane: str) -> None:
    stops.pause(engine, lane)
    with engine.begin() as connection:
        connection.execute(text("UPDATE bc_ometria.lane_stops SET stopped_at = now() - interval '3 hours'"))
    fill(engine, 2, lane, **UNCHANGED)
    shown = [records for records in flow.LANES_OF if not flows(engine, records).passed]
    assert shown == [records for records, lanes in flow.LANES_OF.items() if lane in lanes]
    result = flows(engine, shown[0])
    assert result.severity == dg.AssetCheckSeverity.WARN
    assert result.description == (
        f"Lane {lane} has been paused for 3 h, and 2 records wait in it; `bc-ometria resume {lane}` lets them go."
    )
    assert proportion(engine, "orders").passed


def test_a_pause_of_one_record_type_is_shown_there(engine: Engine) -> None:
    stops.pause(engine, "live", "contact")
    assert flows(engine, "orders").passed
    assert not flows(engine, "contacts").passed
