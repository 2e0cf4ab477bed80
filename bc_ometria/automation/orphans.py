"""Runs whose process died together with all that would have noticed: a machine without power, a killed container.

Dagster leaves such a run as started until its ``max_runtime``, and a lane with a run under way starts no other.
"""

from datetime import datetime, timedelta

import dagster as dg
from sqlalchemy import Engine

from bc_ometria.automation.jobs import bulk_delivery, catalogue_sync, live_sync, sweep
from bc_ometria.store import lives

_LANES = tuple(job.name for job in (live_sync, catalogue_sync, bulk_delivery, sweep))
"""Their runs are one process each, and show that they live from their first step on (``resources.Store``)."""

_SILENT_FOR = timedelta(seconds=5)
"""How long a run must have written no event (ours): before its first step and after its last one it does not show
either that it lives, for some tenths of a second."""


def fail_orphans(instance: dg.DagsterInstance, engine: Engine, now: datetime) -> list[str]:
    """Mark those runs of the lanes as failed that have started and give no sign of life any more; their ids."""
    started = instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED]))
    orphans = [
        run
        for run in started
        if run.job_name in _LANES
        and not lives.is_alive(engine, run.run_id)
        and _last_event(instance, run.run_id) < (now - _SILENT_FOR).timestamp()
    ]
    for run in orphans:
        instance.report_run_failed(run, "The process of this run is gone; the next run goes on with its work.")
    return [run.run_id for run in orphans]


def _last_event(instance: dg.DagsterInstance, run_id: str) -> float:
    """When the newest event of a run was written, in seconds since the epoch."""
    (newest,) = instance.get_records_for_run(run_id, limit=1, ascending=False).records
    return newest.event_log_entry.timestamp
