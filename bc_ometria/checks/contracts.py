"""What must hold of an order and of a contact before it may go to Ometria, as pandera schemas.

The error of each check is the exception code that its failure opens (``rules/owners.yaml``).
"""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pandera.pandas as pa

from bc_ometria.rules import Rules

FINDING = ["code", "record_id", "field", "detail", "division", "value", "currency"]
"""Columns of a finding, as ``store.exceptions`` takes them; ``value`` in minor units."""

STRUCTURE = pa.DataFrameSchema(
    {
        "header_count": pa.Column(
            checks=[pa.Check.ge(1, error="incomplete_order"), pa.Check.le(1, error="repeated_header")]
        ),
        "line_count": pa.Column(checks=pa.Check.ge(1, error="incomplete_order")),
        "stray_lines": pa.Column(checks=pa.Check.eq(0, error="incomplete_order")),
    }
)
"""One header with lines, and no line that points to another header."""


def contents(rules: Rules) -> pa.DataFrameSchema:
    """What a whole order must say: codes that the rules know, the division's currency, totals that add up, and a
    status that its quantities and documents bear out."""
    attributes = rules.attributes.orders
    return pa.DataFrameSchema(
        {
            "status": pa.Column(checks=_filled("unmapped_status")),
            "store": pa.Column(checks=_filled("unknown_division")),
            "channel": pa.Column(checks=_filled("unknown_order_type")),
            "unknown_location": pa.Column(checks=pa.Check.eq("", error="unknown_warehouse")),
            "unmapped_hold": pa.Column(checks=pa.Check.eq("", error="unmapped_reason")),
            "unmapped_cancel": pa.Column(checks=pa.Check.eq("", error="unmapped_reason")),
            "unmapped_return": pa.Column(checks=pa.Check.eq("", error="unmapped_reason")),
            "claim_against_evidence": pa.Column(checks=pa.Check.eq(False, error="claim_against_evidence")),
            "evidence_apart": pa.Column(checks=pa.Check.eq(False, error="evidence_apart")),
            "totals_apart": pa.Column(checks=pa.Check.eq(0, error="totals_differ")),
            "identity": pa.Column(checks=_filled(_lack(attributes.identity))),
            "email": pa.Column(checks=_filled(_lack(attributes.email))),
        },
        checks=pa.Check(
            lambda frame: (frame["currency"] == frame["store_currency"]) | (frame["store_currency"] == ""),
            error="unexpected_currency",
        ),
    )


def contact(rules: Rules) -> pa.DataFrameSchema:
    """The attributes that a contact should have, an opt-in that is newer than any opt-out, and a merge that ends
    somewhere."""
    attributes = rules.attributes.contacts
    return pa.DataFrameSchema(
        {
            "email": pa.Column(checks=_filled("missing_email" if attributes.email == "hold" else "missing_attribute")),
            "phone": pa.Column(checks=_filled(_lack(attributes.phone))),
            "country": pa.Column(checks=_filled(_lack(attributes.country))),
            "consent": pa.Column(checks=_filled(_lack(attributes.consent))),
            "newer_opt_out": pa.Column(checks=pa.Check.eq("", error="opt_out_is_newer")),
            "unclear_merge": pa.Column(checks=pa.Check.eq("", error="merge_unclear")),
        }
    )


def order_findings(decisions: pd.DataFrame, held_rows: pd.DataFrame, rules: Rules) -> pd.DataFrame:
    """What is wrong with each order of ``mapping.orders.decide``, in the columns ``FINDING``.

    ``held_rows`` are the malformed rows of the mirror (``reference`` is the order's number). An order with
    one is not also called incomplete, and an incomplete one is not looked into further.
    """
    orders = decisions[decisions["excluded"] == ""].set_index("ord_num", drop=False)
    malformed = _malformed(held_rows, orders)
    sound = orders[~orders.index.isin(malformed["record_id"])]
    structural = _findings(STRUCTURE, sound, _order_detail).drop_duplicates(["code", "record_id"]).assign(field="")
    whole = sound[~sound.index.isin(structural["record_id"])]
    return pd.concat([malformed, structural, _findings(contents(rules), whole, _order_detail)], ignore_index=True)


def contact_findings(decisions: pd.DataFrame, held_rows: pd.DataFrame, rules: Rules) -> pd.DataFrame:
    """What is wrong with each customer of ``mapping.contacts.decide``, in the columns ``FINDING``.

    One with a malformed row is not looked into further.
    """
    wanted = decisions[decisions["excluded"] == ""].assign(value=0, currency="").set_index("customer", drop=False)
    malformed = _malformed(held_rows, wanted)
    contacts = wanted[~wanted.index.isin(malformed["record_id"])]
    unwritable = contacts[(contacts["written_phone"] != "") & (contacts["phone"] == "")]
    missing = _findings(contact(rules), contacts, _contact_detail)
    missing = missing[(missing["field"] != "phone") | ~missing["record_id"].isin(unwritable.index)]
    return pd.concat(
        [malformed, missing, _same("invalid_phone", "phone", unwritable)],
        ignore_index=True,
    )


