"""What happens in Blue Cherry while the project is not left in peace: a day of trade, and what changes afterwards.

No record ever returns to an earlier content, so that an older version that is sent after a newer one can be told by its
content alone.
"""

from datetime import datetime

from bc_ometria_tests.scenarios.shop import Row, Shop, customer, header, line, stage

FIRST_ORDER = 1000
UNKNOWN_STATUS, WHOLESALE, PARCEL, PART, PICKED, SHIPS_LATER, CANCELLED_LATER, RENAMED = range(8)
"""What becomes of an order, by the last digit of its number; the others only are placed."""


def _number(at: int) -> str:
    return f"{FIRST_ORDER + at:010d}"


def _code(at: int) -> str:
    return f"{at:08d}"


def open_shop(shop: Shop, customers: int, orders: int) -> None:
    """The first day: customers who said yes, no or nothing to e-mail, one in forty without an address; orders of every
    kind, one in ten under a status that no rule knows, and one in ten wholesale."""
    shop.write("customers", *(_customer(at) for at in range(1, customers + 1)))
    place_orders(shop, 0, orders, customers)
    for at in range(orders):
        number = _number(at)
        if at % 10 == PARCEL:
            shop.ship(number, f"{5000 + at}", {1: 2, 2: 1})
        elif at % 10 == PART:
            shop.pick(number, {1: 2, 2: 1})
            shop.ship(number, f"{5000 + at}", {1: 2})
        elif at % 10 == PICKED:
            shop.pick(number, {1: 2, 2: 1})


def place_orders(shop: Shop, first: int, orders: int, customers: int) -> None:
    """Orders of two lines, all at once."""
    headers, lines, stages = [], [], []
    for at in range(first, first + orders):
        number, code = _number(at), _code(at % customers + 1)
        bad: Row = {"ord_status": "Q7"} if at % 10 == UNKNOWN_STATUS else {}
        wholesale: Row = {"ord_type": "S"} if at % 10 == WHOLESALE else {}
        of_order: Row = {"customer": code, "email": f"canary.{code}@example.com", "ord_date": shop.now}
        headers.append(header(number, "150.00", **of_order, **bad, **wholesale))
        lines += [line(number, 1, 2), line(number, 2, 1)]
        stages += [stage(number, 1, 2), stage(number, 2, 1)]
    shop.write("orders", *headers)
    shop.write("order-lines", *lines)
    shop.write("order-stages", *stages)


def trade(shop: Shop, customers: int, orders: int, at: str = "2026-01-05 10:00") -> None:
    """An hour later: parcels leave, orders are cancelled whole, people change their name or opt out, and more orders
    come in."""
    shop.at(at)
    for place in range(orders):
        number = _number(place)
        if place % 10 == SHIPS_LATER:
            shop.ship(number, f"{7000 + place}", {1: 2, 2: 1})
        elif place % 10 == CANCELLED_LATER:
            shop.cancel(number, {1: 2, 2: 1})
        elif place % 10 == RENAMED:
            shop.mark(number, ship_city="Elsewhere")
        elif place % 10 == PART:
            shop.ship(number, f"{7000 + place}", {2: 1})
    for place in range(1, customers + 1):
        if place % 10 == 2:
            shop.edit("customers", place, email_ok="N", consent_date=shop.now)
        elif place % 10 == 4:
            shop.edit("customers", place, loyalty_tier="GOLD")
    place_orders(shop, orders, max(orders // 10, 5), customers)


def _customer(at: int) -> Row:
    consent = {0: "Y", 1: "N", 2: ""}[at % 3]
    dated = {"consent_date": datetime(2025, 5, 1, 10) if consent else None}  # noqa: DTZ001
    missing = {"email": ""} if at % 40 == 9 else {}
    return customer(_code(at), email_ok=consent, **dated, **missing)
