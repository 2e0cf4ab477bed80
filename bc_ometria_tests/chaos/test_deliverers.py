"""Two processes at once, and orders that change while they are on their way (P3, P20; truths 1 to 4)."""

import pytest

from bc_ometria_tests.chaos import defects, long_form
from bc_ometria_tests.chaos.harness import Chaos, Defect
from bc_ometria_tests.chaos.victim import At

CLAIMED = At("before_call", record_type="order")
SENT = At("after_call_before_acknowledgement", record_type="order")


def two_deliverers(chaos: Chaos, defect: Defect | None = None) -> None:
    """Both come to claim at the same moment, and both go on at once."""
    chaos.open_shop()
    chaos.run(work="mapping", defect=defect)
    both = [chaos.start(work="delivery", pause_at="before_claim", defect=defect) for _ in range(2)]
    for each in both:
        each.wait_until_paused()
    for each in both:
        each.go_on()
    for each in both:
        each.end()
    chaos.until_quiet(defect=defect)


def changes_in_flight(chaos: Chaos, moment: At, defect: Defect | None = None) -> None:
    """Orders and people change in Blue Cherry, and a second process maps and sends them, while the first is sending
    what they were before."""
    chaos.open_shop()
    first = chaos.start(pause_at=moment, defect=defect)
    first.wait_until_paused()
    chaos.trade()
    chaos.run(work="mapping" if moment == SENT else "live_sync", defect=defect)
    first.go_on()
    first.end()
    chaos.until_quiet(defect=defect)


def sleeps_past_its_lease(chaos: Chaos, moment: At, defect: Defect | None = None) -> None:
    """The machine of a process sleeps when it has claimed, and wakes when another process has sent what is newer."""
    chaos.open_shop()
    first = chaos.start(pause_at=moment, defect=defect)
    first.wait_until_paused()
    chaos.trade()
    chaos.until_quiet(defect=defect)
    first.go_on(after_sleep=3600)
    first.end()
    chaos.until_quiet(defect=defect)


def test_two_deliverers(chaos: Chaos) -> None:
    two_deliverers(chaos)
    assert chaos.violations() == {}


def test_a_claim_without_lease_is_caught_by_two_deliverers(chaos: Chaos) -> None:
    two_deliverers(chaos, defects.claims_without_lease)
    assert "resends" in chaos.violations()


@long_form
@pytest.mark.parametrize("moment", [CLAIMED, SENT], ids=str)
def test_an_order_changes_in_flight(chaos: Chaos, moment: At) -> None:
    changes_in_flight(chaos, moment)
    assert chaos.violations() == {}


@long_form
@pytest.mark.parametrize(
    ("moment", "defect"), [(CLAIMED, defects.claims_without_lease), (SENT, defects.acknowledges_without_version)]
)
def test_a_defect_is_caught_by_a_change_in_flight(chaos: Chaos, moment: At, defect: Defect) -> None:
    changes_in_flight(chaos, moment, defect)
    assert "newest_last" in chaos.violations()


@long_form
@pytest.mark.parametrize("moment", [CLAIMED, At("after_claim", time=2)], ids=str)
def test_a_process_sleeps_past_its_lease(chaos: Chaos, moment: At) -> None:
    sleeps_past_its_lease(chaos, moment)
    assert chaos.violations() == {}


@long_form
def test_a_call_that_begins_too_late_is_caught_by_the_sleep(chaos: Chaos) -> None:
    sleeps_past_its_lease(chaos, CLAIMED, defects.starts_calls_however_late)
    assert "newest_last" in chaos.violations()
