"""Record-level rules: a bad record is refused alone, later, and only the errors ring tells."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bc_ometria.sandbox.ometria.checks import parse_timestamp
from bc_ometria.sandbox.ometria.records import problem_of
from bc_ometria_tests.sandbox.ometria_stand_in import contact, event, order, product, stand_in


@pytest.fixture
def ometria():
    with stand_in() as served:
        yield served


def line(**fields):
    return {"lineitems": [{"product_id": "P1", "quantity": 1, "unit_price": 1.0, **fields}]}


def without(record, name):
    return {key: value for key, value in record.items() if key != name}


BAD = [
    ("not an object", "order", ""),
    ("missing @type", without(order(), "@type"), "/@type"),
    ("unknown @type", {"@type": "parcel", "id": "1"}, "/@type"),
    ("@type that is no text", {"@type": 7, "id": "1"}, "/@type"),
    *((f"{make.__name__} without id", without(make(), "id"), "/id") for make in (order, contact, event, product)),
    ("over 60 KB", order(notes="x" * 60_000), ""),
    ("id that is no text", order(id=7), "/id"),
    ("order id of 37", order(id="x" * 37), "/id"),
    ("order without timestamp", without(order(), "timestamp"), "/timestamp"),
    ("order without grand_total", without(order(), "grand_total"), "/grand_total"),
    ("order without currency", without(order(), "currency"), "/currency"),
    ("order with blank currency", order(currency=""), "/currency"),
    ("unknown currency", order(currency="GPB"), "/currency"),
    ("currency in lower case", order(currency="gbp"), "/currency"),
    ("total that is text", order(grand_total="129.00"), "/grand_total"),
    ("total that is a boolean", order(grand_total=True), "/grand_total"),
    ("date without time", order(timestamp="2026-11-23"), "/timestamp"),
    ("date that does not exist", order(timestamp="2026-02-30T10:00:00Z"), "/timestamp"),
    ("date with a blank for the T", order(timestamp="2026-11-23 10:00:00"), "/timestamp"),
    ("date that is a number", order(timestamp=1795424400), "/timestamp"),
    ("is_valid as text", order(is_valid="true"), "/is_valid"),
    ("is_valid as number", order(is_valid=1), "/is_valid"),
    ("store of 33", order(store="x" * 33), "/store"),
    ("payment method of 33", order(payment_method="x" * 33), "/payment_method"),
    ("shipping method of 33", order(shipping_method="x" * 33), "/shipping_method"),
    (
        "country of an address",
        order(shipping_address={"country_code": "UK"}),
        "/shipping_address/country_code",
    ),
    ("customer's e-mail", order(customer={"email": "ada at example"}), "/customer/email"),
    ("customer's phone", order(customer={"phone_number": "020 7946"}), "/customer/phone_number"),
    ("lines that are no array", order(lineitems={}), "/lineitems"),
    ("line without product", order(**line(product_id=None)), "/lineitems/0/product_id"),
    ("line without quantity", order(**line(quantity=None)), "/lineitems/0/quantity"),
    ("line without a price", order(**line(unit_price=None)), "/lineitems/0/unit_price"),
    ("line's flag", order(**line(is_on_sale="N")), "/lineitems/0/is_on_sale"),
    *(
        (
            f"variant option without {name}",
            order(**line(variant_options=[option])),
            f"/lineitems/0/variant_options/0/{name}",
        )
        for name in ("type", "id", "label")
        for option in [without({"type": "size", "id": "m", "label": "M"}, name)]
    ),
    ("order's properties", order(properties={"x": "y" * 1_000}), "/properties"),
    ("contact without collection", without(contact(), "@collection"), "/@collection"),
    ("unknown opt-in", contact(marketing_optin="EXPLICITLY_OPTED_OUT"), "/marketing_optin"),
    ("unknown gender", contact(gender="x"), "/gender"),
    ("e-mail", contact(email="ada@example"), "/email"),
    ("phone without +", contact(phone_number="442079460000"), "/phone_number"),
    ("phone with blanks", contact(phone_number="+44 20 7946 0000"), "/phone_number"),
    ("country", contact(country_id="GBR"), "/country_id"),
    ("birthday", contact(date_of_birth="23/11/1990"), "/date_of_birth"),
    ("birthday as a week", contact(date_of_birth="1990-W01-1"), "/date_of_birth"),
    ("long name", contact(lastname="x" * 65), "/lastname"),
    ("long customer id", contact(customer_id="x" * 256), "/customer_id"),
    ("@force_optin as text", contact(**{"@force_optin": "Y"}), "/@force_optin"),
    ("@merge as number", contact(**{"@merge": 1}), "/@merge"),
    ("timestamp_subscribed", contact(timestamp_subscribed="yesterday"), "/timestamp_subscribed"),
    ("sms flag", contact(channels={"sms": {"allow_marketing": "Y"}}), "/channels/sms/allow_marketing"),
    ("contact's properties", contact(properties={"x": "y" * 1_000}), "/properties"),
    ("properties that are no object", contact(properties=[]), "/properties"),
    *(
        (f"event without {name}", without(event(), name), f"/{name}")
        for name in ("event_type", "timestamp", "properties", "identity_account_id")
    ),
    ("event id of 33", event(id="x" * 33), "/id"),
    ("event type of 32", event(event_type="x" * 32), "/event_type"),
    ("event's e-mail", event(identity_email="ada"), "/identity_email"),
    ("long title", product(title="x" * 141), "/title"),
    ("long product id", product(id="x" * 256), "/id"),
    ("long image url", product(image_url="x" * 1025), "/image_url"),
    ("price that is text", product(price="129.00"), "/price"),
    ("is_in_stock as text", product(is_in_stock="Y"), "/is_in_stock"),
]


@pytest.mark.parametrize(("record", "path"), [pytest.param(*case[1:], id=case[0]) for case in BAD])
def test_a_bad_record_is_refused_alone_and_only_the_ring_tells(ometria, record, path):
    """P1: the stand-in would show a bad record that had left."""
    good = {"contact": contact, "custom_event": event, "product": product}.get(
        record.get("@type") if isinstance(record, dict) else "", order
    )("good")
    if isinstance(record, dict) and record.get("@type") not in (
        "order",
        "contact",
        "custom_event",
        "product",
    ):
        ometria.push(record)
    else:
        assert ometria.push(good, record)["accepted"] == 2
        assert sum(ometria.account.counts.stored.values()) == 1
    (error,) = ometria.errors()
    assert error["record"] == record
    ometria.control.patch("/settings", json={"error_shape": "documented"})
    (error,) = ometria.get("/push/_errors")
    assert error["error_path"] == path
    assert error["error_message"]
    assert ometria.account.counts.refused == 1


GOOD = [
    order(timestamp="2026-11-23T09:00:00+01:00"),
    order(timestamp="2026-11-23T09:00:00Z"),
    order(timestamp="2026-11-23T09:00:00.123456-05:30"),
    order(customer={"email": "guest@example.com"}),
    without(order(), "customer"),
    order(**line(unit_price=0)),
    order(**line(quantity=0)),
    order(**line(unit_price=None, subtotal=0)),
    order(grand_total=0),
    order(is_valid=False, refunded=129.0),
    order(status=None, store="", something_new={"a": [1]}),
    contact(marketing_optin=None, gender="", phone_number=None),
    contact(phone_number="+442079460000", country_id="GB", gender="f", date_of_birth="1990-11-23"),
    event(identity_account_id=None, identity_email="ada@example.com"),
    product(attributes=[{"type": "season", "id": "SS27", "label": "Spring 27"}]),
    {"@type": "product", "id": "P1", "is_in_stock": False, "@merge": True},
]


@pytest.mark.parametrize("record", GOOD)
def test_what_others_refuse_by_mistake_is_good(ometria, record):
    """Offsets, guests, free lines and zero quantities are legal (mission.md: known mistakes of others)."""
    ometria.push(record)
    assert ometria.errors() == []
    assert ometria.account.counts.stored == {record["@type"]: 1}


@given(st.datetimes(), st.integers(-14 * 60, 14 * 60))
def test_every_offset_names_the_same_moment(moment, minutes):
    sign, minutes = "-" if minutes < 0 else "+", abs(minutes)
    offset = f"{sign}{minutes // 60:02}:{minutes % 60:02}"
    text = moment.isoformat() + offset
    try:
        parsed = parse_timestamp(text)
    except OverflowError:
        assert moment.year in (1, 9999)
    else:
        shift = parsed.replace(tzinfo=None) - moment
        assert shift.total_seconds() == (1 if sign == "-" else -1) * minutes * 60


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)


@given(st.sampled_from([order, contact, event, product]), st.data())
def test_no_value_breaks_a_check(make, data):
    record = make()
    name = data.draw(st.sampled_from([*record, "channels", "properties", "customer", "lineitems", "attributes"]))
    problem = problem_of({**record, name: data.draw(json_values)})
    assert problem is None or problem.path == "" or problem.path.startswith(("/" + name, "/identity", "/@type"))


def test_a_record_of_just_60_kb_is_taken(ometria):
    blank = order(notes="")
    room = 60_000 - len(orjson.dumps(blank))
    ometria.push(order("1", notes="x" * (room - 100)), order(notes="x" * room))
    assert ometria.errors() == []


def test_the_two_shapes_of_the_errors_ring(ometria):
    sent = ometria.push(order("1", currency="GPB"), order("2", currency="GPB"))
    documented = {"error_message": "must be an ISO 4217 currency code", "error_path": "/currency"}
    ometria.control.patch("/settings", json={"error_shape": "documented"})
    assert ometria.get("/push/_errors") == [documented] * 2
    ometria.control.patch("/settings", json={"error_shape": "observed"})
    newest = ometria.get("/push/_errors")[0]
    assert newest.keys() == {"request_id", "record_type", "record_id", "record", "timestamp", "message"}
    assert (newest["request_id"], newest["record_type"], newest["record_id"]) == (
        sent["request_id"],
        "order",
        "2",
    )
    ometria.control.patch("/settings", json={"error_shape": "mixed"})
    assert [set(each) == set(documented) for each in ometria.get("/push/_errors")] == [False, True]
    ometria.push(order("3", currency="GPB"))
    assert [set(each) == set(documented) for each in ometria.get("/push/_errors")] == [True, False, True]


def test_the_ring_holds_the_latest_hundred(ometria):
    ometria.push(*(order(f"a{number}", currency="GPB") for number in range(60)))
    ometria.push(*(order(f"b{number}", currency="GPB") for number in range(60)))
    ids = {each["record_id"] for each in ometria.errors()}
    assert len(ids) == 100
    assert {f"b{number}" for number in range(60)} <= ids
    assert "a0" not in ids


def test_unknown_stores_and_products_are_refused_where_the_account_says_so():
    with stand_in(stores=["uk"], unknown_products="refused") as ometria:
        ometria.push(product("P1"))
        elsewhere = [{"product_id": "P2", "quantity": 1, "unit_price": 1}]
        ometria.push(order("1", store="uk"), order("2", store="UK"), order("3", lineitems=elsewhere))
        assert [each["id"] for each in ometria.state("orders")] == ["1"]
        assert [each["record_id"] for each in ometria.errors()] == ["2", "3"]


def test_rejections_can_be_told_in_the_reply():
    with stand_in(rejects_in_reply=True) as ometria:
        reply = ometria.push(order("1"), order("2", currency="GPB"))
        assert (reply["accepted"], reply["rejected"]) == (1, 1)
        assert [each["id"] for each in ometria.state("orders")] == ["1"]
