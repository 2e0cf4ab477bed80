"""Shipments and returns: the documents that prove what left an order and what came back."""

from dataclasses import dataclass

from bc_ometria.sandbox.apparel.catalogue import Row, buckets, money
from bc_ometria.sandbox.apparel.orders import Order, Pick


@dataclass(slots=True)
class Shipment:
    """One parcel from one location: a row of ``shipments``, and ``shipment-lines`` written once."""

    order: Order
    pkey: int
    picks: list[Pick]
    header: Row
    tracking: str = ""
    void: bool = False

    def write(self) -> None:
        """Write the header row as it is now."""
        state = {"tracking": self.tracking, "void_ok": "Y" if self.void else ""}
        self.order.sim.write("shipments", self.header | state | {"last_mod": self.order.sim.local})

    def track(self) -> None:
        """Give it a tracking number, which is made of its own number."""
        self.tracking = f"{self.header['ship_via']}{self.pkey:010d}"

    def annul(self) -> None:
        """Void it: its pieces go from ``IN`` back to ``PK``; its lines keep standing under a void header."""
        self.void = True
        self.write()
        self.order.move(self.picks, "IN", "PK")


def ship(order: Order, picks: list[Pick], *, tracked: bool = True) -> list[Shipment]:
    """Send picked pieces out, one shipment for each location they are at; ``PK`` becomes ``IN``."""
    shipments = []
    for location in sorted({location for _, location, _ in picks}):
        pkey = order.sim.pkey("shipments")
        header: Row = {
            "pkey": pkey,
            "ship_num": f"{pkey:08d}",
            "ord_num": order.ord_num,
            "division": order.division.code,
            "location": location,
            "ship_date": order.sim.local,
            "ship_via": order.header["ship_via"],
        }
        shipment = Shipment(order, pkey, [pick for pick in picks if pick[1] == location], header)
        if tracked:
            shipment.track()
        shipment.write()
        _write_lines(order, "shipment-lines", pkey, [(pick, {}) for pick in shipment.picks])
        order.move(shipment.picks, "PK", "IN")
        shipments.append(shipment)
    return shipments


@dataclass(slots=True)
class Return:
    """Goods that came back to one location: a row of ``returns``, and ``return-lines`` written once."""

    order: Order
    picks: list[Pick]
    header: Row

    def annul(self) -> None:
        """Void it: its pieces leave ``RT`` again."""
        self.order.sim.write("returns", self.header | {"void_ok": "Y", "last_mod": self.order.sim.local})
        for line, location, quantities in self.picks:
            self.order.change(line, "RT", location, quantities, -1)


def take_back(order: Order, picks: list[Pick], location: str, reason: str, percent: int = 100) -> Return:
    """Take shipped pieces back at ``location`` and refund ``percent`` of what was paid for them, with tax.

    Refunds of a line that comes back bit by bit in full add up to the line's total to the penny. Freight is
    not refunded.
    """
    amounts = []
    for line, _, quantities in picks:
        before, back = line.pieces_at("RT"), sum(quantities.values())
        gross, discount, tax = line.amounts
        total = gross - discount + tax
        worth = total * (before + back) // line.pieces - total * before // line.pieces
        amounts.append((worth * percent + 50) // 100)
        order.change(line, "RT", location, quantities, +1)
    returned = [(line, location, quantities) for line, _, quantities in picks]
    pkey = order.sim.pkey("returns")
    header: Row = {
        "pkey": pkey,
        "last_mod": order.sim.local,
        "ret_num": f"{pkey:08d}",
        "ord_num": order.ord_num,
        "division": order.division.code,
        "ret_date": order.sim.local,
        "reason_code": reason,
        "refund_total": money(sum(amounts)),
        "void_ok": "",
    }
    order.sim.write("returns", dict(header))
    refunds: list[Row] = [{"refund_amt": money(amount)} for amount in amounts]
    _write_lines(order, "return-lines", pkey, list(zip(returned, refunds, strict=True)))
    return Return(order, returned, header)


def _write_lines(order: Order, resource: str, fkey: int, lines: list[tuple[Pick, Row]]) -> None:
    for (line, location, quantities), amounts in lines:
        order.sim.write(
            resource,
            {
                "pkey": order.sim.pkey(resource),
                "last_mod": order.sim.local,
                "fkey": fkey,
                "ord_num": order.ord_num,
                "line_num": line.number,
                **line.sku,
                "location": location,
                "total_qty": sum(quantities.values()),
                **buckets(quantities),
                **amounts,
            },
        )
