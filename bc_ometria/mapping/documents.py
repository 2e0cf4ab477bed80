"""One assembled order as one JSON document, and back: the form in which the store keeps it."""

import hashlib
from collections.abc import Sequence
from typing import Literal

import numpy as np
import orjson
import pandas as pd

from bc_ometria.mapping.assemble import REC_TYPES, Orders, first_rows

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
    f"division {_SKU} location season",
    f"pkey line_num bucket unit_price line_disc line_tax quantity total_qty {' '.join(REC_TYPES)}",
)
"""Columns of a line: one per line and size bucket, with the pieces of each movement type."""

SHIPMENT = _columns(f"ship_num location ship_via tracking void_ok {_SKU}", "line_num bucket quantity", "ship_date")
"""Columns of a shipped piece of a line."""

RETURN = _columns(f"ret_num reason_code void_ok {_SKU}", "line_num bucket quantity refund_total refund_amt", "ret_date")
"""Columns of a returned piece of a line."""


def to_documents(orders: Orders) -> tuple[list[bytes], list[str]]:
    """The JSON document of each order, and its version: a hash of its content, 32 hex characters."""
    headers = _rows(orders.headers, HEADER)
    parts = [
        (name, _rows(part, columns), first_rows(part, len(orders)).tolist())
        for name, part, columns in (
            ("lines", orders.lines, LINE),
            ("shipments", orders.shipments, SHIPMENT),
            ("returns", orders.returns, RETURN),
        )
    ]
    documents = [
        orjson.dumps({"header": header, **{name: rows[first[at] : first[at + 1]] for name, rows, first in parts}})
        for at, header in enumerate(headers)
    ]
    return documents, [hashlib.blake2b(document, digest_size=16).hexdigest() for document in documents]


def from_documents(documents: Sequence[bytes | str]) -> Orders:
    """The frames of some documents, in the order given."""
    decoded = [orjson.loads(document) for document in documents]
    return Orders(
        headers=_frame([document["header"] for document in decoded], HEADER),
        lines=_part(decoded, "lines", LINE),
        shipments=_part(decoded, "shipments", SHIPMENT),
        returns=_part(decoded, "returns", RETURN),
    )


def _rows(frame: pd.DataFrame, columns: dict[str, Kind]) -> list[dict[str, object]]:
    lists = [_time_texts(frame[name]) if kind == "time" else frame[name].tolist() for name, kind in columns.items()]
    names = tuple(columns)
    return [dict(zip(names, values, strict=True)) for values in zip(*lists, strict=True)]


def _time_texts(times: pd.Series) -> list[str]:
    texts = np.datetime_as_string(times.to_numpy(dtype="datetime64[s]"), unit="s")
    return np.where(times.isna(), "", texts).tolist()


def _part(decoded: Sequence[dict[str, list]], name: str, columns: dict[str, Kind]) -> pd.DataFrame:
    counts = [len(document[name]) for document in decoded]
    frame = _frame([row for document in decoded for row in document[name]], columns)
    return frame.assign(order=np.repeat(np.arange(len(decoded)), counts))


def _frame(rows: Sequence[dict[str, object]], columns: dict[str, Kind]) -> pd.DataFrame:
    return pd.DataFrame({name: _series([row[name] for row in rows], kind) for name, kind in columns.items()})


def _series(values: list, kind: Kind) -> pd.Series:
    if kind == "integer":
        return pd.Series(values, dtype="int64")
    if kind == "time":
        return pd.Series(np.array([value or "NaT" for value in values], dtype="datetime64[us]"))
    return pd.Series(values, dtype="str")
