"""Whatever a frame holds comes back from PostgreSQL as it went in."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import BigInteger, Column, Connection, DateTime, Engine, Integer, MetaData, SmallInteger, Table, Text

from bc_ometria.store.copy import copy_in, copy_out, temporary_keys

TABLE = Table(
    "copied",
    MetaData(),
    Column("place", Integer, nullable=False),
    Column("one", Text, nullable=False),
    Column("other", Text, nullable=False),
    Column("big", BigInteger, nullable=False),
    Column("small", SmallInteger, nullable=False),
    Column("at", DateTime(timezone=False)),
)
MAY_BE_NULL = Table("copied", MetaData(), Column("place", Integer), Column("words", Text))

AWKWARD = ["", " ", "\\.", "\\N", "\\", "NULL", "nan", "NaT", "None", '"', '""', "'", ",", "\n", "\r", "\r\n", "\t",
           "a\n\\.\nb", "Zoë", "日本", "🧥", "\ufeff", "\u2028", "\x0b", "\x7f", "01", "1e5", "-0", "true"]  # fmt: skip

texts = st.one_of(
    st.sampled_from(AWKWARD),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
    st.lists(st.sampled_from(AWKWARD)).map("".join),
)
rows = st.tuples(
    texts,
    texts,
    st.integers(-(2**63), 2**63 - 1),
    st.integers(-(2**15), 2**15 - 1),
    st.none() | st.datetimes(),
)


@pytest.fixture
def connection(engine: Engine) -> Iterator[Connection]:
    with engine.connect() as connection:
        yield connection
        connection.rollback()


def frame_of(found: list[tuple[Any, ...]]) -> pd.DataFrame:
    one, other, big, small, at = zip(*found, strict=True) if found else ([],) * 5
    return pd.DataFrame(
        {
            "place": np.arange(len(found), dtype="int64"),
            "one": pd.Series(one, dtype="str"),
            "other": pd.Series(other, dtype="str"),
            "big": pd.Series(big, dtype="int64"),
            "small": pd.Series(small, dtype="int64"),
            "at": pd.Series(at, dtype="datetime64[us]"),
        }
    )


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(rows, max_size=12))
@example([(text, other, 0, 0, None) for text in AWKWARD for other in ("", text)])
def test_a_frame_comes_back_as_it_went_in(connection: Connection, found: list[tuple[Any, ...]]) -> None:
    frame = frame_of(found)
    connection.exec_driver_sql("DROP TABLE IF EXISTS copied")
    connection.exec_driver_sql(
        "CREATE TEMP TABLE copied (place int, one text NOT NULL, other text NOT NULL, big bigint, small smallint, "
        "at timestamp)"
    )
    copy_in(connection, "copied", TABLE, frame)
    back = copy_out(connection, "SELECT * FROM copied ORDER BY place", list(TABLE.columns))
    pd.testing.assert_frame_equal(back, frame)


def test_a_missing_text_is_null_where_it_may_be_and_blank_where_it_may_not(connection: Connection) -> None:
    connection.exec_driver_sql("CREATE TEMP TABLE copied (place int, words text)")
    for number, missing in enumerate((None, np.nan, pd.NA)):
        values: Any = [missing, "", "words"]
        copy_in(connection, "copied", MAY_BE_NULL, pd.DataFrame({"place": [number] * 3, "words": values}))
        copy_in(
            connection,
            "copied",
            MAY_BE_NULL,
            pd.DataFrame({"place": [number] * 3, "words": pd.Series(values, dtype="str")}),
        )
    found = connection.exec_driver_sql("SELECT words, count(*) FROM copied GROUP BY 1").all()
    # An optional text that is blank is no text either.
    assert dict(tuple(each) for each in found) == {None: 12, "words": 6}

    connection.exec_driver_sql("CREATE TEMP TABLE needed (one text)")
    copy_in(connection, "needed", TABLE, pd.DataFrame({"one": pd.Series([None, "", "words"], dtype="str")}))
    assert sorted(connection.exec_driver_sql("SELECT one FROM needed").scalars()) == ["", "", "words"]


def test_an_instant_keeps_its_moment(connection: Connection) -> None:
    table = Table("instants", MetaData(), Column("place", Integer), Column("at", DateTime(timezone=True)))
    connection.exec_driver_sql("SET TIME ZONE 'Asia/Tokyo'")
    connection.exec_driver_sql("CREATE TEMP TABLE instants (place int, at timestamptz)")
    local = pd.Series(pd.to_datetime(["2026-07-01 12:00:00.000001", None])).dt.tz_localize("Europe/London")
    copy_in(connection, "instants", table, pd.DataFrame({"place": [0, 1], "at": local}))
    found = connection.exec_driver_sql("SELECT at AT TIME ZONE 'UTC' FROM instants ORDER BY place").scalars().all()
    assert [moment and moment.isoformat() for moment in found] == ["2026-07-01T11:00:00.000001", None]


def test_bytes_go_in_as_their_text(connection: Connection) -> None:
    connection.exec_driver_sql("CREATE TEMP TABLE needed (one text)")
    copy_in(connection, "needed", TABLE, pd.DataFrame({"one": ['{"name": "Zoë"}'.encode()]}))
    assert connection.exec_driver_sql("SELECT one FROM needed").scalar_one() == '{"name": "Zoë"}'


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(texts, max_size=8))
@example(AWKWARD)
def test_keys_of_any_text_are_found_again_once(connection: Connection, keys: list[str]) -> None:
    connection.exec_driver_sql("DROP TABLE IF EXISTS keys")
    name = temporary_keys(connection, keys * 2)
    assert set(connection.exec_driver_sql(f"SELECT key FROM {name}").scalars()) == set(keys)
