"""Asset check of events on their way to the cliff: alerts while something can still be done about them."""

import dagster as dg
import pandas as pd
from sqlalchemy import Engine

from bc_ometria.checks.metadata import Cells, age, counted, table
from bc_ometria.delivery import pace
from bc_ometria.resources import Store, Tenant
from bc_ometria.store import order_events, stops

QUARTERS = ("less than a quarter", "a quarter", "half", "three quarters")
"""How much of its time an event has used: of that from when it happened until it can start no journey any more."""

FIRST_LOOKS = {
    "order not confirmed": "the checks of ometria/orders and delivery/orders say what keeps its order",
    "contact not confirmed": "the checks of ometria/contacts and delivery/contacts say what keeps its contact",
    "order held": "the exception of its order, which names the events that it blocks",
    "contact held": "the exception of its contact, which names the events that it blocks",
    "earlier event": "nothing: it goes after the events of its order that wait for something else",
    "stopped lane": "bc-ometria resume events, when the cause of the pause is gone",
    "reply": "nothing, unless it lasts: then see Runs, and whether Ometria answers",
    "pace": "nothing, or raise pace in ometria.yaml if the account allows it",
    "call": "see Runs and Automation: live_sync sends it with its next run",
}
"""What an event can wait for, and where to look first."""


def are_events_waiting(engine: Engine) -> bool:
    """Whether there is anything to check."""
    return order_events.are_waiting(engine)


@dg.asset_check(
    asset=dg.AssetKey(["delivery", "order_events"]),
    name="events_will_be_in_time",
    description="No event that waits has used a quarter of the time in which it can start a journey in Ometria. A "
    "failure from three quarters on, unless its order or contact is held for a reason of its own.",
)
def events_will_be_in_time(store: Store, tenant: Tenant) -> dg.AssetCheckResult:
    plan = pace.planned(store.engine, tenant.rules.account)
    with store.engine.connect() as connection:
        is_stopped = ("events", order_events.RECORD_TYPE) in stops.stopped(connection)
    return _result(_described(plan, is_stopped), plan)


def _described(plan: pace.Plan, is_stopped: bool) -> pd.DataFrame:
    """The events of the plan with ``age_h``, the ``quarter`` of their time that they are in, from 0 on, and
    ``waits_for`` in the words of ``FIRST_LOOKS``."""
    events, now = plan.events, plan.now
    used = (now - events["happened_at"]) / (events["enters_until"] - events["happened_at"])
    parents = {
        "order": "order not confirmed",
        "contact": "contact not confirmed",
        "held order": "order held",
        "held contact": "contact held",
    }
    waits_for = events["waits_for"].replace(parents).mask(events["is_tried"], "reply")
    of_delivery = pd.Series("pace", events.index).mask(events["goes_at"] <= now, "call")
    return events.assign(
        age_h=(now - events["happened_at"]).dt.total_seconds() / 3600,
        quarter=(4 * used).clip(0, 3).astype("int64"),
        waits_for=waits_for.mask(waits_for == "", "stopped lane" if is_stopped else of_delivery),
    )


def _result(events: pd.DataFrame, plan: pace.Plan) -> dg.AssetCheckResult:
    if events.empty:
        return dg.AssetCheckResult(passed=True, description="No event waits.", metadata={"events": 0})
    worst = int(events["quarter"].max())
    # What a held record keeps back has an exception of its own, and may stay: a contact without an address.
    worst_of_delivery = events.loc[~events["waits_for"].isin(["order held", "contact held"]), "quarter"].max()
    misses = int(plan.by_type["will_miss"].sum())
    said = [_used(events)] if worst else [f"{len(events):,} wait, none of them for a quarter of its time."]
    if worst:
        said.append(f"They wait for: {counted(events.loc[events['quarter'] > 0, 'waits_for'].value_counts().items())}.")
    if misses:
        said.append(f"{misses:,} will miss their journey at this pace.")
    return dg.AssetCheckResult(
        passed=worst == 0,
        severity=dg.AssetCheckSeverity.ERROR if worst_of_delivery == 3 else dg.AssetCheckSeverity.WARN,
        description=" ".join(said),
        metadata={
            "events": len(events),
            "age_of_oldest": dg.MetadataValue.text(age(events["age_h"].max())),
            "will_miss": misses,
            "quarters": table(_by_quarter(events)),
            "waits_for": table(_by_reason(events)),
            "plan": table(_planned(plan)),
        },
    )


def _used(events: pd.DataFrame) -> str:
    """``3 events have used three quarters of the time …, 12 half of it.``"""
    numbers = events["quarter"].value_counts()
    first, *others = (quarter for quarter in (3, 2, 1) if quarter in numbers)
    subject = "event has" if numbers[first] == 1 else "events have"
    more = "".join(f", {numbers[quarter]:,} {QUARTERS[quarter]} of it" for quarter in others)
    return f"{numbers[first]:,} {subject} used {QUARTERS[first]} of the time to start a journey{more}."


def _by_quarter(events: pd.DataFrame) -> list[Cells]:
    """One row per event type and quarter, what has least time left first."""
    least_time_first = events.sort_values(["quarter", "event_type"], ascending=[False, True])
    return [
        {
            "event type": str(group["event_type"].iloc[0]),
            "time used": QUARTERS[group["quarter"].iloc[0]],
            "events": len(group),
            "oldest": age(group["age_h"].max()),
            "can start a journey until": f"{group['enters_until'].min():%Y-%m-%d %H:%M} UTC",
            "waits for": counted(group["waits_for"].value_counts().items()),
        }
        for _, group in least_time_first.groupby(["quarter", "event_type"], sort=False)
    ]


def _by_reason(events: pd.DataFrame) -> list[Cells]:
    groups = sorted(events.groupby("waits_for"), key=lambda group: -group[1]["age_h"].max())
    return [
        {
            "waits for": str(reason),
            "events": len(group),
            "oldest": age(group["age_h"].max()),
            "first look": FIRST_LOOKS[str(reason)],
        }
        for reason, group in groups
    ]


def _planned(plan: pace.Plan) -> list[Cells]:
    numbers = plan.by_type.drop(columns="last_goes_at").rename(columns=lambda name: name.replace("_", " "))
    last = [f"{at:%Y-%m-%d %H:%M} UTC" if pd.notna(at) else "" for at in plan.by_type["last_goes_at"]]
    return numbers.assign(**{"last goes at": last}).to_dict("records")  # type: ignore[return-value]


checks = [events_will_be_in_time]
