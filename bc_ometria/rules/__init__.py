"""The rules that people edit: one YAML file an idea, checked as a whole when loaded.

A folder named by ``BC_OMETRIA_RULES`` overrides single files: a file that stands there replaces the file
of that name that comes with the project.
"""

import hashlib
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, RootModel, model_validator

from bc_ometria.rules.lifecycle import Code, Country, Reasons, Rule, Statuses, Warehouse
from bc_ometria.rules.loader import RulesError, load_yaml_model

__all__ = ["DEFAULT_FOLDER", "Rules", "RulesError", "rules_file"]

DEFAULT_FOLDER = Path(__file__).parent

Currency = Annotated[str, Field(pattern=r"^[A-Z]{3}$", description="ISO 4217, as GBP")]


class Division(Rule):
    """Where the orders of one Blue Cherry division belong in Ometria."""

    store: Annotated[str, Field(min_length=1, max_length=32)]
    currency: Currency
    country: Country
    brand: Annotated[str, Field(min_length=1)]
    marketing: bool
    channel: Annotated[str, Field(min_length=1, max_length=32)] | None = None


class Channel(Rule):
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


class ContactAttributes(Rule):
    """What happens to a contact without the attribute."""

    email: Lack
    phone: Lack
    country: Lack
    consent: Lack


class OrderAttributes(Rule):
    """What happens to an order without the attribute."""

    identity: Lack
    email: Lack


class Attributes(Rule):
    contacts: ContactAttributes
    orders: OrderAttributes


class PhonePlan(Rule):
    """How a country's national telephone numbers become international ones."""

    calling_code: Annotated[str, Field(pattern=r"^[1-9][0-9]{0,2}$")]
    trunk_prefix: Annotated[str, Field(pattern=r"^[0-9]*$")]


class AccountLimits(Rule):
    """Calls that the account's plan allows."""

    push_per_s: Annotated[int, Field(ge=1)]
    other_per_s: Annotated[int, Field(ge=1)]
    erasure_per_min: Annotated[int, Field(ge=1)]
    merge_per_min: Annotated[int, Field(ge=1)]


class Pace(Rule):
    """How many events of one type may start journeys within how many minutes (``contracts/ometria.md``)."""

    contacts: Annotated[int, Field(ge=1)] = 1000
    minutes: Annotated[float, Field(gt=0)] = 5


class ForcedConsent(Rule):
    """Why Blue Cherry's consent by e-mail overrides what every other listing of a person says; blank: it does not."""

    opt_out: str = ""
    opt_in: str = ""


class Account(Rule):
    """The Ometria account, and the readings its documentation leaves open; seconds where a time is meant."""

    collection: Annotated[str, Field(pattern=r"^[a-z0-9_-]{1,64}$")]
    discount_sign: Literal["positive", "negative"]
    limits: AccountLimits
    cliff_min: Annotated[float, Field(gt=0)]
    read_back_after: Annotated[float, Field(ge=0)]
    read_back_until: Annotated[float, Field(gt=0)]
    read_back_lists: bool = True
    read_back_sample: Annotated[float, Field(gt=0, le=1)] = 1
    parents_wait_min: Annotated[float, Field(ge=0)] = 30
    pace: Pace = Pace()
    resend_unknown_events: bool = False
    history_after_h: Annotated[float, Field(gt=0)] = 48
    fill_wait_s: Annotated[float, Field(ge=0)] = 1
    queue_reserve: Annotated[int, Field(ge=0)] = 10_000
    payload_days: Annotated[int, Field(ge=1)] = 90
    force_optin: ForcedConsent = ForcedConsent()


class ExceptionCode(Rule):
    """What one exception code means to people.

    ``wait_min``: minutes that its cause may last before it is an exception. ``lasts_h``: hours after which one closes
    that nothing can mend; ``None`` where a later version of the record does. ``ages``: whether it counts where the age
    and value of all are limited; not where it may stay for good.
    """

    owner: Literal["Marketing", "Ecommerce", "Operations"]
    severity: Literal["hold", "report"]
    meaning: str
    action: str
    wait_min: Annotated[int, Field(ge=0)] = 0
    lasts_h: Annotated[int, Field(gt=0)] | None = None
    ages: bool = True


