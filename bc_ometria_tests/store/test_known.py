"""What the mirror knows of the rows that changed last."""

from sqlalchemy import Engine

from bc_ometria.store import known, unknown_columns
from bc_ometria_tests.blue_cherry.tenant import AT
from bc_ometria_tests.store.rows import later, row, typed, write

SPOILT = {"spoilt": {"ord_total": "x"}}


def test_rows_of_a_window_with_their_stamps_each_once(engine: Engine) -> None:
    write(engine, "order_lines", row("order_lines", 70), row("order_lines", 71, minutes=5, line_num=2))
    assert known.stamps(engine, "order_lines", AT).to_dict() == {70: AT, 71: later(5)}
    assert known.stamps(engine, "order_lines", later(1), later(5)).to_dict() == {}
    assert known.stamps(engine, "order_lines", AT, later(5)).to_dict() == {70: AT}
    assert known.references(engine, "order_lines", [70, 71, 72]) == ["0000001042"]


def test_a_step_back_ends_at_a_row_or_at_the_first_one(engine: Engine) -> None:
    write(engine, "orders", *(row("orders", pkey, minutes=pkey) for pkey in range(5)))
    assert known.stamp_before(engine, "orders", later(4), 1) == later(3)
    assert known.stamp_before(engine, "orders", later(4), 3) == later(1)
    assert known.stamp_before(engine, "orders", later(4), 9) == AT
    assert known.stamp_before(engine, "orders", AT, 9) is None


def test_rows_are_counted_without_those_that_are_held(engine: Engine) -> None:
    """Of a malformed row the mirror has the version before, and Blue Cherry serves another."""
    write(engine, "order_lines", row("order_lines", 70), row("order_lines", 71, line_num=2, minutes=1))
    assert known.count(engine, "order_lines", AT) == 2
    assert known.count(engine, "order_lines", later(1)) == 1
    assert known.count(engine, "order_lines", AT, but=[70]) == 1
    write(engine, "order_lines", row("order_lines", 71, minutes=2, spoilt={"total_qty": 9}))
    assert known.count(engine, "order_lines", AT) == 1


def test_a_version_is_stamp_and_content(engine: Engine) -> None:
    write(engine, "orders", row("orders"))
    hash_now = int(typed("orders", row("orders")).frame["row_hash"].item())
    assert known.versions(engine, "orders", [7, 8]) == {(7, AT, hash_now)}


def test_a_column_is_new_once(engine: Engine) -> None:
    assert unknown_columns.note(engine, "orders", {"b", "a\0"}) == ["a", "b"]
    assert unknown_columns.note(engine, "orders", {"a", "c"}) == ["c"]
    assert unknown_columns.note(engine, "customers", {"a"}) == ["a"]
    assert unknown_columns.note(engine, "orders", set()) == []
