"""What the store knows, and what a delivery would do, as tables for a terminal."""

from collections.abc import Iterator

from rich.console import RenderableType
from rich.table import Table
from sqlalchemy import Engine

from bc_ometria.delivery.drain import Drain
from bc_ometria.delivery.plan import DeliveryPlan, RecordPlan
from bc_ometria.delivery.replay import Selection
from bc_ometria.store import outbox

_FIELDS = 10  # of each record type: the most changed ones


def outcome_table(engine: Engine) -> Table:
    """How many records of which type are confirmed, on their way, held or excluded, and why."""
    table = Table("record", "state", "reason", "number", title="Ometria's records")
    for record_type, state, reason, records in outbox.counts(engine).to_numpy().tolist():
        table.add_row(record_type, state, reason, f"{records:,}")
    return table


def plan_told(plan: DeliveryPlan) -> Iterator[RenderableType]:
    """A dry run in tables and sentences; a table that would be empty is left out."""
    if plan.records:
        yield _records_table(plan.records)
        yield from _basis(plan.records)
    if any(each.waiting < each.records for each in plan.records):
        yield "What does not wait to be sent does not go by itself: where it differs, it goes with `bc-ometria replay`."
    yield from _consents_table(plan.records)
    for each in plan.records:
        for currency, amount in each.effect.revenue.items():
            yield f"The revenue of {each.record_type}s would change by {_about(each)}{amount:+,.2f} {currency}."
    yield from _fields_table(plan.records)
    yield from _events_table(plan)
    if len(plan.lanes):
        table = Table("lane", "record", "waiting", "stopped by", title="All that waits, the most urgent lane first")
        for lane, record_type, waiting, stopped in plan.lanes.to_numpy().tolist():
            table.add_row(lane, record_type, f"{waiting:,}", stopped)
        yield table
    yield drain_told(plan.drain) if len(plan.lanes) else "Nothing waits to be sent."


def replay_table(selection: Selection) -> Table:
    """What a replay would send again, what it would have mapped again, and what it would leave out."""
    table = Table("record", "state now", "goes", "left out, because it", "number", title="Replay")
    for record_type, state, goes, left_out, records in selection.counts.to_numpy().tolist():
        table.add_row(record_type, state, goes, left_out, f"{records:,}")
    return table


def drain_told(drain: Drain) -> str:
    """How long a delivery takes, in a sentence."""
    return (
        f"At the account's budget sending takes {_duration(drain.push_s)} ({drain.pushes:,} calls), and reading back, "
        f"at the same time, {_duration(drain.read_s)} ({drain.reads:,} calls)."
    )


def _records_table(records: tuple[RecordPlan, ...]) -> Table:
    table = Table("", *(f"{each.record_type}s" for each in records), title="What would change in Ometria")

    def row(name: str, cells: list[str]) -> None:
        table.add_row(name, *cells)

    row("records", [f"{each.records:,}" for each in records])
    row("  of which wait to be sent", [f"{each.waiting:,}" for each in records])
    row("Ometria would create", [f"{_about(each)}{each.effect.creates:,}" for each in records])
    row("Ometria would update", [f"{_about(each)}{each.effect.updates:,}" for each in records])
    row("equal already", [f"{_about(each)}{each.effect.no_ops:,}" for each in records])
    if any(each.without_payload for each in records):
        row("cannot be compared: payload expired", [f"{each.without_payload:,}" for each in records])
    for state, reason in sorted({why for each in records for why in each.kept_back}):
        row(f"{state}: {reason}", [f"{each.kept_back.get((state, reason), 0):,}" for each in records])
    return table


def _basis(records: tuple[RecordPlan, ...]) -> Iterator[str]:
    """What the figures are about where Ometria was not asked about every record."""
    for each in records:
        if each.is_extrapolated and each.looked_up:
            yield (
                f"≈ The figures of {each.record_type}s are extrapolated, of a sample of {each.looked_up:,} of "
                f"{each.records - each.without_payload:,}."
            )
        if each.unreadable:
            yield f"{each.unreadable:,} {each.record_type}s could not be read from Ometria, and are not in the sample."


def _about(plan: RecordPlan) -> str:
    return "≈ " if plan.is_extrapolated else ""


def _consents_table(records: tuple[RecordPlan, ...]) -> Iterator[Table]:
    table = Table("channel", "in Ometria", "would be", "contacts", title="Consent that would change")
    for each in records:
        for change, contacts in sorted(each.effect.consents.items()):
            table.add_row(change.channel, change.before, change.after, f"{_about(each)}{contacts:,}")
    if table.row_count:
        yield table


def _fields_table(records: tuple[RecordPlan, ...]) -> Iterator[Table]:
    table = Table("record", "field", "records", title="Most changed fields of updates")
    for each in records:
        most = sorted(each.effect.fields.items(), key=lambda changed: (-changed[1], changed[0]))
        for path, changed in most[:_FIELDS]:
            table.add_row(each.record_type, path, f"{_about(each)}{changed:,}")
    if table.row_count:
        yield table


def _events_table(plan: DeliveryPlan) -> Iterator[RenderableType]:
    if plan.events.empty:
        return
    columns = ["waiting", "goes_now", "goes_later", "wait_for_parents", "will_miss", "too_late"]
    heads = ["waiting", "go now", "go later", "wait for a parent", "will miss", "too late"]
    table = Table("event", *heads, "last goes", title="Events that would fire")
    for row in plan.events.to_dict("records"):
        last = row["last_goes_at"]
        when = "" if last != last else f"{last:%Y-%m-%d %H:%M} UTC"  # NaT alone differs from itself
        table.add_row(row["event_type"], *(f"{row[name]:,}" for name in columns), when)
    yield table


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f} s" if seconds >= 1 else "less than a second"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60:,} h {minutes % 60} min"
