"""Equal is what says the same, however Ometria writes it; different is everything else (P7, P9)."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import orjson
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from bc_ometria.ometria.comparison import differences, opt_outs_of_ometria
from bc_ometria_tests.ometria.examples import RECORDS


def paths(wanted: dict[str, Any], shown: dict[str, Any]) -> list[str]:
    return [difference.path for difference in differences(wanted, shown)]


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
        ("Ann.Example@Example.com", "ann.example@example.com"),
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
        ([True, 0], [1, 0], "x.0"),
        ("ann@example.com", "anne@example.com", "x"),
        ("AUTUMN", "autumn", "x"),
    ],
)
def test_not_the_same(wanted: Any, shown: Any, path: str) -> None:
    assert paths({"x": wanted}, {"x": shown})[0] == path


def test_every_path_that_differs_is_named() -> None:
    wanted = {"id": "1", "status": "shipped", "lineitems": [{"quantity": 1, "total": 5}], "customer": {"id": "C1"}}
    shown = {"id": "1", "status": "placed", "lineitems": [{"quantity": 2, "total": 5}]}
    assert paths(wanted, shown) == ["status", "lineitems.0.quantity", "customer"]


TOLD: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({"grand_total": 120.0}, {"grand_total": 99.0}, "grand_total: 120.0 wanted, 99.0 shown"),
    ({"grand_total": 120.0}, {"grand_total": "120"}, 'grand_total: 120.0 wanted, "120" shown'),
    ({"status": "shipped"}, {"status": "placed"}, 'status: "shipped" wanted, "placed" shown'),
    ({"status": "shipped"}, {}, 'status: "shipped" wanted, missing'),
    ({"status": "shipped"}, {"status": None}, 'status: "shipped" wanted, missing'),
    ({"status": "shipped"}, {"status": {"of": "Ann"}}, 'status: "shipped" wanted, an object shown'),
    ({"status": "shipped"}, {"status": ["Ann"]}, 'status: "shipped" wanted, a list shown'),
    ({"status": "shipped"}, {"status": "x" * 99}, f'status: "shipped" wanted, "{"x" * 39}… shown'),
    ({"status": "shipped"}, {"status": "ann@example.com"}, 'status: "shipped" wanted, "***@***" shown'),
    ({"is_valid": False}, {"is_valid": True}, "is_valid: false wanted, true shown"),
    ({"lineitems": [{}, {}, {}]}, {"lineitems": [{}, {}]}, "lineitems: 3 wanted, 2 shown"),
    ({"lineitems": [{}]}, {}, "lineitems: missing"),
    (
        {"lineitems": [{}, {"refunded": 5.5}]},
        {"lineitems": [{}, {"refunded": 0}]},
        "lineitems.1.refunded: 5.5 wanted, 0 shown",
    ),
    (
        {"lineitems": [{"variant_options": [{"label": "Red"}]}]},
        {"lineitems": [{"variant_options": [{"label": "Blue"}]}]},
        'lineitems.0.variant_options.0.label: "Red" wanted, "Blue" shown',
    ),
    ({"totals": {"base": {"tax": 1}}}, {"totals": {"base": {"tax": 2}}}, "totals.base.tax: 1 wanted, 2 shown"),
    ({"store_ids": ["uk"]}, {"store_ids": ["ie"]}, 'store_ids.0: "uk" wanted, "ie" shown'),
    ({"country_id": "GB"}, {"country_id": "IE"}, 'country_id: "GB" wanted, "IE" shown'),
    ({"firstname": "Ann"}, {"firstname": "Bea"}, "firstname: differs"),
    ({"email": "ann@example.com"}, {}, "email: missing"),
    ({"customer": {"id": "00001234"}}, {"customer": {"id": "00009999"}}, "customer.id: differs"),
    ({"customer": {"currency": "a name"}}, {"customer": {"currency": "b"}}, "customer.currency: differs"),
    ({"properties": {"status": "VIP"}}, {"properties": {"status": "no"}}, "properties.status: differs"),
    ({"lineitems": [{"properties": {"sku": "x"}}]}, {"lineitems": [{}]}, "lineitems.0.properties: missing"),
    ({"store": ["Ann"]}, {"store": ["Bea", "Cy"]}, "store: 1 wanted, 2 shown"),
]


@pytest.mark.parametrize(("wanted", "shown", "words"), TOLD)
def test_a_difference_is_told_with_both_values_and_nothing_personal(
    wanted: dict[str, Any], shown: dict[str, Any], words: str
) -> None:
    assert list(map(str, differences(wanted, shown))) == [words]


def test_a_record_that_is_not_there_at_all() -> None:
    [missing] = differences(RECORDS["order"](), None)
    assert (missing.path, str(missing)) == ("", "missing in Ometria")


PERSONAL = {
    "id", "customer_id", "email", "phone_number", "prefix", "firstname", "middlename", "lastname", "gender",
    "date_of_birth", "timezone", "properties", "extra_identifiers", "customer", "shipping_address", "billing_address",
    "coupon_code", "web_id",
}  # fmt: skip


def spoilt(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: spoilt(each) for name, each in value.items()}
    return [spoilt(each) for each in value] if isinstance(value, list) else {"was": value}


@pytest.mark.parametrize("record_type", ["contact", "order"])
def test_only_what_cannot_be_personal_is_told(record_type: str) -> None:
    """Every other value is kept back, also in the text that shows the object itself."""
    good = RECORDS[record_type]()
    for difference in differences(good, spoilt(good)):
        field = difference.path.split(".")[0]
        kept_back = str(difference) == f"{difference.path}: differs"
        assert kept_back == (field in PERSONAL or difference.path.startswith("lineitems.0.properties")), difference
        assert repr(difference) == f"Difference(path='{difference.path}')"


OPTED_IN, OPTED_OUT, UNKNOWN = "EXPLICITLY_OPTEDIN", "EXPLICITLY_OPTEDOUT", "NOT_SPECIFIED"
SUBSCRIBED, UNSUBSCRIBED = "2026-01-01T00:00:00Z", "2026-11-01T00:00:00Z"


@pytest.mark.parametrize("wanted", [OPTED_IN, UNKNOWN])
def test_an_opt_out_made_at_ometria_is_no_difference(wanted: str) -> None:
    """P2: what Ometria owns is never overwritten, so nothing may call for its repair."""
    contact = {"id": "1", "marketing_optin": wanted, "timestamp_subscribed": SUBSCRIBED}
    opted_out = {"id": "1", "marketing_optin": OPTED_OUT, "timestamp_unsubscribed": UNSUBSCRIBED}
    assert differences(contact, opted_out) == []
    assert differences(contact, {**opted_out, "timestamp_subscribed": UNSUBSCRIBED}) == []
    assert opt_outs_of_ometria(contact, opted_out) > {"marketing_optin"}


def test_only_the_consent_that_was_withdrawn_is_ometrias() -> None:
    contact = {"firstname": "Ann", "marketing_optin": OPTED_IN, **texts(allowed=True, since=SUBSCRIBED)}
    out_by_email = {**contact, "firstname": "Bea", "marketing_optin": OPTED_OUT, **texts(allowed=True)}
    assert paths(contact, out_by_email) == ["firstname", "channels.sms.dt_updated_marketing"]
    out_by_text = {**contact, "marketing_optin": UNKNOWN, **texts(allowed=False, since=UNSUBSCRIBED)}
    assert paths(contact, out_by_text) == ["marketing_optin"]
    assert paths(contact, {**contact, **texts(allowed=False)}) == []


@pytest.mark.parametrize("shown", [OPTED_IN, UNKNOWN, None])
def test_an_opt_out_that_ometria_does_not_show_is_a_difference(shown: str | None) -> None:
    """P2, truth 5: Ometria is never more permissive than Blue Cherry."""
    assert paths({"marketing_optin": OPTED_OUT}, {"marketing_optin": shown}) == ["marketing_optin"]
    assert opt_outs_of_ometria({"marketing_optin": OPTED_OUT}, {"marketing_optin": shown}) == set()


def test_consent_that_is_not_there_or_too_generous_is_a_difference() -> None:
    assert paths(texts(allowed=False), texts(allowed=True)) == ["channels.sms.allow_marketing"]
    assert paths(texts(allowed=True), {}) == ["channels"]
    assert paths(texts(allowed=True), {"channels": "none"}) == ["channels"]
    assert paths({"marketing_optin": UNKNOWN}, {"marketing_optin": OPTED_IN}) == ["marketing_optin"]
    assert paths({"marketing_optin": OPTED_IN}, {"marketing_optin": UNKNOWN}) == ["marketing_optin"]


def test_times_of_an_opt_out_that_both_have_still_count() -> None:
    contact = {"marketing_optin": OPTED_OUT, "timestamp_unsubscribed": SUBSCRIBED, **texts(allowed=False, since="a")}
    shown = {"marketing_optin": OPTED_OUT, "timestamp_unsubscribed": UNSUBSCRIBED, **texts(allowed=False, since="b")}
    assert paths(contact, shown) == ["timestamp_unsubscribed", "channels.sms.dt_updated_marketing"]


def texts(*, allowed: bool, since: str | None = None) -> dict[str, Any]:
    return {"channels": {"sms": {"allow_marketing": allowed} | ({"dt_updated_marketing": since} if since else {})}}


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
    assert paths(kept, {name: value for name, value in kept.items() if name != gone}) == [gone]


@given(records, names.filter(lambda name: not name.startswith("@")), scalars, scalars)
def test_a_scalar_that_was_changed_is_a_difference(record: dict[str, Any], name: str, one: Any, other: Any) -> None:
    assume(one != other or isinstance(one, bool) != isinstance(other, bool))
    wanted, shown = {**record, "within": {name: one}}, {**record, "within": {name: other}}
    assert paths(wanted, shown) == [f"within.{name}"]


@given(
    st.datetimes(datetime(1970, 1, 2), datetime(2100, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    st.integers(-14 * 60, 14 * 60),
    st.integers(1, 10**12),
)
def test_an_instant_is_the_same_in_every_offset_and_another_is_not(at: datetime, offset: int, apart: int) -> None:
    there = at.astimezone(timezone(timedelta(minutes=offset)))
    assert differences({"at": at.isoformat()}, {"at": there.isoformat()}) == []
    assert paths({"at": at.isoformat()}, {"at": (there + timedelta(microseconds=apart)).isoformat()}) == ["at"]


@pytest.mark.parametrize("record_type", RECORDS)
def test_each_field_of_a_record_counts(record_type: str) -> None:
    good = RECORDS[record_type]()
    assert differences(good, RECORDS[record_type]()) == []
    for name in good:
        shown = {**RECORDS[record_type](), name: "something else"}
        directive = name in ("@merge", "@force_optin", "@add_to_lists", "@remove_from_lists")
        assert [path.split(".")[0] for path in paths(good, shown)][:1] == ([] if directive else [name])
