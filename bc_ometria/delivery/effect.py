"""What it would change in Ometria to send some records, from what it shows of them: arithmetic alone."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, NamedTuple

from bc_ometria.ometria.comparison import differences

Record = dict[str, Any]
"""A record as Ometria takes it and shows it."""


class Consent(NamedTuple):
    """A change of consent: ``channel`` ``email`` or ``sms``; ``before`` and ``after`` ``in``, ``out`` or ``unknown``,
    and ``before`` ``no contact`` where Ometria has none."""

    channel: str
    before: str
    after: str


@dataclass(frozen=True)
class Effect:
    """What sending some records of one type would do.

    ``revenue``: by currency, in its units, the change of the grand totals of valid orders. ``fields``: in how many
    updated records a field differs, by its path without the places in lists.
    """

    creates: int = 0
    updates: int = 0
    no_ops: int = 0
    consents: Mapping[Consent, int] = field(default_factory=dict)
    revenue: Mapping[str, Decimal] = field(default_factory=dict)
    fields: Mapping[str, int] = field(default_factory=dict)

    def scaled(self, factor: float) -> "Effect":
        """The effect of so many times as many records of the same kind."""
        return Effect(
            creates=round(self.creates * factor),
            updates=round(self.updates * factor),
            no_ops=round(self.no_ops * factor),
            consents={change: round(number * factor) for change, number in self.consents.items()},
            revenue={currency: round(amount * Decimal(factor), 2) for currency, amount in self.revenue.items()},
            fields={path: round(number * factor) for path, number in self.fields.items()},
        )


def effect_of(records: Iterable[tuple[Record, Record | None]]) -> Effect:
    """The effect of sending some records, each with what Ometria shows of it: None for nothing.

    A record is a no-op where the read back would take it for confirmed. But an opt-out that Ometria shows, and that
    sending the record would end, makes it an update: ``differences`` takes it for Ometria's own.
    """
    outcomes: Counter[str] = Counter()
    consents: Counter[Consent] = Counter()
    fields: Counter[str] = Counter()
    revenue: dict[str, Decimal] = {}
    for wanted, shown in records:
        changed_consents = list(_consent_changes(wanted, shown))
        consents.update(changed_consents)
        for order, sign in ((wanted, 1), (shown, -1)):
            if order is not None and wanted.get("@type") == "order" and order.get("is_valid") is not False:
                currency = str(order.get("currency"))
                revenue[currency] = revenue.get(currency, Decimal(0)) + sign * _amount(order.get("grand_total"))
        if shown is None:
            outcomes["creates"] += 1
            continue
        differing = {re.sub(r"\.\d+(?=\.|$)", "", difference.path) for difference in differences(wanted, shown)}
        fields.update(differing)
        outcomes["updates" if differing or changed_consents else "no_ops"] += 1
    revenue = {currency: amount for currency, amount in sorted(revenue.items()) if amount}
    return Effect(**outcomes, consents=consents, revenue=revenue, fields=fields)


def _consent_changes(wanted: Record, shown: Record | None) -> Iterator[Consent]:
    """What a contact's consent becomes; a contact without a key for a channel leaves it as it is."""
    before = _consents(shown) if shown is not None else dict.fromkeys(("email", "sms"), "no contact")
    for channel, after in _consents(wanted).items():
        if after not in ("unknown", before[channel]):
            yield Consent(channel, before[channel], after)


def _consents(contact: Record) -> dict[str, str]:
    words = {"EXPLICITLY_OPTEDIN": "in", True: "in", "EXPLICITLY_OPTEDOUT": "out", False: "out"}
    sms = (contact.get("channels") or {}).get("sms") or {}
    said = {"email": contact.get("marketing_optin"), "sms": sms.get("allow_marketing")}
    return {channel: words.get(value, "unknown") for channel, value in said.items()}


def _amount(value: object) -> Decimal:
    return Decimal(str(value)) if isinstance(value, int | float) else Decimal(0)
