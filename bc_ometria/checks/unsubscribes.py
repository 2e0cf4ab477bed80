"""Asset check of what people opt out of at Ometria: is it known here, and does no opt-in wait for it in vain (P7)."""

import dagster as dg

from bc_ometria.checks.metadata import age
from bc_ometria.resources import Store
from bc_ometria.store import unsubscribes

_LATE_S = 3600
"""It is read every quarter of an hour (ours)."""


@dg.asset_check(
    asset=dg.AssetKey(["ometria", "unsubscribes"]),
    name="opt_outs_are_known",
    description="Ometria's unsubscribes were read within the last hour, and no opt-in waits longer than that for it.",
)
def opt_outs_are_known(store: Store) -> dg.AssetCheckResult:
    waiting = unsubscribes.waiting(store.engine)
    is_late = max(waiting.read_s_ago or 0, waiting.longest_s or 0) > _LATE_S
    read = "not yet" if waiting.read_s_ago is None else f"{age(waiting.read_s_ago / 3600)} ago"
    return dg.AssetCheckResult(
        passed=not is_late,
        severity=dg.AssetCheckSeverity.ERROR,
        description=f"Ometria's unsubscribes were last read {read}; {waiting.opt_ins} opt-ins wait for that.",
        metadata={
            "last_read": read,
            "opt_ins_waiting": waiting.opt_ins,
            "longest_wait": "" if waiting.longest_s is None else age(waiting.longest_s / 3600),
        },
    )


checks = [opt_outs_are_known]
