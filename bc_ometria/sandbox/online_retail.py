"""Real orders of a UK gift retailer, Online Retail II, as rows of Blue Cherry.

How each column is mapped, what is invented, and the attribution: `docs/online-retail.md`. All rules are ours.
"""

import csv
import gzip
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from functools import cache
from pathlib import Path
from typing import NamedTuple

from bc_ometria.sandbox.changes import Value, Write

Row = dict[str, Value]
Customers = dict[str, dict[str, tuple[datetime, datetime]]]
"""Customer to country to its first and last time there."""

DIVISION = "001"
LOCATION = "0001"
CURRENCY = "GBP"
SIZE_SCALE = "ONE"
COLOR = "000"

HEADER = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country"

# fmt: off
COUNTRIES = {
    "Australia": "AU", "Austria": "AT", "Bahrain": "BH", "Belgium": "BE", "Bermuda": "BM", "Brazil": "BR",
    "Canada": "CA", "Cyprus": "CY", "Czech Republic": "CZ", "Denmark": "DK", "EIRE": "IE", "Finland": "FI",
    "France": "FR", "Germany": "DE", "Greece": "GR", "Hong Kong": "HK", "Iceland": "IS", "Israel": "IL",
    "Italy": "IT", "Japan": "JP", "Korea": "KR", "Lebanon": "LB", "Lithuania": "LT", "Malta": "MT",
    "Netherlands": "NL", "Nigeria": "NG", "Norway": "NO", "Poland": "PL", "Portugal": "PT", "RSA": "ZA",
    "Saudi Arabia": "SA", "Singapore": "SG", "Spain": "ES", "Sweden": "SE", "Switzerland": "CH",
    "Thailand": "TH", "USA": "US", "United Arab Emirates": "AE", "United Kingdom": "GB",
}
# fmt: on
"""ISO 3166 alpha-2. All else is served as blank: Channel Islands, European Community and West Indies are no
one country, Unspecified is none."""


class Line(NamedTuple):
    """One line of the files, its stray blanks removed; ``price`` in pence."""

    invoice: str
    style: str
    description: str
    quantity: int
    at: datetime
    price: int
    customer: str
    country: str


def files(path: Path | Iterable[Path]) -> list[Path]:
    """The data files that paths name: themselves, or every ``.csv`` and ``.csv.gz`` directly in a folder.

    Raises ``FileNotFoundError`` for a path that names none.
    """
    found: list[Path] = []
    for one in [path] if isinstance(path, Path) else path:
        held = sorted(one.iterdir()) if one.is_dir() else [one]
        held = [file for file in held if file.name.endswith((".csv", ".csv.gz")) and file.is_file()]
        if not held:
            raise FileNotFoundError(f"{one} is, or holds, no .csv or .csv.gz of Online Retail")
        found += held
    return list(dict.fromkeys(found))


def changes(path: Path | Iterable[Path]) -> Iterator[Write]:
    """All rows of the data, parents first, orders in the order in which the files complete them.

    The files are read twice, so that memory holds the codes and the invoices under way, not the lines.
    Raises ``FileNotFoundError``, and ``ValueError`` with file and line for what is not of this format.
    """
    paths = files(path)
    survey = _survey(paths)
    yield from _tenant(survey.first)
    yield from _styles(survey.styles)
    yield from _customers(survey.customers)
    yield from _orders(paths, survey)


def read(path: Path) -> Iterator[Line]:
    """The lines of one file. Raises ``ValueError`` with file and line for what is not of this format."""
    with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8", newline="") as text:
        rows = csv.reader(text)
        if next(rows, None) != HEADER.split(","):
            raise ValueError(f"{path.name}: the first line must be {HEADER}")
        for row in rows:
            try:
                invoice, style, description, quantity, at, price, customer, country = row
                line = Line(
                    invoice,
                    style.strip(),
                    description.strip(),
                    int(quantity),
                    moment(at),
                    pence(price),
                    customer,
                    country,
                )
            except (ValueError, InvalidOperation) as error:
                raise ValueError(f"{path.name}, line {rows.line_num}: {error}") from error
            yield line


