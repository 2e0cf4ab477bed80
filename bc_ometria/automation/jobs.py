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
