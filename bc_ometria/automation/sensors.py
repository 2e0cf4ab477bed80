"""Sensors compare what is with what should be, and carry no state that a lost run could lose."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import chain

import dagster as dg
from sqlalchemy import Engine

from bc_ometria.assets.mirror import OVERLAP
from bc_ometria.automation.jobs import bulk_delivery, live_sync
from bc_ometria.automation.partitions import change_day
from bc_ometria.blue_cherry.client import BlueCherryClient
from bc_ometria.blue_cherry.errors import BlueCherryError
from bc_ometria.blue_cherry.profile import TenantProfile
from bc_ometria.blue_cherry.rows import typed_rows
from bc_ometria.delivery.budget import refusal
from bc_ometria.resources import BlueCherry, Store, Tenant, run_config
from bc_ometria.rules import Rules
from bc_ometria.store import mirror, outbox, sales, touched
from bc_ometria.store.lanes import BULK, LANES, LIVE

_UNDER_WAY = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


_STUCK_S = 120.0
"""Live records that have been due for so long are sent without waiting for ``live_sync``."""

_REFUSED_FOR = timedelta(minutes=5)
"""How long nothing is started after Ometria refused the key; ``bc-ometria sync`` tries at any time."""


@dataclass(frozen=True)
class Situation:
    """What the live sensor looks at."""

    runs_under_way: int
    waiting_in_store: bool
    resources_with_news: tuple[str, ...]
    refusal: str = ""


def decide(situation: Situation) -> str | None:
    """Why nothing is to be started; ``None`` starts a run."""
    if situation.runs_under_way:
        return "A run of live_sync is under way."
    if situation.refusal:
        return situation.refusal
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
    under_way = _runs_under_way(context, live_sync.name)
    refusal = "" if under_way else _refusal(store.engine)
    waiting = not under_way and not refusal and is_live_work_waiting(store.engine, tenant.rules)
    news: tuple[str, ...] = ()
    if not under_way and not refusal and not waiting:
        try:
            with blue_cherry.client(tenant.profile) as client:
                news = tuple(first_news(store.engine, client, tenant.profile))
        except BlueCherryError as error:
            return dg.SkipReason(f"Blue Cherry could not be asked, the next tick tries again: {error}")
    why_not = decide(Situation(under_way, waiting, news, refusal))
    if why_not:
        return dg.SkipReason(why_not)
    return dg.RunRequest(partition_key=change_day.get_last_partition_key(), run_config=run_config(only_new=True))


@dg.sensor(
    job=bulk_delivery,
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Starts bulk_delivery where repairs, products, deep attributes or history wait to be sent, or live "
    "records that no run of live_sync gets to because Blue Cherry cannot be read.",
)
def bulk_sensor(context: dg.SensorEvaluationContext, store: Store, tenant: Tenant) -> dg.RunRequest | dg.SkipReason:
    if _runs_under_way(context, bulk_delivery.name):
        return dg.SkipReason("A run of bulk_delivery is under way.")
    if refusal := _refusal(store.engine):
        return dg.SkipReason(refusal)
    stuck_for = outbox.longest_wait_s(store.engine, LIVE, terms=_terms(tenant.rules)) or 0
    if stuck_for < _STUCK_S and not outbox.is_any_due(store.engine, BULK):
        return dg.SkipReason("No repair, product, deep attribute or history waits to be sent.")
    return dg.RunRequest(run_config=run_config(only_new=False))


def _runs_under_way(context: dg.SensorEvaluationContext, job_name: str) -> int:
    return context.instance.get_runs_count(dg.RunsFilter(job_name=job_name, statuses=_UNDER_WAY))


def _refusal(engine: Engine) -> str:
    """Why no run is started, where Ometria refused the key a moment ago; blank otherwise."""
    refused = refusal(engine)
    if refused is None or datetime.now(UTC) - refused[1] > _REFUSED_FOR:
        return ""
    words, at = refused
    return f"At {at:%H:%M:%S} UTC: {words} Nothing is lost; the next try is at {at + _REFUSED_FOR:%H:%M:%S} UTC."


def _terms(rules: Rules) -> outbox.EventTerms:
    return outbox.EventTerms(rules.account.parents_wait_min, rules.account.resend_unknown_events)


def is_anything_waiting(engine: Engine, rules: Rules) -> bool:
    """Whether something is to be assembled, mapped, sent or read back, in whatever lane."""
    return is_live_work_waiting(engine, rules) or outbox.is_any_due(engine, BULK)


def is_live_work_waiting(engine: Engine, rules: Rules) -> bool:
    """Whether something is to be assembled, mapped, sent in a live lane, or read back."""
    terms = _terms(rules)
    return (
        touched.count(engine, "order") > 0
        or touched.count(engine, "customer") > 0
        or bool(sales.unmapped(engine, 1))
        or bool(outbox.unproved_by_type(engine, LIVE if outbox.is_any_due(engine, BULK) else LANES))
        or outbox.is_any_due(engine, LIVE, terms=terms)
        or outbox.is_any_event_ready(engine, terms)
        or outbox.is_any_lost(engine)
        or not sales.rules_are_applied(engine, rules.version)
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
