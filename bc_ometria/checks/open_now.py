"""Asset checks of what is open now: they turn green when the cause is mended, not when a partition is redone."""

from collections.abc import Sequence

import dagster as dg
import pandas as pd
from sqlalchemy import text

from bc_ometria.assets.mirror import MIRRORED
from bc_ometria.checks.metadata import about, sentence, shown_id, table
from bc_ometria.resources import Store, Tenant
from bc_ometria.rules import Rules
from bc_ometria.store import exceptions, mirror
from bc_ometria.store.schema import held_rows

RECORD_TYPES = {"contacts": "contact", "orders": "order", "order_events": "custom_event"}
"""What the records are called in the outbox that an asset's key names last."""


def _exceptions_check(
    asset: Sequence[str], name: str, codes: Sequence[str], description: str
) -> dg.AssetChecksDefinition:
    @dg.asset_check(asset=dg.AssetKey(asset), name=name, description=description)
    def check(store: Store, tenant: Tenant) -> dg.AssetCheckResult:
        record_type = RECORD_TYPES.get(asset[-1], "contact")  # that of a merge
        found = exceptions.open_now(store.engine, record_type, codes)
        blocked = exceptions.blocked_events(store.engine, record_type, codes)
        return _result(found, blocked, record_type, tenant.rules)

    return check


def _result(found: pd.DataFrame, blocked: pd.DataFrame, record_type: str, rules: Rules) -> dg.AssetCheckResult:
    """Red where a record is held, a warning where it goes all the same; what only waits is shown, and passes."""
    due, waiting = found[~found["is_waiting"]], found[found["is_waiting"]]
    held = any(rules.exceptions[code].severity == "hold" for code in set(due["code"]))
    metadata = about(due, blocked[blocked["record_id"].isin(due["record_id"])], record_type, rules)
    metadata["waiting"] = int(waiting["record_id"].nunique())
    words = "Nothing is open." if due.empty else sentence(due)
    if len(waiting):
        of_waiting = about(waiting, blocked[blocked["record_id"].isin(waiting["record_id"])], record_type, rules)
        metadata |= {f"waiting_{name}": of_waiting[name] for name in ("codes", "examples")}
        words = f"{words.rstrip('.')}. Not yet an exception: {sentence(waiting)}"
    return dg.AssetCheckResult(
        passed=due.empty,
        severity=dg.AssetCheckSeverity.ERROR if held else dg.AssetCheckSeverity.WARN,
        description=words,
        metadata=metadata,
    )


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
            dict(row._mapping) | {"example": shown_id(row.example, name in mirror.CUSTOMER_RESOURCES)} for row in rows
        ]
        held = sum(row["rows"] for row in found)
        return dg.AssetCheckResult(
            passed=not found,
            description=f"{held} fields of rows are malformed" if found else "Nothing is open.",
            metadata={"fields": held, "rules": table(found)} if found else {"fields": 0},
        )

    return check


checks = [
    *(_rows_check(name, resources) for name, resources in MIRRORED.items()),
    _exceptions_check(
        ["ometria", "orders"],
        "codes_are_mapped",
        ["unmapped_status", "unmapped_reason", "unknown_division", "unknown_warehouse", "unknown_order_type"],
        "Every status, reason, division, warehouse and order type is known to the rules.",
    ),
    _exceptions_check(
        ["ometria", "orders"],
        "headers_and_lines_are_together",
        ["incomplete_order", "repeated_header"],
        "Every order has one header, and lines that belong to it. A part that is still coming is shown as waiting.",
    ),
    _exceptions_check(
        ["ometria", "orders"],
        "claims_agree_with_evidence",
        ["claim_against_evidence", "evidence_apart"],
        "What the headers claim agrees with quantities and documents, and these with each other.",
    ),
    _exceptions_check(
        ["ometria", "orders"],
        "orders_are_still_there",
        ["order_vanished"],
        "No order that Ometria has was deleted in Blue Cherry. One that was counts as revenue no more.",
    ),
    _exceptions_check(
        ["ometria", "orders"],
        "attributes_are_there",
        ["missing_required_attribute", "missing_attribute"],
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
        ["missing_email", "missing_required_attribute", "missing_attribute"],
        "No contact lacks an attribute that attributes.yaml asks for.",
    ),
    _exceptions_check(
        ["ometria", "contacts"],
        "contacts_are_valid",
        ["invalid_field", "invalid_phone", "record_too_large", "merge_unclear"],
        "Every contact can be sent: its fields are valid, and it is clear who it is.",
    ),
    _exceptions_check(
        ["ometria", "contacts"],
        "opt_ins_are_the_last_word",
        ["opt_out_is_newer"],
        "Nobody who opted in in Blue Cherry has opted out at Ometria since.",
    ),
    _exceptions_check(
        ["ometria", "order_events"],
        "events_can_go",
        ["unmapped_reason", "unknown_warehouse", "invalid_field", "record_too_large"],
        "Every event can be sent: the rules know the codes that it would tell, and its fields are valid.",
    ),
    _exceptions_check(
        ["delivery", "merges"],
        "merges_are_done",
        ["merge_failed"],
        "Ometria merged every customer that it was asked to.",
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
    _exceptions_check(
        ["delivery", "order_events"],
        "events_were_in_time",
        ["event_too_late", "event_outcome_unknown", "rejected"],
        "No event was too old to start a journey when it could go, none was lost sight of, and none was refused.",
    ),
]
