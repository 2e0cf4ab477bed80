"""``delivery/…``: what the outbox wants goes to Ometria, the most urgent first, and is read back.

Three steps of one way: live contacts go even where the orders of a run could not be read, live orders even where its
events could not be told; the last step sends whatever is due, bulk too, and waits for the proof.
"""

import time
from collections.abc import Callable
from math import inf

import dagster as dg
import numpy as np
import pandas as pd
from sqlalchemy import Engine

from bc_ometria.assets.unsubscribes import read_unsubscribes
from bc_ometria.automation.retention import mark_changed
from bc_ometria.checks.metadata import Cells, table
from bc_ometria.delivery.dispatch import Delivered, deliver
from bc_ometria.ometria.client import OmetriaClient
from bc_ometria.ometria.errors import AccessRefused, OmetriaError
from bc_ometria.resources import Ometria, Scope, Store, Tenant
from bc_ometria.store import unsubscribes
from bc_ometria.store.lanes import RECORD_TYPES

_BULK_S, _PROVE_S = 20.0, 20.0
"""How long a live run serves bulk lanes, and waits for Ometria to show what it accepted: the next one goes on, and
``bulk_delivery`` drains the rest."""

_REPORT_EVERY_S = 10.0  # each line of a log stays in Dagster's database


def _deliver(
    context: dg.AssetExecutionContext,
    store: Store,
    ometria: Ometria,
    tenant: Tenant,
    record_types: tuple[str, ...],
    *,
    bulk_for: float = 0,
    prove_for: float = 0,
) -> dg.MaterializeResult:
    with ometria.client(tenant.rules, store.engine) as client:
        _read_unsubscribes_first(context, store.engine, client)
        delivered = deliver(
            store.engine,
            client,
            tenant.rules,
            record_types=record_types,
            bulk_for=bulk_for,
            prove_for=prove_for,
            progress=_reporter(context.log.info),
        )
    if put_back := delivered.pushed.put_back.total():
        context.log.warning(f"{put_back} records were put back and go again by themselves.")
    for problem in sorted(delivered.pushed.problems | delivered.proved.problems):
        context.log.warning(problem)
    if delivered.pushed.calls or delivered.proved.confirmed:
        mark_changed(context)
    return dg.MaterializeResult(metadata=_metadata(delivered))


def _read_unsubscribes_first(context: dg.AssetExecutionContext, engine: Engine, client: OmetriaClient) -> None:
    """No opt-in goes on what was known before a rest (truth 5)."""
    if not unsubscribes.is_reading_old(engine):
        return
    try:
        read_unsubscribes(engine, client)
    except AccessRefused:
        raise
    except OmetriaError as error:
        context.log.warning(f"Ometria's unsubscribes could not be read: {error} Contacts that opt in wait.")


@dg.asset(
    key=["delivery", "contacts"],
    deps=[["ometria", "contacts"]],
    group_name="delivery",
    kinds={"ometria"},
    owners=["team:marketing"],
    description="Live contacts sent to Ometria, opt-outs first, and read back.",
)
def delivered_contacts(
    context: dg.AssetExecutionContext, store: Store, ometria: Ometria, tenant: Tenant
) -> dg.MaterializeResult:
    return _deliver(context, store, ometria, tenant, ("contact",))


@dg.asset(
    key=["delivery", "orders"],
    deps=[["ometria", "orders"], ["delivery", "contacts"]],
    group_name="delivery",
    kinds={"ometria"},
    owners=["team:ecommerce"],
    description="Live orders sent to Ometria, cancellations first, and read back.",
)
def delivered_orders(
    context: dg.AssetExecutionContext, store: Store, ometria: Ometria, tenant: Tenant
) -> dg.MaterializeResult:
    return _deliver(context, store, ometria, tenant, ("contact", "order"))


@dg.asset(
    key=["delivery", "order_events"],
    deps=[["ometria", "order_events"], ["delivery", "orders"], ["delivery", "contacts"]],
    group_name="delivery",
    kinds={"ometria"},
    owners=["team:marketing"],
    description="Custom events sent to Ometria, each after its order and contact are confirmed, at a pace that its "
    "journeys take. Ometria shows no events: accepted and not refused is what can be known. Whatever else is due goes "
    "here too, bulk behind all that is live, and is waited for until Ometria shows it.",
)
def delivered_order_events(
    context: dg.AssetExecutionContext, store: Store, ometria: Ometria, tenant: Tenant, scope: Scope
) -> dg.MaterializeResult:
    bulk_for, prove_for = (_BULK_S, _PROVE_S) if scope.only_new else (inf, 10 * _PROVE_S)
    return _deliver(context, store, ometria, tenant, RECORD_TYPES, bulk_for=bulk_for, prove_for=prove_for)


def _reporter(log: Callable[[str], None]) -> Callable[[Delivered], None]:
    """Says how far a delivery is, now and then."""
    said_at = -inf

    def report(delivered: Delivered) -> None:
        nonlocal said_at
        if time.monotonic() - said_at >= _REPORT_EVERY_S:
            said_at = time.monotonic()
            pushed, proved = delivered.pushed, delivered.proved
            log(
                f"{pushed.accepted.total():,} records accepted in {pushed.calls.total():,} calls, "
                f"{proved.confirmed.total():,} confirmed"
            )

    return report


def _metadata(delivered: Delivered) -> dict[str, dg.MetadataValue | int | float]:
    pushed, proved = delivered.pushed, delivered.proved
    accepted, calls = pushed.accepted.total(), pushed.calls.total()
    found: dict[str, dg.MetadataValue | int | float] = {
        "accepted": accepted,
        "calls": calls,
        "records_a_call": round(accepted / calls, 1) if calls else 0,
        "refused": pushed.refused.total() + proved.refused.total(),
        "put_back": pushed.put_back.total(),
        "confirmed": proved.confirmed.total(),
        "repaired": proved.repaired.total(),
        "drifted": proved.drifted.total(),
        "not_shown_yet": proved.open.total(),
        "events_too_late": delivered.too_late,
        "events_of_unknown_outcome": delivered.outcome_unknown,
    }
    if pushed.waited_s:
        for percent in (50, 95):
            waited = round(float(np.percentile(pushed.waited_s, percent)), 2)
            found[f"live_seconds_from_outbox_to_accepted_p{percent}"] = waited
    if delivered.plan is not None and len(delivered.plan.by_type):
        found["plan_of_events"] = table(_cells(delivered.plan.by_type))
    return found


def _cells(by_type: pd.DataFrame) -> list[Cells]:
    last = by_type["last_goes_at"].map(lambda at: "" if pd.isna(at) else f"{at:%Y-%m-%d %H:%M} UTC")
    return by_type.assign(last_goes_at=last).astype(object).to_dict("records")  # type: ignore[return-value]
