"""A run that died with its machine holds its lane up no longer than until the next tick (F4; truth 1)."""

from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest
from sqlalchemy import text

from bc_ometria.automation.jobs import bulk_delivery, check_what_is_open, live_sync
from bc_ometria.automation.orphans import fail_orphans
from bc_ometria.resources import Store
from bc_ometria.store import lives
from bc_ometria_tests.automation.test_sensor import tick
from bc_ometria_tests.scenarios.shop import Shop

ORDER = "0000001001"


def started(shop: Shop, job: str = live_sync.name) -> dg.DagsterRun:
    """A run as Dagster knows it while it works."""
    run = shop.instance.create_run_for_job(shop.definitions.resolve_job_def(job))
    shop.instance.report_dagster_event(dg.DagsterEvent("PIPELINE_START", job), run.run_id)
    return run


def soon() -> datetime:
    return datetime.now(UTC) + timedelta(minutes=1)


def status(shop: Shop, run: dg.DagsterRun) -> dg.DagsterRunStatus:
    found = shop.instance.get_run_by_id(run.run_id)
    assert found
    return found.status


@pytest.mark.parametrize("job", [live_sync.name, bulk_delivery.name])
def test_a_run_whose_process_is_gone_is_failed_and_the_next_one_starts(shop: Shop, job: str) -> None:
    shop.order(ORDER)
    run = started(shop, job)
    assert fail_orphans(shop.instance, shop.engine, soon()) == [run.run_id]
    assert status(shop, run) == dg.DagsterRunStatus.FAILURE
    assert isinstance(tick(shop), dg.RunRequest)
    assert fail_orphans(shop.instance, shop.engine, soon()) == []


def test_a_run_that_lives_goes_on(shop: Shop) -> None:
    shop.order(ORDER)
    run = started(shop)
    with lives.alive(shop.engine, run.run_id):
        assert fail_orphans(shop.instance, shop.engine, soon()) == []
        assert tick(shop) == "A run of live_sync is under way."
    assert fail_orphans(shop.instance, shop.engine, soon()) == [run.run_id]


def test_a_run_that_wrote_an_event_just_now_lives(shop: Shop) -> None:
    """Before its first step, and between its last one and its end, a run holds no lock."""
    started(shop)
    assert fail_orphans(shop.instance, shop.engine, datetime.now(UTC)) == []


def test_other_jobs_are_left_alone(shop: Shop) -> None:
    """A person may run them in several processes, of which the first has no store."""
    run = started(shop, check_what_is_open.name)
    assert fail_orphans(shop.instance, shop.engine, soon()) == []
    assert status(shop, run) == dg.DagsterRunStatus.STARTED


def test_a_life_ends_with_its_connection(shop: Shop) -> None:
    """Nothing else of a killed process has to come to an end in order."""
    with lives.alive(shop.engine, "a-run"):
        assert lives.is_alive(shop.engine, "a-run")
        assert not lives.is_alive(shop.engine, "another-run")
        shop.change("SELECT pg_terminate_backend(pid, 5000) FROM pg_locks WHERE locktype = 'advisory'")
        assert not lives.is_alive(shop.engine, "a-run")


def test_a_run_with_a_store_lives_until_it_is_over(shop: Shop) -> None:
    seen: list[bool] = []

    @dg.op
    def look(context: dg.OpExecutionContext, store: Store) -> None:
        seen.append(lives.is_alive(shop.engine, context.run_id))
        assert store.engine

    resources = {"store": Store(database_url=shop.engine.url.render_as_string(hide_password=False))}

    @dg.job(resource_defs=resources)
    def looks() -> None:
        look()

    result = looks.execute_in_process(instance=shop.instance)
    assert seen == [True]
    assert not lives.is_alive(shop.engine, result.run_id)
    with shop.engine.connect() as connection:
        locks = connection.execute(text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'")).scalar_one()
    assert locks == 0
