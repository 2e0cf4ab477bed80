"""How long Dagster keeps what it knows of a run (``rules/retention.yaml``).

Dagster itself prunes ticks (``dagster.yaml``) and nothing else. Here a run goes as a whole: its row, its events, its
evaluations of checks and its output. A run that is still the newest to say something stays as a whole, however old it
is, so that the asset graph shows what it showed before: the newest materialisation and the newest attempt of every
partition, the newest evaluation of every check. Otherwise days that are done would look missing (Dagster's #18369).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import cast

import dagster as dg
import sqlalchemy as sa
from dagster._core.events import DagsterEventType
from dagster._core.execution.backfill import BULK_ACTION_TERMINAL_STATUSES, BulkActionsFilter, BulkActionStatus
from dagster._core.storage.asset_check_execution_record import COMPLETED_ASSET_CHECK_EXECUTION_RECORD_STATUSES
from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable, SqlEventLogStorageTable
from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage
from dagster._core.storage.tags import BACKFILL_ID_TAG

from bc_ometria.resources import Tenant
from bc_ometria.rules import Retention

Tags = Mapping[str, str | Sequence[str]]

CHANGED = {"changed": "yes"}
"""The tag of a run that changed the mirror, an order or Ometria."""

_POLLING: Tags = {"lane": ["live", "catalogue"]}
"""The tags of jobs that mostly look, and then find little or nothing to do; they set the tag ``CHANGED``."""

_AT_ONCE = 500  # runs whose evaluations are deleted by one statement

_ABOUT_ASSETS = [
    DagsterEventType.ASSET_MATERIALIZATION.value,
    DagsterEventType.ASSET_MATERIALIZATION_PLANNED.value,
    DagsterEventType.ASSET_OBSERVATION.value,
]

_EVALUATED = [status.value for status in COMPLETED_ASSET_CHECK_EXECUTION_RECORD_STATUSES]


@dataclass(frozen=True)
class Pruned:
    """How many runs were deleted, by why they were due, and how many were due and stay because they are the newest to
    say something."""

    runs: Mapping[str, int]
    newest: int


def mark_changed(context: dg.AssetExecutionContext) -> None:
    """Say of this run that it changed something: it is kept longer than one that found nothing to do."""
    context.instance.add_run_tags(context.run.run_id, CHANGED)


def prune(instance: dg.DagsterInstance, keep: Retention, now: datetime) -> Pruned:
    """Delete the runs whose time is over ``now``; may be repeated at any moment, also after it died half-way."""
    due = _due(instance, keep, now)
    newest = _newest(instance)
    for run_ids in _batches([run_id for ids in due.values() for run_id in ids - newest]):
        _delete_evaluations(instance, run_ids)
        for run_id in run_ids:
            instance.compute_log_manager.delete_logs(prefix=[run_id])
            instance.delete_run(run_id)
    return Pruned({why: len(ids - newest) for why, ids in due.items()}, sum(len(ids & newest) for ids in due.values()))


@dg.op
def prune_runs(context: dg.OpExecutionContext, tenant: Tenant) -> None:
    """Delete what Dagster keeps of runs that ended long ago (rules/retention.yaml). What the asset graph shows stays,
    and so do runs that are not over."""
    pruned = prune(context.instance, tenant.rules.retention, datetime.now(UTC))
    context.add_output_metadata(
        {**{f"{why}_runs_pruned": count for why, count in pruned.runs.items()}, "runs_kept_as_newest": pruned.newest}
    )


def _due(instance: dg.DagsterInstance, keep: Retention, now: datetime) -> dict[str, set[str]]:
    """The runs that ended so long ago that they may go, by why; each once. Runs of a backfill may go when it is over,
    because it is counted from them."""

    def ended(days: int, *statuses: dg.DagsterRunStatus, tags: Tags | None = None) -> set[str]:
        filters = dg.RunsFilter(statuses=statuses, updated_before=now - timedelta(days=days), tags=tags)
        return set(instance.get_run_ids(filters))

    succeeded, failed = dg.DagsterRunStatus.SUCCESS, (dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)
    unchanged = ended(keep.unchanged_days, succeeded, tags=_POLLING) - ended(
        keep.unchanged_days, succeeded, tags={**_POLLING, **CHANGED}
    )
    in_backfill = _in_backfills_under_way(instance)
    return {
        "unchanged": unchanged - in_backfill,
        "successful": ended(keep.successful_days, succeeded) - unchanged - in_backfill,
        "failed": ended(keep.failed_days, *failed) - in_backfill,
    }


def _in_backfills_under_way(instance: dg.DagsterInstance) -> set[str]:
    open_ones = [status for status in BulkActionStatus if status not in BULK_ACTION_TERMINAL_STATUSES]
    backfills = [each.backfill_id for each in instance.get_backfills(BulkActionsFilter(statuses=open_ones))]
    return set(instance.get_run_ids(dg.RunsFilter(tags={BACKFILL_ID_TAG: backfills}))) if backfills else set()


def _newest(instance: dg.DagsterInstance) -> set[str]:
    """The runs that are the newest to say something of an asset, a partition or a check."""
    events, checks = SqlEventLogStorageTable.c, AssetCheckExecutionsTable.c
    of_check = (checks.asset_key, checks.check_name, checks.partition)
    newest_events = (
        sa.select(sa.func.max(events.id))
        .where(events.asset_key.is_not(None), events.dagster_event_type.in_(_ABOUT_ASSETS))
        .group_by(events.asset_key, events.partition, events.dagster_event_type)
    )
    newest_evaluations = sa.select(sa.func.max(checks.id)).group_by(*of_check)
    newest_results = newest_evaluations.where(checks.execution_status.in_(_EVALUATED))
    with _events(instance).index_connection() as connection:
        return {
            *connection.scalars(sa.select(events.run_id).where(events.id.in_(newest_events))),
            *connection.scalars(
                sa.select(checks.run_id).where(checks.id.in_(newest_evaluations) | checks.id.in_(newest_results))
            ),
        }


def _delete_evaluations(instance: dg.DagsterInstance, run_ids: list[str]) -> None:
    """Dagster leaves them behind when it deletes a run."""
    with _events(instance).index_transaction() as connection:
        connection.execute(sa.delete(AssetCheckExecutionsTable).where(AssetCheckExecutionsTable.c.run_id.in_(run_ids)))


def _events(instance: dg.DagsterInstance) -> SqlEventLogStorage:
    """Dagster's tables, for what it has no API for."""
    return cast(SqlEventLogStorage, instance.event_log_storage)


def _batches(run_ids: list[str]) -> Iterator[list[str]]:
    for at in range(0, len(run_ids), _AT_ONCE):
        yield run_ids[at : at + _AT_ONCE]
