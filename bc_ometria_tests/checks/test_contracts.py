"""Each contract opens its own code on the bad record and on no other (P1, P13, Q2, Q3)."""

from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bc_ometria.checks.contracts import (
    FINDING,
    contact_findings,
    contents,
    field_findings,
    holds,
    order_findings,
)
from bc_ometria.mapping import contacts
from bc_ometria.mapping.assemble import assemble
from bc_ometria.ometria.payloads import violations
from bc_ometria.rules import Rules
from bc_ometria_tests.mapping import examples
from bc_ometria_tests.mapping.examples import (
    NOON,
    ORDER_PARTS,
    TIME_ZONE,
    OptOut,
    Row,
    address,
    amounts,
    customer,
    frame,
    header,
    line,
    mirror,
    stage,
    unsubscribes,
)

HELD = ["resource", "row_key", "field", "reference", "rule", "masked"]
NO_HELD_ROWS = pd.DataFrame(columns=HELD, dtype="str")

PERSONAL = ("canary@example.com", "020 7946 0999", "Canary", "CANARYSURNAME")


def malformed(reference: str, resource: str = "orders") -> pd.DataFrame:
    row = (resource, "10", "ord_total", reference, "is not an amount with at most two decimals", "99.9.9")
    return pd.DataFrame([row], columns=HELD, dtype="str")


# ── orders ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def good(number: int) -> dict[str, list[Row]]:
    """An order that nothing is wrong with."""
    name = f"W{number}"
    lines = [line(pkey=number * 10 + at, fkey=number, ord_num=name, line_num=at) for at in (1, 2)]
    head = header(pkey=number, ord_num=name, **amounts(lines))
    return {"orders": [head], "order_lines": lines, "order_stages": []}


def bad(**changes: Any) -> dict[str, list[Row]]:
    rows = good(2)
    rows["orders"][0] |= changes
    return rows


def _without(part: str) -> dict[str, list[Row]]:
    return good(2) | {part: []}


def _stray() -> dict[str, list[Row]]:
    rows = good(2)
    rows["order_lines"].append(line(pkey=29, fkey=99, ord_num="W2", line_num=3))
    return rows


def _twice() -> dict[str, list[Row]]:
    rows = good(2)
    rows["orders"].append(rows["orders"][0] | {"pkey": 200, "last_mod": "2026-11-23 11:00:00"})
    return rows


def _located(location: str) -> dict[str, list[Row]]:
    rows = good(2)
    rows["order_lines"][1]["location"] = location
    return rows


_CLAIM = "ord_status O claims placed, evidence dispatched: ordered 2, dispatched 2"

BAD_ORDERS: dict[str, tuple[dict[str, list[Row]], list[tuple[str, str, str]]]] = {
    "unmapped status": (bad(ord_status="Z"), [("unmapped_status", "ord_status", "Z")]),
    "blank status": (bad(ord_status=""), [("unmapped_status", "ord_status", "")]),
    "unknown division": (bad(division="999"), [("unknown_division", "division", "999")]),
    "unknown type": (bad(ord_type="Q"), [("unknown_order_type", "ord_type", "Q")]),
    "currency": (bad(currency="USD"), [("unexpected_currency", "currency", "USD instead of GBP")]),
    "totals": (
        bad(sub_total=2003, ord_total=2003),
        [("totals_differ", "totals_apart", "header 20.03, adds up to 20.00")],
    ),
    "warehouse": (_located("0099"), [("unknown_warehouse", "location", "0099")]),
    "hold code": (bad(ord_status="H", hold_code="ZZ"), [("unmapped_reason", "hold_code", "ZZ")]),
    "claim": (
        good(2) | {"order_stages": [stage(fkey=20 + at, pkey=at, ord_num="W2", rec_type="IN") for at in (1, 2)]},
        [("claim_against_evidence", "ord_status", _CLAIM)],
    ),
    "evidence": (
        good(2) | {"order_stages": [stage(fkey=21, ord_num="W2", rec_type="OP", quantity=2)]},
        [("evidence_apart", "order_stages", "line 1, ordered 1: OP 2")],
    ),
    "e-mail": (bad(email=""), [("missing_attribute", "email", "")]),
    "nobody": (
        bad(email="", customer=""),
        [("missing_required_attribute", "identity", ""), ("missing_attribute", "email", "")],
    ),
    "two things": (
        bad(ord_status="Z", ord_type="Q"),
        [("unmapped_status", "ord_status", "Z"), ("unknown_order_type", "ord_type", "Q")],
    ),
    "no lines": (_without("order_lines"), [("incomplete_order", "", "a header, no line")]),
    "stray line": (_stray(), [("incomplete_order", "", "3 lines, no header of theirs")]),
    "two headers": (_twice(), [("repeated_header", "", "2 headers")]),
    "unknown division in another currency": (
        bad(division="999", currency="USD"),
        [("unknown_division", "division", "999")],
    ),
}


