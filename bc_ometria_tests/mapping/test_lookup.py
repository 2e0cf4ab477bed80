"""Looking values up in a rule, local times as UTC, minor units as decimals."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bc_ometria.mapping.lookup import amounts, look_up, utc_texts


@given(st.lists(st.sampled_from(["", "0", "00", "A", "B"])), st.dictionaries(st.sampled_from("AB0"), st.integers()))
def test_every_code_has_its_value_or_the_missing_one(codes: list[str], values: dict[str, int]) -> None:
    found = look_up(pd.Series(codes, dtype="str"), values, missing=None)
    assert found.tolist() == [values.get(code) for code in codes]


def test_nothing_is_known_of_an_empty_rule() -> None:
    assert look_up(pd.Series(["A"]), {}).tolist() == [""]


@pytest.mark.parametrize("zone", ["Europe/London", "America/New_York", "Australia/Lord_Howe", "UTC"])
@settings(max_examples=100, deadline=None)
@given(
    times=st.lists(st.datetimes(min_value=pd.Timestamp("1990-01-01"), max_value=pd.Timestamp("2037-01-01")), max_size=5)
)
def test_a_local_time_is_the_instant_that_the_zone_says(zone: str, times: list[datetime]) -> None:
    whole = [at.replace(microsecond=0, fold=0) for at in times]
    exists = [at.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC).astimezone(ZoneInfo(zone)).replace(tzinfo=None) == at
              for at in whole]  # fmt: skip
    texts = utc_texts(pd.Series(np.array(whole, dtype="datetime64[us]")), zone)
    for at, text, there in zip(whole, texts, exists, strict=True):
        if there:
            assert datetime.fromisoformat(text) == at.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)


def test_no_time_is_blank() -> None:
    local = pd.Series(np.array(["NaT", "2026-07-01T12:00:00"], dtype="datetime64[us]"))
    assert utc_texts(local, "Europe/London") == ["", "2026-07-01T11:00:00Z"]
    assert utc_texts(local[:0], "Europe/London") == []


@given(st.integers(-(10**13), 10**13))
def test_minor_units_are_written_to_the_penny(minor: int) -> None:
    (amount,) = amounts(np.array([minor]))
    assert round(amount * 100) == minor
    assert f"{amount:.2f}" == repr(amount) or f"{amount:.1f}" == repr(amount)
