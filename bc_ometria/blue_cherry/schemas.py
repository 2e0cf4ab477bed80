"""The columns of every Blue Cherry resource: names, types and checks, for the border and the asset checks.

Source of the columns and widths: ``contracts/blue_cherry.md``. Ours: free text is at most 255 characters;
quantities are never negative except in ``inventory``, where a style can be oversold; discounts are never
negative (the contract calls them positive); which columns may not be blank.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
import pandera.pandas as pa

from bc_ometria.iso import CURRENCIES

Kind = Literal["integer", "text", "flag", "currency", "money", "stamp"]

DTYPES: dict[Kind, str] = {
    "integer": "int64",
    "text": "str",
    "flag": "str",
    "currency": "str",
    "money": "int64",
    "stamp": "datetime64[us]",
}
"""What a column of each kind is in a frame. Money is in hundredths of its currency's unit; a stamp is the
tenant's local time without an offset, ``NaT`` where blank; text is trimmed, ``''`` where blank."""

BUCKETS = tuple(f"size{bucket:02}_qty" for bucket in range(1, 25))


@dataclass(frozen=True, slots=True)
class Column:
    """A column as Blue Cherry serves it.

    ``needed``: a row without a value is malformed, and a tenant cannot do without the column.
    ``personal``: its values are never shown, not even in part.
    """

    kind: Kind = "text"
    width: int = 255
    needed: bool = False
    personal: bool = False
    minimum: int | None = None
    maximum: int | None = None

    @property
    def optional(self) -> bool:
        """A tenant may lack the column: its frames then carry blanks. A number cannot be blank."""
        return not self.needed and self.kind in ("text", "flag", "stamp")


def _text(width: int = 255) -> Column:
    return Column(width=width)


def _key(width: int) -> Column:
    return Column(width=width, needed=True)


TEXT, PERSONAL = Column(), Column(personal=True)
FLAG, MONEY, STAMP, CURRENCY = Column("flag"), Column("money"), Column("stamp"), Column("currency")
LINK, LINE_NUM = Column("integer", needed=True), Column("integer", needed=True, minimum=0)
DISCOUNT = Column("money", minimum=0)
ORD_NUM, DIVISION = _key(10), _text(3)
ROW = {"pkey": Column("integer", needed=True), "last_mod": Column("stamp", needed=True)}
SKU = {"style": _text(12), "color_code": _text(5), "lbl_code": _text(3), "dimension": _text(3)}
PLACE = {"city": PERSONAL, "state": PERSONAL, "zipcode": PERSONAL}

RESOURCES: dict[str, dict[str, Column]] = {
    "customers": ROW
    | {"customer": _key(8), "active_ok": FLAG, "division": DIVISION}
    | {"first_name": PERSONAL, "last_name": PERSONAL, "email": PERSONAL, "phone": PERSONAL}
    | {"birth_date": Column("stamp", personal=True), "gender": TEXT, "country": TEXT, "language": TEXT}
    | {"email_ok": FLAG, "sms_ok": FLAG, "consent_date": STAMP, "loyalty_num": PERSONAL, "loyalty_tier": TEXT}
    | {"merged_into": _text(8), "erased_ok": FLAG, "create_date": STAMP},
    "addresses": ROW
    | {"customer": _key(8), "store": _text(6), "store_name": PERSONAL}
    | {f"address{n}": PERSONAL for n in range(1, 5)}
    | PLACE
    | {"country": _text(2), "default_ok": FLAG, "active_ok": FLAG},
    "orders": ROW
    | {"ord_num": ORD_NUM, "division": DIVISION, "customer": _text(8), "store": _text(6)}
    | {"ord_status": _text(2), "hold_code": TEXT, "cancel_code": TEXT, "ord_type": TEXT}
    | {"ord_date": Column("stamp", needed=True), "ref_num2": TEXT, "aux_ref_num": TEXT}
    | {"currency": Column("currency", needed=True)}
    | {"email": PERSONAL, "first_name": PERSONAL, "last_name": PERSONAL, "phone": PERSONAL}
    | {"pay_method": TEXT, "ship_via": TEXT, "promo_code": TEXT}
    | {"sub_total": MONEY, "disc_amt": DISCOUNT, "frt_amt": MONEY, "tax_amt": MONEY, "ord_total": MONEY}
    | {f"ship_{part}": column for part, column in (PLACE | {"country": TEXT}).items()}
    | {f"bill_{part}": column for part, column in (PLACE | {"country": TEXT}).items()},
    "order_lines": ROW
    | {"fkey": LINK, "ord_num": ORD_NUM, "line_num": LINE_NUM, "division": DIVISION}
    | SKU
    | {"location": _text(4), "season": TEXT}
    | {"unit_price": MONEY, "line_disc": DISCOUNT, "line_tax": MONEY},
    "order_stages": ROW
    | {"fkey": LINK, "ord_num": ORD_NUM, "rec_type": _text(2), "location": _text(4), "trans_date": STAMP},
    "shipments": ROW
    | {"ship_num": TEXT, "ord_num": ORD_NUM, "division": DIVISION, "location": _text(4), "ship_date": STAMP}
    | {"ship_via": TEXT, "tracking": TEXT, "void_ok": FLAG},
    "shipment_lines": ROW | {"fkey": LINK, "ord_num": ORD_NUM, "line_num": LINE_NUM, "division": DIVISION} | SKU,
    "returns": ROW
    | {"ret_num": TEXT, "ord_num": ORD_NUM, "division": DIVISION, "ret_date": STAMP, "reason_code": TEXT}
    | {"refund_total": MONEY, "void_ok": FLAG},
    "return_lines": ROW
    | {"fkey": LINK, "ord_num": ORD_NUM, "line_num": LINE_NUM, "refund_amt": MONEY, "division": DIVISION}
    | SKU,
    "styles": ROW
    | {"division": DIVISION, "style": _key(12), "style_name": TEXT, "category": TEXT, "gender": TEXT}
    | {"size_code": TEXT, "price": MONEY, "currency": CURRENCY, "url": _text(1024), "image_url": _text(1024)}
    | {"active_ok": FLAG},
    "style_colors": ROW
    | {"division": DIVISION, "style": _key(12), "color_code": _text(5), "color_name": TEXT, "active_ok": FLAG}
    | {f"call{bucket:02}": FLAG for bucket in range(1, 25)},
    "sizes": ROW | {"size_code": Column(needed=True)} | {f"sz{bucket:02}": TEXT for bucket in range(1, 25)},
    "upcs": ROW
    | {"division": DIVISION, "style": _key(12), "color_code": _text(5), "dimension": _text(3)}
    | {"bucket": Column("integer", needed=True, minimum=1, maximum=24), "upc": TEXT},
    "inventory": ROW | {"division": DIVISION} | SKU | {"location": _text(4)},
    "divisions": ROW | {"division": _key(3), "description": TEXT, "active_ok": FLAG},
    "locations": ROW
    | {"location": _key(4), "description": TEXT, "active_ok": FLAG, "division": DIVISION, "country": TEXT},
}
"""Our name of each resource, and its columns apart from the size buckets."""

