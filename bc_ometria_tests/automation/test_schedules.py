"""What runs by the clock: an exception ages while nothing happens in Blue Cherry (P19)."""

from typing import Any

import dagster as dg
from sqlalchemy import text

from bc_ometria_tests.scenarios.shop import Shop, customer, evaluations, header


def test_the_hourly_checks_see_that_a_wait_is_over_without_any_change(shop: Shop) -> None:
    """Q2: a header without lines waits for an hour, and is an exception then."""
    shop.write("customers", customer())
    shop.write("orders", header("0000001001"))
    together = "ometria/orders:headers_and_lines_are_together"
    assert evaluations(shop.sync())[together].passed
    shop.change("UPDATE bc_ometria.exceptions SET first_seen = first_seen - interval '61 minutes'")
    pushes = shop.pushes
    job = shop.definitions.resolve_job_def("check_what_is_open")
    result = job.execute_in_process(instance=shop.instance)
    assert result.success
    assert not result.get_asset_materialization_events()
    assert not evaluations(result)[together].passed
    assert shop.pushes == pushes


def test_the_hourly_checks_run_every_hour_and_are_on(shop: Shop) -> None:
    schedule = shop.definitions.resolve_schedule_def("hourly_checks")
    assert (schedule.cron_schedule, schedule.job.name) == ("0 * * * *", "check_what_is_open")
    assert schedule.default_status.value == "RUNNING"


def test_events_that_wait_are_checked_every_ten_minutes_and_nothing_runs_while_none_does(shop: Shop) -> None:
    """A quarter of the cliff is an hour: once an hour would be too seldom."""
    schedule = shop.definitions.resolve_schedule_def("checks_of_events")
    assert (schedule.cron_schedule, schedule.job.name) == ("*/10 * * * *", "check_events")

    def tick() -> Any:
        resources = {"store": (shop.definitions.resources or {})["store"]}
        with dg.build_schedule_context(instance=shop.instance, resources=resources) as context:
            return schedule.evaluate_tick(context)

    shop.write("customers", customer(email=""))  # held, so that events of the order wait
    shop.order("0000001001")
    shop.sync()
    assert tick().skip_message == "No event waits."
    shop.at("2026-01-05 10:00")
    shop.pick("0000001001", {1: 2})
    shop.sync()
    assert len(tick().run_requests or []) == 1
    result = shop.definitions.resolve_job_def("check_events").execute_in_process(instance=shop.instance)
    assert list(evaluations(result)) == ["delivery/order_events:events_will_be_in_time"]


def test_the_nightly_housekeeping_forgets_payloads_and_nothing_else(shop: Shop) -> None:
    shop.write("customers", customer())
    shop.sync()
    shop.change(
        "UPDATE bc_ometria.outbox SET queued_at = queued_at - interval '91 days', accepted_at = accepted_at - interval "
        "'91 days', confirmed_at = confirmed_at - interval '91 days'"
    )
    result = shop.definitions.resolve_job_def("housekeeping").execute_in_process(instance=shop.instance)
    assert result.success
    with shop.engine.connect() as connection:
        query = (
            "SELECT payload IS NULL, state, wanted_version = proved_version, request_id <> '' FROM bc_ometria.outbox"
        )
        assert [tuple(row) for row in connection.execute(text(query))] == [(True, "confirmed", True, True)]
    shop.sync()
    assert shop.pushes == 1
