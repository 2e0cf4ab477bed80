"""Every life, change and defect that `docs/apparel.md` names comes about; the log of defects is the truth."""

import re
from collections import defaultdict
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest

from bc_ometria.sandbox.apparel import Apparel
from bc_ometria_tests.sandbox.test_apparel_rows import START, Rows, replay

DOCUMENT = Path(__file__).parents[2] / "docs" / "apparel.md"
CUSTOMER_DEFECTS = {
    "missing_email",
    "missing_phone",
    "missing_country",
    "bad_email",
    "invalid_birth_date",
    "overlong_name",
}
ORDER_DEFECTS = {
    "unknown_division",
    "unknown_currency",
    "bucket_text",
    "bad_email",
    "overlong_name",
    "unmapped_status",
    "unknown_hold_code",
    "lines_without_header",
    "header_without_lines",
    "deleted_order",
}
STATUSES = {"O", "H", "A", "P", "B", "S", "C", "X", "R"}


@pytest.fixture(scope="module")
def long_run() -> tuple[Apparel, Rows]:
    """Six weeks of two hundred orders a day."""
    apparel = Apparel(7, customers=1500, orders_per_day=200)
    rows = replay(apparel.catalogue())
    for day in range(1, 43):
        rows = replay(apparel.advance(START + timedelta(days=day)), rows)
    return apparel, rows


def test_every_documented_life_occurs_and_no_other(long_run: tuple[Apparel, Rows]) -> None:
    apparel, _ = long_run
    documented = set(re.findall(r"^\| `([^`]+)` \|", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE))
    assert set(apparel.happened) == documented


def is_email(text: str) -> bool:
    return bool(re.fullmatch(r"[a-z0-9.]+@example\.com", text))


def is_date(value: object) -> bool:
    return value is None or isinstance(value, date)


def customer_defects(rows: Rows) -> Iterator[tuple[str, str]]:
    """The defects of consumers, found in the rows alone."""
    for row in rows["customers"].values():
        if row["erased_ok"] or row["customer"].startswith("W"):
            continue
        found = {
            "missing_email": not row["email"],
            "missing_phone": not row["phone"],
            "missing_country": not row["country"],
            "bad_email": row["email"] and not is_email(row["email"]),
            "invalid_birth_date": not is_date(row["birth_date"]),
            "overlong_name": len(row["last_name"]) > 64,
        }
        yield from ((kind, row["customer"]) for kind, bad in found.items() if bad)


def order_defects(rows: Rows) -> Iterator[tuple[str, str]]:
    """The defects of orders that are there, found in the rows alone."""
    lines = defaultdict(list)
    for line in rows["order-lines"].values():
        lines[line["fkey"]].append(line)
    for row in rows["orders"].values():
        texts = [
            value for line in lines.get(row["pkey"], ()) for name, value in line.items() if name.startswith("size")
        ]
        found = {
            "unknown_division": row["division"] not in ("100", "200", "300"),
            "unknown_currency": row["currency"] not in ("GBP", "EUR"),
            "bad_email": row["email"] and not is_email(row["email"]),
            "overlong_name": len(row["last_name"]) > 64,
            "unmapped_status": row["ord_status"] not in STATUSES,
            "unknown_hold_code": row["hold_code"] not in ("", "CR", "AD", "FR"),
            "header_without_lines": row["pkey"] not in lines,
            "bucket_text": any(isinstance(text, str) for text in texts),
        }
        yield from ((kind, row["ord_num"]) for kind, bad in found.items() if bad)
    yield from (
        ("lines_without_header", line["ord_num"])
        for line in rows["order-lines"].values()
        if line["fkey"] not in rows["orders"]
    )


def recent(rows: Rows, since: datetime) -> set[str]:
    """Orders of which something came since: header and lines of some of them are still apart."""
    return {
        row["ord_num"]
        for resource in ("orders", "order-lines")
        for row in rows[resource].values()
        if row["last_mod"] > since
    }


def test_the_standing_defects_are_those_in_the_rows(long_run: tuple[Apparel, Rows]) -> None:
    """P1, P13: counted from the rows alone, the defects are exactly those of the log that are not mended."""
    apparel, rows = long_run
    standing = defaultdict(set)
    for defect in apparel.defects:
        if defect.mended is None:
            standing[defect.resource].add((defect.kind, defect.key))
    assert set(customer_defects(rows)) == standing["customers"]
    on_the_way = recent(rows, apparel.now - timedelta(minutes=20))
    deleted = {defect for defect in standing["orders"] if defect[0] == "deleted_order"}
    found = set(order_defects(rows))
    assert standing["orders"] - deleted <= found
    assert all(
        kind in ("lines_without_header", "header_without_lines") and key in on_the_way
        for kind, key in found - standing["orders"]
    )
    for resource in ("orders", "order-lines", "order-stages", "shipments", "returns"):
        assert not {row["ord_num"] for row in rows[resource].values()} & {key for _, key in deleted}


