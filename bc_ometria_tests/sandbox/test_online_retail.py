"""The real orders as rows of Blue Cherry (`docs/online-retail.md`), against the files' own arithmetic."""

import csv
import gzip
from collections import Counter, defaultdict
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from bc_ometria.sandbox import online_retail
from bc_ometria.sandbox.blue_cherry import BlueCherryDatabase
from bc_ometria.sandbox.clock import Clock

DATA = Path(__file__).parents[3] / "shared" / "data" / "online_retail_ii"
SAMPLE = DATA / "sample" / "online_retail_sample.csv.gz"
needs_data = pytest.mark.skipif(not SAMPLE.is_file(), reason="the real orders are not beside this checkout")

SMALL = """\
536365,85123A,WHITE HANGING HEART,6,2010-12-01 08:26:00,2.55,17850,United Kingdom
536366,POST,POSTAGE,1,2010-12-01 08:28:00,18.0,12583,France
536365,85123a, WHITE HEART ,2,2010-12-01 08:27:00,0.001,17850,United Kingdom
536365,85123A,WHITE HANGING HEART,6,2010-12-01 08:26:00,2.55,17850,United Kingdom
C536379,85123A,wrongly marked,-4,2010-12-01 09:41:00,2.55,17850,EIRE
C536380,M,Manual,1,2010-12-01 09:42:00,373.57,,United Kingdom
536589,21777,,-10,2010-12-01 16:50:00,0.0,,United Kingdom
536590,21777,found,10,2010-12-01 16:51:00,0.0,,Unspecified
A563186,B,Adjust bad debt,1,2011-08-12 14:51:00,-11062.06,,United Kingdom
536591,21777,PLATE,3,2011-08-13 10:00:00,0.0,17850,EIRE
536592,DOT,DOTCOM POSTAGE,1,2011-08-14 10:00:00,1.2,,Channel Islands
"""


GOOD = SMALL.splitlines(keepends=True)[0]


def written(folder: Path, name: str, lines: str) -> Path:
    path = folder / name
    path.write_text(f"{online_retail.HEADER}\n{lines}", encoding="utf-8")
    return path


def loaded(path: Path | list[Path]) -> BlueCherryDatabase:
    database = BlueCherryDatabase(Clock())
    database.apply(online_retail.changes(path))
    return database


def by(rows: Iterable[dict[str, Any]], column: str) -> dict[Any, list[dict[str, Any]]]:
    found = defaultdict(list)
    for row in rows:
        found[row[column]].append(row)
    return found


@pytest.fixture
def small(tmp_path: Path) -> BlueCherryDatabase:
    return loaded(written(tmp_path, "orders.csv", SMALL))


def test_every_kind_of_invoice_has_its_status_and_stage(small: BlueCherryDatabase) -> None:
    stages = by(small.rows("order-stages"), "ord_num")
    orders = {row["ord_num"]: row for row in small.rows("orders")}
    assert {
        number: (
            row["ord_status"],
            [(s["rec_type"], s["total_qty"]) for s in stages[number]],
            str(row["ord_total"]),
        )
        for number, row in orders.items()
    } == {
        "536365": ("C", [("IN", 6), ("IN", 2), ("IN", 6)], "30.60"),
        "536366": ("C", [("IN", 1)], "18.00"),
        "C536379": ("X", [("CC", 4)], "10.20"),
        "C536380": ("X", [("CC", -1)], "-373.57"),
        "536589": ("W", [("SA", -10)], "0.00"),
        "536590": ("W", [("SA", 10)], "0.00"),
        "A563186": ("D", [], "-11062.06"),
        "536591": ("C", [("IN", 3)], "0.00"),
        "536592": ("C", [("IN", 1)], "1.20"),
    }


def test_an_invoice_keeps_repeated_lines_times_and_letters_of_codes(small: BlueCherryDatabase) -> None:
    (order,) = small.rows("orders", ord_num="536365")
    lines = list(small.rows("order-lines", ord_num="536365"))
    assert [(line["line_num"], line["style"], line["unit_price"]) for line in lines] == [
        (1, "85123A", Decimal("2.55")),
        (2, "85123a", Decimal("0.00")),
        (3, "85123A", Decimal("2.55")),
    ]
    assert {line["fkey"] for line in lines} == {order["pkey"]}
    assert (str(order["ord_date"]), str(order["last_mod"])) == ("2010-12-01 08:26:00", "2010-12-01 08:27:00")
    assert (order["ref_num2"], order["customer"], order["store"]) == ("536365", "17850", "000001")
    assert order["email"] == "customer-17850@example.com"


def test_a_guest_has_no_customer_no_address_and_no_email(small: BlueCherryDatabase) -> None:
    (order,) = small.rows("orders", ord_num="536592")
    assert (order["customer"], order["store"], order["email"], order["ship_country"]) == ("", "", "", "")


def test_a_customer_in_two_countries_has_an_address_in_each(small: BlueCherryDatabase) -> None:
    (customer,) = small.rows("customers", customer="17850")
    assert (customer["country"], customer["email_ok"], customer["sms_ok"]) == ("IE", "", "")
    assert str(customer["create_date"]) == "2010-12-01 08:26:00"
    assert str(customer["last_mod"]) == "2010-12-01 09:41:00"
    stores = small.rows("stores", customer="17850")
    assert [(s["store"], s["country"], s["default_ok"]) for s in stores] == [
        ("000001", "GB", "N"),
        ("000002", "IE", "Y"),
    ]
    (order,) = small.rows("orders", ord_num="536591")
    assert (order["store"], order["ship_country"]) == ("000002", "IE")


