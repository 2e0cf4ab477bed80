"""Asset checks of attributes that go missing (P12): the share of records that have one, per division, over time."""

from collections.abc import Mapping
from datetime import timedelta

import dagster as dg
import pandas as pd
from sqlalchemy import Engine, Table, text

from bc_ometria.checks.metadata import Cells, shown_id, table
from bc_ometria.resources import Store, Tenant
from bc_ometria.rules import FillRateThresholds
from bc_ometria.store import mirror
from bc_ometria.store.schema import MIRROR

_EXAMPLES = 5

_DEFAULT_ADDRESS_HAS_COUNTRY = (
    f"EXISTS (SELECT FROM {MIRROR['addresses'].fullname} a WHERE a.customer = m.customer "
    "AND a.default_ok = 'Y' AND a.active_ok <> 'N' AND a.country <> '')"
)

ATTRIBUTES: dict[str, dict[str, str]] = {
    "customers": {
        "email": "m.email <> ''",
        "phone": "m.phone <> ''",
        "country": f"m.country <> '' OR {_DEFAULT_ADDRESS_HAS_COUNTRY}",
        "birth_date": "m.birth_date IS NOT NULL",
        "consent": "m.email_ok IN ('Y', 'N')",
    },
    "orders": {"email": "m.email <> ''", "phone": "m.phone <> ''"},
}
"""When a row ``m`` of the mirror has an attribute."""

_OF_ALL = {"customers": "m.erased_ok <> 'Y'", "orders": "true"}
"""The rows that count: an erased customer lacks everything on purpose."""


def fill_rates(engine: Engine, resource: str, thresholds: FillRateThresholds) -> pd.DataFrame:
    """How many rows of each division have each attribute, in the last days and in the weeks before them.

    By change stamp, and counted back from the newest one that was read: the tenant's clock. Columns: ``division``,
    ``attribute``, ``rows`` and ``filled`` of the last days, ``rows_before`` and ``filled_before``, ``examples`` (the
    newest orders or customers without it).
    """
    table_of, attributes = MIRROR[resource], ATTRIBUTES[resource]
    columns = ["division", "attribute", "rows", "filled", "rows_before", "filled_before", "examples"]
    newest = mirror.watermark(engine, resource)
    if newest is None:
        return pd.DataFrame(columns=columns)
    since = newest - timedelta(days=thresholds.days)
    with engine.connect() as connection:
        rows = connection.execute(
            text(_query(table_of, attributes, _OF_ALL[resource])),
            {"since": since, "before": since - timedelta(weeks=thresholds.weeks), "examples": _EXAMPLES},
        ).all()
    return pd.DataFrame([tuple(row) for row in rows], columns=columns)


def _query(table_of: Table, attributes: Mapping[str, str], of_all: str) -> str:
    pairs = ", ".join(f"('{name}', {is_there})" for name, is_there in attributes.items())
    reference = table_of.info["reference"]
    return f"""
        SELECT m.division, a.name,
            count(*) FILTER (WHERE m.last_mod > :since),
            count(*) FILTER (WHERE m.last_mod > :since AND a.is_there),
            count(*) FILTER (WHERE m.last_mod <= :since),
            count(*) FILTER (WHERE m.last_mod <= :since AND a.is_there),
            (array_agg(m.{reference} ORDER BY m.last_mod DESC)
                FILTER (WHERE m.last_mod > :since AND NOT a.is_there))[1:CAST(:examples AS integer)]
        FROM {table_of.fullname} m CROSS JOIN LATERAL (VALUES {pairs}) AS a (name, is_there)
        WHERE m.last_mod > :before AND {of_all}
        GROUP BY 1, 2 ORDER BY 1, 2
    """


def compared(rates: pd.DataFrame, thresholds: FillRateThresholds) -> pd.DataFrame:
    """The same in per cent: ``now``, ``before`` and ``fell``, by how many points; 0 where too few rows tell."""
    now = 100 * rates["filled"].astype(float) / rates["rows"].where(rates["rows"] > 0)
    before = 100 * rates["filled_before"].astype(float) / rates["rows_before"].where(rates["rows_before"] > 0)
    tells = (rates["rows"] >= thresholds.least) & (rates["rows_before"] > 0)
    return rates.assign(now=now, before=before, fell=(before - now).where(tells, 0.0).clip(lower=0))


def _fill_rates_check(records: str, resource: str) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=dg.AssetKey(["ometria", records]),
        name="fill_rates_hold",
        description="In no division the share of records with an attribute fell against that of the weeks before.",
    )
    def check(store: Store, tenant: Tenant) -> dg.AssetCheckResult:
        thresholds = tenant.rules.thresholds.fill_rates
        rates = compared(fill_rates(store.engine, resource, thresholds), thresholds)
        return _result(rates, thresholds, resource in mirror.CUSTOMER_RESOURCES)

    return check


def _result(rates: pd.DataFrame, thresholds: FillRateThresholds, of_customers: bool) -> dg.AssetCheckResult:
    fallen = rates[rates["fell"] >= thresholds.warn].sort_values("fell", ascending=False)
    failed = bool((fallen["fell"] >= thresholds.fail).any())
    metadata: dict[str, dg.MetadataValue] = {"fill_rates": table(_cells(rates))} if len(rates) else {}
    if len(fallen):
        examples = [", ".join(shown_id(key, of_customers) for key in keys or ()) for keys in fallen["examples"]]
        missing = (fallen["rows"] - fallen["filled"]).tolist()
        metadata["fallen"] = table(
            [
                cells | {"fell by": round(fell, 1), "rows without": without, "examples": shown}
                for cells, fell, without, shown in zip(
                    _cells(fallen), fallen["fell"].tolist(), missing, examples, strict=True
                )
            ]
        )
    return dg.AssetCheckResult(
        passed=fallen.empty,
        severity=dg.AssetCheckSeverity.ERROR if failed else dg.AssetCheckSeverity.WARN,
        description="; ".join(_sentences(fallen)) or "No fill rate fell.",
        metadata=metadata,
    )


def _cells(rates: pd.DataFrame) -> list[Cells]:
    return [
        {"division": division, "attribute": attribute, "now": _percent(now), "before": _percent(before), "rows": rows}
        for division, attribute, now, before, rows in rates[
            ["division", "attribute", "now", "before", "rows"]
        ].itertuples(index=False)
    ]


def _percent(share: float) -> str:
    return "no rows" if pd.isna(share) else f"{share:.1f} %"


def _sentences(fallen: pd.DataFrame) -> list[str]:
    return [
        f"{attribute} of division {division} fell from {before:.0f} % to {now:.0f} %"
        for division, attribute, now, before in fallen[["division", "attribute", "now", "before"]].itertuples(
            index=False
        )
    ]


checks = [_fill_rates_check("contacts", "customers"), _fill_rates_check("orders", "orders")]
