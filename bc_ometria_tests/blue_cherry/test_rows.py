"""Typed rows: what becomes of each cell, and that a malformed row is held alone."""

import subprocess
import sys
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bc_ometria.blue_cherry import RESOURCES, SCHEMAS, MissingColumn, typed_rows
from bc_ometria.blue_cherry.rows import KEYS, typed_keys
from bc_ometria.blue_cherry.schemas import BUCKETED, BUCKETS, frame_dtypes, served_columns
from bc_ometria.sandbox.changes import Value
from bc_ometria_tests.blue_cherry.tenant import PROFILE, line, order, served, without

Row = dict[str, Any]


def cell(resource: str, row: Row, column: str) -> Any:
    return typed_rows(resource, [row], PROFILE).frame[column].item()


@pytest.mark.parametrize("resource", RESOURCES)
def test_columns_and_dtypes_are_those_of_the_schema_with_rows_and_without(resource: str) -> None:
    blank: Row = dict.fromkeys(served_columns(resource), "")
    row = {
        name: {
            "integer": 1,
            "money": "0.00",
            "stamp": "2026-11-23 09:05:00",
            "currency": "GBP",
            "flag": "Y",
        }.get(column.kind, "A")
        for name, column in served_columns(resource).items()
    }
    row |= {"total_qty": 24} if "total_qty" in row else {}
    for rows in ([], [row]):
        frame, held = typed_rows(resource, rows, PROFILE)
        assert held.empty
        assert {name: str(dtype) for name, dtype in frame.dtypes.items()} == frame_dtypes(resource)
        assert list(frame.columns) == list(SCHEMAS[resource].columns)
        SCHEMAS[resource].validate(frame)
        assert len(frame) == len(rows) * (24 if resource in BUCKETED else 1)
    assert not typed_rows(resource, [row, blank], PROFILE).held.empty


@pytest.mark.parametrize("resource", RESOURCES)
def test_the_schemas_know_the_columns_that_the_stand_in_serves(resource: str) -> None:
    row = served(resource, {"pkey": 1})
    assert set(served_columns(resource)) <= set(row)


@pytest.mark.parametrize(
    ("column", "given", "typed"),
    [
        ("ord_num", "0000001042", "0000001042"),
        ("ord_num", "42        ", "42"),
        ("division", "UK ", "UK"),
        ("hold_code", "  ", ""),
        ("hold_code", None, ""),
        ("first_name", " Zoë Ægir ", "Zoë Ægir"),
        ("ord_total", "129.00", 12900),
        ("ord_total", "129", 12900),
        ("ord_total", " 129.5 ", 12950),
        ("ord_total", ".50", 50),
        ("ord_total", "-0.01", -1),
        ("ord_total", "129.0000", 12900),
        ("ord_total", "9999999999999.99", 999999999999999),
        ("ord_total", 129, 12900),
        ("ord_total", 0.29, 29),
        ("ord_total", 1234567.89, 123456789),
        ("pkey", 7, 7),
        ("pkey", "7  ", 7),
        ("pkey", 7.0, 7),
        ("pkey", 2**63 - 1, 2**63 - 1),
        ("ord_date", "2026-11-23 09:05:00", pd.Timestamp("2026-11-23 09:05:00")),
        ("ord_date", "2026-11-23", pd.Timestamp("2026-11-23")),
        ("ord_date", " 2026-11-23 09:05:00 ", pd.Timestamp("2026-11-23 09:05:00")),
        ("ord_date", "9999-12-31 23:59:59", pd.Timestamp("9999-12-31 23:59:59")),
    ],
)
def test_a_cell_is_typed(column: str, given: object, typed: object) -> None:
    assert cell("orders", order(**{column: given}), column) == typed


def test_a_blank_time_is_no_time_and_no_fault() -> None:
    stage: dict[str, Value] = {"pkey": 1, "last_mod": "2026-11-23 09:05:00", "fkey": 7, "ord_num": "42"}
    frame, held = typed_rows("order_stages", [served("order_stages", stage)], PROFILE)
    assert held.empty
    assert frame["trans_date"].isna().all()


