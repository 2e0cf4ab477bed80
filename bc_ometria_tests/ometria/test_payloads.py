"""What may leave for Ometria and what may not (P1), rule by rule of ``contracts/ometria.md``."""

import json
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bc_ometria.ometria.payloads import CONSENT_KEYS, MAX_RECORD_BYTES, Violation, too_large, violations
from bc_ometria_tests.ometria.examples import RECORDS

ABSENT = object()
Path = tuple[str | int, ...]


def spoilt(record_type: str, path: Path, value: Any) -> bytes:
    """The good record with ``value`` at ``path``, or nothing there where it is ``ABSENT``."""
    record: Any = RECORDS[record_type]()
    place = record
    for step in path[:-1]:
        place = place[step]
    if value is ABSENT:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return json.dumps(record).encode()


@pytest.mark.parametrize("record_type", RECORDS)
def test_a_record_with_every_field_of_the_contract_is_good(record_type: str) -> None:
    assert violations(record_type, orjson.dumps(RECORDS[record_type]())) == []


NEW_YEAR = "2026-01-01T00:00:00Z"
LEAST = [
    ("contact", {"@type": "contact", "@collection": "blue_cherry", "id": "1"}),
    (
        "contact",
        {"@type": "contact", "@collection": "c", "id": "1", "timestamp_subscribed": "2026-01-01T00:00:00Z"},
    ),
    (
        "order",
        {
            "@type": "order",
            "id": "1",
            "timestamp": NEW_YEAR,
            "currency": "EUR",
            "grand_total": 0,
            "is_valid": False,
            "lineitems": [{"product_id": "p", "quantity": 0, "subtotal": 0}],
        },
    ),
    (
        "custom_event",
        {
            "@type": "custom_event",
            "id": "1",
            "event_type": "shipped",
            "timestamp": NEW_YEAR,
            "properties": {},
            "identity_email": "ann@example.com",
        },
    ),
    ("product", {"@type": "product", "id": "p", "is_in_stock": False, "@merge": True}),
]


@pytest.mark.parametrize(("record_type", "record"), LEAST)
def test_what_may_be_left_out_may_be_left_out(record_type: str, record: dict[str, Any]) -> None:
    assert violations(record_type, orjson.dumps(record)) == []


GOOD = [
    ("contact", ("email",), "o'brien+shop@mail.example.co.uk"),
    ("contact", ("phone_number",), "+15550100"),
    ("contact", ("gender",), "o"),
    ("contact", ("date_of_birth",), "2024-02-29"),
    ("contact", ("timestamp_acquired",), "2026-11-23T09:05:00+01:00"),
    ("contact", ("lastname",), "Ñ" * 64),
    ("contact", ("firstname",), "李"),
    ("contact", ("marketing_optin",), "NOT_SPECIFIED"),
    ("contact", ("id",), "1" * 255),
    ("order", ("id",), "1" * 36),
    ("order", ("store",), "s" * 32),
    ("order", ("customer", "id"), ABSENT),
    ("order", ("grand_total",), -12.5),
    ("order", ("lineitems", 0, "unit_price"), 0),
    ("order", ("lineitems", 0, "quantity"), 0),
    ("order", ("lineitems", 0, "unit_price"), ABSENT),
    ("order", ("lineitems", 0, "subtotal"), ABSENT),
    ("custom_event", ("event_type",), "e" * 31),
    ("custom_event", ("id",), "e" * 32),
    ("product", ("title",), "t" * 140),
]


@pytest.mark.parametrize(("record_type", "path", "value"), GOOD)
def test_good_values(record_type: str, path: Path, value: Any) -> None:
    assert violations(record_type, spoilt(record_type, path, value)) == []


