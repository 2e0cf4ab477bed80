"""F2: what was deleted in Blue Cherry leaves no trace there; a sweep of keys per order month finds it."""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import dagster as dg
import pytest

from bc_ometria.store import mirror
from bc_ometria_tests.scenarios.shop import Row, Shop, causes, customer, evaluations, header, line, metadata, table

NUMBER, STAYS, NEWER, AGAIN = "0000001001", "0000001002", "0000001003", "0000001004"
ALL_CONFIRMED = dict.fromkeys((NUMBER, STAYS, NEWER), "confirmed")
MONTH = "2026-01"
LONG_AGO = "2026-01-02 09:00:00"
OF_ORDERS = ("orders", "order-lines", "order-stages")
THERE = "ometria/orders:orders_are_still_there"


@pytest.fixture
def synced(shop: Shop) -> Shop:
    """A shop whose orders, the first of two lines and 200.00, are confirmed; no poll looks back to the first."""
    shop.write("customers", customer())
    shop.order(NUMBER, pieces=(1, 3))
    shop.order(STAYS)
    shop.sync()
    shop.at("2026-01-05 19:00")
    shop.order(NEWER, pieces=(7,))
    shop.sync()
    assert shop.states() == ALL_CONFIRMED
    return shop


def _swept(shop: Shop, **config: Any) -> dict[str, Any]:
    result = _sweep(shop, **config)
    assert result.success
    return metadata(result, "sweep", "order_keys")


def _sweep(shop: Shop, month: str = MONTH, **config: Any) -> dg.ExecuteInProcessResult:
    return shop.definitions.resolve_job_def("sweep").execute_in_process(
        instance=shop.instance,
        partition_key=month,
        run_config={
            "ops": {"sweep__order_keys": {"config": config}},
            "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
        },
        raise_on_error=False,
    )


def _rows(shop: Shop, number: str) -> dict[str, list[Row]]:
    """All rows of an order, by resource."""
    return {resource: list(shop.sandbox.blue_cherry.rows(resource, ord_num=number)) for resource in OF_ORDERS}


def _delete(shop: Shop, number: str = NUMBER) -> None:
    """A whole order, without any trace."""
    for resource, rows in _rows(shop, number).items():
        shop.delete(resource, *(int(str(row["pkey"])) for row in rows))


def _restore(shop: Shop, rows: dict[str, list[Row]]) -> None:
    """Rows as they were, under their old stamps."""
    for resource, of_order in rows.items():
        shop.write(resource, *of_order)


def _mirrored(shop: Shop, number: str = NUMBER) -> int:
    frames, _ = mirror.read_orders(shop.engine, [number])
    return sum(len(frame) for frame in frames.values())


def test_nothing_is_read_again_and_nothing_sent_where_nothing_was_deleted(synced: Shop) -> None:
    pushes = synced.pushes
    found = _swept(synced)
    assert (found["orders_known"], found["orders_served"]) == (3, 3)
    assert (found["orders_read_again"], found["orders_with_rows_gone"]) == (0, 0)
    synced.sync()
    assert synced.pushes == pushes


def test_a_line_that_was_deleted_quietly_is_gone_in_ometria_too(synced: Shop) -> None:
    """Neither header nor the other line was stamped: no poll could see it."""
    synced.delete("order-lines", int(NUMBER) * 100 + 2)
    synced.delete("order-stages", int(NUMBER) * 1000 + 20)
    synced.write("orders", header(NUMBER, "50.00", last_mod=LONG_AGO))
    synced.sync()
    assert synced.orders()[NUMBER]["grand_total"] == 200.0
    assert _swept(synced)["orders_with_rows_gone"] == 1
    synced.sync()
    order = synced.orders()[NUMBER]
    assert synced.states()[NUMBER] == "confirmed"
    assert (order["grand_total"], [item["quantity"] for item in order["lineitems"]]) == (50.0, [1])
    assert (order["is_valid"], synced.open_exceptions()) == (True, set())


def test_an_order_that_was_deleted_counts_as_revenue_no_more_and_operations_are_told(synced: Shop) -> None:
    """Whole as it was last known, without any event: that it was cancelled Blue Cherry never said (truth 7)."""
    before = synced.orders()[NUMBER]
    _delete(synced)
    synced.sync()
    assert synced.orders()[NUMBER] == before
    _swept(synced)
    result = synced.sync()
    order = synced.orders()[NUMBER]
    assert (order["is_valid"], order["status"]) == (False, "cancelled")
    assert {**order, "is_valid": True, "status": before["status"]} == before
    assert synced.states() == ALL_CONFIRMED
    assert synced.told(NUMBER) == []
    assert synced.open_exceptions() == {("order_vanished", NUMBER, "", "")}
    (found,) = synced.exceptions("order_vanished")
    assert (found["value"], found["currency"], found["division"]) == (20000, "GBP", "100")
    check = evaluations(result)[THERE]
    assert (check.passed, check.severity.value) == (False, "WARN")
    (code,) = table(check, "codes")
    assert (code["owner"], code["at stake"]) == ("Operations", "200.00 GBP")
    assert synced.orders()[STAYS]["is_valid"]