BUCKETED = frozenset({"order_lines", "order_stages", "shipment_lines", "return_lines", "inventory"})
"""Resources that Blue Cherry serves with ``size01_qty`` … ``size24_qty``; a frame has a row per bucket."""

QUANTITY = Column("integer", needed=True, maximum=2**31 - 1)
"""The largest is ours: the sum of 24 of them is then far from overflowing."""


def served_columns(resource: str) -> dict[str, Column]:
    """The columns as Blue Cherry serves them, size buckets included, under our names."""
    if resource not in BUCKETED:
        return RESOURCES[resource]
    total = {} if resource == "inventory" else {"total_qty": QUANTITY}
    return RESOURCES[resource] | dict.fromkeys(BUCKETS, QUANTITY) | total


def _checks(column: Column) -> list[pa.Check]:
    # Nothing that is checked can be NaN; looking for it would cost as much as the checks.
    checks = []
    if column.kind == "flag":
        checks.append(pa.Check.isin(["Y", "N", ""], error="is not Y, N or blank", ignore_na=False))
    elif column.kind == "currency":
        allowed = sorted(CURRENCIES if column.needed else CURRENCIES | {""})
        checks.append(pa.Check.isin(allowed, error="is not a currency of ISO 4217", ignore_na=False))
    elif column.kind == "text":
        checks.append(_at_most(column.width))
        if column.needed:
            checks.append(pa.Check.ne("", error="is blank, but every row needs it", ignore_na=False))
    if column.minimum is not None:
        checks.append(pa.Check.ge(column.minimum, error=f"is less than {column.minimum}", ignore_na=False))
    if column.maximum is not None:
        checks.append(pa.Check.le(column.maximum, error=f"is more than {column.maximum}", ignore_na=False))
    return checks


def _at_most(width: int) -> pa.Check:
    def short(texts: pd.Series) -> pd.Series:
        lengths = np.fromiter(map(len, texts.tolist()), np.int64, len(texts))
        return pd.Series(lengths <= width, index=texts.index)

    return pa.Check(short, name="width", error=f"is longer than {width} characters", ignore_na=False)


def frame_dtypes(resource: str) -> dict[str, str]:
    """The columns of the frame of ``resource`` in their order, and their dtypes."""
    dtypes = {name: DTYPES[column.kind] for name, column in RESOURCES[resource].items()}
    if resource in BUCKETED:
        dtypes |= {"bucket": "int64", "quantity": "int64"}
    if "total_qty" in served_columns(resource):
        dtypes["total_qty"] = "int64"
    return dtypes | {"row_hash": "int64"}


def _schema(resource: str) -> pa.DataFrameSchema:
    checks = {name: _checks(column) for name, column in RESOURCES[resource].items()}
    if resource in BUCKETED:
        checks["bucket"] = [pa.Check.in_range(0, 24, ignore_na=False)]
    if resource in BUCKETED - {"inventory"}:
        checks["quantity"] = [pa.Check.ge(0, error="is a negative quantity", ignore_na=False)]
    may_be_blank = {name for name, column in RESOURCES[resource].items() if not column.needed}
    columns = {
        name: pa.Column(dtype, checks.get(name), nullable=name in may_be_blank and dtype == DTYPES["stamp"])
        for name, dtype in frame_dtypes(resource).items()
    }
    key = ["pkey", "bucket"] if resource in BUCKETED else ["pkey"]
    return pa.DataFrameSchema(columns, name=resource, strict=True, ordered=True, unique=key)


SCHEMAS: dict[str, pa.DataFrameSchema] = {resource: _schema(resource) for resource in RESOURCES}
"""What ``typed_rows`` gives for each resource, columns in this order."""
