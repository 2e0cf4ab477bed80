"""Ometria is away for six hours while thousands of orders are picked: afterwards each event goes in time and at
the pace, or is reported as a journey missed (P23; truths 1, 3 and 8).

Hours pass by moving the times in the database back.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from sqlalchemy import text

from bc_ometria.sandbox.ometria import Fault
from bc_ometria.store import stops
from bc_ometria_tests.chaos import LONG
from bc_ometria_tests.chaos import ometria_defects as defects
from bc_ometria_tests.chaos.harness import Chaos, Defect
from bc_ometria_tests.chaos.victim import At
from bc_ometria_tests.scenarios.shop import customer, header, line, stage

pytestmark = pytest.mark.skipif(not LONG, reason="runs with make chaos")

ORDERS, PACE = 20_000, 1_000
"""Of each order one event waits; all are of one type, for each has a pace of its own."""
WINDOW_S = 300
CLIFF_S = 4 * 3600
OUTAGE_S = 6 * 3600
STEPS_S = (90, 240)
"""How long after each other deliveries begin: one in two finds the pace used up."""

LATE, CROWDED = 0.3, 0.5
"""The share of the events that are past the cliff when Ometria is back, and of those that have at most a quarter of an
hour left: more than can go in that time."""


@dataclass
class Outage:
    """What waited when Ometria came back, and what became of it."""

    ages: dict[str, float]
    """How old each event was then, in seconds."""
    back_at: float
    passed: float = 0.0
    """Seconds that the times in the database were moved back since."""
    pushed_at: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    """When each event was pushed, in seconds after Ometria came back."""


def test_an_outage_of_six_hours(chaos: Chaos) -> None:
    outage = an_outage(chaos)
    late = {row["record_id"]: row for row in chaos.shop.exceptions("event_too_late")}
    chaos.tell(
        f"{len(outage.pushed_at):,} events went in {outage.passed / 60:.0f} minutes, {len(late):,} came too late"
    )
    assert wrong(outage) == []
    assert late.keys() == outage.ages.keys() - outage.pushed_at.keys()
    assert all("the journey that it starts was missed" in row["detail"] for row in late.values())
    # The newest were chosen, but for a few that lapsed while no delivery ran; three windows of the crowd went.
    oldest = max(outage.ages[id] for id in outage.pushed_at)
    assert sum(outage.ages[id] < oldest for id in late) <= PACE / 4
    assert len(outage.pushed_at) >= (1 - LATE - CROWDED) * ORDERS + 2.5 * PACE
    violations = chaos.violations()
    assert all(said.endswith("event_too_late") for said in violations.pop("held_alone"))
    assert violations == {}


@pytest.mark.parametrize(("defect", "what"), [(defects.keeps_no_pace, "went within"), (defects.knows_no_cliff, "late")])
def test_an_outage_under_a_defect(chaos: Chaos, defect: Defect, what: str) -> None:
    assert any(what in said for said in wrong(an_outage(chaos, defect)))


def wrong(outage: Outage) -> list[str]:
    """What went in a crowd, too late or twice."""
    times = sorted(at for pushed in outage.pushed_at.values() for at in pushed)
    most = max(bisect_left(times, at + WINDOW_S) - place for place, at in enumerate(times))
    found = [f"{most} events went within {WINDOW_S} s"] if most > PACE else []
    for id, pushed in outage.pushed_at.items():
        if max(pushed) + outage.ages[id] > CLIFF_S:
            found.append(f"event {id} went too late")
        if len(pushed) > 1:
            found.append(f"event {id} went {len(pushed)} times")
    return found


def an_outage(chaos: Chaos, defect: Defect | None = None) -> Outage:
    """Ometria goes, every order is picked, and Ometria comes back; until no event waits any more."""
    faults, pushes = chaos.shop.sandbox.account.faults, chaos.shop.sandbox.account.pushes
    chaos.account(pace={"contacts": PACE, "minutes": WINDOW_S // 60})
    chaos.resends_allowed = 10**9  # during the outage orders are tried again and again
    _place_orders(chaos)
    assert chaos.run().succeeded
    faults.arm(Fault(kind="server_error", calls=None))
    _pick_orders(chaos)
    chaos.run(die_at=At("before_call", 10))  # it would try for as long as anything is due
    faults.clear()
    stops.pause(chaos.shop.engine, "events")  # the orders go first, so that any of the events may be chosen
    chaos.end_waits()
    chaos.run(work="delivery")
    outage = _six_hours_later(chaos)
    stops.resume(chaos.shop.engine, "events")
    for seconds in _steps(chaos):
        before = len(pushes)
        chaos.run(work="delivery", defect=defect)
        for push in list(pushes)[before:]:
            for id in push.ids:
                outage.pushed_at[str(id)].append(push.at - outage.back_at + outage.passed)
        outage.passed += seconds
        _let_pass(chaos, seconds)
    return outage


def _steps(chaos: Chaos) -> Iterator[float]:
    """How long after each delivery the next one begins, until no event waits."""
    for _ in range(20):
        yield from STEPS_S
        if "wanted" not in chaos.shop.states("custom_event").values():
            return


def _numbers() -> list[str]:
    return [f"{at:010d}" for at in range(1, ORDERS + 1)]


def _place_orders(chaos: Chaos) -> None:
    shop = chaos.shop
    customers = {number: f"{int(number) // 10 + 1:08d}" for number in _numbers()}
    shop.write("customers", *map(customer, sorted(set(customers.values()))))
    of_customer = {code: {"customer": code, "email": f"canary.{code}@example.com"} for code in customers.values()}
    shop.write("orders", *(header(number, **of_customer[code]) for number, code in customers.items()))
    shop.write("order-lines", *(line(number) for number in _numbers()))
    shop.write("order-stages", *(stage(number) for number in _numbers()))


def _pick_orders(chaos: Chaos) -> None:
    shop = chaos.shop
    shop.at("2026-01-05 10:00")
    for pieces, name in ((0, "OP"), (2, "PK")):
        shop.write("order-stages", *(stage(number, 1, pieces, name, trans_date=shop.now) for number in _numbers()))


def _six_hours_later(chaos: Chaos) -> Outage:
    """The events happened in the last six hours, many of them in one quarter of an hour; and before that the store had
    followed Blue Cherry for a day already."""
    chaos.shop.change("UPDATE bc_ometria.live_since SET at = at - interval '1 day'")
    with chaos.shop.engine.begin() as connection:
        query = "SELECT record_id FROM bc_ometria.order_events WHERE event_type = 'order_picking'"
        ages = dict(zip(connection.execute(text(query)).scalars(), map(_age, range(ORDERS)), strict=True))
        now = connection.execute(
            text(
                "UPDATE bc_ometria.order_events e SET happened_at = now() - make_interval(secs => d.age), "
                "enters_until = now() + make_interval(secs => :cliff - d.age) "
                "FROM unnest(CAST(:ids AS text[]), CAST(:ages AS double precision[])) AS d (id, age) "
                "WHERE e.record_id = d.id RETURNING extract(epoch FROM now())"
            ),
            {"ids": list(ages), "ages": list(ages.values()), "cliff": CLIFF_S},
        ).scalars()
        return Outage(ages, float(next(now)))


def _age(place: int) -> float:
    """The age of the event with this place in the order of their age, the oldest first."""
    share = place / ORDERS
    if share < LATE:
        return OUTAGE_S - (OUTAGE_S - CLIFF_S) * share / LATE
    if share < LATE + CROWDED:
        return CLIFF_S - 900 * (share - LATE) / CROWDED
    return (CLIFF_S - 900) * (1 - share) / (1 - LATE - CROWDED)


def _let_pass(chaos: Chaos, seconds: float) -> None:
    for table, columns in (
        ("order_events", ("happened_at", "enters_until")),
        ("outbox", ("queued_at", "next_attempt", "leased_until", "accepted_at", "confirmed_at")),
    ):
        moved = ", ".join(f"{column} = {column} - make_interval(secs => :seconds)" for column in columns)
        chaos.shop.change(f"UPDATE bc_ometria.{table} SET {moved}", seconds=seconds)
