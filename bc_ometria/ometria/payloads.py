"""What a valid Ometria record is, and which rule a bad one breaks (P1).

The rules are those of ``contracts/ometria.md``. Where it leaves a question open, the models take the reading
that is safe whatever the answer is, and the place says "ours". A field that may be left out is never null.
"""

import json
import re
from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails

from bc_ometria.ometria.fields import (
    CAN_BE_READ_BACK,
    CONSENT_KEYS,
    RULES_OF_PATTERNS,
    Country,
    Currency,
    Date,
    Email,
    Id,
    Json,
    Number,
    Phone,
    Properties,
    Text,
    Text32,
    Text64,
    Text140,
    Text255,
    Timestamp,
    TimeZone,
    Url,
    broken,
)

MAX_RECORD_BYTES = 60_000
"""Ometria's 60 KB a record, read as 60,000 and not 61,440 (ours: safe for both)."""

ABSENT: Any = None
"""The default of a field that may be left out. It is not validated; a null in the JSON is, and is refused."""


class _Part(BaseModel):
    # A refused value must not reach a log through the error, so errors hide their input.
    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False, hide_input_in_errors=True)


class SmsConsent(_Part):
    allow_marketing: bool = ABSENT
    allow_transactional: bool = ABSENT
    dt_updated_marketing: Timestamp = ABSENT
    dt_updated_transactional: Timestamp = ABSENT


class Channels(_Part):
    sms: SmsConsent = ABSENT


def _own_collection(name: str) -> str:
    if name.lower() == "optin:sms":
        raise broken("must not be optin:sms, which sends every person in it a text message")
    return name


class Contact(_Part):
    """A listing of a person in one collection."""

    type: Literal["contact"] = Field(alias="@type")
    collection: Annotated[Id, AfterValidator(_own_collection)] = Field(alias="@collection")
    id: Annotated[Id, CAN_BE_READ_BACK]
    merge: bool = Field(default=ABSENT, alias="@merge")
    customer_id: Id = ABSENT
    email: Email = ABSENT
    phone_number: Phone = ABSENT
    prefix: Text64 = ABSENT
    firstname: Text64 = ABSENT
    middlename: Text64 = ABSENT
    lastname: Text64 = ABSENT
    gender: Literal["m", "f", "o"] = ABSENT
    date_of_birth: Date = ABSENT
    country_id: Country = ABSENT
    timezone: TimeZone = ABSENT
    store_ids: list[Text32] = ABSENT
    timestamp_acquired: Timestamp = ABSENT
    timestamp_subscribed: Timestamp = ABSENT
    timestamp_unsubscribed: Timestamp = ABSENT
    marketing_optin: Literal["EXPLICITLY_OPTEDIN", "EXPLICITLY_OPTEDOUT", "NOT_SPECIFIED"] = ABSENT
    force_optin: bool = Field(default=ABSENT, alias="@force_optin")
    channels: Channels = ABSENT
    properties: Properties = ABSENT
    add_to_lists: list[Json] = Field(default=ABSENT, alias="@add_to_lists")
    remove_from_lists: list[Json] = Field(default=ABSENT, alias="@remove_from_lists")
    extra_identifiers: Json = ABSENT

    @model_validator(mode="after")
    def _force_needs_a_status(self) -> Self:
        if self.force_optin is not None and self.marketing_optin is None:
            raise broken("carries @force_optin without marketing_optin")
        return self


class Customer(_Part):
    """Who placed an order; a guest has no ``id``."""

    id: Id = ABSENT
    email: Email = ABSENT
    firstname: Text64 = ABSENT
    lastname: Text64 = ABSENT
    phone_number: Phone = ABSENT


class Address(_Part):
    city: Text = ABSENT
    state: Text = ABSENT
    postcode: Text = ABSENT
    country_code: Country = ABSENT


class Attribute(_Part):
    """One value of an option or attribute: a size, a colour, a season."""

    type: Text
    id: Text
    label: Text


class LineItem(_Part):
    product_id: Id
    quantity: Number
    variant_id: Id = ABSENT
    sku: Text255 = ABSENT
    unit_price: Number = ABSENT
    subtotal: Number = ABSENT
    tax: Number = ABSENT
    discount: Number = ABSENT
    total: Number = ABSENT
    quantity_refunded: Number = ABSENT
    refunded: Number = ABSENT
    is_on_sale: bool = ABSENT
    variant_options: list[Attribute] = ABSENT
    properties: Properties = ABSENT

    @model_validator(mode="after")
    def _has_a_price(self) -> Self:
        if self.unit_price is None and self.subtotal is None:
            raise broken("has neither unit_price nor subtotal")
        return self


class Amounts(_Part):
    currency: Currency = ABSENT
    grand_total: Number = ABSENT
    subtotal: Number = ABSENT
    discount: Number = ABSENT
    shipping: Number = ABSENT
    tax: Number = ABSENT


class Totals(_Part):
    base: Amounts = ABSENT
    local: Amounts = ABSENT


class Order(_Part):
    """An order, always whole: there is no ``@merge``, and at least one line (ours)."""

    type: Literal["order"] = Field(alias="@type")
    id: Annotated[Id, StringConstraints(max_length=36), CAN_BE_READ_BACK]
    timestamp: Timestamp
    currency: Currency
    grand_total: Number
    is_valid: bool
    lineitems: Annotated[list[LineItem], Field(min_length=1)]
    subtotal: Number = ABSENT
    discount: Number = ABSENT
    shipping: Number = ABSENT
    tax: Number = ABSENT
    status: Text = ABSENT
    customer: Customer = ABSENT
    shipping_address: Address = ABSENT
    billing_address: Address = ABSENT
    channel: Text = ABSENT
    store: Text32 = ABSENT
    payment_method: Text32 = ABSENT
    shipping_method: Text32 = ABSENT
    coupon_code: Text = ABSENT
    web_id: Text = ABSENT
    totals: Totals = ABSENT
    properties: Properties = ABSENT