@cache
def pence(price: str) -> int:
    """A price in pence, half pennies up: 18 lines of the data have the price 0.001."""
    return int((Decimal(price) * 100).quantize(Decimal(1), ROUND_HALF_UP))


def money(pennies: int) -> Decimal:
    return Decimal(pennies).scaleb(-2)


@cache
def moment(at: str) -> datetime:
    return datetime.fromisoformat(at)


@dataclass
class _Style:
    first: datetime
    names: Counter[str] = field(default_factory=Counter)
    prices: Counter[int] = field(default_factory=Counter)


@dataclass
class _Survey:
    """What the first reading learns: all that a row needs to know about lines other than its own."""

    first: datetime | None = None
    owner: dict[str, Path] = field(default_factory=dict)
    """Invoice to the last file that holds it; the others repeat it."""
    lines: Counter[str] = field(default_factory=Counter)
    """Invoice to the number of its lines in that file."""
    styles: dict[str, _Style] = field(default_factory=dict)
    customers: Customers = field(default_factory=lambda: defaultdict(dict))

    def store(self, customer: str, country: str) -> str:
        """The code of a customer's address; a customer has one for each country."""
        return f"{list(self.customers[customer]).index(country) + 1:06d}" if customer else ""


def _survey(paths: list[Path]) -> _Survey:
    survey = _Survey()
    for path in paths:
        for line in read(path):
            if survey.owner.get(line.invoice) != path:
                survey.owner[line.invoice] = path
                survey.lines[line.invoice] = 0
            survey.lines[line.invoice] += 1
            style = survey.styles.get(line.style)
            if style is None:
                style = survey.styles[line.style] = _Style(line.at)
            if line.description:
                style.names[line.description] += 1
            if line.price > 0:
                style.prices[line.price] += 1
            if line.customer:
                countries = survey.customers[line.customer]
                first, last = countries.get(line.country, (line.at, line.at))
                countries[line.country] = min(first, line.at), max(last, line.at)
            survey.first = min(survey.first or line.at, line.at)
    return survey


def _tenant(first: datetime | None) -> Iterator[Write]:
    own: Row = {"pkey": 1, "last_mod": first, "active_ok": "Y"}
    yield Write("divisions", {**own, "division": DIVISION, "description": "UK gifts"})
    yield Write(
        "locations",
        {**own, "location": LOCATION, "division": DIVISION, "description": "UK warehouse", "country": "GB"},
    )
    yield Write("sizes", {"pkey": 1, "last_mod": first, "size_code": SIZE_SCALE, "sz01": "ONE SIZE"})


def _styles(styles: dict[str, _Style]) -> Iterator[Write]:
    for pkey, (code, style) in enumerate(styles.items(), 1):
        own: Row = {"pkey": pkey, "last_mod": style.first, "division": DIVISION, "style": code}
        price = max(style.prices, key=style.prices.__getitem__, default=0)
        yield Write(
            "styles",
            {
                **own,
                "style_name": max(style.names, key=style.names.__getitem__, default=""),
                "size_code": SIZE_SCALE,
                "price": money(price),
                "currency": CURRENCY,
                "active_ok": "Y",
            },
        )
        yield Write("style-colors", {**own, "color_code": COLOR, "active_ok": "Y", "call01": "Y"})
        yield Write("upcs", {**own, "color_code": COLOR, "bucket": 1, "upc": _upc(pkey)})


def _upc(number: int) -> str:
    """An invented UPC-A that starts with 2, the range that GS1 leaves to a shop's own use."""
    digits = f"2{number:010d}"
    odd, even = sum(map(int, digits[0::2])), sum(map(int, digits[1::2]))
    return f"{digits}{-(odd * 3 + even) % 10}"


