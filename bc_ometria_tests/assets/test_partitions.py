"""What a run takes of a partition, and that materialising again is always safe."""

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from bc_ometria.automation.partitions import change_day
from bc_ometria.config import load_profile
from bc_ometria.resources import day_of
from bc_ometria_tests.scenarios.shop import (
    MONDAY,
    TUESDAY,
    WEDNESDAY,
    Shop,
    causes,
    customer,
    header,
    line,
    metadata,
    stage,
)

FIRST, SECOND, THIRD = "0000001001", "0000001002", "0000001003"


@pytest.fixture
def three_days(shop: Shop) -> Shop:
    """One customer on Monday, and an order on each of three days."""
    shop.write("customers", customer())
    shop.order(FIRST)
    shop.at("2026-01-06 10:00")
    shop.order(SECOND, pieces=(1, 3))
    shop.at("2026-01-07 10:00")
    shop.order(THIRD)
    return shop


def test_the_live_lane_takes_all_days_and_contacts_go_before_orders(three_days: Shop) -> None:
    """P23: the parent first."""
    result = three_days.sync()
    assert result.success
    assert three_days.states() == {FIRST: "confirmed", SECOND: "confirmed", THIRD: "confirmed"}
    assert three_days.states("contact") == {"00000001": "confirmed"}
    assert sorted(three_days.pushed) == ["00000001", FIRST, SECOND, THIRD]
    assert {order["grand_total"] for order in three_days.orders().values()} == {100.0, 200.0}
    assert metadata(result, "blue_cherry", "orders")["took"] == "only what is new"
    assert metadata(result, "ometria", "orders") == {"records_changed": 3, "records_wanted": 3, "ended": "complete"}
    assert metadata(result, "delivery", "orders")["confirmed"] == 3


@pytest.mark.parametrize(("day", "number", "customers"), [(MONDAY, FIRST, 1), (TUESDAY, SECOND, 0)])
def test_a_run_by_hand_takes_its_whole_day_and_a_second_time_sends_nothing(
    three_days: Shop, day: str, number: str, customers: int
) -> None:
    result = three_days.redo(day)
    assert metadata(result, "blue_cherry", "orders")["took"] == "the whole day"
    assert metadata(result, "blue_cherry", "customers")["rows_read"] == customers
    assert three_days.states() == {number: "confirmed"}
    sent, orders = three_days.pushed, three_days.orders()
    again = three_days.redo(day)
    assert again.success
    assert sorted(three_days.pushed) == sorted(sent)
    assert three_days.orders() == orders
    assert metadata(again, "blue_cherry", "orders")["rows_read"] == 1
    assert metadata(again, "blue_cherry", "orders")["rows_changed"] == 0
    assert metadata(again, "ometria", "orders")["records_changed"] == 0


def test_after_the_live_lane_no_day_has_anything_left_to_send(three_days: Shop) -> None:
    """Nor does it ask Ometria anything but who opted out meanwhile: what is proved is proved."""
    three_days.sync()
    counts = three_days.sandbox.account.counts
    calls = counts.calls - Counter({"GET /v2/unsubscribes": counts.calls["GET /v2/unsubscribes"]})
    for day in (WEDNESDAY, MONDAY, TUESDAY):
        assert causes(three_days.redo(day)) == {}
    assert counts.calls - Counter({"GET /v2/unsubscribes": counts.calls["GET /v2/unsubscribes"]}) == calls


def test_the_live_lane_after_days_by_hand_sends_nothing_twice(three_days: Shop) -> None:
    """A day by hand moves no watermark: the live lane still reads everything, and knows it."""
    three_days.redo(TUESDAY)
    three_days.sync()
    assert sorted(three_days.pushed) == ["00000001", FIRST, SECOND, THIRD]  # type: ignore[type-var]


def test_the_live_lane_reads_only_from_the_watermark_on(three_days: Shop) -> None:
    three_days.sync()
    three_days.at("2026-01-07 11:00")
    three_days.order("0000001004")
    result = three_days.sync()
    assert metadata(result, "blue_cherry", "orders")["rows_read"] == 2  # the newest one again, and the new one
    assert metadata(result, "blue_cherry", "orders")["rows_changed"] == 1
    assert metadata(result, "sales", "orders") == {"orders_assembled": 1, "orders_changed": 1}
    assert three_days.pushed[4:] == ["0000001004"]


