"""Rows of the mirror: an order that adds up, a customer with an address, to change one thing in."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import orjson
import pandas as pd
from hypothesis import strategies as st

from bc_ometria.blue_cherry.schemas import frame_dtypes
from bc_ometria.mapping import orders as mapping
from bc_ometria.mapping.assemble import Orders, assemble
from bc_ometria.mapping.lifecycle import Lifecycle, lifecycle
from bc_ometria.rules import Rules

ORDER_PARTS = ("orders", "order_lines", "order_stages", "shipments", "shipment_lines", "returns", "return_lines")
TIME_ZONE = "Europe/London"
NOON = "2026-11-23 12:00:00"

Row = dict[str, Any]
OptOut = tuple[str, str, str]
"""Of a customer, by a channel, when (ISO 8601, UTC)."""

Rows = Mapping[str, Iterable[Row]]

CATALOGUE = {"size": "str", "colour": "str", "upc": "str"}
"""What the mirror's catalogue adds to an order line."""

_BLANKS = {"str": "", "int64": 0, "datetime64[us]": "NaT"}


def frame(resource: str, rows: Iterable[Row]) -> pd.DataFrame:
    """Rows as the mirror gives them: columns not named are blank, 0 or NaT."""
    rows, dtypes = list(rows), frame_dtypes(resource) | (CATALOGUE if resource == "order_lines" else {})
    unknown = {name for row in rows for name in row} - set(dtypes)
    assert not unknown, f"{resource} has no {unknown}"
    columns = {name: [row.get(name, _BLANKS[dtype]) for row in rows] for name, dtype in dtypes.items()}
    return pd.DataFrame(
        {
            name: np.array(values, dtype=dtypes[name]) if dtypes[name] != "str" else pd.Series(values, dtype="str")
            for name, values in columns.items()
        }
    )


def unsubscribes(*opt_outs: OptOut) -> pd.DataFrame:
    """What people opted out of at Ometria, as the store gives it."""
    found = pd.DataFrame(list(opt_outs), columns=["customer", "channel", "at"])
    return found.assign(at=pd.to_datetime(found["at"], utc=True).astype("datetime64[us, UTC]"))


def without_catalogue(resource: str, typed: pd.DataFrame) -> pd.DataFrame:
    """Rows of the border as the mirror gives them whose catalogue is empty."""
    return typed.assign(**dict.fromkeys(CATALOGUE, "")).astype(CATALOGUE) if resource == "order_lines" else typed


def mirror(rows: Rows) -> dict[str, pd.DataFrame]:
    return {part: frame(part, rows.get(part, ())) for part in ORDER_PARTS}


def header(**changes: Any) -> Row:
    """An order without amounts; ``order`` fills them in."""
    return {
        "pkey": 10,
        "last_mod": NOON,
        "ord_num": "W1",
        "division": "100",
        "customer": "C0000001",
        "ord_status": "O",
        "ord_type": "W",
        "ord_date": "2026-11-20 09:30:00",
        "currency": "GBP",
        "email": "ann@example.com",
        "ship_country": "GB",
    } | changes


def line(**changes: Any) -> Row:
    return {
        "pkey": 100,
        "fkey": 10,
        "last_mod": NOON,
        "ord_num": "W1",
        "line_num": 1,
        "division": "100",
        "style": "DRESS",
        "color_code": "BLK",
        "location": "0010",
        "unit_price": 1000,
        "bucket": 3,
        "quantity": 1,
    } | changes


def stage(**changes: Any) -> Row:
    """A piece of ``line`` that the customer cancelled."""
    return {
        "pkey": 1000,
        "fkey": 100,
        "last_mod": NOON,
        "ord_num": "W1",
        "rec_type": "CC",
        "bucket": 3,
        "quantity": 1,
    } | changes


