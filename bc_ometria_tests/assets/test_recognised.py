"""What a reading of Blue Cherry meets of what the mirror knows."""

from datetime import timedelta

import pandas as pd

from bc_ometria.assets.recognised import Known
from bc_ometria_tests.blue_cherry.tenant import AT, order
from bc_ometria_tests.store.rows import later, typed


def known(stamps: dict[int, int]) -> Known:
    """Orders by pkey with their stamps, in minutes from ``AT``."""
    found = pd.Series({pkey: later(minutes) for pkey, minutes in stamps.items()}, dtype="datetime64[us]")
    return Known(found)


PRESENT = later(10)


def test_a_row_is_met_as_it_was_with_another_stamp_or_malformed() -> None:
    rows = known({7: 0, 8: 0, 9: 0, 10: 3})
    new = rows.meet(
        typed("orders", order(pkey=7), order(pkey=8, last_mod="2026-11-23 09:06:00"), order(pkey=11)), PRESENT
    )
    assert new.tolist() == [later(1), AT]
    rows.meet(typed("orders", order(pkey=9, ord_total="x")), PRESENT)
    assert rows.missing == [10]
    assert rows.newest_unchanged == AT
    assert len(rows) == 4


def test_a_row_of_the_future_proves_nothing() -> None:
    """Of one stamped 2099 nobody knows when it changed."""
    rows = known({7: 0, 8: 11})
    rows.meet(typed("orders", order(pkey=8, last_mod=f"{AT + timedelta(minutes=11):%Y-%m-%d %H:%M:%S}")), PRESENT)
    assert rows.newest_unchanged is None
    assert rows.missing == [7]


def test_what_is_not_known_is_all_new() -> None:
    rows = known({})
    assert len(rows.meet(typed("orders", order(pkey=7)), PRESENT)) == 1
    assert (rows.missing, rows.newest_unchanged) == ([], None)