def test_redoing_tuesday_finds_what_was_stamped_behind_the_watermark(three_days: Shop) -> None:
    """A row that Blue Cherry commits a day late, with Tuesday's stamp: the live lane does not look there."""
    three_days.sync()
    late = {"last_mod": "2026-01-06 15:00:00"}
    number = "0000001009"
    three_days.write("orders", header(number, **late))
    three_days.write("order-lines", line(number, **late))
    three_days.write("order-stages", stage(number, **late))
    three_days.sync()
    assert number not in three_days.states()
    sent = len(three_days.pushed)
    result = three_days.redo(TUESDAY)
    assert three_days.states()[number] == "confirmed"
    assert three_days.pushed[sent:] == [number]
    assert metadata(result, "ometria", "orders")["records_changed"] == 1


def test_redoing_tuesday_after_new_rules_sends_that_day_anew(three_days: Shop) -> None:
    three_days.sync()
    sent = len(three_days.pushed)
    (three_days.rules_folder / "divisions.yaml").write_text(
        '"100": {store: flagship, currency: GBP, country: GB, brand: Women, marketing: true}\n'
    )
    assert three_days.redo(TUESDAY).success
    assert three_days.pushed[sent:] == [SECOND]
    stores = {number: order["store"] for number, order in three_days.orders().items()}
    assert stores == {FIRST: "uk", SECOND: "flagship", THIRD: "uk"}
    assert three_days.sync().success
    assert {order["store"] for order in three_days.orders().values()} == {"flagship"}
    assert {tuple(contact["store_ids"]) for contact in three_days.contacts().values()} == {("flagship",)}


def test_one_group_can_be_redone_by_itself(three_days: Shop) -> None:
    assert three_days.redo(MONDAY, "blue_cherry").success
    assert three_days.redo(MONDAY, "ometria").success  # nothing is assembled yet
    assert three_days.states() == {}
    assert three_days.redo(MONDAY, "sales", "ometria").success
    assert three_days.states() == {FIRST: "wanted"}
    assert three_days.pushes == 0
    assert three_days.redo(MONDAY, "delivery").success
    assert three_days.states() == {FIRST: "confirmed"}


def test_redoing_tuesday_brings_an_order_that_changed_again_on_wednesday(three_days: Shop) -> None:
    """A day holds every order of which a row is stamped on it, not only those that have rested since."""
    three_days.write("orders", header(SECOND, "200.00", ord_status="A"))
    three_days.sync()
    late = {"last_mod": "2026-01-06 15:00:00"}
    three_days.write("order-lines", line(SECOND, 2, 3, season="AW26", **late))
    three_days.redo(TUESDAY)
    assert three_days.orders()[SECOND]["lineitems"][1]["properties"]["season"] == "AW26"


@pytest.mark.parametrize(("day", "hours"), [("2026-03-29", 23), ("2026-10-25", 25), (MONDAY, 24)])
def test_a_day_has_every_stamp_of_its_hours_however_many(day: str, hours: int) -> None:
    """A stamp of the hour that autumn repeats belongs to that day, whichever of the two it means."""
    begin, end = day_of(day)
    zone = load_profile().zone
    midnight = begin.replace(tzinfo=zone).astimezone(UTC)
    assert end.replace(tzinfo=zone).astimezone(UTC) - midnight == timedelta(hours=hours)
    stamps = [(midnight + timedelta(minutes=n)).astimezone(zone).replace(tzinfo=None) for n in range(60 * hours)]
    assert all(begin <= stamp < end for stamp in stamps)
    next_day = f"{end:%Y-%m-%d}"
    assert day_of(next_day)[0] == end
    keys = change_day.get_partition_keys(datetime(2027, 1, 1, tzinfo=UTC))
    assert keys[keys.index(day) + 1] == next_day