def field_findings(
    faults: list[tuple[str, str, str]], decisions: pd.DataFrame, code: str = "invalid_field"
) -> pd.DataFrame:
    """Findings about single fields of payloads: each fault is record id, field and rule in plain words.

    ``decisions`` is indexed by record id and tells division, value and currency.
    """
    rows = [(code, record_id, field, rule) for record_id, field, rule in faults]
    found = pd.DataFrame(rows, columns=["code", "record_id", "field", "detail"], dtype="str")
    return _with_stake(found, decisions)


def holds(findings: pd.DataFrame, rules: Rules) -> pd.Series:
    """The first code that holds each record back: a series of codes by record id, without those that go."""
    reported = [code for code, rule in rules.exceptions.items() if rule.severity == "report"]
    holding = findings[~findings["code"].isin(reported)]
    return holding.drop_duplicates("record_id").set_index("record_id")["code"]


_BLUE_CHERRY_NAMES = {
    "status": "ord_status",
    "store": "division",
    "channel": "ord_type",
    "unknown_location": "location",
    "unmapped_hold": "hold_code",
    "unmapped_cancel": "cancel_code",
    "unmapped_return": "reason_code",
    "claim_against_evidence": "ord_status",
    "evidence_apart": "order_stages",
    "newer_opt_out": "consent_date",
    "unclear_merge": "merged_into",
}


def _filled(code: str) -> pa.Check:
    return pa.Check.ne("", error=code)


def _lack(severity: str) -> str:
    return "missing_required_attribute" if severity == "hold" else "missing_attribute"


def _findings(
    schema: pa.DataFrameSchema, frame: pd.DataFrame, detail: Callable[[str, str, pd.Series], str]
) -> pd.DataFrame:
    """The failures of a schema, one row per record, check and column; ``frame`` is indexed by record id."""
    if frame.empty:
        return _none()
    try:
        schema.validate(frame, lazy=True)
    except pa.errors.SchemaErrors as errors:
        failures = errors.failure_cases
        unexpected = failures[
            ~failures["schema_context"].isin(["Column", "DataFrameSchema"]) | failures["index"].isna()
        ]
        if len(unexpected):
            raise
        found = failures.rename(columns={"check": "code", "index": "record_id", "column": "field"})
        found.loc[found["schema_context"] == "DataFrameSchema", "field"] = "currency"
        found["field"] = found["field"].replace(_BLUE_CHERRY_NAMES)
        found = found.drop_duplicates(["code", "record_id", "field"])
        stated = frame.loc[found["record_id"]]
        found["detail"] = [
            detail(code, field, row)
            for code, field, (_, row) in zip(found["code"], found["field"], stated.iterrows(), strict=True)
        ]
        return _with_stake(found[["code", "record_id", "field", "detail"]], frame)
    return _none()


def _order_detail(code: str, field: str, order: pd.Series) -> str:
    """The code or the sums to blame; nothing personal."""
    lines = order["line_count"] + order["stray_lines"]
    added_up = order["value"] - order["totals_apart"]
    unmapped = {name: order[column] for column, name in _BLUE_CHERRY_NAMES.items() if column.startswith("unmapped_")}
    shown = {
        "unmapped_status": order["ord_status"],
        "unmapped_reason": _short(unmapped.get(field, "")),
        "unknown_warehouse": order["unknown_location"],
        "claim_against_evidence": order["detail"],
        "evidence_apart": order["detail"],
        "unknown_division": order["division"],
        "unknown_order_type": _short(order["ord_type"]),
        "unexpected_currency": f"{order['currency']} instead of {order['store_currency']}",
        "totals_differ": f"header {order['value'] / 100:.2f}, adds up to {added_up / 100:.2f}",
        "incomplete_order": f"{lines} lines, no header of theirs" if lines else "a header, no line",
        "repeated_header": f"{order['header_count']} headers",
    }
    return str(shown.get(code, ""))


def _contact_detail(code: str, field: str, contact: pd.Series) -> str:
    shown = {"opt_out_is_newer": contact["newer_opt_out"], "merge_unclear": contact["unclear_merge"]}
    return str(shown.get(code, ""))


def _short(code: str) -> str:
    """A code as it is; of a longer text only its length, for a shifted column may have put a person here."""
    return code if len(code) <= 4 else f"a text of {len(code)} characters"


def _malformed(held_rows: pd.DataFrame, records: pd.DataFrame) -> pd.DataFrame:
    """Findings about the malformed rows of some records."""
    of_records = held_rows[held_rows["reference"].isin(records.index)]
    found = pd.DataFrame(
        {
            "code": "invalid_field",
            "record_id": of_records["reference"],
            "field": of_records["resource"] + "." + of_records["field"],
            "detail": of_records["rule"] + " (" + of_records["masked"] + ")",
        }
    )
    return _with_stake(found, records)


def _same(code: str, field: str, records: pd.DataFrame) -> pd.DataFrame:
    found = pd.DataFrame({"code": code, "record_id": records.index.to_numpy(), "field": field, "detail": ""})
    return _with_stake(found, records)


def _with_stake(found: pd.DataFrame, records: pd.DataFrame) -> pd.DataFrame:
    stake = records.loc[found["record_id"], ["division", "value", "currency"]]
    return found.assign(**{name: stake[name].to_numpy() for name in stake.columns})[FINDING]


def _none() -> pd.DataFrame:
    text = {name: pd.Series(dtype="str") for name in FINDING}
    return pd.DataFrame(text | {"value": pd.Series(dtype=np.int64)})[FINDING]
