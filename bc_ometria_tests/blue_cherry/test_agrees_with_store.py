"""What passes the border fits the mirror: the two do not know each other, and must agree all the same."""

from datetime import datetime
from typing import Any

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import BigInteger, DateTime, Engine, Integer, Text, text

from bc_ometria.blue_cherry.cells import INT64
from bc_ometria.blue_cherry.rows import HELD_COLUMNS, typed_rows
from bc_ometria.blue_cherry.schemas import BUCKETED, BUCKETS, frame_dtypes, served_columns
from bc_ometria.blue_cherry.schemas import Column as Served
from bc_ometria.store import catalogue, mirror
from bc_ometria.store.copy import copy_out
from bc_ometria.store.schema import MIRROR, SCHEMA, held_rows
from bc_ometria_tests.blue_cherry.tenant import PROFILE

NOT_KEPT = {"style_colors": {f"call{bucket:02}" for bucket in range(1, 25)}}
"""What the mirror leaves out: which sizes are sold says nothing about an order."""

KINDS = {"str": Text, "int64": Integer, "datetime64[us]": DateTime}
WORDS = [
    "",
    "  ",
    "A",
    "it's",
    'say "hi"',
    "a,b",
    "a\nb",
    "a\r\nb",
    "\r",
    "\\.",
    "\\N",
    "NULL",
    "Zoë 🧥",
    "a\tb",
    "\x1f",
]


@pytest.mark.parametrize("resource", MIRROR)
def test_the_columns_of_the_mirror_are_those_of_the_frame(resource: str) -> None:
    columns = {column.name: column for column in MIRROR[resource].columns}
    dtypes = {name: dtype for name, dtype in frame_dtypes(resource).items() if name not in NOT_KEPT.get(resource, ())}
    assert set(columns) == set(dtypes)
    for name, dtype in dtypes.items():
        assert isinstance(columns[name].type, KINDS[dtype]), name
        if name in served_columns(resource) and dtype == "datetime64[us]":
            assert columns[name].nullable or served_columns(resource)[name].needed, name
        else:
            assert not columns[name].nullable, name
    assert MIRROR[resource].info["buckets"] is (resource in BUCKETED)
    keys = ["pkey", "bucket"] if resource in BUCKETED else ["pkey"]
    assert [column.name for column in MIRROR[resource].primary_key] == keys
    if resource not in catalogue.RESOURCES:
        assert served_columns(resource)[MIRROR[resource].info["reference"]].needed


@pytest.mark.parametrize("resource", MIRROR)
def test_every_number_that_passes_the_border_fits(resource: str) -> None:
    for column in MIRROR[resource].columns:
        small = resource in BUCKETED and column.name in ("bucket", "quantity", "total_qty")
        if isinstance(column.type, Integer) and not small:
            assert isinstance(column.type, BigInteger), column.name


def test_what_is_held_is_what_the_store_keeps() -> None:
    assert set(HELD_COLUMNS) - {"pkey"} == {column.name for column in held_rows.columns} - {"seen_at"}


def test_the_mirror_has_every_resource_that_orders_and_contacts_are_made_of() -> None:
    assert set(MIRROR) == {*mirror.ORDER_RESOURCES, *mirror.CUSTOMER_RESOURCES, *catalogue.RESOURCES}


def cells(name: str, column: Served) -> st.SearchStrategy[Any]:
    """Values of a column that are good, awkward, or no good at all."""
    texts = st.sampled_from(WORDS) | st.text(st.characters(exclude_categories=["Cs"]), max_size=column.width + 1)
    wrong = st.sampled_from([None, "", "x", 1.5, True, "\0", 2**63, []])
    match column.kind:
        case "integer" if name in BUCKETS:
            good: st.SearchStrategy[Any] = st.integers(0, 3)
        case "integer":
            good = st.integers(column.minimum or -INT64, column.maximum or INT64)
        case "money":
            good = st.decimals("-9999999999999", "9999999999999", places=2).map(str)
        case "stamp":
            good = st.just("") | st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31)).map(  # noqa: DTZ001
                lambda at: at.strftime("%Y-%m-%d %H:%M:%S").zfill(19)
            )
        case "flag":
            good = st.sampled_from(["Y", "N", "", " "])
        case "currency":
            good = st.sampled_from(["GBP", "EUR", "JPY"])
        case _:
            good = texts
    return st.one_of(good, good, good, good, good, good, wrong)


@st.composite
def served_rows(draw: st.DrawFn) -> tuple[str, list[dict[str, Any]]]:
    resource = draw(st.sampled_from(sorted(MIRROR)))
    columns = served_columns(resource)
    profile = PROFILE.resource(resource)
    plain = {"integer": 1, "money": "1.00", "stamp": "2026-11-23 09:05:00", "flag": "Y", "currency": "GBP", "text": "A"}
    rows = []
    for pkey in range(draw(st.integers(1, 3))):
        row: dict[str, Any] = {profile.field(name): plain[column.kind] for name, column in columns.items()}
        row |= {profile.field(name): 0 for name in BUCKETS if name in columns}
        odd = draw(st.lists(st.sampled_from(sorted(columns)), max_size=4, unique=True))
        row |= {profile.field("pkey"): pkey}
        row |= {profile.field(name): draw(cells(name, columns[name])) for name in odd}
        if "total_qty" in columns and "total_qty" not in odd:
            quantities = [row[profile.field(name)] for name in BUCKETS]
            row[profile.field("total_qty")] = sum(each for each in quantities if type(each) is int)
        rows.append(row)
    return resource, rows


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(served_rows())
def test_whatever_is_served_is_mirrored_as_it_was_read_or_held(
    engine: Engine, served: tuple[str, list[dict[str, Any]]]
) -> None:
    """Truth 7: no row that passes the border fails the batch of its neighbours."""
    resource, rows = served
    table = MIRROR[resource]
    with engine.begin() as connection:
        connection.execute(text(f"TRUNCATE {table.fullname}, {SCHEMA}.blue_cherry_held_rows, {SCHEMA}.touched"))
    typed = typed_rows(resource, rows, PROFILE)
    written = mirror.write(engine, resource, typed.frame, typed.held, moves_watermark=True)
    assert written.rows == written.changed == typed.frame["pkey"].nunique()

    kept = typed.frame.drop(columns=[*NOT_KEPT.get(resource, ())])
    by = [column.name for column in table.primary_key]
    back = read(engine, resource, kept)[kept.columns].sort_values(by, ignore_index=True)
    pd.testing.assert_frame_equal(back, kept.sort_values(by, ignore_index=True))
    assert mirror.held_keys(engine, resource) == set(typed.held["row_key"])
    if resource not in catalogue.RESOURCES:
        found = mirror.held_rows_of(engine, [resource], typed.held["reference"])
        assert set(found["row_key"]) == set(typed.held["row_key"])


def read(engine: Engine, resource: str, written: pd.DataFrame) -> pd.DataFrame:
    """The rows as the mirror gives them; those of the catalogue it gives only with the lines that they bear on."""
    if resource in catalogue.RESOURCES:
        columns = list(MIRROR[resource].columns)
        names = ", ".join(column.name for column in columns)
        with engine.connect() as connection:
            return copy_out(connection, f"SELECT {names} FROM {MIRROR[resource].fullname}", columns)
    reference = MIRROR[resource].info["reference"]
    parts, _ = (mirror.read_customers if reference == "customer" else mirror.read_orders)(engine, written[reference])
    return parts[resource]