def test_people_are_told_for_a_week(synced: Shop) -> None:
    """P19: nothing but the order's return would mend it, so it would stay open for ever."""
    _delete(synced)
    _swept(synced)
    synced.sync()
    synced.change("UPDATE bc_ometria.vanished_orders SET noticed_at = noticed_at - interval '6 days'")
    _swept(synced)
    synced.sync()
    assert len(synced.open_exceptions()) == 1
    synced.change("UPDATE bc_ometria.vanished_orders SET noticed_at = noticed_at - interval '2 days'")
    pushes = synced.pushes
    _swept(synced)
    synced.sync()
    assert synced.open_exceptions() == set()
    assert synced.pushes == pushes
    assert not synced.orders()[NUMBER]["is_valid"]


def test_it_goes_in_the_lane_of_cancellations_where_the_guard_looks(synced: Shop) -> None:
    """P6: a mass of deletions is stopped there before anything of it is sent."""
    (synced.rules_folder / "thresholds.yaml").write_text(
        "open_exceptions: {warn: {age_h: 24, value: 1000}, fail: {age_h: 168, value: 10000}}\n"
        "fill_rates: {days: 7, weeks: 4, least: 30, warn: 5, fail: 20}\n"
        "guard: {least: 1, orders_become_invalid: 60, contacts_change_consent: 20, extract_least: 1000,"
        " extract_times: 10}\n"
    )
    _delete(synced)
    _swept(synced)
    synced.sync()
    assert synced.states()[NUMBER] == "wanted"
    assert synced.orders()[NUMBER]["is_valid"]
    (stop,) = _stops(synced)
    assert stop == ("cancellations", "order", "orders_become_invalid")


def _stops(shop: Shop) -> list[tuple[str, ...]]:
    with shop.engine.connect() as connection:
        rows = connection.exec_driver_sql(
            "SELECT lane, record_type, cause FROM bc_ometria.lane_stops WHERE ended_at IS NULL"
        )
        return [tuple(row) for row in rows]


def test_events_that_wait_for_a_deleted_order_are_withdrawn_until_it_comes_back(shop: Shop) -> None:
    """Q4 in spirit: nobody hears of the progress of an order that is not there."""
    shop.write("customers", customer(email=""))  # held, so that events of the order wait
    shop.order(NUMBER)
    shop.order(STAYS)
    shop.sync()
    shop.at("2026-01-05 10:00")
    shop.pick(NUMBER, {1: 2})
    shop.sync()
    assert shop.waiting_events(NUMBER) == {"order_picking": "wanted"}
    rows = _rows(shop, NUMBER)
    _delete(shop)
    _swept(shop)
    shop.sync()
    assert shop.waiting_events(NUMBER) == {"order_picking": "withdrawn: deleted in Blue Cherry"}
    _restore(shop, rows)
    _swept(shop)
    shop.sync()
    assert shop.waiting_events(NUMBER) == {"order_picking": "wanted"}
    assert shop.told(NUMBER) == []


def test_an_order_that_comes_back_is_as_it_was(synced: Shop) -> None:
    """Under its old stamps, as after a restore: no poll sees it, and nothing has to be undone by hand."""
    before = synced.orders()[NUMBER]
    rows = _rows(synced, NUMBER)
    _delete(synced)
    _swept(synced)
    synced.sync()
    assert not synced.orders()[NUMBER]["is_valid"]
    _restore(synced, rows)
    synced.sync()
    assert not synced.orders()[NUMBER]["is_valid"]
    assert _swept(synced)["orders_read_again"] == 1
    synced.sync()
    assert synced.orders()[NUMBER] == before
    assert synced.states()[NUMBER] == "confirmed"
    (found,) = synced.exceptions("order_vanished")
    assert not found["is_open"]
    assert synced.told(NUMBER) == []


def test_a_deleted_order_that_ometria_never_had_is_not_sent_and_its_exception_closes(synced: Shop) -> None:
    """Of an order that was held there is nothing to take back, and nobody can mend it any more (P19)."""
    synced.write("orders", header(AGAIN, "90.00"))
    synced.write("order-lines", line(AGAIN))
    synced.sync()
    assert synced.states()[AGAIN] == "held: totals_differ"
    _delete(synced, AGAIN)
    _swept(synced)
    synced.sync()
    assert synced.states()[AGAIN] == "excluded: deleted in Blue Cherry"
    assert AGAIN not in synced.orders()
    assert synced.open_exceptions() == set()


