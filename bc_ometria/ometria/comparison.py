"""Whether what Ometria shows is what was wanted: the one place that knows what Ometria adds, reformats or owns."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson

from bc_ometria.ometria.connection import masked
from bc_ometria.ometria.personal import may_be_told

_DIRECTIVES = {"@merge", "@force_optin", "@add_to_lists", "@remove_from_lists"}
"""Keys that tell Ometria what to do with a record and are no part of what it stores."""

_LONGEST = 40  # characters of a value that are shown


@dataclass(frozen=True, slots=True)
class Difference:
    """One field that differs; ``path`` is as ``lineitems.0.quantity``, and blank for a record that is missing.

    Its text may go into an exception: ``grand_total: 120.0 wanted, 99.0 shown``. Of a field that may be personal it
    says only that it differs or is missing.
    """

    path: str
    wanted: Any = field(repr=False)
    shown: Any = field(repr=False)

    def __str__(self) -> str:
        if not self.path:
            return "missing in Ometria"
        if isinstance(self.wanted, list) and isinstance(self.shown, list):
            return f"{self.path}: {len(self.wanted)} wanted, {len(self.shown)} shown"
        if not may_be_told(self.path):
            return f"{self.path}: {'missing' if self.shown is None else 'differs'}"
        shown = "missing" if self.shown is None else f"{_told(self.shown)} shown"
        return f"{self.path}: {_told(self.wanted)} wanted, {shown}"


def differences(wanted: dict[str, Any], shown: dict[str, Any] | None) -> list[Difference]:
    """Where the record that Ometria shows, None for none, differs from the wanted one.

    - Keys that Ometria shows beyond those wanted are its own and do not count, nor does the order of keys.
    - Numbers compare as numbers, times as instants and e-mail addresses without regard to case (ours: the contract does
      not say that Ometria keeps it), however they are written. Lists compare in order. A null is a missing key.
    - An opt-out that Ometria shows where none was wanted is Ometria's own (P2), with the times of that consent: no
      difference, for a repair would fight it. An opt-in that it shows where an opt-out was wanted is one.
    """
    if shown is None:
        return [Difference("", wanted, None)]
    found: list[Difference] = []
    _compare_objects(wanted, shown, "", found)
    if found and (owned := opt_outs_of_ometria(wanted, shown)):
        return [difference for difference in found if difference.path not in owned]
    return found


def opt_outs_of_ometria(wanted: dict[str, Any], shown: dict[str, Any]) -> set[str]:
    """The fields of each consent for which Ometria shows an opt-out and the wanted record none (P2).

    To send such a record again, for whatever else differs, would overwrite the opt-out.
    """
    owned: set[str] = set()
    if shown.get("marketing_optin") == "EXPLICITLY_OPTEDOUT" != wanted.get("marketing_optin"):
        owned |= {"marketing_optin", "timestamp_subscribed", "timestamp_unsubscribed"}
    if _allows_texts(shown) is False and _allows_texts(wanted) is not False:
        owned |= {"channels.sms.allow_marketing", "channels.sms.dt_updated_marketing"}
    return owned


def opted_out_after_all(wanted: dict[str, Any], shown: dict[str, Any]) -> list[str]:
    """The channels, ``email`` and ``sms``, of which the wanted record opts in and Ometria shows an opt-out."""
    channels = []
    if wanted.get("marketing_optin") == "EXPLICITLY_OPTEDIN" and shown.get("marketing_optin") == "EXPLICITLY_OPTEDOUT":
        channels.append("email")
    if _allows_texts(wanted) is True and _allows_texts(shown) is False:
        channels.append("sms")
    return channels


def _compare_objects(wanted: dict[str, Any], shown: dict[str, Any], path: str, found: list[Difference]) -> None:
    for name, value in wanted.items():
        other = shown.get(name)
        # Most fields are equal scalars: they cost no further call.
        if value.__class__ is other.__class__ and value == other and not isinstance(value, dict | list):
            continue
        if name not in _DIRECTIVES:
            _compare(value, other, f"{path}.{name}" if path else name, found)


def _compare(wanted: Any, shown: Any, path: str, found: list[Difference]) -> None:
    if isinstance(wanted, dict) and isinstance(shown, dict):
        _compare_objects(wanted, shown, path, found)
    elif isinstance(wanted, list) and isinstance(shown, list) and len(wanted) == len(shown):
        for at, (value, other) in enumerate(zip(wanted, shown, strict=True)):
            _compare(value, other, f"{path}.{at}", found)
    elif not _same(wanted, shown):
        found.append(Difference(path, wanted, shown))


def _same(wanted: Any, shown: Any) -> bool:
    if isinstance(wanted, str) and isinstance(shown, str):
        return wanted == shown or _same_instant(wanted, shown) or _same_address(wanted, shown)
    return bool(wanted == shown) and isinstance(wanted, bool) == isinstance(shown, bool)


def _same_instant(wanted: str, shown: str) -> bool:
    try:
        one, other = datetime.fromisoformat(wanted), datetime.fromisoformat(shown)
    except ValueError:
        return False
    return one.tzinfo is not None and other.tzinfo is not None and one == other


def _same_address(wanted: str, shown: str) -> bool:
    return "@" in wanted and wanted.lower() == shown.lower()


def _allows_texts(contact: dict[str, Any]) -> Any:
    channels = contact.get("channels")
    sms = channels.get("sms") if isinstance(channels, dict) else None
    return sms.get("allow_marketing") if isinstance(sms, dict) else None


def _told(value: Any) -> str:
    """As JSON, so that ``"42"`` and ``42`` are told apart; an object in the place of a value is only named."""
    if isinstance(value, dict | list):
        return "a list" if isinstance(value, list) else "an object"
    text = masked(orjson.dumps(value).decode())
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
