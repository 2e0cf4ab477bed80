"""A shop that changes orders and customers in Blue Cherry's stand-in, so many a minute, and remembers what and when.

Each change leaves a mark that Ometria's record shows: a number that grows, in the promotion code of a header, in the
season of a line, in the loyalty number of a customer. So what Ometria was sent tells by itself which changes are in it.
"""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from itertools import count, groupby
from random import Random
from threading import Event

import httpx

from bc_ometria.sandbox.blue_cherry import BlueCherryDatabase
from bc_ometria.sandbox.changes import Change as RowChange
from bc_ometria.sandbox.changes import Delete, Write
from benchmarks import orders as made_up
from benchmarks.orders import Row

_BUCKETS = tuple(f"size{bucket:02}_qty" for bucket in range(1, 25))
_PKEYS = 100_000_000  # above those of the retailer whose Blue Cherry this is
_LATE = (60, 600)  # seconds by which the stamp of a late row is older than its commit: within the overlap
_SHIFT_EVERY_S = 5.0
_ROWS_SHIFTED = 20

HEADER = ""
"""The place of a change that is no line's: the order's header, or the customer."""


@dataclass(frozen=True, slots=True)
class Change:
    """What was changed: ``number`` is its mark, ``at`` when it was committed in Blue Cherry (seconds since the epoch,
    and no stamp of Blue Cherry's, which is cut to the second), ``place`` the product of a line or ``HEADER``."""

    number: int
    at: float
    kind: str
    record_type: str
    record_id: str
    place: str = HEADER


@dataclass
class _Order:
    """The rows of an order as they are in Blue Cherry."""

    header: Row
    lines: list[Row]
    stages: list[Row]

    @property
    def number(self) -> str:
        return str(self.header["ord_num"])