def _customers(customers: Customers) -> Iterator[Write]:
    address = 0
    for pkey, (customer, countries) in enumerate(customers.items(), 1):
        present = max(countries, key=lambda country: countries[country][1])
        yield Write(
            "customers",
            {
                "pkey": pkey,
                "last_mod": countries[present][0],
                "customer": customer,
                "active_ok": "Y",
                "division": DIVISION,
                "email": email(customer),
                "country": COUNTRIES.get(present, ""),
                "create_date": min(first for first, _ in countries.values()),
            },
        )
        for number, (country, (first, _)) in enumerate(countries.items(), 1):
            address += 1
            yield Write(
                "stores",
                {
                    "pkey": address,
                    "last_mod": first,
                    "customer": customer,
                    "store": f"{number:06d}",
                    "country": COUNTRIES.get(country, ""),
                    "default_ok": "Y" if country == present else "N",
                    "active_ok": "Y",
                },
            )


def email(customer: str) -> str:
    """Derived: the data holds no e-mail addresses."""
    return f"customer-{customer}@example.com" if customer else ""


def _orders(paths: list[Path], survey: _Survey) -> Iterator[Write]:
    """Every invoice once, from the file that owns it, as soon as its last line is read.

    Lines of invoices of the same minute alternate in the files, so several are under way at a time.
    """
    under_way: dict[str, list[Line]] = defaultdict(list)
    order = line = 0
    for path in paths:
        for read_line in read(path):
            invoice = read_line.invoice
            if survey.owner[invoice] != path:
                continue
            under_way[invoice].append(read_line)
            if len(under_way[invoice]) == survey.lines[invoice]:
                lines = under_way.pop(invoice)
                order += 1
                yield from _order(order, line, lines, survey.store(lines[0].customer, lines[0].country))
                line += len(lines)


class Treatment(NamedTuple):
    """How an invoice of one kind is served."""

    status: str
    rec_type: str
    """Of the one stage of each line; blank for none."""
    sign: int = 1


FULFILLED = Treatment("C", "IN")
CANCELLATION = Treatment("X", "CC", sign=-1)
STOCK_ADJUSTMENT = Treatment("W", "SA")
BAD_DEBT = Treatment("D", "")


def treatment(lines: list[Line]) -> Treatment:
    """What an invoice is: told by the letter before its number, and by having neither customer nor price."""
    invoice = lines[0].invoice
    if invoice.startswith("C"):
        return CANCELLATION
    if invoice.startswith("A"):
        return BAD_DEBT
    if not lines[0].customer and all(line.price == 0 for line in lines):
        return STOCK_ADJUSTMENT
    return FULFILLED


def _order(pkey: int, last_line: int, lines: list[Line], store: str) -> Iterator[Write]:
    """The order, its lines and their stages, for one invoice."""
    invoice, customer, country = lines[0].invoice, lines[0].customer, COUNTRIES.get(lines[0].country, "")
    how = treatment(lines)
    total = money(sum(how.sign * line.quantity * line.price for line in lines))
    yield Write(
        "orders",
        {
            "pkey": pkey,
            "last_mod": max(line.at for line in lines),
            "ord_num": invoice,
            "division": DIVISION,
            "customer": customer,
            "store": store,
            "ord_status": how.status,
            "ord_type": "W",
            "ord_date": min(line.at for line in lines),
            "ref_num2": invoice,
            "currency": CURRENCY,
            "email": email(customer),
            "sub_total": total,
            "ord_total": total,
            "ship_country": country,
            "bill_country": country,
        },
    )
    for number, line in enumerate(lines, 1):
        quantity = how.sign * line.quantity
        own: Row = {
            "pkey": last_line + number,
            "last_mod": line.at,
            "ord_num": invoice,
            "location": LOCATION,
            "size01_qty": quantity,
            "total_qty": quantity,
        }
        yield Write(
            "order-lines",
            {
                **own,
                "fkey": pkey,
                "line_num": number,
                "division": DIVISION,
                "style": line.style,
                "color_code": COLOR,
                "unit_price": money(line.price),
            },
        )
        if how.rec_type:
            yield Write(
                "order-stages",
                {**own, "fkey": last_line + number, "rec_type": how.rec_type, "trans_date": line.at},
            )
