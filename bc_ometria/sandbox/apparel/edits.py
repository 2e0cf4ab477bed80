"""What service agents change by hand in an order that is still open, and what they mend."""

from collections.abc import Callable

from bc_ometria.sandbox.apparel import names
from bc_ometria.sandbox.apparel.orders import Line, Order
from bc_ometria.sandbox.apparel.simulation import DAY, Process

MENDABLE = ("unknown_currency", "bucket_text", "bad_email")


def edit(order: Order) -> None:
    """One edit of an order all of whose pieces are open, of a kind drawn evenly from those that fit it."""
    edits: dict[str, Callable[[Order, Line], None]] = {
        "quantity edit": _edit_quantity,
        "price edit": _edit_price,
        "address edit": _edit_address,
        "quiet quantity edit": _edit_quantity_quietly,
        "quiet size swap": _swap_size_quietly,
    }
    if len(order.lines) > 1:
        edits["line deleted"] = _delete_line
    kind = order.rng.choice(sorted(edits))
    edits[kind](order, order.rng.choice(order.lines))
    order.sim.happened[kind] += 1


def mend_later(order: Order) -> Process:
    """After a day or more, put right what a person would have seen in the header or the lines."""
    yield order.rng.randint(DAY, 3 * DAY)
    for kind in MENDABLE:
        if kind not in order.defects:
            continue
        match kind:
            case "unknown_currency":
                order.header["currency"] = order.division.currency
            case "bad_email":
                order.header["email"] = f"order.{order.ord_num}@example.com"
            case "bucket_text":
                for line in order.lines:
                    if line.garbled:
                        line.garbled = False
                        order.write_line(line)
        order.mend(kind)
        if kind != "bucket_text":
            order.write_header()


def _change_quantity(order: Order, line: Line) -> None:
    """One piece more or, where there are two, one less; all of them are open."""
    bucket = min(line.quantities)
    quantity = line.quantities[bucket]
    _set_quantities(order, line, {bucket: quantity - 1 if quantity > 1 and order.rng.random() < 0.5 else quantity + 1})


def _set_quantities(order: Order, line: Line, quantities: dict[int, int]) -> None:
    line.quantities = quantities
    line.stages["OP", line.location].quantities = dict(quantities)
    order.write_line(line)
    order.write_stage(line, "OP", line.location)


def _edit_quantity(order: Order, line: Line) -> None:
    _change_quantity(order, line)
    order.write_header()


def _edit_price(order: Order, line: Line) -> None:
    line.unit_price = max(0, line.unit_price - 500)
    order.write_line(line)
    order.write_header()


def _edit_address(order: Order, line: Line) -> None:
    country = order.division.country
    order.set_address(*names.place(order.rng, country), country)
    order.write_header()


def _edit_quantity_quietly(order: Order, line: Line) -> None:
    """Only the line and its stage are stamped; the header has new amounts under its old stamp."""
    _change_quantity(order, line)
    order.write_header(quietly=True)


def _swap_size_quietly(order: Order, line: Line) -> None:
    """The same pieces in another size: the amounts stay, and only the line and its stage are written."""
    sizes = [bucket for bucket in line.style.buckets if bucket not in line.quantities] or [1]
    _set_quantities(order, line, {order.rng.choice(sizes): line.pieces})


def _delete_line(order: Order, line: Line) -> None:
    order.delete_line(line)
