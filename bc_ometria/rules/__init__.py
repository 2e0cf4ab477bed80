"""The rules that people edit: one YAML file an idea, checked as a whole when loaded.

A folder named by ``BC_OMETRIA_RULES`` overrides single files: a file that stands there replaces the file
of that name that comes with the project.
"""

import hashlib
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, RootModel, model_validator

from bc_ometria.rules.loader import RulesError, load_yaml_model

__all__ = ["DEFAULT_FOLDER", "Rules", "RulesError", "rules_file"]

DEFAULT_FOLDER = Path(__file__).parent

Code = Annotated[str, Field(min_length=1, max_length=16)]
StatusText = Annotated[str, Field(min_length=1, max_length=64)]
Country = Annotated[str, Field(pattern=r"^[A-Z]{2}$", description="ISO 3166 alpha-2, as GB")]
Currency = Annotated[str, Field(pattern=r"^[A-Z]{3}$", description="ISO 4217, as GBP")]


class _Rule(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Status(_Rule):
    """What one ``ord_status`` means in Ometria, or why its orders never go there."""

    meaning: str
    status: StatusText | None = None
    is_valid: bool | None = None
    ignore: Annotated[str, Field(min_length=1)] | None = None

    @model_validator(mode="after")
    def _sent_or_ignored(self) -> "Status":
        if (self.ignore is None) == (self.status is None or self.is_valid is None):
            raise ValueError("give either status and is_valid, or ignore with a reason")
        return self


class Division(_Rule):
    """Where the orders of one Blue Cherry division belong in Ometria."""

    store: Annotated[str, Field(min_length=1, max_length=32)]
    currency: Currency
    country: Country
    brand: Annotated[str, Field(min_length=1)]
    marketing: bool


class Channel(_Rule):
    """What one ``ord_type`` is to Ometria."""

    meaning: str
    send: bool
    channel: Annotated[str, Field(min_length=1, max_length=32)] | None = None

    @model_validator(mode="after")
    def _sent_with_channel(self) -> "Channel":
        if self.send and self.channel is None:
            raise ValueError("a type that is sent needs a channel")
        return self


Lack = Literal["hold", "report"]


class ContactAttributes(_Rule):
    """What happens to a contact without the attribute."""

    email: Lack
    phone: Lack
    country: Lack
    consent: Lack


class OrderAttributes(_Rule):
    """What happens to an order without the attribute."""

    identity: Lack
    email: Lack


class Attributes(_Rule):
    contacts: ContactAttributes
    orders: OrderAttributes


class PhonePlan(_Rule):
    """How a country's national telephone numbers become international ones."""

    calling_code: Annotated[str, Field(pattern=r"^[1-9][0-9]{0,2}$")]
    trunk_prefix: Annotated[str, Field(pattern=r"^[0-9]*$")]


class AccountLimits(_Rule):
    """Calls that the account's plan allows."""

    push_per_s: Annotated[int, Field(ge=1)]
    other_per_s: Annotated[int, Field(ge=1)]
    erasure_per_min: Annotated[int, Field(ge=1)]
    merge_per_min: Annotated[int, Field(ge=1)]


class Account(_Rule):
    """The Ometria account, and the readings its documentation leaves open; seconds where a time is meant."""

    collection: Annotated[str, Field(pattern=r"^[a-z0-9_-]{1,64}$")]
    discount_sign: Literal["positive", "negative"]
    limits: AccountLimits
    read_back_after: Annotated[float, Field(ge=0)]
    read_back_until: Annotated[float, Field(gt=0)]


class ExceptionCode(_Rule):
    """What one exception code means to people."""

    owner: Literal["Marketing", "Ecommerce", "Operations"]
    severity: Literal["hold", "report"]
    meaning: str
    action: str


class WhollyCancelled(_Rule):
    """What an order is of which every piece was cancelled; it goes as it was placed, so it can be no revenue."""

    meaning: str
    status: StatusText
    is_valid: Literal[False]


class Statuses(_Rule):
    """What the codes of ``ord_status`` mean, and an order whose pieces were all cancelled."""

    ord_status: dict[Code, Status]
    wholly_cancelled: WhollyCancelled


class _Divisions(RootModel[dict[Code, Division]]): ...


class _Channels(RootModel[dict[Code, Channel]]): ...


class _Phones(RootModel[dict[Country, PhonePlan]]): ...


class _Owners(RootModel[dict[str, ExceptionCode]]): ...


class Rules(_Rule):
    """All rules of a tenant, as one value that the mapping takes."""

    statuses: Statuses
    divisions: dict[str, Division]
    channels: dict[str, Channel]
    attributes: Attributes
    phones: dict[str, PhonePlan]
    account: Account
    exceptions: dict[str, ExceptionCode]

    @classmethod
    def load(cls, folder: Path | None = None) -> "Rules":
        """Read every file, those of ``folder`` first.

        Raises ``RulesError`` with file, line and the allowed values for the first file that is wrong.
        """
        return cls(
            statuses=load_yaml_model(rules_file("statuses", folder), Statuses),
            divisions=load_yaml_model(rules_file("divisions", folder), _Divisions).root,
            channels=load_yaml_model(rules_file("channels", folder), _Channels).root,
            attributes=load_yaml_model(rules_file("attributes", folder), Attributes),
            phones=load_yaml_model(rules_file("phones", folder), _Phones).root,
            account=load_yaml_model(rules_file("ometria", folder), Account),
            exceptions=_owners(rules_file("owners", folder)),
        )

    @cached_property
    def version(self) -> str:
        """Changes whenever any rule changes that can change a payload, or whether it goes."""
        content = self.model_dump_json(
            exclude={
                "exceptions": {"__all__": {"owner", "meaning", "action"}},
                "account": {"limits", "read_back_after", "read_back_until"},
            }
        )
        return hashlib.blake2b(content.encode(), digest_size=8).hexdigest()


def _owners(path: Path) -> dict[str, ExceptionCode]:
    """The exception codes of a file, which must be those of the project: none without owner, none misspelt."""
    codes = load_yaml_model(path, _Owners).root
    if path.parent != DEFAULT_FOLDER:
        known = load_yaml_model(DEFAULT_FOLDER / path.name, _Owners).root
        faults = [f"{path}:1: {code}: is missing" for code in known if code not in codes]
        faults += [f"{path}:1: {code}: is not a known code" for code in codes if code not in known]
        if faults:
            raise RulesError("\n".join(faults))
    return codes


def rules_file(name: str, folder: Path | None) -> Path:
    """The file of that name in ``folder`` where it stands there, otherwise the project's own."""
    if folder is not None:
        if not folder.is_dir():
            raise RulesError(f"BC_OMETRIA_RULES names {folder}, which is not a folder")
        known = sorted(path.name for path in DEFAULT_FOLDER.glob("*.yaml"))
        for path in sorted(folder.glob("*.y*ml")):
            if path.name not in known:
                raise RulesError(f"{path}: overrides no file of the rules (allowed: {', '.join(known)})")
        if (folder / f"{name}.yaml").is_file():
            return folder / f"{name}.yaml"
    return DEFAULT_FOLDER / f"{name}.yaml"
