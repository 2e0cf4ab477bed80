"""The lives of orders: what happens to each, by chance and in its own time, until nothing more does.

A life is a process (`simulation.Process`): it writes, and yields the seconds until it goes on. The names
given to ``happened`` are those of `docs/apparel.md`.
"""

from collections.abc import Generator

from bc_ometria.sandbox.apparel.documents import Shipment, ship, take_back
from bc_ometria.sandbox.apparel.edits import edit
from bc_ometria.sandbox.apparel.entry import Entry
from bc_ometria.sandbox.apparel.orders import Order, Pick
from bc_ometria.sandbox.apparel.people import Customer
from bc_ometria.sandbox.apparel.simulation import DAY, HOUR, MINUTE, Process

# The share of web orders to which each happens.
LATE_CUSTOMER = 0.3  # of those that register
LINES_FIRST, HEADER_FIRST = 0.04, 0.04
HOLD, EDIT, CANCEL_WHOLE, CANCEL_PART = 0.06, 0.06, 0.04, 0.03
HOUSE_CANCEL = 0.15  # of those held
BACK_ORDER, BACK_ORDER_WHOLE, BACK_ORDER_DROPPED = 0.08, 0.25, 0.2
SPLIT, TRACKING_LATER, VOID_SHIPMENT, STATUS_TRAILS = 0.04, 0.25, 0.015, 0.1
RETURN, RETURN_WHOLE, PART_REFUND, VOID_RETURN, SECOND_RETURN, EXCHANGE = 0.2, 0.5, 0.15, 0.04, 0.2, 0.03
MENDED = 0.5  # of each defect that can be mended
REENTERED = 0.5  # of deleted orders

HOLD_CODES = ("CR", "AD", "FR")
RETURN_REASONS = ("FIT", "DMG", "MIND", "LATE")


def web_order(order: Order, entry: Entry, newcomer: Customer | None = None) -> Process:
    """From the check-out to the last return; ``newcomer`` is the customer whom this order registers."""
    arrived = yield from _arrive(order, entry, newcomer)
    if not arrived:
        return
    yield _between(order, 5 * MINUTE, 4 * HOUR)
    if order.fate == "deleted_order":
        _delete(order, entry)
        return
    if order.fate == "unmapped_status":
        released = yield from _stuck(order, order.rng.choice(("Q7", "Z1")))
        if not released:
            return
    if order.fate == "unknown_hold_code":
        released = yield from _stuck(order, "H", hold_code="ZZ")
        if not released:
            return
    if _happens(order, "hold", HOLD):
        yield from _hold(order)
        if _happens(order, "house cancels whole", HOUSE_CANCEL):
            order.cancel_rest("CH", "FR")
            order.set_status("X")
            return
    if order.rng.random() < EDIT:
        edit(order)
        yield _between(order, 5 * MINUTE, HOUR)
    if _happens(order, "customer cancels whole", CANCEL_WHOLE):
        order.cancel_rest("CC", "CU")
        order.set_status("X")
        return
    open_picks = order.standing("OP")
    if len(open_picks) > 1 and _happens(order, "customer cancels part", CANCEL_PART):
        order.cancel([order.rng.choice(open_picks)], "OP", "CC", "CU")
        order.write_header()
    yield from _fulfil_with_back_orders(order)
    if order.pieces("IN"):
        yield from _after_sale(order, entry)


def till_order(order: Order, entry: Entry) -> Process:
    """A sale over the counter, whose goods come back at times."""
    order.write_header()
    order.write_lines()
    entry.sim.happened["till sale"] += 1
    yield from _after_sale(order, entry)


def trade_order(order: Order) -> Process:
    """A wholesale or EDI order: sent in two waves, of which the house cancels the second at times."""
    order.write_header()
    order.write_lines()
    order.sim.happened["wholesale order" if order.ord_type == "S" else "EDI order"] += 1
    yield _between(order, 8 * HOUR, 4 * DAY)
    if _happens(order, "hold", 2 * HOLD):
        yield from _hold(order)
    picks = order.standing("OP")
    first = [(line, at, _half(quantities)) for line, at, quantities in picks]
    yield from _fulfil(order, first)
    yield _between(order, 3 * DAY, 8 * DAY)
    if _happens(order, "house cancels part", 0.3):
        order.cancel_rest("CH", "NS")
        order.set_status(order.status_by_evidence)
    else:
        yield from _fulfil(order, order.standing("OP"))


