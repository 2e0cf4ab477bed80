"""Asset checks of what is open now: they turn green when the cause is mended, not when a partition is redone."""

from collections.abc import Sequence

import dagster as dg
import pandas as pd
from sqlalchemy import text

from bc_ometria.assets.mirror import MIRRORED
from bc_ometria.resources import Store, Tenant
from bc_ometria.rules import Rules
from bc_ometria.store import exceptions, mirror
from bc_ometria.store.schema import held_rows

_EXAMPLES = 10
_CODES = 50

Cells = dict[str, str | int]
"""A row of a table in the UI."""


def _exceptions_check(
    asset: Sequence[str], name: str, codes: Sequence[str], description: str
) -> dg.AssetChecksDefinition:
    @dg.asset_check(asset=dg.AssetKey(asset), name=name, description=description)
    def check(store: Store, tenant: Tenant) -> dg.AssetCheckResult:
        record_type = {"contacts": "contact", "orders": "order"}[asset[-1]]
        return _result(exceptions.open_now(store.engine, record_type, codes), record_type, tenant.rules)

    return check


def _result(found: pd.DataFrame, record_type: str, rules: Rules) -> dg.AssetCheckResult:
    """Red where a record is held, a warning where it goes all the same, with the codes and what is at stake."""
    held = any(rules.exceptions[code].severity == "hold" for code in set(found["code"]))
    metadata: dict[str, dg.MetadataValue | int] = {"records": int(found["record_id"].nunique())}
    if len(found):
        metadata |= {
            "value_at_stake": dg.MetadataValue.text(_money(found)),
            "first_seen": dg.MetadataValue.timestamp(found["first_seen"].min().timestamp()),
            "codes": _table(_by_code(found, rules)),
            "examples": _table(_examples(found, record_type)),
        }
    return dg.AssetCheckResult(
        passed=found.empty,
        severity=dg.AssetCheckSeverity.ERROR if held else dg.AssetCheckSeverity.WARN,
        description=_sentence(found),
        metadata=metadata,
    )


def _sentence(found: pd.DataFrame) -> str:
    if found.empty:
        return "Nothing is open."
    counted = found.groupby("code")["record_id"].nunique().sort_values(ascending=False)
    what = ", ".join(f"{number} × {code}" for code, number in counted.items())
    return f"{what}; at stake {_money(found)}"


def _money(found: pd.DataFrame) -> str:
    """Sums per currency over records, each counted once."""
    once = found.drop_duplicates("record_id")
    sums = once[once["currency"] != ""].groupby("currency")["value"].sum()
    return ", ".join(f"{amount / 100:,.2f} {currency}" for currency, amount in sums.items()) or "no order value"


def _by_code(found: pd.DataFrame, rules: Rules) -> list[Cells]:
    rows: list[Cells] = []
    counted: pd.DataFrame = found.groupby(["code", "field", "detail"], as_index=False).agg({"record_id": "nunique"})
    for code, field, detail, number in (
        counted.sort_values("record_id", ascending=False).head(_CODES).to_numpy().tolist()
    ):
        rule = rules.exceptions[code]
        group = found[(found["code"] == code) & (found["field"] == field) & (found["detail"] == detail)]
        rows.append(
            {
                "code": code,
                "field": field,
                "detail": detail,
                "records": number,
                "at stake": _money(group),
                "meaning": rule.meaning,
                "owner": rule.owner,
                "first action": rule.action,
            }
        )
    return rows


def _examples(found: pd.DataFrame, record_type: str) -> list[Cells]:
    """At most ten; orders by their number, customers by the end of their code."""
    shown = found.drop_duplicates("record_id").head(_EXAMPLES)
    ids = [_shown_id(record_id, record_type == "contact") for record_id in shown["record_id"]]
    cells = shown.assign(record=ids, **{"first seen": shown["first_seen"].map(lambda at: f"{at:%Y-%m-%d %H:%M}")})
    return cells[["record", "division", "code", "detail", "first seen"]].to_dict("records")  # type: ignore[return-value]


def _shown_id(reference: str, is_customer: bool) -> str:
    """An order's number, which is nothing personal; of a customer's code its end."""
    return f"…{reference[-4:]}" if is_customer else reference


def _table(rows: list[Cells]) -> dg.TableMetadataValue:
    return dg.MetadataValue.table([dg.TableRecord(dict(row)) for row in rows])


def _rows_check(name: str, resources: Sequence[str]) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=dg.AssetKey(["blue_cherry", name]),
        name="rows_are_well_formed",
        description="No row of Blue Cherry is kept back because a field holds what it may not hold.",
    )
    def check(store: Store) -> dg.AssetCheckResult:
        with store.engine.connect() as connection:
            rows = connection.execute(
                text(
                    f"SELECT resource, field, rule, count(*) AS rows, min(reference) AS example, "
                    f"min(masked) AS value FROM {held_rows.fullname} WHERE resource = ANY(:resources) "
                    "GROUP BY 1, 2, 3 ORDER BY 4 DESC LIMIT 50"
                ),
                {"resources": list(resources)},
            ).all()
        found = [
            dict(row._mapping) | {"example": _shown_id(row.example, name in mirror.CUSTOMER_RESOURCES)} for row in rows
        ]
        held = sum(row["rows"] for row in found)
        return dg.AssetCheckResult(
            passed=not found,
            description=f"{held} fields of rows are malformed" if found else "Nothing is open.",
            metadata={"fields": held, "rules": _table(found)} if found else {"fields": 0},
        )

    return check


checks = [
    *(_rows_check(name, resources) for name, resources in MIRRORED.items()),
    _exceptions_check(
        ["ometria", "orders"],
        "codes_are_mapped",
        ["unmapped_status", "unknown_division", "unknown_order_type"],
        "Every status, division and order type is known to the rules.",
    ),
    _exceptions_check(
        ["ometria", "orders"],
        "headers_and_lines_are_together",
        ["header_without_lines", "lines_without_header", "repeated_header"],
        "Every order has one header, and lines that belong to it.",
    ),
    _exceptions_check(
        ["ometria", "orders"],
        "attributes_are_there",
        ["missing_attribute", "missing_required_attribute"],
        "No order lacks an attribute that attributes.yaml asks for.",
    ),
    _exceptions_check(
        ["ometria", "orders"],
        "orders_are_valid",
        ["invalid_field", "unexpected_currency", "totals_differ", "record_too_large", "reduced_lines"],
        "Every order can be sent: its fields are valid, its totals add up, and Ometria takes its size.",
    ),
    _exceptions_check(
        ["ometria", "contacts"],
        "attributes_are_there",
        ["missing_attribute", "missing_required_attribute"],
        "No contact lacks an attribute that attributes.yaml asks for.",
    ),
    _exceptions_check(
        ["ometria", "contacts"],
        "contacts_are_valid",
        ["invalid_field", "invalid_phone", "record_too_large"],
        "Every contact can be sent: its fields are valid.",
    ),
    *(
        _exceptions_check(
            ["delivery", records],
            "ometria_has_what_was_sent",
            ["rejected", "drift"],
            "Nothing that was sent was refused, or reads differently in Ometria.",
        )
        for records in ("contacts", "orders")
    ),
]
