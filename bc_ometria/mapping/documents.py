"""One assembled order as one JSON document, and back: the form in which the store keeps it."""

import hashlib
from collections.abc import Sequence
from operator import itemgetter
from typing import Literal

import numpy as np
import orjson
import pandas as pd

from bc_ometria.mapping.assemble import REC_TYPES, TIMED, Orders, first_rows

Kind = Literal["text", "integer", "time"]


def _columns(texts: str, integers: str = "", times: str = "") -> dict[str, Kind]:
    kinds: dict[str, Kind] = dict.fromkeys(texts.split(), "text")
    return kinds | dict.fromkeys(integers.split(), "integer") | dict.fromkeys(times.split(), "time")


_SKU = "style color_code lbl_code dimension"

HEADER = _columns(
    "ord_num division customer store ord_status hold_code cancel_code ord_type ref_num2 aux_ref_num currency "
    "email first_name last_name phone pay_method ship_via promo_code "
    "ship_city ship_state ship_zipcode ship_country bill_city bill_state bill_zipcode bill_country",
    "header_count stray_lines pkey sub_total disc_amt frt_amt tax_amt ord_total",
    "ord_date",
)
"""Columns of the header in a document; money in minor units."""

LINE = _columns(
    f"division {_SKU} location season size colour upc",
    f"pkey line_num bucket unit_price line_disc line_tax quantity total_qty {' '.join(REC_TYPES)}",
    " ".join(f"{name}_at" for name in TIMED),
)
"""Columns of a line: one per line and size bucket, with the catalogue's words for it, and the pieces of each movement
type."""

SHIPMENT = _columns(f"ship_num location ship_via tracking void_ok {_SKU}", "line_num bucket quantity", "ship_date")
"""Columns of a shipped piece of a line."""

RETURN = _columns(
    f"ret_num reason_code void_ok {_SKU}", "pkey line_num bucket quantity refund_total refund_amt", "ret_date"
)
"""Columns of a returned piece of a line."""


PARTS = {"lines": LINE, "shipments": SHIPMENT, "returns": RETURN}
"""The parts of an order besides its header, and the columns of each."""


def to_documents(orders: Orders) -> tuple[list[bytes], list[str]]:
    """The JSON document of each order, and its version: a hash of its content, 32 hex characters.

    ``header`` is an object; each other part is an object of columns, each with a value per row, and empty where
    the order has no such rows. Written so, an order of a few lines stays below the 2 KB from which PostgreSQL
    compresses a value, and is read several times faster than with the names repeated on every row.
    """
    headers = _columns_of(orders.headers, HEADER)
    frames = {"lines": orders.lines, "shipments": orders.shipments, "returns": orders.returns}
    parts = [
        (name, _columns_of(frames[name], columns), first_rows(frames[name], len(orders)).tolist())
        for name, columns in PARTS.items()
    ]
    names = tuple(headers)
    documents = []
    for at, header in enumerate(zip(*headers.values(), strict=True)):
        document: dict[str, dict] = {"header": dict(zip(names, header, strict=True))}
        for part, columns, first in parts:
            begin, end = first[at], first[at + 1]
            document[part] = {name: cells[begin:end] for name, cells in columns.items()} if begin < end else {}
        documents.append(orjson.dumps(document))
    return documents, [hashlib.blake2b(document, digest_size=16).hexdigest() for document in documents]


def from_documents(documents: Sequence[bytes | str]) -> Orders:
    """The frames of some documents, in the order given."""
    header_of = itemgetter(*HEADER)
    headers = []
    parts: dict[str, dict[str, list]] = {part: {name: [] for name in columns} for part, columns in PARTS.items()}
    counts: dict[str, list[int]] = {part: [] for part in PARTS}
    # One document after the other, so that only its cells live on: the garbage collector would go through the
    # objects of thousands of decoded documents over and over.
    for document in documents:
        decoded = orjson.loads(document)
        headers.append(header_of(decoded["header"]))
        for part, columns in parts.items():
            rows = decoded[part]
            counts[part].append(len(rows["line_num"]) if rows else 0)
            if rows:
                for name, cells in columns.items():
                    cells += rows[name]
    frames = {
        part: _frame(columns, PARTS[part]).assign(order=np.repeat(np.arange(len(documents)), counts[part]))
        for part, columns in parts.items()
    }
    columns_of_headers = zip(*headers, strict=True) if headers else ([] for _ in HEADER)
    header_frame = _frame(dict(zip(HEADER, map(list, columns_of_headers), strict=True)), HEADER)
    return Orders(header_frame, frames["lines"], frames["shipments"], frames["returns"])


def _columns_of(frame: pd.DataFrame, columns: dict[str, Kind]) -> dict[str, list]:
    return {
        name: _time_texts(frame[name]) if kind == "time" else frame[name].tolist() for name, kind in columns.items()
    }


def _time_texts(times: pd.Series) -> list[str]:
    texts = np.datetime_as_string(times.to_numpy(dtype="datetime64[s]"), unit="s")
    return np.where(times.isna(), "", texts).tolist()


def _frame(columns: dict[str, list], kinds: dict[str, Kind]) -> pd.DataFrame:
    return pd.DataFrame({name: _series(columns[name], kind) for name, kind in kinds.items()})


def _series(values: list, kind: Kind) -> pd.Series:
    if kind == "integer":
        return pd.Series(values, dtype="int64")
    if kind == "time":
        return pd.Series(np.array([value or "NaT" for value in values], dtype="datetime64[us]"))
    return pd.Series(values, dtype="str")
