"""P1: a malformed row is held alone, with field and rule; its neighbours go, and so does its next good version."""

from typing import Any

import pytest

from bc_ometria_tests.scenarios.shop import Shop, customer, evaluations, header, line, stage, table

GOOD = "0000001999"

ORDERS: dict[str, tuple[str, dict[str, Any], str, str]] = {
    # order number: (resource, cells, field, what is said of it)
    "0000001001": ("orders", {"ord_total": "a hundred"}, "orders.ord_total", "is not an amount with at most two"),
    "0000001002": ("orders", {"ord_total": ["100.00"]}, "orders.ord_total", "is not an amount with at most two"),
    "0000001003": ("orders", {"ord_date": "31/02/2026"}, "orders.ord_date", "is not a time as %Y-%m-%d %H:%M:%S"),
    "0000001004": ("orders", {"ord_date": ""}, "orders.ord_date", "is blank, but every row needs it"),
    "0000001005": ("orders", {"currency": "GBX"}, "orders.currency", "is not a currency of ISO 4217 (GBX)"),
    "0000001006": ("orders", {"promo_code": "X" * 300}, "orders.promo_code", "is longer than 255 characters"),
    "0000001007": ("orders", {"division": 100}, "orders.division", "is a number, but text is expected"),
    "0000001008": ("orders", {"sub_total": ...}, "orders.sub_total", "is missing from the row"),
    "0000001009": ("order-lines", {"size03_qty": "1 pcs"}, "order_lines.size03_qty", "is not a whole number"),
    "0000001010": ("order-lines", {"size03_qty": -2, "total_qty": -2}, "order_lines.size03_qty", "is a negative"),
    "0000001011": ("order-lines", {"total_qty": 3}, "order_lines.total_qty", "differs from the sum of the size"),
    "0000001012": ("order-lines", {"unit_price": "50.001"}, "order_lines.unit_price", "is not an amount"),
    "0000001013": ("order-stages", {"size03_qty": None}, "order_stages.size03_qty", "is blank"),
}  # fmt: skip


def _plant(shop: Shop, number: str, resource: str, cells: dict[str, Any]) -> None:
    shop.order(number)
    row = {"orders": header, "order-lines": line, "order-stages": stage}[resource](number)
    shop.raw(resource, row, **cells)


@pytest.fixture
def with_bad_rows(shop: Shop) -> Shop:
    shop.write("customers", customer())
    shop.order(GOOD)
    for number, (resource, cells, _, _) in ORDERS.items():
        _plant(shop, number, resource, cells)
    return shop


def test_each_bad_row_is_held_alone_and_goes_when_its_next_version_is_good(with_bad_rows: Shop) -> None:
    shop = with_bad_rows
    result = shop.sync()
    assert result.success
    assert shop.states() == {GOOD: "confirmed", **dict.fromkeys(ORDERS, "held: invalid_field")}
    assert [id for id in shop.pushed if id in ORDERS] == []
    said = {record: (code, field, detail) for code, record, field, detail in shop.open_exceptions()}
    assert said.keys() == ORDERS.keys()
    for number, (_, _, field, rule) in ORDERS.items():
        assert said[number][:2] == ("invalid_field", field)
        assert rule in said[number][2]

    checks = evaluations(result)
    rows = checks["blue_cherry/orders:rows_are_well_formed"]
    assert not rows.passed
    assert rows.metadata["fields"].value == 8
    assert {(row["field"], row["rule"]) for row in table(rows, "rules")} >= {
        ("currency", "is not a currency of ISO 4217")
    }
    assert checks["blue_cherry/order_lines:rows_are_well_formed"].metadata["fields"].value == 4
    assert not checks["ometria/orders:orders_are_valid"].passed
    assert checks["ometria/orders:orders_are_valid"].metadata["records"].value == len(ORDERS)
    assert checks["ometria/orders:headers_and_lines_are_together"].passed

    shop.at("2026-01-05 11:00")
    for number in ORDERS:
        shop.order(number)
    mended = shop.sync()
    assert set(shop.states().values()) == {"confirmed"}
    assert shop.open_exceptions() == set()
    assert {name for name, check in evaluations(mended).items() if not check.passed} == set()
    assert sorted(map(str, shop.pushed)) == sorted(["00000001", GOOD, *ORDERS])


