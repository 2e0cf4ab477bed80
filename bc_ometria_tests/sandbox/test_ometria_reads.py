"""What was pushed, read back: queue lag, replace and merge, lists and their filters."""

import pytest

from bc_ometria_tests.sandbox.ometria_stand_in import NOW, at, contact, event, order, product, stand_in


def without_stamp(record):
    return {name: value for name, value in record.items() if name != "timestamp_update"}


@pytest.mark.parametrize(
    ("record", "path"),
    [(order("1/a"), "/orders/1/a"), (contact(), "/contacts/blue_cherry/C1"), (product(), "/products/P1")],
)
def test_a_record_reads_back_as_it_was_pushed(record, path):
    with stand_in() as ometria:
        ometria.push(record)
        read = ometria.get(path)
        assert without_stamp(read) == record
        assert read["timestamp_update"] == "2026-11-23T09:00:00Z"
        ometria.control.patch("/settings", json={"reads_show_update": False})
        assert ometria.get(path) == record


def test_a_read_sees_a_push_only_after_the_lag():
    """P7: accepted is not there yet."""
    with stand_in(queue_lag_seconds=120) as ometria:
        ometria.push(order("1"), order("2", currency="GPB"))
        assert ometria.api.get("/orders/1").status_code == 404
        assert ometria.get("/push/_errors") == []
        ometria.advance(seconds=119)
        assert ometria.api.get("/orders/1").status_code == 404
        ometria.advance(seconds=1)
        assert ometria.api.get("/orders/1").status_code == 200
        assert len(ometria.get("/push/_errors")) == 1


def test_the_queue_keeps_its_order_when_the_lag_shrinks():
    with stand_in(queue_lag_seconds=60) as ometria:
        ometria.push(order(status="old"))
        ometria.control.patch("/settings", json={"queue_lag_seconds": 0})
        ometria.push(order(status="new"))
        ometria.advance(seconds=60)
        assert ometria.get("/orders/0000001001")["status"] == "new"


def test_a_push_replaces_the_whole_record():
    with stand_in() as ometria:
        ometria.push(order(status="open", coupon_code="A"))
        ometria.push(order(status="complete"))
        assert without_stamp(ometria.get("/orders/0000001001")) == order(status="complete")


@pytest.mark.parametrize(("depth", "properties"), [("shallow", {"b": 2}), ("deep", {"a": 1, "b": 2})])
def test_merge_keeps_what_is_not_named(depth, properties):
    with stand_in(merge_depth=depth) as ometria:
        ometria.push(contact(lastname="Lovelace", properties={"a": 1}))
        ometria.push(
            {
                "@type": "contact",
                "@collection": "blue_cherry",
                "id": "C1",
                "properties": {"b": 2},
                "@merge": True,
            }
        )
        read = ometria.get("/contacts/blue_cherry/C1")
        assert without_stamp(read) == contact(lastname="Lovelace", properties=properties)


def test_every_push_is_a_merge_where_ometria_reads_it_so():
    with stand_in(replaces_without_merge=False) as ometria:
        ometria.push(order(coupon_code="A"))
        ometria.push(order(status="complete"))
        assert without_stamp(ometria.get("/orders/0000001001")) == order(coupon_code="A", status="complete")


@pytest.mark.parametrize("depth", ["shallow", "deep"])
def test_a_products_attributes_and_an_orders_lines_are_always_replaced(depth):
    with stand_in(merge_depth=depth) as ometria:
        ometria.push(product(attributes=[{"type": "season", "id": "SS26", "label": "Spring"}]))
        new = [{"type": "colour", "id": "R", "label": "Red"}]
        ometria.push({"@type": "product", "id": "P1", "attributes": new, "@merge": True})
        assert ometria.get("/products/P1")["attributes"] == new
        assert ometria.get("/products/P1")["title"] == "Wool coat"


