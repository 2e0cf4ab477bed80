"""F2, P6: what is served of a month and what is known of it are held against each other; too much missing is no
deletion."""

from datetime import datetime
from typing import Any

import pytest

from bc_ometria.assets.sweep import Compared, compare_keys
from bc_ometria.automation.partitions import months_since, order_month, placed_in
from bc_ometria.blue_cherry.client import BlueCherryClient
from bc_ometria.rules import Rules
from bc_ometria_tests.blue_cherry.tenant import PROFILE
from bc_ometria_tests.scenarios.shop import Shop, customer, header, line

FIRST, SECOND, THIRD = "0000001001", "0000001002", "0000001003"
JANUARY = (datetime(2026, 1, 1), datetime(2026, 2, 1))  # noqa: DTZ001 - Blue Cherry's times are naive local ones


@pytest.mark.parametrize(
    ("known", "served", "lost", "is_doubted"),
    [
        (0, 0, 0, False),
        (0, 9, 0, False),
        (1, 0, 1, True),
        (49, 1, 48, False),  # fewer than `least`
        (250, 200, 50, True),
        (251, 201, 50, False),
        (1000, 801, 199, False),
        (1000, 1000, 200, True),  # all headers, but lines are missing
    ],
)
def test_too_much_at_once_is_doubted(rules: Rules, known: int, served: int, lost: int, is_doubted: bool) -> None:
    gone = frozenset(str(number) for number in range(lost))
    doubt = Compared(known, served, gone, gone).doubt(rules.thresholds.guard)
    assert bool(doubt) is is_doubted, doubt


def test_a_month_has_what_was_placed_in_it_and_the_first_one_what_was_placed_before_too() -> None:
    first, second = order_month.get_partition_keys()[:2]
    assert placed_in(first) == (None, JANUARY[1])
    assert (first, second) == ("2026-01", "2026-02")
    assert placed_in(second) == (JANUARY[1], datetime(2026, 3, 1))  # noqa: DTZ001
    assert months_since(datetime(2026, 2, 28))[0] == second  # noqa: DTZ001
    assert months_since(datetime(2020, 5, 1)) == order_month.get_partition_keys()  # noqa: DTZ001


@pytest.fixture
def month(shop: Shop) -> Shop:
    """A customer and two orders, as Blue Cherry serves them."""
    shop.write("customers", customer())
    shop.order(FIRST)
    shop.order(SECOND)
    shop.sync()
    return shop


def _compared(shop: Shop, *window: Any) -> Compared:
    variables = shop.sandbox.environment()
    url, tenant, code, key = (variables[f"BLUE_CHERRY_{n}"] for n in ("BASE_URL", "TENANT", "ENVIRONMENT", "API_KEY"))
    with BlueCherryClient(url, tenant, code, key, PROFILE) as client:
        return compare_keys(shop.engine, client, PROFILE, *(window or JANUARY))


def test_what_is_the_same_does_not_differ(month: Shop) -> None:
    assert _compared(month) == Compared(2, 2, frozenset(), frozenset())


def test_a_row_that_is_gone_new_or_stamped_otherwise_differs(month: Shop) -> None:
    """Stamps that went back, as after a restore, are seen here and by no poll."""
    month.delete("order-lines", int(FIRST) * 100 + 1)
    month.write("orders", header(SECOND, last_mod="2026-01-02 09:00:00"))
    month.order(THIRD)
    assert _compared(month) == Compared(2, 3, frozenset({FIRST, SECOND, THIRD}), frozenset({FIRST}))


def test_stages_that_blue_cherry_tidied_up_differ_and_are_not_lost(month: Shop) -> None:
    month.delete("order-stages", int(FIRST) * 1000 + 10)
    assert _compared(month) == Compared(2, 2, frozenset({FIRST}), frozenset())


def test_an_order_that_moved_to_another_month_is_read_again_and_not_taken_for_gone(month: Shop) -> None:
    month.write("orders", header(FIRST, ord_date=datetime(2026, 2, 1)))  # noqa: DTZ001
    found = _compared(month)
    assert (found.served, found.differing) == (1, frozenset({FIRST}))


def test_parts_without_a_header_are_compared_with_every_month(month: Shop) -> None:
    month.write("order-lines", line(THIRD))
    month.sync()
    month.delete("order-lines", int(THIRD) * 100 + 1)
    found = _compared(month, datetime(2026, 3, 1), datetime(2026, 4, 1))  # noqa: DTZ001
    assert (found.known, found.differing) == (0, frozenset({THIRD}))
