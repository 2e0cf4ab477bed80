"""PostgreSQL goes away in the middle of a run, or its disk is full (truths 1 to 10)."""

import pytest

from bc_ometria_tests.chaos import LONG, defects, long_form
from bc_ometria_tests.chaos.harness import Chaos, Defect
from bc_ometria_tests.chaos.postgres import full_disk
from bc_ometria_tests.chaos.truths import BATCH
from bc_ometria_tests.chaos.victim import At

ORDERS_SENT = At("after_call_before_acknowledgement", record_type="order")
EVENTS_SENT = At("after_call_before_acknowledgement", record_type="custom_event")

RESTARTS = [
    ORDERS_SENT,
    At("before_mirror_commits", time=5),
    At("before_documents_commit"),
    At("before_outbox_commits"),
    EVENTS_SENT,
    At("before_proof_commits"),
]


def a_restart(chaos: Chaos, moment: At, defect: Defect | None = None) -> None:
    """PostgreSQL dies and is back at once, while a process is at work; then others follow."""
    chaos.open_shop()
    victim = chaos.start(pause_at=moment, defect=defect)
    victim.wait_until_paused()
    with chaos.postgres.gone():
        pass
    victim.go_on()
    victim.end()
    chaos.resends_allowed += BATCH  # what was sent then could perhaps not be written down
    chaos.trade()
    chaos.until_quiet(defect=defect)


def an_outage(chaos: Chaos, moment: At, defect: Defect | None = None) -> None:
    """PostgreSQL dies, and is back only when the process has given up."""
    chaos.open_shop()
    victim = chaos.start(pause_at=moment, defect=defect)
    victim.wait_until_paused()
    with chaos.postgres.gone():
        victim.go_on()
        victim.wait_until_over()
    victim.end()
    chaos.resends_allowed += BATCH
    chaos.trade()
    chaos.until_quiet(defect=defect)


def a_full_disk(chaos: Chaos, moment: At, table: str = "%", defect: Defect | None = None) -> None:
    """The disk is full for a while; then there is room again."""
    chaos.open_shop()
    victim = chaos.start(pause_at=moment, defect=defect)
    victim.wait_until_paused()
    with full_disk(chaos.shop.engine, table):
        victim.go_on()
        victim.end()
        chaos.run(defect=defect)
    chaos.resends_allowed += BATCH
    chaos.trade()
    chaos.until_quiet(defect=defect)


@pytest.mark.parametrize("moment", RESTARTS if LONG else RESTARTS[:1], ids=str)
def test_postgresql_restarts(chaos: Chaos, moment: At) -> None:
    a_restart(chaos, moment)
    assert chaos.violations() == {}


@pytest.mark.parametrize(
    ("moment", "defect", "truth"),
    [
        (At("before_mirror_commits", time=5), defects.moves_watermark_before_commit, "watermark"),
        (At("before_documents_commit"), defects.settles_touches_before_documents, "nothing_vanishes"),
        (At("before_outbox_commits"), defects.marks_mapped_before_outbox, "nothing_vanishes"),
    ][: None if LONG else 1],
)
def test_a_defect_is_caught_by_the_restart(chaos: Chaos, moment: At, defect: Defect, truth: str) -> None:
    a_restart(chaos, moment, defect)
    assert truth in chaos.violations()


@long_form
@pytest.mark.parametrize("moment", [ORDERS_SENT, EVENTS_SENT, At("before_outbox_commits")], ids=str)
def test_postgresql_is_gone_for_a_while(chaos: Chaos, moment: At) -> None:
    an_outage(chaos, moment)
    assert chaos.violations() == {}


@long_form
def test_an_event_that_goes_again_is_caught_by_the_outage(chaos: Chaos) -> None:
    an_outage(chaos, EVENTS_SENT, defects.sends_events_again)
    assert "events_once" in chaos.violations()


@long_form
@pytest.mark.parametrize(
    ("moment", "tables"),
    [
        (At("after_mirror_commits", time=2), "%"),
        (ORDERS_SENT, "%"),
        (EVENTS_SENT, "%"),
        (At("after_mirror_commits", time=2), "blue_cherry%"),
        (At("after_mirror_commits"), "sales_orders"),
        (At("after_mirror_commits"), "order_events"),
        (ORDERS_SENT, "outbox"),
    ],
)
def test_the_disk_is_full(chaos: Chaos, moment: At, tables: str) -> None:
    a_full_disk(chaos, moment, tables)
    assert chaos.violations() == {}


@long_form
@pytest.mark.parametrize(
    ("moment", "tables", "defect", "truth"),
    [
        (At("after_mirror_commits"), "blue_cherry%", defects.moves_watermark_before_commit, "watermark"),
        (At("after_mirror_commits"), "sales_orders", defects.settles_touches_before_documents, "nothing_vanishes"),
        (At("after_mirror_commits"), "order_events", defects.marks_mapped_before_outbox, "nothing_vanishes"),
        (EVENTS_SENT, "%", defects.sends_events_again, "events_once"),
    ],
)
def test_a_defect_is_caught_by_the_full_disk(chaos: Chaos, moment: At, tables: str, defect: Defect, truth: str) -> None:
    a_full_disk(chaos, moment, tables, defect)
    assert truth in chaos.violations()
