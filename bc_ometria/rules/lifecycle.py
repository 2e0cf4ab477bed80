"""What the tenant's codes say about an order's life, and what each state of it is in Ometria."""

from collections.abc import Iterator
from functools import cached_property
from typing import Annotated, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

Code = Annotated[str, Field(min_length=1, max_length=16)]
Words = Annotated[str, Field(min_length=1)]
StatusText = Annotated[str, Field(min_length=1, max_length=64)]
Country = Annotated[str, Field(pattern=r"^[A-Z]{2}$", description="ISO 3166 alpha-2, as GB")]

State = Literal[
    "placed",
    "on_hold",
    "allocated",
    "picking",
    "back_ordered",
    "part_dispatched",
    "dispatched",
    "part_cancelled",
    "cancelled_by_customer",
    "cancelled_by_house",
    "part_refunded",
    "refunded",
    "exchanged",
]
"""What an order can be. One whose ``ord_status`` no rule knows is ``unmapped``, and nothing of it goes."""

STATES: tuple[State, ...] = get_args(State)
CANCELLED: tuple[State, ...] = ("cancelled_by_customer", "cancelled_by_house")

Claim = Literal[State, "cancelled"]
"""What a status code can claim: a state, or ``cancelled`` where the code does not say by whom."""

CLAIMS: tuple[Claim, ...] = (*STATES, "cancelled")

EventType = Literal[
    "order_cancelled",
    "order_on_hold",
    "order_hold_released",
    "back_order_released",
    "order_picking",
    "order_part_cancelled",
    "order_part_dispatched",
    "order_dispatched",
    "order_back_ordered",
    "tracking_added",
    "order_part_refunded",
    "order_refunded",
]
EVENT_TYPES: tuple[EventType, ...] = get_args(EventType)
"""Every custom event, in the order in which those of one moment happened (ours)."""

COMING: dict[State, tuple[EventType, ...]] = {
    "placed": (),
    "on_hold": ("order_on_hold",),
    "allocated": (),
    "picking": ("order_picking",),
    "back_ordered": ("order_back_ordered",),
    "part_dispatched": ("order_part_dispatched", "tracking_added"),
    "dispatched": ("order_dispatched", "tracking_added"),
    "part_cancelled": ("order_part_cancelled",),
    "cancelled_by_customer": ("order_cancelled",),
    "cancelled_by_house": ("order_cancelled",),
    "part_refunded": ("order_part_refunded",),
    "refunded": ("order_refunded",),
    "exchanged": ("order_part_refunded", "order_refunded"),
}
"""The events that can tell that an order came to a state."""

LEAVING: dict[State, tuple[EventType, ...]] = {
    "on_hold": ("order_hold_released",),
    "back_ordered": ("back_order_released",),
}
"""The events that can tell that an order left a state."""


class Rule(BaseModel):
    """A part of a rules file: what it does not know is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Status(Rule):
    """What one ``ord_status`` claims about its order, or why its orders never go to Ometria."""

    meaning: Words
    claim: Claim | None = None
    ignore: Words | None = None

    @model_validator(mode="after")
    def _claims_or_is_ignored(self) -> "Status":
        if (self.claim is None) == (self.ignore is None):
            raise ValueError("give either claim, or ignore with a reason")
        return self


class StateInOmetria(Rule):
    """What a state is in Ometria, and the custom events of coming to it and of leaving it that are sent."""

    meaning: Words
    status: StatusText
    is_valid: bool
    events: tuple[EventType, ...] = ()
    leaving: tuple[EventType, ...] = ()


class Statuses(Rule):
    """What the codes of ``ord_status`` claim, and what each state is in Ometria."""

    ord_status: dict[Code, Status]
    states: dict[State, StateInOmetria]

    @model_validator(mode="after")
    def _is_complete_and_agrees(self) -> "Statuses":
        faults = [f"states.{state} is missing" for state in STATES if state not in self.states]
        # An order of which all is cancelled goes with all its pieces: as a valid one it would be revenue (Q4).
        faults += [f"states.{state}.is_valid must be false" for state in CANCELLED if self._counts(state)]
        faults += self._misplaced() or self._in_part()
        if faults:
            raise ValueError("; ".join(faults))
        return self

    @cached_property
    def event_types(self) -> frozenset[EventType]:
        """The custom events that are sent."""
        return frozenset(event for rule in self.states.values() for event in (*rule.events, *rule.leaving))

    def _counts(self, state: State) -> bool:
        return state in self.states and self.states[state].is_valid

    def _misplaced(self) -> list[str]:
        return [
            f"{event} is no event of states.{state}.{name}" + (f" (allowed: {', '.join(allowed)})" if allowed else "")
            for state, rule in self.states.items()
            for name, events, allowed in (
                ("events", rule.events, COMING[state]),
                ("leaving", rule.leaving, LEAVING.get(state, ())),
            )
            for event in events
            if event not in allowed
        ]

    def _in_part(self) -> Iterator[str]:
        """An event tells what happened, whichever state that led to, so it is sent for all of its states or none."""
        return (
            f"{event} is missing in states.{state}.events, and stands in another state"
            for state, rule in self.states.items()
            for event in COMING[state]
            if event in self.event_types and event not in rule.events
        )


class Reason(Rule):
    """What a hold code means, in words that people and campaigns may show."""

    meaning: Words


class CancelReason(Reason):
    """What a cancel code means, and who cancels by it."""

    by: Literal["customer", "house"]


class ReturnReason(Reason):
    """What a return's reason code means; ``exchange``: the return is one half of an exchange."""

    exchange: bool = False


class Reasons(Rule):
    """The tenant's codes that say why. A blank code is no reason; any other that is not here is unmapped."""

    hold: dict[Code, Reason] = {}
    cancel: dict[Code, CancelReason] = {}
    returned: dict[Code, ReturnReason] = {}


class Warehouse(Rule):
    """A ``location``. One that is not real, as ``POE`` and ``FOB``, is known and never shown."""

    name: Words
    real: bool = True
    country: Country | None = None

    @model_validator(mode="after")
    def _real_in_a_country(self) -> "Warehouse":
        if self.real and self.country is None:
            raise ValueError("a real warehouse needs a country")
        return self
