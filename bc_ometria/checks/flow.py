"""Asset checks of controlled flow (P6): what the guard has stopped, and what a person has paused."""

from collections import Counter

import dagster as dg
import pandas as pd

from bc_ometria.checks.metadata import Cells, age, counted, table
from bc_ometria.checks.open_now import RECORD_TYPES
from bc_ometria.resources import Store
from bc_ometria.store import stops

LANES_OF = {
    "contacts": ("opt_outs", "live", "repairs", "attributes", "history"),
    "orders": ("cancellations", "live", "repairs", "products", "history"),
    "order_events": ("events",),
}
"""The lanes whose pauses an asset shows: those that its records go by. Products have no asset of their own yet."""


def _proportion_check(records: str) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=dg.AssetKey(["delivery", records]),
        name="changes_are_in_proportion",
        description="The guard has stopped no lane because too much would change at once. What it stopped waits, "
        "nothing of it was sent, and it goes when a person approves.",
    )
    def check(store: Store) -> dg.AssetCheckResult:
        found = stops.open_stops(store.engine)
        found = found[(found["cause"] != stops.PAUSED) & (found["record_type"] == RECORD_TYPES[records])]
        if found.empty:
            return dg.AssetCheckResult(
                passed=True, description="The guard has stopped nothing.", metadata={"records": 0}
            )
        open_stops = found.to_dict("records")
        said = [f"Stop {stop['id']} of lane {stop['lane']}: {stop['detail']['what']}." for stop in open_stops]
        ids = " ".join(str(stop["id"]) for stop in open_stops)
        return dg.AssetCheckResult(
            passed=False,
            severity=dg.AssetCheckSeverity.ERROR,
            description=f"{' '.join(said)} Nothing of it was sent. `bc-ometria approve {ids}` or the job `approve` "
            "lets it go; what is a mistake is mended in Blue Cherry.",
            metadata={
                "records": int(found["records"].sum()),
                "revenue_that_would_go": _revenue(found),
                "stops": table([_row(stop) for stop in open_stops]),
            },
        )

    return check


def _revenue(found: pd.DataFrame) -> dg.MetadataValue:
    total: Counter[str] = Counter()
    for detail in found["detail"]:
        total.update(detail.get("revenue", {}))
    return dg.MetadataValue.text(", ".join(f"{amount:,.2f} {currency}" for currency, amount in total.items()) or "none")


def _row(stop: dict) -> Cells:
    detail = stop["detail"]
    return {
        "stop": stop["id"],
        "lane": stop["lane"],
        "cause": stop["cause"],
        "records": stop["records"],
        "waiting in the lane": stop["waiting"],
        "since": f"{stop['stopped_at']:%Y-%m-%d %H:%M}",
        "what": detail["what"],
        "would become": counted((detail.get("statuses") or detail.get("consents") or {}).items()),
        "examples": ", ".join(detail.get("examples", ())),
        "to let it go": f"bc-ometria approve {stop['id']}",
    }


def _flow_check(records: str) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=dg.AssetKey(["delivery", records]),
        name="lanes_flow",
        description="No person has paused a lane that these records go by.",
    )
    def check(store: Store) -> dg.AssetCheckResult:
        found = stops.open_stops(store.engine)
        found = found[
            (found["cause"] == stops.PAUSED)
            & found["lane"].isin(LANES_OF[records])
            & found["record_type"].isin(["", RECORD_TYPES[records]])
        ]
        said = [
            f"Lane {lane} has been paused for {age(hours)}, and {waiting:,} records wait in it; "
            f"`bc-ometria resume {lane}` lets them go."
            for lane, hours, waiting in zip(found["lane"], found["age_h"], found["waiting"], strict=True)
        ]
        return dg.AssetCheckResult(
            passed=not said,
            severity=dg.AssetCheckSeverity.WARN,
            description=" ".join(said) or "No lane is paused.",
            metadata={"paused_lanes": len(said), "records_waiting": int(found["waiting"].sum())},
        )

    return check


checks = [
    *(_proportion_check(records) for records in ("contacts", "orders")),
    *(_flow_check(records) for records in LANES_OF),
]