def test_buckets_become_rows() -> None:
    frame = typed_rows("order_lines", [line(), line(pkey=71, size03_qty=0, size05_qty=0, total_qty=0)], PROFILE).frame
    assert frame[["pkey", "bucket", "quantity", "total_qty"]].values.tolist() == [
        [70, 3, 2, 3],
        [70, 5, 1, 3],
        [71, 0, 0, 0],
    ]
    assert frame["row_hash"].nunique() == 2


def test_what_is_available_to_sell_may_be_negative_and_has_no_total() -> None:
    stock = served("inventory", {"pkey": 1, "last_mod": "2026-11-23 09:05:00", "style": "0420", "size02_qty": -3})
    frame, held = typed_rows("inventory", [stock], PROFILE)
    assert held.empty
    assert frame[["bucket", "quantity"]].values.tolist() == [[2, -3]]


@pytest.mark.parametrize(
    ("resource", "field", "given", "rule"),
    [
        ("orders", "pkey", "x7", "is not a whole number"),
        ("orders", "pkey", None, "is blank"),
        ("orders", "pkey", True, "is not a whole number"),
        ("orders", "pkey", 2**63, "is beyond"),
        ("orders", "last_mod", "", "is blank"),
        ("orders", "last_mod", "yesterday", "is not a time as %Y-%m-%d %H:%M:%S"),
        ("orders", "ord_date", "2026-02-30 09:05:00", "is not a time"),
        ("orders", "ord_date", "23/11/2026", "is not a time"),
        ("orders", "ord_date", "2026-11-23T09:05:00+00:00", "is not a time"),
        ("orders", "ord_date", "now", "is not a time"),
        ("orders", "ord_date", " Today ", "is not a time"),
        ("orders", "ord_date", " today ", "is not a time"),
        ("orders", "ord_date", "NaT", "is not a time"),
        ("orders", "ord_date", 20261123, "is a number, but text is expected"),
        ("orders", "ord_date", "", "is blank"),
        ("orders", "currency", "GBX", "is not a currency of ISO 4217"),
        ("orders", "currency", "", "is not a currency of ISO 4217"),
        ("orders", "ord_num", 42, "codes keep their leading zeros"),
        ("orders", "ord_num", "          ", "is blank"),
        ("orders", "ord_num", "00000001042", "is longer than 10 characters"),
        ("orders", "promo_code", "x" * 256, "is longer than 255 characters"),
        ("orders", "first_name", ["Anna"], "is neither text nor a number"),
        ("orders", "first_name", "An\0na", "holds a NUL character"),
        ("orders", "ord_total", "129.005", "is not an amount"),
        ("orders", "ord_total", "1,290.00", "is not an amount"),
        ("orders", "ord_total", "", "is blank"),
        ("orders", "ord_total", "-", "is not an amount"),
        ("orders", "ord_total", "NaN", "is not an amount"),
        ("orders", "ord_total", "١٢٩.00", "is not an amount"),
        ("orders", "ord_total", 1e13, "is not an amount"),
        ("orders", "ord_total", True, "is not an amount"),
        ("orders", "disc_amt", "-5.00", "is less than 0"),
        ("order_lines", "size03_qty", "two", "is not a whole number"),
        ("order_lines", "size03_qty", 1.5, "is not a whole number"),
        ("order_lines", "size03_qty", None, "is blank"),
        ("order_lines", "size03_qty", {"qty": 2}, "is not a whole number"),
        ("order_lines", "size03_qty", 2**31, "is beyond"),
        ("order_lines", "total_qty", 4, "differs from the sum of the size buckets"),
        ("order_lines", "fkey", "", "is blank"),
        ("order_lines", "line_disc", "-0.01", "is less than 0"),
    ],
)
def test_a_malformed_row_is_held_alone(resource: str, field: str, given: object, rule: str) -> None:
    """P1: the neighbours go on, and what is held says field and rule."""
    make, key = {"orders": (order, 7), "order_lines": (line, 70)}[resource]
    rows = [make(pkey=1), make(**{field: given}), make(pkey=2)]
    frame, held = typed_rows(resource, rows, PROFILE)
    assert sorted(set(frame["pkey"])) == [1, 2]
    alone = typed_rows(resource, [rows[0], rows[2]], PROFILE).frame
    pd.testing.assert_frame_equal(frame, alone)
    (fault,) = held.to_dict("records")
    assert (fault["resource"], fault["field"]) == (resource, field)
    assert rule in fault["rule"]
    assert fault["reference"] == ("0000001042" if field != "ord_num" else "")
    if field == "pkey":
        assert pd.isna(fault["pkey"])
        assert len(fault["row_key"]) == 32
    else:
        assert (fault["pkey"], fault["row_key"]) == (key, str(key))


