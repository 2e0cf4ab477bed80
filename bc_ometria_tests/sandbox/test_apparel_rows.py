"""The rows of `apparel` add up, whenever one looks (P21, F2, F3)."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from bc_ometria.sandbox.apparel import Apparel
from bc_ometria.sandbox.blue_cherry.columns import QUANTITIES, RESOURCES
from bc_ometria.sandbox.blue_cherry.database import BlueCherryDatabase
from bc_ometria.sandbox.changes import Change, Write
from bc_ometria.sandbox.clock import Clock

Rows = dict[str, dict[int, dict[str, Any]]]

START = datetime.fromisoformat("2026-01-05")
MOVING = ("OP", "RS", "PK", "IN", "CC", "CH")


def replay(changes: Iterable[Change], rows: Rows | None = None) -> Rows:
    """What Blue Cherry serves after ``changes``: rows by resource and pkey."""
    rows = defaultdict(dict) if rows is None else rows
    for change in changes:
        if isinstance(change, Write):
            rows[change.resource][change.row["pkey"]] = dict(change.row)
        else:
            del rows[change.resource][change.pkey]
    return rows


def rows_after(days: float, seed: int = 1, **size: int) -> Rows:
    apparel = Apparel(seed, **{"customers": 60, "orders_per_day": 60} | size)
    rows = replay(apparel.catalogue())
    return replay(apparel.advance(START + timedelta(days=days)), rows)


def quantities(row: dict[str, Any]) -> Counter[int]:
    """Pieces by bucket; a bucket served as text counts as the number it starts with."""
    return Counter(
        {bucket: int(str(row[column]).split()[0]) for bucket, column in enumerate(QUANTITIES, 1) if row.get(column)}
    )


def assert_stages_add_up(rows: Rows) -> None:
    by_line: defaultdict[int, Counter[int]] = defaultdict(Counter)
    shipped: defaultdict[int, int] = defaultdict(int)
    keys = Counter((stage["fkey"], stage["rec_type"], stage["location"]) for stage in rows["order-stages"].values())
    assert max(keys.values(), default=1) == 1
    for stage in rows["order-stages"].values():
        found = quantities(stage)
        assert stage["total_qty"] == found.total()
        assert min(found.values(), default=0) >= 0
        if stage["rec_type"] in MOVING:
            by_line[stage["fkey"]].update(found)
        shipped[stage["fkey"]] += {"IN": 1, "RT": -1}.get(stage["rec_type"], 0) * found.total()
    for pkey, line in rows["order-lines"].items():
        assert line["total_qty"] == quantities(line).total()
        assert by_line[pkey] == quantities(line), line["ord_num"]
    assert min(shipped.values(), default=0) >= 0
    assert shipped.keys() <= rows["order-lines"].keys()


def assert_money_adds_up(rows: Rows) -> None:
    lines: defaultdict[int, list[dict[str, Any]]] = defaultdict(list)
    for line in rows["order-lines"].values():
        lines[line["fkey"]].append(line)
    for pkey, order in rows["orders"].items():
        assert order["ord_total"] == order["sub_total"] - order["disc_amt"] + order["frt_amt"] + order["tax_amt"]
        if pkey in lines:
            assert order["sub_total"] == sum(line["unit_price"] * line["total_qty"] for line in lines[pkey])
            assert order["disc_amt"] == sum(line["line_disc"] for line in lines[pkey])
            assert order["tax_amt"] == sum(line["line_tax"] for line in lines[pkey])
            assert min(line["line_disc"] for line in lines[pkey]) >= 0


def assert_documents_agree_with_stages(rows: Rows) -> None:
    """What shipments and returns that are not void say is what ``IN`` and ``RT`` say, bucket by bucket."""
    over_the_counter = {order["ord_num"] for order in rows["orders"].values() if order["ord_type"] == "R"}
    numbers = {pkey: (line["ord_num"], line["line_num"]) for pkey, line in rows["order-lines"].items()}
    for documents, rec_type in (("shipment", "IN"), ("return", "RT")):
        proved: defaultdict[tuple[str, int], Counter[int]] = defaultdict(Counter)
        for line in rows[f"{documents}-lines"].values():
            header = rows[f"{documents}s"][line["fkey"]]
            assert header["ord_num"] == line["ord_num"]
            assert line["total_qty"] == quantities(line).total() > 0
            if not header["void_ok"]:
                proved[line["ord_num"], line["line_num"]].update(quantities(line))
        staged: defaultdict[tuple[str, int], Counter[int]] = defaultdict(Counter)
        for stage in rows["order-stages"].values():
            if stage["rec_type"] == rec_type and stage["total_qty"]:
                staged[numbers[stage["fkey"]]].update(quantities(stage))
        if rec_type == "IN":
            staged = defaultdict(Counter, {key: q for key, q in staged.items() if key[0] not in over_the_counter})
        assert proved == staged


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), orders_per_day=st.integers(0, 120), hours=st.integers(0, 24 * 25))
def test_stages_money_and_documents_add_up_at_any_moment(seed: int, orders_per_day: int, hours: int) -> None:
    rows = rows_after(hours / 24, seed, orders_per_day=orders_per_day, customers=20)
    assert_stages_add_up(rows)
    assert_money_adds_up(rows)
    assert_documents_agree_with_stages(rows)


def test_refunds_add_up_and_never_exceed_what_was_paid() -> None:
    rows = rows_after(45)
    refunded: defaultdict[int, Decimal] = defaultdict(Decimal)
    by_order: defaultdict[str, Decimal] = defaultdict(Decimal)
    for line in rows["return-lines"].values():
        refunded[line["fkey"]] += line["refund_amt"]
    for pkey, document in rows["returns"].items():
        assert document["refund_total"] == refunded[pkey]
        if not document["void_ok"]:
            by_order[document["ord_num"]] += document["refund_total"]
    paid = {order["ord_num"]: order["ord_total"] - order["frt_amt"] for order in rows["orders"].values()}
    assert all(amount <= paid[ord_num] for ord_num, amount in by_order.items())
    assert any(amount == paid[ord_num] for ord_num, amount in by_order.items())
    assert any(0 < amount < paid[ord_num] for ord_num, amount in by_order.items())


def test_a_settled_status_is_what_the_stages_prove() -> None:
    rows = rows_after(45)
    pieces: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for stage in rows["order-stages"].values():
        pieces[stage["ord_num"]][stage["rec_type"]] += stage["total_qty"]
    seen = Counter(order["ord_status"] for order in rows["orders"].values())
    assert seen.keys() == {"O", "H", "A", "P", "B", "S", "C", "X", "R", "Q7", "Z1"}
    for order in rows["orders"].values():
        found = pieces[order["ord_num"]]
        waiting = found["OP"] + found["RS"] + found["PK"]
        match order["ord_status"]:
            case "O" | "A" | "H" | "B":
                assert found["IN"] == found["PK"] == 0
            case "C":
                assert waiting == 0
                assert found["IN"] > found["RT"]
            case "X":
                assert waiting == found["IN"] == 0
                assert found["CC"] + found["CH"] > 0
            case "R":
                assert waiting == 0
                assert found["IN"] == found["RT"] > 0


def test_cancelled_pieces_stay_in_the_line_and_the_amounts() -> None:
    rows = rows_after(20)
    cancelled = [order for order in rows["orders"].values() if order["ord_status"] == "X"]
    assert len(cancelled) > 10
    assert all(order["ord_total"] > 0 and order["cancel_code"] for order in cancelled)


def test_every_row_has_the_columns_of_the_contract() -> None:
    """Only size buckets, size labels and colour calls may be left out, and are blank or 0 then."""
    optional = re.compile(r"size\d\d_qty|sz\d\d|call\d\d")
    rows = rows_after(20)
    assert rows.keys() == RESOURCES.keys()
    for resource, columns in RESOURCES.items():
        names = {column.name for column in columns}
        needed = {name for name in names if not optional.fullmatch(name)}
        widths = {column.name: column.width for column in columns if column.width}
        for row in rows[resource].values():
            assert needed <= row.keys() <= names, resource
            assert all(len(str(row[name])) <= width for name, width in widths.items() if row.get(name)), row


def test_the_stand_in_of_blue_cherry_takes_them() -> None:
    apparel = Apparel(2, customers=20, orders_per_day=30)
    database = BlueCherryDatabase(Clock())
    database.apply(apparel.catalogue())
    database.apply(apparel.advance(START + timedelta(days=12)))
    expected = rows_after(12, 2, customers=20, orders_per_day=30)
    assert {resource: database.count(resource) for resource in RESOURCES} == {
        resource: len(expected[resource]) for resource in RESOURCES
    }


def test_lines_sell_what_the_catalogue_has() -> None:
    rows = rows_after(20)
    sizes = {row["size_code"]: row for row in rows["sizes"].values()}
    styles = {(row["division"], row["style"]): row for row in rows["styles"].values()}
    colours = {(row["division"], row["style"], row["color_code"]): row for row in rows["style-colors"].values()}
    upcs = {
        (row["division"], row["style"], row["color_code"], row["dimension"], row["bucket"])
        for row in rows["upcs"].values()
    }
    assert len({row["upc"] for row in rows["upcs"].values()}) == len(upcs)
    for line in rows["order-lines"].values():
        product = line["division"], line["style"]
        for bucket in quantities(line):
            assert colours[*product, line["color_code"]][f"call{bucket:02d}"] == "Y"
            assert sizes[styles[product]["size_code"]][f"sz{bucket:02d}"]
            assert (*product, line["color_code"], line["dimension"], bucket) in upcs


def test_order_types_divisions_and_lines_are_as_described() -> None:
    rows = rows_after(40)
    orders = rows["orders"]
    assert {order["ord_type"] for order in orders.values()} == {"W", "R", "S", "E"}
    assert {order["division"] for order in orders.values()} == {"100", "200", "300", "9X9"}
    assert {order["currency"] for order in orders.values() if order["division"] == "300"} <= {"EUR", "GBX"}
    kinds: defaultdict[str, set[int]] = defaultdict(set)
    for line in rows["order-lines"].values():
        if line["fkey"] in orders:
            kinds[orders[line["fkey"]]["ord_type"]].add(len(quantities(line)))
    assert kinds["W"] == kinds["R"] == {1}
    assert max(kinds["S"]) > 3
    assert max(kinds["E"]) > 3
    assert any(not line["unit_price"] for line in rows["order-lines"].values())
    assert {"POE", "FOB", ""} <= {stage["location"] for stage in rows["order-stages"].values()}
    assert any(order["email"] and not order["customer"] for order in orders.values())
    assert any(not order["email"] and not order["customer"] for order in orders.values())


def test_nobody_is_real() -> None:
    rows = rows_after(10, customers=2000)
    people = [*rows["customers"].values(), *rows["orders"].values()]
    phones = {person["phone"] for person in people} - {""}
    assert all(re.fullmatch(r"(0|\+44 ?)7700 ?900\d{3}", phone) for phone in phones)
    assert {re.sub(r"\d", "", phone) for phone in phones} == {" ", "+", "+  "}
    assert all("example" in person["email"] for person in people if person["email"])
    emails = [row["email"] for row in rows["customers"].values() if row["email"] and row["email"][0] != "@"]
    assert len(emails) == len(set(emails))


def test_every_customer_has_one_default_address() -> None:
    rows = rows_after(60, customers=300, orders_per_day=10)
    defaults = Counter(row["customer"] for row in rows["stores"].values() if row["default_ok"])
    assert defaults == Counter({row["customer"]: 1 for row in rows["customers"].values()})
    assert len(rows["stores"]) > len(rows["customers"])
