"""What a check of open exceptions shows (P13, P15): count, money, age, owner, what it blocks, and where to read on."""

from pathlib import Path

import dagster as dg
import pytest
from sqlalchemy import Engine

from bc_ometria.checks.metadata import age
from bc_ometria.checks.open_now import RECORD_TYPES, checks
from bc_ometria.rules import Rules
from bc_ometria_tests.checks.evaluating import evaluate, event, open_exception, rows

RUNBOOK = Path(__file__).resolve().parents[2] / "docs" / "runbook"
WARN, ERROR = dg.AssetCheckSeverity.WARN, dg.AssetCheckSeverity.ERROR
CODES = "ometria/orders:codes_are_mapped"


def test_a_check_shows_how_many_what_is_at_stake_how_old_whose_and_what_it_blocks(engine: Engine, rules: Rules) -> None:
    """P13: a never-seen status on twelve orders worth 4,310.00, and the events that wait for it."""
    for n in range(12):
        value = 4310_00 - 11 * 300_00 if n == 0 else 300_00
        open_exception(engine, "unmapped_status", f"20{n:02d}", field="ord_status", detail="Q7", value=value, hours=50)
    open_exception(engine, "unknown_division", "2000", field="division", detail="9X9", value=4310_00 - 11 * 300_00)
    event(engine, "e1", "2000")
    event(engine, "e2", "2001", event_type="order_cancelled")
    event(engine, "e3", "2002")
    event(engine, "e4", "2003", state="accepted")
    event(engine, "e5", "9999")
    found = evaluate(engine, checks, CODES)
    assert not found.passed
    assert found.severity is ERROR
    assert found.description == "12 × unmapped_status, 1 × unknown_division; at stake 4,310.00 GBP"
    shown = {
        name: value.value for name, value in found.metadata.items() if not isinstance(value, dg.TableMetadataValue)
    }
    first_seen = shown.pop("first_seen")
    assert isinstance(first_seen, float)
    assert shown == {
        "records": 12,
        "value_at_stake": "4,310.00 GBP",
        "age_of_oldest": "2 days",
        "owners": "Ecommerce, Operations",
        "blocked_events": 3,
        "blocked_event_types": "2 × order_dispatched, 1 × order_cancelled",
        "waiting": 0,
        "runbook_unmapped_status": "docs/runbook/unmapped_status.md",
        "runbook_unknown_division": "docs/runbook/unknown_division.md",
    }
    rule = rules.exceptions["unmapped_status"]
    status, division = rows(found, "codes")
    assert status == {
        "code": "unmapped_status",
        "field": "ord_status",
        "detail": "Q7",
        "records": 12,
        "at stake": "4,310.00 GBP",
        "blocked events": 3,
        "oldest": "2 days",
        "owner": rule.owner,
        "meaning": rule.meaning,
        "first action": rule.action,
        "runbook": "docs/runbook/unmapped_status.md",
    }
    assert (division["records"], division["blocked events"], division["oldest"]) == (1, 1, "0 min")
    assert [row["record"] for row in rows(found, "examples")] == [f"20{n:02d}" for n in range(10)]


