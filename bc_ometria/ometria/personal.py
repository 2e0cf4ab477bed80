"""What of a record may be told to people: of everything else its text may be personal, and stays unsaid."""

import re
from collections.abc import Iterator
from typing import Any

_OF_ANY = "@type @collection"
_OF_CONTACT = (
    "marketing_optin timestamp_acquired timestamp_subscribed timestamp_unsubscribed country_id store_ids "
    "channels.sms.allow_marketing channels.sms.dt_updated_marketing "
    "channels.sms.allow_transactional channels.sms.dt_updated_transactional"
)
_AMOUNTS = "currency grand_total subtotal discount shipping tax"
_OF_ORDER = f"status is_valid timestamp channel store payment_method shipping_method {_AMOUNTS}"
_OF_LINE = (
    "product_id variant_id sku quantity unit_price subtotal tax discount total quantity_refunded refunded is_on_sale "
    "variant_options.type variant_options.id variant_options.label"
)
_TOLD = frozenset(
    [
        *f"{_OF_ANY} {_OF_CONTACT} {_OF_ORDER}".split(),
        *(f"lineitems.{name}" for name in _OF_LINE.split()),
        *(f"totals.{kind}.{name}" for kind in ("base", "local") for name in _AMOUNTS.split()),
    ]
)
"""The paths, without places in lists, of fields that are never personal (ours): money, codes, times and consent.
Everything else may be: names and addresses are, and a retailer may write anything into properties."""

_PLACES = re.compile(r"\.\d+(?=\.|$)")


def may_be_told(path: str) -> bool:
    """Whether what stands at a path such as ``lineitems.0.quantity`` is never personal."""
    return _PLACES.sub("", path) in _TOLD


def without_personal(words: str, record: dict[str, Any]) -> str:
    """The words without those texts of the record that may be personal: Ometria may quote what it refuses."""
    texts = sorted({text for text in _texts(record, "") if len(text) > 1}, key=len, reverse=True)
    if not texts:
        return words
    return re.sub(rf"(?<!\w)(?:{'|'.join(map(re.escape, texts))})(?!\w)", "***", words, flags=re.IGNORECASE)


def _texts(value: Any, path: str) -> Iterator[str]:
    if isinstance(value, dict):
        for name, each in value.items():
            yield from _texts(each, f"{path}.{name}" if path else name)
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each, path)
    elif isinstance(value, str) and path not in _TOLD:
        yield value
