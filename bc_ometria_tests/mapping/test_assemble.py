"""Header, lines, stages, shipments and returns become one order, however they arrive (Q2)."""

import random
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bc_ometria.blue_cherry import typed_rows
from bc_ometria.blue_cherry.schemas import served_columns
from bc_ometria.mapping.assemble import REC_TYPES, assemble
from bc_ometria.mapping.documents import to_documents
from bc_ometria_tests.blue_cherry.tenant import PROFILE
from bc_ometria_tests.mapping.examples import (
    CATALOGUE,
    NOON,
    ORDER_PARTS,
    Row,
    frame,
    header,
    line,
    mirror,
    order_rows,
    stage,
    without_catalogue,
)


def shipment(**changes: Any) -> Row:
    return {"pkey": 7, "last_mod": NOON, "ord_num": "W1", "ship_num": "S1", "tracking": "T1"} | changes


def shipment_line(**changes: Any) -> Row:
    return {"pkey": 70, "fkey": 7, "last_mod": NOON, "ord_num": "W1", "line_num": 1, "bucket": 3} | changes


def test_every_part_of_an_order_comes_together() -> None:
    assembled = assemble(
        mirror(
            {
                "orders": [header()],
                "order_lines": [line(pkey=102, line_num=2), line()],
                "order_stages": [stage()],
                "shipments": [shipment()],
                "shipment_lines": [shipment_line(quantity=1)],
                "returns": [{"pkey": 8, "last_mod": NOON, "ord_num": "W1", "ret_num": "R1", "refund_total": 500}],
                "return_lines": [shipment_line(pkey=80, fkey=8, refund_amt=500, quantity=1)],
            }
        ),
        ["W1"],
    )
    assert assembled.headers[["ord_num", "header_count", "stray_lines"]].to_numpy().tolist() == [["W1", 1, 0]]
    assert assembled.lines[["line_num", "CC", "IN"]].to_numpy().tolist() == [[1, 1, 0], [2, 0, 0]]
    assert assembled.shipments[["ship_num", "tracking", "quantity"]].to_numpy().tolist() == [["S1", "T1", 1]]
    assert assembled.returns[["ret_num", "pkey", "refund_total", "refund_amt"]].to_numpy().tolist() == [
        ["R1", 80, 500, 500]
    ]


@settings(max_examples=25, deadline=None)
@given(order_rows(), st.randoms(use_true_random=False))
def test_the_order_in_which_rows_arrive_never_matters(rows: dict[str, list[Row]], chance: random.Random) -> None:
    numbers = [row["ord_num"] for row in rows["orders"]]
    shuffled = {part: chance.sample(of_part, len(of_part)) for part, of_part in rows.items()}
    told = chance.sample(numbers * 2, len(numbers) * 2)
    straight, mixed = assemble(mirror(rows), numbers), assemble(mirror(shuffled), told)
    for name in ("headers", "lines", "shipments", "returns"):
        pd.testing.assert_frame_equal(getattr(mixed, name), getattr(straight, name), check_dtype=True)
    assert to_documents(mixed) == to_documents(straight)


@settings(max_examples=10, deadline=None)
@given(st.randoms(use_true_random=False))
def test_rows_that_are_read_twice_make_the_same_order(chance: random.Random) -> None:
    """Blue Cherry's pages overlap; what the border makes of them has each row once."""
    served = {part: [_served(part, row) for row in rows] for part, rows in _TWO_BUCKETS.items()}
    repeated = {part: chance.sample(rows * 3, len(rows) * 3) for part, rows in served.items()}
    once, thrice = (
        assemble(
            {
                part: without_catalogue(part, typed_rows(part, rows.get(part, []), PROFILE).frame)
                for part in ORDER_PARTS
            },
            ["W1"],
        )
        for rows in (served, repeated)
    )
    assert once.lines[["line_num", "bucket", "quantity", "CC"]].to_numpy().tolist() == [[1, 3, 2, 1], [1, 4, 1, 0]]
    assert to_documents(thrice) == to_documents(once)


_TWO_BUCKETS: dict[str, list[Row]] = {
    "orders": [header(sub_total="30.00")],
    "order_lines": [line(unit_price="10.00") | {"size03_qty": 2, "size04_qty": 1, "total_qty": 3}],
    "order_stages": [stage() | {"size03_qty": 1, "total_qty": 1}],
}


