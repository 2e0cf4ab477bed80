"""Every code that the sandbox's tenants serve is in their rules, or is a defect that was planted (P13, Q3, F3)."""

from collections.abc import Iterable, Mapping
from datetime import timedelta
from pathlib import Path

import pytest

from bc_ometria.blue_cherry import TenantProfile
from bc_ometria.mapping.lifecycle import lifecycle
from bc_ometria.mapping.orders import claims_of
from bc_ometria.rules import Rules
from bc_ometria.sandbox import online_retail
from bc_ometria.sandbox.apparel import Apparel
from bc_ometria.sandbox.changes import Change, Write
from bc_ometria.sandbox.running import RULES
from bc_ometria_tests.mapping.walking import assembled

PLANTED_AS = {"ord_status": "unmapped_status", "hold_code": "unknown_hold_code", "division": "unknown_division"}
"""The kind of defect that a code outside the rules is."""


def known_codes(rules: Rules) -> dict[str, set[str]]:
    """What each column may hold; blank is no code, but an order always has a status, a type and a division."""
    return {
        "ord_status": set(rules.statuses.ord_status),
        "ord_type": set(rules.channels),
        "division": set(rules.divisions),
        "hold_code": {"", *rules.reasons.hold},
        "cancel_code": {"", *rules.reasons.cancel},
        "reason_code": {"", *rules.reasons.returned},
        "location": {"", *rules.warehouses},
    }


def codes_outside(changes: Iterable[Change], known: Mapping[str, set[str]]) -> dict[tuple[str, str], str]:
    """Of each order and column a code that was served at any time and is not known."""
    outside = {}
    for change in changes:
        if not isinstance(change, Write) or "ord_num" not in change.row:
            continue
        for column, codes in known.items():
            code = str(change.row.get(column) or "").strip()
            if column in change.row and code not in codes:
                outside[str(change.row["ord_num"]), column] = code
    return outside


@pytest.fixture(scope="module")
def weeks() -> tuple[Apparel, list[Change]]:
    """Three weeks of a generated retailer."""
    apparel = Apparel(5, customers=400, orders_per_day=200)
    return apparel, [*apparel.catalogue(), *apparel.advance(apparel.now + timedelta(days=21))]


def test_codes_of_the_generated_retailer(weeks: tuple[Apparel, list[Change]], rules: Rules) -> None:
    apparel, changes = weeks
    outside = codes_outside(changes, known_codes(rules))
    planted = {(defect.key, defect.kind) for defect in apparel.defects}
    assert {(number, PLANTED_AS[column]) for number, column in outside} <= planted
    assert {column: {code for (_, of), code in outside.items() if of == column} for column in PLANTED_AS} == {
        "ord_status": {"Q7", "Z1"},
        "hold_code": {"ZZ"},
        "division": {"9X9"},
    }


def test_a_hold_code_that_nobody_has_mapped_is_found_and_the_order_keeps_its_state(
    weeks: tuple[Apparel, list[Change]], rules: Rules, profile: TenantProfile
) -> None:
    """P13: the order goes; what cannot go is the event that would give the reason."""
    apparel, changes = weeks
    orders = assembled(changes, profile)
    life = lifecycle(orders, claims_of(orders, rules), rules.reasons).orders.set_index(orders.headers["ord_num"])
    standing = {each.key for each in apparel.defects if each.kind == "unknown_hold_code" and not each.mended}
    assert standing
    assert set(life.index[life["unmapped_hold"] == "ZZ"]) == standing
    assert set(life.loc[sorted(standing), "state"]) == {"on_hold"}
    assert set(life["unmapped_hold"]) == {"", "ZZ"}
    assert set(life["unmapped_cancel"]) == set(life["unmapped_return"]) == {""}


def test_codes_of_the_real_orders(sample_of_real_orders: Path) -> None:
    known = known_codes(Rules.load(RULES["online-retail"]))
    assert codes_outside(online_retail.changes(sample_of_real_orders), known) == {}


def test_the_search_sees_a_code_outside(rules: Rules) -> None:
    changes = [
        Write("order-lines", {"pkey": 1, "ord_num": "1", "location": "0099"}),
        Write("orders", {"pkey": 1, "ord_num": "1", "cancel_code": "QQ", "ord_status": ""}),
        Write("returns", {"pkey": 1, "ord_num": "2", "reason_code": "QQ"}),
    ]
    assert codes_outside(changes, known_codes(rules)) == {
        ("1", "location"): "0099",
        ("1", "cancel_code"): "QQ",
        ("1", "ord_status"): "",
        ("2", "reason_code"): "QQ",
    }
