"""``delivery/merges``: the customers that Blue Cherry merged, merged in Ometria."""

import dagster as dg

from bc_ometria.delivery.budget import note_refusal
from bc_ometria.delivery.merges import Merged, merge_customers
from bc_ometria.ometria.errors import AccessRefused
from bc_ometria.resources import Ometria, Store, Tenant
from bc_ometria.store import merges


@dg.asset(
    key=["delivery", "merges"],
    deps=[["ometria", "contacts"], ["delivery", "contacts"]],
    group_name="merges",
    kinds={"ometria"},
    owners=["team:marketing"],
    description="Customers that Blue Cherry merged, merged in Ometria, up to five into one survivor a call, and one "
    "call a minute. A merge waits until Ometria shows the survivor as it should be, and is done when the merged "
    "contact is gone there.",
)
def merged_customers(
    context: dg.AssetExecutionContext, store: Store, ometria: Ometria, tenant: Tenant
) -> dg.MaterializeResult:
    def report(merged: Merged) -> None:
        context.log.info(f"{merged.asked} customers asked for in {merged.calls} calls, {merged.done} merged")

    engine, rules = store.engine, tenant.rules
    try:
        with ometria.client(rules, engine) as client:
            merged = merge_customers(engine, client, rules.account, progress=report)
    except AccessRefused as error:
        note_refusal(engine, str(error))
        raise
    for problem in sorted(merged.problems):
        context.log.warning(problem)
    still_open = merges.open_now(engine).by_state
    gaps = "with gaps: some merges came to nothing" if still_open.get("failed") else "complete"
    if still_open.get("failed"):
        context.instance.add_run_tags(context.run.run_id, {"ended": "with gaps"})
    return dg.MaterializeResult(
        metadata={
            "calls": merged.calls,
            "customers_asked_for": merged.asked,
            "customers_merged": merged.done,
            "customers_failed": merged.failed,
            **{f"still_{state}": number for state, number in still_open.items()},
            "ended": gaps,
        }
    )
