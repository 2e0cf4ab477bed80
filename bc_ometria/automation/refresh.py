"""A person has orders and customers read again now, from Dagster's launchpad."""

import dagster as dg
from pydantic import Field

from bc_ometria.assets.refresh import NotAKey
from bc_ometria.assets.refresh import refresh as refresh_now
from bc_ometria.blue_cherry.errors import BlueCherryError
from bc_ometria.checks.metadata import Cells, shown_id, table
from bc_ometria.resources import BlueCherry, Ometria, Store, Tenant


class Named(dg.Config):
    orders: list[str] = Field(default=[], description="Order numbers as Blue Cherry has them, zeros included.")
    customers: list[str] = Field(default=[], description="Customer codes likewise. They stay in the run's config.")


@dg.op(description="Read the named orders and customers whole from Blue Cherry, and take them into Ometria now.")
def refresh_named(
    context: dg.OpExecutionContext,
    config: Named,
    blue_cherry: BlueCherry,
    ometria: Ometria,
    store: Store,
    tenant: Tenant,
) -> None:
    if not config.orders and not config.customers:
        raise dg.Failure("Name at least one order or customer.", allow_retries=False)
    rules, profile = tenant.rules, tenant.profile
    try:
        with blue_cherry.client(profile) as source, ometria.client(rules, store.engine) as account:
            found = refresh_now(
                store.engine, source, account, rules, profile, orders=config.orders, customers=config.customers
            )
    except (NotAKey, BlueCherryError) as error:
        raise dg.Failure(str(error), allow_retries=False) from None
    rows: list[Cells] = [
        {"record": shown_id(each.key, each.kind == "customer"), "kind": each.kind, "outcome": each.outcome}
        for each in found
    ]
    for row in rows:
        context.log.info(f"{row['kind']} {row['record']}: {row['outcome']}")
    context.add_output_metadata({"records": len(rows), "outcomes": table(rows)})


@dg.job(
    executor_def=dg.in_process_executor,
    description="Please update this one: read the named orders and customers again from Blue Cherry and take them into "
    "Ometria now, beside live_sync. The same as `bc-ometria refresh ORDER…`.",
    tags={"dagster/max_runtime": 600},
)
def refresh() -> None:
    refresh_named()
