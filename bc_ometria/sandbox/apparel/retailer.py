"""The generated retailer as a whole: its catalogue, its customers and its days."""

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import date, datetime, time
from random import Random

from bc_ometria.sandbox.apparel.catalogue import Catalogue
from bc_ometria.sandbox.apparel.edits import mend_later
from bc_ometria.sandbox.apparel.entry import Entry
from bc_ometria.sandbox.apparel.lives import MENDED, till_order, trade_order, web_order
from bc_ometria.sandbox.apparel.people import People
from bc_ometria.sandbox.apparel.simulation import DAY, HOUR, Defect, Process, Simulation
from bc_ometria.sandbox.changes import Change

WEB, TILL, WHOLESALE, EDI = 0.75, 0.20, 0.03, 0.02
"""The shares of a day's orders."""

EDI_HOUR = 5
"""Local hour at which the night's EDI orders are read in, all in one second."""

RHYTHM = (2, 1, 1, 1, 1, 2, 4, 7, 9, 10, 11, 12, 13, 12, 11, 10, 10, 11, 13, 15, 16, 14, 9, 5)
"""How busy each local hour is."""

CUSTOMER_CHANGES = 0.01
"""Changes a day, as a share of the customers the retailer began with."""

REGISTRATIONS = 0.2
"""New registrations without an order, as a share of those changes."""


class Apparel:
    """A fashion retailer that writes Blue Cherry's rows, deterministic by ``seed``.

    Take ``catalogue()`` once, then ``advance()`` as often as you like: the rows are the same however the time
    is cut up. Every row is stamped with the tenant's local time in ``time_zone``.
    """

    def __init__(
        self,
        seed: int = 1,
        *,
        customers: int = 1000,
        orders_per_day: int = 100,
        start: date = date(2026, 1, 5),
        time_zone: str = "Europe/London",
    ) -> None:
        """``start`` is a date (its midnight), a naive local time, or a time with an offset."""
        at = start if isinstance(start, datetime) else datetime.combine(start, time())
        self._sim = Simulation(at, time_zone)
        self._rng = Random(f"{seed}/retailer")
        self._customers = customers
        self._orders_per_day = orders_per_day
        self._goods = Catalogue(self._sim, seed)
        self._people = People(self._sim, seed)
        self._entry = Entry(self._sim, self._goods, self._people, seed)
        self._loaded = False

    @property
    def now(self) -> datetime:
        """The tenant's local time up to which everything was written."""
        return self._sim.local

    @property
    def defects(self) -> list[Defect]:
        """Every defect planted so far, oldest first; ``mended`` tells which of them no longer stand."""
        return self._sim.defects

    @property
    def happened(self) -> Counter[str]:
        """How often each life, change and defect of `docs/apparel.md` has happened so far."""
        return self._sim.happened

    def catalogue(self) -> Iterator[Change]:
        """What there is on the first day: goods, locations and customers with addresses, stamped ``start``.

        Raises ``RuntimeError`` when asked for twice.
        """
        if self._loaded:
            raise RuntimeError("the catalogue was taken already")
        self._loaded = True
        return self._load()

    def advance(self, to: datetime, *, orders_per_minute: int = 0, customers_per_minute: int = 0) -> Iterator[Change]:
        """Everything that happens after the present up to and including ``to``, in order of time.

        Use the iterator up before the next call. ``orders_per_minute`` and ``customers_per_minute`` add, on
        top of the usual day, exactly so many web orders and customer changes to every full minute, evenly.
        Raises ``RuntimeError`` before the catalogue was taken and ``ValueError`` if ``to`` is in the past.
        """
        if not self._loaded:
            raise RuntimeError("take the catalogue first")
        until = self._sim.seconds(to)
        if until < self._sim.now:
            raise ValueError(f"it is {self._sim.local} already")
        # A rank below that of every life: a burst comes first in its second, however time is cut up.
        if orders_per_minute:
            self._sim.start(self._burst(orders_per_minute, until, self._web_order_arrives), -2)
        if customers_per_minute:
            self._sim.start(self._burst(customers_per_minute, until, self._people.change_anyone), -1)
        return self._sim.run(until)

    def _load(self) -> Iterator[Change]:
        self._goods.load()
        yield from self._sim.take()
        for _ in self._people.load(self._customers):
            yield from self._sim.take()
        self._sim.start(self._goods.nightly_upkeep())
        if self._customers:
            self._sim.start(self._customer_traffic())
        if self._orders_per_day:
            self._sim.start(self._order_traffic())
            self._sim.start(self._edi_mornings())

    def _burst(self, per_minute: int, until: int, act: Callable[[], None]) -> Process:
        """Act at every multiple of 60 / ``per_minute`` seconds since the epoch, up to ``until``."""
        beat = -(-(self._sim.now + 1) * per_minute // 60)
        while (at := 60 * beat // per_minute) <= until:
            yield at - self._sim.now
            act()
            beat += 1

    def _order_traffic(self) -> Process:
        """Web, till and wholesale orders, more of them in the busy hours."""
        mean = sum(RHYTHM) / len(RHYTHM)
        busiest = self._orders_per_day * (1 - EDI) / DAY * max(RHYTHM) / mean
        arrivals = {
            self._web_order_arrives: WEB,
            self._till_order_arrives: TILL,
            self._wholesale_order_arrives: WHOLESALE,
        }
        at = float(self._sim.now)
        while True:
            at += self._rng.expovariate(busiest)
            yield int(at) - self._sim.now
            if self._rng.random() < RHYTHM[self._sim.local.hour] / max(RHYTHM):
                self._rng.choices(list(arrivals), list(arrivals.values()))[0]()

    def _edi_mornings(self) -> Process:
        """Once a day, after a quiet night, all EDI orders in the same second."""
        rng = Random(self._rng.random())
        yield (EDI_HOUR - self._sim.local.hour) % 24 * HOUR
        while True:
            for _ in range(int(self._orders_per_day * EDI + rng.random())):
                self._sim.start(trade_order(self._entry.trade("E")))
            yield DAY

    def _customer_traffic(self) -> Process:
        rng = Random(self._rng.random())
        at = float(self._sim.now)
        while True:
            at += rng.expovariate(self._customers * CUSTOMER_CHANGES / DAY)
            yield int(at) - self._sim.now
            if rng.random() < REGISTRATIONS:
                self._people.write(self._people.register(rng))
                self._sim.happened["registration"] += 1
            else:
                self._people.change_anyone()

    def _web_order_arrives(self) -> None:
        order, newcomer = self._entry.web()
        self._sim.start(web_order(order, self._entry, newcomer))
        if order.defects and not order.fate and order.rng.random() < MENDED:
            self._sim.start(mend_later(order))

    def _till_order_arrives(self) -> None:
        self._sim.start(till_order(self._entry.till(), self._entry))

    def _wholesale_order_arrives(self) -> None:
        self._sim.start(trade_order(self._entry.trade("S")))
