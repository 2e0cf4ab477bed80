"""An independent proof: reads both stand-ins and compares them, with arithmetic of its own.

Nothing here uses the project's mapping, mirror or contracts. It reads Blue Cherry's rows with a bare HTTP
client, works out each order by itself in decimals, and holds that against what Ometria stores. Of the project
it takes only the YAML of the rules, because they are the retailer's choices, and the reasons for what is held.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal, InvalidOperation
from itertools import count
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import yaml

from bc_ometria.rules import rules_file

_BUCKETS = [f"size{bucket:02}_qty" for bucket in range(1, 25)]
_COLUMNS = {
    "customers": ["customer", "email", "first_name", "last_name", "email_ok", "consent_date", "erased_ok"],
    "orders": [
        "pkey",
        "ord_num",
        "division",
        "customer",
        "ord_status",
        "ord_type",
        "ord_date",
        "currency",
        "email",
        "first_name",
        "last_name",
        "frt_amt",
        "ord_total",
    ],
    "order-lines": ["pkey", "fkey", "ord_num", "unit_price", "line_disc", "line_tax", *_BUCKETS],
    "order-stages": ["fkey", "ord_num", "rec_type", *_BUCKETS],
}
_CENT = Decimal("0.01")
_MANY_LINES = 150  # an order with more may pass Ometria's 60 KB

Row = Mapping[str, Any]


@dataclass
class Account:
    """What became of all records of one kind."""

    in_blue_cherry: int = 0
    excluded: Counter[str] = field(default_factory=Counter)
    expected: int = 0
    equal: int = 0
    held: Counter[str] = field(default_factory=Counter)
    vanished: int = 0
    differing: list[str] = field(default_factory=list)
    unaccounted: list[str] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        return not self.differing and not self.unaccounted


def read_blue_cherry(environment: Mapping[str, str]) -> dict[str, list[Row]]:
    """The rows of what customers and orders are made of, trimmed, and of those only what is looked at; the
    stand-in must stand still."""
    base = "/".join(environment[f"BLUE_CHERRY_{part}"] for part in ("BASE_URL", "TENANT", "ENVIRONMENT"))
    headers = {"Ocp-Apim-Subscription-Key": environment["BLUE_CHERRY_API_KEY"]}
    with httpx.Client(base_url=base, headers=headers, timeout=60) as http:
        return {resource: list(_rows(http, resource)) for resource in _COLUMNS}


def _rows(http: httpx.Client, resource: str) -> Iterator[Row]:
    for page in count(1):
        params: dict[str, str | int] = {"page": page, "page_size": 1000, "select": ",".join(_COLUMNS[resource])}
        rows = http.get(f"/{resource}", params=params).raise_for_status().json()["value"]
        for row in rows:
            trimmed = {name: value.strip() if isinstance(value, str) else value for name, value in row.items()}
            yield {name: value for name, value in trimmed.items() if name not in _BUCKETS or value}
        if not rows:
            return


def read_ometria(control_url: str) -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, Any]]]:
    """Contacts and orders by id, as the stand-in has stored them."""
    with httpx.Client(base_url=f"{control_url}/_control", timeout=120) as http:
        contacts = http.get("/state/contacts").raise_for_status().json()
        orders = http.get("/state/orders").raise_for_status().json()
    return {each["id"]: each for each in contacts}, {each["id"]: each for each in orders}


def audit_contacts(
    customers: Iterable[Mapping[str, Any]],
    contacts: Mapping[str, Mapping[str, Any]],
    held: Mapping[str, str],
) -> Account:
    """Hold every customer against the contact of that code."""
    account = Account()
    seen = set()
    for customer in customers:
        code = customer["customer"]
        seen.add(code)
        account.in_blue_cherry += 1
        if customer["erased_ok"] == "Y":
            account.excluded["the customer was erased"] += 1
            if code in contacts:
                account.differing.append(f"contact {code} was erased and is in Ometria")
            continue
        account.expected += 1
        contact = contacts.get(code)
        if code in held:
            account.held[held[code]] += 1
        elif contact is None:
            account.unaccounted.append(f"contact {code} is neither in Ometria nor held")
        elif wrong := list(_contact_differences(customer, contact)):
            account.differing.append(f"contact {code}: {', '.join(wrong)}")
        else:
            account.equal += 1
    account.unaccounted += [f"contact {code} is in Ometria only" for code in contacts if code not in seen]
    return account


def _contact_differences(customer: Mapping[str, Any], contact: Mapping[str, Any]) -> Iterable[str]:
    plain = {"email": "email", "first_name": "firstname", "last_name": "lastname"}
    for column, key in plain.items():
        if customer[column] and customer[column] != contact.get(key):
            yield key
    dated = bool(customer["consent_date"])
    consents = {"Y": "EXPLICITLY_OPTEDIN" if dated else None, "N": "EXPLICITLY_OPTEDOUT"}
    if contact.get("marketing_optin") != consents.get(customer["email_ok"]):
        yield "marketing_optin"


def audit_orders(
    rows: Mapping[str, list[Row]],
    orders: Mapping[str, Mapping[str, Any]],
    held: Mapping[str, str],
    environment: Mapping[str, str],
    time_zone: str,
    deleted: set[str],
) -> Account:
    """Hold every order number that Blue Cherry serves against the order of that id.

    ``deleted`` are orders that Blue Cherry has dropped without a trace; they are counted apart.
    """
    account = Account()
    rules = {name: _yaml(name, environment) for name in ("statuses", "divisions", "channels")}
    erased = {row["customer"] for row in rows["customers"] if row["erased_ok"] == "Y"}
    headers, lines, stages = (_by(rows[name], "ord_num") for name in ("orders", "order-lines", "order-stages"))
    numbers = set(headers) | set(lines) | set(stages)
    for number in sorted(numbers):
        account.in_blue_cherry += 1
        order = orders.get(number)
        header = headers[number][0] if number in headers else None
        excluded = _excluded(header, rules, erased) if header else ""
        if excluded:
            account.excluded[excluded] += 1
            if order is not None:
                account.differing.append(f"order {number} is in Ometria, but {excluded}")
            continue
        account.expected += 1
        if number in held:
            account.held[held[number]] += 1
            if not _is_wrong(headers[number], lines[number], stages[number], rules):
                account.differing.append(f"order {number} is held ({held[number]}), but nothing is wrong with it")
        elif header is None or order is None:
            account.unaccounted.append(f"order {number} is neither in Ometria nor held")
        else:
            expected = _expected(header, lines[number], stages[number], rules, time_zone)
            wrong = [name for name, value in expected.items() if value != _shown(order, name)]
            if wrong:
                told = ", ".join(f"{name} {_shown(order, name)} instead of {expected[name]}" for name in wrong)
                account.differing.append(f"order {number}: {told}")
            else:
                account.equal += 1
    only_there = set(orders) - numbers
    account.vanished = len(only_there & deleted)
    account.unaccounted += [f"order {number} is in Ometria only" for number in sorted(only_there - deleted)]
    return account


def _excluded(header: Mapping[str, Any], rules: Mapping[str, Any], erased: set[str]) -> str:
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


def _is_wrong(
    headers: list[Row],
    lines: list[Row],
    stages: list[Row],
    rules: Mapping[str, Any],
) -> bool:
    """Whether there is any reason at all to hold an order."""
    if len(headers) != 1 or not lines or {line["fkey"] for line in lines} != {headers[0]["pkey"]}:
        return True
    header = headers[0]
    division = rules["divisions"].get(header["division"])
    try:
        adds_up = _adds_up(header, lines)
        for row in [*lines, *stages]:
            if any(int(row[bucket]) < 0 for bucket in _buckets(row)):
                return True
    except (ValueError, InvalidOperation):
        return True
    email, local = header["email"], header["email"].partition("@")[0]
    return (
        not adds_up
        or max(len(header["first_name"]), len(header["last_name"])) > 64
        or header["ord_status"] not in rules["statuses"]["ord_status"]
        or header["ord_type"] not in rules["channels"]
        or division is None
        or division["currency"] != header["currency"]
        or not (header["customer"] or email)
        or (bool(email) and (email.count("@") != 1 or not local or "." not in email.partition("@")[2]))
        or len(lines) > _MANY_LINES
    )


def _adds_up(header: Mapping[str, Any], lines: list[Row]) -> bool:
    of_lines = sum(
        Decimal(line["unit_price"]) * sum(int(line[bucket]) for bucket in _buckets(line))
        - Decimal(line["line_disc"])
        + Decimal(line["line_tax"])
        for line in lines
    )
    return abs(Decimal(header["ord_total"]) - Decimal(header["frt_amt"]) - of_lines) <= _CENT * len(lines)


def _expected(
    header: Mapping[str, Any],
    lines: list[Row],
    stages: list[Row],
    rules: Mapping[str, Any],
    time_zone: str,
) -> dict[str, Any]:
    """What Ometria should show of an order: worked out from the ordered and the cancelled pieces."""
    cancelled: dict[tuple[Any, str], int] = defaultdict(int)
    for stage in stages:
        if stage["rec_type"] in ("CC", "CH"):
            for bucket in _buckets(stage):
                cancelled[stage["fkey"], bucket] += int(stage[bucket])
    ordered = sum(int(line[bucket]) for line in lines for bucket in _buckets(line))
    gone = sum(cancelled.values())
    all_gone = ordered > 0 and gone >= ordered
    total, pieces, split = Decimal(header["frt_amt"]), 0, 0
    for line in lines:
        of_line = sum(int(line[bucket]) for bucket in _buckets(line))
        whole = Decimal(line["line_tax"]) - Decimal(line["line_disc"])
        left = of_line
        if not all_gone:
            left -= sum(cancelled[line["pkey"], bucket] for bucket in _buckets(line))
        total += Decimal(line["unit_price"]) * left
        total += whole * left / of_line if of_line else whole
        pieces += left
        split += left != of_line or len(_buckets(line)) > 1
    if not gone:
        total = Decimal(header["ord_total"])
    status = rules["statuses"]["ord_status"].get(header["ord_status"], {})
    if all_gone and status.get("is_valid"):
        status = rules["statuses"]["wholly_cancelled"]
    placed = datetime.strptime(header["ord_date"], "%Y-%m-%d %H:%M:%S").replace(tzinfo=ZoneInfo(time_zone))
    return {
        "grand_total": _Amount(total, tolerance=split * _CENT),
        "pieces": pieces,
        "status": status.get("status"),
        "is_valid": status.get("is_valid"),
        "currency": header["currency"],
        "store": rules["divisions"].get(header["division"], {}).get("store"),
        "customer": header["customer"] or None,
        "timestamp": placed.timestamp(),
    }


def _shown(order: Mapping[str, Any], name: str) -> Any:
    if name == "pieces":
        return sum(item["quantity"] for item in order["lineitems"])
    if name == "customer":
        return order["customer"].get("id")
    if name == "timestamp":
        return datetime.fromisoformat(order["timestamp"]).timestamp()
    if name == "grand_total":
        return Decimal(str(order["grand_total"]))
    return order.get(name)


@dataclass(frozen=True, eq=False)
class _Amount:
    """An amount, to the penny for each line that had to be split: its shares are whole pennies."""

    amount: Decimal
    tolerance: Decimal

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Decimal) and abs(self.amount - other) <= self.tolerance

    def __str__(self) -> str:
        return f"{self.amount:.2f}"


def _buckets(row: Row) -> list[str]:
    """The size buckets of a row that hold pieces."""
    return [name for name in _BUCKETS if name in row]


def _by(rows: Iterable[Row], key: str) -> dict[str, list[Row]]:
    grouped: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        grouped[row[key]].append(row)
    return grouped


def _yaml(name: str, environment: Mapping[str, str]) -> Any:
    from bc_ometria.config import rules_folder

    return yaml.load(rules_file(name, rules_folder(environment)).read_text(), Loader=yaml.SafeLoader)
