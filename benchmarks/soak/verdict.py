"""What must be true in the end."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bc_ometria.demo import audit
from benchmarks.soak.ladder import Pushed, percentile
from benchmarks.soak.trader import Change

LONGEST_P95_S = 60.0
"""From a change in Blue Cherry to Ometria's acceptance (F4)."""

_SHOWN = 10


@dataclass(frozen=True)
class Outcome:
    """All that the verdict looks at.

    ``lost`` are changes that no push shows; ``waiting`` says whether something still waited in the store, or was under
    way; ``expected_changes`` is what the shop should have made; ``killed_run`` whether a run was in flight when the
    daemon was killed.
    """

    contacts: audit.Account
    orders: audit.Account
    events: audit.EventAccount
    pushed: Pushed
    held: Mapping[tuple[str, str], str]
    """The reason of each record that is held."""
    changes: Sequence[Change]
    lost: Sequence[Change]
    change_to_accepted: Sequence[float]
    expected_changes: int
    killed_run: bool
    waiting: bool


def doubled(pushed: Pushed) -> dict[str, int]:
    """The custom events that were sent more than once, and how often."""
    return {
        record_id: len(versions)
        for (record_type, record_id), versions in pushed.items()
        if record_type == "custom_event" and len(versions) > 1
    }


def unaccounted(outcome: Outcome) -> list[str]:
    """Records that are neither confirmed equal nor held, and changes that never came to Ometria."""
    never = [
        f"change {change.number} ({change.kind}) of {change.record_type} {change.record_id[-4:]} was never sent"
        for change in outcome.lost
        if (change.record_type, change.record_id) not in outcome.held
    ]
    accounts = (outcome.contacts, outcome.orders)
    return [*never, *(text for account in accounts for text in (*account.unaccounted, *account.differing))]


@dataclass(frozen=True)
class Line:
    """One line of the verdict: what must hold, whether it does, and what was found."""

    name: str
    holds: bool
    found: str


def verdict(outcome: Outcome) -> list[Line]:
    """Every line; the soak has passed where all of them hold."""
    of_none, twice, wrong = unaccounted(outcome), doubled(outcome.pushed), outcome.events.wrong
    p95 = percentile(outcome.change_to_accepted, 95)
    share = len(outcome.changes) / outcome.expected_changes if outcome.expected_changes else 0.0
    held = outcome.contacts.held + outcome.orders.held
    equal = outcome.contacts.equal + outcome.orders.equal
    return [
        Line(
            "every record is confirmed equal or held",
            not of_none,
            _some(of_none) or f"{equal:,} equal, {sum(held.values()):,} held{_told(held)}",
        ),
        Line(
            "no event is doubled",
            not twice,
            _some([f"event {record_id} was sent {times} times" for record_id, times in twice.items()])
            or f"{sum(outcome.events.in_ometria.values()):,} events",
        ),
        Line("every event fits its order", not wrong, _some(wrong) or "none differs"),
        Line(
            f"change → accepted, p95 ≤ {LONGEST_P95_S:.0f} s",
            p95 <= LONGEST_P95_S,
            f"{p95:.1f} s",
        ),
        Line("nothing waits in the end", not outcome.waiting, "something does" if outcome.waiting else "nothing does"),
        Line(
            "the shop kept its pace",
            share >= 0.95,
            f"{len(outcome.changes):,} of {outcome.expected_changes:,} changes",
        ),
        Line(
            "the daemon was killed with a run in flight",
            outcome.killed_run,
            "once, and started again" if outcome.killed_run else "no run was in flight",
        ),
    ]


def _some(texts: Sequence[str]) -> str:
    rest = len(texts) - _SHOWN
    return "; ".join(texts[:_SHOWN]) + (f"; and {rest} more" if rest > 0 else "")


def _told(counts: Counter[str]) -> str:
    told = ", ".join(f"{number} {reason}" for reason, number in counts.most_common())
    return f" ({told})" if told else ""