@pytest.mark.parametrize("nothing", [None, ""])
@pytest.mark.parametrize("merge", [True, False])
def test_nothing_over_a_good_value_is_seen(nothing, merge):
    """A known mistake of others: null over a good value."""
    with stand_in() as ometria:
        ometria.push(contact(phone_number="+442079460000"))
        ometria.push(contact(phone_number=nothing, **{"@merge": merge}))
        assert ometria.get("/contacts/blue_cherry/C1")["phone_number"] is None


def test_contacts_of_one_id_in_two_collections_are_two():
    with stand_in() as ometria:
        ometria.push(contact(lastname="A"), contact(lastname="B", **{"@collection": "till"}))
        assert ometria.get("/contacts/blue_cherry/C1")["lastname"] == "A"
        assert ometria.get("/contacts/till/C1")["lastname"] == "B"
        assert [each["@collection"] for each in ometria.get("/contacts/till")] == ["till"]


def ids(records):
    return [each["id"] for each in records]


def test_lists_page_in_order_of_internal_id():
    with stand_in() as ometria:
        for start in (0, 100, 200):
            ometria.push(*(order(f"{number:03}") for number in range(start, start + 100)))
        ometria.push(order("000", status="changed"))
        assert ids(ometria.get("/orders")) == [f"{number:03}" for number in range(10)]
        assert ids(ometria.get("/orders", limit=250, offset=100)) == [f"{number:03}" for number in range(100, 300)]
        assert ids(ometria.get("/orders", orderby="timestamp_update", offset=299)) == ["000"]
        assert ids(ometria.get("/orders", orderby="timestamp_update", limit=1)) == ["001"]


@pytest.mark.parametrize(
    "parameters",
    [{"limit": 251}, {"limit": "x"}, {"offset": -1}, {"orderby": "id"}, {"updateSince": "yesterday"}],
)
def test_bad_parameters_of_a_list_are_400(parameters):
    with stand_in() as ometria:
        assert ometria.api.get("/orders", params=parameters).status_code == 400


def test_lists_filter_by_update_creation_and_timestamp():
    with stand_in() as ometria:
        ometria.push(order("1", timestamp=at(days=3)), order("2", timestamp=at(days=1)))
        ometria.advance(hours=1)
        ometria.push(order("1", timestamp=at(days=3), status="changed"), order("3", timestamp=at(days=2)))
        noon, hour_later = NOW.isoformat(), "2026-11-23T11:00:00+01:00"
        assert ids(ometria.get("/orders", updateSince=hour_later)) == ["1", "3"]
        assert ids(ometria.get("/orders", updateBefore=hour_later)) == ["2"]
        assert ids(ometria.get("/orders", createSince=hour_later)) == ["3"]
        assert ids(ometria.get("/orders", createSince=noon, createBefore=hour_later)) == ["1", "2"]
        assert ids(ometria.get("/orders", timestampSince=at(days=2), timestampBefore=at(days=1))) == ["3"]


def test_orders_of_a_customer_and_of_an_address():
    with stand_in() as ometria:
        ometria.push(
            order("1"),
            order("2", customer={"email": "Ada@Example.com"}),
            order("3", customer={"id": "C3", "email": "eve@example.com"}),
        )
        assert ids(ometria.get("/orders", customer_id="C1")) == ["1"]
        assert ids(ometria.get("/orders", email="ada@example.com")) == ["1", "2"]
        assert ids(ometria.get("/orders", email="ada@example.com", customer_id="C3")) == []
        ometria.push(order("1", customer={"id": "C3", "email": "eve@example.com"}))
        assert ids(ometria.get("/orders", customer_id="C3")) == ["1", "3"]


@pytest.mark.parametrize(("repeats", "stored"), [("stored_twice", 2), ("ignored", 1)])
def test_a_repeated_event_is_always_counted(repeats, stored):
    with stand_in(event_repeats=repeats) as ometria:
        ometria.push(contact())
        ometria.push(event())
        ometria.push(event())
        ometria.push(event(event_type="order_returned"))
        assert len(ometria.state("events")) == stored + 1
        assert ometria.control.get("/counts").json()["event_repeats"] == 1
        assert ometria.outcomes("order_shipped") == ["fired", "fired" if stored == 2 else "repeat"]