def test_a_negative_quantity_is_held_under_the_name_of_its_bucket() -> None:
    _, held = typed_rows("order_lines", [line(size03_qty=-2, total_qty=-1), line(pkey=1)], PROFILE)
    assert held[["pkey", "field", "rule", "masked"]].values.tolist() == [
        [70, "size03_qty", "is a negative quantity", "-2"]
    ]


@pytest.mark.parametrize("flag", ["y", "1", "YES", "?"])
def test_a_consent_that_is_neither_yes_no_nor_blank_is_never_guessed(flag: str) -> None:
    """Q1."""
    customer: dict[str, Value] = {"pkey": 5, "last_mod": "2026-11-23 09:05:00", "customer": "C0000012"}
    frame, held = typed_rows("customers", [served("customers", customer, email_ok=flag)], PROFILE)
    assert frame.empty
    assert held[["reference", "field", "rule"]].values.tolist() == [["C0000012", "email_ok", "is not Y, N or blank"]]


def test_every_broken_field_of_a_row_is_told() -> None:
    _, held = typed_rows("orders", [order(ord_total="x", currency="??", ord_date="x"), order(pkey=1)], PROFILE)
    # What cannot be typed comes first; the checks of the values need every type.
    assert held["field"].tolist() == ["ord_date", "ord_total"]


def test_a_key_missing_from_one_row_holds_that_row() -> None:
    frame, held = typed_rows("orders", [order(pkey=1), without(order(), "ord_status"), {}], PROFILE)
    assert frame["pkey"].tolist() == [1]
    assert held.loc[held["pkey"] == 7, ["field", "rule", "masked"]].values.tolist() == [
        ["ord_status", "is missing from the row", "nothing"]
    ]
    assert set(held.loc[held["pkey"].isna(), "field"]) == set(served_columns("orders"))


@pytest.mark.parametrize("column", ["ord_total", "ord_status", "promo_code"])
def test_a_column_missing_from_all_rows_fails_at_the_border(column: str) -> None:
    rows = [without(order(pkey=pkey), column) for pkey in (1, 2)]
    with pytest.raises(MissingColumn, match=f"orders come without the column '{column}'") as missing:
        typed_rows("orders", rows, PROFILE)
    assert (missing.value.resource, missing.value.column) == ("orders", column)


def test_a_tenants_names_are_read_under_ours_and_absent_columns_are_blank() -> None:
    orders = PROFILE.resource("orders").model_copy(
        update={"columns": {"ord_status": "STATE"}, "absent": ("promo_code", "hold_code")}
    )
    profile = PROFILE.model_copy(update={"resources": PROFILE.resources.model_copy(update={"orders": orders})})
    row = without(without(order(), "promo_code"), "ord_status") | {"STATE": "X ", "hold_code": "H1"}
    frame, held = typed_rows("orders", [row], profile)
    assert held.empty
    assert frame[["ord_status", "promo_code", "hold_code"]].values.tolist() == [["X", "", ""]]
    same = typed_rows("orders", [order(ord_status="X ")], PROFILE).frame
    pd.testing.assert_frame_equal(frame, same)


def test_nothing_personal_is_shown_of_what_is_held() -> None:
    """Truth 9; a shifted column can put a name or an address where a code belongs."""
    rows = [
        order(pkey=1, email="anna@example.com" * 20, phone=7700900123, first_name={"name": "Anna"}),
        order(pkey=2, ord_num="anna@example.com", ord_status="anna@example.com", pay_method="Anna " * 60),
        order(pkey=3, ord_total="anna@example.com", currency="anna@example.com"),
        order(pkey=4, ord_date="Anna", ord_total="+44 7700900123", ord_status="Anna", email=True),
        order(pkey="Anna", ord_num="Anna Bell"),
    ]
    customer = served("customers", {"pkey": 5, "customer": "C1"}, birth_date="1990-13-01", last_mod="x")
    shown = (
        typed_rows("orders", rows, PROFILE).held.to_csv() + typed_rows("customers", [customer], PROFILE).held.to_csv()
    )
    assert "aaaa@aaaaaaa.aaa" in shown
    for secret in ("anna", "Anna", "7700900123", "1990"):
        assert secret not in shown