BAD = [
    # required
    ("contact", ("@type",), ABSENT, "is missing"),
    ("contact", ("@collection",), ABSENT, "is missing"),
    ("contact", ("id",), ABSENT, "is missing"),
    *(("order", (name,), ABSENT, "is missing") for name in ("id", "timestamp", "currency", "grand_total")),
    *(("order", (name,), ABSENT, "is missing") for name in ("is_valid", "lineitems")),
    *(("order", ("lineitems", 1, name), ABSENT, "is missing") for name in ("product_id", "quantity")),
    *(("custom_event", (name,), ABSENT, "is missing") for name in ("id", "event_type", "timestamp", "properties")),
    ("product", ("id",), ABSENT, "is missing"),
    *(("product", ("attributes", 0, name), ABSENT, "is missing") for name in ("type", "id", "label")),
    *(("order", ("lineitems", 0, "variant_options", 0, name), ABSENT, "is missing") for name in ("type", "label")),
    # types
    ("order", ("is_valid",), "true", "true or false"),
    ("order", ("is_valid",), 1, "true or false"),
    ("contact", ("@force_optin",), "Y", "true or false"),
    ("contact", ("channels", "sms", "allow_marketing"), 1, "true or false"),
    ("product", ("is_active",), 0, "true or false"),
    ("order", ("grand_total",), "104.00", "a number"),
    ("order", ("grand_total",), True, "a number"),
    ("order", ("grand_total",), float("nan"), "finite"),
    ("order", ("lineitems", 0, "total"), float("inf"), "finite"),
    ("order", ("lineitems", 0, "quantity"), "2", "a number"),
    ("order", ("lineitems",), {}, "a list"),
    ("order", ("lineitems",), [], "at least 1"),
    ("order", ("lineitems", 0), "x", "an object"),
    ("order", ("properties",), [], "an object"),
    ("contact", ("firstname",), 7, "text"),
    ("contact", ("id",), 1234, "text"),
    # enums, codes, dates
    ("contact", ("@type",), "order", "'contact'"),
    ("contact", ("marketing_optin",), "EXPLICITLY_OPTED_OUT", "'EXPLICITLY_OPTEDOUT'"),
    ("contact", ("marketing_optin",), True, "'EXPLICITLY_OPTEDOUT'"),
    ("contact", ("gender",), "F", "'f'"),
    ("contact", ("country_id",), "UK", "ISO 3166"),
    ("contact", ("country_id",), "gb", "ISO 3166"),
    ("order", ("shipping_address", "country_code"), "GBR", "ISO 3166"),
    ("order", ("currency",), "gbp", "ISO 4217"),
    ("order", ("currency",), "XXX", "ISO 4217"),
    ("order", ("totals", "local", "currency"), "£", "ISO 4217"),
    ("product", ("listings", 0, "currency"), "ABC", "ISO 4217"),
    ("contact", ("date_of_birth",), "31/12/1990", "a date"),
    ("contact", ("date_of_birth",), "1990-02-30", "a date"),
    ("contact", ("date_of_birth",), "0001-01-01", "a date"),
    ("contact", ("date_of_birth",), "1990-12-31T00:00:00Z", "a date"),
    ("order", ("timestamp",), "2026-11-23T09:05:00", "its offset"),
    ("order", ("timestamp",), "2026-11-23 09:05:00Z", "its offset"),
    ("order", ("timestamp",), "2026-11-23", "its offset"),
    ("order", ("timestamp",), "2026-02-30T09:05:00Z", "its offset"),
    ("order", ("timestamp",), "2026-11-23T24:05:00Z", "its offset"),
    ("order", ("timestamp",), "9999-12-31T23:59:59Z", "its offset"),
    ("order", ("timestamp",), 1795424700, "text"),
    ("contact", ("phone_number",), "020 7183 8750", "E.164"),
    ("contact", ("phone_number",), "+0442071838750", "E.164"),
    ("contact", ("phone_number",), "+4420718387501234", "E.164"),
    ("contact", ("timezone",), "Europe/London ", "time zone"),
    ("product", ("url",), "javascript:alert(1)", "http"),
    *(
        ("contact", ("email",), address, "e-mail address")
        for address in (
            "ann",
            "ann@",
            "ann@example",
            "ann@@example.com",
            "a nn@example.com",
            "ann@example..com",
        )
    ),
    ("order", ("customer", "email"), "ann@example.com\n", "e-mail address"),
    # ids without e-mail addresses
    ("contact", ("id",), "ann@example.com", "no e-mail address"),
    ("order", ("customer", "id"), "ann@example.com", "no e-mail address"),
    ("custom_event", ("id",), "a@example.com", "no e-mail address"),
    ("contact", ("id",), "00001234 ", "no blanks at either end"),
    ("contact", ("id",), "..", "must not be made of dots alone: Ometria could not be asked for it"),
    ("order", ("id",), ".", "must not be made of dots alone: Ometria could not be asked for it"),
    # lengths
    ("order", ("id",), "1" * 37, "at most 36"),
    ("order", ("store",), "s" * 33, "at most 32"),
    ("order", ("payment_method",), "s" * 33, "at most 32"),
    ("order", ("shipping_method",), "s" * 33, "at most 32"),
    ("contact", ("customer_id",), "1" * 256, "at most 255"),
    *(("contact", (f"{name}name",), "n" * 65, "at most 64") for name in ("first", "middle", "last")),
    ("custom_event", ("id",), "1" * 33, "at most 32"),
    ("custom_event", ("event_type",), "e" * 32, "at most 31"),
    ("product", ("id",), "1" * 256, "at most 255"),
    ("product", ("title",), "t" * 141, "at most 140"),
    ("product", ("image_url",), "https://example.com/" + "i" * 1024, "at most 1024"),
    # unknown keys, consent, identity
    ("order", ("lineitems", 0, "line_id"), "1", "is not a field"),
    ("order", ("@merge",), True, "is not a field"),
    ("contact", ("e_mail",), "ann@example.com", "is not a field"),
    *(("order", (name,), True, "is consent") for name in sorted(CONSENT_KEYS)),
    *(("order", ("customer", name), True, "is consent") for name in sorted(CONSENT_KEYS)),
    ("contact", ("@collection",), "optin:sms", "text message"),
]