def test_every_kind_of_defect_is_planted_and_logged_once(long_run: tuple[Apparel, Rows]) -> None:
    apparel, _ = long_run
    assert {defect.kind for defect in apparel.defects if defect.resource == "orders"} == ORDER_DEFECTS
    assert {defect.kind for defect in apparel.defects if defect.resource == "customers"} == CUSTOMER_DEFECTS
    assert [defect.at for defect in apparel.defects] == sorted(defect.at for defect in apparel.defects)
    open_now = [(d.kind, d.resource, d.key) for d in apparel.defects if d.mended is None]
    assert len(open_now) == len(set(open_now))
    mendable = {
        "unmapped_status",
        "unknown_currency",
        "bucket_text",
        "lines_without_header",
        "unknown_hold_code",
    }
    for kind in mendable:
        assert {d.mended is None for d in apparel.defects if d.kind == kind} == {True, False}, kind


def test_defects_are_rare_and_only_in_orders_of_consumers(long_run: tuple[Apparel, Rows]) -> None:
    apparel, rows = long_run
    trade = {row["ord_num"] for row in rows["orders"].values() if row["ord_type"] in "SE"}
    orders = {defect.key for defect in apparel.defects if defect.resource == "orders"}
    assert not trade & orders
    assert len(trade) > 100
    assert 0.01 < len(orders) / len(rows["orders"]) < 0.06


def test_accounts_are_told_by_their_code_and_name_nobody(long_run: tuple[Apparel, Rows]) -> None:
    """Q3: trade customers place the wholesale and EDI orders, and only those."""
    _, rows = long_run
    accounts = {row["customer"]: row for row in rows["customers"].values() if row["customer"].startswith("W")}
    assert len(accounts) == 12
    assert not any(row["email"] or row["phone"] or row["email_ok"] for row in accounts.values())
    for order in rows["orders"].values():
        assert (order["customer"] in accounts) == (order["ord_type"] in "SE")


def test_consent_has_a_date_where_it_is_known_and_none_where_it_is_not(
    long_run: tuple[Apparel, Rows],
) -> None:
    """Q1: a blank is never a no."""
    _, rows = long_run
    people = rows["customers"].values()
    assert {row["email_ok"] for row in people} == {"Y", "N", ""}
    assert all((row["consent_date"] is None) == (not row["email_ok"] and not row["sms_ok"]) for row in people)
    changed = [row for row in people if row["consent_date"] and row["consent_date"] > START]
    assert changed


def test_merges_point_at_another_customer(long_run: tuple[Apparel, Rows]) -> None:
    """F1"""
    _, rows = long_run
    people = {row["customer"]: row for row in rows["customers"].values()}
    merged = [row for row in people.values() if row["merged_into"]]
    assert merged
    assert all(row["merged_into"] in people and row["merged_into"] != row["customer"] for row in merged)
    assert not any(row["active_ok"] for row in merged)


def test_exchanges_point_at_the_order_they_replace(long_run: tuple[Apparel, Rows]) -> None:
    """P22"""
    _, rows = long_run
    numbers = {row["ord_num"] for row in rows["orders"].values()}
    exchanges = [row for row in rows["orders"].values() if row["pay_method"] == "EXCH"]
    returned = {row["ord_num"] for row in rows["returns"].values() if row["reason_code"] == "EX"}
    assert exchanges
    assert {row["aux_ref_num"] for row in exchanges} <= returned & numbers


def test_parcels_void_and_late_tracking(long_run: tuple[Apparel, Rows]) -> None:
    """F3"""
    apparel, rows = long_run
    parcels = rows["shipments"].values()
    assert sum(row["void_ok"] == "Y" for row in parcels) == apparel.happened["voided shipment"]
    assert all(
        row["tracking"] for row in parcels if row["last_mod"] < apparel.now - timedelta(days=2) and not row["void_ok"]
    )
    assert any(not row["tracking"] for row in parcels)
    warehouses = defaultdict(set)
    for row in parcels:
        warehouses[row["ord_num"]].add(row["location"])
    assert sum(len(places) > 1 for places in warehouses.values()) > 50
