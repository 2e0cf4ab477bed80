"""P11, P12, P15, P19: what is open has an owner, an age and a value, is never called complete, and closes by itself."""

from typing import Any

import pytest
from sqlalchemy import text

from bc_ometria_tests.scenarios.shop import Shop, customer, evaluations, metadata, table

ONE, TWO, THREE = "0000003001", "0000003002", "0000003003"
YOUNG_AND_SMALL = "ometria/orders:open_exceptions_are_young_and_small"


@pytest.fixture
def opened(shop: Shop) -> Shop:
    """A shop with one customer."""
    shop.write("customers", customer())
    return shop


def _open(shop: Shop) -> list[dict[str, Any]]:
    names = "code, owner, severity, record_id, field, detail, division, value, currency, times_seen, blocked_events"
    with shop.engine.connect() as connection:
        rows = connection.execute(text(f"SELECT {names} FROM bc_ometria.open_exceptions ORDER BY record_id"))
        return [dict(row) for row in rows.mappings()]


def test_an_exception_is_owned_ages_and_closes_when_a_later_version_is_confirmed(opened: Shop) -> None:
    """P19, P11, P15: from the first sight to the mended order, past both thresholds of its age."""
    shop = opened
    shop.order(ONE)
    shop.order(TWO, division="9X9")
    shop.order(THREE, division="9X9")
    result = shop.sync()
    facts = {"code": "unknown_division", "owner": "Ecommerce", "severity": "hold", "field": "division"}
    stake = {"detail": "9X9", "division": "9X9", "value": 10_000, "currency": "GBP"}
    assert _open(shop) == [
        {**facts, **stake, "record_id": number, "times_seen": 1, "blocked_events": 0} for number in (TWO, THREE)
    ]
    assert metadata(result, "ometria", "orders")["ended"] == "with gaps: something is held"
    check = evaluations(result)[YOUNG_AND_SMALL]
    assert (check.passed, check.metadata["value_at_stake"].value) == (True, "200.00 GBP")

    shop.let_pass(hours=25)
    shop.at("2026-01-05 10:00")
    shop.mark(TWO, ord_status="P")
    shop.pick(TWO, {1: 2})
    check = evaluations(shop.sync())[YOUNG_AND_SMALL]
    assert (check.passed, check.severity.value) == (False, "WARN")
    assert check.description == "The oldest is 25 h old, at stake 200.00 GBP: older than 24 h"
    (row,) = table(check, "codes")
    assert (row["code"], row["owner"], row["records"], row["at stake"]) == (
        "unknown_division",
        "Ecommerce",
        2,
        "200.00 GBP",
    )
    assert [(each["record_id"], each["times_seen"], each["blocked_events"]) for each in _open(shop)] == [
        (TWO, 2, 1),
        (THREE, 1, 0),
    ]

    shop.let_pass(hours=150)
    shop.at("2026-01-05 11:00")
    shop.mark(THREE, ord_type="S")
    check = evaluations(shop.sync())[YOUNG_AND_SMALL]
    assert (check.passed, check.severity.value) == (False, "ERROR")

    shop.at("2026-01-05 12:00")
    shop.mark(TWO, division="200")
    result = shop.sync()
    assert evaluations(result)[YOUNG_AND_SMALL].passed
    assert metadata(result, "ometria", "orders")["ended"] == "complete"
    mended, excluded = shop.exceptions("unknown_division")
    assert mended["closed_by"].startswith("version ")
    assert mended["closed_by"].endswith(" confirmed")
    assert excluded["closed_by"] == "excluded: wholesale orders are not sent"
    assert shop.told(TWO) == ["order_picking"]
    assert shop.open_exceptions() == set()


def test_a_claim_against_the_evidence_is_reported_and_closes_when_they_agree(opened: Shop) -> None:
    """P11: the evidence wins and the order goes; the difference is shown until it is booked."""
    shop = opened
    shop.order(ONE, ord_status="C")
    shop.order(TWO)
    shop.edit("order-stages", int(TWO) * 1000 + 10, size03_qty=1, total_qty=1)
    result = shop.sync()
    assert shop.states() == {ONE: "confirmed", TWO: "confirmed"}
    assert shop.orders()[ONE]["status"] == "placed"
    check = evaluations(result)["ometria/orders:claims_agree_with_evidence"]
    assert (check.passed, check.severity.value) == (False, "WARN")
    assert {(row["code"], row["detail"]) for row in table(check, "codes")} == {
        ("claim_against_evidence", "ord_status C claims dispatched, evidence placed: ordered 2, open 2"),
        ("evidence_apart", "line 1, ordered 2: OP 1"),
    }
    assert evaluations(result)[YOUNG_AND_SMALL].passed, "what goes is no debt"

    shop.at("2026-01-05 10:00")
    shop.ship(ONE, "0000000501", {1: 2}, tracking="A")
    shop.edit("order-stages", int(TWO) * 1000 + 10, size03_qty=2, total_qty=2)
    assert evaluations(shop.sync())["ometria/orders:claims_agree_with_evidence"].passed
    assert shop.orders()[ONE]["status"] == "dispatched"
    assert shop.open_exceptions() == set()


def test_many_held_orders_are_a_debt_by_their_value(opened: Shop) -> None:
    """P19: young, and yet more than thresholds.yaml allows; currencies are not added up."""
    shop = opened
    shop.order(ONE, division="9X9", pieces=(19,))
    shop.order(TWO, division="9X9", pieces=(18,), currency="EUR")
    assert evaluations(shop.sync())[YOUNG_AND_SMALL].passed
    shop.order(THREE, division="9X9", pieces=(2,))
    check = evaluations(shop.sync())[YOUNG_AND_SMALL]
    assert (check.passed, check.severity.value) == (False, "WARN")
    assert check.description == "The oldest is 0 min old, at stake 900.00 EUR, 1,050.00 GBP: more than 1,000 GBP"


def test_a_fill_rate_that_falls_is_shown_with_field_division_count_and_masked_examples(opened: Shop) -> None:
    """P12: of thirty customers twelve have no telephone number, where before all had one; then it is mended."""
    shop = opened
    before = [customer(f"000001{at:02d}", division="200", last_mod="2025-12-20 10:00:00") for at in range(30)]
    now = [customer(f"000002{at:02d}", division="200") for at in range(30)]
    numberless = [row | {"phone": ""} for row in now[:12]]
    shop.write("customers", *before, *numberless, *now[12:])
    assert "ometria/contacts:fill_rates_hold" not in evaluations(shop.sync()), "a live run looks at what changed"
    check = evaluations(shop.check())["ometria/contacts:fill_rates_hold"]
    assert (check.passed, check.severity.value) == (False, "ERROR")
    (fallen,) = table(check, "fallen")
    shown = ("division", "attribute", "now", "before", "fell by", "rows without")
    assert [fallen[name] for name in shown] == ["200", "phone", "60.0 %", "100.0 %", 40.0, 12]
    examples = fallen["examples"].split(", ")
    assert {example.removeprefix("…") for example in examples} <= {row["customer"][-4:] for row in numberless}
    assert set(shop.states("contact").values()) == {"confirmed"}, "they go all the same"

    shop.at("2026-01-05 10:00")
    shop.write("customers", *now[:12])
    shop.sync()
    check = evaluations(shop.check())["ometria/contacts:fill_rates_hold"]
    assert check.passed
    assert shop.open_exceptions() == set()
