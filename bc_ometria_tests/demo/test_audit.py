"""The demo's audit is itself put to the test: whatever is planted, it finds."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest

from bc_ometria.demo.audit import Account, audit_contacts, audit_orders, read_blue_cherry
from bc_ometria.demo.audit.reading import OF_ORDERS
from bc_ometria.sandbox.changes import Write
from bc_ometria.sandbox.running import Sandbox
from bc_ometria_tests.scenarios.shop import Row, customer, empty, header, line, stage


def _shown(number: str, total: float, *pieces: int, **fields: Any) -> dict[str, Any]:
    return {
        "id": number,
        "timestamp": "2026-01-05T08:00:00Z",
        "grand_total": total,
        "currency": "GBP",
        "store": "uk",
        "status": "placed",
        "is_valid": True,
        "customer": {"id": "00000001", "email": "canary.00000001@example.com"},
        "lineitems": [{"quantity": count} for count in pieces],
        **fields,
    }


@dataclass
class Both:
    """What the two systems hold, and what the outbox says is held. At the beginning all of it agrees."""

    rows: dict[str, list[dict[str, Any]]]
    orders: dict[str, dict[str, Any]]
    contacts: dict[str, dict[str, Any]]
    held: dict[str, str]
    held_contacts: dict[str, str]
    deleted: set[str]

    def audit(self) -> Account:
        return audit_orders(self.rows, self.orders, self.held, {}, "Europe/London", self.deleted)

    def audit_contacts(self) -> Account:
        return audit_contacts(self.rows["customers"], self.contacts, self.held_contacts)

    def row(self, resource: str, number: str) -> dict[str, Any]:
        """The first row of an order."""
        return next(row for row in self.rows[resource] if row["ord_num"] == number)


PLAIN, CANCELLED, PART, WHOLESALE, UNMAPPED, ORPHAN, BACK = (f"000000100{n}" for n in range(1, 8))


@pytest.fixture(scope="module")
def rows(sandbox: Sandbox) -> dict[str, list[dict[str, Any]]]:
    """What the audit reads of Blue Cherry by itself."""
    tables: dict[str, list[Row]] = {
        "customers": [
            customer(),
            customer("00000002", email_ok="N"),
            customer("00000003", email=""),
            customer("00000004", erased_ok="Y", email=""),
        ],
        "orders": [
            header(PLAIN),
            header(CANCELLED),
            header(PART, "200.00"),
            header(WHOLESALE, ord_type="S"),
            header(UNMAPPED, ord_status="Q7"),
            header(BACK, "150.00", ord_status="C"),
        ],
        "order-lines": [
            *(line(number) for number in (PLAIN, CANCELLED, WHOLESALE, UNMAPPED, ORPHAN)),
            line(PART, pieces=4),
            line(BACK, pieces=3),
        ],
        "order-stages": [
            *(stage(number) for number in (PLAIN, WHOLESALE, UNMAPPED)),
            stage(CANCELLED, rec_type="CC"),
            stage(PART, pieces=3),
            stage(PART, pieces=1, rec_type="CH"),
            stage(BACK, pieces=3, rec_type="IN"),
        ],
        "shipments": [{"pkey": 1, "ship_num": "00000001", "ord_num": BACK, "location": "0020"}],
        "shipment-lines": [{"pkey": 1, "fkey": 1, "ord_num": BACK, "line_num": 1, "size03_qty": 3, "total_qty": 3}],
        "returns": [
            {"pkey": 1, "ret_num": "00000001", "ord_num": BACK, "reason_code": "FIT", "refund_total": Decimal("50.00")}
        ],
        "return-lines": [
            {
                "pkey": 1,
                "fkey": 1,
                "ord_num": BACK,
                "line_num": 1,
                "refund_amt": Decimal("50.00"),
                "size03_qty": 1,
                "total_qty": 1,
            }
        ],
    }
    empty(sandbox)
    for resource, written in tables.items():
        sandbox.blue_cherry.apply(Write(resource, row) for row in written)
    return read_blue_cherry(sandbox.environment())


@pytest.fixture
def both(rows: dict[str, list[dict[str, Any]]]) -> Both:
    names = {"firstname": "Wilhelmina", "lastname": "Canary"}
    return Both(
        rows=deepcopy(rows),
        orders={
            PLAIN: _shown(PLAIN, 100.0, 2),
            CANCELLED: _shown(CANCELLED, 100.0, 2, status="cancelled", is_valid=False),
            PART: _shown(PART, 150.0, 3, status="part_cancelled"),
            BACK: _shown(
                BACK,
                150.0,
                status="partial_refund",
                lineitems=[{"quantity": 3, "quantity_refunded": 1, "refunded": 50.0}],
            ),
        },
        contacts={
            "00000001": {"email": "canary.00000001@example.com", "marketing_optin": "EXPLICITLY_OPTEDIN", **names},
            "00000002": {"email": "canary.00000002@example.com", "marketing_optin": "EXPLICITLY_OPTEDOUT", **names},
        },
        held={UNMAPPED: "unmapped_status", ORPHAN: "incomplete_order"},
        held_contacts={"00000003": "missing_required_attribute"},
        deleted=set(),
    )


def test_what_agrees_is_clean_and_counted(both: Both) -> None:
    found = both.audit()
    assert found.is_clean
    assert (found.in_blue_cherry, found.expected, found.equal) == (7, 6, 4)
    assert found.held == {"unmapped_status": 1, "incomplete_order": 1}
    assert found.excluded == {"wholesale orders are not sent": 1}
    people = both.audit_contacts()
    assert people.is_clean
    assert (people.in_blue_cherry, people.expected, people.equal) == (4, 3, 2)
    assert people.excluded == {"the customer was erased": 1}


PLANTED: dict[str, tuple[Callable[[Both], Any], str, str]] = {
    # what: (how, the account that tells of it, what it says)
    "a wrong total": (
        lambda both: both.orders[PLAIN].update(grand_total=100.01),
        "differing",
        f"order {PLAIN}: grand_total 100.01 instead of 100.00",
    ),
    "a cancelled piece that is still paid for": (
        lambda both: both.orders[PART].update(grand_total=200.0, lineitems=[{"quantity": 4}]),
        "differing",
        f"order {PART}: grand_total 200.0 instead of 150.00, pieces 4 instead of 3",
    ),
    "a cancelled order that counts as revenue": (
        lambda both: both.orders[CANCELLED].update(is_valid=True),
        "differing",
        f"order {CANCELLED}: is_valid True instead of False",
    ),
    "a wrong status": (
        lambda both: both.orders[PLAIN].update(status="dispatched"),
        "differing",
        f"order {PLAIN}: status dispatched instead of placed",
    ),
    "a claim that beats the evidence": (
        lambda both: both.orders[BACK].update(status="dispatched"),
        "differing",
        f"order {BACK}: status dispatched instead of partial_refund",
    ),
    "a refund that nobody sees": (
        lambda both: both.orders[BACK].update(lineitems=[{"quantity": 3}]),
        "differing",
        f"order {BACK}: pieces refunded 0 instead of 1, refunded 0 instead of 50.00",
    ),
    "a refund that was taken back": (
        lambda both: both.row("returns", BACK).update(void_ok="Y"),
        "differing",
        f"order {BACK}: pieces refunded 1 instead of 0, refunded 50.0 instead of 0, "
        "status partial_refund instead of dispatched",
    ),
    "a parcel that was taken back before the stages": (
        lambda both: both.row("shipments", BACK).update(void_ok="Y"),
        "differing",
        f"order {BACK}: pieces refunded 1 instead of 0",
    ),
    "goods from a warehouse that no rule knows": (
        lambda both: both.row("order-lines", PLAIN).update(location="0099"),
        "differing",
        f"order {PLAIN}: location 0099, which no rule knows",
    ),
    "a parcel from a warehouse that no rule knows": (
        lambda both: both.row("shipments", BACK).update(location="0099"),
        "differing",
        f"order {BACK}: location 0099, which no rule knows",
    ),
    "the wrong store": (
        lambda both: both.orders[PLAIN].update(store="ie"),
        "differing",
        f"order {PLAIN}: store ie instead of uk",
    ),
    "another customer's order": (
        lambda both: both.orders[PLAIN]["customer"].update(id="00000002"),
        "differing",
        f"order {PLAIN}: customer 00000002 instead of 00000001",
    ),
    "an hour too late": (
        lambda both: both.orders[PLAIN].update(timestamp="2026-01-05T09:00:00Z"),
        "differing",
        f"order {PLAIN}: timestamp",
    ),
    "a missing order": (
        lambda both: both.orders.pop(PLAIN),
        "unaccounted",
        f"order {PLAIN} is neither in Ometria nor held",
    ),
    "an extra order": (
        lambda both: both.orders.update({"0000009999": _shown("0000009999", 1.0, 1)}),
        "unaccounted",
        "order 0000009999 is in Ometria only",
    ),
    "a wholesale order": (
        lambda both: both.orders.update({WHOLESALE: _shown(WHOLESALE, 100.0, 2)}),
        "differing",
        f"order {WHOLESALE} is in Ometria, but wholesale orders are not sent",
    ),
    "an unjustified hold": (
        lambda both: both.held.update({PLAIN: "totals_differ"}),
        "differing",
        f"order {PLAIN} is held (totals_differ), but nothing is wrong with it",
    ),
    "an orphan that nobody holds": (
        lambda both: both.held.pop(ORPHAN),
        "unaccounted",
        f"order {ORPHAN} is neither in Ometria nor held",
    ),
}


@pytest.mark.parametrize("what", PLANTED)
def test_a_planted_mistake_is_found_and_nothing_else(both: Both, what: str) -> None:
    plant, account, said = PLANTED[what]
    plant(both)
    found = both.audit()
    told = {"differing": found.differing, "unaccounted": found.unaccounted}
    assert not found.is_clean
    assert len(told[account]) == 1
    assert told[account][0].startswith(said)
    assert len(found.differing) + len(found.unaccounted) == 1


PEOPLE: dict[str, tuple[Callable[[Both], Any], str]] = {
    "an opt-out that became an opt-in": (
        lambda both: both.contacts["00000002"].update(marketing_optin="EXPLICITLY_OPTEDIN"),
        "contact 00000002: marketing_optin",
    ),
    "a consent without its date": (
        lambda both: both.rows["customers"][0].update(consent_date=None),
        "contact 00000001: marketing_optin",
    ),
    "a consent that nobody gave": (
        lambda both: both.rows["customers"][0].update(email_ok=""),
        "contact 00000001: marketing_optin",
    ),
    "an old address": (
        lambda both: both.contacts["00000001"].update(email="old@example.com"),
        "contact 00000001: email",
    ),
    "a missing contact": (
        lambda both: both.contacts.pop("00000001"),
        "contact 00000001 is neither in Ometria nor held",
    ),
    "an erased person": (
        lambda both: both.contacts.update({"00000004": {}}),
        "contact 00000004 was erased and is in Ometria",
    ),
    "a stranger": (lambda both: both.contacts.update({"00000099": {}}), "contact 00000099 is in Ometria only"),
}


@pytest.mark.parametrize("what", PEOPLE)
def test_a_planted_mistake_in_a_contact_is_found(both: Both, what: str) -> None:
    plant, said = PEOPLE[what]
    plant(both)
    found = both.audit_contacts()
    assert [*found.differing, *found.unaccounted] == [said]


def test_an_order_that_blue_cherry_dropped_is_counted_apart(both: Both) -> None:
    """F2: Blue Cherry deletes without a trace; in Ometria it counts as revenue no more."""
    for resource in OF_ORDERS:
        both.rows[resource] = [row for row in both.rows[resource] if row["ord_num"] != PLAIN]
    both.deleted = {PLAIN}
    assert both.audit().differing == [f"order {PLAIN} was deleted in Blue Cherry, and counts as revenue in Ometria"]
    both.orders[PLAIN]["is_valid"] = False
    found = both.audit()
    assert found.is_clean
    assert found.vanished == 1


@pytest.mark.parametrize(
    "fault",
    [
        {"ord_status": "Q7"},
        {"division": "9X9"},
        {"ord_type": "K"},
        {"currency": "EUR"},
        {"ord_total": "100.05"},
        {"ord_total": "one hundred"},
        {"email": "nobody"},
        {"customer": "", "email": ""},
        {"last_name": "N" * 65},
    ],
    ids=lambda fault: "+".join(fault),
)
def test_a_hold_with_a_reason_is_justified(both: Both, fault: dict[str, str]) -> None:
    both.row("orders", PLAIN).update(fault)
    both.held[PLAIN] = "a reason"
    del both.orders[PLAIN]
    assert both.audit().is_clean


@pytest.mark.parametrize(
    ("resource", "fault"),
    [
        ("order-lines", {"location": "0099"}),
        ("order-lines", {"size03_qty": "1 pcs"}),
        ("order-lines", {"size03_qty": -2}),
        ("shipments", {"location": "0099"}),
        ("shipment-lines", {"size03_qty": "all"}),
        ("returns", {"refund_total": "half"}),
        ("return-lines", {"refund_amt": "half"}),
    ],
    ids=lambda value: value if isinstance(value, str) else "+".join(f"{name} {cell}" for name, cell in value.items()),
)
def test_a_hold_for_a_part_of_the_order_is_justified(both: Both, resource: str, fault: dict[str, Any]) -> None:
    both.row(resource, BACK).update(fault)
    both.held[BACK] = "a reason"
    assert both.audit().is_clean


@pytest.mark.parametrize(("column", "code"), [("hold_code", "ZZ"), ("cancel_code", "QQ")], ids=lambda value: str(value))
def test_a_reason_that_no_rule_knows_is_no_reason_to_hold(both: Both, column: str, code: str) -> None:
    """P13: only the event that would give the reason waits."""
    both.row("orders", PLAIN).update({column: code})
    assert both.audit().is_clean
    both.held[PLAIN] = "unmapped_reason"
    assert both.audit().differing == [f"order {PLAIN} is held (unmapped_reason), but nothing is wrong with it"]


def test_a_voided_parcel_is_no_reason_to_hold(both: Both) -> None:
    both.row("shipments", BACK).update(location="0099", void_ok="Y")
    both.held[BACK] = "unknown_warehouse"
    assert both.audit().differing == [f"order {BACK} is held (unknown_warehouse), but nothing is wrong with it"]


@pytest.mark.parametrize("location", ["", "POE", "S101"])
def test_a_known_location_or_none_is_no_reason_to_hold(both: Both, location: str) -> None:
    both.row("order-lines", PLAIN).update(location=location)
    assert both.audit().is_clean
    both.held[PLAIN] = "unknown_warehouse"
    assert both.audit().differing == [f"order {PLAIN} is held (unknown_warehouse), but nothing is wrong with it"]


def test_the_audit_shares_nothing_between_runs(both: Both) -> None:
    before = deepcopy(both)
    both.audit(), both.audit_contacts()
    assert both == before
