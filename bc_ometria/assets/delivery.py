"""``delivery/…``: what the outbox wants goes to Ometria, contacts before orders, orders before their events; contacts
and orders are read back."""

import time

import dagster as dg

from bc_ometria.delivery.late import hold_late
from bc_ometria.delivery.proof import Patience, read_back
from bc_ometria.delivery.push import Pushed, push_waiting
from bc_ometria.delivery.refusals import hold_refused
from bc_ometria.resources import Ometria, Store, Tenant
from bc_ometria.store import exceptions, order_events

_SECONDS_OF_A_RUN = 20.0  # how long one run waits for Ometria to show what it accepted


def _deliver(
    context: dg.AssetExecutionContext, store: Store, ometria: Ometria, tenant: Tenant, record_type: str
) -> dg.MaterializeResult:
    account = tenant.rules.account
    patience = Patience(account.read_back_after, _SECONDS_OF_A_RUN, account.read_back_until)

    def report(pushed: Pushed) -> None:
        context.log.info(f"{record_type}s: {pushed.accepted} accepted in {pushed.calls} calls")

    with ometria.client(tenant.rules) as client:
        pushed = push_waiting(store.engine, client, record_type, progress=report)
        refused = hold_refused(store.engine, client, record_type) if pushed.calls else 0
        proved = read_back(store.engine, client, record_type, account.collection, patience)
        refused += hold_refused(store.engine, client, record_type) if proved.open else 0
    if pushed.problem:
        context.log.warning(f"{pushed.put_back} records were put back and go again by themselves: {pushed.problem}")
    if proved.problem:
        context.log.warning(f"{proved.open} records are not proved yet and are read again: {proved.problem}")
    return dg.MaterializeResult(
        metadata={
            "accepted": pushed.accepted,
            "calls": pushed.calls,
            "records_a_call": round(pushed.accepted / pushed.calls, 1) if pushed.calls else 0,
            "refused": pushed.refused + refused,
            "put_back": pushed.put_back,
            "confirmed": proved.confirmed,
            "drifted": proved.drifted,
            "not_shown_yet": proved.open,
        }
    )


@dg.asset(
    key=["delivery", "contacts"],
    deps=[["ometria", "contacts"]],
    group_name="delivery",
    kinds={"ometria"},
    owners=["team:marketing"],
    description="Contacts sent to Ometria and read back.",
)
def delivered_contacts(
    context: dg.AssetExecutionContext, store: Store, ometria: Ometria, tenant: Tenant
) -> dg.MaterializeResult:
    return _deliver(context, store, ometria, tenant, "contact")


@dg.asset(
    key=["delivery", "orders"],
    deps=[["ometria", "orders"], ["delivery", "contacts"]],
    group_name="delivery",
    kinds={"ometria"},
    owners=["team:ecommerce"],
    description="Orders sent to Ometria, after the contacts, and read back.",
)
def delivered_orders(
    context: dg.AssetExecutionContext, store: Store, ometria: Ometria, tenant: Tenant
) -> dg.MaterializeResult:
    return _deliver(context, store, ometria, tenant, "order")


@dg.asset(
    key=["delivery", "order_events"],
    deps=[["ometria", "order_events"], ["delivery", "orders"], ["delivery", "contacts"]],
    group_name="delivery",
    kinds={"ometria"},
    owners=["team:marketing"],
    description="Custom events sent to Ometria, each after its order and contact are confirmed. Ometria shows no "
    "events, so they are not read back: accepted and not refused is what can be known.",
)
def delivered_order_events(
    context: dg.AssetExecutionContext, store: Store, ometria: Ometria, tenant: Tenant
) -> dg.MaterializeResult:
    account, record_type = tenant.rules.account, order_events.RECORD_TYPE

    def report(pushed: Pushed) -> None:
        context.log.info(f"events: {pushed.accepted} accepted in {pushed.calls} calls")

    late = hold_late(store.engine)
    with ometria.client(tenant.rules) as client:
        pushed = push_waiting(store.engine, client, record_type, progress=report)
        refused = 0
        if pushed.calls:
            time.sleep(account.read_back_after)
            refused = hold_refused(store.engine, client, record_type)
    accepted = order_events.accept(store.engine, account.read_back_after)
    with store.engine.begin() as connection:
        exceptions.close_mended(connection, record_type)
    if pushed.problem:
        context.log.warning(f"{pushed.put_back} events were put back and go again by themselves: {pushed.problem}")
    return dg.MaterializeResult(
        metadata={
            "accepted": accepted,
            "calls": pushed.calls,
            "refused": pushed.refused + refused,
            "put_back": pushed.put_back,
            "too_late": late,
        }
    )
