"""Every order number that Blue Cherry serves against the order of that id."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any
from zoneinfo import ZoneInfo

import yaml

from bc_ometria.config import rules_folder
from bc_ometria.demo.audit.account import Account
from bc_ometria.demo.audit.contacts import survivors
from bc_ometria.demo.audit.reading import OF_ORDERS, Row, buckets, by
from bc_ometria.demo.audit.states import Order, fates, order_of, state_of
from bc_ometria.rules import rules_file

_CENT = Decimal("0.01")
_MANY_LINES = 150  # an order with more may pass Ometria's 60 KB

OrderRows = Mapping[str, list[Row]]
"""The rows of one order, by resource."""


def audit_orders(
    rows: Mapping[str, list[Row]],
    orders: Mapping[str, Mapping[str, Any]],
    held: Mapping[str, str],
    environment: Mapping[str, str],
    time_zone: str,
    deleted: set[str],
) -> Account:
    """Hold every order number that Blue Cherry serves against the order of that id.

    ``deleted`` are orders that Blue Cherry has dropped without a trace; in Ometria they may count as revenue no more.
    """
    account = Account()
    rules = {name: _yaml(name, environment) for name in ("statuses", "reasons", "divisions", "warehouses", "channels")}
    erased = {row["customer"] for row in rows["customers"] if row["erased_ok"] == "Y"}
    survivor_of = survivors(rows["customers"])
    by_order = {resource: by(rows[resource], "ord_num") for resource in OF_ORDERS}
    by_order["orders"] = {
        number: [{**header, "customer": survivor_of.get(header["customer"], header["customer"])} for header in headers]
        for number, headers in by_order["orders"].items()
    }
    numbers = {number for of_resource in by_order.values() for number in of_resource}
    for number in sorted(numbers):
        account.in_blue_cherry += 1
        order = orders.get(number)
        of_order = {resource: by_order[resource].get(number, []) for resource in OF_ORDERS}
        header = of_order["orders"][0] if of_order["orders"] else None
        excluded = _excluded(header, rules, erased) if header else ""
        if excluded:
            account.excluded[excluded] += 1
            if order is not None:
                account.differing.append(f"order {number} is in Ometria, but {excluded}")
            continue
        account.expected += 1
        if number in held:
            account.held[held[number]] += 1
            if not _is_wrong(of_order, rules):
                account.differing.append(f"order {number} is held ({held[number]}), but nothing is wrong with it")
        elif header is None or order is None:
            account.unaccounted.append(f"order {number} is neither in Ometria nor held")
        elif wrong := list(_differences(of_order, order, rules, time_zone)):
            account.differing.append(f"order {number}: {', '.join(wrong)}")
        else:
            account.equal += 1
    for number in sorted(set(orders) - numbers):
        if number not in deleted:
            account.unaccounted.append(f"order {number} is in Ometria only")
        elif orders[number]["is_valid"]:
            account.differing.append(f"order {number} was deleted in Blue Cherry, and counts as revenue in Ometria")
        else:
            account.vanished += 1
    return account


def _excluded(header: Row, rules: Mapping[str, Any], erased: set[str]) -> str:
    channel = rules["channels"].get(header["ord_type"])
    division = rules["divisions"].get(header["division"])
    status = rules["statuses"]["ord_status"].get(header["ord_status"], {})
    if channel and not channel["send"]:
        return f"{channel['meaning']}s are not sent"
    if division and not division["marketing"]:
        return f"division {header['division']} is not marketed"
    if "ignore" in status:
        return str(status["ignore"])
    return "the customer was erased" if header["customer"] in erased else ""


def _is_wrong(rows: OrderRows, rules: Mapping[str, Any]) -> bool:
    """Whether there is any reason at all to hold an order."""
    headers, lines = rows["orders"], rows["order-lines"]
    if len(headers) != 1 or not lines or {line["fkey"] for line in lines} != {headers[0]["pkey"]}:
        return True
    header = headers[0]
    division = rules["divisions"].get(header["division"])
    try:
        order_of(rows, rules)
        adds_up = _adds_up(header, lines)
    except (ValueError, InvalidOperation):
        return True
    email, local = header["email"], header["email"].partition("@")[0]
    return (
        not adds_up
        or any(int(row[bucket]) < 0 for part in rows.values() for row in part for bucket in buckets(row))
        or max(len(header["first_name"]), len(header["last_name"])) > 64
        or header["ord_status"] not in rules["statuses"]["ord_status"]
        or header["ord_type"] not in rules["channels"]
        or division is None
        or division["currency"] != header["currency"]
        or bool(_unknown_warehouses(rows, rules))
        or not (header["customer"] or email)
        or (bool(email) and (email.count("@") != 1 or not local or "." not in email.partition("@")[2]))
        or len(lines) > _MANY_LINES
    )


def _unknown_warehouses(rows: OrderRows, rules: Mapping[str, Any]) -> list[str]:
    """Where goods of the order are, or left from, that no rule knows; blank is nowhere yet."""
    left_from = (row["location"] for row in rows["shipments"] if row["void_ok"] != "Y")
    locations = {*(line["location"] for line in rows["order-lines"]), *left_from}
    return sorted(locations - {"", *rules["warehouses"]})


def _adds_up(header: Row, lines: list[Row]) -> bool:
    of_lines = sum(
        Decimal(line["unit_price"]) * sum(int(line[bucket]) for bucket in buckets(line))
        - Decimal(line["line_disc"])
        + Decimal(line["line_tax"])
        for line in lines
    )
    return abs(Decimal(header["ord_total"]) - Decimal(header["frt_amt"]) - of_lines) <= _CENT * len(lines)


def _differences(rows: OrderRows, shown: Mapping[str, Any], rules: Mapping[str, Any], time_zone: str) -> Iterator[str]:
    """What Ometria shows of an order otherwise than Blue Cherry has it."""
    for location in _unknown_warehouses(rows, rules):
        yield f"location {location}, which no rule knows"
    for name, value in expected(order_of(rows, rules), rules, time_zone).items():
        if value != (found := _shown(shown, name)):
            yield f"{name} {found} instead of {value}"


def expected(order: Order, rules: Mapping[str, Any], time_zone: str) -> dict[str, Any]:
    """What Ometria should show of an order: worked out from what became of its pieces."""
    header, of_pieces = order.header, fates(order)
    gone = {piece: fate["by_customer"] + fate["by_house"] for piece, fate in of_pieces.items()}
    all_gone = 0 < sum(order.ordered.values()) <= sum(gone.values())
    if all_gone:
        gone = {}  # a wholly cancelled order is shown as it was placed
    total, split = _total(order, gone)
    state = state_of(order, total - Decimal(header["frt_amt"]), rules)
    in_ometria = rules["statuses"]["states"].get(state, {})
    placed = datetime.strptime(header["ord_date"], "%Y-%m-%d %H:%M:%S").replace(tzinfo=ZoneInfo(time_zone))
    return {
        "grand_total": _Amount(total, tolerance=split * _CENT),
        "pieces": sum(order.ordered.values()) - sum(gone.values()),
        "pieces refunded": sum(fate["returned"] for fate in of_pieces.values()),
        "refunded": sum((paper.of_lines for paper in order.live_returns), Decimal(0)),
        "status": in_ometria.get("status"),
        "is_valid": in_ometria.get("is_valid"),
        "currency": header["currency"],
        "store": rules["divisions"].get(header["division"], {}).get("store"),
        "customer": header["customer"] or None,
        "timestamp": placed.timestamp(),
    }


def _total(order: Order, gone: Mapping[tuple[Any, str], int]) -> tuple[Decimal, int]:
    """The header's total less the cancelled pieces, and in how many shares of lines that had to be split."""
    total, split = Decimal(order.header["ord_total"]), 0
    of_line: dict[Any, int] = defaultdict(int)
    for (pkey, _), pieces in order.ordered.items():
        of_line[pkey] += pieces
    line_of = {line["pkey"]: line for line in order.lines}
    for (pkey, _), pieces in gone.items():
        if not pieces:
            continue
        line = line_of[pkey]
        whole = Decimal(line["line_tax"]) - Decimal(line["line_disc"])
        total -= Decimal(line["unit_price"]) * pieces + whole * pieces / of_line[pkey]
        split += len(buckets(line))
    return total, split


def _shown(order: Mapping[str, Any], name: str) -> Any:
    items = order["lineitems"]
    match name:
        case "pieces":
            return sum(item["quantity"] for item in items)
        case "pieces refunded":
            return sum(item.get("quantity_refunded", 0) for item in items)
        case "refunded":
            return sum((Decimal(str(item.get("refunded", 0))) for item in items), Decimal(0))
        case "customer":
            return order["customer"].get("id")
        case "timestamp":
            return datetime.fromisoformat(order["timestamp"]).timestamp()
        case "grand_total":
            return Decimal(str(order["grand_total"]))
    return order.get(name)


@dataclass(frozen=True, eq=False)
class _Amount:
    """An amount, to the penny for each share of a line that had to be split: its shares are whole pennies."""

    amount: Decimal
    tolerance: Decimal

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Decimal) and abs(self.amount - other) <= self.tolerance

    def __str__(self) -> str:
        return f"{self.amount:.2f}"


def _yaml(name: str, environment: Mapping[str, str]) -> Any:
    return yaml.load(rules_file(name, rules_folder(environment)).read_text(), Loader=yaml.SafeLoader)
