"""The audit's own arithmetic of an order's life: by hand, and against the mapping on generated ones (P20, P22)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
import yaml

from bc_ometria.blue_cherry import TenantProfile
from bc_ometria.demo.audit.orders import OrderRows, expected
from bc_ometria.demo.audit.reading import OF_ORDERS, by, read_blue_cherry
from bc_ometria.demo.audit.states import fates, order_of, state_of
from bc_ometria.mapping.lifecycle import lifecycle
from bc_ometria.mapping.orders import claims_of
from bc_ometria.rules import DEFAULT_FOLDER, Rules
from bc_ometria.sandbox.apparel import Apparel
from bc_ometria.sandbox.running import Sandbox
from bc_ometria_tests.mapping.walking import assembled

YAML: dict[str, Any] = {
    name: yaml.safe_load((DEFAULT_FOLDER / f"{name}.yaml").read_text())
    for name in ("statuses", "reasons", "divisions", "warehouses", "channels")
}


@dataclass(frozen=True)
class Document:
    """A shipment, or a return that refunds so much."""

    pieces: int
    refund: str = "0.00"
    reason: str = "FIT"
    void: bool = False
    line: int = 1


def rows_of(
    status: str,
    stages: str = "",
    *,
    parcels: Sequence[Document] = (),
    returns: Sequence[Document] = (),
    cancel_code: str = "",
) -> dict[str, list[dict[str, Any]]]:
    """An order of one line, four pieces of one size at 50.00; ``stages`` as ``OP 1, IN 3``."""
    header = {"pkey": 1, "ord_status": status, "cancel_code": cancel_code, "frt_amt": "0.00", "ord_total": "200.00"}
    line = {"pkey": 11, "fkey": 1, "line_num": 1, "unit_price": "50.00", "line_disc": "0.00", "line_tax": "0.00"}
    known = {"division": "100", "customer": "00000001", "currency": "GBP", "ord_date": "2026-01-05 08:00:00"}
    staged = [part.split() for part in stages.split(", ") if part]

    def documents(number: str, of: Sequence[Document]) -> list[dict[str, Any]]:
        return [
            {"pkey": at, number: str(at), "void_ok": "Y" if each.void else "", "refund_total": each.refund,
             "reason_code": each.reason}
            for at, each in enumerate(of, 1)
        ]  # fmt: skip

    def parts(of: Sequence[Document]) -> list[dict[str, Any]]:
        return [
            {"fkey": at, "line_num": each.line, "refund_amt": each.refund, "size03_qty": each.pieces}
            for at, each in enumerate(of, 1)
        ]

    return {
        "orders": [header | known],
        "order-lines": [line | {"size03_qty": 4}],
        "order-stages": [{"fkey": 11, "rec_type": name, "size03_qty": int(pieces)} for name, pieces in staged],
        "shipments": documents("ship_num", parcels),
        "shipment-lines": parts(parcels),
        "returns": documents("ret_num", returns),
        "return-lines": parts(returns),
    }


def state(rows: OrderRows, due: str = "200.00") -> str:
    return state_of(order_of(rows, YAML), Decimal(due), YAML)


_ALL, _ONE = Document(4), Document(1)

BY_HAND = {
    "nothing done": (rows_of("O", "OP 4"), "placed"),
    "stopped": (rows_of("H", "OP 4"), "on_hold"),
    "said to be stopped, and gone": (rows_of("H", "IN 4"), "dispatched"),
    "reserved": (rows_of("O", "OP 1, RS 3"), "allocated"),
    "picked": (rows_of("O", "RS 3, PK 1"), "picking"),
    "short": (rows_of("B", "OP 4"), "back_ordered"),
    "said to be short, and reserved": (rows_of("B", "RS 4"), "allocated"),
    "half gone": (rows_of("O", "OP 2, IN 2"), "part_dispatched"),
    "a parcel before its stages": (rows_of("P", "PK 4", parcels=[_ALL]), "dispatched"),
    "a parcel that was voided before its stages": (rows_of("C", "IN 4", parcels=[Document(4, void=True)]), "placed"),
    "a parcel voided and sent again": (
        rows_of("C", "IN 4", parcels=[Document(4, void=True), Document(4)]),
        "dispatched",
    ),
    "all back without a document": (rows_of("C", "IN 4, RT 4"), "refunded"),
    "one back without a document": (rows_of("C", "IN 4, RT 1"), "part_refunded"),
    "all back and paid back": (rows_of("R", "IN 4, RT 4", returns=[Document(4, "200.00")]), "refunded"),
    "all back for half": (rows_of("R", "IN 4, RT 4", returns=[Document(4, "100.00")]), "part_refunded"),
    "all paid back, one back": (rows_of("C", "IN 4, RT 1", returns=[Document(1, "200.00")]), "refunded"),
    "two pennies short": (rows_of("R", "IN 4, RT 4", returns=[Document(4, "199.98")]), "refunded"),
    "three pennies short": (rows_of("R", "IN 4, RT 4", returns=[Document(4, "199.97")]), "part_refunded"),
    "a return voided before its stages": (
        rows_of("R", "IN 4, RT 4", returns=[Document(4, "200.00", void=True)]),
        "dispatched",
    ),
    "one exchanged": (rows_of("C", "IN 4, RT 1", returns=[Document(1, "50.00", "EX")]), "exchanged"),
    "one exchanged, one back": (
        rows_of("C", "IN 4, RT 2", returns=[Document(1, "50.00", "EX"), Document(1, "50.00")]),
        "part_refunded",
    ),
    "by the customer": (rows_of("X", "CC 4"), "cancelled_by_customer"),
    "by the house": (rows_of("X", "CH 4"), "cancelled_by_house"),
    "by both alike": (rows_of("X", "CH 2, CC 2"), "cancelled_by_customer"),
    "mostly by the house": (rows_of("X", "CH 3, CC 1"), "cancelled_by_house"),
    "one cancelled, the rest untouched": (rows_of("O", "CC 1, OP 3"), "part_cancelled"),
    "one cancelled, the rest on its way": (rows_of("O", "CC 1, PK 3"), "picking"),
    "one cancelled, the rest gone": (rows_of("C", "CC 1, IN 3"), "part_cancelled"),
    "no evidence": (rows_of("C"), "dispatched"),
    "only a stock movement": (rows_of("C", "SA 4"), "dispatched"),
    "no evidence, and the customer's reason": (rows_of("X", cancel_code="CU"), "cancelled_by_customer"),
    "no evidence, and the house's reason": (rows_of("X", cancel_code="NS"), "cancelled_by_house"),
    "no evidence, and no reason": (rows_of("X"), "cancelled_by_house"),
    "a code that no rule knows": (rows_of("Q7"), ""),
}


@pytest.mark.parametrize("what", BY_HAND)
def test_the_state_of_an_order(what: str) -> None:
    rows, wanted = BY_HAND[what]
    assert state(rows) == wanted


def test_what_is_due_is_that_of_the_pieces_that_were_not_cancelled() -> None:
    rows = rows_of("R", "CC 1, IN 3, RT 3", returns=[Document(3, "150.00")])
    assert state(rows, due="150.00") == "refunded"
    assert state(rows, due="200.00") == "part_refunded"
    shown = expected(order_of(rows, YAML), YAML, "Europe/London")
    assert (shown["status"], shown["is_valid"]) == ("refunded", False)
    assert (shown["pieces"], shown["pieces refunded"], shown["refunded"]) == (3, 3, Decimal("150.00"))
    assert shown["grand_total"] == Decimal("150.00")


def test_a_document_about_a_line_that_the_order_does_not_have_tells_nothing_of_pieces() -> None:
    rows = rows_of("S", "OP 4", parcels=[Document(1, line=9)], returns=[Document(1, "9.00", line=9)])
    order = order_of(rows, YAML)
    assert sum(fate["dispatched"] for fate in fates(order).values()) == 0
    assert [paper.of_lines for paper in order.returns] == [0]


def test_no_line_has_more_pieces_than_were_ordered() -> None:
    rows = rows_of("C", "IN 3, CC 3, PK 3, RS 3", parcels=[_ONE])
    (fate,) = fates(order_of(rows, YAML)).values()
    assert (fate["dispatched"], fate["by_customer"], fate["picked"], fate["reserved"], fate["open"]) == (3, 1, 0, 0, 0)


def test_it_agrees_with_the_mapping_on_a_simulated_retailer(rules: Rules, profile: TenantProfile) -> None:
    """Two ways to count the same pieces: state, pieces back and money back of every order that is not defective."""
    apparel = Apparel(3, customers=100, orders_per_day=60)
    changes = [*apparel.catalogue(), *apparel.advance(apparel.now + timedelta(days=20))]
    defective = {defect.key for defect in apparel.defects if defect.resource == "orders"}
    with Sandbox(customers=0, orders_per_day=0, start=datetime.fromisoformat("2026-01-05T00:00:00+00:00")) as sandbox:
        sandbox.blue_cherry.apply(changes)
        rows = read_blue_cherry(sandbox.environment())
    orders = assembled(changes, profile)
    life = lifecycle(orders, claims_of(orders, rules), rules.reasons)
    mapped = life.orders.set_index(orders.headers["ord_num"])
    on_lines = life.lines["refunded"].groupby(orders.lines["order"]).sum()
    mapped["refunded"] = on_lines.reindex(range(len(orders))).to_numpy()

    by_order = {resource: by(rows[resource], "ord_num") for resource in OF_ORDERS}
    states = set()
    for number in sorted(set(mapped.index) - defective):
        of_order = {resource: by_order[resource].get(number, []) for resource in OF_ORDERS}
        if not of_order["orders"] or not of_order["order-lines"]:
            continue  # its other half is on the way
        order = order_of(of_order, YAML)
        shown, as_mapped = expected(order, YAML, "Europe/London"), mapped.loc[number]
        due = shown["grand_total"].amount - Decimal(order.header["frt_amt"])
        states.add(found := state_of(order, due, YAML))
        assert found == as_mapped["state"], number
        assert shown["pieces refunded"] == as_mapped["returned"], number
        assert shown["refunded"] * 100 == as_mapped["refunded"], number
    assert len(states) >= 10