def test_a_deleted_order_that_was_held_last_is_taken_back_all_the_same(synced: Shop) -> None:
    """Ometria still shows an older version of it as revenue."""
    synced.mark(NUMBER, ord_total=Decimal("90.00"))
    synced.sync()
    assert synced.states()[NUMBER] == "held: totals_differ"
    _delete(synced)
    _swept(synced)
    synced.sync()
    assert synced.states()[NUMBER] == "confirmed"
    assert not synced.orders()[NUMBER]["is_valid"]
    assert synced.open_exceptions() == {("order_vanished", NUMBER, "", "")}


def test_what_is_left_of_an_order_whose_header_was_deleted_is_held_until_it_goes_too(synced: Shop) -> None:
    synced.delete("orders", int(NUMBER))
    _swept(synced)
    synced.sync()
    assert synced.states()[NUMBER] == "held: incomplete_order"
    assert synced.orders()[NUMBER]["is_valid"]
    _delete(synced)
    _swept(synced)
    synced.sync()
    assert synced.states()[NUMBER] in ("confirmed", "held: invalid_field")
    assert ("order_vanished", NUMBER, "", "") in synced.open_exceptions()


@pytest.mark.parametrize("resource", ["orders", "order-lines", "order-stages"])
def test_a_page_that_fails_deletes_nothing(synced: Shop, resource: str) -> None:
    synced.fault(kind="status", status=400, resource=resource)
    assert not _sweep(synced).success
    assert synced.open_exceptions() == set()
    assert (_mirrored(synced), _mirrored(synced, STAYS)) == (5, 3)
    synced.sync()
    assert synced.states() == ALL_CONFIRMED


def test_a_second_reading_that_fails_in_its_midst_is_made_good_by_the_next(synced: Shop) -> None:
    """The header is gone from the mirror already, and the lines could not be read: that proves nothing."""
    _delete(synced)
    synced.fault(kind="slow", seconds=0.0, resource="order-lines")  # the keys come through, the whole rows do not
    synced.fault(kind="status", status=400, resource="order-lines", times=2)
    assert not _sweep(synced).success
    synced.sync()
    assert synced.orders()[NUMBER]["is_valid"]
    assert ("order_vanished", NUMBER, "", "") not in synced.open_exceptions()
    _swept(synced)
    synced.sync()
    assert not synced.orders()[NUMBER]["is_valid"]


def test_a_month_that_comes_back_empty_is_no_deletion_until_a_person_says_so(synced: Shop) -> None:
    """P6: far more likely is a Blue Cherry that was restored, or answers for somebody else."""
    for number in ALL_CONFIRMED:
        _delete(synced, number)
    result = _sweep(synced)
    assert "serves none of the 3 orders" in causes(result)["sweep__order_keys"]
    assert (_mirrored(synced), _mirrored(synced, STAYS)) == (5, 3)
    synced.sync()
    assert all(order["is_valid"] for order in synced.orders().values())
    _swept(synced, deletions_confirmed=True)
    synced.sync()
    assert not any(order["is_valid"] for order in synced.orders().values())


def test_an_order_that_was_entered_again_under_another_number_is_named(synced: Shop) -> None:
    _delete(synced)
    synced.order(AGAIN, pieces=(3, 1), ord_date=datetime(2026, 1, 5, 18))  # noqa: DTZ001
    synced.write("order-lines", line(AGAIN, 1, 3, style="STYLE002"), line(AGAIN, 2, 1, style="STYLE001"))
    synced.sync()
    _swept(synced)
    synced.sync()
    assert synced.open_exceptions() == {("order_vanished", NUMBER, "", f"entered again as {AGAIN}, it seems")}
    assert synced.orders()[AGAIN]["is_valid"]


@pytest.mark.parametrize(
    ("pieces", "columns"),
    [
        ((1, 3), {"customer": "00000002"}),
        ((2, 2), {}),
        ((1, 3), {"ord_date": datetime(2026, 1, 8)}),  # noqa: DTZ001
    ],
)
def test_another_customer_other_goods_or_another_week_is_no_pair(
    synced: Shop, pieces: tuple[int, ...], columns: dict[str, Any]
) -> None:
    synced.write("customers", customer("00000002"))
    _delete(synced)
    synced.order(AGAIN, pieces=pieces, **columns)
    synced.sync()
    _swept(synced)
    synced.sync()
    assert synced.open_exceptions() == {("order_vanished", NUMBER, "", "")}


def test_a_pair_is_found_although_the_second_order_comes_later(synced: Shop) -> None:
    _delete(synced)
    _swept(synced)
    synced.sync()
    assert synced.open_exceptions() == {("order_vanished", NUMBER, "", "")}
    synced.order(AGAIN, pieces=(1, 3), ord_date=synced.now - timedelta(hours=1))
    synced.sync()
    _swept(synced)
    synced.sync()
    assert synced.open_exceptions() == {("order_vanished", NUMBER, "", f"entered again as {AGAIN}, it seems")}