def test_the_runbook_is_linked_where_it_is_published(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    open_exception(engine, "unmapped_status", "1")
    assert isinstance(evaluate(engine, checks, CODES).metadata["runbook_unmapped_status"], dg.PathMetadataValue)
    monkeypatch.setenv("BC_OMETRIA_RUNBOOK_URL", "https://wiki.example.com/runbook/")
    found = evaluate(engine, checks, CODES)
    link = found.metadata["runbook_unmapped_status"]
    assert isinstance(link, dg.UrlMetadataValue)
    assert link.value == rows(found, "codes")[0]["runbook"] == "https://wiki.example.com/runbook/unmapped_status.md"


def test_severity_is_that_of_the_rules(engine: Engine) -> None:
    open_exception(engine, "unmapped_reason", "1", field="hold_code", detail="ZZ")
    found = evaluate(engine, checks, CODES)
    assert (found.passed, found.severity) == (False, WARN)
    open_exception(engine, "unknown_warehouse", "2", field="location", detail="0099")
    found = evaluate(engine, checks, CODES)
    assert (found.passed, found.severity) == (False, ERROR)


def test_an_incomplete_order_is_shown_as_waiting_before_it_is_an_exception(engine: Engine) -> None:
    """Q2: the check passes while the other half may still come."""
    key = "ometria/orders:headers_and_lines_are_together"
    open_exception(engine, "incomplete_order", "1", detail="a header, no line", hours=0.5)
    event(engine, "e1", "1")
    found = evaluate(engine, checks, key)
    assert found.passed
    assert found.description == "Nothing is open. Not yet an exception: 1 × incomplete_order; at stake 100.00 GBP"
    assert {name: found.metadata[name].value for name in ("records", "waiting", "blocked_events")} == {
        "records": 0,
        "waiting": 1,
        "blocked_events": 0,
    }
    (waiting,) = rows(found, "waiting_codes")
    assert (waiting["detail"], waiting["oldest"], waiting["blocked events"]) == ("a header, no line", "30 min", 1)
    assert [row["record"] for row in rows(found, "waiting_examples")] == ["1"]

    open_exception(engine, "incomplete_order", "2", detail="3 lines, no header", hours=1.5)
    found = evaluate(engine, checks, key)
    assert (found.passed, found.severity) == (False, ERROR)
    assert found.description == (
        "1 × incomplete_order; at stake 100.00 GBP. Not yet an exception: 1 × incomplete_order; at stake 100.00 GBP"
    )
    assert [row["detail"] for row in rows(found, "codes")] == ["3 lines, no header"]


def test_no_customer_code_is_shown_whole_and_events_are_named_by_their_order(engine: Engine) -> None:
    """Design, 9: nothing personal reaches Dagster."""
    open_exception(engine, "missing_email", "00041234", record_type="contact", field="email", value=0, currency="")
    event(engine, "c0ffee", "2001", customer="00041234")
    found = evaluate(engine, checks, "ometria/contacts:attributes_are_there")
    (example,) = rows(found, "examples")
    assert example["record"] == "…1234"
    assert found.metadata["value_at_stake"].value == "no order value"
    assert found.metadata["blocked_events"].value == 1
    assert "00041234" not in repr(found)

    open_exception(engine, "unmapped_reason", "c0ffee", record_type="custom_event", field="hold_code", detail="ZZ")
    (example,) = rows(evaluate(engine, checks, "ometria/order_events:events_can_go"), "examples")
    assert example["record"] == "2001 order_dispatched"


OF_RECORDS = {
    f"{key.asset_key.to_user_string()}:{key.name}"
    for check in checks
    for key in check.check_keys
    if key.asset_key.path[0] != "blue_cherry"
}


def test_every_code_is_shown_by_the_check_that_its_runbook_page_names_as_bad_as_the_rules_say(
    engine: Engine, rules: Rules
) -> None:
    for code in rules.exceptions:
        for record_type in RECORD_TYPES.values():
            open_exception(engine, code, "1", record_type=record_type, hours=2)
    named = set()
    for key in OF_RECORDS:
        found = evaluate(engine, checks, key)
        shown = {row["code"] for row in rows(found, "codes")}
        holding = {code for code in shown if rules.exceptions[code].severity == "hold"}
        assert found.severity is (ERROR if holding else WARN), key
        name = key.partition(":")[2]
        named |= {code for code in shown if f"`{name}`" in (RUNBOOK / f"{code}.md").read_text(encoding="utf-8")}
    assert named == set(rules.exceptions)


@pytest.mark.parametrize(
    ("hours", "words"),
    [(0, "0 min"), (0.99, "59 min"), (1, "1 h"), (47.9, "47 h"), (48, "2 days"), (171, "7 days")],
)
def test_ages_are_readable(hours: float, words: str) -> None:
    assert age(hours) == words