def _happens(order: Order, name: str, share: float) -> bool:
    """Throw the order's dice, and note what happens."""
    if order.rng.random() >= share:
        return False
    order.sim.happened[name] += 1
    return True


def _between(order: Order, least: int, most: int) -> int:
    return order.rng.randint(least, most)


def _half(quantities: dict[int, int]) -> dict[int, int]:
    """About half of the pieces: of every bucket that has two the half, else the whole bucket."""
    return {bucket: quantity // 2 or quantity for bucket, quantity in quantities.items()}


def _arrive(order: Order, entry: Entry, newcomer: Customer | None) -> Generator[int, None, bool]:
    """Write the order, in one go or with header and lines apart; false where one of them never comes."""
    late_customer = newcomer and _happens(order, "customer after order", LATE_CUSTOMER)
    if newcomer and not late_customer:
        entry.people.write(newcomer)
    if order.fate in ("lines_without_header", "header_without_lines"):
        arrived = yield from _arrive_incomplete(order)
    else:
        yield from _arrive_complete(order)
        arrived = True
    if newcomer and late_customer:
        yield _between(order, MINUTE, 10 * MINUTE)
        entry.people.write(newcomer)
    return arrived


def _arrive_complete(order: Order) -> Process:
    if not order.defects and _happens(order, "lines before header", LINES_FIRST):
        order.write_lines()
        yield _between(order, 5, 20 * MINUTE)
        order.write_header()
    elif not order.defects and _happens(order, "header before lines", HEADER_FIRST):
        order.write_header()
        yield _between(order, 5, 20 * MINUTE)
        order.write_lines()
    else:
        order.write_header()
        order.write_lines()


def _arrive_incomplete(order: Order) -> Generator[int, None, bool]:
    """Only one half comes; the other follows after a day or more, or never."""
    halves = [order.write_header, order.write_lines]
    if order.fate == "lines_without_header":
        halves.reverse()
    halves[0]()
    order.sim.plant(order.fate, "orders", order.ord_num)
    yield _between(order, DAY, 3 * DAY)
    if order.rng.random() >= MENDED:
        return False
    halves[1]()
    order.mend(order.fate)
    return True


def _delete(order: Order, entry: Entry) -> None:
    order.delete()
    if _happens(order, "re-entered order", REENTERED):
        order.sim.start(web_order(entry.again(order), entry))


def _stuck(order: Order, status: str, hold_code: str = "") -> Generator[int, None, bool]:
    """Stand under a code nobody knows; false where it stays so for good."""
    order.defects.add(order.fate)
    order.hold_code = hold_code
    order.set_status(status)
    yield _between(order, DAY, 5 * DAY)
    if order.rng.random() >= MENDED:
        return False
    order.mend(order.fate)
    order.hold_code = ""
    order.set_status("O")
    return True


def _hold(order: Order) -> Process:
    order.hold_code = order.rng.choice(HOLD_CODES)
    order.set_status("H")
    yield _between(order, HOUR, 2 * DAY)
    order.hold_code = ""
    order.set_status("O")


def _fulfil_with_back_orders(order: Order) -> Process:
    """Send what there is; what there is not stays open, and is sent or dropped by the house days later."""
    picks = order.standing("OP")
    short: list[Pick] = []
    if _happens(order, "back-order", BACK_ORDER):
        whole = len(picks) == 1 or order.rng.random() < BACK_ORDER_WHOLE
        short = picks if whole else [order.rng.choice(picks)]
    available = [pick for pick in picks if pick not in short]
    if available:
        yield from _fulfil(order, available)
    elif short:
        order.set_status("B")
    if not short:
        return
    yield _between(order, 2 * DAY, 9 * DAY)
    if _happens(order, "house cancels back-order", BACK_ORDER_DROPPED):
        order.cancel(short, "OP", "CH", "NS")
        order.set_status(order.status_by_evidence)
    else:
        order.sim.happened["back-order released"] += 1
        yield from _fulfil(order, short)


def _fulfil(order: Order, picks: list[Pick]) -> Process:
    """Approve, pick and ship open pieces, warehouse by warehouse."""
    for pick in picks:
        _reserve(order, pick)
    shipped_before = order.pieces("IN")
    if not shipped_before:
        order.set_status("A")
    yield _between(order, 30 * MINUTE, 8 * HOUR)
    order.move(order.standing("RS"), "RS", "PK")
    if not shipped_before:
        order.set_status("P")
    yield _between(order, 20 * MINUTE, 6 * HOUR)
    parcels = sorted({at for _, at, _ in order.standing("PK")})
    if len(parcels) > 1:
        order.sim.happened["split shipment"] += 1
    for location in parcels:
        if location != parcels[0]:
            yield _between(order, HOUR, DAY)
        yield from _ship(order, location)


def _reserve(order: Order, pick: Pick) -> None:
    """``OP`` becomes ``RS`` at a warehouse that is one, and at two where neither has it all."""
    line, at, quantities = pick
    warehouses = order.division.warehouses
    target = at if at in warehouses else warehouses[0]
    if len(warehouses) > 1 and order.rng.random() < SPLIT:
        other = warehouses[1] if target == warehouses[0] else warehouses[0]
        part = _half(quantities)
        order.move([(line, at, part)], "OP", "RS", other)
        quantities = {bucket: rest for bucket in quantities if (rest := quantities[bucket] - part[bucket])}
    if quantities:
        order.move([(line, at, quantities)], "OP", "RS", target)
    if line.location not in warehouses:
        line.location = target
        order.write_line(line)


def _ship(order: Order, location: str) -> Process:
    """Send what is picked at one location; at times void the shipment and send it again."""
    picks = [pick for pick in order.standing("PK") if pick[1] == location]
    tracked = not _happens(order, "tracking later", TRACKING_LATER)
    (shipment,) = ship(order, picks, tracked=tracked)
    if not tracked:
        order.sim.start(_track_later(shipment))
    if order.ord_type == "W" and _happens(order, "status trails", STATUS_TRAILS):
        yield _between(order, 5 * MINUTE, 40 * MINUTE)
    order.set_status(order.status_by_evidence)
    if _happens(order, "voided shipment", VOID_SHIPMENT):
        yield _between(order, HOUR, 10 * HOUR)
        shipment.annul()
        order.set_status("S" if order.pieces("IN") else "P")
        yield _between(order, HOUR, DAY)
        ship(order, picks)
        order.set_status(order.status_by_evidence)


def _track_later(shipment: Shipment) -> Process:
    yield _between(shipment.order, HOUR, DAY)
    if not shipment.void:
        shipment.track()
        shipment.write()


def _after_sale(order: Order, entry: Entry) -> Process:
    """Returns with refunds in whole or part, void ones, and exchanges."""
    if order.ord_type == "W" and _happens(order, "exchange", EXCHANGE):
        yield _between(order, 3 * DAY, 10 * DAY)
        line, at, quantities = order.rng.choice(order.standing("IN"))
        one = {min(quantities): 1}
        take_back(order, [(line, at, one)], _counter(order), "EX")
        order.set_status(order.status_by_evidence)
        order.sim.start(web_order(entry.exchange(order, line), entry))
    elif order.rng.random() < RETURN:
        yield _between(order, 3 * DAY, 15 * DAY)
        yield from _return(order)


def _return(order: Order) -> Process:
    shipped = order.standing("IN")
    whole = order.rng.random() < RETURN_WHOLE
    picks = shipped if whole else [order.rng.choice(shipped)]
    percent = 50 if _happens(order, "part refund", PART_REFUND) else 100
    document = take_back(order, picks, _counter(order), order.rng.choice(RETURN_REASONS), percent)
    order.sim.happened["return of all" if order.status_by_evidence == "R" else "return of part"] += 1
    order.set_status(order.status_by_evidence)
    if _happens(order, "voided return", VOID_RETURN):
        yield _between(order, HOUR, DAY)
        document.annul()
        order.set_status(order.status_by_evidence)
    elif not whole and order.status != "R" and _happens(order, "second return", SECOND_RETURN):
        yield _between(order, DAY, 5 * DAY)
        rest = [pick for pick in shipped if pick not in picks]
        take_back(order, rest[:1], _counter(order), "FIT")
        order.set_status(order.status_by_evidence)


def _counter(order: Order) -> str:
    """Where goods come back: the shop that sold them, else the division's first warehouse."""
    return order.lines[0].location if order.ord_type == "R" else order.division.warehouses[0]
