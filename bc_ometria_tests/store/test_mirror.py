"""The mirror: what is written, what is touched, what is held, and how far it was read (truths 1, 6 and 7)."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import psycopg2
import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from bc_ometria.store import mirror
from bc_ometria.store.database import connect
from bc_ometria.store.schema import SCHEMA
from bc_ometria_tests.blue_cherry.tenant import AT, ORDER, served
from bc_ometria_tests.store.rows import later, row, table, touched_since, typed, until_waiting, write

FIRST, SECOND = "0000001042", "0000001043"
BAD = {"spoilt": {"ord_date": "yesterday"}}


def counted(written: mirror.Written) -> tuple[int, int, int]:
    return written.rows, written.changed, written.held


def test_a_new_row_and_a_changed_one_touch_and_an_unchanged_one_does_not(engine: Engine) -> None:
    assert counted(write(engine, "orders", row("orders"), row("orders", 8, ord_num=SECOND))) == (2, 2, 0)
    assert touched_since(engine) == [FIRST, SECOND]
    same, changed = row("orders"), row("orders", 8, minutes=1, ord_num=SECOND, ord_status="X")
    assert counted(write(engine, "orders", same, changed)) == (2, 1, 0)
    assert touched_since(engine) == [SECOND]
    assert table(engine, "blue_cherry_orders", "pkey, ord_status, last_mod") == [(7, "O", AT), (8, "X", later(1))]


def test_a_stamp_that_alone_moved_is_stored_and_touches_nothing(engine: Engine) -> None:
    write(engine, "order_lines", row("order_lines", 70))
    touched_since(engine)
    assert write(engine, "order_lines", row("order_lines", 70, minutes=5)).changed == 0
    assert touched_since(engine) == []
    assert table(engine, "blue_cherry_order_lines", "bucket, quantity, last_mod") == [
        (3, 2, later(5)),
        (5, 1, later(5)),
    ]


def test_all_buckets_of_a_row_are_replaced_together(engine: Engine) -> None:
    write(engine, "order_lines", row("order_lines", 70), row("order_lines", 71, line_num=2))
    write(engine, "order_lines", row("order_lines", 70, minutes=1, size03_qty=0, size24_qty=4, total_qty=5))
    found = table(engine, "blue_cherry_order_lines", "pkey, bucket, quantity, total_qty", "1, 2")
    assert found == [(70, 5, 1, 5), (70, 24, 4, 5), (71, 3, 2, 3), (71, 5, 1, 3)]
    write(engine, "order_lines", row("order_lines", 70, minutes=2, size03_qty=0, size05_qty=0, total_qty=0))
    assert table(engine, "blue_cherry_order_lines", "pkey, bucket, quantity", "1, 2")[0] == (70, 0, 0)


def test_a_row_that_moves_to_another_order_touches_both(engine: Engine) -> None:
    write(engine, "order_lines", row("order_lines", 70))
    touched_since(engine)
    assert write(engine, "order_lines", row("order_lines", 70, minutes=1, ord_num=SECOND)).changed == 1
    assert touched_since(engine) == [FIRST, SECOND]
    assert {number for (number,) in table(engine, "blue_cherry_order_lines", "ord_num")} == {SECOND}


def test_customers_and_addresses_touch_their_customer(engine: Engine) -> None:
    write(engine, "customers", served("customers", {"pkey": 1, "last_mod": AT, "customer": "C1"}))
    assert touched_since(engine) == ["customer C1"]
    write(engine, "addresses", served("addresses", {"pkey": 1, "last_mod": AT, "customer": "C2"}))
    assert touched_since(engine) == ["customer C2"]


def test_a_malformed_row_keeps_the_last_good_one_and_the_next_good_version_lifts_it(engine: Engine) -> None:
    """P1: held alone, with field and rule; its neighbours go."""
    write(engine, "orders", row("orders"))
    touched_since(engine)
    neighbour = row("orders", 8, ord_num=SECOND)
    assert counted(write(engine, "orders", row("orders", minutes=1, ord_status="X", **BAD), neighbour)) == (1, 1, 1)
    assert touched_since(engine) == [FIRST, SECOND]
    assert table(engine, "blue_cherry_orders", "pkey, ord_status") == [(7, "O"), (8, "O")]
    assert table(engine, "blue_cherry_held_rows", "resource, row_key, reference, field") == [
        ("orders", "7", FIRST, "ord_date")
    ]
    assert mirror.held_keys(engine, "orders") == {"7"}
    (rule,) = mirror.held_rows_of(engine, mirror.ORDER_RESOURCES, [FIRST])["rule"]
    assert "is not a time" in rule
    assert mirror.held_rows_of(engine, mirror.ORDER_RESOURCES, [SECOND]).empty
    assert mirror.held_rows_of(engine, mirror.CUSTOMER_RESOURCES, [FIRST]).empty

    write(engine, "orders", row("orders", minutes=2, ord_status="X"))
    assert touched_since(engine) == [FIRST]
    assert mirror.held_keys(engine, "orders") == set()


def test_a_good_version_as_before_the_bad_one_lifts_it_too(engine: Engine) -> None:
    write(engine, "orders", row("orders"))
    write(engine, "orders", row("orders", minutes=1, **BAD))
    touched_since(engine)
    assert write(engine, "orders", row("orders", minutes=2)).changed == 0
    assert touched_since(engine) == [FIRST]
    assert mirror.held_keys(engine, "orders") == set()


def test_a_held_row_that_is_read_again_touches_only_where_something_changed(engine: Engine) -> None:
    two = {"spoilt": {"ord_date": "yesterday", "sub_total": "much"}}
    write(engine, "orders", row("orders", **two))
    assert touched_since(engine) == [FIRST]
    write(engine, "orders", row("orders", **two))
    write(engine, "orders", row("orders", minutes=1, **two))
    assert touched_since(engine) == []
    # One of the two faults is mended: the order's exceptions must say so.
    write(engine, "orders", row("orders", minutes=2, **BAD))
    assert touched_since(engine) == [FIRST]
    assert table(engine, "blue_cherry_held_rows", "field") == [("ord_date",)]
    # Another fault takes its place.
    write(engine, "orders", row("orders", minutes=3, spoilt={"ord_date": ""}))
    assert touched_since(engine) == [FIRST]


def test_a_held_row_that_names_another_order_holds_that_and_lets_go_the_first(engine: Engine) -> None:
    write(engine, "orders", row("orders", **BAD))
    touched_since(engine)
    write(engine, "orders", row("orders", ord_num=SECOND, **BAD))
    assert touched_since(engine) == [FIRST, SECOND]
    assert table(engine, "blue_cherry_held_rows", "reference") == [(SECOND,)]


def test_rows_that_are_gone_from_blue_cherry_go_and_touch(engine: Engine) -> None:
    """F2: a line that was deleted."""
    first = [row("order_lines", 70), row("order_lines", 71, line_num=2), row("order_lines", 72, line_num=3)]
    write(engine, "order_lines", *first, row("order_lines", 80, ord_num=SECOND))
    touched_since(engine)
    spoilt = row("order_lines", 72, line_num=3, spoilt={"size03_qty": "many"})
    assert counted(write(engine, "order_lines", first[0], spoilt, all_of=[FIRST])) == (1, 1, 1)
    assert touched_since(engine) == [FIRST]
    kept = {pkey for (pkey,) in table(engine, "blue_cherry_order_lines", "pkey")}
    assert kept == {70, 72, 80}  # not the held row's last good version, and not another order's
    assert write(engine, "order_lines", first[0], spoilt, all_of=[FIRST]).changed == 0
    assert touched_since(engine) == []
    write(engine, "order_lines", all_of=[SECOND])
    assert touched_since(engine) == [SECOND]


def test_a_held_row_that_is_gone_from_blue_cherry_holds_nothing_any_more(engine: Engine) -> None:
    write(engine, "order_lines", row("order_lines", 70), row("order_lines", 71, spoilt={"line_num": "two"}))
    write(engine, "order_lines", row("order_lines", 80, ord_num=SECOND, spoilt={"line_num": "two"}))
    unkeyed = {"pkey": "seventy"}
    write(engine, "order_lines", row("order_lines", 72, spoilt=unkeyed))
    touched_since(engine)
    assert len(mirror.held_keys(engine, "order_lines")) == 3
    write(engine, "order_lines", row("order_lines", 70), all_of=[FIRST])
    assert touched_since(engine) == [FIRST]
    assert mirror.held_keys(engine, "order_lines") == {"80"}


def test_a_row_without_a_usable_key_holds_its_order(engine: Engine) -> None:
    write(engine, "order_lines", row("order_lines", 70, spoilt={"pkey": ""}), row("order_lines", 71))
    write(engine, "order_lines", row("order_lines", 70, spoilt={"pkey": ""}), all_of=[SECOND])
    assert touched_since(engine) == [FIRST]
    assert len(mirror.held_rows_of(engine, ["order_lines"], [FIRST])) == 1


def test_the_watermark_follows_the_newest_stamp_and_never_goes_back(engine: Engine) -> None:
    assert mirror.watermark(engine, "orders") is None
    write(engine, "orders", row("orders", minutes=9))
    assert mirror.watermark(engine, "orders") is None  # a window that was read by hand
    write(engine, "orders", row("orders", minutes=5), row("orders", 8, minutes=2), moves=True)
    assert mirror.watermark(engine, "orders") == later(5)
    write(engine, "orders", row("orders", 9, minutes=1), moves=True)
    assert mirror.watermark(engine, "orders") == later(5)
    write(engine, "orders", moves=True)
    write(engine, "orders", row("orders", 10, minutes=30, **BAD), moves=True)
    assert mirror.watermark(engine, "orders") == later(5)
    assert mirror.watermark(engine, "order_lines") is None


def test_the_watermark_stops_at_the_present_of_blue_cherry_and_can_be_put_back(engine: Engine) -> None:
    found = typed("orders", row("orders", minutes=5), row("orders", 8, minutes=90))
    mirror.write(engine, "orders", found.frame, found.held, moves_watermark=True, not_beyond=later(7))
    assert mirror.watermark(engine, "orders") == later(7)
    mirror.write(engine, "orders", found.frame, found.held, moves_watermark=True, not_beyond=later(6))
    assert mirror.watermark(engine, "orders") == later(7)
    mirror.put_watermark_back(engine, "orders", later(9))
    assert mirror.watermark(engine, "orders") == later(7)
    mirror.put_watermark_back(engine, "orders", later(2))
    assert mirror.watermark(engine, "orders") == later(2)


def test_a_write_that_fails_leaves_rows_touches_and_watermark_as_they_were(engine: Engine) -> None:
    """Truth 6: a watermark moves only with its rows."""
    write(engine, "orders", row("orders"), moves=True)
    touched_since(engine)
    found = typed("orders", row("orders", minutes=5, ord_status="X"), row("orders", 8, minutes=6, **BAD))
    held = found.held.assign(rule="\0")  # what PostgreSQL refuses, at the end of all work
    with pytest.raises((DBAPIError, ValueError, psycopg2.Error)):
        mirror.write(engine, "orders", found.frame, held, moves_watermark=True)
    assert mirror.watermark(engine, "orders") == AT
    assert touched_since(engine) == []
    assert table(engine, "blue_cherry_orders", "ord_status") == [("O",)]
    mirror.write(engine, "orders", found.frame, found.held, moves_watermark=True)
    assert mirror.watermark(engine, "orders") == later(5)
    assert touched_since(engine) == [FIRST]


def test_changed_between_takes_the_begin_and_not_the_end(engine: Engine) -> None:
    write(engine, "orders", row("orders"), row("orders", 8, minutes=10, ord_num=SECOND))
    write(engine, "order_lines", row("order_lines", 70, minutes=20))
    both = ["orders", "order_lines"]
    assert mirror.changed_between(engine, both, later(0), later(10)) == [FIRST]
    assert mirror.changed_between(engine, both, later(1), later(11)) == [SECOND]
    assert mirror.changed_between(engine, both, later(11), later(21)) == [FIRST]
    assert mirror.changed_between(engine, ["orders"], later(11), later(21)) == []
    assert mirror.changed_between(engine, both, AT, AT + timedelta(days=1)) == [FIRST, SECOND]


def test_the_parts_of_the_named_orders_are_read(engine: Engine) -> None:
    write(engine, "orders", row("orders"), row("orders", 8, ord_num=SECOND))
    write(engine, "order_lines", row("order_lines", 70), row("order_lines", 71, ord_num=SECOND, line_num=-1))
    parts, held = mirror.read_orders(engine, [FIRST, "0000009999"])
    assert set(parts) == set(mirror.ORDER_RESOURCES)
    assert parts["orders"]["pkey"].tolist() == [7]
    assert parts["order_lines"]["pkey"].tolist() == [70, 70]
    assert held.empty
    parts, held = mirror.read_orders(engine, [SECOND])
    assert held["field"].tolist() == ["line_num"]


def test_erased_customers(engine: Engine) -> None:
    def customer(pkey: int, **values: Any) -> dict:
        return served("customers", {"pkey": pkey, "last_mod": AT, "customer": f"C{pkey}", **values})

    write(engine, "customers", customer(1), customer(2, erased_ok="Y"), customer(3, erased_ok="Y"))
    assert mirror.erased_customers(engine, ["C1", "C2", ""]) == {"C2"}


def test_two_processes_may_write_the_same_rows_at_once(engine: Engine, database_url: str) -> None:
    """A backfill beside the live sync: neither fails, and the rows are there once."""
    orders = typed("orders", *(row("orders", pkey, ord_num=f"{pkey:010}") for pkey in range(50)))
    writers = [connect(database_url) for _ in range(2)]
    with ThreadPoolExecutor(2) as threads:
        with engine.begin() as connection:
            # Neither can change a row before both have begun.
            connection.execute(text(f"LOCK TABLE {SCHEMA}.blue_cherry_orders IN SHARE MODE"))
            written = [threads.submit(mirror.write, writer, "orders", orders.frame, orders.held) for writer in writers]
            until_waiting(engine, 2)
        assert sorted(each.result(60).changed for each in written) == [0, 50]
    for writer in writers:
        writer.dispose()
    assert table(engine, "blue_cherry_orders", "count(*), count(DISTINCT pkey)") == [(50, 50)]


def test_the_examples_are_good(engine: Engine) -> None:
    assert typed("orders", row("orders")).held.empty
    assert ORDER["ord_num"] == FIRST
