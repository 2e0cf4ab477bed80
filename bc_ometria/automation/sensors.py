"""Sensors compare what is with what should be, and carry no state that a lost run could lose."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import dagster as dg
from pydantic import BaseModel, ValidationError
from sqlalchemy import Engine

from bc_ometria.automation.hints import take_hints
from bc_ometria.automation.jobs import bulk_delivery, live_sync, merge_customers, runs_under_way
from bc_ometria.automation.news import Answer, ask
from bc_ometria.automation.orphans import fail_orphans
from bc_ometria.automation.partitions import change_day
from bc_ometria.blue_cherry.errors import BlueCherryError
from bc_ometria.blue_cherry.profile import TenantProfile
from bc_ometria.config import load_profile
from bc_ometria.delivery.budget import refusal
from bc_ometria.resources import BlueCherry, Store, Tenant, run_config
from bc_ometria.rules import Rules
from bc_ometria.store import merges, outbox, sales, to_refresh, touched
from bc_ometria.store.lanes import BULK, LANES, LIVE

_STUCK_S = 120.0
"""Live records that have been due for so long are sent without waiting for ``live_sync``; and whatever else is to be
delivered, where none has succeeded for so long."""

_REFUSED_FOR = timedelta(minutes=5)
"""How long nothing is started after Ometria refused the key; ``bc-ometria sync`` tries at any time."""


_BACK_OFF = timedelta(minutes=1)
_LONGEST_BACK_OFF = timedelta(minutes=10)
"""How long Blue Cherry is not asked after it could not be read: 1 minute, 2, 4, 8, then 10 (ours)."""


@dataclass(frozen=True)
class Situation:
    """What the live sensor looks at. ``out_of_reach`` says in words that Blue Cherry cannot be read."""

    runs_under_way: int
    waiting_in_store: bool
    answer: Answer = field(default_factory=Answer)
    refusal: str = ""
    out_of_reach: str = ""


def decide(situation: Situation) -> str | None:
    """Why nothing is to be started; ``None`` starts a run."""
    if situation.runs_under_way:
        return "A run of live_sync is under way."
    if situation.refusal:
        return situation.refusal
    if situation.out_of_reach:
        return situation.out_of_reach
    if situation.waiting_in_store or situation.answer.news:
        return None
    return f"Blue Cherry has nothing new, and nothing waits to be sent or proved.{_asked(situation.answer)}"


def _asked(answer: Answer) -> str:
    """What has to be known of an answer that is not whole."""
    told = ""
    if answer.next_first:
        told = f" The time was enough for {', '.join(answer.answered)}; the next tick begins with {answer.next_first}."
    return f"{told} But not all could be asked: {answer.trouble}" if answer.trouble else told


class Memory(BaseModel):
    """What one tick of the live sensor tells the next, in its cursor. Nothing is lost with it: hints are then taken
    again, and Blue Cherry is asked at once.

    ``last_report`` of the hints that were taken; ``first`` is the resource to begin asking with; ``failures`` counts
    how often in a row Blue Cherry was out of reach, since ``failing_since``; it is not asked before ``asks_again_at``.
    """

    last_report: int = 0
    first: str = ""
    failures: int = 0
    failing_since: datetime | None = None
    asks_again_at: datetime | None = None

    @classmethod
    def read(cls, cursor: str | None) -> "Memory":
        try:
            return cls.model_validate_json(cursor or "{}")
        except ValidationError:
            return cls()

    def is_backing_off(self, now: datetime) -> bool:
        return self.asks_again_at is not None and now < self.asks_again_at

    def after(self, answer: Answer, now: datetime) -> "Memory":
        """What to remember when Blue Cherry was asked."""
        if not answer.is_out_of_reach:
            return Memory(last_report=self.last_report, first=answer.next_first)
        wait = min(_BACK_OFF * 2 ** min(self.failures, 10), _LONGEST_BACK_OFF)
        return Memory(
            last_report=self.last_report,
            first=answer.next_first,
            failures=self.failures + 1,
            failing_since=self.failing_since or now,
            asks_again_at=now + wait,
        )

    def told(self, trouble: str = "") -> str:
        """That Blue Cherry is out of reach; why, where this tick found it so for the first time."""
        if self.asks_again_at is None or self.failing_since is None:
            return ""
        again = f"it is asked again at {self.asks_again_at:%H:%M:%S} UTC."
        if trouble and self.failures == 1:
            return f"Blue Cherry could not be asked, {again} {trouble}"
        return f"Blue Cherry has been out of reach since {self.failing_since:%H:%M:%S} UTC; {again}"


@dg.sensor(
    job=live_sync,
    minimum_interval_seconds=load_profile().poll_s,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Starts live_sync for what is new in Blue Cherry, for what waits in the store, and for the orders and "
    "customers that a report of blue_cherry/updates names. While Blue Cherry is out of reach it asks ever more seldom.",
)
def live_sensor(
    context: dg.SensorEvaluationContext, blue_cherry: BlueCherry, store: Store, tenant: Tenant
) -> dg.RunRequest | dg.SkipReason:
    engine, now = store.engine, datetime.now(UTC)
    if orphans := fail_orphans(context.instance, engine, now):
        context.log.warning(f"Runs whose process is gone are marked as failed: {', '.join(orphans)}.")
    memory = Memory.read(context.cursor)
    hints = take_hints(context.instance, engine, memory.last_report)
    if hints.reports:
        context.log.info(f"Reports of updates: {hints.reports}; keys named: {hints.keys}; ignored: {hints.ignored}.")
    memory = memory.model_copy(update={"last_report": hints.last_report})
    under_way = runs_under_way(context.instance, live_sync.name)
    refusal = "" if under_way else _refusal(engine)
    waiting, answer, out_of_reach = False, Answer(), ""
    if not under_way and not refusal:
        waiting = is_live_work_waiting(engine, tenant.rules)
        if not memory.is_backing_off(now):
            answer = _ask(engine, blue_cherry, tenant.profile, memory.first, whether_it_answers=waiting)
            memory = memory.after(answer, now)
        out_of_reach = memory.told(answer.trouble)
    context.update_cursor(memory.model_dump_json(exclude_defaults=True))
    why_not = decide(Situation(under_way, waiting, answer, refusal, out_of_reach))
    if why_not:
        return dg.SkipReason(why_not)
    return dg.RunRequest(partition_key=change_day.get_last_partition_key(), run_config=run_config(only_new=True))


def _ask(
    engine: Engine, blue_cherry: BlueCherry, profile: TenantProfile, first: str, *, whether_it_answers: bool
) -> Answer:
    try:
        with blue_cherry.client(profile, patience=profile.ask_within_s) as client:
            return ask(engine, client, profile, first=first, whether_it_answers=whether_it_answers)
    except BlueCherryError as error:  # no client can be made of these settings
        return Answer(trouble=str(error))


@dg.sensor(
    job=bulk_delivery,
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Starts bulk_delivery where repairs, products, deep attributes or history wait to be sent; and where "
    "live records are to be sent or read back that no run of live_sync gets to because Blue Cherry cannot be read.",
)
def bulk_sensor(context: dg.SensorEvaluationContext, store: Store, tenant: Tenant) -> dg.RunRequest | dg.SkipReason:
    if runs_under_way(context.instance, bulk_delivery.name):
        return dg.SkipReason("A run of bulk_delivery is under way.")
    if refusal := _refusal(store.engine):
        return dg.SkipReason(refusal)
    is_left = _is_left_by_live_sync(context.instance, store.engine, tenant.rules)
    if not is_left and not outbox.is_any_due(store.engine, BULK):
        return dg.SkipReason("No repair, product, deep attribute or history waits to be sent.")
    return dg.RunRequest(run_config=run_config(only_new=False))


def _is_left_by_live_sync(instance: dg.DagsterInstance, engine: Engine, rules: Rules) -> bool:
    """Whether live records have been due for long, or anything is to be delivered and no ``live_sync`` gets as far:
    it is not under way, and has not succeeded lately."""
    if (outbox.longest_wait_s(engine, LIVE, terms=_terms(rules)) or 0) >= _STUCK_S:
        return True
    lately = dg.RunsFilter(
        job_name=live_sync.name,
        statuses=[dg.DagsterRunStatus.SUCCESS],
        updated_after=datetime.now(UTC) - timedelta(seconds=_STUCK_S),
    )
    return (
        is_live_delivery_waiting(engine, rules)
        and not runs_under_way(instance, live_sync.name)
        and not instance.get_runs_count(lately)
    )


@dg.sensor(
    job=merge_customers,
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Starts merge_customers where Ometria is to be asked for a merge, or to be looked at for one.",
)
def merge_sensor(context: dg.SensorEvaluationContext, store: Store, tenant: Tenant) -> dg.RunRequest | dg.SkipReason:
    if runs_under_way(context.instance, merge_customers.name):
        return dg.SkipReason("A run of merge_customers is under way.")
    if refusal := _refusal(store.engine):
        return dg.SkipReason(refusal)
    if not merges.is_any_due(store.engine, tenant.rules.account.read_back_until):
        return dg.SkipReason("No merge is due.")
    return dg.RunRequest()


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
    """Whether something is to be read again, assembled, mapped, sent in a live lane, or read back."""
    return (
        to_refresh.is_any_waiting(engine)
        or touched.count(engine, "order") > 0
        or touched.count(engine, "customer") > 0
        or bool(sales.unmapped(engine, 1))
        or is_live_delivery_waiting(engine, rules)
        or not sales.rules_are_applied(engine, rules.version)
    )


def is_live_delivery_waiting(engine: Engine, rules: Rules) -> bool:
    """Whether something is to be sent in a live lane, or read back."""
    terms = _terms(rules)
    return (
        bool(outbox.unproved_by_type(engine, LIVE if outbox.is_any_due(engine, BULK) else LANES))
        or outbox.is_any_due(engine, LIVE, terms=terms)
        or outbox.is_any_event_ready(engine, terms)
        or outbox.is_any_lost(engine)
        or outbox.is_any_contact_kept_back(engine, LIVE)
    )
