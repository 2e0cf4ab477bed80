"""``ometria/unsubscribes``: who opted out at Ometria, read before an opt-in of Blue Cherry's is mapped (truth 5)."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
from sqlalchemy import Engine

from bc_ometria.delivery.budget import note_refusal
from bc_ometria.ometria.client import OmetriaClient
from bc_ometria.ometria.errors import AccessRefused, OmetriaError, OutcomeUnknown
from bc_ometria.resources import Ometria, Scope, Store, Tenant
from bc_ometria.store import sales, unsubscribes
from bc_ometria.store.unsubscribes import CHANNELS, Unsubscribe

_BEGINNING = datetime(2000, 1, 1, tzinfo=UTC)
_OVERLAP = timedelta(hours=1)
"""How far behind the newest unsubscribe reading starts again: Ometria may list one late (ours)."""


def read_unsubscribes(engine: Engine, ometria: OmetriaClient) -> int:
    """Read what is new of Ometria's unsubscribes, the first time all, and have their customers mapped again; how many
    opt-outs are new or newer than known.

    Raises what the client raises, and ``OutcomeUnknown`` where an entry cannot be understood: it could be anybody's
    opt-out. Nothing of the reading is kept then, no opt-in goes until they can be read, and after a refused key the
    sensors start nothing for a while.
    """
    newest = unsubscribes.newest(engine)
    since = newest - _OVERLAP if newest else _BEGINNING
    before = datetime.now(UTC) + timedelta(days=1)  # Ometria's clock may be ahead
    listed = (each for entry in ometria.unsubscribes(since, before) for each in _of_entry(entry))
    try:
        return unsubscribes.put(engine, listed)
    except AccessRefused as error:
        note_refusal(engine, str(error))
        raise
    except OmetriaError:
        unsubscribes.note_failure(engine)
        raise


def _of_entry(entry: Mapping[str, Any]) -> Iterator[Unsubscribe]:
    """One entry of Ometria's list. One that names no channel counts for all of them (ours, the stricter reading)."""
    email, channel = entry.get("email"), entry.get("channel")
    try:
        at = datetime.fromisoformat(entry["timestamp"])
    except (KeyError, TypeError, ValueError):
        at = None
    if not isinstance(email, str) or "@" not in email or at is None or at.tzinfo is None:
        raise OutcomeUnknown("Ometria lists an unsubscribe without a readable address or time: it could be anybody's.")
    for each in (channel,) if channel in CHANNELS else CHANNELS:
        yield Unsubscribe(email, each, at)


@dg.asset(
    key=["ometria", "unsubscribes"],
    deps=[["blue_cherry", "customers"], ["blue_cherry", "refreshed"]],
    group_name="ometria",
    kinds={"ometria", "postgres"},
    owners=["team:marketing"],
    description="Who opted out at Ometria. It is read every quarter of an hour, and by live_sync where an opt-in is to "
    "be mapped or waits to be sent: an opt-in that is older is not sent.",
)
def ometria_unsubscribes(
    context: dg.AssetExecutionContext, store: Store, ometria: Ometria, tenant: Tenant, scope: Scope
) -> dg.MaterializeResult:
    engine = store.engine
    # The first step that maps, so changed rules are applied here: they may have opt-ins mapped again.
    if scope.only_new and sales.apply_rules(engine, tenant.rules.version):
        context.log.info("The rules changed: every record is mapped again.")
    if scope.only_new and not unsubscribes.are_needed(engine):
        return dg.MaterializeResult(metadata={"new_opt_outs": 0, "ended": "complete: not read, for no opt-in waits"})
    try:
        with ometria.client(tenant.rules, engine) as client:
            found = read_unsubscribes(engine, client)
    except AccessRefused:
        raise
    except OmetriaError as error:
        if not scope.only_new:
            raise
        # The live run goes on: opt-outs and orders must not wait for this.
        waiting = unsubscribes.waiting(engine).opt_ins
        context.log.warning(
            f"Ometria's unsubscribes could not be read: {error} Contacts that opt in wait for the next run, {waiting} "
            "of them to be mapped; the others go."
        )
        context.instance.add_run_tags(context.run.run_id, {"ended": "with gaps"})
        gaps = "with gaps: could not be read, and contacts that opt in wait"
        return dg.MaterializeResult(metadata={"new_opt_outs": 0, "opt_ins_waiting": waiting, "ended": gaps})
    return dg.MaterializeResult(metadata={"new_opt_outs": found, "ended": "complete"})
