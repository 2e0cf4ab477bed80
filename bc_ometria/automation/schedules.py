"""What runs by the clock."""

from collections.abc import Iterator
from datetime import datetime, timedelta

import dagster as dg

from bc_ometria.automation.jobs import (
    catalogue_sync,
    check_events,
    check_what_is_open,
    housekeeping,
    read_unsubscribes,
    runs_under_way,
    sweep,
)
from bc_ometria.automation.partitions import change_day, months_since
from bc_ometria.checks.cliff import are_events_waiting
from bc_ometria.config import load_profile
from bc_ometria.resources import Store, Tenant, run_config
from bc_ometria.store.sweep import first_order

hourly_checks = dg.ScheduleDefinition(
    name="hourly_checks",
    job=check_what_is_open,
    cron_schedule="0 * * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Once an hour, because an exception ages while nothing else happens.",
)

unsubscribes_schedule = dg.ScheduleDefinition(
    name="unsubscribes_schedule",
    job=read_unsubscribes,
    cron_schedule="*/15 * * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Every 15 minutes, because who opts out at Ometria changes nothing in Blue Cherry.",
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


@dg.schedule(
    job=catalogue_sync,
    cron_schedule=load_profile().catalogue_cron,
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="What is new in the catalogue, every 15 minutes unless tenant.yaml says otherwise.",
)
def catalogue_schedule(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
    if runs_under_way(context.instance, catalogue_sync.name):
        return dg.SkipReason("A run of catalogue_sync is under way.")
    return dg.RunRequest(partition_key=change_day.get_last_partition_key(), run_config=run_config(only_new=True))


_RECENT = timedelta(days=45)
"""How long after it was placed an order is most likely to be edited (ours)."""


@dg.schedule(
    job=sweep,
    cron_schedule="0 2 * * 1-6",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Every night the months of the last 45 days, a run each.",
)
def nightly_sweep(context: dg.ScheduleEvaluationContext, tenant: Tenant) -> Iterator[dg.RunRequest]:
    begin = context.scheduled_execution_time.astimezone(tenant.profile.zone) - _RECENT
    yield from _run_each(context, begin)


@dg.schedule(
    job=sweep,
    cron_schedule="0 2 * * 0",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="On Sundays every month since the first order, a run each.",
)
def weekly_sweep(context: dg.ScheduleEvaluationContext, store: Store) -> Iterator[dg.RunRequest]:
    if first := first_order(store.engine):
        yield from _run_each(context, first)


def _run_each(context: dg.ScheduleEvaluationContext, begin: datetime) -> Iterator[dg.RunRequest]:
    """A run for each month, the newest first. Dagster asks for a run key; this one is never used again."""
    now = context.scheduled_execution_time
    for month in reversed(months_since(begin, now)):
        yield dg.RunRequest(partition_key=month, run_key=f"{now:%Y-%m-%d %H:%M} {month}")
