"""Every resource of the reference tenant with its columns (`contracts/blue_cherry.md`).

The names are the contract's. So are the widths of customer, store, ord_num, division, ord_status, style,
color_code, lbl_code, dimension and location; every other width, and which columns are free text, is ours.
"""

from dataclasses import dataclass
from enum import Enum


class Kind(Enum):
    CHAR = "char"
    """A code, blank-padded to its width."""
    TEXT = "text"
    """Free text, not padded."""
    INTEGER = "integer"
    MONEY = "money"
    """Decimal text with two places."""
    DATE = "date"
    DATETIME = "datetime"
    """The tenant's local time without an offset, to the second."""
    FLAG = "flag"
    """``Y``, ``N`` or blank, one character wide."""


@dataclass(frozen=True, slots=True)
class Column:
    name: str
    kind: Kind
    width: int = 0


BUCKETS = 24
QUANTITIES = tuple(f"size{n:02d}_qty" for n in range(1, BUCKETS + 1))
FILTERABLE = ("division", "location", "ord_num", "customer", "ord_date")
"""Columns that a request may filter by; the database keeps them beside the row."""

_SHORTHANDS = {
    "quantities": " ".join(f"{name}:integer" for name in QUANTITIES),
    "sold": " ".join(f"call{n:02d}:flag" for n in range(1, BUCKETS + 1)),
    "labels": " ".join(f"sz{n:02d}:char8" for n in range(1, BUCKETS + 1)),
    "product": "division:char3 style:char12 color_code:char5 lbl_code:char3 dimension:char3 location:char4",
}

_DECLARATION = {
    "customers": """
        customer:char8 active_ok:flag division:char3 first_name:text last_name:text email:text phone:text
        birth_date:date gender:char1 country:char2 language:char2 email_ok:flag sms_ok:flag
        consent_date:datetime loyalty_num:char16 loyalty_tier:char8 merged_into:char8 erased_ok:flag
        create_date:datetime""",
    "stores": """
        customer:char8 store:char6 store_name:text address1:text address2:text address3:text address4:text
        city:text state:text zipcode:char10 country:char2 default_ok:flag active_ok:flag""",
    "orders": """
        ord_num:char10 division:char3 customer:char8 store:char6 ord_status:char2 hold_code:char2
        cancel_code:char2 ord_type:char1 ord_date:datetime ref_num2:char20 aux_ref_num:char20 currency:char3
        email:text first_name:text last_name:text phone:text pay_method:char10 ship_via:char10
        promo_code:char20 sub_total:money disc_amt:money frt_amt:money tax_amt:money ord_total:money
        ship_city:text ship_state:text ship_zipcode:char10 ship_country:char2
        bill_city:text bill_state:text bill_zipcode:char10 bill_country:char2""",
    "order-lines": """
        fkey:integer ord_num:char10 line_num:integer product season:char8
        unit_price:money line_disc:money line_tax:money quantities total_qty:integer""",
    "order-stages": """
        fkey:integer ord_num:char10 rec_type:char2 location:char4 trans_date:datetime
        quantities total_qty:integer""",
    "shipments": """
        ship_num:char10 ord_num:char10 division:char3 location:char4 ship_date:datetime ship_via:char10
        tracking:char30 void_ok:flag""",
    "shipment-lines": """
        fkey:integer ord_num:char10 line_num:integer product quantities total_qty:integer""",
    "returns": """
        ret_num:char10 ord_num:char10 division:char3 ret_date:datetime reason_code:char4 refund_total:money
        void_ok:flag""",
    "return-lines": """
        fkey:integer ord_num:char10 line_num:integer refund_amt:money product quantities
        total_qty:integer""",
    "styles": """
        division:char3 style:char12 style_name:text category:char20 gender:char1 size_code:char4 price:money
        currency:char3 url:text image_url:text active_ok:flag""",
    "style-colors": """
        division:char3 style:char12 color_code:char5 color_name:text active_ok:flag sold""",
    "sizes": "size_code:char4 labels",
    "upcs": """
        division:char3 style:char12 color_code:char5 dimension:char3 bucket:integer upc:char14""",
    "inventory": "product quantities",
    "divisions": "division:char3 description:text active_ok:flag",
    "locations": "location:char4 division:char3 description:text country:char2 active_ok:flag",
}


def _columns(declaration: str) -> tuple[Column, ...]:
    words = " ".join(_SHORTHANDS.get(word, word) for word in declaration.split())
    columns = []
    for word in ("pkey:integer last_mod:datetime " + words).split():
        name, _, kind = word.partition(":")
        width = int(kind.removeprefix("char")) if kind.startswith("char") else int(kind == "flag")
        columns.append(Column(name, Kind(kind.rstrip("0123456789")), width))
    return tuple(columns)


RESOURCES: dict[str, tuple[Column, ...]] = {name: _columns(text) for name, text in _DECLARATION.items()}
"""Resource, as the URL names it, to its columns in the order in which they are served."""
