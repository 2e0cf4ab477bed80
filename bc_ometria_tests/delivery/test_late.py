"""Truths 3 and 8: what is too late is not sent blind, and what may have been sent is not sent again."""

import pytest
from sqlalchemy import Engine, text

from bc_ometria.delivery.late import hold_late, hold_unknown, hold_unknown_batch
from bc_ometria.delivery.pace import release
from bc_ometria.rules import Rules
from bc_ometria.store import exceptions
from bc_ometria_tests.delivery.waiting import account, change, claim, event, order, waiting
from bc_ometria_tests.store.records import end_leases


@pytest.fixture
def sent(engine: Engine) -> Engine:
    """An event that is under way."""
    with engine.begin() as connection:
        exceptions.set_codes(connection, Rules.load().exceptions)
    waiting(engine, 90)
    release(engine, account())
    return engine


def opened(engine: Engine) -> list[tuple[str, str, str]]:
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT code, record_id, detail FROM bc_ometria.open_exceptions")).all()
    return [(row[0], row[1], row[2]) for row in rows]


def test_nothing_is_late_or_lost(sent: Engine) -> None:
    assert (hold_unknown(sent), hold_late(sent), opened(sent)) == (0, 0, [])


def test_an_event_past_the_cliff_is_a_journey_missed(sent: Engine) -> None:
    change(sent, "UPDATE bc_ometria.order_events SET happened_at = '2026-01-05 10:00+00', enters_until = now()")
    change(sent, "UPDATE bc_ometria.live_since SET at = '2026-01-01'")
    assert (hold_late(sent), hold_late(sent)) == (1, 0)
    said = "order_dispatched of order W0, 2026-01-05 10:00 UTC: the journey that it starts was missed"
    assert opened(sent) == [("event_too_late", "e0", said)]
    assert claim(sent) == []


def test_an_event_whose_call_got_no_reply_is_reported_and_not_sent_again(sent: Engine) -> None:
    call = claim(sent)
    change(sent, "UPDATE bc_ometria.order_events SET happened_at = '2026-01-05 10:00+00'")
    assert (hold_unknown_batch(sent, call), hold_unknown_batch(sent, call)) == (1, 0)
    said = "order_dispatched of order W0, 2026-01-05 10:00 UTC: it was sent, and no reply came"
    assert opened(sent) == [("event_outcome_unknown", "e0", said)]
    release(sent, account())
    assert claim(sent) == []


def test_an_event_whose_sender_died_is_reported_too(sent: Engine) -> None:
    assert len(claim(sent)) == 1
    assert hold_unknown(sent) == 0
    end_leases(sent)
    change(sent, "UPDATE bc_ometria.order_events SET enters_until = now()")
    assert (hold_unknown(sent), hold_late(sent)) == (1, 0)
    assert [code for code, *_ in opened(sent)] == ["event_outcome_unknown"]


def test_what_was_lost_may_have_started_journeys_and_keeps_its_place_in_the_pace(sent: Engine) -> None:
    hold_unknown_batch(sent, claim(sent))
    for record_id in ("e5", "e6"):
        order(sent, f"of {record_id}")
        event(sent, record_id, f"of {record_id}", ago_min=5)
    release(sent, account(contacts=2))
    assert len(claim(sent)) == 1
