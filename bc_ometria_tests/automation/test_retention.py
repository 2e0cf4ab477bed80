"""Two thousand runs a day do not fill the database, and nothing that Dagster shows of assets changes (F4)."""

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill
from dagster._core.scheduler.instigation import TickStatus
from dagster._core.storage.partition_status_cache import get_and_update_asset_status_cache_value
from sqlalchemy import Engine, text

from bc_ometria.automation.retention import CHANGED, prune
from bc_ometria.home import PROJECT
from bc_ometria.rules import Retention
from bc_ometria_tests.scenarios.shop import Shop, customer, opened

KEEP = Retention(unchanged_days=1, successful_days=3, failed_days=14)
DAYS = dg.StaticPartitionsDefinition(["monday", "tuesday", "wednesday"])
MIRROR, SENT, CHECK = dg.AssetKey("mirror"), dg.AssetKey("sent"), dg.AssetCheckKey(dg.AssetKey("mirror"), "is_sound")
TABLES = ("runs", "run_tags", "event_logs", "asset_check_executions")


@pytest.fixture
def instance(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    """Dagster as the project sets it up: in PostgreSQL, empty."""
    monkeypatch.setenv("BC_OMETRIA_DATABASE_URL", engine.url.render_as_string(hide_password=False))
    home = tmp_path / "dagster"
    home.mkdir()
    shutil.copy(PROJECT / "dagster.yaml", home)
    with engine.begin() as connection:
        connection.execute(text("DROP SCHEMA public CASCADE"))
        connection.execute(text("CREATE SCHEMA public"))
    with dg.DagsterInstance.from_config(str(home)) as instance:
        yield instance


class _Outcome(dg.Config):
    fails: bool = False
    is_sound: bool = True
    is_checked: bool = True


@dg.asset(partitions_def=DAYS, check_specs=[dg.AssetCheckSpec("is_sound", asset="mirror")])
def mirror(config: _Outcome) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
    if config.fails:
        raise dg.Failure
    print("a line of output")  # noqa: T201
    yield dg.MaterializeResult()
    if not config.is_checked:
        raise dg.Failure
    yield dg.AssetCheckResult(passed=config.is_sound)


@dg.asset
def sent() -> None: ...


JOBS = {
    lane: dg.define_asset_job(lane, "*", tags={"lane": lane}, executor_def=dg.in_process_executor)
    for lane in ("live", "bulk")
}
DEFINITIONS = dg.Definitions([mirror, sent], jobs=list(JOBS.values()))


def run(instance: dg.DagsterInstance, day: str, job: str = "live", tags: Any = None, **outcome: bool) -> str:
    """Run a job; the id of the run."""
    result = DEFINITIONS.resolve_job_def(job).execute_in_process(
        instance=instance,
        partition_key=day,
        tags=tags,
        run_config={
            "ops": {"mirror": {"config": outcome}},
            "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
        },
        raise_on_error=False,
    )
    return result.run_id


def runs(instance: dg.DagsterInstance) -> set[str]:
    return set(instance.get_run_ids())


def later(days: float) -> datetime:
    return datetime.now(UTC) + timedelta(days=days)


def shown(instance: dg.DagsterInstance) -> dict[str, Any]:
    """What Dagster shows of the assets, worked out anew from its tables."""
    status: dict[str, Any] = {}
    for key, partitions in ((MIRROR, DAYS), (SENT, None)):
        instance.event_log_storage.wipe_asset_cached_status(key)
        cached = get_and_update_asset_status_cache_value(instance, key, partitions)
        record = instance.get_latest_materialization_event(key)
        assert cached
        assert record
        status[key.to_user_string()] = (
            cached,
            record.run_id,
            instance.get_latest_storage_id_by_partition(key, dg.DagsterEventType.ASSET_MATERIALIZATION),
        )
    storage = instance.event_log_storage
    status["check"] = storage.get_latest_asset_check_execution_by_key([CHECK])[CHECK]
    status["check history"] = storage.get_asset_check_summary_records([CHECK])[CHECK].last_completed_run_id
    return status


def kept_rows(engine: Engine) -> set[str]:
    """The runs that any of Dagster's tables has a row of."""
    with engine.connect() as connection:
        selects = " UNION ".join(f"SELECT run_id FROM public.{table}" for table in TABLES)
        return set(connection.execute(text(selects)).scalars())


def test_what_the_asset_graph_shows_is_the_same_before_and_after(instance: dg.DagsterInstance, engine: Engine) -> None:
    """Dagster's own ``delete_run`` would turn done days into missing ones, and failed ones into days without a run."""
    for _ in range(3):
        run(instance, "monday")
    for _ in range(2):
        run(instance, "tuesday", fails=True)
    tuesday = run(instance, "tuesday", fails=True)
    before_failure = run(instance, "wednesday")
    run(instance, "wednesday", fails=True)
    failure = run(instance, "wednesday", fails=True)
    monday = run(instance, "monday", is_sound=False)
    run(instance, "monday", is_checked=False)
    unchecked = run(instance, "monday", is_checked=False)
    before = shown(instance)
    assert len(runs(instance)) == 12
    pruned = prune(instance, KEEP, later(1000))
    assert shown(instance) == before
    assert runs(instance) == {monday, unchecked, tuesday, before_failure, failure}
    assert kept_rows(engine) == runs(instance), "rows of a run that is gone"
    assert (dict(pruned.runs), pruned.newest) == ({"unchanged": 3, "successful": 0, "failed": 4}, 5)
    assert not any(prune(instance, KEEP, later(1000)).runs.values())


def test_runs_go_when_their_time_is_over_and_not_before(instance: dg.DagsterInstance) -> None:
    unchanged, changed = run(instance, "monday"), run(instance, "monday", tags=CHANGED)
    other_job, failed = run(instance, "monday", "bulk"), run(instance, "monday", fails=True)
    all_of_them = {unchanged, changed, other_job, failed}
    newest = {run(instance, "monday", tags=CHANGED)}
    for days, left in (
        (0.9, all_of_them),
        (1.1, {changed, other_job, failed}),
        (2.9, {changed, other_job, failed}),
        (3.1, {failed}),
        (13.9, {failed}),
        (14.1, set()),
    ):
        prune(instance, KEEP, later(days))
        assert runs(instance) == left | newest, days


@pytest.mark.parametrize("event", ["PIPELINE_STARTING", "PIPELINE_START", "PIPELINE_CANCELING"])
def test_a_run_that_is_not_over_stays(instance: dg.DagsterInstance, event: str) -> None:
    under_way = instance.create_run_for_job(DEFINITIONS.resolve_job_def("live"), tags={"lane": "live"}).run_id
    instance.report_dagster_event(dg.DagsterEvent(event, "live"), under_way)
    prune(instance, KEEP, later(1000))
    assert runs(instance) == {under_way}


def test_a_backfill_keeps_its_runs_until_it_is_over(instance: dg.DagsterInstance) -> None:
    backfill = PartitionBackfill(
        backfill_id="redo",
        status=BulkActionStatus.REQUESTED,
        from_failure=False,
        tags={},
        backfill_timestamp=datetime.now(UTC).timestamp(),
    )
    instance.add_backfill(backfill)
    of_backfill = run(instance, "monday", tags={"dagster/backfill": "redo"})
    newest = run(instance, "monday")
    prune(instance, KEEP, later(1000))
    assert runs(instance) == {of_backfill, newest}
    instance.update_backfill(backfill.with_status(BulkActionStatus.COMPLETED_SUCCESS))
    prune(instance, KEEP, later(1000))
    assert runs(instance) == {newest}


def test_the_output_of_a_run_goes_with_it(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    gone, newest = run(instance, "monday"), run(instance, "monday")
    storage = tmp_path / "dagster" / "storage"
    assert {gone, newest} <= {path.name for path in storage.iterdir()}
    prune(instance, KEEP, later(1000))
    assert {path.name for path in storage.iterdir()} & {gone, newest} == {newest}


def test_dagster_prunes_ticks_by_itself(instance: dg.DagsterInstance) -> None:
    for kind in (InstigatorType.SENSOR, InstigatorType.SCHEDULE):
        days = instance.get_tick_retention_settings(kind)
        assert all(0 < days[status] <= 30 for status in (TickStatus.SKIPPED, TickStatus.FAILURE, TickStatus.SUCCESS))


def test_the_nightly_housekeeping_prunes_runs_of_the_live_lane(
    instance: dg.DagsterInstance,
    engine: Engine,
    sandbox: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The shortest life is that of a run that found nothing: it is told by its tag, which the assets set."""
    shop: Shop = opened(sandbox, engine, tmp_path / "rules", monkeypatch, instance)
    shop.write("customers", customer(email_ok="N"))
    changed, _, newest = [shop.sync() for _ in range(3)]
    assert changed.success
    assert instance.get_run_ids(dg.RunsFilter(tags=CHANGED)) == [changed.run_id]
    with engine.begin() as connection:
        connection.execute(text("UPDATE public.runs SET update_timestamp = update_timestamp - interval '25 hours'"))
    result = shop.definitions.resolve_job_def("housekeeping").execute_in_process(instance=instance)
    (output,) = (
        event.step_output_data.metadata
        for event in result.all_node_events
        if event.is_successful_output and event.step_key == "prune_runs"
    )
    assert {name: value.value for name, value in output.items()} == {
        "unchanged_runs_pruned": 1,
        "successful_runs_pruned": 0,
        "failed_runs_pruned": 0,
        "runs_kept_as_newest": 1,
    }
    assert runs(instance) == {changed.run_id, newest.run_id, result.run_id}