@dataclass
class Trader:
    """The shop. ``changes`` are all it made, in their order."""

    database: BlueCherryDatabase
    url: str
    dice: Random = field(default_factory=lambda: Random(1))
    changes: list[Change] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._numbers = count(1)
        self._open: list[_Order] = []
        self._done: list[_Order] = []
        self._customers: list[Row] = []
        placed = made_up.changes(10**7)
        self._placed = groupby(placed, key=lambda write: write.row["ord_num"])
        self._kinds: dict[Callable[[], None], int] = {
            self._place: 50,
            self._place_late: 15,
            self._edit_header: 70,
            self._edit_line: 65,
            self._edit_quantity: 40,
            self._delete_line: 10,
            self._ship: 40,
            self._cancel: 10,
        }

    def open_shop(self, customers: int = 400, orders: int = 600) -> None:
        """What is there before anybody looks, stamped in the hour before."""
        began = self.database.now() - timedelta(hours=1)
        for nth in range(1, customers + 1):
            code = f"S{nth:07d}"
            self._customers.append(
                {
                    "pkey": _PKEYS + nth, "last_mod": began, "customer": code, "active_ok": "Y", "division": "100",
                    "first_name": "Fern", "last_name": "Heath", "email": f"soak.{nth}@example.com",
                    "phone": f"+447700{900_000 + nth}", "country": "GB", "email_ok": self.dice.choice(("Y", "N", "")),
                    "consent_date": began, "create_date": began,
                }
            )  # fmt: skip
        self.database.apply(Write("customers", row) for row in self._customers)
        for nth in range(orders):
            self._write_new(self._new_order(), (began + timedelta(seconds=nth)))

    def trade(self, over: Event, *, orders_a_minute: float = 300, customers_a_minute: float = 60) -> None:
        """Change so many, evenly, until it is ``over``: at its own pace, whatever anybody else does."""
        began, shifted = time.monotonic(), 0.0
        share = customers_a_minute / (orders_a_minute + customers_a_minute)
        every_s, of_customers = 60 / (orders_a_minute + customers_a_minute), 0.0
        for nth in count(1):
            if over.wait(max(0.0, began + nth * every_s - time.monotonic())):
                return
            of_customers += share
            if of_customers >= 1:
                of_customers -= 1
                self._change_customer()
            else:
                self.dice.choices(list(self._kinds), list(self._kinds.values()))[0]()
            if time.monotonic() - shifted > _SHIFT_EVERY_S:
                shifted = time.monotonic()
                self._shift_pages()

    @property
    def kinds(self) -> Counter[str]:
        """How many changes there were of each kind."""
        return Counter(change.kind for change in self.changes)

    # Orders

    def _place(self) -> None:
        order = self._new_order()
        with self._noting("new order", "order", order.number) as number:
            order.header["promo_code"] = f"P{number:07d}"
            self._write_new(order)

    def _place_late(self) -> None:
        """An order that is committed long after it was stamped."""
        order = self._new_order()
        with self._noting("new order, committed late", "order", order.number) as number:
            order.header["promo_code"] = f"P{number:07d}"
            self._write_new(order, self.database.now() - timedelta(seconds=self.dice.randint(*_LATE)))

    def _edit_header(self) -> None:
        order = self._any_open()
        with self._noting("header", "order", order.number) as number:
            order.header |= {"promo_code": f"P{number:07d}", "ship_city": f"City {number}"}
            self._write(Write("orders", self._stamped(order.header)))

    def _edit_line(self) -> None:
        """A line alone; its header's stamp does not move."""
        order = self._any_open()
        line = self._any_line(order)
        with self._noting("line alone", "order", order.number, _product(line)) as number:
            line["season"] = f"S{number:07d}"
            self._write(Write("order-lines", self._stamped(line)))

    def _edit_quantity(self) -> None:
        """A piece more on a line; its header has new amounts under its old stamp."""
        order = self._any_open()
        line = self._any_line(order)
        with self._noting("quantity, header's stamp unmoved", "order", order.number, _product(line)) as number:
            line["season"] = f"S{number:07d}"
            (bucket,) = (name for name in _BUCKETS if line.get(name))
            (stage,) = (stage for stage in order.stages if stage["fkey"] == line["pkey"])
            for row in (line, stage):
                row[bucket] += 1
                row["total_qty"] += 1
            _add_up(order)
            self._write(
                Write("order-lines", self._stamped(line)),
                Write("order-stages", self._stamped(stage)),
                Write("orders", dict(order.header)),
            )

    def _delete_line(self) -> None:
        """The last line goes without a trace; the header has new amounts."""
        order = next(order for order in iter(self._any_open, None) if len(order.lines) > 2)
        with self._noting("line deleted", "order", order.number) as number:
            line = order.lines.pop()
            (stage,) = (stage for stage in order.stages if stage["fkey"] == line["pkey"])
            order.stages.remove(stage)
            order.header["promo_code"] = f"P{number:07d}"
            _add_up(order)
            self._write(
                Delete("order-stages", stage["pkey"]),
                Delete("order-lines", line["pkey"]),
                Write("orders", self._stamped(order.header)),
            )

    def _ship(self) -> None:
        """All goods leave in one parcel."""
        order = self._close()
        with self._noting("shipped", "order", order.number) as number:
            order.header |= {"promo_code": f"P{number:07d}", "ord_status": "C"}
            now = self.database.now()
            parcel: Row = {"pkey": order.header["pkey"], "ord_num": order.number, "ship_num": order.number}
            parcel |= {"division": order.header["division"], "location": "0010", "ship_date": now, "last_mod": now}
            parcel |= {"ship_via": "RM24", "tracking": f"RM24{number:010d}"}
            lines = [
                {name: value for name, value in line.items() if name not in _OF_LINES_ALONE}
                | {"fkey": parcel["pkey"], "last_mod": now}
                for line in order.lines
            ]
            self._write(
                *self._moved(order, "IN"),
                Write("shipments", parcel),
                *(Write("shipment-lines", line) for line in lines),
            )

    def _cancel(self) -> None:
        order = self._close()
        with self._noting("cancelled", "order", order.number) as number:
            order.header |= {"promo_code": f"P{number:07d}", "ord_status": "X", "cancel_code": "CU"}
            self._write(*self._moved(order, "CC"))

    def _moved(self, order: _Order, rec_type: str) -> list[RowChange]:
        stages = [stage | {"rec_type": rec_type, "trans_date": self.database.now()} for stage in order.stages]
        return [
            Write("orders", self._stamped(order.header)),
            *(Write("order-stages", self._stamped(stage)) for stage in stages),
        ]

    def _new_order(self) -> _Order:
        """The next made-up order, of a customer of this shop, at this moment."""
        _, writes = next(self._placed)
        rows: dict[str, list[Row]] = {"orders": [], "order-lines": [], "order-stages": []}
        for write in writes:
            rows[write.resource].append(dict(write.row))
        (header,), now = rows["orders"], self.database.now()
        buyer, number = self.dice.choice(self._customers), f"S{int(header['ord_num']):07d}"
        for row in (header, *rows["order-lines"], *rows["order-stages"]):
            row |= {"ord_num": number, "pkey": row["pkey"] + _PKEYS}
        for row in (*rows["order-lines"], *rows["order-stages"]):
            row["fkey"] += _PKEYS
        for line in rows["order-lines"]:
            line["style"] = f"{line['division']}SOAK{line['line_num']}"
        for stage in rows["order-stages"]:
            stage["trans_date"] = now
        header |= {"customer": buyer["customer"], "email": buyer["email"], "ord_date": now, "promo_code": ""}
        return _Order(header, rows["order-lines"], rows["order-stages"])

    def _write_new(self, order: _Order, stamp: object = None) -> None:
        stamp = stamp or self.database.now()
        for row in (order.header, *order.lines, *order.stages):
            row["last_mod"] = stamp
        self._write(
            Write("orders", dict(order.header)),
            *(Write("order-lines", dict(line)) for line in order.lines),
            *(Write("order-stages", dict(stage)) for stage in order.stages),
        )
        self._open.append(order)

    def _any_open(self) -> _Order:
        return self.dice.choice(self._open)

    def _any_line(self, order: _Order) -> Row:
        """One that is not the last, which may be deleted."""
        return self.dice.choice(order.lines[:2])

    def _close(self) -> _Order:
        """An open order that is edited no more."""
        order = self._open.pop(self.dice.randrange(len(self._open)))
        self._done.append(order)
        return order

    # Customers

    def _change_customer(self) -> None:
        customer = self.dice.choice(self._customers)
        with self._noting("customer", "contact", str(customer["customer"])) as number:
            customer["loyalty_num"] = f"L{number:07d}"
            if self.dice.random() < 0.1:
                customer |= {"email_ok": self.dice.choice(("Y", "N")), "consent_date": self.database.now()}
            self._write(Write("customers", self._stamped(customer)))

    # Rows

    def _shift_pages(self) -> None:
        """Once a page of orders and of their lines has been read next, rows that are not edited any more are stamped
        anew: they move to the end, and their neighbours shift."""
        done = self._done[-_ROWS_SHIFTED:]
        for resource, rows in (
            ("orders", [order.header for order in done]),
            ("order-lines", [line for order in done for line in order.lines]),
        ):
            shift = {"resource": resource, "page": 1, "pkeys": [row["pkey"] for row in rows]}
            httpx.post(f"{self.url}/_control/touches", json=shift).raise_for_status()

    def _stamped(self, row: Row) -> Row:
        row["last_mod"] = self.database.now()
        return dict(row)

    def _write(self, *changes: RowChange) -> None:
        self.database.apply(changes)

    def _noting(self, kind: str, record_type: str, record_id: str, place: str = HEADER) -> "_Noting":
        return _Noting(self, next(self._numbers), kind, record_type, record_id, place)


@dataclass
class _Noting:
    """Remembers a change once it is committed; it counts from before that."""

    trader: Trader
    number: int
    kind: str
    record_type: str
    record_id: str
    place: str

    def __enter__(self) -> int:
        self._at = time.time()
        return self.number

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            change = Change(self.number, self._at, self.kind, self.record_type, self.record_id, self.place)
            self.trader.changes.append(change)


_OF_LINES_ALONE = ("season", "unit_price", "line_disc", "line_tax", "location")


def _product(line: Row) -> str:
    """The product that Ometria's record shows for a line."""
    return f"{line['division']}-{line['style']}"


def _add_up(order: _Order) -> None:
    """Have the header's amounts be those of its lines."""
    header = order.header
    header["sub_total"] = sum((line["unit_price"] * line["total_qty"] for line in order.lines), Decimal(0))
    header["disc_amt"] = sum((line["line_disc"] for line in order.lines), Decimal(0))
    header["tax_amt"] = sum((line["line_tax"] for line in order.lines), Decimal(0))
    header["ord_total"] = header["sub_total"] - header["disc_amt"] + header["frt_amt"] + header["tax_amt"]
