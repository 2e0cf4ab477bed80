"""The lanes, as jobs."""

import dagster as dg

from bc_ometria.automation.retention import prune_runs
from bc_ometria.checks import fill_rates
from bc_ometria.resources import Store, Tenant
from bc_ometria.store import outbox

_OF_ALL_ROWS = dg.AssetSelection.checks(*(key for check in fill_rates.checks for key in check.check_keys))
"""Checks of the rows of weeks: hourly, for the work of a live run is in proportion to what changed."""

_STARTED_BY_A_SENSOR = {"dagster/max_retries": "0"}
"""What died a sensor starts again by itself: a retry of Dagster's would run beside that."""

live_sync = dg.define_asset_job(
    "live_sync",
    selection=dg.AssetSelection.groups("blue_cherry", "sales", "ometria", "delivery") - _OF_ALL_ROWS,
    executor_def=dg.in_process_executor,
    config={"loggers": {"console": {"config": {"log_level": "INFO"}}}},
    description="Blue Cherry's changes all the way into Ometria. The sensor starts it for what is new; started "
    "by hand it redoes the whole of a change_day.",
    tags={"dagster/max_runtime": 3600, "lane": "live", **_STARTED_BY_A_SENSOR},
)

catalogue_sync = dg.define_asset_job(
    "catalogue_sync",
    selection=dg.AssetSelection.groups("catalogue"),
    executor_def=dg.in_process_executor,
    description="What Blue Cherry's catalogue calls sizes and colours, apart from live_sync: orders go with what the "
    "mirror knows of it, and those whose lines show something else now are assembled again.",
    tags={"dagster/max_runtime": 3600, "lane": "catalogue"},
)

bulk_delivery = dg.define_asset_job(
    "bulk_delivery",
    selection=dg.AssetSelection.groups("delivery"),
    executor_def=dg.in_process_executor,
    description="Sends all that waits in the outbox, bulk and live, until nothing is due. It runs beside live_sync; "
    "they share the calls that Ometria allows, and the most urgent record gets the next one.",
    tags={"dagster/max_runtime": 86_400, "lane": "bulk", **_STARTED_BY_A_SENSOR},
)

merge_customers = dg.define_asset_job(
    "merge_customers",
    selection=dg.AssetSelection.groups("merges"),
    executor_def=dg.in_process_executor,
    description="Has Ometria merge the customers that Blue Cherry merged. Ometria takes one call a minute, so it runs "
    "apart from everything else, and nothing waits for it.",
    tags={"dagster/max_runtime": 14_400, "lane": "merges"},
)

read_unsubscribes = dg.define_asset_job(
    "read_unsubscribes",
    selection=dg.AssetSelection.assets(["ometria", "unsubscribes"]),
    executor_def=dg.in_process_executor,
    description="Who opted out at Ometria since it was last read; the first time, who ever did.",
    tags={"dagster/max_runtime": 3600},
)

sweep = dg.define_asset_job(
    "sweep",
    selection=dg.AssetSelection.groups("sweep"),
    executor_def=dg.in_process_executor,
    description="What was deleted in Blue Cherry: compares the keys that it serves of a month's orders with the "
    "mirror. Two schedules start it; started by hand it sweeps the months that are chosen.",
    tags={"dagster/max_runtime": 14_400, "dagster/priority": "-1", "lane": "sweep"},
)

check_what_is_open = dg.define_asset_job(
    "check_what_is_open",
    selection=dg.AssetSelection.all_asset_checks(),
    executor_def=dg.in_process_executor,
    description="All checks and nothing else: what waits, ages or falls changes without any change in Blue Cherry.",
    tags={"dagster/max_runtime": 600},
)

check_events = dg.define_asset_job(
    "check_events",
    selection=dg.AssetSelection.checks(
        dg.AssetCheckKey(dg.AssetKey(["delivery", "order_events"]), "events_will_be_in_time")
    ),
    executor_def=dg.in_process_executor,
    description="Only whether the events that wait will still start their journeys.",
    tags={"dagster/max_runtime": 600},
)


@dg.op
def forget_payloads(context: dg.OpExecutionContext, store: Store, tenant: Tenant) -> None:
    """Forget the payloads of records that were settled ``payload_days`` ago (rules/ometria.yaml). What is known of them
    stays: versions, request ids, outcomes and times."""
    days = tenant.rules.account.payload_days
    context.add_output_metadata({"payloads_forgotten": outbox.expire_payloads(store.engine, days), "after_days": days})


@dg.job(
    executor_def=dg.in_process_executor,
    description="What grows and is no longer needed is forgotten.",
    tags={"dagster/max_runtime": 3600},
)
def housekeeping() -> None:
    forget_payloads()
    prune_runs()


UNDER_WAY = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
"""The states of a run that is not over."""


def runs_under_way(instance: dg.DagsterInstance, job_name: str) -> int:
    """How many runs of a job are not over."""
    return instance.get_runs_count(dg.RunsFilter(job_name=job_name, statuses=UNDER_WAY))