def amounts(lines: Iterable[Row], freight: int = 0) -> Row:
    """What a header says whose lines these are; discount and tax of a line count once, not per bucket."""
    lines = list(lines)
    once = {row["pkey"]: row for row in lines}.values()
    subtotal = sum(row["unit_price"] * row["quantity"] for row in lines)
    discount = sum(row.get("line_disc", 0) for row in once)
    tax = sum(row.get("line_tax", 0) for row in once)
    total = subtotal - discount + freight + tax
    return {"sub_total": subtotal, "disc_amt": discount, "frt_amt": freight, "tax_amt": tax, "ord_total": total}


def order(lines: list[Row] | None = None, stages: Iterable[Row] = (), freight: int = 0, **of_header: Any) -> Orders:
    """One assembled order whose header and lines add up, unless ``of_header`` says otherwise."""
    rows = [line()] if lines is None else lines
    head = header(**(amounts(rows, freight) | of_header))
    return assemble(mirror({"orders": [head], "order_lines": rows, "order_stages": stages}), [head["ord_num"]])


def decided(orders: Orders, rules: Rules, **options: Any) -> pd.DataFrame:
    return mapping.decide(orders, life_of(orders, rules), rules, **options)


def life_of(orders: Orders, rules: Rules) -> Lifecycle:
    return lifecycle(orders, mapping.claims_of(orders, rules), rules.reasons)


def mapped(orders: Orders, rules: Rules, goes: np.ndarray | None = None) -> pd.DataFrame:
    """What ``orders.payloads`` gives for all orders, or for those that go."""
    chosen = np.ones(len(orders), dtype=bool) if goes is None else goes
    life = life_of(orders, rules)
    return mapping.payloads(orders, life, mapping.decide(orders, life, rules), chosen, rules, TIME_ZONE)


def payload(orders: Orders, rules: Rules) -> dict[str, Any]:
    """The record of the only order."""
    return payloads(orders, rules)[0]


def payloads(orders: Orders, rules: Rules) -> list[dict[str, Any]]:
    return [orjson.loads(written) for written in mapped(orders, rules)["payload"]]


def customer(**changes: Any) -> Row:
    return {
        "pkey": 1,
        "last_mod": NOON,
        "customer": "C0000001",
        "division": "100",
        "first_name": "Ann",
        "last_name": "Example",
        "email": "ann@example.com",
        "phone": "020 7183 8750",
        "birth_date": "1990-12-31",
        "gender": "F",
        "email_ok": "Y",
        "sms_ok": "Y",
        "consent_date": "2026-06-01 10:00:00",
        "create_date": "2020-02-29 00:00:00",
    } | changes


def address(**changes: Any) -> Row:
    return {
        "pkey": 5,
        "last_mod": NOON,
        "customer": "C0000001",
        "store": "000001",
        "country": "GB",
        "default_ok": "Y",
        "active_ok": "Y",
    } | changes


_TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Z"]), max_size=12)
_COUNTRY = st.sampled_from(["", "GB", "IE", "FR", "US"])
_TIMES = st.datetimes(min_value=pd.Timestamp("2009-01-01"), max_value=pd.Timestamp("2030-12-31")).map(
    lambda at: at.replace(microsecond=0)
)


@st.composite
def order_rows(draw: st.DrawFn, numbers: int = 3) -> dict[str, list[Row]]:
    """Rows of up to ``numbers`` orders that are whole and add up, with pieces cancelled, shipped and returned."""
    rows: dict[str, list[Row]] = {part: [] for part in ORDER_PARTS}
    for at in range(draw(st.integers(1, numbers))):
        number, key = f"W{at}", 10 + at
        lines = draw(_lines_of(number, key))
        rows["order_lines"] += lines
        rows["order_stages"] += draw(_stages_of(lines))
        rows["orders"].append(draw(_headers_of(number, key, lines)))
        for kind in ("shipment", "return"):
            documents, document_lines = draw(_documents_of(kind, number, key, lines))
            rows[f"{kind}s"] += documents
            rows[f"{kind}_lines"] += document_lines
    return rows


