"""What is out of proportion stops its lane before anything of it is sent (P6)."""

from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, text

from bc_ometria.delivery import guard
from bc_ometria.delivery.guard import judge_reading, usual_rows, watch
from bc_ometria.rules import GuardThresholds
from bc_ometria.store import changes, outbox, stops
from bc_ometria.store.extracts import Reading
from bc_ometria_tests.store import waiting
from bc_ometria_tests.store.records import claim, decided, end_leases, prove, reject, send, settle
from bc_ometria_tests.store.rows import table
from bc_ometria_tests.store.waiting import OPT_IN, OPT_OUT, SAME_CONSENT, UNCHANGED, VALID_TO_INVALID, change, fill

LIMITS = GuardThresholds(
    least=50, orders_become_invalid=20, contacts_change_consent=20, extract_least=1000, extract_times=10
)
CANCELLATIONS = ("cancellations", "order")
OVERLAP = timedelta(minutes=15)


def details(engine: Engine) -> list[dict[str, Any]]:
    return stops.open_stops(engine)["detail"].tolist()


def approve_all(engine: Engine) -> int:
    return sum(stops.approve(engine, id) for id in stops.open_stops(engine)["id"])


@pytest.fixture
def figures_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The figures of an open stop are always old."""
    monkeypatch.setattr(guard, "_FIGURES_LAST", timedelta(0))


# --- orders ----------------------------------------------------------------------------------------------------


def test_sixty_of_a_hundred_orders_cancelled_stop_the_cancellations_alone(engine: Engine) -> None:
    fill(engine, 60, "cancellations", **VALID_TO_INVALID)
    fill(engine, 40, "live", **UNCHANGED)
    fill(engine, 10, "cancellations", **SAME_CONSENT)
    assert watch(engine, LIMITS) == {CANCELLATIONS}
    assert watch(engine, LIMITS) == {CANCELLATIONS}
    assert waiting.stops(engine) == [("cancellations", "order", "orders_become_invalid", 60, None)]


def test_the_figures_let_a_person_decide_and_are_nothing_personal(engine: Engine) -> None:
    refunded = orjson.dumps(
        {"status": "refunded", "currency": "EUR", "grand_total": 0.1, "customer": {"email": "canary@example.com"}}
    )
    fill(engine, 58, "cancellations", **VALID_TO_INVALID, prefix="A")
    fill(engine, 3, "cancellations", **VALID_TO_INVALID, prefix="B", payload=refunded.decode())
    fill(engine, 1, "cancellations", **VALID_TO_INVALID, prefix="C", payload='{"status": ')
    fill(engine, 38, "live", **UNCHANGED)
    watch(engine, LIMITS)
    (detail,) = details(engine)
    assert detail["what"] == (
        "62 of 100 waiting orders that Ometria has would not count as revenue any more: 62 %, and 20 % stop the lane"
    )
    assert detail["revenue"] == {"GBP": 725.0, "EUR": 0.3, "no currency": 0}
    assert detail["statuses"] == {"cancelled": 58, "refunded": 3, "no status": 1}
    assert detail["examples"] == [f"A{n:07}" for n in range(1, 11)]
    assert "canary" not in str(detail)


@pytest.mark.parametrize(
    ("cancelled", "beside", "stop"),
    [(49, 0, False), (50, 0, True), (50, 200, True), (50, 201, False), (1000, 4001, False)],
)
def test_both_the_number_and_the_share_count(engine: Engine, cancelled: int, beside: int, stop: bool) -> None:
    fill(engine, cancelled, "cancellations", **VALID_TO_INVALID)
    fill(engine, beside, "live", **UNCHANGED)
    assert (CANCELLATIONS in watch(engine, LIMITS)) == stop


def test_a_history_import_and_new_orders_hide_no_mass_cancellation(engine: Engine) -> None:
    fill(engine, 100, "cancellations", **VALID_TO_INVALID)
    fill(engine, 5000, "history", **UNCHANGED)
    fill(engine, 5000, "live", sent=None, standing="valid")
    fill(engine, 5000, "live", **SAME_CONSENT)
    assert watch(engine, LIMITS) == {CANCELLATIONS}


def test_orders_that_become_valid_or_are_new_as_invalid_stop_nothing(engine: Engine) -> None:
    fill(engine, 200, "live", sent="invalid", standing="valid")
    fill(engine, 200, "live", sent=None, standing="invalid")
    assert watch(engine, LIMITS) == set()


@pytest.mark.parametrize("state", ["held", "excluded", "sent", "confirmed", "drift"])
def test_only_what_waits_is_judged(engine: Engine, state: str) -> None:
    fill(engine, 60, "cancellations", **VALID_TO_INVALID)
    change(engine, f"state = '{state}'")
    assert watch(engine, LIMITS) == set()


def test_what_was_just_claimed_is_judged_with_the_rest(engine: Engine) -> None:
    fill(engine, 60, "cancellations", **VALID_TO_INVALID)
    change(engine, "in_flight_version = wanted_version, leased_until = now() + interval '5 min'")
    assert watch(engine, LIMITS) == {CANCELLATIONS}


def test_what_was_in_proportion_goes_even_when_its_neighbours_have_gone(engine: Engine) -> None:
    """The calls of one run take them one hundred after the other; what is left at last is no larger share for it."""
    fill(engine, 60, "live", **VALID_TO_INVALID)
    fill(engine, 400, "live", **UNCHANGED, prefix="neighbour")
    assert watch(engine, LIMITS) == set()
    change(engine, "state = 'sent'", "record_id LIKE 'neighbour%'")
    assert watch(engine, LIMITS) == set()
    fill(engine, 60, "live", **VALID_TO_INVALID, prefix="later")
    assert watch(engine, LIMITS) == {("live", "order")}
    assert [detail["what"].split(" waiting")[0] for detail in details(engine)] == ["60 of 60"]


def test_approved_records_do_not_stop_the_lane_again_and_later_ones_are_judged_anew(engine: Engine) -> None:
    fill(engine, 60, "cancellations", **VALID_TO_INVALID)
    watch(engine, LIMITS)
    assert approve_all(engine) == 60
    assert watch(engine, LIMITS) == set()
    fill(engine, 49, "cancellations", **VALID_TO_INVALID, prefix="few")
    assert watch(engine, LIMITS) == set()
    change(engine, "wanted_version = 'newer', queued_at = now()", "record_id LIKE '%0000001'")
    assert watch(engine, LIMITS) == {CANCELLATIONS}
    assert waiting.stops(engine)[1] == ("cancellations", "order", "orders_become_invalid", 50, None)


def test_what_comes_after_the_figures_is_not_approved_with_them(engine: Engine) -> None:
    fill(engine, 60, "cancellations", **VALID_TO_INVALID)
    watch(engine, LIMITS)
    fill(engine, 500, "cancellations", **VALID_TO_INVALID, prefix="later")
    watch(engine, LIMITS)
    assert approve_all(engine) == 60
    assert watch(engine, LIMITS) == {CANCELLATIONS}
    assert approve_all(engine) == 500


def test_the_figures_of_an_open_stop_follow_what_waits(engine: Engine, figures_at_once: None) -> None:
    fill(engine, 60, "cancellations", **VALID_TO_INVALID)
    watch(engine, LIMITS)
    fill(engine, 500, "cancellations", **VALID_TO_INVALID, prefix="later")
    fill(engine, 5000, "live", **UNCHANGED)
    assert watch(engine, LIMITS) == {CANCELLATIONS}
    (detail,) = details(engine)
    assert detail["what"].startswith("560 of 5,560 waiting orders")
    assert approve_all(engine) == 560
    assert watch(engine, LIMITS) == set()


def test_a_stop_ends_by_itself_when_all_of_it_was_taken_back(engine: Engine, figures_at_once: None) -> None:
    fill(engine, 60, "cancellations", **VALID_TO_INVALID)
    watch(engine, LIMITS)
    change(engine, "standing = 'valid'", "record_id NOT LIKE '%0000007'")
    assert watch(engine, LIMITS) == {CANCELLATIONS}
    change(engine, "standing = 'valid'")
    assert watch(engine, LIMITS) == set()
    assert waiting.stops(engine) == [("cancellations", "order", "orders_become_invalid", 1, "mended")]


def test_a_repair_that_takes_revenue_away_is_judged_with_the_rest(engine: Engine) -> None:
    fill(engine, 30, "cancellations", **VALID_TO_INVALID)
    fill(engine, 30, "repairs", **VALID_TO_INVALID)
    assert watch(engine, LIMITS) == {CANCELLATIONS, ("repairs", "order")}


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    cancelled=st.integers(0, 120),
    repaired=st.integers(0, 60),
    approved=st.integers(0, 120),
    beside=st.integers(0, 500),
    history=st.integers(0, 100),
)
def test_the_rule(engine: Engine, cancelled: int, repaired: int, approved: int, beside: int, history: int) -> None:
    with engine.begin() as connection:
        connection.execute(text("TRUNCATE bc_ometria.outbox, bc_ometria.lane_stops"))
    fill(engine, cancelled, "cancellations", **VALID_TO_INVALID)
    fill(engine, repaired, "repairs", **VALID_TO_INVALID)
    fill(engine, approved, "live", **VALID_TO_INVALID, prefix="approved")
    change(engine, "approved_version = wanted_version", "record_id LIKE 'approved%'")
    fill(engine, beside, "live", **UNCHANGED)
    fill(engine, history, "history", **UNCHANGED)
    changing = cancelled + repaired
    out_of_proportion = changing >= 50 and changing / (changing + beside) >= 0.2
    lanes = {lane for lane, number in (("cancellations", cancelled), ("repairs", repaired)) if number}
    assert watch(engine, LIMITS) == ({(lane, "order") for lane in lanes} if out_of_proportion else set())


# --- contacts --------------------------------------------------------------------------------------------------


def test_consent_stops_every_lane_in_which_it_would_change_for_contacts_only(engine: Engine) -> None:
    fill(engine, 40, "opt_outs", **OPT_OUT)
    fill(engine, 20, "live", **OPT_IN)
    fill(engine, 40, "live", **SAME_CONSENT)
    fill(engine, 100, "live", **UNCHANGED)
    assert watch(engine, LIMITS) == {("opt_outs", "contact"), ("live", "contact")}
    live, opt_outs = details(engine)
    assert (
        opt_outs["what"]
        == live["what"]
        == (
            "60 of 100 waiting contacts that Ometria has would have another consent there: 60 %, and 20 % stop the lane"
        )
    )
    assert opt_outs["consents"] == {"email:in sms:in → email:out sms:in": 40}
    assert live["consents"] == {"email:out sms:unknown → email:in sms:unknown": 20}
    assert live["examples"] == [f"…{n:04}" for n in range(1, 11)]


def test_opt_outs_can_be_approved_and_opt_ins_kept_back(engine: Engine) -> None:
    fill(engine, 40, "opt_outs", **OPT_OUT)
    fill(engine, 20, "live", **OPT_IN)
    watch(engine, LIMITS)
    found = stops.open_stops(engine).set_index("lane")["id"]
    assert stops.approve(engine, int(found["opt_outs"])) == 40
    assert watch(engine, LIMITS) == {("live", "contact")}


def test_old_opt_ins_beside_a_history_import_are_noticed(engine: Engine) -> None:
    fill(engine, 60, "history", **OPT_IN)
    fill(engine, 1000, "history", **SAME_CONSENT)
    assert watch(engine, LIMITS) == {("history", "contact")}


def test_consent_that_ometria_has_not_heard_of_before_is_a_change(engine: Engine) -> None:
    fill(engine, 60, "live", record_type="contact", sent="email:unknown sms:unknown", standing="email:in sms:unknown")
    assert watch(engine, LIMITS) == {("live", "contact")}


# --- pauses, and what a look costs -----------------------------------------------------------------------------


def test_a_pause_is_told_for_each_record_type(engine: Engine) -> None:
    stops.pause(engine, "events")
    assert watch(engine, LIMITS) == {("events", each) for each in ("contact", "order", "custom_event", "product")}


@pytest.mark.parametrize("changing", [0, 3])
def test_a_look_reads_a_few_records_however_many_wait(engine: Engine, changing: int) -> None:
    fill(engine, 20_000, "history", **UNCHANGED)
    fill(engine, 20_000, "live", **SAME_CONSENT)
    fill(engine, changing, "live", **OPT_IN)
    fill(engine, changing, "cancellations", **VALID_TO_INVALID)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("ANALYZE bc_ometria.outbox"))
    with engine.begin() as connection:
        found = changes.waiting(connection)
        assert len(found) == (2 if changing else 0)
        assert changes.count(connection, found, 50) == 2 * changing
        read = connection.execute(
            text(
                "SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_xact_user_tables "
                "WHERE schemaname = 'bc_ometria' AND relname = 'outbox'"
            )
        ).scalar_one()
    assert read < 50


# --- readings of Blue Cherry -----------------------------------------------------------------------------------


def read(engine: Engine, *sizes: int, resource: str = "orders", known: int = 0) -> str:
    """Readings of these sizes, one after the other; what is said of the last."""
    return [judge_reading(engine, LIMITS, resource, rows, known, OVERLAP) for rows in sizes][-1]


def test_a_reading_ten_times_as_large_as_usual_stops_what_it_feeds(engine: Engine) -> None:
    assert read(engine, 100, 120, 90, 0, 110, 1000) == ""
    assert "Blue Cherry gave 1,250 orders at once, where 1" in read(engine, 1250)
    assert waiting.stops(engine) == [
        ("cancellations", "order", "extract_too_large", 1250, None),
        ("live", "order", "extract_too_large", 1250, None),
    ]
    assert watch(engine, LIMITS) == {CANCELLATIONS, ("live", "order")}


def test_customers_stop_live_contacts_and_no_opt_out(engine: Engine) -> None:
    assert read(engine, *[100] * 6, 5000, resource="customers")
    assert watch(engine, LIMITS) == {("live", "contact")}


def test_several_resources_share_one_stop(engine: Engine) -> None:
    for resource in ("orders", "order_lines"):
        assert read(engine, *[100] * 6, 5000, resource=resource)
    first = details(engine)[0]
    assert set(first["readings"]) == {"orders", "order_lines"}
    assert "5,000 orders at once" in first["what"]
    assert "5,000 order_lines at once" in first["what"]
    assert len(waiting.stops(engine)) == 2


@pytest.mark.parametrize(
    "sizes", [[100, 100, 100, 100, 100_000], [0, 0, 0, 0, 0, 0, 100_000], [10] * 9 + [999], [500] * 9 + [4900]]
)
def test_too_few_readings_none_with_rows_and_small_ones_say_nothing(engine: Engine, sizes: list[int]) -> None:
    assert read(engine, *sizes) == ""
    assert waiting.stops(engine) == []


def test_empty_readings_do_not_make_the_usual_size_smaller(engine: Engine) -> None:
    assert read(engine, *[500, 0, 0, 0, 0, 0, 0, 0], 4900) == ""


def test_a_reading_after_an_outage_has_more_time_to_cover(engine: Engine) -> None:
    read(engine, *[200] * 10)
    with engine.begin() as connection:
        connection.execute(text("UPDATE bc_ometria.extracts SET at = at - interval '6 hours'"))
    assert read(engine, 4900) == ""
    assert read(engine, 4900)


def test_an_empty_reading_of_what_was_there_before(engine: Engine) -> None:
    assert read(engine, 0, known=999) == ""
    words = read(engine, 0, resource="order_lines", known=1000)
    assert words == "Blue Cherry gave none of the 1,000 order_lines that it gave before"
    assert {row[2] for row in waiting.stops(engine)} == {"extract_empty"}


def test_a_usual_reading_lifts_no_stop_and_an_approved_one_does_not_stop_again(engine: Engine) -> None:
    fill(engine, 3, "live", **UNCHANGED)
    read(engine, *[100] * 6, 5000)
    assert read(engine, 100) == ""
    assert len(watch(engine, LIMITS)) == 2
    assert approve_all(engine) == 0
    assert watch(engine, LIMITS) == set()
    assert read(engine, 100) == ""
    assert watch(engine, LIMITS) == set()
    assert read(engine, 5000)
    assert len(watch(engine, LIMITS)) == 2


def test_the_newest_two_hundred_readings_of_each_resource_are_kept(engine: Engine) -> None:
    read(engine, *range(1, 206))
    read(engine, *[7] * 150, resource="customers")
    read(engine, 206)
    kept = [rows for resource, rows in table(engine, "extracts", "resource, rows", "1, at") if resource == "orders"]
    assert kept == list(range(7, 207))


@given(st.lists(st.integers(1, 10_000), min_size=6, max_size=30), st.integers(1, 5))
def test_the_usual_size_is_a_median_and_grows_with_the_time_to_cover(sizes: list[int], times: int) -> None:
    at = datetime(2026, 1, 5, 9, tzinfo=UTC)
    readings = [Reading(at, rows) for rows in sizes]
    usual = usual_rows(readings, OVERLAP)
    assert usual is not None
    below = sum(rows <= usual + 1e-6 for rows in sizes[1:])
    assert below >= len(sizes[1:]) / 2
    later = [readings[0]._replace(at=at + (times - 1) * OVERLAP), *readings[1:]]
    assert usual_rows(later, OVERLAP) == pytest.approx(usual * times)
    assert usual_rows(readings[:5], OVERLAP) is None


def put_sixty(engine: Engine, version: str, standing: str) -> None:
    frame = pd.DataFrame([decided(str(number), f"{version}{number}") for number in range(60)])
    with engine.begin() as connection:
        outbox.put(connection, "order", frame.assign(changed_at=pd.Timestamp.now("UTC"), standing=standing))


@pytest.mark.parametrize("how", ["rejected", "lost"])
def test_what_ometria_did_not_store_hides_no_mass_cancellation(engine: Engine, how: str) -> None:
    """Ometria still has the version before, which it counts as revenue."""
    put_sixty(engine, "A", "valid")
    send(engine)
    prove(engine)
    put_sixty(engine, "B", "valid")
    if how == "rejected":
        send(engine, "r-2")
        assert all(reject(engine, str(number), "r-2") for number in range(60))
    else:
        claim(engine)
        end_leases(engine)
        outbox.take_for_sent(engine)
        settle(engine, outbox.unproved(engine, "order", 60, lost=True), "again")
    put_sixty(engine, "C", "invalid")
    assert watch(engine, LIMITS) == {CANCELLATIONS}
