"""Which flows would have fired, when, and why not: what ``contracts/ometria.md`` says starts automations."""

from collections import deque
from dataclasses import dataclass
from functools import partial
from typing import Literal

from bc_ometria.sandbox.ometria.agenda import Agenda

CLIFF_SECONDS = 4 * 3600
"""An event that is older than this enters no flow."""
ENTRIES_AT_ONCE = 1_000
"""Contacts one flow lets in within ``ENTRY_WINDOW_SECONDS``; the rest are dropped."""
ENTRY_WINDOW_SECONDS = 5 * 60

PLACED_ORDER = "placed_order"
SUBSCRIBED: dict[str, str] = {"email": "subscribed", "sms": "subscribed_sms"}
SMS_OPTIN_MESSAGE = "sms_optin_message"

Veto = Literal["not_valid", "undeclared", "unknown_profile", "repeat"]
Outcome = Literal["fired", "waiting", "too_old", "dropped"] | Veto

REASONS: dict[Outcome, str] = {
    "fired": "the contact entered the flow",
    "waiting": "its timestamp lies in the future",
    "too_old": "its timestamp is more than 4 hours old",
    "dropped": "more than 1,000 contacts at once",
    "not_valid": "the order is not valid",
    "undeclared": "the event type does not exist in the account",
    "unknown_profile": "no profile has this identity",
    "repeat": "this event was already there",
}


@dataclass(slots=True)
class Trigger:
    """One time a flow could have fired; ``decided`` is when the outcome was. In seconds since the epoch."""

    flow: str
    record_type: str
    record_id: str
    timestamp: float
    decided: float
    outcome: Outcome

    @property
    def reason(self) -> str:
        return REASONS[self.outcome]


class Automation:
    """Decides about every trigger and keeps them all in ``log``."""

    def __init__(self, agenda: Agenda) -> None:
        self._agenda = agenda
        self._entered: dict[str, deque[float]] = {}
        self.log: list[Trigger] = []

    def trigger(
        self,
        flow: str,
        record_type: str,
        record_id: str,
        *,
        timestamp: float,
        at: float,
        veto: Veto | None = None,
    ) -> None:
        """Something with ``timestamp`` happened and was seen ``at``; ``veto`` says why it starts nothing."""
        trigger = Trigger(flow, record_type, record_id, timestamp, at, veto or "waiting")
        self.log.append(trigger)
        if veto:
            return
        if timestamp < at - CLIFF_SECONDS:
            trigger.outcome = "too_old"
        elif timestamp > at:
            self._agenda.add(timestamp, partial(self._enter, trigger))
        else:
            self._enter(trigger, at)

    def fired(self, flow: str | None = None) -> list[Trigger]:
        """The triggers that fired, of one flow or of all."""
        return [each for each in self.log if each.outcome == "fired" and flow in (None, each.flow)]

    def _enter(self, trigger: Trigger, at: float) -> None:
        entered = self._entered.setdefault(trigger.flow, deque())
        while entered and entered[0] <= at - ENTRY_WINDOW_SECONDS:
            entered.popleft()
        trigger.decided = at
        if len(entered) >= ENTRIES_AT_ONCE:
            trigger.outcome = "dropped"
        else:
            entered.append(at)
            trigger.outcome = "fired"
