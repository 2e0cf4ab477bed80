"""What the retailer sells and from where: divisions, locations, sizes, styles, colours, UPCs and stock."""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from itertools import count
from random import Random

from bc_ometria.sandbox.apparel.simulation import DAY, HOUR, Process, Simulation
from bc_ometria.sandbox.changes import Value

UNKNOWN_DIVISION = "9X9"


@dataclass(frozen=True, slots=True)
class Division:
    code: str
    description: str
    gender: str
    country: str
    currency: str
    tax: int
    """Per cent on top of the net price."""
    warehouses: tuple[str, ...]
    shops: tuple[str, ...]


DIVISIONS = {
    division.code: division
    for division in (
        Division("100", "Women UK", "F", "GB", "GBP", 20, ("0010", "0020"), ("S001", "S002")),
        Division("200", "Men UK", "M", "GB", "GBP", 20, ("0020", "0010"), ("S002", "S003")),
        Division("300", "Outlet Ireland", "", "IE", "EUR", 23, ("0030", "0010"), ("S101",)),
        Division(UNKNOWN_DIVISION, "Trial shop", "", "GB", "GBP", 20, ("0010",), ("S001",)),
    )
}
KNOWN_DIVISIONS = tuple(code for code in DIVISIONS if code != UNKNOWN_DIVISION)

LOCATIONS = (
    # location, description, division, country; POE and FOB are trade terms, not buildings
    ("0010", "London warehouse", "", "GB"),
    ("0020", "Manchester warehouse", "", "GB"),
    ("0030", "Dublin warehouse", "", "IE"),
    ("S001", "Leeds shop", "100", "GB"),
    ("S002", "Bristol shop", "", "GB"),
    ("S003", "York shop", "200", "GB"),
    ("S101", "Cork shop", "300", "IE"),
    ("POE", "Port of entry", "", ""),
    ("FOB", "Free on board", "", ""),
)

SIZES: dict[str, tuple[str, ...]] = {
    "ALPH": ("XS", "S", "M", "L", "XL", "XXL"),
    "DRES": ("6", "8", "10", "12", "14", "16", "18", "20"),
    "WAIS": ("28", "30", "32", "34", "36", "38", "40"),
    "SHOE": ("36", "37", "38", "39", "40", "41", "42", "43", "44", "45", "46", "47"),
    "ONE": ("One size",),
}
GOODS = (
    # name, category, size scale, dimensions, pence
    ("Shirt", "Tops", "ALPH", ("",), 4500),
    ("Jumper", "Knitwear", "ALPH", ("",), 6900),
    ("Dress", "Dresses", "DRES", ("",), 8900),
    ("Trousers", "Trousers", "WAIS", ("REG", "LNG"), 7500),
    ("Boots", "Shoes", "SHOE", ("",), 12900),
    ("Scarf", "Accessories", "ONE", ("",), 2500),
)
CLOTHS = ("Cotton", "Linen", "Wool", "Denim")
COLOURS = (
    ("BLK", "Black"),
    ("NVY", "Navy"),
    ("00123", "Moss"),
    ("IVO", "Ivory"),
    ("RST", "Rust"),
    ("SKY", "Sky"),
)
GIFT = ("Gift tote", "Gifts", "ONE")

BUCKETS = tuple(f"size{bucket:02d}_qty" for bucket in range(1, 25))

Row = dict[str, Value]
"""A row being made; a column that is left out is blank, or 0."""

Quantities = dict[int, int]
"""Pieces by size bucket, 1–24; a bucket without pieces may be left out."""


def buckets(quantities: Quantities) -> Row:
    """``size01_qty``…``size24_qty``, of the buckets that are given; the others are 0."""
    return {BUCKETS[bucket - 1]: quantity for bucket, quantity in quantities.items()}


@lru_cache(maxsize=20_000)
def money(pence: int) -> Decimal:
    """Pence (or cents) as an amount with two places."""
    return Decimal(pence).scaleb(-2)


def ean13(number: int) -> str:
    """An EAN-13 from the range 20, which GS1 keeps for use inside a shop, with its check digit."""
    digits = f"20{number:010d}"
    total = sum(int(digit) * (3 if place % 2 else 1) for place, digit in enumerate(digits))
    return f"{digits}{-total % 10}"


@dataclass(slots=True)
class Style:
    pkey: int
    division: str
    style: str
    name: str
    category: str
    size_code: str
    dimensions: tuple[str, ...]
    price: int
    """Net, in pence of the division's currency; zero for a gift."""
    colours: tuple[tuple[str, str], ...]
    season: str

    @property
    def buckets(self) -> range:
        return range(1, len(SIZES[self.size_code]) + 1)


