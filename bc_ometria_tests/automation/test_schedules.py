"""What runs by the clock: an exception ages while nothing happens in Blue Cherry (P19)."""

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