def decided(rules: Rules, *parts: dict[str, list[Row]], erased: tuple[str, ...] = ()) -> pd.DataFrame:
    rows: dict[str, list[Row]] = {part: [row for rows in parts for row in rows.get(part, [])] for part in ORDER_PARTS}
    numbers = {row["ord_num"] for of_part in rows.values() for row in of_part}
    return examples.decided(assemble(mirror(rows), sorted(numbers)), rules, erased_customers=erased)


def found(findings: pd.DataFrame) -> list[tuple[str, ...]]:
    return sorted(findings[["record_id", "code", "field", "detail"]].itertuples(index=False, name=None))


@pytest.mark.parametrize("what", BAD_ORDERS)
def test_a_bad_order_opens_its_code_alone_and_its_neighbours_go(rules: Rules, what: str) -> None:
    rows, expected = BAD_ORDERS[what]
    decisions = decided(rules, good(1), rows, good(3))
    findings = order_findings(decisions, NO_HELD_ROWS, rules)
    assert found(findings) == sorted(("W2", *finding) for finding in expected)
    assert findings.columns.tolist() == FINDING
    severe = [code for code, _, _ in expected if rules.exceptions[code].severity == "hold"]
    assert holds(findings, rules).index.tolist() == (["W2"] if severe else [])


def test_lines_without_their_header_are_held(rules: Rules) -> None:
    findings = order_findings(decided(rules, good(1), _without("orders")), NO_HELD_ROWS, rules)
    assert [(record, code) for record, code, _, _ in found(findings)] == [("W2", "incomplete_order")]
    assert holds(findings, rules).to_dict() == {"W2": "incomplete_order"}


def test_the_stake_is_the_orders(rules: Rules) -> None:
    """P13: count, revenue and division of what is unmapped."""
    findings = order_findings(decided(rules, good(1), bad(ord_status="Z")), NO_HELD_ROWS, rules)
    assert findings[["division", "value", "currency"]].to_numpy().tolist() == [["100", 2000, "GBP"]]


def test_a_header_malformed_is_not_also_called_missing(rules: Rules) -> None:
    findings = order_findings(decided(rules, good(1), _without("orders")), malformed("W2"), rules)
    rule = "is not an amount with at most two decimals (99.9.9)"
    assert found(findings) == [("W2", "invalid_field", "orders.ord_total", rule)]


def test_a_malformed_line_holds_its_order_whatever_else_is_wrong(rules: Rules) -> None:
    findings = order_findings(decided(rules, bad(ord_status="Z")), malformed("W2", "order_lines"), rules)
    assert [(record, code, field) for record, code, field, _ in found(findings)] == [
        ("W2", "invalid_field", "order_lines.ord_total")
    ]


def test_an_incomplete_order_is_not_looked_into_further(rules: Rules) -> None:
    rows = bad(ord_status="Z", email="") | {"order_lines": []}
    assert {code for _, code, _, _ in found(order_findings(decided(rules, rows), NO_HELD_ROWS, rules))} == {
        "incomplete_order"
    }


@pytest.mark.parametrize("kind", ["S", "E"])
@pytest.mark.parametrize("what", BAD_ORDERS)
def test_excluded_orders_raise_nothing(rules: Rules, what: str, kind: str) -> None:
    """Q3: wholesale and EDI orders never go, so nothing about them needs mending."""
    rows = BAD_ORDERS[what][0]
    wholesale = rows | {"orders": [row | {"ord_type": kind} for row in rows["orders"]]}
    findings = order_findings(decided(rules, wholesale, good(1)), malformed("W2"), rules)
    assert found(findings) == []


def test_orders_of_the_erased_raise_nothing(rules: Rules) -> None:
    decisions = decided(rules, bad(ord_status="Z"), erased=("C0000001",))
    assert order_findings(decisions, malformed("W2"), rules).empty