@st.composite
def _lines_of(draw: st.DrawFn, number: str, key: int) -> list[Row]:
    rows = []
    for at in range(draw(st.integers(1, 4))):
        whole = {
            "ord_num": number,
            "fkey": key,
            "pkey": key * 100 + at,
            "line_num": draw(st.integers(0, 3)),
            "unit_price": draw(st.integers(0, 50_000)),
            "line_disc": draw(st.integers(0, 900)),
            "line_tax": draw(st.integers(-50, 900)),
            "season": draw(st.sampled_from(["", "AW26"])),
            "location": draw(st.sampled_from(["", "0010"])),
            "color_code": draw(st.sampled_from(["", "BLK", "RØD"])),
            "colour": draw(st.sampled_from(["", "black", "rød"])),
        }
        buckets = draw(st.lists(st.integers(1, 24), max_size=3, unique=True))
        rows += [
            line(**whole, bucket=bucket, quantity=draw(st.integers(1, 5)), size=draw(st.sampled_from(["", "10"])))
            for bucket in buckets
        ]
        if not buckets:
            rows.append(line(**whole, bucket=0, quantity=0))
    return rows


@st.composite
def _stages_of(draw: st.DrawFn, lines: list[Row]) -> list[Row]:
    rows = []
    for piece in lines:
        left = piece["quantity"]
        for kind in ("CC", "CH", "IN", "CC", "SA"):
            taken = draw(st.integers(0, left))
            if taken:
                rows.append(
                    stage(
                        pkey=piece["pkey"] * 1000 + piece["bucket"] * 10 + len(rows) % 10,
                        fkey=piece["pkey"],
                        ord_num=piece["ord_num"],
                        rec_type=kind,
                        bucket=piece["bucket"],
                        quantity=taken,
                        trans_date=draw(st.just("NaT") | _TIMES),
                    )
                )
            left -= taken
    return rows


@st.composite
def _headers_of(draw: st.DrawFn, number: str, key: int, lines: list[Row]) -> Row:
    guest = draw(st.booleans())
    return header(
        pkey=key,
        ord_num=number,
        last_mod=draw(_TIMES),
        ord_date=draw(_TIMES),
        customer="" if guest else f"C{key:07}",
        email="ann@example.com" if guest else draw(st.sampled_from(["", "bob@example.com"])),
        first_name=draw(_TEXT),
        last_name=draw(_TEXT),
        phone=draw(st.sampled_from(["", "020 7183 8750", "+353 1 234 5678", "none"])),
        ord_status=draw(st.sampled_from("OHAPBSCXR")),
        ord_type=draw(st.sampled_from("WR")),
        pay_method=draw(_TEXT),
        ship_via=draw(_TEXT),
        promo_code=draw(_TEXT),
        ref_num2=draw(_TEXT),
        ship_city=draw(_TEXT),
        ship_country=draw(_COUNTRY),
        bill_zipcode=draw(_TEXT),
        bill_country=draw(_COUNTRY),
        **amounts(lines, draw(st.integers(0, 999))),
    )


@st.composite
def _documents_of(draw: st.DrawFn, kind: str, number: str, key: int, lines: list[Row]) -> tuple[list[Row], list[Row]]:
    """Shipments or returns of an order; two of them may hold pieces of one line and bucket (a split)."""
    name, when = ("ship_num", "ship_date") if kind == "shipment" else ("ret_num", "ret_date")
    documents, of_documents = [], []
    for at in range(draw(st.integers(0, 2))):
        of_document = {"ord_num": number, "last_mod": NOON, "division": "100"}
        documents.append(of_document | {"pkey": key * 10 + at, name: f"D{at}", when: draw(_TIMES)})
        of_documents += [
            of_document
            | {"pkey": (key * 10 + at) * 100 + nth, "fkey": key * 10 + at, "line_num": piece["line_num"]}
            | {"style": piece["style"], "bucket": piece["bucket"], "quantity": 1}
            for nth, piece in enumerate(lines)
            if draw(st.booleans())
        ]
    return documents, of_documents
