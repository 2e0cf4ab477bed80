"""Asset check of merges that wait: for a survivor who is held, or for Ometria (P7, P19)."""

import dagster as dg

from bc_ometria.checks.metadata import age
from bc_ometria.resources import Store
from bc_ometria.store import merges

_LATE_H = 24.0
"""Ours: a merge waits for a survivor to be confirmed, and its turn is one in a minute."""


@dg.asset_check(
    asset=dg.AssetKey(["delivery", "merges"]),
    name="merges_do_not_wait",
    description="No customer that Blue Cherry merged has waited for longer than a day to be merged in Ometria.",
)
def merges_do_not_wait(store: Store) -> dg.AssetCheckResult:
    found = merges.open_now(store.engine)
    waiting = sum(found.by_state.values())
    longest = age(found.longest_h) if waiting else ""
    return dg.AssetCheckResult(
        passed=found.longest_h <= _LATE_H,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{waiting} merges are open, the oldest for {longest}." if waiting else "No merge is open.",
        metadata={"open": waiting, "longest_wait": longest, **found.by_state},
    )


checks = [merges_do_not_wait]
