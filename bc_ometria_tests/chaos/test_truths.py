"""Truths that no crash tries hardest: each is violated by a planted defect in a process that nothing disturbs."""

import pytest

from bc_ometria_tests.chaos import defects, long_form
from bc_ometria_tests.chaos.harness import Chaos, Defect

CAUGHT: list[tuple[Defect, str]] = [
    (defects.prints_what_it_sends, "nothing_personal"),
    (defects.opts_in_by_default, "consent"),
    (defects.holds_the_neighbours, "held_alone"),
    (defects.sends_a_record_twice_in_a_call, "whole_calls"),
    (defects.writes_to_blue_cherry, "only_read"),
]


def nothing_disturbs(chaos: Chaos, defect: Defect | None = None) -> None:
    chaos.open_shop()
    chaos.run(defect=defect)
    chaos.trade()
    chaos.until_quiet(defect=defect, rounds=2)


@long_form
def test_all_truths_hold_where_nothing_disturbs(chaos: Chaos) -> None:
    nothing_disturbs(chaos)
    assert chaos.violations() == {}


@long_form
@pytest.mark.parametrize(("defect", "truth"), CAUGHT)
def test_a_defect_is_caught(chaos: Chaos, defect: Defect, truth: str) -> None:
    nothing_disturbs(chaos, defect)
    assert truth in chaos.violations()