def test_nothing_to_look_at(rules: Rules) -> None:
    none = order_findings(decided(rules), NO_HELD_ROWS, rules)
    assert none.empty
    assert none.columns.tolist() == FINDING


@settings(max_examples=15, deadline=None)
@given(wrong=st.lists(st.sampled_from([None, *BAD_ORDERS]), min_size=1, max_size=6))
def test_what_is_found_of_an_order_does_not_depend_on_its_neighbours(rules: Rules, wrong: list[str | None]) -> None:
    parts, expected = [], []
    for at, what in enumerate(wrong, start=3):
        rows, findings = BAD_ORDERS[what] if what else (good(2), [])
        parts.append({part: [_renumbered(row, at) for row in of_part] for part, of_part in rows.items()})
        expected += [(f"W{at}", *finding) for finding in findings]
    findings = order_findings(decided(rules, *parts), NO_HELD_ROWS, rules)
    assert found(findings) == sorted(expected)


def _renumbered(row: Row, number: int) -> Row:
    keys = {name: row[name] + number * 1_000 for name in ("pkey", "fkey") if name in row}
    return row | keys | {"ord_num": f"W{number}"}


def test_a_severity_of_the_attributes_decides_what_is_held(rules: Rules) -> None:
    stricter = rules.attributes.orders.model_copy(update={"email": "hold", "identity": "report"})
    ruled = rules.model_copy(update={"attributes": rules.attributes.model_copy(update={"orders": stricter})})
    findings = order_findings(decided(ruled, bad(email="")), NO_HELD_ROWS, ruled)
    assert holds(findings, ruled).to_dict() == {"W2": "missing_required_attribute"}


def test_a_code_that_nobody_described_holds(rules: Rules) -> None:
    """Safe whatever owners.yaml says: an unknown severity never lets a record go."""
    ruled = rules.model_copy(update={"exceptions": {}})
    findings = order_findings(decided(ruled, bad(ord_status="Z")), NO_HELD_ROWS, ruled)
    assert holds(findings, ruled).to_dict() == {"W2": "unmapped_status"}


def test_every_check_of_the_schema_has_an_example(rules: Rules) -> None:
    """So that the table above cannot fall behind the contracts."""
    checks = [check for column in contents(rules).columns.values() for check in column.checks]
    named = {check.error for check in [*checks, *contents(rules).checks]}
    assert named <= {code for _, expected in BAD_ORDERS.values() for code, _, _ in expected}


# ── contacts ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def people(
    rules: Rules, *rows: Row, addresses: tuple[Row, ...] = (), opt_outs: tuple[OptOut, ...] = ()
) -> pd.DataFrame:
    known = frame("customers", rows), frame("addresses", addresses), unsubscribes(*opt_outs)
    return contacts.decide(*known, rules, TIME_ZONE)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, []),
        ({"email": ""}, [("missing_email", "email")]),
        ({"phone": ""}, [("missing_attribute", "phone")]),
        ({"phone": "call Ann"}, [("invalid_phone", "phone")]),  # written, so not also missing
        ({"country": ""}, [("missing_attribute", "country")]),
        ({"email_ok": ""}, [("missing_attribute", "consent")]),
        ({"consent_date": "NaT"}, [("missing_attribute", "consent")]),  # an opt-in without its date says nothing
        ({"email_ok": "N", "consent_date": "NaT"}, []),
        ({"sms_ok": ""}, []),
        ({"erased_ok": "Y", "email": "", "phone": ""}, []),
    ],
)
def test_a_contact_lacks_what_the_rules_ask_for(rules: Rules, changes: Row, expected: list[tuple[str, str]]) -> None:
    neighbours = [customer(pkey=at, customer=f"C{at}", country="GB") for at in (1, 3)]
    spoilt = customer(**({"pkey": 2, "customer": "C2", "country": "GB"} | changes))
    findings = contact_findings(people(rules, neighbours[0], spoilt, neighbours[1]), NO_HELD_ROWS, rules)
    assert found(findings) == sorted(("C2", code, field, "") for code, field in expected)
    held = {code for code, _ in expected} & {"missing_email"}
    assert holds(findings, rules).to_dict() == dict.fromkeys(["C2"] if held else [], "missing_email")