BAD_TOGETHER = [
    ("order", ("properties", "marketing_optin"), "EXPLICITLY_OPTEDIN", "properties", "consent"),
    ("contact", ("marketing_optin",), ABSENT, "record", "@force_optin without marketing_optin"),
    ("order", ("lineitems", 1, "unit_price"), ABSENT, "lineitems[1]", "neither unit_price nor subtotal"),
    ("custom_event", ("identity_account_id",), ABSENT, "record", "its person once"),
    ("custom_event", ("identity_email",), "ann@example.com", "record", "its person once"),
]


@pytest.mark.parametrize(("record_type", "path", "value", "rule"), BAD)
def test_a_bad_value_is_named_with_field_and_rule(record_type: str, path: Path, value: Any, rule: str) -> None:
    (found,) = violations(record_type, spoilt(record_type, path, value))
    assert found.field == written(path)
    assert rule in found.rule


@pytest.mark.parametrize(("record_type", "path", "value", "field", "rule"), BAD_TOGETHER)
def test_what_is_bad_only_together(record_type: str, path: Path, value: Any, field: str, rule: str) -> None:
    (found,) = violations(record_type, spoilt(record_type, path, value))
    assert found.field == field
    assert rule in found.rule


def written(path: Path) -> str:
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).removeprefix(".")


def leaves(value: Any, path: Path = ()) -> Iterator[Path]:
    """The path of everything in a record, containers included."""
    if path:
        yield path
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, child in children:
        yield from leaves(child, (*path, step))


EVERYWHERE = [(record_type, path) for record_type, good in RECORDS.items() for path in leaves(good())]