def test_of_rows_with_one_pkey_the_newest_wins_then_the_one_read_last() -> None:
    rows = [
        order(pkey=1, ord_status="S", last_mod="2026-11-23 09:07:00"),
        order(pkey=2, ord_status="A"),
        order(pkey=1, ord_status="O", last_mod="2026-11-23 09:06:00"),
        order(pkey=2, ord_status="P"),
        order(pkey=3, ord_status="O"),
    ]
    frame = typed_rows("orders", rows, PROFILE).frame
    assert frame[["pkey", "ord_status"]].values.tolist() == [[1, "S"], [2, "P"], [3, "O"]]


def test_a_malformed_row_is_forgotten_once_a_newer_version_is_good_and_held_once_it_is_not() -> None:
    bad, good = order(ord_total="x"), order(last_mod="2026-11-23 09:06:00")
    frame, held = typed_rows("orders", [bad, good], PROFILE)
    assert (len(frame), len(held)) == (1, 0)
    frame, held = typed_rows("orders", [order(), order(ord_total="x", last_mod="2026-11-23 09:06:00")], PROFILE)
    assert (len(frame), len(held)) == (0, 1)
    frame, held = typed_rows("orders", [order(pkey="?"), order(pkey="?"), order(pkey="?!")], PROFILE)
    assert (len(frame), len(held)) == (0, 2)


def test_the_hash_leaves_out_the_stamp_and_nothing_else() -> None:
    hashes = {cell("orders", order(last_mod=f"2026-11-23 09:06:0{n}"), "row_hash") for n in range(9)}
    assert len(hashes) == 1
    texts = {
        "text": "Q",
        "flag": "N",
        "currency": "SEK",
        "money": "3.21",
        "stamp": "2020-02-02",
        "integer": 99,
    }
    for name, column in served_columns("orders").items():
        if name != "last_mod":
            hashes.add(cell("orders", order(**{name: texts[column.kind]}), "row_hash"))
    assert len(hashes) == len(served_columns("orders"))
    assert all(isinstance(value, int) and -(2**63) <= value < 2**63 for value in hashes)


def test_the_hash_tells_neighbouring_cells_apart() -> None:
    rows = [order(ship_city="ab", ship_state="c"), order(pkey=8, ship_city="a", ship_state="bc")]
    assert typed_rows("orders", [row | {"pkey": 7} for row in rows[:1]], PROFILE).frame["row_hash"].item() != (
        typed_rows("orders", [row | {"pkey": 7} for row in rows[1:]], PROFILE).frame["row_hash"].item()
    )


def test_the_hash_is_the_same_in_every_process() -> None:
    script = (
        "from bc_ometria.blue_cherry import typed_rows\n"
        "from bc_ometria_tests.blue_cherry.tenant import PROFILE, line\n"
        "print(typed_rows('order_lines', [line()], PROFILE).frame['row_hash'][0])"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert int(run.stdout) == typed_rows("order_lines", [line()], PROFILE).frame["row_hash"][0]


PLAIN = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
STAMPS = st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1)).map(lambda at: at.replace(microsecond=0))  # noqa: DTZ001


def values(resource: str, column: str) -> st.SearchStrategy[Value]:
    rule = served_columns(resource)[column]
    if rule.kind == "integer":
        return st.integers(rule.minimum or 0, rule.maximum or 2**40)
    if rule.kind == "money":
        return st.decimals(0 if rule.minimum == 0 else -(10**9), 10**9, places=2)
    if rule.kind == "flag":
        return st.sampled_from(["Y", "N", ""])
    if rule.kind == "currency":
        return st.sampled_from(["GBP", "EUR", "SEK"])
    if rule.kind == "stamp":
        return STAMPS if column != "birth_date" else st.dates(date(1900, 1, 1), date(2020, 1, 1))
    return st.text(PLAIN, max_size=min(rule.width, 30)).map(str.strip).filter(lambda text: text or not rule.needed)


