"""How orders come in: by web, at the till, from trade customers and over EDI."""

from itertools import count
from random import Random

from bc_ometria.sandbox.apparel import names
from bc_ometria.sandbox.apparel.catalogue import (
    DIVISIONS,
    KNOWN_DIVISIONS,
    UNKNOWN_DIVISION,
    Catalogue,
    Division,
    Quantities,
    Row,
)
from bc_ometria.sandbox.apparel.orders import Line, Order
from bc_ometria.sandbox.apparel.people import Customer, People
from bc_ometria.sandbox.apparel.simulation import Simulation

DEFECTS = {
    "unknown_division": 0.004,
    "unknown_currency": 0.003,
    "bucket_text": 0.003,
    "bad_email": 0.003,
    "unmapped_status": 0.006,
    "unknown_hold_code": 0.003,
    "lines_without_header": 0.002,
    "header_without_lines": 0.002,
    "deleted_order": 0.003,
}
"""Of web orders, the share that gets each defect; an order is given one at most."""
DEFECTIVE = sum(DEFECTS.values())

COPIED = frozenset({"bad_email", "overlong_name"})
"""Defects of a customer that his orders copy."""

PROMOTIONS = (("", 0), ("", 0), ("", 0), ("WELCOME10", 10), ("SALE20", 20), ("VIP15", 15))
SHIP_VIA = ("RM24", "DPD", "EVRI")