@pytest.mark.parametrize("consent", ["report", "hold"])
def test_an_opt_in_that_is_older_than_an_opt_out_is_told_and_holds_nothing(rules: Rules, consent: str) -> None:
    """Q1. What Blue Cherry says is not missing, whatever the rules ask for."""
    asked = rules.attributes.contacts.model_copy(update={"consent": consent})
    attributes = rules.attributes.model_copy(update={"contacts": asked})
    strict = rules.model_copy(update={"attributes": attributes})
    later = [("C0000001", channel, "2026-12-01T00:00:00Z") for channel in ("email", "sms")]
    findings = contact_findings(people(strict, customer(country="GB"), opt_outs=tuple(later)), NO_HELD_ROWS, strict)
    assert found(findings) == [("C0000001", "opt_out_is_newer", "consent_date", "email, sms")]
    assert holds(findings, strict).empty


def test_the_default_address_may_say_the_country(rules: Rules) -> None:
    assert contact_findings(people(rules, customer(), addresses=(address(),)), NO_HELD_ROWS, rules).empty


@pytest.mark.parametrize("resource", ["customers", "addresses"])
def test_a_malformed_row_is_all_that_is_said_of_a_contact(rules: Rules, resource: str) -> None:
    findings = contact_findings(people(rules, customer(email="", phone="x")), malformed("C0000001", resource), rules)
    assert [(code, field) for _, code, field, _ in found(findings)] == [("invalid_field", f"{resource}.ord_total")]
    assert holds(findings, rules).to_dict() == {"C0000001": "invalid_field"}


def test_an_erased_contact_raises_nothing(rules: Rules) -> None:
    assert contact_findings(people(rules, customer(erased_ok="Y")), malformed("C0000001"), rules).empty


def test_nobody_to_look_at(rules: Rules) -> None:
    assert contact_findings(people(rules), NO_HELD_ROWS, rules).columns.tolist() == FINDING


# ── nothing personal ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_no_finding_about_an_order_says_anything_personal(rules: Rules) -> None:
    """Design, 9; also where a shifted column puts a person into a code."""
    canary, phone, first, last = PERSONAL
    person = {"email": canary, "phone": phone, "first_name": first, "last_name": last, "ship_city": last}
    for shifted in ({}, *({"ord_type": text, "ord_status": "H", "hold_code": text} for text in PERSONAL)):
        for rows, _ in BAD_ORDERS.values():
            spoilt = rows | {"orders": [{**row, **person, **shifted} for row in rows["orders"]]}
            _assert_nothing_personal(order_findings(decided(rules, spoilt), NO_HELD_ROWS, rules))


def test_no_finding_about_a_contact_says_anything_personal(rules: Rules) -> None:
    canary, phone, first, last = PERSONAL
    person = customer(email=canary, phone=f"{phone} x", first_name=first, last_name=last, email_ok="")
    findings = contact_findings(people(rules, person), NO_HELD_ROWS, rules)
    assert len(findings) == 3
    _assert_nothing_personal(findings)


def test_no_finding_about_a_payload_says_anything_personal(rules: Rules) -> None:
    decisions = decided(rules, bad(email="canary@example", ship_country="Canary", first_name="Canary" * 20))
    rows = bad(email="canary@example", ship_country="Canary", first_name="Canary" * 20)
    payload = examples.mapped(assemble(mirror(rows), ["W2"]), rules)["payload"].item()
    faults = [("W2", fault.field, fault.rule) for fault in violations("order", payload)]
    findings = field_findings(faults, decisions.set_index("ord_num"))
    assert set(findings["field"]) == {"customer.firstname", "shipping_address.country_code"}
    assert findings[["code", "division", "value", "currency"]].drop_duplicates().to_numpy().tolist() == [
        ["invalid_field", "100", 2000, "GBP"]
    ]
    _assert_nothing_personal(findings)


def test_short_codes_are_shown_as_they_are(rules: Rules) -> None:
    """P13: people must see which code to map."""
    findings = order_findings(decided(rules, bad(ord_type="web2")), NO_HELD_ROWS, rules)
    assert findings["detail"].tolist() == ["web2"]


def _assert_nothing_personal(findings: pd.DataFrame) -> None:
    told = findings.to_csv().lower()
    assert not [text for text in (*PERSONAL, "canary") if text.lower() in told]


def test_stages_do_not_disturb_the_contracts(rules: Rules) -> None:
    rows = good(2) | {"order_stages": [stage(fkey=21, ord_num="W2", last_mod=NOON)]}
    assert order_findings(decided(rules, rows), NO_HELD_ROWS, rules).empty