class OpenExceptions(Rule):
    """How old the oldest exception may be, in hours, and how much all together may be worth, in units of a currency."""

    age_h: Annotated[float, Field(gt=0)]
    value: Annotated[float, Field(gt=0)]


class ExceptionThresholds(Rule):
    warn: OpenExceptions
    fail: OpenExceptions


class FillRateThresholds(Rule):
    """Of which days the fill rate is compared with which weeks before; ``warn`` and ``fail`` in percentage points."""

    days: Annotated[int, Field(ge=1)]
    weeks: Annotated[int, Field(ge=1)]
    least: Annotated[int, Field(ge=1)]
    warn: Annotated[float, Field(gt=0, le=100)]
    fail: Annotated[float, Field(gt=0, le=100)]


class GuardThresholds(Rule):
    """From where on a change is out of proportion (P6): records, percent, rows, and a factor of the usual size."""

    least: Annotated[int, Field(ge=1)]
    orders_become_invalid: Annotated[float, Field(gt=0, le=100)]
    contacts_change_consent: Annotated[float, Field(gt=0, le=100)]
    extract_least: Annotated[int, Field(ge=1)]
    extract_times: Annotated[float, Field(gt=1)]


class Thresholds(Rule):
    """When what is open becomes a warning, and when a failure."""

    open_exceptions: ExceptionThresholds
    fill_rates: FillRateThresholds
    guard: GuardThresholds


class Retention(Rule):
    """How many days Dagster keeps a run from its end on: one that polled and found nothing to do, any other that
    succeeded, and one that failed or was cancelled."""

    unchanged_days: Annotated[int, Field(ge=1)]
    successful_days: Annotated[int, Field(ge=1)]
    failed_days: Annotated[int, Field(ge=1)]


class _Divisions(RootModel[dict[Code, Division]]): ...


class _Warehouses(RootModel[dict[Code, Warehouse]]): ...


class _Channels(RootModel[dict[Code, Channel]]): ...


class _Phones(RootModel[dict[Country, PhonePlan]]): ...


class _Owners(RootModel[dict[str, ExceptionCode]]): ...


class Rules(Rule):
    """All rules of a tenant, as one value that the mapping takes."""

    statuses: Statuses
    reasons: Reasons
    divisions: dict[str, Division]
    warehouses: dict[str, Warehouse]
    channels: dict[str, Channel]
    attributes: Attributes
    phones: dict[str, PhonePlan]
    account: Account
    exceptions: dict[str, ExceptionCode]
    thresholds: Thresholds
    retention: Retention

    @classmethod
    def load(cls, folder: Path | None = None) -> "Rules":
        """Read every file, those of ``folder`` first.

        Raises ``RulesError`` with file, line and the allowed values for the first file that is wrong.
        """
        return cls(
            statuses=load_yaml_model(rules_file("statuses", folder), Statuses),
            reasons=load_yaml_model(rules_file("reasons", folder), Reasons),
            divisions=load_yaml_model(rules_file("divisions", folder), _Divisions).root,
            warehouses=load_yaml_model(rules_file("warehouses", folder), _Warehouses).root,
            channels=load_yaml_model(rules_file("channels", folder), _Channels).root,
            attributes=load_yaml_model(rules_file("attributes", folder), Attributes),
            phones=load_yaml_model(rules_file("phones", folder), _Phones).root,
            account=load_yaml_model(rules_file("ometria", folder), Account),
            exceptions=_owners(rules_file("owners", folder)),
            thresholds=load_yaml_model(rules_file("thresholds", folder), Thresholds),
            retention=load_yaml_model(rules_file("retention", folder), Retention),
        )

    @cached_property
    def version(self) -> str:
        """Changes whenever any rule changes that can change a payload, or whether it goes."""
        content = self.model_dump_json(
            exclude={
                "exceptions": {"__all__": {"owner", "meaning", "action", "wait_min", "lasts_h", "ages"}},
                "account": Account.model_fields.keys() - {"collection", "discount_sign", "force_optin"},
                "thresholds": True,
                "retention": True,
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