def _served(part: str, row: Row) -> Row:
    kinds = {"integer": 0, "money": "0.00"}
    cells = {name: row.get(name, kinds.get(column.kind, "")) for name, column in served_columns(part).items()}
    return {PROFILE.resource(part).field(name): cell for name, cell in cells.items()}


def test_lines_before_their_header_are_no_order_yet() -> None:
    assembled = assemble(mirror({"order_lines": [line(), line(pkey=101, line_num=2)]}), ["W1"])
    (head,) = assembled.headers.to_dict("records")
    assert (head["ord_num"], head["header_count"], head["stray_lines"]) == ("W1", 0, 2)
    assert (head["ord_status"], head["currency"], head["ord_total"]) == ("", "", 0)
    assert pd.isna(head["ord_date"])
    assert head["changed_at"] == pd.Timestamp(NOON)
    assert assembled.lines.empty


def test_a_header_before_its_lines_has_none() -> None:
    assembled = assemble(mirror({"orders": [header()]}), ["W1"])
    assert assembled.headers[["header_count", "stray_lines"]].to_numpy().tolist() == [[1, 0]]
    assert assembled.lines.empty
    assert set(REC_TYPES) <= set(assembled.lines)


def test_a_line_of_another_header_is_stray_and_in_no_order() -> None:
    rows = {"orders": [header()], "order_lines": [line(), line(pkey=101, fkey=99, line_num=2)]}
    assembled = assemble(mirror(rows), ["W1"])
    assert assembled.headers["stray_lines"].tolist() == [1]
    assert assembled.lines["pkey"].tolist() == [100]


def test_of_two_headers_with_one_number_the_newer_counts_and_both_are_seen() -> None:
    older = header(pkey=9, ord_status="X", last_mod="2026-11-23 11:59:59")
    for rows in ([older, header()], [header(), older]):
        assembled = assemble(mirror({"orders": rows, "order_lines": [line()]}), ["W1"])
        assert assembled.headers[["ord_status", "header_count"]].to_numpy().tolist() == [["O", 2]]


def test_a_repeated_header_does_not_call_its_lines_stray() -> None:
    """They have a header; which of the two is right is another question."""
    rows = {"orders": [header(), header(pkey=9)], "order_lines": [line(), line(pkey=101, fkey=9)]}
    assert assemble(mirror(rows), ["W1"]).headers["stray_lines"].tolist() == [0]


def test_a_number_without_rows_comes_out_blank() -> None:
    assembled = assemble(mirror({"orders": [header()], "order_lines": [line()]}), ["W1", "W0"])
    assert assembled.headers["ord_num"].tolist() == ["W0", "W1"]
    assert assembled.headers["header_count"].tolist() == [0, 1]
    assert assembled.headers["changed_at"].isna().tolist() == [True, False]
    assert assembled.lines["order"].tolist() == [1]


def test_a_key_of_any_size_finds_its_lines_beside_an_order_without_header() -> None:
    large = 2**53 + 1
    rows = {
        "orders": [header(pkey=large)],
        "order_lines": [line(fkey=large), line(ord_num="W0", pkey=1, fkey=1)],
    }
    assembled = assemble(mirror(rows), ["W1", "W0"])
    assert assembled.headers["pkey"].tolist() == [0, large]
    assert assembled.lines["ord_num"].tolist() == ["W1"]


def test_stages_add_up_by_line_bucket_and_movement() -> None:
    stages = [
        stage(pkey=1, rec_type="IN", quantity=2),
        stage(pkey=2, rec_type="IN", quantity=3),
        stage(pkey=3, rec_type="CC", quantity=1),
        stage(pkey=4, rec_type="CC", quantity=7, bucket=4),
        stage(pkey=5, rec_type="CH", quantity=8, fkey=999),  # of no line
        stage(pkey=6, rec_type="CH", quantity=8, bucket=5),  # of no bucket of the line
        stage(pkey=7, rec_type="SA", quantity=9),  # a movement that is no part of an order
    ]
    lines = [line(quantity=6), line(bucket=4, quantity=7)]
    assembled = assemble(mirror({"orders": [header()], "order_lines": lines, "order_stages": stages}), ["W1"])
    assert assembled.lines[["bucket", *REC_TYPES]].to_numpy().tolist() == [
        [3, 0, 0, 0, 5, 1, 0, 0],
        [4, 0, 0, 0, 0, 7, 0, 0],
    ]


