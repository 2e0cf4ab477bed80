"""P19: exceptions have age and value, and alert over a threshold."""

from pathlib import Path

import dagster as dg
import pytest
from sqlalchemy import Engine

from bc_ometria.checks.ageing import checks
from bc_ometria_tests.checks.evaluating import evaluate, open_exception, override, rows

WARN, ERROR = dg.AssetCheckSeverity.WARN, dg.AssetCheckSeverity.ERROR
ORDERS, CONTACTS = (f"ometria/{records}:open_exceptions_are_young_and_small" for records in ("orders", "contacts"))


@pytest.fixture(autouse=True)
def _thresholds(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    limits = {"warn": {"age_h": 24, "value": 1000}, "fail": {"age_h": 168, "value": 10000}}
    override(monkeypatch, tmp_path, "thresholds", open_exceptions=limits)


def verdict(engine: Engine, key: str = ORDERS) -> dg.AssetCheckSeverity | None:
    """``None`` where the check passes."""
    found = evaluate(engine, checks, key)
    return None if found.passed else found.severity


def test_nothing_held_passes(engine: Engine) -> None:
    assert evaluate(engine, checks, ORDERS).description == "Nothing is held."
    open_exception(engine, "missing_attribute", "1", value=10**9, hours=10000)  # goes all the same
    open_exception(engine, "incomplete_order", "2", value=10**9, hours=0.5)  # only waits
    open_exception(engine, "missing_required_attribute", "3", value=10**9, hours=10000)  # may stay for good
    assert verdict(engine) is None
    assert evaluate(engine, checks, ORDERS).description == "Nothing is held."


@pytest.mark.parametrize(("hours", "severity"), [(23, None), (25, WARN), (167, WARN), (169, ERROR)])
def test_the_age_of_the_oldest_warns_and_fails(
    engine: Engine, hours: float, severity: dg.AssetCheckSeverity | None
) -> None:
    open_exception(engine, "unmapped_status", "1", hours=hours)
    open_exception(engine, "totals_differ", "2", value=500_00)
    open_exception(engine, "invalid_field", "C1", record_type="contact", value=0, currency="", hours=hours)
    assert verdict(engine) is severity
    assert verdict(engine, CONTACTS) is severity


@pytest.mark.parametrize(("pence", "severity"), [(999_99, None), (1000_01, WARN), (9999_99, WARN), (10000_01, ERROR)])
def test_the_value_of_all_together_warns_and_fails(
    engine: Engine, pence: int, severity: dg.AssetCheckSeverity | None
) -> None:
    """A record counts once, and currencies are not added up."""
    open_exception(engine, "unmapped_status", "1", value=pence - 100)
    open_exception(engine, "unknown_division", "1", value=pence - 100)
    open_exception(engine, "unmapped_status", "2", value=100)
    open_exception(engine, "unmapped_status", "3", value=900_00, currency="EUR")
    assert verdict(engine) is severity
    assert verdict(engine, CONTACTS) is None


def test_what_is_within_the_limits_is_shown_all_the_same(engine: Engine) -> None:
    open_exception(engine, "totals_differ", "1", value=500_00, hours=3)
    found = evaluate(engine, checks, ORDERS)
    assert (found.passed, found.description) == (True, "The oldest is 3 h old, at stake 500.00 GBP")
    assert len(rows(found, "codes")) == 1


def test_what_is_too_old_or_too_dear_is_shown_by_code(engine: Engine) -> None:
    open_exception(engine, "unmapped_status", "1", value=20000_00, hours=3)
    open_exception(engine, "unmapped_status", "2", value=500_00, currency="EUR", hours=1)
    open_exception(engine, "rejected", "3", value=100_00, hours=400)
    found = evaluate(engine, checks, ORDERS)
    assert found.severity is ERROR
    assert found.description == (
        "The oldest is 16 days old, at stake 500.00 EUR, 20,100.00 GBP: older than 7 days and more than 10,000 GBP"
    )
    assert found.metadata["age_of_oldest"].value == "16 days"
    assert found.metadata["records"].value == 3
    assert rows(found, "codes") == [
        {
            "code": "rejected",
            "owner": "Ecommerce",
            "records": 1,
            "oldest": "16 days",
            "median age": "16 days",
            "at stake": "100.00 GBP",
        },
        {
            "code": "unmapped_status",
            "owner": "Operations",
            "records": 2,
            "oldest": "3 h",
            "median age": "2 h",
            "at stake": "500.00 EUR, 20,000.00 GBP",
        },
    ]
