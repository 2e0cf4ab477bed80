"""The lanes, run once in this process, without a daemon."""

from typing import Any

import dagster as dg

from bc_ometria.automation.partitions import change_day
from bc_ometria.resources import run_config


def run_live_sync(definitions: dg.Definitions, instance: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
    """Run ``live_sync`` for what is new, recorded in ``instance`` like any other run.

    Does not raise where a step fails: the result says so.
    """
    return _run_for_what_is_new("live_sync", definitions, instance)


def run_catalogue_sync(definitions: dg.Definitions, instance: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
    """Run ``catalogue_sync`` for what is new; a failed step does not raise."""
    return _run_for_what_is_new("catalogue_sync", definitions, instance)


def run_bulk_delivery(definitions: dg.Definitions, instance: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
    """Run ``bulk_delivery`` until nothing is due; a failed step does not raise."""
    return _run("bulk_delivery", definitions, instance, run_config(only_new=False, log_level="CRITICAL"))


def run_merge_customers(definitions: dg.Definitions, instance: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
    """Run ``merge_customers`` until no merge is due; a failed step does not raise."""
    return _run("merge_customers", definitions, instance, _QUIET)


def run_sweep(definitions: dg.Definitions, instance: dg.DagsterInstance, month: str) -> dg.ExecuteInProcessResult:
    """Run ``sweep`` for the orders of a month; a failed step does not raise."""
    return _run("sweep", definitions, instance, _QUIET, month)


def _run_for_what_is_new(
    job: str, definitions: dg.Definitions, instance: dg.DagsterInstance
) -> dg.ExecuteInProcessResult:
    config = run_config(only_new=True, log_level="CRITICAL")
    return _run(job, definitions, instance, config, change_day.get_last_partition_key())


_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


def _run(
    job: str,
    definitions: dg.Definitions,
    instance: dg.DagsterInstance,
    config: dict[str, Any],
    partition_key: str | None = None,
) -> dg.ExecuteInProcessResult:
    return definitions.resolve_job_def(job).execute_in_process(
        instance=instance, partition_key=partition_key, run_config=config, raise_on_error=False
    )


def failures(result: dg.ExecuteInProcessResult) -> list[str]:
    """What went wrong in each failed step, in the words of the error that caused it."""
    texts = []
    for event in result.all_events:
        if event.is_step_failure:
            error = event.step_failure_data.error
            while error is not None and error.cause is not None:
                error = error.cause
            told = error.message.strip() if error else "failed"
            # Dagster puts the class in front, with the whole way to it.
            texts.append(f"{event.step_key}: {told.partition(': ')[2] or told}")
    return texts
