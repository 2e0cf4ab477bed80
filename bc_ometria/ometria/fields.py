"""The kinds of value in an Ometria record, each with the rule it keeps (``contracts/ometria.md``; P1)."""

import json
import re
from datetime import date, datetime
from math import isfinite
from typing import Annotated, Any

from pydantic import AfterValidator, StringConstraints
from pydantic_core import PydanticCustomError

from bc_ometria.iso import COUNTRIES, CURRENCIES

MAX_PROPERTIES_CHARACTERS = 1_000
"""The properties of one record stay *under* this many characters of JSON."""

CONSENT_KEYS = frozenset(
    {"marketing_optin", "@force_optin", "timestamp_subscribed", "timestamp_unsubscribed", "allow_marketing"}
)
"""Keys that speak of consent; only a contact has them, at their own place."""

_TEXT = r"\S"
_ID = r"^[^@\s](?:[^@]*[^@\s])?$"
_EMAIL = (
    r"^[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
    r"@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])$"
)
_PHONE = r"^\+[1-9][0-9]{6,14}$"
# Years of 1900 to 2099: another year is a database's blank, not a time (ours).
_DATE = r"^(?:19|20)[0-9]{2}-[0-9]{2}-[0-9]{2}$"
_TIME_OF_DAY = r"T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6})?(?:Z|[+-][0-9]{2}:[0-9]{2})$"
_TIMESTAMP = _DATE.removesuffix("$") + _TIME_OF_DAY
_URL = r"^https?://[^\s/]\S*$"
_TIME_ZONE = r"^[A-Za-z][A-Za-z0-9_+/-]*$"

RULES_OF_PATTERNS = {
    _TEXT: "must not be blank: leave it out where there is no value",
    _ID: "must be an id: no e-mail address, not blank, no blanks at either end",
    _EMAIL: "must be an e-mail address",
    _PHONE: "must be a phone number in E.164: a plus sign, the country code and digits only",
    _TIMESTAMP: "must be a time with its offset, such as 2026-11-23T09:05:00Z",
    _DATE: "must be a date, such as 1990-12-31",
    _URL: "must be a web address that starts with http:// or https://",
    _TIME_ZONE: "must be the name of a time zone, such as Europe/London",
}


def broken(rule: str) -> PydanticCustomError:
    """The error of a rule that pydantic does not know; ``rule`` is a sentence that carries no value."""
    return PydanticCustomError("rule", "{rule}", {"rule": rule})


def _can_be_asked_for(id: str) -> str:
    if not id.strip("."):
        raise broken("must not be made of dots alone: Ometria could not be asked for it")
    return id


def _currency(code: str) -> str:
    if code not in CURRENCIES:
        raise broken("must be a currency of ISO 4217, such as GBP")
    return code


def _country(code: str) -> str:
    if code not in COUNTRIES:
        raise broken("must be a country of ISO 3166-1 with two letters, such as GB")
    return code


def _moment(text: str) -> str:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        raise broken(RULES_OF_PATTERNS[_TIMESTAMP]) from None
    return text


def _day(text: str) -> str:
    try:
        date.fromisoformat(text)
    except ValueError:
        raise broken(RULES_OF_PATTERNS[_DATE]) from None
    return text


def _says_nothing(value: Any) -> bool:
    """Whether null, blank text or a number that is not finite is in here, at any depth."""
    if isinstance(value, str):
        return not value or value.isspace()
    if isinstance(value, dict):
        return any(map(_says_nothing, value)) or any(map(_says_nothing, value.values()))
    if isinstance(value, list):
        return any(_says_nothing(part) for part in value)
    return value is None or (isinstance(value, float) and not isfinite(value))


def _no_gaps(value: Any) -> Any:
    if _says_nothing(value):
        raise broken("must hold no null, no blank text and no number that is not finite, at any depth")
    return value


def _properties(properties: dict[str, Any]) -> dict[str, Any]:
    if not CONSENT_KEYS.isdisjoint(properties):
        raise broken("must not speak of consent: that belongs to the contact itself")
    # Counted with blanks between items and every other letter escaped: the longest way to write it (ours).
    if not _are_few_words(properties) and len(json.dumps(properties)) >= MAX_PROPERTIES_CHARACTERS:
        raise broken(f"must stay under {MAX_PROPERTIES_CHARACTERS:,} characters of JSON, all properties together")
    return properties


def _are_few_words(properties: dict[str, Any]) -> bool:
    """Whether the properties are texts too short to reach the limit however they are written: no letter takes
    more than 12 characters, nor do the quotes around an item. Most are, and writing each of them out
    just to count its letters takes longer than all else that is checked of them."""
    letters = 0
    for name, value in properties.items():
        if not isinstance(value, str):
            return False
        letters += len(name) + len(value) + 1
    return 12 * letters < MAX_PROPERTIES_CHARACTERS


Text = Annotated[str, StringConstraints(pattern=_TEXT)]
Text32 = Annotated[str, StringConstraints(pattern=_TEXT, max_length=32)]
Text64 = Annotated[str, StringConstraints(pattern=_TEXT, max_length=64)]
Text140 = Annotated[str, StringConstraints(pattern=_TEXT, max_length=140)]
Text255 = Annotated[str, StringConstraints(pattern=_TEXT, max_length=255)]
Id = Annotated[str, StringConstraints(pattern=_ID, max_length=255)]
CAN_BE_READ_BACK = AfterValidator(_can_be_asked_for)
"""The rule of an id that stands in an address, where dots alone are no name (``client._segment``)."""
Email = Annotated[str, StringConstraints(pattern=_EMAIL, max_length=254)]
EMAIL_RULE = RULES_OF_PATTERNS[_EMAIL]


def is_email(text: str) -> bool:
    """Whether a text is an address as a record may carry it."""
    return len(text) <= 254 and re.fullmatch(_EMAIL, text) is not None


Phone = Annotated[str, StringConstraints(pattern=_PHONE)]
Currency = Annotated[str, AfterValidator(_currency)]
Country = Annotated[str, AfterValidator(_country)]
Timestamp = Annotated[str, StringConstraints(pattern=_TIMESTAMP), AfterValidator(_moment)]
Date = Annotated[str, StringConstraints(pattern=_DATE), AfterValidator(_day)]
Url = Annotated[str, StringConstraints(pattern=_URL, max_length=1024)]
TimeZone = Annotated[str, StringConstraints(pattern=_TIME_ZONE)]
Json = Annotated[Any, AfterValidator(_no_gaps)]
Properties = Annotated[dict[str, Any], AfterValidator(_no_gaps), AfterValidator(_properties)]
Number = float
"""Money in the currency's units, or a quantity; never infinite or NaN (text and booleans are no numbers)."""
