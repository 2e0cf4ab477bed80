"""What a person has agreed to, from all listings: the consent rules of ``contracts/ometria.md``."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

OPTED_IN = "EXPLICITLY_OPTEDIN"
OPTED_OUT = "EXPLICITLY_OPTEDOUT"
NOT_SPECIFIED = "NOT_SPECIFIED"

Channel = Literal["email", "sms"]


@dataclass(frozen=True, slots=True)
class Forced:
    """A value that is final until a later one; ``number`` counts up over the whole account."""

    number: int
    optin: str


@dataclass(frozen=True, slots=True)
class ListingConsent:
    """What one listing says. ``subscribed`` is an ISO 8601 timestamp."""

    optin: str
    forced: Forced | None
    subscribed: str | None
    sms: bool | None


@dataclass(frozen=True, slots=True)
class Unsubscribe:
    """A person's own opt-out at Ometria; ``at`` in seconds since the epoch."""

    email: str
    channel: Channel
    source: str
    at: float
    number: int


def listing_consent(
    stored: dict[str, Any], pushed: dict[str, Any], before: ListingConsent | None, *, number: int, now: str
) -> ListingConsent:
    """What a listing says once ``pushed`` has made it ``stored``.

    ``@force_optin`` counts only beside ``marketing_optin``, and outlives a later push without it. A status
    without a timestamp is stamped ``now``.
    """
    optin = pushed.get("marketing_optin")
    forced = before.forced if before else None
    if pushed.get("@force_optin") and optin:
        forced = Forced(number, optin)
    subscribed = stored.get("timestamp_subscribed")
    if optin == OPTED_IN and not subscribed:
        subscribed = before.subscribed if before and before.optin == OPTED_IN else now
    sms = ((stored.get("channels") or {}).get("sms") or {}).get("allow_marketing")
    return ListingConsent(stored.get("marketing_optin") or NOT_SPECIFIED, forced, subscribed, sms)


def marketing_optin(listings: Iterable[ListingConsent], unsubscribes: Iterable[Unsubscribe]) -> str:
    """The profile's status: the latest forced value, else one opt-out over every opt-in.

    A person's own opt-out is final like a forced one, over all that was forced before it (ours).
    """
    said = list(listings)
    forced = [each.forced for each in said if each.forced]
    forced += [Forced(each.number, OPTED_OUT) for each in unsubscribes if each.channel == "email"]
    if forced:
        return max(forced, key=lambda each: each.number).optin
    optins = {each.optin for each in said}
    return next((value for value in (OPTED_OUT, OPTED_IN) if value in optins), NOT_SPECIFIED)


def sms_marketing(listings: Iterable[ListingConsent], unsubscribes: Iterable[Unsubscribe]) -> bool | None:
    """Whether text messages may be sent; one no wins, a person's own first of all. ``None``: nobody said."""
    if any(each.channel == "sms" for each in unsubscribes):
        return False
    said = {each.sms for each in listings} - {None}
    return min(said) if said else None  # type: ignore[type-var]
