"""Values of a column looked up in a rule, all at once."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd


def look_up(codes: pd.Series, values: Mapping[str, Any], missing: Any = "") -> np.ndarray:
    """The value of each code, ``missing`` where the rule has none; an array of objects."""
    table = np.array([*values.values(), missing], dtype=object)
    return table[pd.Index(list(values), dtype=object).get_indexer(pd.Index(codes, dtype=object))]


def instants(local: pd.Series, time_zone: str) -> pd.Series:
    """Local times as instants in UTC.

    An hour that the autumn clock change repeats is read as the first of the two; a time that the spring
    change skips moves on to the first that exists (ours: Blue Cherry's stamps carry no offset).
    """
    first_of_two = np.ones(len(local), dtype=bool)
    return local.dt.tz_localize(time_zone, ambiguous=first_of_two, nonexistent="shift_forward").dt.tz_convert("UTC")


def utc_texts(local: pd.Series, time_zone: str) -> list[str]:
    """Local times as ISO 8601 in UTC (see ``instants``), blank where there is none."""
    utc = instants(local, time_zone).dt.tz_localize(None)
    texts = np.datetime_as_string(utc.to_numpy(dtype="datetime64[s]"), unit="s", timezone="UTC")
    return np.where(utc.isna(), "", texts).tolist()


def amounts(minor_units: np.ndarray) -> list[float]:
    """Money in minor units as the decimal numbers that JSON carries."""
    return (minor_units / 100).tolist()
