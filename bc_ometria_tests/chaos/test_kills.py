"""Killed at each named step, and at moments that chance chooses: the next process finishes what was begun, and nothing
is told twice (P20, P23; truths 1 to 10)."""

import random

import pytest

from bc_ometria_tests.chaos import LONG, defects, long_form
from bc_ometria_tests.chaos.harness import SIGKILL, Chaos, Defect
from bc_ometria_tests.chaos.victim import STEPS, At, Moment, Word

ORDERS_SENT = At("after_call_before_acknowledgement", record_type="order")
EVENTS_SENT = At("after_call_before_acknowledgement", record_type="custom_event")

MOMENTS: list[Moment] = [
    At("before_mirror_commits", time=5),
    ORDERS_SENT,
    EVENTS_SENT,
    At("between_acknowledgement_and_watermark"),
    *(At(step) for step in STEPS),
    At("before_acknowledgement_commits", record_type="custom_event"),
    At("after_claim", time=2),
]

CAUGHT: list[tuple[Moment, Defect, str]] = [
    (At("before_mirror_commits", time=5), defects.moves_watermark_before_commit, "watermark"),
    (EVENTS_SENT, defects.sends_events_again, "events_once"),
    (At("before_outbox_commits"), defects.marks_mapped_before_outbox, "nothing_vanishes"),
    (At("before_documents_commit"), defects.settles_touches_before_documents, "nothing_vanishes"),
    (At("after_outbox_commits"), defects.makes_event_ids_anew, "events_once"),
    (ORDERS_SENT, defects.forgets_acknowledgements, "resends"),
    (At("between_acknowledgement_and_watermark"), defects.acknowledges_what_was_not_sent, "newest_last"),
]


def a_kill(chaos: Chaos, moment: Moment, defect: Defect | None = None) -> None:
    """A process dies, Blue Cherry goes on, and others come after it."""
    chaos.open_shop()
    assert chaos.run(die_at=moment, defect=defect).exit_code == SIGKILL
    chaos.trade()
    chaos.until_quiet(defect=defect)


@pytest.mark.parametrize("moment", MOMENTS if LONG else MOMENTS[:2], ids=str)
def test_a_process_is_killed(chaos: Chaos, moment: Moment) -> None:
    a_kill(chaos, moment)
    assert chaos.violations() == {}


@pytest.mark.parametrize(("moment", "defect", "truth"), CAUGHT if LONG else CAUGHT[:2])
def test_a_defect_is_caught_by_the_kill(chaos: Chaos, moment: Moment, defect: Defect, truth: str) -> None:
    a_kill(chaos, moment, defect)
    assert truth in chaos.violations()


def kills_by_chance(chaos: Chaos, seed: int, defect: Defect | None = None) -> None:
    """Three processes in a row die, each just before some word to PostgreSQL, Blue Cherry or Ometria."""
    chance = random.Random(seed)
    chaos.open_shop()
    for _ in range(3):
        moment = Word(chance.randint(1, 1400))
        chaos.tell(f"seed {seed}, {moment}")
        chaos.run(die_at=moment, defect=defect)
        chaos.end_waits()
        if chance.random() < 0.5:
            chaos.trade()
    chaos.until_quiet(defect=defect)


@long_form
@pytest.mark.parametrize("seed", [random.randrange(10**6) for _ in range(6)] if LONG else [0])
def test_processes_are_killed_by_chance(chaos: Chaos, seed: int) -> None:
    kills_by_chance(chaos, seed)
    assert chaos.violations() == {}
