"""Asset checks against reconciliation debt (P19): what is held may neither grow old nor grow dear."""

import dagster as dg
import pandas as pd

from bc_ometria.checks.metadata import Cells, age, money, table, values
from bc_ometria.checks.open_now import RECORD_TYPES
from bc_ometria.resources import Store, Tenant
from bc_ometria.rules import OpenExceptions, Rules
from bc_ometria.store import exceptions


def _ageing_check(records: str) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=dg.AssetKey(["ometria", records]),
        name="open_exceptions_are_young_and_small",
        description="No held record is older, and all together are not worth more, than thresholds.yaml allows. What "
        "may stay for good (owners.yaml) does not count.",
    )
    def check(store: Store, tenant: Tenant) -> dg.AssetCheckResult:
        holding = [code for code, rule in tenant.rules.exceptions.items() if rule.severity == "hold" and rule.ages]
        found = exceptions.open_now(store.engine, RECORD_TYPES[records], holding)
        return _result(found[~found["is_waiting"]], tenant.rules)

    return check


def _result(found: pd.DataFrame, rules: Rules) -> dg.AssetCheckResult:
    if found.empty:
        return dg.AssetCheckResult(passed=True, description="Nothing is held.", metadata={"records": 0})
    limits = rules.thresholds.open_exceptions
    failed = _over(found, limits.fail)
    too_much = failed or _over(found, limits.warn)
    facts = f"The oldest is {age(found['age_h'].max())} old, at stake {money(found)}"
    return dg.AssetCheckResult(
        passed=not too_much,
        severity=dg.AssetCheckSeverity.ERROR if failed else dg.AssetCheckSeverity.WARN,
        description=f"{facts}: {too_much}" if too_much else facts,
        metadata={
            "records": int(found["record_id"].nunique()),
            "value_at_stake": dg.MetadataValue.text(money(found)),
            "first_seen": dg.MetadataValue.timestamp(found["first_seen"].min().timestamp()),
            "age_of_oldest": dg.MetadataValue.text(age(found["age_h"].max())),
            "codes": table(_by_age(found, rules)),
        },
    )


def _over(found: pd.DataFrame, limit: OpenExceptions) -> str:
    """Which limits are exceeded, in words; blank where none is. Currencies are not added up."""
    dear = [currency for currency, amount in values(found).items() if amount > limit.value]
    return " and ".join(
        [
            *([f"older than {age(limit.age_h)}"] if found["age_h"].max() > limit.age_h else []),
            *(f"more than {limit.value:,.0f} {currency}" for currency in dear),
        ]
    )


def _by_age(found: pd.DataFrame, rules: Rules) -> list[Cells]:
    """One row per code, the oldest first."""
    groups = sorted(found.groupby("code"), key=lambda group: -group[1]["age_h"].max())
    return [
        {
            "code": str(code),
            "owner": rules.exceptions[str(code)].owner,
            "records": int(group["record_id"].nunique()),
            "oldest": age(group["age_h"].max()),
            "median age": age(group["age_h"].median()),
            "at stake": money(group),
        }
        for code, group in groups
    ]


checks = [_ageing_check(records) for records in ("contacts", "orders")]