class Entry:
    """The desk where orders are numbered and written down; each draws from dice of its own."""

    def __init__(self, sim: Simulation, catalogue: Catalogue, people: People, seed: int) -> None:
        self.sim = sim
        self.people = people
        self._catalogue = catalogue
        self._seed = seed
        self._numbers = count(1)

    def web(self) -> tuple[Order, Customer | None]:
        """A web order, and the customer if this order is what registers him: his row is not written yet."""
        number, rng = self._next()
        defect = rng.choices(list(DEFECTS), list(DEFECTS.values()))[0] if rng.random() < DEFECTIVE else ""
        kind = rng.choices(("customer", "registers", "guest"), (70, 8, 22))[0]
        customer = self.people.register(rng) if kind == "registers" else None
        buyer = customer or (self.people.anyone(rng) if kind == "customer" else None)
        division = self._division(rng, buyer)
        if defect == "unknown_division":
            division = DIVISIONS[UNKNOWN_DIVISION]
        order = self._order(rng, number, "W", division, buyer)
        order.header["ref_num2"] = f"WEB-{100000 + number}"
        code, percent = rng.choice(PROMOTIONS)
        order.header["promo_code"] = code
        for _ in range(rng.choices((1, 2, 3, 4, 5), (40, 28, 18, 9, 5))[0]):
            style = rng.choice(self._catalogue.styles[division.code])
            pieces = 2 if rng.random() < 0.12 else 1
            order.add_line(
                style,
                self._warehouse(rng, division),
                {rng.choice(style.buckets): pieces},
                discount_percent=percent,
            )
        if rng.random() < 0.06:
            order.add_line(self._catalogue.gifts[division.code], division.warehouses[0], {1: 1})
            self.sim.happened["gift line"] += 1
        order.freight = 0 if sum(line.amounts[0] for line in order.lines) > 10000 else 495
        if not buyer:
            self._describe_guest(order, division, email_share=0.85)
        self._plant(order, defect)
        return order, customer

    def till(self) -> Order:
        """A sale over the counter: it is complete, and its goods are gone, as it is written."""
        number, rng = self._next()
        buyer = self.people.anyone(rng) if rng.random() < 0.4 else None
        division = self._division(rng, buyer)
        order = self._order(rng, number, "R", division, buyer)
        shop = rng.choice(division.shops)
        order.status = "C"
        order.header |= {
            "aux_ref_num": f"{shop}-{number}",
            "ship_via": "",
            "pay_method": rng.choice(("CARD", "CASH")),
        }
        for _ in range(rng.choices((1, 2, 3), (60, 30, 10))[0]):
            style = rng.choice(self._catalogue.styles[division.code])
            markdown = 30 if rng.random() < 0.1 else 0
            order.add_line(style, shop, {rng.choice(style.buckets): 1}, discount_percent=markdown, rec_type="IN")
        if not buyer:
            self._describe_guest(order, division, email_share=0.3)
        return order

    def trade(self, ord_type: str) -> Order:
        """A wholesale (``S``) or EDI (``E``) order: whole size runs, often of goods on their way here."""
        number, rng = self._next()
        account = rng.choice(self.people.accounts)
        division = DIVISIONS[account.division]
        order = self._order(rng, number, ord_type, division, account)
        order.header |= {
            "ref_num2": f"PO{rng.randrange(10**6):06d}",
            "pay_method": "ACCT",
            "ship_via": "PALLET",
        }
        location = rng.choice(("POE", "FOB", "", *division.warehouses))
        for _ in range(rng.randint(2, 6)):
            style = rng.choice(self._catalogue.styles[division.code])
            run: Quantities = {bucket: rng.randrange(2, 13, 2) for bucket in style.buckets[:6]}
            order.add_line(style, location, run, label=rng.choice(("", "", "PRM")), discount_percent=40)
        order.freight = rng.choice((0, 2500, 6000))
        return order

    def exchange(self, original: Order, line: Line) -> Order:
        """The order that replaces a piece sent back: another size at the same price, paid by the credit."""
        number, rng = self._next()
        order = self._copy(original, number, rng)
        order.header |= {
            "aux_ref_num": original.ord_num,
            "pay_method": "EXCH",
            "ref_num2": f"EXC-{100000 + number}",
        }
        size = rng.choice([bucket for bucket in line.style.buckets if bucket not in line.quantities] or [1])
        order.add_line(line.style, order.division.warehouses[0], {size: 1}, discount_percent=line.discount_percent)
        order.lines[0].like(line)
        return order

    def again(self, original: Order) -> Order:
        """A deleted order entered once more: the same goods for the same customer under a new number."""
        number, rng = self._next()
        order = self._copy(original, number, rng)
        order.freight = original.freight
        for line in original.lines:
            copy = order.add_line(
                line.style, line.location, dict(line.quantities), discount_percent=line.discount_percent
            )
            copy.like(line)
        return order

    def _next(self) -> tuple[int, Random]:
        number = next(self._numbers)
        return number, Random(f"{self._seed}/order/{number}")

    def _division(self, rng: Random, buyer: Customer | None) -> Division:
        if buyer and rng.random() < 0.9:
            return DIVISIONS[buyer.division]
        return DIVISIONS[rng.choice(KNOWN_DIVISIONS)]

    def _warehouse(self, rng: Random, division: Division) -> str:
        """Where a web line should come from; a few lines do not say until they are approved."""
        if rng.random() < 0.05:
            return ""
        return division.warehouses[0] if rng.random() < 0.93 else division.warehouses[-1]

    def _order(self, rng: Random, number: int, ord_type: str, division: Division, buyer: Customer | None) -> Order:
        header: Row = {
            "customer": "",
            "store": "",
            "ord_date": self.sim.local,
            "ref_num2": "",
            "aux_ref_num": "",
            "currency": division.currency,
            "email": "",
            "first_name": "",
            "last_name": "",
            "phone": "",
            "pay_method": rng.choice(("CARD", "CARD", "PPAL", "GIFT")),
            "ship_via": rng.choice(SHIP_VIA),
            "promo_code": "",
        }
        order = Order(self.sim, rng, number, ord_type, division, header)
        order.set_address("", "", "", "")
        if buyer:
            address = buyer.address
            header |= {
                "customer": buyer.code,
                "store": address.store,
                "email": buyer.email,
                "first_name": buyer.first_name,
                "last_name": buyer.last_name,
                "phone": buyer.phone,
            }
            order.set_address(address.city, address.state, address.zipcode, address.country)
            order.defects |= buyer.flaws & COPIED
        return order

    def _copy(self, original: Order, number: int, rng: Random) -> Order:
        header = original.header | {"ord_date": self.sim.local}
        copy = Order(self.sim, rng, number, original.ord_type, original.division, header)
        copy.defects = original.defects & (COPIED | {"unknown_division", "unknown_currency"})
        return copy

    def _describe_guest(self, order: Order, division: Division, email_share: float) -> None:
        rng = order.rng
        self.sim.happened["guest order"] += 1
        if rng.random() < email_share:
            first, last = names.given_name(rng, division.gender), rng.choice(names.SURNAMES)
            order.header |= {
                "email": names.email(first, last, f"guest{order.ord_num}"),
                "first_name": first,
                "last_name": last,
                "phone": names.phone(rng) if rng.random() < 0.7 else "",
            }
        else:
            self.sim.happened["guest order without e-mail"] += 1
        if order.ord_type == "W":
            country = division.country if rng.random() < 0.96 else ""
            order.set_address(*names.place(rng, division.country), country)

    def _plant(self, order: Order, defect: str) -> None:
        """Put a defect into a new order, or leave it to the order's life where it comes later."""
        match defect:
            case "unknown_division":
                pass
            case "unknown_currency":
                order.header["currency"] = "GBX"
            case "bucket_text":
                order.rng.choice(order.lines).garbled = True
            case "bad_email":
                order.header["email"] = f"{order.ord_num}@@example.com"
            case _:
                order.fate = defect
                return
        order.defects.add(defect)
