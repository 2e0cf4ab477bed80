"""How the stand-in of Blue Cherry writes its rows, and reads them back (`contracts/blue_cherry.md`)."""

import json
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bc_ometria.sandbox.blue_cherry.columns import QUANTITIES, RESOURCES
from bc_ometria.sandbox.blue_cherry.database import BlueCherryDatabase
from bc_ometria.sandbox.blue_cherry.encoding import decode, encode, unpack
from bc_ometria.sandbox.blue_cherry.query import Query
from bc_ometria.sandbox.changes import Delete, Value, Write
from bc_ometria.sandbox.clock import Clock

SUMMER = datetime(2026, 7, 1, 8, 0, 5, 900_000, tzinfo=UTC)


@pytest.fixture
def database() -> BlueCherryDatabase:
    return BlueCherryDatabase(Clock(SUMMER))


def served(resource: str, **row: Value) -> dict[str, object]:
    return json.loads(unpack(encode(resource, {"pkey": 1, **row})))


def test_every_resource_of_the_contract_serves_its_columns_in_order() -> None:
    assert set(RESOURCES) == {
        *("customers", "stores", "orders", "order-lines", "order-stages", "shipments", "shipment-lines"),
        *("returns", "return-lines", "styles", "style-colors", "sizes", "upcs", "inventory", "divisions"),
        "locations",
    }
    for resource, columns in RESOURCES.items():
        assert list(served(resource)) == [column.name for column in columns]
        assert list(served(resource))[:2] == ["pkey", "last_mod"]


def test_codes_are_padded_and_keep_zeros_and_a_blank_is_all_blanks() -> None:
    row = served("orders", ord_num="0001", customer=None, ord_status="C", division="001", hold_code="")
    assert row["ord_num"] == "0001      "
    assert row["customer"] == " " * 8
    assert (row["ord_status"], row["division"], row["hold_code"]) == ("C ", "001", "  ")
    assert row["ship_city"] == ""


def test_money_times_and_numbers() -> None:
    placed = datetime.fromisoformat("2026-11-23 09:05:00")
    row = served("orders", sub_total=Decimal("129"), disc_amt=Decimal("0.5"), ord_date=placed)
    assert (row["sub_total"], row["disc_amt"], row["tax_amt"]) == ("129.00", "0.50", "0.00")
    assert row["ord_date"] == "2026-11-23 09:05:00"
    customer = served("customers", birth_date=date(1990, 2, 3), create_date=date(2026, 1, 2), email_ok="Y")
    assert (customer["birth_date"], customer["create_date"]) == ("1990-02-03", "2026-01-02 00:00:00")
    assert (customer["email_ok"], customer["sms_ok"], customer["consent_date"]) == ("Y", " ", "")


def test_text_in_a_column_of_another_kind_stands_as_it_is() -> None:
    row = served("order-lines", size01_qty="six", unit_price="free", line_num="", style="X" * 13)
    assert (row["size01_qty"], row["unit_price"], row["line_num"], row["style"]) == (
        "six",
        "free",
        "",
        "X" * 13,
    )


@given(st.dictionaries(st.sampled_from(QUANTITIES), st.integers(-99_999, 99_999)))
def test_quantities_come_back_whatever_buckets_they_stand_in(quantities: dict[str, int]) -> None:
    row = served("order-lines", total_qty=7, **quantities)
    assert {name: row[name] for name in QUANTITIES} == {name: quantities.get(name, 0) for name in QUANTITIES}
    assert row["total_qty"] == 7


@given(
    name=st.text(),
    amount=st.decimals(-(10**6), 10**6, places=2),
    at=st.datetimes(),
)
def test_decoding_gives_what_was_written(name: str, amount: Decimal, at: datetime) -> None:
    at = at.replace(microsecond=0)
    row = decode("orders", encode("orders", {"pkey": 3, "first_name": name, "tax_amt": amount, "ord_date": at}))
    assert (row["pkey"], row["tax_amt"], row["ord_date"]) == (3, amount, at)
    assert row["first_name"] == name.rstrip(" ")
    assert row["last_mod"] is None


def test_a_write_without_a_stamp_gets_the_tenants_local_time(database: BlueCherryDatabase) -> None:
    database.apply([Write("orders", {"pkey": 1, "ord_num": "A1"})])
    (row,) = database.rows("orders")
    assert row["last_mod"] == datetime.fromisoformat("2026-07-01 09:00:05")


def test_writes_and_deletes_happen_in_their_order(database: BlueCherryDatabase) -> None:
    applied = database.apply(
        [
            Write("orders", {"pkey": 1, "ord_num": "old"}),
            Write("orders", {"pkey": 2, "ord_num": "gone"}),
            Delete("orders", 2),
            Write("orders", {"pkey": 1, "ord_num": "new"}),
            Delete("orders", 3),
            Write("orders", {"pkey": 3, "ord_num": "late"}),
        ]
    )
    assert applied == 6
    assert [(row["pkey"], row["ord_num"]) for row in database.rows("orders")] == [(1, "new"), (3, "late")]
    assert [row["pkey"] for row in database.rows("orders", ord_num="late")] == [3]
    assert (database.count("orders"), database.count("order-lines")) == (2, 0)


@pytest.mark.parametrize(
    "wrong",
    [Write("orders", {"pkey": 2, "colour": "red"}), Write("parcels", {"pkey": 2}), Delete("parcels", 2)],
)
def test_an_unknown_column_or_resource_changes_nothing(database: BlueCherryDatabase, wrong: Write | Delete) -> None:
    database.apply([Write("orders", {"pkey": 1})])
    with pytest.raises(ValueError, match=r"colour|parcels"):
        database.apply([Write("orders", {"pkey": 3}), wrong])
    assert [row["pkey"] for row in database.rows("orders")] == [1]
    assert database.count("orders") == 1


def test_more_rows_than_one_batch_are_all_there(database: BlueCherryDatabase) -> None:
    database.apply(Write("orders", {"pkey": n, "ord_num": f"{n}"}) for n in range(12_001))
    assert [row["pkey"] for row in database.rows("orders")] == list(range(12_001))


def test_a_raw_row_is_served_as_it_is_and_found_by_what_it_carries(database: BlueCherryDatabase) -> None:
    database.raw("orders", 1, '{"pkey": "one",\n"last_mod": "2026-01-01 00:00:00", "ord_num": "A1  "}')
    database.raw("orders", 0, '["no object"]')
    assert database.page(Query("orders")).rows.startswith(b'{"pkey": "one",\n')
    assert [row["pkey"] for row in database.rows("orders", ord_num="A1")] == ["one"]
    database.raw("orders", 0, "{half")
    assert database.page(Query("orders")).rows.endswith(b",{half")


def test_a_file_keeps_its_rows(tmp_path: object) -> None:
    path = f"{tmp_path}/blue_cherry.sqlite"
    BlueCherryDatabase(Clock(SUMMER), path=path).apply([Write("orders", {"pkey": 1})])
    assert BlueCherryDatabase(Clock(SUMMER), path=path).count("orders") == 1
