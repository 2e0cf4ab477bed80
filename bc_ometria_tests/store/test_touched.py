"""What was touched waits until it has been worked on, whatever happens meanwhile (truth 1)."""

from sqlalchemy import Engine

from bc_ometria.store import touched
from bc_ometria_tests.store.rows import row, touched_since, write


def settle(engine: Engine, done: touched.Touched) -> None:
    with engine.begin() as connection:
        touched.settle(connection, done)


def change(engine: Engine, status: str, *pkeys: int) -> None:
    write(engine, "orders", *(row("orders", pkey, ord_num=f"{pkey:010}", ord_status=status) for pkey in pkeys))


def test_what_was_worked_on_does_not_wait_any_more(engine: Engine) -> None:
    change(engine, "O", 1, 2, 3)
    assert touched.count(engine, "order") == 3
    settle(engine, touched.of(engine, "order", ["0000000001", "0000000003", "0000000009"]))
    assert touched.waiting(engine, "order", 10) == ["0000000002"]


def test_a_touch_during_the_work_is_not_settled_with_it(engine: Engine) -> None:
    change(engine, "O", 1, 2)
    begun = touched.of(engine, "order", ["0000000001", "0000000002"])
    change(engine, "X", 1)
    settle(engine, begun)
    assert touched.waiting(engine, "order", 10) == ["0000000001"]


def test_a_first_touch_during_the_work_waits(engine: Engine) -> None:
    begun = touched.of(engine, "order", ["0000000001"])
    change(engine, "O", 1)
    settle(engine, begun)
    assert touched_since(engine) == ["0000000001"]


def test_what_waits_comes_in_parts_and_by_kind(engine: Engine) -> None:
    change(engine, "O", *range(5))
    assert touched.count(engine, "customer") == 0
    assert touched.waiting(engine, "customer", 10) == []
    first = touched.waiting(engine, "order", 2)
    second = touched.waiting(engine, "order", 10, after=first[-1])
    assert [*first, *second] == [f"{number:010}" for number in range(5)]
