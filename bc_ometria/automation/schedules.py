"""What runs by the clock."""

import dagster as dg

from bc_ometria.automation.jobs import check_events, check_what_is_open, housekeeping
from bc_ometria.checks.cliff import are_events_waiting
from bc_ometria.resources import Store

hourly_checks = dg.ScheduleDefinition(
    name="hourly_checks",
    job=check_what_is_open,
    cron_schedule="0 * * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Once an hour, because an exception ages while nothing else happens.",
)

nightly_housekeeping = dg.ScheduleDefinition(
    name="nightly_housekeeping",
    job=housekeeping,
    cron_schedule="30 3 * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Once a night.",
)


@dg.schedule(
    job=check_events,
    cron_schedule="*/10 * * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Every ten minutes while events wait: a quarter of the time in which they start journeys is an hour.",
)
def checks_of_events(store: Store) -> dg.RunRequest | dg.SkipReason:
    if are_events_waiting(store.engine):
        return dg.RunRequest()
    return dg.SkipReason("No event waits.")
