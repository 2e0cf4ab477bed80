"""The store's form of an order loses nothing, and its version says whether anything changed (design, "Words")."""

from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings

from bc_ometria.mapping.assemble import Orders, assemble
from bc_ometria.mapping.documents import HEADER, LINE, RETURN, SHIPMENT, from_documents, to_documents
from bc_ometria_tests.mapping.examples import NOON, Row, header, line, mirror, order_rows, stage

_PARTS = {"headers": HEADER, "lines": LINE, "shipments": SHIPMENT, "returns": RETURN}


@settings(max_examples=25, deadline=None)
@given(order_rows())
def test_there_and_back_is_the_same(rows: dict[str, list[Row]]) -> None:
    there = assemble(mirror(rows), [row["ord_num"] for row in rows["orders"]])
    documents, versions = to_documents(there)
    back = from_documents(documents)
    for name, columns in _PARTS.items():
        kept = [*columns] if name == "headers" else [*columns, "order"]
        pd.testing.assert_frame_equal(getattr(back, name)[kept], getattr(there, name)[kept])
    assert to_documents(back) == (documents, versions)
    assert len(set(versions)) == len(there)


@settings(max_examples=10, deadline=None)
@given(order_rows())
def test_documents_come_back_in_the_order_given(rows: dict[str, list[Row]]) -> None:
    documents, versions = to_documents(assemble(mirror(rows), [row["ord_num"] for row in rows["orders"]]))
    assert to_documents(from_documents(documents[::-1])) == (documents[::-1], versions[::-1])


def test_no_document_is_no_order() -> None:
    assert len(from_documents([])) == 0
    assert from_documents([]).lines.empty


def test_a_document_reads_as_text_too() -> None:
    documents, versions = to_documents(_orders())
    assert to_documents(from_documents([document.decode() for document in documents]))[1] == versions


_DOCUMENT = {"last_mod": NOON, "ord_num": "W1", "division": "100"}
_OF_DOCUMENT = _DOCUMENT | {"line_num": 1, "style": "DRESS", "bucket": 3, "quantity": 1}


def _rows() -> dict[str, list[Row]]:
    return {
        "orders": [header()],
        "order_lines": [line()],
        "order_stages": [stage()],
        "shipments": [_DOCUMENT | {"pkey": 7, "ship_num": "S1"}],
        "shipment_lines": [_OF_DOCUMENT | {"pkey": 70, "fkey": 7}],
        "returns": [_DOCUMENT | {"pkey": 8, "ret_num": "R1"}],
        "return_lines": [_OF_DOCUMENT | {"pkey": 80, "fkey": 8}],
    }


def _orders() -> Orders:
    return assemble(mirror(_rows()), ["W1"])


def _version(rows: dict[str, list[Row]]) -> str:
    return to_documents(assemble(mirror(rows), ["W1"]))[1][0]


@pytest.mark.parametrize("part", _rows())
def test_a_stamp_alone_makes_no_new_version(part: str) -> None:
    rows = _rows()
    rows[part][0] |= {"last_mod": "2030-01-01 00:00:00", "row_hash": 1}
    assert _version(rows) == _version(_rows())


@pytest.mark.parametrize(
    ("part", "column", "kind"),
    [(part, column, kind) for part, columns in _PARTS.items() for column, kind in columns.items()],
)
def test_any_changed_cell_makes_a_new_version(part: str, column: str, kind: str) -> None:
    before, after = _orders(), _orders()
    other: Any = {"text": "~", "integer": 987, "time": pd.Timestamp("2001-02-03 04:05:06")}[kind]
    getattr(after, part)[column] = other
    assert to_documents(after)[1] != to_documents(before)[1]


_NOT_IN_THE_ORDER = {
    # What joins rows is in the order they are joined to; stages count by line, bucket and movement only.
    "orders": {"pkey", "ord_num"},
    "order_lines": {"pkey", "fkey", "ord_num"},
    "order_stages": {"pkey", "fkey", "ord_num", "total_qty", "location", "bucket", "rec_type"},
    "shipments": {"pkey", "ord_num", "division"},
    "shipment_lines": {"pkey", "fkey", "ord_num", "division", "total_qty"},
    "returns": {"pkey", "ord_num", "division"},
    "return_lines": {"fkey", "ord_num", "division", "total_qty"},
}


@pytest.mark.parametrize("part", _rows())
def test_every_cell_that_blue_cherry_serves_counts(part: str) -> None:
    """A cell left out of the document would be an edit that nobody sees (F2)."""
    dtypes = mirror({})[part].dtypes.astype(str)
    others = {"str": "~", "int64": 987, "datetime64[us]": "2001-02-03 04:05:06"}
    unseen = set()
    for column in set(dtypes.index) - {"last_mod", "row_hash"} - _NOT_IN_THE_ORDER[part]:
        rows = _rows()
        rows[part][0] |= {column: others[dtypes[column]]}
        if _version(rows) == _version(_rows()):
            unseen.add(column)
    assert unseen == set()
