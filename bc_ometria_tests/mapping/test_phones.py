"""Telephone numbers in E.164, or blank where that would be a guess."""

import re

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bc_ometria.mapping.phones import international
from bc_ometria.rules import Rules


def one(phone: str, country: str, rules: Rules) -> str:
    (number,) = international(pd.Series([phone]), pd.Series([country]), rules.phones)
    return number


@pytest.mark.parametrize(
    ("written", "country", "number"),
    [
        ("020 7183 8750", "GB", "+442071838750"),
        ("(020) 7183-8750", "GB", "+442071838750"),
        ("+44 20 7183 8750", "US", "+442071838750"),
        ("0044 20 7183 8750", "GB", "+442071838750"),
        ("00353 1 234 5678", "GB", "+35312345678"),
        ("+44 (0)20 7183 8750", "GB", "+442071838750"),  # the trunk prefix is not dialled from abroad
        ("0044 (0) 20 7183 8750", "", "+442071838750"),
        ("01 234 5678", "IE", "+35312345678"),
        ("01 23 45 67 89", "FR", "+33123456789"),
        ("020 7183 8750", "US", ""),  # no plan of that country
        ("020 7183 8750", "", ""),
        ("7183 8750", "GB", ""),  # without its trunk prefix: which number would that be
        ("020 7183 8750 ext 2", "GB", ""),
        ("+0 20 7183 8750", "GB", ""),
        ("+1234567", "GB", ""),
        ("+1234567890123456", "GB", ""),
        ("+٤٤٢٠٧١٨٣٨٧٥٠", "GB", ""),
        ("ann@example.com", "GB", ""),
        ("00", "GB", ""),
        ("+", "GB", ""),
        ("0", "GB", ""),
        ("", "GB", ""),
    ],
)
def test_a_number_as_people_write_it(rules: Rules, written: str, country: str, number: str) -> None:
    assert one(written, country, rules) == number


@given(st.text("+0123456789 ()-./x", max_size=20), st.sampled_from(["GB", "FR", "US", ""]))
def test_what_comes_out_is_e164_or_blank_and_stays_as_it_is(rules: Rules, written: str, country: str) -> None:
    number = one(written, country, rules)
    assert re.fullmatch(r"(\+[1-9][0-9]{7,14})?", number)
    assert one(number, country, rules) == number


def test_numbers_keep_their_places(rules: Rules) -> None:
    phones = pd.Series(["01 234 5678", "", "01 234 5678"])
    assert international(phones, pd.Series(["IE", "IE", "US"]), rules.phones) == ["+35312345678", "", ""]