def test_a_line_carries_the_newest_time_of_the_stages_that_have_pieces() -> None:
    """F3: when it was picked or cancelled, per size; a stage that fell to zero tells nothing."""
    early, late = "2026-11-20 10:00:00", "2026-11-21 11:30:00"
    stages = [
        stage(pkey=1, rec_type="PK", trans_date=late),
        stage(pkey=2, rec_type="PK", trans_date=early),
        stage(pkey=3, rec_type="PK", trans_date="2026-11-22 00:00:00", quantity=0),
        stage(pkey=4, rec_type="PK", trans_date="2026-11-22 00:00:00", quantity=0, bucket=0),
        stage(pkey=5, rec_type="PK", trans_date="2026-11-22 00:00:00", fkey=999),  # of no line
        stage(pkey=6, rec_type="CC", trans_date=early, bucket=4),
        stage(pkey=7, rec_type="CC", bucket=4),  # without a time
        stage(pkey=8, rec_type="CH", bucket=4),
        stage(pkey=9, rec_type="CH", trans_date=early, fkey=101),
        stage(pkey=10, rec_type="IN", trans_date=late, fkey=101),
    ]
    lines = [line(), line(bucket=4), line(pkey=101, line_num=2)]
    for told in (stages, stages[::-1]):
        assembled = assemble(mirror({"orders": [header()], "order_lines": lines, "order_stages": told}), ["W1"])
        times = assembled.lines[["PK_at", "CC_at", "CH_at"]]
        assert set(times.dtypes.astype(str)) == {"datetime64[us]"}
        assert times.astype(object).where(times.notna(), None).map(str).to_numpy().tolist() == [
            [late, "None", "None"],
            ["None", early, "None"],
            ["None", "None", early],
        ]


@pytest.mark.parametrize("part", ORDER_PARTS)
def test_the_newest_stamp_of_any_part_is_that_of_the_order(part: str) -> None:
    """A header's stamp does not move with its lines (F2)."""
    rows: dict[str, list[Row]] = {
        "orders": [header()],
        "order_lines": [line()],
        "order_stages": [stage()],
        "shipments": [shipment()],
        "shipment_lines": [shipment_line()],
        "returns": [{"pkey": 7, "last_mod": NOON, "ord_num": "W1", "ret_num": "R1"}],
        "return_lines": [shipment_line()],
    }
    rows[part] = [rows[part][0] | {"last_mod": "2026-11-23 12:00:01"}]
    assembled = assemble(mirror(rows), ["W1"])
    assert assembled.headers["changed_at"].tolist() == [pd.Timestamp("2026-11-23 12:00:01")]


@pytest.mark.parametrize("part", ORDER_PARTS)
@settings(max_examples=5, deadline=None)
@given(rows=order_rows())
def test_any_part_may_be_empty(part: str, rows: dict[str, list[Row]]) -> None:
    assembled = assemble(mirror(rows | {part: []}), [row["ord_num"] for row in rows["orders"]])
    assert len(assembled) == len(rows["orders"])
    documents, versions = to_documents(assembled)
    assert len(documents) == len(versions) == len(assembled)


def test_no_order_at_all() -> None:
    assembled = assemble(mirror({}), [])
    assert len(assembled) == 0
    assert to_documents(assembled) == ([], [])


def test_a_line_of_a_document_that_is_not_there_waits() -> None:
    rows = {"orders": [header()], "order_lines": [line()], "shipment_lines": [shipment_line(fkey=6)]}
    assert assemble(mirror(rows), ["W1"]).shipments.empty


def test_lines_stand_in_the_order_of_their_numbers() -> None:
    rows = [line(pkey=pkey, line_num=number, bucket=bucket) for pkey, number, bucket in
            ((5, 2, 1), (4, 1, 9), (4, 1, 2), (3, 1, 5))]  # fmt: skip
    lines = assemble(mirror({"orders": [header()], "order_lines": rows}), ["W1"]).lines
    assert lines[["line_num", "pkey", "bucket"]].to_numpy().tolist() == [[1, 3, 5], [1, 4, 2], [1, 4, 9], [2, 5, 1]]
    assert lines["order"].dtype == np.int64


def test_frames_of_the_examples_are_those_of_the_border() -> None:
    for part in ORDER_PARTS:
        of_border = frame(part, []).drop(columns=list(CATALOGUE), errors="ignore")
        pd.testing.assert_frame_equal(of_border, typed_rows(part, [], PROFILE).frame)
        pd.testing.assert_frame_equal(without_catalogue(part, of_border), frame(part, []))