def rows_of(resource: str) -> st.SearchStrategy[dict[str, Value]]:
    columns = {name: values(resource, name) for name in RESOURCES[resource]}
    row = st.fixed_dictionaries(columns)
    if resource not in BUCKETED:
        return row
    buckets = st.dictionaries(st.sampled_from(BUCKETS), st.integers(0, 10**6), max_size=4)
    totals = {} if resource == "inventory" else {"total_qty"}
    return st.tuples(row, buckets).map(lambda pair: pair[0] | pair[1] | dict.fromkeys(totals, sum(pair[1].values())))


def as_typed(value: Any, kind: str) -> Any:
    if kind == "money":
        return int(Decimal(value) * 100)
    return pd.Timestamp(value) if kind == "stamp" else value


@pytest.mark.parametrize("resource", RESOURCES)
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_any_row_survives_the_way_over_the_wire(resource: str, data: st.DataObject) -> None:
    rows = data.draw(st.lists(rows_of(resource), min_size=1, max_size=4, unique_by=lambda row: row["pkey"]))
    frame, held = typed_rows(resource, [served(resource, row) for row in rows], PROFILE)
    assert held.empty
    firsts = frame.drop_duplicates("pkey")
    for name, column in RESOURCES[resource].items():
        assert firsts[name].tolist() == [as_typed(row[name], column.kind) for row in rows]
    if resource in BUCKETED:
        for row, (_, parts) in zip(rows, frame.groupby("pkey", sort=False), strict=True):
            sold = {BUCKETS.index(name) + 1: row[name] for name in BUCKETS if row.get(name)}
            assert dict(zip(parts["bucket"], parts["quantity"], strict=True)) == (sold or {0: 0})


@settings(max_examples=60, deadline=None)
@given(first=rows_of("order_lines"), second=rows_of("order_lines"))
def test_equal_content_has_equal_hashes_and_different_content_different_ones(
    first: dict[str, Value], second: dict[str, Value]
) -> None:
    blank = dict.fromkeys(BUCKETS, 0)
    contents = [without(blank | row, "last_mod") for row in (first, second)]  # type: ignore[arg-type]
    hashes = [cell_hash(row) for row in (first, second)]
    assert (hashes[0] == hashes[1]) == (contents[0] == contents[1])
    assert cell_hash({**first, "last_mod": second["last_mod"]}) == hashes[0]


def cell_hash(row: dict[str, Value]) -> int:
    frame, held = typed_rows("order_lines", [served("order_lines", row)], PROFILE)
    assert held.empty
    return int(frame["row_hash"][0])


def test_a_large_batch_with_a_few_bad_rows_keeps_all_others() -> None:
    """P1."""
    rows = [line(pkey=pkey) for pkey in range(2000)]
    bad = {3: {"size01_qty": "x"}, 700: {"unit_price": "x"}, 1999: {"style": "S" * 13}, 512: {"last_mod": ""}}
    for position, cells in bad.items():
        rows[position] |= cells
    frame, held = typed_rows("order_lines", rows, PROFILE)
    assert set(frame["pkey"]) == set(range(2000)) - set(bad)
    assert held["pkey"].tolist() == sorted(bad)
    assert np.array_equal(frame.groupby("pkey")["quantity"].sum(), np.full(1996, 3))


def test_keys_are_read_from_rows_that_have_nothing_else() -> None:
    """A row read twice counts once, with its newest stamp; a malformed one is left out and does no harm."""
    whole = served("orders", order())
    row = {name: whole[name] for name in KEYS}
    later, broken = row | {"last_mod": "2026-11-23 09:06:00"}, row | {"pkey": "?"}
    keys = typed_keys("orders", [later, row, broken, row | {"pkey": 8, "ord_num": "0000001043"}], PROFILE)
    assert keys.values.tolist() == [
        [8, "0000001043", pd.Timestamp("2026-11-23 09:05")],
        [7, "0000001042", pd.Timestamp("2026-11-23 09:06")],
    ]
    assert {name: str(dtype) for name, dtype in keys.dtypes.items()} == {
        name: frame_dtypes("orders")[name] for name in KEYS
    }
    assert typed_keys("orders", [], PROFILE).empty
    with pytest.raises(MissingColumn, match="ord_num"):
        typed_keys("orders", [{"pkey": 1, "last_mod": "2026-11-23 09:05:00"}], PROFILE)