class CustomEvent(_Part):
    type: Literal["custom_event"] = Field(alias="@type")
    id: Annotated[Id, StringConstraints(max_length=32)]
    event_type: Annotated[Text, StringConstraints(max_length=31)]
    timestamp: Timestamp
    properties: Properties
    profile_id: Id = ABSENT
    identity_email: Email = ABSENT
    identity_phone_number: Phone = ABSENT
    identity_account_id: Id = ABSENT

    @model_validator(mode="after")
    def _belongs_to_one_person(self) -> Self:
        identities = (
            self.profile_id,
            self.identity_email,
            self.identity_phone_number,
            self.identity_account_id,
        )
        if sum(identity is not None for identity in identities) != 1:
            raise broken(
                "must name its person once: profile_id, identity_email, identity_phone_number or identity_account_id"
            )
        return self


class Listing(_Part):
    """A product as one store sells it."""

    store: Text32
    title: Text140 = ABSENT
    price: Number = ABSENT
    currency: Currency = ABSENT
    url: Url = ABSENT
    image_url: Url = ABSENT
    is_active: bool = ABSENT
    special_price: Number = ABSENT


class Product(_Part):
    type: Literal["product"] = Field(alias="@type")
    id: Annotated[Id, CAN_BE_READ_BACK]
    merge: bool = Field(default=ABSENT, alias="@merge")
    title: Text140 = ABSENT
    price: Number = ABSENT
    currency: Currency = ABSENT
    sku: Text255 = ABSENT
    url: Url = ABSENT
    image_url: Url = ABSENT
    is_variant: bool = ABSENT
    parent_id: Id = ABSENT
    is_active: bool = ABSENT
    is_in_stock: bool = ABSENT
    special_price: Number = ABSENT
    special_price_dt_from: Timestamp = ABSENT
    special_price_dt_to: Timestamp = ABSENT
    attributes: list[Attribute] = ABSENT
    listings: list[Listing] = ABSENT


RECORD_TYPES: dict[str, type[_Part]] = {
    "contact": Contact,
    "order": Order,
    "custom_event": CustomEvent,
    "product": Product,
}
"""The values of ``@type`` and the model of each."""


class Violation(NamedTuple):
    """A rule that a record breaks: where, and in plain words. Carries no value of the record."""

    field: str
    """The path of the field, such as ``lineitems[2].quantity``; ``record`` for the record as a whole."""
    rule: str


def violations(record_type: str, payload: bytes) -> list[Violation]:
    """Every rule that the record in ``payload`` (UTF-8 JSON of one record) breaks; empty when it may leave.

    ``record_type`` is what the record must be: ``contact``, ``order``, ``custom_event`` or ``product``;
    anything else is a ``ValueError``.
    """
    model = RECORD_TYPES.get(record_type)
    if model is None:
        raise ValueError(f"a record type is one of {', '.join(RECORD_TYPES)}")
    try:
        model.model_validate_json(payload)
    except ValidationError as error:
        return [
            Violation(_path(details["loc"]), _rule(record_type, details))
            for details in error.errors(include_url=False, include_input=False)
        ]
    if too_large(payload):
        return [Violation("record", f"is over {MAX_RECORD_BYTES:,} bytes, Ometria's limit for one record")]
    return []


def too_large(payload: bytes) -> bool:
    """Whether one of the ways to count finds the record over ``MAX_RECORD_BYTES`` (ours).

    Ometria does not say whether it counts the bytes on the wire or its own writing of the record, so the
    longest usual writing counts: blanks between items, letters outside ASCII escaped. Raises ``ValueError``
    where a large payload is no JSON.
    """
    if len(payload) > MAX_RECORD_BYTES:
        return True
    if len(payload) * 3 <= MAX_RECORD_BYTES:  # Two bytes of a letter become six at most.
        return False
    return len(json.dumps(json.loads(payload))) > MAX_RECORD_BYTES


_FIELD_NAME = re.compile(r"@?[A-Za-z_][A-Za-z0-9_]{0,63}")

_RULES = {
    "missing": "is missing",
    "extra_forbidden": "is not a field of this record",
    "string_type": "must be text",
    "float_type": "must be a number",
    "finite_number": "must be a finite number",
    "bool_type": "must be true or false",
    "list_type": "must be a list",
    "dict_type": "must be an object",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
    "json_invalid": "is not JSON",
}


def _path(location: tuple[int | str, ...]) -> str:
    # A key that is no name may be personal data.
    parts = (
        f"[{part}]" if isinstance(part, int) else f".{part}" if _FIELD_NAME.fullmatch(part) else ".(odd name)"
        for part in location
    )
    return "".join(parts).removeprefix(".") or "record"


def _rule(record_type: str, details: ErrorDetails) -> str:
    kind, context = details["type"], details.get("ctx", {})
    if kind == "extra_forbidden" and details["loc"][-1] in CONSENT_KEYS:
        return f"is consent, which a {record_type} never carries"
    if kind == "rule":
        return str(context["rule"])
    if kind == "string_pattern_mismatch":
        return RULES_OF_PATTERNS[context["pattern"]]
    if kind == "string_too_long":
        return f"must have at most {context['max_length']} characters"
    if kind == "too_short":
        return f"must have at least {context['min_length']} entry"
    if kind == "literal_error":
        return f"must be {context['expected']}"
    return _RULES.get(kind, "is not valid here")
