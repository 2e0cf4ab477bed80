"""The customers: who they are, where they live, and what changes about them."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from random import Random

from bc_ometria.sandbox.apparel import names
from bc_ometria.sandbox.apparel.catalogue import DIVISIONS, Row
from bc_ometria.sandbox.apparel.simulation import Simulation

ACCOUNTS = 12
"""Trade customers, who place the wholesale and EDI orders; they have no e-mail, telephone or consent."""

# The rates at which a customer is registered with each defect.
MISSING_EMAIL, BAD_EMAIL, MISSING_PHONE, MISSING_COUNTRY = 0.02, 0.005, 0.15, 0.03
INVALID_BIRTH_DATE, OVERLONG_NAME = 0.005, 0.003

BAD_EMAILS = ("{0}.{1}.{2}@@example.com", "{0}.{1}.{2} at example.com", "{0}.{1}.{2}@example", "@example.com")

CHANGES = {
    "new default address": 26,
    "consent change": 26,
    "new e-mail": 14,
    "new phone": 14,
    "loyalty change": 12,
    "new name": 4,
    "merge": 3,
    "erasure": 1,
}
"""What changes about a customer, by weight."""


@dataclass(slots=True)
class Address:
    pkey: int
    store: str
    street: str
    city: str
    state: str
    zipcode: str
    country: str
    default: bool = True


@dataclass(slots=True)
class Customer:
    pkey: int
    code: str
    division: str
    first_name: str
    last_name: str
    gender: str
    create_date: datetime
    email: str = ""
    phone: str = ""
    birth_date: date | str | None = None
    country: str = ""
    email_ok: str = ""
    sms_ok: str = ""
    consent_date: datetime | None = None
    loyalty_num: str = ""
    loyalty_tier: str = ""
    merged_into: str = ""
    erased: bool = False
    addresses: list[Address] = field(default_factory=list)
    flaws: set[str] = field(default_factory=set)
    """The kinds of defect that stand in it."""

    @property
    def address(self) -> Address:
        return next(address for address in self.addresses if address.default)

    @property
    def active(self) -> bool:
        return not (self.merged_into or self.erased)


class People:
    """Every customer of the retailer, and the writing of their rows."""

    def __init__(self, sim: Simulation, seed: int) -> None:
        self._sim = sim
        self._rng = Random(f"{seed}/people")
        self.customers: list[Customer] = []
        self.accounts: list[Customer] = []

    def load(self, count: int) -> Iterator[Customer]:
        """Write the trade accounts and ``count`` consumers, who joined over the last three years."""
        for _ in range(ACCOUNTS):
            yield self._open_account()
        for _ in range(count):
            joined = self._sim.local - timedelta(seconds=self._rng.randrange(1, 3 * 365 * 86400))
            customer = self.register(self._rng, joined)
            self.write(customer)
            yield customer

    def register(self, rng: Random, joined: datetime | None = None) -> Customer:
        """A new consumer with one default address, at the documented rates with defects, not written yet."""
        customer = self._create(rng, joined or self._sim.local)
        self.customers.append(customer)
        return customer

    def anyone(self, rng: Random) -> Customer | None:
        """Some customer who is still one, or ``None`` where there is none."""
        for _ in range(20):
            if self.customers and (customer := rng.choice(self.customers)).active:
                return customer
        return None

    def change_anyone(self) -> None:
        """One change of one customer, of a kind drawn by the weights of ``CHANGES``."""
        customer = self.anyone(self._rng)
        if customer is None:
            return
        kind = self._rng.choices(list(CHANGES), list(CHANGES.values()))[0]
        match kind:
            case "new default address":
                self._move_house(customer)
            case "consent change":
                self._change_consent(customer)
            case "new e-mail":
                self._change_email(customer)
            case "new phone":
                customer.phone = names.phone(self._rng)
                self._mend(customer, "missing_phone")
            case "loyalty change":
                customer.loyalty_num = customer.loyalty_num or f"L{customer.code}"
                customer.loyalty_tier = self._rng.choice(("BRONZE", "SILVER", "GOLD"))
            case "new name":
                self._change_name(customer)
            case "merge":
                survivor = self.anyone(self._rng)
                if survivor and survivor is not customer:
                    customer.merged_into = survivor.code
            case "erasure":
                self._erase(customer)
        if kind != "new default address":
            self.write(customer, with_addresses=False)
        self._sim.happened[kind] += 1

    def write(self, customer: Customer, *, with_addresses: bool = True) -> None:
        """Write the customer's row and, where asked, those of the addresses."""
        self._sim.write("customers", self._row(customer))
        for kind in sorted(customer.flaws):
            self._sim.plant(kind, "customers", customer.code)
        if with_addresses:
            for address in customer.addresses:
                self._sim.write("stores", self._address_row(customer, address))

    def _open_account(self) -> Customer:
        rng = self._rng
        number = len(self.accounts) + 1
        account = Customer(
            pkey=self._sim.pkey("customers"),
            code=f"W{number:07d}",
            division=rng.choice(("100", "200", "300")),
            first_name="",
            last_name=f"{rng.choice(names.SURNAMES)} {rng.choice(names.TRADE)}",
            gender="",
            create_date=self._sim.local - timedelta(days=rng.randrange(1000, 4000)),
        )
        account.country = DIVISIONS[account.division].country
        account.addresses.append(self._address(rng, account.country, "000001"))
        self.accounts.append(account)
        self.write(account)
        return account

    def _create(self, rng: Random, joined: datetime) -> Customer:
        division = DIVISIONS[rng.choices(("100", "200", "300"), (50, 30, 20))[0]]
        gender = division.gender or rng.choice(("F", "M", ""))
        first, last = names.given_name(rng, gender), rng.choice(names.SURNAMES)
        code = f"{len(self.customers) + 1:08d}"
        consent = rng.random() < 0.7
        customer = Customer(
            pkey=self._sim.pkey("customers"),
            code=code,
            division=division.code,
            first_name=first,
            last_name=last,
            gender=gender,
            email=names.email(first, last, code),
            phone=names.phone(rng),
            birth_date=date(1945, 1, 1) + timedelta(days=rng.randrange(60 * 365)) if rng.random() < 0.6 else None,
            country=division.country,
            email_ok=("Y" if rng.random() < 0.7 else "N") if consent else "",
            sms_ok=rng.choice(("Y", "N", "")) if consent else "",
            consent_date=joined if consent else None,
            create_date=joined,
        )
        if rng.random() < 0.4:
            customer.loyalty_num = f"L{code}"
            customer.loyalty_tier = rng.choice(("BRONZE", "BRONZE", "SILVER", "GOLD"))
        customer.addresses.append(self._address(rng, division.country, "000001"))
        self._spoil(rng, customer)
        return customer

    def _spoil(self, rng: Random, customer: Customer) -> None:
        for kind, rate in (
            ("missing_phone", MISSING_PHONE),
            ("missing_country", MISSING_COUNTRY),
            ("missing_email", MISSING_EMAIL),
            ("bad_email", BAD_EMAIL),
            ("invalid_birth_date", INVALID_BIRTH_DATE),
            ("overlong_name", OVERLONG_NAME),
        ):
            if rng.random() >= rate or (kind == "bad_email" and not customer.email):
                continue
            match kind:
                case "missing_phone":
                    customer.phone = ""
                case "missing_country":
                    customer.country = ""
                case "missing_email":
                    customer.email = ""
                case "bad_email":
                    pattern = rng.choice(BAD_EMAILS)
                    customer.email = pattern.format(customer.first_name, customer.last_name, customer.code).lower()
                case "invalid_birth_date":
                    customer.birth_date = rng.choice(("1985-02-31", "19/13/1990", "0000-00-00"))
                case "overlong_name":
                    customer.last_name = "-".join([customer.last_name] * 20)[:80]
            customer.flaws.add(kind)

    def _mend(self, customer: Customer, *kinds: str) -> None:
        for kind in kinds:
            customer.flaws.discard(kind)
            self._sim.mend(kind, "customers", customer.code)

    def _address(self, rng: Random, country: str, store: str) -> Address:
        street = f"{rng.randint(1, 180)} {rng.choice(names.STREETS)}"
        return Address(self._sim.pkey("stores"), store, street, *names.place(rng, country), country)

    def _move_house(self, customer: Customer) -> None:
        """A new default address: the rows of ``stores`` change, the customer's row and stamp do not."""
        old = customer.address
        old.default = False
        country = DIVISIONS[customer.division].country
        customer.addresses.append(self._address(self._rng, country, f"{len(customer.addresses) + 1:06d}"))
        for address in (old, customer.address):
            self._sim.write("stores", self._address_row(customer, address))

    def _change_consent(self, customer: Customer) -> None:
        channel = self._rng.choice(("email_ok", "email_ok", "sms_ok"))
        setattr(customer, channel, "N" if getattr(customer, channel) == "Y" else "Y")
        customer.consent_date = self._sim.local

    def _change_email(self, customer: Customer) -> None:
        tag = f"{customer.code}.{self._rng.randrange(10**6)}"
        customer.email = names.email(customer.first_name, customer.last_name[:20], tag)
        self._mend(customer, "missing_email", "bad_email")

    def _change_name(self, customer: Customer) -> None:
        customer.last_name = self._rng.choice(names.SURNAMES)
        self._mend(customer, "overlong_name")

    def _erase(self, customer: Customer) -> None:
        """Blank what is personal and keep the code; orders placed before keep what they say."""
        for column in (
            "first_name",
            "last_name",
            "gender",
            "email",
            "phone",
            "country",
            "email_ok",
            "sms_ok",
        ):
            setattr(customer, column, "")
        customer.loyalty_num = customer.loyalty_tier = ""
        customer.birth_date = customer.consent_date = None
        customer.erased = True
        self._mend(customer, *sorted(customer.flaws))
        for address in customer.addresses:
            address.street = address.city = address.state = address.zipcode = ""
            self._sim.write("stores", self._address_row(customer, address))

    def _row(self, customer: Customer) -> Row:
        return {
            "pkey": customer.pkey,
            "last_mod": self._sim.local,
            "customer": customer.code,
            "active_ok": "Y" if customer.active else "",
            "division": customer.division,
            "first_name": customer.first_name,
            "last_name": customer.last_name,
            "email": customer.email,
            "phone": customer.phone,
            "birth_date": customer.birth_date,
            "gender": customer.gender,
            "country": customer.country,
            "language": "en",
            "email_ok": customer.email_ok,
            "sms_ok": customer.sms_ok,
            "consent_date": customer.consent_date,
            "loyalty_num": customer.loyalty_num,
            "loyalty_tier": customer.loyalty_tier,
            "merged_into": customer.merged_into,
            "erased_ok": "Y" if customer.erased else "",
            "create_date": customer.create_date,
        }

    def _address_row(self, customer: Customer, address: Address) -> Row:
        return {
            "pkey": address.pkey,
            "last_mod": self._sim.local,
            "customer": customer.code,
            "store": address.store,
            "store_name": f"{customer.first_name} {customer.last_name}".strip()[:40],
            "address1": address.street,
            "address2": "",
            "address3": "",
            "address4": "",
            "city": address.city,
            "state": address.state,
            "zipcode": address.zipcode,
            "country": address.country,
            "default_ok": "Y" if address.default else "",
            "active_ok": "Y",
        }
