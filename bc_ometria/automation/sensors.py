"""Sensors compare what is with what should be, and carry no state that a lost run could lose."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from itertools import chain

import dagster as dg
from sqlalchemy import Engine

from bc_ometria.assets.mirror import OVERLAP
from bc_ometria.automation.jobs import live_sync
from bc_ometria.automation.partitions import change_day
from bc_ometria.blue_cherry.client import BlueCherryClient
from bc_ometria.blue_cherry.errors import BlueCherryError
from bc_ometria.blue_cherry.profile import TenantProfile
from bc_ometria.blue_cherry.rows import typed_rows
from bc_ometria.resources import BlueCherry, Store, Tenant, live_run_config
from bc_ometria.store import mirror, outbox, sales, touched

_UNDER_WAY = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


@dataclass(frozen=True)
class Situation:
    """What the live sensor looks at."""

    runs_under_way: int
    waiting_in_store: bool
    resources_with_news: tuple[str, ...]


def decide(situation: Situation) -> str | None:
    """Why nothing is to be started; ``None`` starts a run."""
    if situation.runs_under_way:
        return "A run of live_sync is under way."
    if not situation.waiting_in_store and not situation.resources_with_news:
        return "Blue Cherry has nothing new, and nothing waits to be sent or proved."
    return None


@dg.sensor(
    job=live_sync,
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Starts live_sync for what is new in Blue Cherry and for what waits in the store.",
)
def live_sensor(
    context: dg.SensorEvaluationContext, blue_cherry: BlueCherry, store: Store, tenant: Tenant
) -> dg.RunRequest | dg.SkipReason:
    under_way = context.instance.get_runs_count(dg.RunsFilter(job_name=live_sync.name, statuses=_UNDER_WAY))
    waiting = not under_way and is_anything_waiting(store.engine, tenant.rules.version)
    news: tuple[str, ...] = ()
    if not under_way and not waiting:
        try:
            with blue_cherry.client(tenant.profile) as client:
                news = tuple(first_news(store.engine, client, tenant.profile))
        except BlueCherryError as error:
            return dg.SkipReason(f"Blue Cherry could not be asked, the next tick tries again: {error}")
    why_not = decide(Situation(under_way, waiting, news))
    if why_not:
        return dg.SkipReason(why_not)
    return dg.RunRequest(partition_key=change_day.get_last_partition_key(), run_config=live_run_config())


def is_anything_waiting(engine: Engine, rules_version: str) -> bool:
    """Whether something is to be assembled, mapped, sent or read back."""
    return (
        touched.count(engine, "order") > 0
        or touched.count(engine, "customer") > 0
        or bool(sales.unmapped(engine, 1))
        or outbox.is_anything_due(engine)
        or not sales.rules_are_applied(engine, rules_version)
    )


def first_news(engine: Engine, client: BlueCherryClient, profile: TenantProfile) -> Iterable[str]:
    """The first resource that serves a row the mirror has not seen, if any: one call per resource.

    Looks back as far as a run reads; a row counts as seen with the stamp it was last read with.
    """
    for resource in chain(mirror.CUSTOMER_RESOURCES, mirror.ORDER_RESOURCES):
        stamp = mirror.watermark(engine, resource)
        since = stamp - OVERLAP if stamp else None
        page = next(iter(client.pages(resource, modified_since=since)), None)
        if page is None or not page.rows:
            continue
        if since is None or page.total > len(page.rows) or _has_unseen(engine, resource, page.rows, profile, since):
            yield resource
            return


def _has_unseen(engine: Engine, resource: str, rows: list, profile: TenantProfile, since: datetime) -> bool:
    typed = typed_rows(resource, rows, profile)
    stamped = set(zip(typed.frame["pkey"].tolist(), typed.frame["last_mod"].dt.to_pydatetime(), strict=True))
    return bool(stamped - mirror.stamps_since(engine, resource, since)) or bool(
        set(typed.held["row_key"]) - mirror.held_keys(engine, resource)
    )
