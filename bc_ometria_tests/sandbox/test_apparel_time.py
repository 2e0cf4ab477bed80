"""`apparel` moves through time: the same rows however it is advanced, in order, and stamped truly (F4)."""

import gc
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bc_ometria.sandbox.apparel import Apparel
from bc_ometria.sandbox.apparel.orders import Order
from bc_ometria.sandbox.apparel.people import CHANGES
from bc_ometria.sandbox.changes import Change, Write

START = datetime.fromisoformat("2026-01-05")
MINUTE = timedelta(minutes=1)


def shop(seed: int = 1, *, orders_per_day: int = 40, start: date = START) -> Apparel:
    apparel = Apparel(seed, customers=30, orders_per_day=orders_per_day, start=start)
    assert all(change.row["last_mod"] == apparel.now for change in apparel.catalogue() if isinstance(change, Write))
    return apparel


def advanced(apparel: Apparel, moments: list[datetime], **burst: int) -> list[Change]:
    return [change for moment in moments for change in apparel.advance(moment, **burst)]


def stamps(changes: list[Change]) -> list[datetime]:
    """The change stamps, but for headers that were written without moving theirs (quiet edits)."""
    last: dict[int, datetime] = {}
    found = []
    for change in changes:
        if isinstance(change, Write):
            stamp = change.row["last_mod"]
            if change.resource == "orders":
                if last.get(change.row["pkey"]) == stamp:
                    continue
                last[change.row["pkey"]] = stamp
            found.append(stamp)
    return found


def test_a_seed_gives_the_same_rows_and_another_gives_others() -> None:
    def write(seed: int) -> list[Change]:
        apparel = Apparel(seed, customers=30, orders_per_day=40)
        return [*apparel.catalogue(), *apparel.advance(START + timedelta(days=8))]

    assert write(1) == write(1)
    assert write(1) != write(2)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), cuts=st.lists(st.integers(0, 6 * 86400), max_size=12))
def test_rows_do_not_depend_on_how_time_is_cut_up(seed: int, cuts: list[int]) -> None:
    end = START + timedelta(days=6)
    moments = [START + timedelta(seconds=cut) for cut in sorted(cuts)]
    whole, parts = shop(seed), shop(seed)
    assert advanced(whole, [end]) == advanced(parts, [*moments, end])
    assert whole.happened == parts.happened
    assert whole.defects == parts.defects
    assert parts.now == end


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000), days=st.lists(st.floats(0.001, 12), min_size=1, max_size=4))
def test_changes_come_in_order_and_are_stamped_within_the_window(seed: int, days: list[float]) -> None:
    apparel = shop(seed)
    changes: list[Change] = []
    for step in days:
        begin = apparel.now
        window = list(apparel.advance(begin + timedelta(days=step)))
        before = len(stamps(changes))
        changes += window
        assert all(begin < stamp <= apparel.now for stamp in stamps(changes)[before:])
    found = stamps(changes)
    assert found == sorted(found)
    assert all(not stamp.microsecond and stamp.tzinfo is None for stamp in found)


def test_a_quiet_edit_moves_the_amounts_but_not_the_stamp_of_the_header() -> None:
    """F2: only the line's stamp moved, and yet the order's total is another."""
    headers: dict[int, dict] = {}
    moved = Counter[bool]()
    apparel = shop(orders_per_day=200)
    for change in apparel.advance(START + timedelta(days=10)):
        if isinstance(change, Write) and change.resource == "orders":
            row = dict(change.row)
            before = headers.get(row["pkey"])
            if before and before["last_mod"] == row["last_mod"] < apparel.now:
                assert before | {name: row[name] for name in ("sub_total", "disc_amt", "tax_amt", "ord_total")} == row
                moved[before["ord_total"] != row["ord_total"]] += 1
            headers[row["pkey"]] = row
    assert moved[True] == apparel.happened["quiet quantity edit"] > 5
    assert not moved[False]


def test_a_move_of_house_does_not_move_the_stamp_of_the_customer() -> None:
    apparel = Apparel(3, customers=50, orders_per_day=0)
    customers = {c.row["customer"]: c.row["last_mod"] for c in apparel.catalogue() if c.resource == "customers"}
    changes = advanced(apparel, [START + MINUTE], customers_per_minute=60)
    moved = {c.row["customer"] for c in changes if c.resource == "stores" and c.row["default_ok"]}
    touched = {c.row["customer"] for c in changes if c.resource == "customers"}
    assert moved - touched
    assert moved <= customers.keys()


@pytest.mark.parametrize("cuts", [1, 7, 240])
def test_a_burst_has_exactly_the_rate_asked_for(cuts: int) -> None:
    apparel = shop(orders_per_day=0)
    assert not any("order" in change.resource for change in apparel.advance(START + timedelta(hours=1)))
    begin = apparel.now
    apparel.happened.clear()
    moments = [begin + 4 * MINUTE * cut / cuts for cut in range(1, cuts + 1)]
    changes = advanced(apparel, moments, orders_per_minute=300, customers_per_minute=60)
    arrived: dict[str, datetime] = {}
    for change in changes:
        if isinstance(change, Write) and change.resource in ("orders", "order-lines"):
            arrived.setdefault(change.row["ord_num"], change.row["last_mod"])
    minutes = Counter((at - timedelta(seconds=1)).replace(second=0) for at in arrived.values())
    assert minutes == {begin + minute * MINUTE: 300 for minute in range(4)}
    assert sum(apparel.happened[kind] for kind in CHANGES) == 240
    whole = shop(orders_per_day=0)
    advanced(whole, [begin])
    assert changes == advanced(whole, moments[-1:], orders_per_minute=300, customers_per_minute=60)


def test_local_time_is_true_through_both_changes_of_the_clocks() -> None:
    for start, back in ((date(2026, 3, 28), False), (date(2026, 10, 24), True)):
        apparel = shop(orders_per_day=2000, start=start)
        found = stamps(advanced(apparel, [apparel.now + timedelta(days=2)]))
        jumps = [later - earlier for earlier, later in pairwise(found) if later < earlier]
        assert bool(jumps) == back
        assert len(jumps) <= 1
        spring = datetime.fromisoformat("2026-03-29 01:00:00")
        assert not any(spring <= stamp < spring + timedelta(hours=1) for stamp in found)


def test_times_may_carry_an_offset() -> None:
    local, aware = shop(start=date(2026, 6, 1)), shop(start=datetime(2026, 5, 31, 23, tzinfo=UTC))
    assert local.now == aware.now
    end = datetime(2026, 6, 3, tzinfo=ZoneInfo("Europe/London"))
    assert advanced(local, [end.replace(tzinfo=None)]) == advanced(aware, [end.astimezone(UTC)])
    assert aware.now == end.replace(tzinfo=None)


def test_closed_orders_are_forgotten() -> None:
    apparel = shop(orders_per_day=0)
    advanced(apparel, [START + 2 * MINUTE], orders_per_minute=300)
    gc.collect()
    assert sum(isinstance(thing, Order) for thing in gc.get_objects()) > 500
    advanced(apparel, [START + timedelta(days=90)])
    gc.collect()
    assert sum(isinstance(thing, Order) for thing in gc.get_objects()) == 0


def test_misuse_is_refused() -> None:
    apparel = Apparel(customers=5, orders_per_day=1)
    with pytest.raises(RuntimeError, match="catalogue first"):
        apparel.advance(START)
    list(apparel.catalogue())
    with pytest.raises(RuntimeError, match="already"):
        apparel.catalogue()
    with pytest.raises(ValueError, match="2026-01-05"):
        apparel.advance(START - MINUTE)
