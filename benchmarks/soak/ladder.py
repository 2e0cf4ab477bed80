"""How long each change took from Blue Cherry to Ometria, step by step.

When a change was accepted is read from the pushes themselves: the first one whose record shows the change's mark. The
steps between are the store's own stamps of the version that was in that push, kept by a trigger for every version,
because the outbox knows the newest one only.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import orjson
from sqlalchemy import Engine, text

from bc_ometria.sandbox.ometria.journal import Version
from benchmarks.soak.trader import HEADER, Change

Pushed = Mapping[tuple[str, str], Sequence[Version]]
"""What Ometria was sent under each type and id, in order; ``at`` is when."""

STEPS = (
    "change → seen",
    "seen → assembled",
    "assembled → queued",
    "queued → accepted",
    "accepted → confirmed",
    "change → accepted",
    "change → confirmed",
)
"""``change`` is the commit in Blue Cherry by this machine's clock: its stamps, local times cut to the second and some
of them older, play no part. A contact is assembled when it is queued."""


def marks(record_type: str, payload: Mapping[str, Any]) -> dict[str, int]:
    """The newest change that a record shows in each place."""
    if record_type == "contact":
        return {HEADER: _number(payload.get("properties", {}).get("loyalty_number"))}
    of_lines = {
        item["product_id"]: _number(item.get("properties", {}).get("season")) for item in payload.get("lineitems", ())
    }
    return {HEADER: _number(payload.get("coupon_code")), **of_lines}


def _number(mark: object) -> int:
    return int(mark[1:]) if isinstance(mark, str) and mark[:1] in ("P", "S", "L") and mark[1:].isdigit() else 0


class Arrivals:
    """When each change was first in a push that Ometria accepted; what was found once is not looked for again."""

    def __init__(self) -> None:
        self.accepted_at: dict[int, float] = {}
        self._marks: dict[bytes, dict[str, int]] = {}

    def look(self, changes: Iterable[Change], pushed: Pushed) -> list[Change]:
        """The changes that are in no push yet."""
        return [change for change in changes if not self._has_arrived(change, pushed)]

    def _has_arrived(self, change: Change, pushed: Pushed) -> bool:
        if change.number in self.accepted_at:
            return True
        for version in pushed.get((change.record_type, change.record_id), ()):
            if self._marks_of(change.record_type, version).get(change.place, 0) >= change.number:
                self.accepted_at[change.number] = version.at
                return True
        return False

    def _marks_of(self, record_type: str, version: Version) -> dict[str, int]:
        if version.digest not in self._marks:
            self._marks[version.digest] = marks(record_type, orjson.loads(version.body))
        return self._marks[version.digest]


@dataclass(frozen=True)
class Stamps:
    """What the store noted of one version of a record, in seconds since the epoch."""

    seen: float | None
    assembled: float | None
    queued: float
    accepted: float | None
    confirmed: float | None


def keep_versions(engine: Engine) -> None:
    """Have PostgreSQL note every version that comes into the outbox, and when it is accepted and confirmed."""
    with engine.begin() as connection:
        connection.exec_driver_sql(
            """
            CREATE SCHEMA soak;
            CREATE TABLE soak.versions (
                record_type text, record_id text, version text, seen_at timestamptz, assembled_at timestamptz,
                queued_at timestamptz, accepted_at timestamptz, confirmed_at timestamptz
            );
            CREATE INDEX ON soak.versions (record_type, record_id);
            CREATE FUNCTION soak.note() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN
                IF NEW.wanted_version IS NOT NULL
                    AND (TG_OP = 'INSERT' OR NEW.wanted_version IS DISTINCT FROM OLD.wanted_version) THEN
                    INSERT INTO soak.versions VALUES (
                        NEW.record_type, NEW.record_id, NEW.wanted_version, NEW.seen_at,
                        (SELECT assembled_at FROM bc_ometria.sales_orders
                         WHERE NEW.record_type = 'order' AND ord_num = NEW.record_id),
                        NEW.queued_at, NULL, NULL
                    );
                END IF;
                IF TG_OP = 'UPDATE' AND NEW.accepted_at IS DISTINCT FROM OLD.accepted_at THEN
                    UPDATE soak.versions SET accepted_at = NEW.accepted_at
                    WHERE record_type = NEW.record_type AND record_id = NEW.record_id
                        AND version = NEW.sent_version AND accepted_at IS NULL;
                END IF;
                IF TG_OP = 'UPDATE' AND NEW.confirmed_at IS DISTINCT FROM OLD.confirmed_at THEN
                    UPDATE soak.versions SET confirmed_at = NEW.confirmed_at
                    WHERE record_type = NEW.record_type AND record_id = NEW.record_id
                        AND version = NEW.proved_version AND confirmed_at IS NULL;
                END IF;
                RETURN NULL;
            END $$;
            CREATE TRIGGER soak AFTER INSERT OR UPDATE ON bc_ometria.outbox
                FOR EACH ROW EXECUTE FUNCTION soak.note();
            """
        )


def kept_versions(engine: Engine) -> dict[tuple[str, str], list[Stamps]]:
    """What was noted of each record, in the order in which it was queued."""
    kept: dict[tuple[str, str], list[Stamps]] = {}
    with engine.connect() as connection:
        rows = connection.execute(
            text(
                "SELECT record_type, record_id, seen_at, assembled_at, queued_at, accepted_at, confirmed_at "
                "FROM soak.versions ORDER BY queued_at"
            )
        )
        for record_type, record_id, *stamps in rows:
            kept.setdefault((record_type, record_id), []).append(Stamps(*map(_seconds, stamps)))  # type: ignore[arg-type]
    return kept


def _seconds(at: datetime | None) -> float | None:
    return at.timestamp() if at else None


def steps(
    changes: Iterable[Change], accepted_at: Mapping[int, float], kept: Mapping[tuple[str, str], Sequence[Stamps]]
) -> dict[str, list[float]]:
    """The seconds that each step took, for every change that was accepted."""
    took: dict[str, list[float]] = {name: [] for name in STEPS}
    for change in changes:
        accepted = accepted_at.get(change.number)
        if accepted is None:
            continue
        took["change → accepted"].append(accepted - change.at)
        versions = kept.get((change.record_type, change.record_id), ())
        # The version in the push is the first whose acknowledgement is not older than it.
        sent = next((each for each in versions if each.accepted is not None and each.accepted >= accepted), None)
        if sent is None or sent.seen is None:
            continue
        took["change → seen"].append(sent.seen - change.at)
        if sent.assembled is not None:
            took["seen → assembled"].append(sent.assembled - sent.seen)
            took["assembled → queued"].append(sent.queued - sent.assembled)
        took["queued → accepted"].append(accepted - sent.queued)
        # A version that was overtaken before it was read back is confirmed with the one that overtook it.
        confirmed = min(
            (each.confirmed for each in versions if each.confirmed and each.confirmed >= accepted), default=0
        )
        if confirmed:
            took["accepted → confirmed"].append(confirmed - accepted)
            took["change → confirmed"].append(confirmed - change.at)
    return took


def percentile(seconds: Sequence[float], percent: float) -> float:
    """The seconds within which so many percent were; not a number where there were none."""
    return float(np.percentile(seconds, percent)) if seconds else float("nan")
