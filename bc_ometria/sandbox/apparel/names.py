"""Small neutral lists that people, places and goods are named from: nobody here exists.

Telephone numbers are from 07700 900000–900999, which Ofcom keeps free for fiction; e-mail addresses are at
example.com (RFC 2606).
"""

from random import Random

FEMALE = (
    "Ada",
    "Amy",
    "Anna",
    "Beth",
    "Cara",
    "Clara",
    "Ella",
    "Emma",
    "Eva",
    "Grace",
    "Ivy",
    "Jane",
    "Kate",
)
MALE = ("Adam", "Alan", "Ben", "Carl", "Dan", "Eric", "Finn", "Hugo", "Jack", "Leo", "Mark", "Noah", "Tom")
SURNAMES = (
    "Alder", "Amber", "Ashgrey", "Aspen", "Azure", "Beech", "Birch", "Cedar", "Cobalt", "Coral", "Cypress",
    "Elm", "Fir", "Hawthorn", "Hazel", "Hornbeam", "Indigo", "Juniper", "Larch", "Lilac", "Maple", "Ochre",
    "Oak", "Pine", "Poplar", "Rowan", "Russet", "Sycamore", "Teal", "Umber", "Willow", "Yew",
)  # fmt: skip
STREETS = (
    "Orchard Road",
    "Mill Lane",
    "Station Road",
    "Park Avenue",
    "Church Street",
    "Meadow Way",
    "High Street",
)
CITIES = {
    "GB": (
        ("Leeds", "West Yorkshire", "LS"), ("Bristol", "", "BS"), ("York", "North Yorkshire", "YO"),
        ("Norwich", "Norfolk", "NR"), ("Exeter", "Devon", "EX"), ("Cardiff", "", "CF"),
    ),
    "IE": (("Dublin", "Co. Dublin", "D"), ("Cork", "Co. Cork", "T"), ("Galway", "Co. Galway", "H")),
}  # fmt: skip
TRADE = ("Stores", "Outfitters", "Department Store", "Boutiques", "Clothing Co")


def given_name(rng: Random, gender: str) -> str:
    """A given name for ``F``, ``M`` or, unknown, either."""
    return rng.choice(FEMALE if gender == "F" or (not gender and rng.random() < 0.5) else MALE)


def email(first: str, last: str, tag: str) -> str:
    """An address nobody else has as long as ``tag`` is used once."""
    return f"{first}.{last}.{tag}@example.com".lower()


def phone(rng: Random) -> str:
    """A British mobile number as people type it: national, spaced international, or E.164."""
    number = f"7700 900{rng.randrange(1000):03d}"
    return rng.choice((f"0{number}", f"+44 {number}", f"+44{number.replace(' ', '')}"))


def place(rng: Random, country: str) -> tuple[str, str, str]:
    """City, county and a made-up postcode in ``GB`` or ``IE``."""
    city, state, area = rng.choice(CITIES[country])
    if country == "IE":
        return city, state, f"{area}{rng.randint(10, 99)} X{rng.randint(100, 999)}"
    return (
        city,
        state,
        f"{area}{rng.randint(1, 20)} {rng.randint(1, 9)}{rng.choice('ABDEFHJ')}{rng.choice('LNPQRST')}",
    )
