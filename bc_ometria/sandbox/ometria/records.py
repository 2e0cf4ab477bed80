"""What makes a pushed record invalid: the record-level rules of ``contracts/ometria.md``."""

from typing import Any

from bc_ometria.sandbox.ometria.checks import (
    Check,
    Problem,
    day,
    flag,
    list_of,
    number,
    object_of,
    one_of,
    pattern,
    properties,
    text,
    timestamp,
    with_one_of,
)
from bc_ometria.sandbox.ometria.codes import COUNTRIES, CURRENCIES
from bc_ometria.sandbox.ometria.identities import IDENTITY_KINDS

MAX_RECORD_BYTES = 60_000

_any_text = text(MAX_RECORD_BYTES)
_currency = one_of(CURRENCIES, "must be an ISO 4217 currency code")
_country = one_of(COUNTRIES, "must be an ISO 3166-1 alpha-2 country code")
_phone = pattern(r"\+[1-9][0-9]{5,14}", "must be a phone number in E.164 format")
_email = pattern(r"[^@\s]+@[^@\s]+\.[^@\s.]+", "must be an e-mail address")
_options = list_of(
    object_of({"type": _any_text, "id": _any_text, "label": _any_text}, required=("type", "id", "label"))
)
_sms = object_of(
    {
        "allow_marketing": flag,
        "allow_transactional": flag,
        "dt_updated_marketing": timestamp,
        "dt_updated_transactional": timestamp,
    }
)
_optins = frozenset({"EXPLICITLY_OPTEDIN", "EXPLICITLY_OPTEDOUT", "NOT_SPECIFIED"})

_contact = object_of(
    {
        "@collection": _any_text,
        "id": text(255),
        "customer_id": text(255),
        "email": _email,
        "phone_number": _phone,
        **dict.fromkeys(("prefix", "firstname", "middlename", "lastname"), text(64)),
        "gender": one_of(frozenset("mfo"), "must be m, f or o"),
        "date_of_birth": day,
        "country_id": _country,
        "timezone": _any_text,
        "store_ids": list_of(_any_text),
        **dict.fromkeys(("timestamp_acquired", "timestamp_subscribed", "timestamp_unsubscribed"), timestamp),
        "marketing_optin": one_of(_optins, f"must be one of {', '.join(sorted(_optins))}"),
        "@force_optin": flag,
        "@merge": flag,
        "channels": object_of({"sms": _sms}),
        "properties": properties,
    },
    required=("@collection", "id"),
)

_line = with_one_of(
    object_of(
        {
            **dict.fromkeys(("product_id", "variant_id", "sku"), text(255)),
            **dict.fromkeys(("quantity", "unit_price", "subtotal", "tax", "discount", "total"), number),
            **dict.fromkeys(("quantity_refunded", "refunded"), number),
            "is_on_sale": flag,
            "variant_options": _options,
            "properties": object_of({}),
        },
        required=("product_id", "quantity"),
    ),
    ("unit_price", "subtotal"),
)
_customer = object_of({"id": text(255), "email": _email, "phone_number": _phone})
_address = object_of({"country_code": _country})

_order = object_of(
    {
        "id": text(36),
        "timestamp": timestamp,
        "currency": _currency,
        **dict.fromkeys(("grand_total", "subtotal", "discount", "shipping", "tax"), number),
        "status": _any_text,
        "is_valid": flag,
        "@merge": flag,
        "customer": _customer,
        "lineitems": list_of(_line),
        "shipping_address": _address,
        "billing_address": _address,
        **dict.fromkeys(("store", "payment_method", "shipping_method"), text(32)),
        "properties": properties,
    },
    required=("id", "timestamp", "grand_total", "currency"),
)

_custom_event = with_one_of(
    object_of(
        {
            "id": text(32),
            "event_type": text(31),
            "timestamp": timestamp,
            "properties": properties,
            "identity_email": _email,
            "identity_phone_number": _phone,
            "identity_account_id": text(255),
            "profile_id": _any_text,
        },
        required=("id", "event_type", "timestamp", "properties"),
    ),
    tuple(IDENTITY_KINDS),
)

_product = object_of(
    {
        "id": text(255),
        "parent_id": text(255),
        "title": text(140),
        "image_url": text(1024),
        "price": number,
        "special_price": number,
        "special_price_dt_from": timestamp,
        "special_price_dt_to": timestamp,
        "currency": _currency,
        **dict.fromkeys(("is_variant", "is_active", "is_in_stock", "@merge"), flag),
        "attributes": _options,
        "listings": list_of(object_of({"price": number, "currency": _currency, "is_active": flag})),
    },
    required=("id",),
)

CHECKS: dict[str, Check] = {
    "contact": _contact,
    "order": _order,
    "custom_event": _custom_event,
    "product": _product,
}


def problem_of(record: Any) -> Problem | None:
    """The first reason to refuse ``record``, whatever the account holds; ``None`` for a good one."""
    if not isinstance(record, dict):
        return Problem("", "must be an object")
    record_type = record.get("@type")
    check = CHECKS.get(record_type) if isinstance(record_type, str) else None
    if check is None:
        return Problem("/@type", "is required" if record_type is None else "is not a known type")
    return check(record)
