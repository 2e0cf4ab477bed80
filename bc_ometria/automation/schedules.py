"""What runs by the clock."""

import dagster as dg

from bc_ometria.automation.jobs import check_what_is_open

hourly_checks = dg.ScheduleDefinition(
    name="hourly_checks",
    job=check_what_is_open,
    cron_schedule="0 * * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Once an hour, because an exception ages while nothing else happens.",
)
