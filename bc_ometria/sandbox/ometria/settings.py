"""What an account of the stand-in is set to: its key, its limits, and all that the contract leaves open."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, NonNegativeFloat, PositiveInt


class Settings(BaseModel):
    """One account's settings; ``contracts/ometria.md`` is the source of the numbers.

    The last group are the facts the contract marks ``?``. Their defaults are the readings under which
    a wrong assumption of a client shows.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    api_key: str = "sandbox-ometria-key"
    event_types: frozenset[str] | None = None
    """Event types created in the account; others are stored and start nothing. ``None``: all are."""
    stores: frozenset[str] | None = None
    """Store ids of the account, case-sensitive; an order with another is refused. ``None``: all are known."""

    limits: bool = True
    """Whether the four rates hold. They count real calls in real time, whatever the stand-in's clock says."""
    push_per_second: PositiveInt = 8
    other_per_second: PositiveInt = 4
    gdpr_per_minute: PositiveInt = 6
    merges_per_minute: PositiveInt = 1
    queue_limit: PositiveInt = 50_000
    """Records that may wait in the queue; a push that would pass it gets 429."""

    clock_ahead_seconds: float = 0.0
    """How far Ometria's time, in stamps, filters and the ``Date`` of replies, is ahead of the stand-in's clock."""
    queue_lag_seconds: NonNegativeFloat = 0.0
    """How long after its 202 a record can be read, by the stand-in's clock."""
    job_lag_seconds: NonNegativeFloat = 0.0
    """How long a data deletion or a merge takes, by the stand-in's clock (Ometria: up to 14 days)."""
    history: bool = False
    """Keep for every record what was pushed under its id, in order."""
    rejects_in_reply: bool = False
    """Count invalid records in ``rejected`` of the 202. They are in the errors ring in either case."""
    error_shape: Literal["documented", "observed", "mixed"] = "documented"
    """``documented``: message and path, no id. ``observed``: with ids and record. ``mixed``: in turn."""
    replaces_without_merge: bool = True
    """A push without ``@merge`` replaces the whole record; otherwise every push is merged."""
    merge_depth: Literal["shallow", "deep"] = "shallow"
    unknown_products: Literal["accepted", "refused"] = "accepted"
    """What happens to an order whose line names a product that was never pushed."""
    joins_last: bool = False
    """Whether customers whose records once shared an address stay one person when they no longer do."""
    event_repeats: Literal["stored_twice", "ignored"] = "stored_twice"
    """A second push of the same event type and id. It is counted in either case."""
    reads_show_update: bool = True
    """Reads of orders, contacts and products carry ``timestamp_update`` beside what was pushed."""

    def changed(self, values: Mapping[str, Any]) -> "Settings":
        """These settings with ``values`` in their place; raises pydantic's ``ValidationError``."""
        return Settings.model_validate({**self.model_dump(), **values})
