"""Made-up orders as Blue Cherry's rows: the same ones every time, three lines each, and nothing wrong with them."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any

from bc_ometria.sandbox.changes import Write

LINES = 3
ROWS = 1 + 2 * LINES
"""Rows of an order that has not shipped: a header, its lines, and a stage of each line."""

FIRST = datetime(2026, 3, 2, 9, 0)  # noqa: DTZ001 - Blue Cherry's times are naive local ones
_CITIES = (("Leeds", "LS1 4AP"), ("Bristol", "BS1 5TR"), ("Cardiff", "CF10 1EP"), ("Glasgow", "G2 1DY"))
_COLOURS = ("BLACK", "NAVY", "ECRU", "RUST", "SAGE")
_NAMES = ("Ash", "Briar", "Cedar", "Dale", "Elm", "Fern", "Glen", "Heath")

Row = dict[str, Any]


def changes(orders: int, *, shipped_every: int = 0, seed: int = 1) -> Iterator[Write]:
    """The rows of so many orders, one order a second.

    Every ``shipped_every``-th of them has left in one shipment, whose lines are those of the order; none at 0.
    """
    dice = Random(seed)
    for number in range(1, orders + 1):
        shipped = shipped_every > 0 and number % shipped_every == 0
        yield from _order(number, FIRST + timedelta(seconds=number), dice, shipped=shipped)


def _order(number: int, at: datetime, dice: Random, *, shipped: bool) -> Iterator[Write]:
    division = dice.choice(("100", "200"))
    key: Row = {"last_mod": at, "ord_num": f"{number:08d}"}
    discount_percent = 20 if number % 3 == 0 else 0
    goods = [_goods(number, nth, division, dice) for nth in range(1, LINES + 1)]
    prices = [_price(sku["total_qty"], discount_percent, dice) for sku in goods]
    yield Write("orders", key | _header(number, at, division, goods, prices, dice, shipped))
    for sku, price in zip(goods, prices, strict=True):
        line_fields = {"fkey": number, "division": division, "season": "AW26", **price}
        yield Write("order-lines", key | sku | line_fields)
        quantities = {name: value for name, value in sku.items() if name.endswith("_qty")}
        movement = {"rec_type": "IN" if shipped else "OP", "location": "0010", "trans_date": at}
        yield Write("order-stages", key | quantities | movement | {"pkey": sku["pkey"], "fkey": sku["pkey"]})
    if shipped:
        parcel = {"ship_num": f"{number:08d}", "ship_via": "RM24", "tracking": f"RM24{number:010d}"}
        place = {"pkey": number, "division": division, "location": "0010", "ship_date": at}
        yield Write("shipments", key | parcel | place)
        for sku in goods:
            yield Write("shipment-lines", key | sku | {"fkey": number, "division": division})


def _goods(order: int, nth: int, division: str, dice: Random) -> Row:
    """What is on one line: key, SKU and pieces, all of one size."""
    pieces = 2 if dice.random() < 0.1 else 1
    return {
        "pkey": order * LINES + nth,
        "line_num": nth,
        "style": f"{division}ST{dice.randrange(2_000):05d}",
        "color_code": dice.choice(_COLOURS),
        "location": "0010",
        f"size{dice.randrange(1, 9):02d}_qty": pieces,
        "total_qty": pieces,
    }


def _price(pieces: int, discount_percent: int, dice: Random) -> dict[str, Decimal]:
    penny = Decimal("0.01")
    unit_price = dice.randrange(900, 19_900) * penny
    discount = (unit_price * pieces * discount_percent / 100).quantize(penny)
    tax = ((unit_price * pieces - discount) / 5).quantize(penny)
    return {"unit_price": unit_price, "line_disc": discount, "line_tax": tax}


def _header(
    number: int,
    at: datetime,
    division: str,
    goods: list[Row],
    prices: list[dict[str, Decimal]],
    dice: Random,
    shipped: bool,
) -> Row:
    pieces = [sku["total_qty"] for sku in goods]
    sub_total = sum(price["unit_price"] * count for price, count in zip(prices, pieces, strict=True))
    discount = sum(price["line_disc"] for price in prices)
    tax, freight = sum(price["line_tax"] for price in prices), Decimal("4.95")
    person, first_name, last_name = dice.randrange(1, 50_000), dice.choice(_NAMES), dice.choice(_NAMES)
    city, zipcode = dice.choice(_CITIES)
    address = {"city": city, "zipcode": zipcode, "country": "GB"}
    return {
        "pkey": number,
        "division": division,
        "customer": f"{person:08d}",
        "ord_status": "C" if shipped else "O",
        "ord_type": "W",
        "ord_date": at,
        "ref_num2": f"WEB-{100_000 + number}",
        "currency": "GBP",
        "email": f"{first_name}.{last_name}.{person}@example.com".lower(),
        "first_name": first_name,
        "last_name": last_name,
        "phone": f"07700 {900_000 + person % 1_000}",
        "pay_method": "CARD",
        "ship_via": "RM24",
        "promo_code": "SALE20" if discount else "",
        "sub_total": sub_total,
        "disc_amt": discount,
        "frt_amt": freight,
        "tax_amt": tax,
        "ord_total": sub_total - discount + freight + tax,
        **{f"{purpose}_{part}": value for purpose in ("ship", "bill") for part, value in address.items()},
    }
