"""The parts of ``make soak``: it finds every change in what Ometria was sent, and cannot pass blindly (F2, F4, P7)."""

import json
from collections.abc import Iterator
from dataclasses import replace
from math import isnan

import pytest
from sqlalchemy import text

from bc_ometria.demo.run import compare
from bc_ometria.sandbox.ometria.journal import Version
from bc_ometria_tests.scenarios.shop import Shop
from benchmarks.soak import ladder
from benchmarks.soak.__main__ import Soaked
from benchmarks.soak.ladder import Arrivals, Stamps
from benchmarks.soak.trader import HEADER, Change, Trader
from benchmarks.soak.verdict import LONGEST_P95_S, Outcome, doubled, unaccounted, verdict

KINDS = {
    "new order": "_place",
    "new order, committed late": "_place_late",
    "header": "_edit_header",
    "line alone": "_edit_line",
    "quantity, header's stamp unmoved": "_edit_quantity",
    "line deleted": "_delete_line",
    "shipped": "_ship",
    "cancelled": "_cancel",
    "customer": "_change_customer",
}


@pytest.fixture
def trader(shop: Shop) -> Iterator[Trader]:
    """A shop that has traded nothing yet; everything it has is in Ometria."""
    account = shop.sandbox.account
    account.settings = account.settings.changed({"history": True})
    ladder.keep_versions(shop.engine)
    trader = Trader(shop.sandbox.blue_cherry, shop.sandbox.blue_cherry_url)
    trader.open_shop(customers=5, orders=12)
    assert shop.sync().success
    yield trader
    shop.change("DROP TRIGGER soak ON bc_ometria.outbox")
    shop.change("DROP SCHEMA soak CASCADE")


def seen(shop: Shop, trader: Trader, **changed: object) -> Outcome:
    """What a soak would judge now."""
    arrivals, pushed = Arrivals(), shop.sandbox.account.history
    lost = arrivals.look(trader.changes, pushed)
    kept = ladder.kept_versions(shop.engine)
    contacts, orders, events = compare(shop.engine, shop.sandbox.environment())
    outcome = Outcome(
        contacts=contacts,
        orders=orders,
        events=events,
        pushed=pushed,
        held={},
        changes=list(trader.changes),
        lost=lost,
        change_to_accepted=ladder.steps(trader.changes, arrivals.accepted_at, kept)["change → accepted"],
        expected_changes=len(trader.changes),
        killed_run=True,
        waiting=False,
    )
    return replace(outcome, **changed)  # type: ignore[arg-type]


def broken(outcome: Outcome) -> list[str]:
    return [line.name for line in verdict(outcome) if not line.holds]


def test_every_kind_of_change_is_found_in_what_ometria_was_sent(shop: Shop, trader: Trader) -> None:
    for minute, (kind, change) in enumerate(KINDS.items(), 1):
        shop.at(f"2026-01-05 09:{minute:02d}")
        getattr(trader, change)()
        arrivals = Arrivals()
        unsent = arrivals.look(trader.changes, shop.sandbox.account.history)
        assert [each.kind for each in unsent] == [kind], "a change that was not read yet is in no push"
        assert shop.sync().success
        assert arrivals.look(trader.changes, shop.sandbox.account.history) == [], kind
    assert list(trader.kinds) == list(KINDS)
    assert broken(seen(shop, trader)) == []
    took = ladder.steps(trader.changes, arrivals.accepted_at, ladder.kept_versions(shop.engine))
    of_orders = len(KINDS) - 1
    assert {name: len(seconds) for name, seconds in took.items()} == {
        name: of_orders if "assembled" in name else len(KINDS) for name in ladder.STEPS
    }
    assert all(second >= 0 for seconds in took.values() for second in seconds)


def test_changes_of_one_record_that_went_together_are_all_found(shop: Shop, trader: Trader) -> None:
    for _ in range(40):
        trader._edit_header()
        trader._edit_line()
    assert shop.sync().success
    assert Arrivals().look(trader.changes, shop.sandbox.account.history) == []


def test_a_lost_change_is_caught(shop: Shop, trader: Trader) -> None:
    trader._edit_line()
    assert shop.sync().success
    trader._edit_quantity()
    outcome = seen(shop, trader)
    assert broken(outcome) == ["every record is confirmed equal or held"]
    (change,) = outcome.lost
    assert any(f"change {change.number} (quantity" in told for told in unaccounted(outcome))
    assert any("grand_total" in told for told in unaccounted(outcome)), "the audit sees it by itself"
    held = {("order", change.record_id): "unmapped_status"}
    assert not any(told.startswith("change ") for told in unaccounted(replace(outcome, held=held)))


