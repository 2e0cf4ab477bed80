"""Killed at each named step, and at moments that chance chooses: the next process finishes what was begun, and nothing
is told twice (P20, P23; truths 1 to 10)."""

import os
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
    *(At(step) for step in STEPS),
    At("before_acknowledgement_commits", record_type="custom_event"),
    At("after_claim", time=2),
]

WORDS = 1400
"""About as many as a process says on the first day."""

SEED = int(os.environ.get("CHAOS_SEED") or random.SystemRandom().randrange(10**6)) if LONG else 0
"""The first seed; the tests' names tell it."""

CAUGHT: list[tuple[Moment, Defect, str]] = [
    (At("before_mirror_commits", time=5), defects.moves_watermark_before_commit, "watermark"),
    (EVENTS_SENT, defects.sends_events_again, "events_once"),
    (At("before_outbox_commits"), defects.marks_mapped_before_outbox, "nothing_vanishes"),
    (At("before_documents_commit"), defects.settles_touches_before_documents, "nothing_vanishes"),
    (At("after_outbox_commits"), defects.makes_event_ids_anew, "events_once"),
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


def a_kill_with_many_calls_under_way(chaos: Chaos, defect: Defect | None = None) -> None:
    """Five calls were answered, and PostgreSQL has been too slow to write one of the answers down."""
    chaos.open_shop(customers=500, orders=10)
    victim = chaos.start(
        pause_at=At("after_claim"), die_at=At("after_call_before_acknowledgement", time=5), defect=defect
    )
    victim.wait_until_paused()
    with chaos.shop.engine.begin() as connection:
        connection.exec_driver_sql("LOCK TABLE bc_ometria.outbox IN EXCLUSIVE MODE")
        victim.go_on()
        assert victim.end().exit_code == SIGKILL
    chaos.until_quiet(defect=defect)


def kills_by_chance(chaos: Chaos, seed: int, defect: Defect | None = None) -> None:
    """Three processes in a row die, each just before some word to PostgreSQL, Blue Cherry or Ometria."""
    chance = random.Random(seed)
    chaos.open_shop()
    trades_after = chance.randrange(3)
    for at in range(3):
        moment = Word(chance.randint(1, WORDS))
        ended = chaos.run(die_at=moment, defect=defect)
        chaos.tell(f"{moment}: {'killed' if ended.exit_code == SIGKILL else 'had less to say'}")
        chaos.end_waits()
        if at == trades_after:
            chaos.trade()
    chaos.until_quiet(defect=defect)


@long_form
def test_a_process_is_killed_with_many_calls_under_way(chaos: Chaos) -> None:
    a_kill_with_many_calls_under_way(chaos)
    assert chaos.violations() == {}


@long_form
def test_sending_again_without_a_look_is_caught_by_that(chaos: Chaos) -> None:
    a_kill_with_many_calls_under_way(chaos, defects.sends_again_without_a_look)
    assert "resends" in chaos.violations()


@long_form
@pytest.mark.parametrize("seed", range(SEED, SEED + 6))
def test_processes_are_killed_by_chance(chaos: Chaos, seed: int) -> None:
    kills_by_chance(chaos, seed)
    assert chaos.violations() == {}


@long_form
def test_a_defect_is_caught_by_kills_by_chance(chaos: Chaos) -> None:
    kills_by_chance(chaos, SEED, defects.makes_event_ids_anew)
    assert "events_once" in chaos.violations()
