"""The lanes, as jobs."""

import dagster as dg

live_sync = dg.define_asset_job(
    "live_sync",
    selection=dg.AssetSelection.groups("blue_cherry", "sales", "ometria", "delivery"),
    executor_def=dg.in_process_executor,
    config={"loggers": {"console": {"config": {"log_level": "INFO"}}}},
    description="Blue Cherry's changes all the way into Ometria. The sensor starts it for what is new; started "
    "by hand it redoes the whole of a change_day.",
    tags={"dagster/max_runtime": 3600, "lane": "live"},
)

check_what_is_open = dg.define_asset_job(
    "check_what_is_open",
    selection=dg.AssetSelection.all_asset_checks(),
    executor_def=dg.in_process_executor,
    description="All checks and nothing else: what waits, ages or falls changes without any change in Blue Cherry.",
    tags={"dagster/max_runtime": 600},
)
