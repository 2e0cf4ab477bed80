"""The lanes of delivery, the most urgent first: a lower one gets a call only when no higher one could use it."""

LIVE = ("opt_outs", "cancellations", "live", "events")
"""What people notice within minutes: opt-outs and erasures, cancellations, live orders and contacts, their events."""

BULK = ("repairs", "products", "attributes", "history")
"""What may wait: repairs of drift and replays, products, deep attributes, and what changed long ago."""

LANES = (*LIVE, *BULK)

RECORD_TYPES = ("contact", "order", "custom_event", "product")
"""Within a lane, parents before what refers to them (P23)."""