def test_a_bad_row_stays_held_and_is_reported_once_while_it_is_read_again(shop: Shop) -> None:
    shop.write("customers", customer())
    _plant(shop, "0000001005", "orders", {"currency": "GBX"})
    shop.sync()
    before = shop.open_exceptions()
    shop.sync()
    shop.redo("2026-01-05")
    assert shop.open_exceptions() == before
    assert shop.states() == {"0000001005": "held: invalid_field"}


def test_a_row_that_turns_bad_keeps_the_order_in_ometria_as_it_was(shop: Shop) -> None:
    """The newest version is held; the one before it was true when it was sent, and is not taken back."""
    shop.write("customers", customer())
    shop.order("0000001001")
    shop.sync()
    shop.at("2026-01-05 10:00")
    shop.cancel("0000001001", {1: 2})
    shop.raw("orders", header("0000001001", ord_status="X"), ord_total="one hundred")
    shop.sync()
    assert shop.states() == {"0000001001": "held: invalid_field"}
    assert shop.orders()["0000001001"]["status"] == "placed"
    shop.at("2026-01-05 10:30")
    shop.write("orders", header("0000001001", ord_status="X"))
    shop.sync()
    assert shop.states() == {"0000001001": "confirmed"}
    assert shop.orders()["0000001001"]["status"] == "cancelled"
    assert shop.open_exceptions() == set()


def test_a_row_that_turns_bad_and_back_again_closes_its_exception_and_is_not_sent_again(shop: Shop) -> None:
    shop.write("customers", customer())
    shop.order("0000001001")
    shop.sync()
    shop.at("2026-01-05 10:00")
    shop.raw("order-lines", line("0000001001"), size03_qty="two")
    shop.sync()
    assert shop.states() == {"0000001001": "held: invalid_field"}
    shop.at("2026-01-05 10:30")
    shop.write("order-lines", line("0000001001"))
    shop.sync()
    assert shop.states() == {"0000001001": "confirmed"}
    assert shop.open_exceptions() == set()
    assert shop.pushed == ["00000001", "0000001001"]


CUSTOMERS: dict[str, tuple[dict[str, Any], str, str]] = {
    "00000002": ({"birth_date": "1985-02-31"}, "customers.birth_date", "is not a time"),
    "00000003": ({"email_ok": "J"}, "customers.email_ok", "is not Y, N or blank"),
    "00000004": ({"email": 12}, "customers.email", "is a number, but text is expected"),
    "00000005": ({"email": "not an address"}, "email", "must be an e-mail address"),
    "00000006": ({"last_name": "N" * 65}, "lastname", "must have at most 64 characters"),
}


def test_a_bad_customer_is_held_alone_and_the_order_goes_all_the_same(shop: Shop) -> None:
    """P1 for contacts. An order names its customer by code and carries its own e-mail address."""
    shop.write("customers", customer())
    shop.order(GOOD)
    for code, (cells, _, _) in CUSTOMERS.items():
        shop.raw("customers", customer(code), **cells)
    shop.sync()
    assert shop.states("contact") == {"00000001": "confirmed", **dict.fromkeys(CUSTOMERS, "held: invalid_field")}
    assert shop.states() == {GOOD: "confirmed"}
    said = {record: (field, detail) for _, record, field, detail in shop.open_exceptions()}
    assert {code: said[code][0] for code in CUSTOMERS} == {code: field for code, (_, field, _) in CUSTOMERS.items()}
    assert [code for code, (_, _, rule) in CUSTOMERS.items() if rule not in said[code][1]] == []
    shop.at("2026-01-05 11:00")
    shop.write("customers", *(customer(code) for code in CUSTOMERS))
    shop.sync()
    assert set(shop.states("contact").values()) == {"confirmed"}
    assert shop.open_exceptions() == set()