def test_a_style_is_called_what_it_is_called_most(small: BlueCherryDatabase) -> None:
    styles = {row["style"]: (row["style_name"], str(row["price"])) for row in small.rows("styles")}
    assert styles["85123A"] == ("WHITE HANGING HEART", "2.55")
    assert styles["85123a"] == ("WHITE HEART", "0.00")
    assert styles["21777"] == ("found", "0.00")


def test_an_invoice_in_two_files_is_taken_from_the_last(tmp_path: Path) -> None:
    first, second = SMALL.splitlines(keepends=True)[:4], SMALL.splitlines(keepends=True)[1:]
    written(tmp_path, "a.csv", "".join(first))
    written(tmp_path, "b.csv", "".join(second))
    database = loaded(tmp_path)
    assert Counter(row["ord_num"] for row in database.rows("orders")).most_common(1)[0][1] == 1
    assert database.count("order-lines") == len(second)


@pytest.mark.parametrize(
    "line",
    [
        GOOD.replace(",6,", ",six,"),
        "536365,85123A\n",
        GOOD.replace("2.55", "dear"),
        GOOD.replace("08:26", "08:66"),
    ],
)
def test_a_bad_line_is_named_by_file_and_line(tmp_path: Path, line: str) -> None:
    path = written(tmp_path, "bad.csv", SMALL + line)
    with pytest.raises(ValueError, match=r"bad\.csv, line 13"):
        list(online_retail.changes(path))


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="online_retail_nowhere"):
        list(online_retail.changes(tmp_path / "online_retail_nowhere.csv"))
    with pytest.raises(FileNotFoundError):
        list(online_retail.changes(tmp_path))
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match="InvoiceNo,StockCode"):
        list(online_retail.changes(tmp_path))


@pytest.fixture(scope="module")
def sample() -> BlueCherryDatabase:
    return loaded(SAMPLE)


@pytest.fixture(scope="module")
def source() -> dict[str, list[dict[str, str]]]:
    with gzip.open(SAMPLE, "rt", encoding="utf-8", newline="") as text:
        return by(csv.DictReader(text), "InvoiceNo")


@needs_data
def test_the_sample_is_served_whole_and_to_the_penny(
    sample: BlueCherryDatabase, source: dict[str, list[dict[str, str]]]
) -> None:
    orders = {row["ord_num"]: row for row in sample.rows("orders")}
    assert len(orders) == sample.count("orders") == 2274
    assert orders.keys() == source.keys()
    for number, lines in source.items():
        sign = -1 if number.startswith("C") else 1
        total = sum(sign * int(line["Quantity"]) * Decimal(line["UnitPrice"]) for line in lines)
        # One line of the sample costs 0.001, which money with two places cannot say.
        assert orders[number]["ord_total"] == round(total, 2)
        assert orders[number]["customer"] == lines[0]["CustomerID"]


@needs_data
def test_header_lines_and_stages_of_the_sample_agree(sample: BlueCherryDatabase) -> None:
    lines = by(sample.rows("order-lines"), "fkey")
    stages = by(sample.rows("order-stages"), "fkey")
    assert sum(map(len, lines.values())) == 51_215
    for order in sample.rows("orders"):
        own = lines.pop(order["pkey"])
        assert order["sub_total"] == sum(line["unit_price"] * line["total_qty"] for line in own)
        assert order["ord_total"] == (order["sub_total"] - order["disc_amt"] + order["frt_amt"] + order["tax_amt"])
        for line in own:
            assert line["ord_num"] == order["ord_num"]
            assert line["total_qty"] == line["size01_qty"]
            moved = [stage["total_qty"] for stage in stages.pop(line["pkey"], [])]
            assert moved == ([] if order["ord_status"] == "D" else [line["total_qty"]])
    assert not lines
    assert not stages


@needs_data
def test_everything_the_sample_names_is_there(sample: BlueCherryDatabase) -> None:
    customers = {row["customer"] for row in sample.rows("customers")}
    assert len(customers) == 368
    addresses = {(row["customer"], row["store"]) for row in sample.rows("stores")}
    for order in sample.rows("orders"):
        if order["customer"]:
            assert order["customer"] in customers
            assert (order["customer"], order["store"]) in addresses
    skus = {(row["style"], row["color_code"]) for row in sample.rows("style-colors")}
    assert {(line["style"], line["color_code"]) for line in sample.rows("order-lines")} == skus
    upcs = [row["upc"] for row in sample.rows("upcs")]
    assert len(set(upcs)) == len(upcs) == sample.count("styles") == len(skus)
    assert all(sum(int(d) * (3, 1)[i % 2] for i, d in enumerate(upc)) % 10 == 0 for upc in upcs)


@needs_data
def test_both_years_together_leave_out_the_days_that_stand_in_both() -> None:
    counts: Counter[str] = Counter()
    statuses: Counter[Any] = Counter()
    for change in online_retail.changes(DATA):
        counts[change.resource] += 1
        if change.resource == "orders":
            statuses[change.row["ord_status"]] += 1
    assert (counts["order-lines"], counts["orders"], counts["customers"]) == (1_044_847, 53_628, 5_942)
    assert statuses == {"C": 40_082, "X": 8_292, "W": 5_248, "D": 6}
