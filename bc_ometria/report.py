"""What the store knows, as a table for a terminal."""

from rich.table import Table
from sqlalchemy import Engine

from bc_ometria.store import outbox


def outcome_table(engine: Engine) -> Table:
    """How many records of which type are confirmed, on their way, held or excluded, and why."""
    table = Table("record", "state", "reason", "number", title="Ometria's records")
    for record_type, state, reason, records in outbox.counts(engine).to_numpy().tolist():
        table.add_row(record_type, state, reason, f"{records:,}")
    return table