@pytest.mark.parametrize(("record_type", "path"), EVERYWHERE)
@pytest.mark.parametrize("nothing", [None, "", "  "])
def test_nowhere_may_nothing_be_said_with_null_or_blank(record_type: str, path: Path, nothing: str | None) -> None:
    assert violations(record_type, spoilt(record_type, path, nothing))


@pytest.mark.parametrize("nothing", [None, "", " ", float("nan"), {"": 1}])
def test_properties_hold_no_gap_at_any_depth(nothing: Any) -> None:
    assert violations("order", spoilt("order", ("properties", "deep"), [{"deeper": [nothing]}]))


def test_properties_stay_under_1000_characters_however_they_are_written() -> None:
    fits = "x" * (999 - len('{"text": ""}'))
    assert violations("contact", spoilt("contact", ("properties",), {"text": fits})) == []
    for long in (fits + "x", "é" * (len(fits) // 6 + 1)):
        (found,) = violations("contact", spoilt("contact", ("properties",), {"text": long}))
        assert found == Violation("properties", "must stay under 1,000 characters of JSON, all properties together")


def test_every_violation_of_a_record_is_named() -> None:
    order = RECORDS["order"]()
    order["currency"] = "GPB"
    order["lineitems"][1]["quantity"] = None
    order["customer"]["email"] = "nobody"
    assert {found.field for found in violations("order", orjson.dumps(order))} == {
        "currency",
        "lineitems[1].quantity",
        "customer.email",
    }


@given(
    where=st.sampled_from([each for each in EVERYWHERE if isinstance(each[1][-1], str)]),
    secret=st.from_regex(r"[a-z]{6}zq@example\.com", fullmatch=True),
    as_key=st.booleans(),
)
def test_no_violation_repeats_the_value(where: tuple[str, Path], secret: str, as_key: bool) -> None:
    record_type, path = where
    payload = spoilt(record_type, (*path[:-1], secret), 1) if as_key else spoilt(record_type, path, secret)
    for field, rule in violations(record_type, payload):
        assert secret not in field + rule


@pytest.mark.parametrize("payload", [b"", b"{", b"\xff", b"[]", b"null", b'"order"', b'{"a": "\\ud800"}'])
def test_what_is_no_object_is_refused(payload: bytes) -> None:
    (found,) = violations("order", payload)
    assert found.field == "record"


def test_an_unknown_record_type_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="contact, order, custom_event, product"):
        violations("orders", b"{}")


def order_of_size(size: int, letter: str = "x") -> bytes:
    """A good order of that many bytes, blanks between items included."""
    order = RECORDS["order"]()
    order["web_id"] = ""
    order["web_id"] = letter * ((size - len(json.dumps(order))) // len(letter.encode()))
    return json.dumps(order, ensure_ascii=False).encode()


def test_a_record_of_60_000_bytes_leaves_and_one_more_does_not() -> None:
    assert len(order_of_size(MAX_RECORD_BYTES)) == MAX_RECORD_BYTES
    assert violations("order", order_of_size(MAX_RECORD_BYTES)) == []
    (found,) = violations("order", order_of_size(MAX_RECORD_BYTES + 1))
    assert found == Violation("record", "is over 60,000 bytes, Ometria's limit for one record")


def test_size_is_counted_the_longest_way() -> None:
    compact = orjson.dumps({"lines": [{"a": 1}] * 7_000})
    assert len(compact) < MAX_RECORD_BYTES < len(json.dumps(orjson.loads(compact)))
    assert too_large(compact)
    assert too_large(order_of_size(50_000, "é"))
    assert not too_large(order_of_size(20_000, "é"))


@given(st.recursive(st.text() | st.integers(-(2**53), 2**53) | st.booleans(), st.lists, max_leaves=50))
def test_no_usual_writing_of_a_record_is_over_three_times_as_long(value: Any) -> None:
    # What too_large may skip rests on this.
    record = {"value": value}
    assert len(json.dumps(record)) <= 3 * len(orjson.dumps(record))
