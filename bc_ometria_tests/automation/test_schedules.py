"""What runs by the clock: an exception ages while nothing happens in Blue Cherry (P19)."""

from datetime import datetime
from pathlib import Path
from typing import Any

import dagster as dg
from sqlalchemy import text

from bc_ometria.automation.partitions import change_day
from bc_ometria.resources import run_config
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


def test_the_catalogue_has_a_schedule_of_its_own(shop: Shop, tmp_path: Path) -> None:
    """Every 15 minutes what is new; never a second run while one is under way."""
    definitions = shop.definitions
    schedule = definitions.resolve_schedule_def("catalogue_schedule")
    assert (schedule.cron_schedule, schedule.job.name) == ("*/15 * * * *", "catalogue_sync")
    assert schedule.default_status.value == "RUNNING"

    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:

        def tick() -> Any:
            with dg.build_schedule_context(
                instance=instance, repository_def=definitions.get_repository_def()
            ) as context:
                return schedule.evaluate_tick(context)

        (request,) = tick().run_requests or []
        assert request.partition_key == change_day.get_last_partition_key()
        assert request.run_config == run_config(only_new=True)
        run = instance.create_run_for_job(definitions.resolve_job_def("catalogue_sync"))
        assert tick().skip_message == "A run of catalogue_sync is under way."
        instance.report_run_failed(run)
        assert len(tick().run_requests or []) == 1


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


def _requested(shop: Shop, name: str, at: str) -> list[str | None]:
    """The partitions for which a schedule starts runs."""
    resources = {each: (shop.definitions.resources or {})[each] for each in ("store", "tenant")}
    scheduled = datetime.fromisoformat(at)
    with dg.build_schedule_context(
        instance=shop.instance,
        resources=resources,
        scheduled_execution_time=scheduled,
        repository_def=shop.definitions.get_repository_def(),
    ) as context:
        requests = shop.definitions.resolve_schedule_def(name).evaluate_tick(context).run_requests or []
    return [request.partition_key for request in requests]


def test_recent_months_are_swept_every_night_and_all_on_sundays_one_run_each(shop: Shop) -> None:
    """F2: what was deleted leaves no trace, so it is looked for."""
    assert _requested(shop, "weekly_sweep", "2026-03-22T02:00:00+00:00") == []
    shop.write("orders", header("0000001001"), header("0000001002", ord_date=datetime(2026, 3, 1)))  # noqa: DTZ001
    shop.sync()
    months = ["2026-03", "2026-02", "2026-01"]
    assert _requested(shop, "weekly_sweep", "2026-03-22T02:00:00+00:00") == months
    assert _requested(shop, "nightly_sweep", "2026-03-16T02:00:00+00:00") == months  # from 30 January on
    assert _requested(shop, "nightly_sweep", "2026-03-21T02:00:00+00:00") == months[:2]  # from 4 February on
    for name, hours in (("nightly_sweep", "0 2 * * 1-6"), ("weekly_sweep", "0 2 * * 0")):
        schedule = shop.definitions.resolve_schedule_def(name)
        assert (schedule.cron_schedule, schedule.job.name, schedule.default_status.value) == (hours, "sweep", "RUNNING")