class Catalogue:
    """The styles of every division, with the rows that tell of them."""

    def __init__(self, sim: Simulation, seed: int) -> None:
        self._sim = sim
        self._rng = Random(f"{seed}/catalogue")
        self._upcs = count(1)
        self._stock: list[tuple[Style, Row]] = []
        self.styles: dict[str, list[Style]] = {division: [] for division in DIVISIONS}
        self.gifts: dict[str, Style] = {}

    def load(self) -> None:
        """Write everything once, stamped with the present."""
        for resource, rows in (("divisions", self._division_rows()), ("locations", self._location_rows())):
            self._write(resource, rows)
        self._write("sizes", self._size_rows())
        for division in DIVISIONS.values():
            for style in self._create_styles(division):
                self._sim.write("styles", self._style_row(style))
                self._write("style-colors", self._colour_rows(style))
                self._write("upcs", self._upc_rows(style))
                for row in self._inventory_rows(style, division):
                    row["pkey"] = self._sim.pkey("inventory")
                    self._stock.append((style, row))
                    self._sim.write("inventory", row | {"last_mod": self._sim.local})

    def nightly_upkeep(self) -> Process:
        """Every 24 hours: a count corrects a twentieth of the stock rows, and one style changes its price."""
        yield 2 * HOUR
        while True:
            for _ in range(len(self._stock) // 20):
                style, row = self._rng.choice(self._stock)
                row.update(self._count(style))
                self._sim.write("inventory", row | {"last_mod": self._sim.local})
            style = self._rng.choice(self.styles[self._rng.choice(KNOWN_DIVISIONS)])
            style.price = max(500, style.price + self._rng.choice((-1000, -500, 500)))
            self._sim.write("styles", self._style_row(style))
            self._sim.happened["price change"] += 1
            yield DAY

    def _write(self, resource: str, rows: Iterator[Row]) -> None:
        for row in rows:
            self._sim.write(resource, row | {"pkey": self._sim.pkey(resource), "last_mod": self._sim.local})

    def _create_styles(self, division: Division) -> Iterator[Style]:
        for number, (cloth, goods) in enumerate((cloth, goods) for cloth in CLOTHS for goods in GOODS):
            name, category, size_code, dimensions, pence = goods
            if name == "Dress" and division.gender == "M":
                continue
            style = Style(
                pkey=self._sim.pkey("styles"),
                division=division.code,
                # The outlet sells the women's styles under their numbers: another product, by division.
                style=f"{'M' if division.gender == 'M' else 'W'}{1001 + number}",
                name=f"{cloth} {name}",
                category=category,
                size_code=size_code,
                dimensions=dimensions,
                price=pence + self._rng.randrange(-4, 9) * 250,
                colours=tuple(self._rng.sample(COLOURS, 3)),
                season=self._rng.choice(("SS26", "AW26", "CORE")),
            )
            self.styles[division.code].append(style)
            yield style
        name, category, size_code = GIFT
        gift = Style(
            self._sim.pkey("styles"),
            division.code,
            "GIFT01",
            name,
            category,
            size_code,
            ("",),
            0,
            (COLOURS[3],),
            "",
        )
        self.gifts[division.code] = gift
        yield gift

    def _division_rows(self) -> Iterator[Row]:
        for division in DIVISIONS.values():
            yield {"division": division.code, "description": division.description, "active_ok": "Y"}

    def _location_rows(self) -> Iterator[Row]:
        for location, description, division, country in LOCATIONS:
            yield {
                "location": location,
                "description": description,
                "active_ok": "Y",
                "division": division,
                "country": country,
            }

    def _size_rows(self) -> Iterator[Row]:
        for size_code, labels in SIZES.items():
            row: Row = {f"sz{bucket:02d}": label for bucket, label in enumerate(labels, 1)}
            yield row | {"size_code": size_code}

    def _style_row(self, style: Style) -> Row:
        division = DIVISIONS[style.division]
        return {
            "pkey": style.pkey,
            "last_mod": self._sim.local,
            "division": style.division,
            "style": style.style,
            "style_name": style.name,
            "category": style.category,
            "gender": division.gender,
            "size_code": style.size_code,
            "price": money(style.price),
            "currency": division.currency,
            "url": f"https://shop.example.com/{style.division}/{style.style}",
            "image_url": f"https://shop.example.com/{style.division}/{style.style}.jpg",
            "active_ok": "Y",
        }

    def _colour_rows(self, style: Style) -> Iterator[Row]:
        for color_code, color_name in style.colours:
            sold: Row = {f"call{bucket:02d}": "Y" for bucket in style.buckets}
            yield sold | {
                "division": style.division,
                "style": style.style,
                "color_code": color_code,
                "color_name": color_name,
                "active_ok": "Y",
            }

    def _upc_rows(self, style: Style) -> Iterator[Row]:
        for color_code, _ in style.colours:
            for dimension in style.dimensions:
                for bucket in style.buckets:
                    yield {
                        "division": style.division,
                        "style": style.style,
                        "color_code": color_code,
                        "dimension": dimension,
                        "bucket": bucket,
                        "upc": ean13(next(self._upcs)),
                    }

    def _inventory_rows(self, style: Style, division: Division) -> Iterator[Row]:
        for color_code, _ in style.colours:
            for dimension in style.dimensions:
                for location in division.warehouses:
                    yield self._count(style) | {
                        "division": style.division,
                        "style": style.style,
                        "color_code": color_code,
                        "lbl_code": "",
                        "dimension": dimension,
                        "location": location,
                    }

    def _count(self, style: Style) -> Row:
        return buckets({bucket: self._rng.randrange(40) for bucket in style.buckets})
