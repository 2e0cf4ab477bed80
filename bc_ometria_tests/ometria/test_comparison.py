"""Equal is what says the same, however Ometria writes it; different is everything else (P7, P9)."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import orjson
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from bc_ometria.ometria.comparison import differences
from bc_ometria_tests.ometria.examples import RECORDS


@pytest.mark.parametrize(
    ("wanted", "shown"),
    [
        (129, 129.0),
        (0, -0.0),
        ("2026-11-23T09:05:00Z", "2026-11-23T09:05:00+00:00"),
        ("2026-11-23T09:05:00+01:00", "2026-11-23T08:05:00.000Z"),
        ("2026-11-23T23:30:00-01:00", "2026-11-24T00:30:00Z"),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        ({"a": {"b": [1, {"c": "d"}]}}, {"a": {"b": [1.0, {"c": "d", "added": True}]}, "timestamp_update": "x"}),
        ([], []),
        ({}, {"anything": 1}),
        (True, True),
        (
            {"id": "1", "@merge": True, "@force_optin": True, "@add_to_lists": [1], "@remove_from_lists": [2]},
            {"id": "1"},
        ),
    ],
)
def test_the_same(wanted: Any, shown: Any) -> None:
    assert differences({"x": wanted}, {"x": shown}) == []


@pytest.mark.parametrize(
    ("wanted", "shown", "path"),
    [
        (129, 129.01, "x"),
        (129, "129", "x"),
        ("a", "A", "x"),
        ("0042", "42", "x"),
        (True, 1, "x"),
        (0, False, "x"),
        (1, True, "x"),
        (False, 0.0, "x"),
        (True, False, "x"),
        ("a", None, "x"),
        (1, None, "x"),
        ([], {}, "x"),
        ({}, [], "x"),
        ({}, None, "x"),
        ([], None, "x"),
        ("2026-11-23T09:05:00Z", "2026-11-23T09:05:01Z", "x"),
        ("2026-11-23T09:05:00Z", "2026-11-23T09:05:00", "x"),
        ("2026-11-23T09:05:00", "2026-11-23T09:05:00.000", "x"),
        ("2026-11-23", "2026-11-24", "x"),
        ({"a": 1}, {}, "x.a"),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 2, "c": 2}}, "x.a.b"),
        ([1, 2], [1, 2, 3], "x"),
        ([1, 2], [2, 1], "x.0"),
        ([{"quantity": 1}, {"quantity": 2}], [{"quantity": 1}, {"quantity": 3}], "x.1.quantity"),
        ([[1, [2]]], [[1, [3]]], "x.0.1.0"),
    ],
)
def test_not_the_same(wanted: Any, shown: Any, path: str) -> None:
    assert differences({"x": wanted}, {"x": shown})[0] == path


def test_every_path_that_differs_is_named() -> None:
    wanted = {"id": "1", "status": "shipped", "lineitems": [{"quantity": 1, "total": 5}], "customer": {"id": "C1"}}
    shown = {"id": "1", "status": "placed", "lineitems": [{"quantity": 2, "total": 5}]}
    assert differences(wanted, shown) == ["status", "lineitems.0.quantity", "customer"]


scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
)
names = st.text(max_size=6)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=12,
)
records = st.dictionaries(names, values, max_size=5)


@given(records)
def test_a_record_equals_itself_after_a_journey_as_json(record: dict[str, Any]) -> None:
    assert differences(record, record) == []
    assert differences(orjson.loads(orjson.dumps(record)), record) == []


@given(records, records)
def test_what_ometria_adds_does_not_count(record: dict[str, Any], added: dict[str, Any]) -> None:
    assert differences(record, added | record) == []


@given(records, st.data())
def test_a_key_that_is_missing_is_a_difference(record: dict[str, Any], data: st.DataObject) -> None:
    kept = {name: value for name, value in record.items() if value is not None and not name.startswith("@")}
    assume(kept)
    gone = data.draw(st.sampled_from(sorted(kept)))
    assert differences(kept, {name: value for name, value in kept.items() if name != gone}) == [gone]


@given(records, names.filter(lambda name: not name.startswith("@")), scalars, scalars)
def test_a_scalar_that_was_changed_is_a_difference(record: dict[str, Any], name: str, one: Any, other: Any) -> None:
    assume(one != other or isinstance(one, bool) != isinstance(other, bool))
    wanted, shown = {**record, "within": {name: one}}, {**record, "within": {name: other}}
    assert differences(wanted, shown) == [f"within.{name}"]


@given(
    st.datetimes(datetime(1970, 1, 2), datetime(2100, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    st.integers(-14 * 60, 14 * 60),
    st.integers(1, 10**12),
)
def test_an_instant_is_the_same_in_every_offset_and_another_is_not(at: datetime, offset: int, apart: int) -> None:
    there = at.astimezone(timezone(timedelta(minutes=offset)))
    assert differences({"at": at.isoformat()}, {"at": there.isoformat()}) == []
    assert differences({"at": at.isoformat()}, {"at": (there + timedelta(microseconds=apart)).isoformat()}) == ["at"]


@pytest.mark.parametrize("record_type", RECORDS)
def test_each_field_of_a_record_counts(record_type: str) -> None:
    good = RECORDS[record_type]()
    assert differences(good, RECORDS[record_type]()) == []
    for name in good:
        shown = {**RECORDS[record_type](), name: "something else"}
        directive = name in ("@merge", "@force_optin", "@add_to_lists", "@remove_from_lists")
        assert [path.split(".")[0] for path in differences(good, shown)][:1] == ([] if directive else [name])