def test_a_doubled_event_is_caught(shop: Shop, trader: Trader) -> None:
    trader._ship()
    assert shop.sync().success
    outcome = seen(shop, trader)
    once = Version(b"", "request", 1.0, b"{}")
    pushed = {**outcome.pushed, ("custom_event", "e1"): [once], ("custom_event", "e2"): [once, once]}
    assert doubled(pushed) == {"e2": 2}
    assert broken(replace(outcome, pushed=pushed)) == ["no event is doubled"]


def test_each_line_can_fail(shop: Shop, trader: Trader) -> None:
    trader._edit_header()
    assert shop.sync().success
    outcome, too_long = seen(shop, trader), f"change → accepted, p95 ≤ {LONGEST_P95_S:.0f} s"
    of_orders, of_events = replace(outcome.orders, unaccounted=["order 1"]), replace(outcome.events, wrong=["event 1"])
    for changed, line in (
        ({"orders": of_orders}, "every record is confirmed equal or held"),
        ({"events": of_events}, "every event fits its order"),
        ({"change_to_accepted": [LONGEST_P95_S + 1.0]}, too_long),
        ({"change_to_accepted": []}, too_long),
        ({"waiting": True}, "nothing waits in the end"),
        ({"expected_changes": 2}, "the shop kept its pace"),
        ({"killed_run": False}, "the daemon was killed with a run in flight"),
    ):
        assert broken(replace(outcome, **changed)) == [line]
        soaked = Soaked(replace(outcome, **changed), verdict(replace(outcome, **changed)), {}, [], {})
        assert not soaked.passed
    figures = Soaked(outcome, verdict(outcome), {}, [], {}).figures()
    assert set(figures) >= {"change_to_accepted_p50_s", "change_to_accepted_p95_s", "unaccounted", "doubled_events"}
    assert (figures["passed"], figures["unaccounted"], figures["doubled_events"], figures["changes"]) == (True, 0, 0, 1)


def test_the_ladder_takes_the_version_that_was_sent(shop: Shop) -> None:
    """Of three versions of an order the second went; a change that went with it is confirmed with the third."""
    change = Change(7, 100.0, "header", "order", "A1")
    kept = {
        ("order", "A1"): [
            Stamps(90.0, 91.0, 92.0, 93.0, 94.0),
            Stamps(101.5, 103.0, 104.0, 110.2, None),
            Stamps(120.0, 121.0, 122.0, 125.0, 130.0),
        ]
    }
    took = ladder.steps([change, Change(8, 100.0, "header", "order", "A1")], {7: 110.0}, kept)
    assert {name: seconds[0] for name, seconds in took.items()} == {
        "change → seen": 1.5,
        "seen → assembled": 1.5,
        "assembled → queued": 1.0,
        "queued → accepted": 6.0,
        "accepted → confirmed": 20.0,
        "change → accepted": 10.0,
        "change → confirmed": 30.0,
    }
    assert all(len(seconds) == 1 for seconds in took.values()), "one that was never accepted has no time"


def test_percentiles() -> None:
    assert ladder.percentile([float(second) for second in range(101)], 95) == 95
    assert isnan(ladder.percentile([], 95))


def test_marks_are_read_where_they_were_left() -> None:
    line = {"product_id": "100-SOAK1", "properties": {"season": "S0000012"}}
    order = {"coupon_code": "P0000003", "lineitems": [line, {"product_id": "100-X", "properties": {"season": "AW26"}}]}
    assert ladder.marks("order", order) == {HEADER: 3, "100-SOAK1": 12, "100-X": 0}
    assert ladder.marks("contact", {"properties": {"loyalty_number": "L0000009"}}) == {HEADER: 9}
    assert ladder.marks("contact", {}) == {HEADER: 0}


def test_versions_are_kept_as_they_come(shop: Shop, trader: Trader) -> None:
    trader._edit_header()
    shop.sync()
    number = trader.changes[-1].record_id
    with shop.engine.connect() as connection:
        payload = connection.execute(
            text("SELECT payload FROM bc_ometria.outbox WHERE record_type = 'order' AND record_id = :id"),
            {"id": number},
        ).scalar_one()
    assert json.loads(payload)["coupon_code"] == f"P{trader.changes[-1].number:07d}"
    first, second = ladder.kept_versions(shop.engine)["order", number]
    for stamps in (first, second):
        in_order = [stamps.seen, stamps.assembled, stamps.queued, stamps.accepted, stamps.confirmed]
        known = [second for second in in_order if second is not None]
        assert len(known) == len(in_order)
        assert known == sorted(known)
