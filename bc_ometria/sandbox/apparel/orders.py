"""An order as Blue Cherry keeps it: a header, its lines, and by line the quantities at every stage.

Money is held in pence (or cents) of the order's currency and is exact:

* line: ``unit_price`` is net; ``line_disc`` and ``line_tax`` are rounded half up, once, on the whole line;
* header: ``sub_total`` = Σ unit_price × total_qty, ``disc_amt`` = Σ line_disc, ``tax_amt`` = Σ line_tax, and
  ``ord_total`` = sub_total − disc_amt + frt_amt + tax_amt. Freight bears no tax.

The amounts follow the ordered quantities: an edit recomputes them, a cancellation or a return does not.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from random import Random

from bc_ometria.sandbox.apparel.catalogue import BUCKETS, Division, Quantities, Row, Style, buckets, money
from bc_ometria.sandbox.apparel.simulation import Simulation

BEFORE_SHIPPING = ("OP", "RS", "PK")


@dataclass(slots=True)
class Stage:
    """One row of ``order-stages``: what of a line has one ``rec_type`` at one location."""

    pkey: int
    quantities: Quantities


@dataclass(slots=True, eq=False)
class Line:
    pkey: int
    number: int
    style: Style
    color_code: str
    label: str
    dimension: str
    location: str
    unit_price: int
    discount_percent: int
    tax_percent: int
    quantities: Quantities
    stages: dict[tuple[str, str], Stage] = field(default_factory=dict)
    garbled: bool = False
    """Its first bucket is served as text."""

    @property
    def pieces(self) -> int:
        return sum(self.quantities.values())

    @property
    def amounts(self) -> tuple[int, int, int]:
        """Gross, discount and tax; what is paid for the line is gross − discount + tax."""
        gross = self.unit_price * sum(self.quantities.values())
        discount = (gross * self.discount_percent + 50) // 100
        return gross, discount, ((gross - discount) * self.tax_percent + 50) // 100

    def pieces_at(self, *rec_types: str) -> int:
        """Pieces that have one of ``rec_types``, at all locations together."""
        pieces = 0
        for (rec_type, _), stage in self.stages.items():
            if rec_type in rec_types:
                pieces += sum(stage.quantities.values())
        return pieces

    def like(self, other: "Line") -> None:
        """Take colour, dimension and price from another line of the same style."""
        self.color_code, self.dimension, self.unit_price = other.color_code, other.dimension, other.unit_price

    @property
    def sku(self) -> Row:
        return {
            "division": self.style.division,
            "style": self.style.style,
            "color_code": self.color_code,
            "lbl_code": self.label,
            "dimension": self.dimension,
        }


Pick = tuple[Line, str, Quantities]
"""Pieces of a line at a location."""


class Order:
    """One order, its rows in Blue Cherry and the movements between its stages."""

    def __init__(
        self,
        sim: Simulation,
        rng: Random,
        number: int,
        ord_type: str,
        division: Division,
        header: Row,
    ) -> None:
        self.sim = sim
        self.rng = rng
        self.pkey = sim.pkey("orders")
        self.ord_num = f"{number:08d}"
        self.ord_type = ord_type
        self.division = division
        self.header = header
        """The columns of the header that are not kept elsewhere."""
        self.status = "O"
        self.hold_code = ""
        self.cancel_code = ""
        self.freight = 0
        self.lines: list[Line] = []
        self.defects: set[str] = set()
        """The kinds of defect that stand in it from its next header on."""
        self.fate = ""
        """The kind of defect that its life will bring, or blank."""
        self._stamp: datetime = sim.local

    def set_address(self, city: str, state: str, zipcode: str, country: str) -> None:
        """Ship and bill to one address."""
        for kind in ("ship", "bill"):
            self.header[f"{kind}_city"], self.header[f"{kind}_state"] = city, state
            self.header[f"{kind}_zipcode"], self.header[f"{kind}_country"] = zipcode, country

    def write_header(self, *, quietly: bool = False) -> None:
        """Write the header with its present amounts; ``quietly`` leaves its change stamp where it was."""
        if not quietly:
            self._stamp = self.sim.local
        sub_total = discount = tax = 0
        for line in self.lines:
            line_gross, line_discount, line_tax = line.amounts
            sub_total += line_gross
            discount += line_discount
            tax += line_tax
        self.sim.write(
            "orders",
            {
                **self.header,
                "pkey": self.pkey,
                "last_mod": self._stamp,
                "ord_num": self.ord_num,
                "division": self.division.code,
                "ord_status": self.status,
                "hold_code": self.hold_code,
                "cancel_code": self.cancel_code,
                "ord_type": self.ord_type,
                "sub_total": money(sub_total),
                "disc_amt": money(discount),
                "frt_amt": money(self.freight),
                "tax_amt": money(tax),
                "ord_total": money(sub_total - discount + self.freight + tax),
            },
        )
        for kind in sorted(self.defects):
            self.sim.plant(kind, "orders", self.ord_num)

    def set_status(self, status: str) -> None:
        """Write the header with another ``ord_status``."""
        self.status = status
        self.write_header()

    def write_lines(self) -> None:
        """Write every line with the stages it has."""
        for line in self.lines:
            self.write_line(line)
            for rec_type, location in line.stages:
                self.write_stage(line, rec_type, location)

    def write_line(self, line: Line) -> None:
        _, discount, tax = line.amounts
        row: Row = {
            "pkey": line.pkey,
            "last_mod": self.sim.local,
            "fkey": self.pkey,
            "ord_num": self.ord_num,
            "line_num": line.number,
            **line.sku,
            "location": line.location,
            "season": line.style.season,
            "unit_price": money(line.unit_price),
            "line_disc": money(discount),
            "line_tax": money(tax),
            "total_qty": line.pieces,
            **buckets(line.quantities),
        }
        if line.garbled:
            bucket = min(line.quantities)
            row[BUCKETS[bucket - 1]] = f"{line.quantities[bucket]} pcs"
        self.sim.write("order-lines", row)

    def write_stage(self, line: Line, rec_type: str, location: str) -> None:
        stage = line.stages[rec_type, location]
        self.sim.write(
            "order-stages",
            {
                "pkey": stage.pkey,
                "last_mod": self.sim.local,
                "fkey": line.pkey,
                "ord_num": self.ord_num,
                "rec_type": rec_type,
                "location": location,
                "trans_date": self.sim.local,
                "total_qty": sum(stage.quantities.values()),
                **buckets(stage.quantities),
            },
        )

    def add_line(
        self,
        style: Style,
        location: str,
        quantities: Quantities,
        *,
        label: str = "",
        discount_percent: int = 0,
        rec_type: str = "OP",
    ) -> Line:
        """Another line of ``style``, all of it at one stage, in a colour and dimension drawn by the order."""
        line = Line(
            pkey=self.sim.pkey("order-lines"),
            number=len(self.lines) + 1,
            style=style,
            color_code=self.rng.choice(style.colours)[0],
            label=label,
            dimension=self.rng.choice(style.dimensions),
            location=location,
            unit_price=style.price,
            discount_percent=discount_percent,
            tax_percent=self.division.tax,
            quantities=quantities,
        )
        line.stages[rec_type, location] = Stage(self.sim.pkey("order-stages"), dict(quantities))
        self.lines.append(line)
        return line

    def standing(self, *rec_types: str) -> list[Pick]:
        """All pieces that have one of ``rec_types`` now."""
        return [
            (line, location, dict(stage.quantities))
            for line in self.lines
            for (rec_type, location), stage in line.stages.items()
            if rec_type in rec_types and stage.quantities
        ]

    def pieces(self, *rec_types: str) -> int:
        """How many pieces have one of ``rec_types`` now."""
        return sum(line.pieces_at(*rec_types) for line in self.lines)

    def move(self, picks: Iterable[Pick], source: str, target: str, location: str | None = None) -> None:
        """Move pieces from one ``rec_type`` to another, and if given to another location.

        A stage row that falls to zero stays and is written with zeros, so that every move leaves a stamp.
        """
        for line, at, quantities in picks:
            self.change(line, source, at, quantities, -1)
            self.change(line, target, at if location is None else location, quantities, +1)

    def change(self, line: Line, rec_type: str, location: str, quantities: Quantities, sign: int) -> None:
        """Add (+1) or take (-1) pieces of one stage and write its row."""
        stage = line.stages.get((rec_type, location))
        if stage is None:
            stage = line.stages[rec_type, location] = Stage(self.sim.pkey("order-stages"), {})
        for bucket, quantity in quantities.items():
            left = stage.quantities.pop(bucket, 0) + sign * quantity
            if left:
                stage.quantities[bucket] = left
        self.write_stage(line, rec_type, location)

    def cancel(self, picks: Iterable[Pick], source: str, rec_type: str, code: str) -> None:
        """Cancel pieces that have not shipped, by the customer (``CC``) or the house (``CH``), with a reason.

        The lines keep their ``total_qty`` and the header its amounts.
        """
        self.move(picks, source, rec_type)
        self.cancel_code = code

    def cancel_rest(self, rec_type: str, code: str) -> None:
        """Cancel all that has not shipped."""
        for source in BEFORE_SHIPPING:
            self.cancel(self.standing(source), source, rec_type, code)

    @property
    def status_by_evidence(self) -> str:
        """What ``ord_status`` should say once something shipped, came back or was cancelled."""
        shipped = self.pieces("IN")
        if self.pieces(*BEFORE_SHIPPING):
            return "S" if shipped else self.status
        if not shipped:
            return "X"
        return "R" if self.pieces("RT") == shipped else "C"

    def delete_line(self, line: Line) -> None:
        """Take a line away with its stages; the header is written, for its amounts have changed."""
        self.lines.remove(line)
        self._delete_rows(line)
        self.write_header()

    def delete(self) -> None:
        """Let every row of the order vanish; nothing is left that has a stamp."""
        self.sim.delete("orders", self.pkey)
        for line in self.lines:
            self._delete_rows(line)
        for kind in sorted(self.defects):
            self.mend(kind)
        self.sim.plant("deleted_order", "orders", self.ord_num)

    def mend(self, kind: str) -> None:
        """Note that a defect is out of the order's rows."""
        self.defects.discard(kind)
        self.sim.mend(kind, "orders", self.ord_num)

    def _delete_rows(self, line: Line) -> None:
        self.sim.delete("order-lines", line.pkey)
        for stage in line.stages.values():
            self.sim.delete("order-stages", stage.pkey)
