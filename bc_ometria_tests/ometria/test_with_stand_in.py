"""The client and the models against the stand-in of Ometria, which reads the contract on its own (P1, P7)."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from bc_ometria.iso import COUNTRIES, CURRENCIES
from bc_ometria.ometria import fields
from bc_ometria.ometria.budget import Unlimited
from bc_ometria.ometria.client import OmetriaClient
from bc_ometria.ometria.connection import PAUSE_S
from bc_ometria.ometria.errors import AccessRefused, OutcomeUnknown, PayloadRefused, RateLimited, Unreachable
from bc_ometria.ometria.payloads import violations
from bc_ometria.sandbox.clock import Clock
from bc_ometria.sandbox.ometria import Account, Fault, Settings, create_app
from bc_ometria.sandbox.ometria.records import problem_of
from bc_ometria.sandbox.server import Server
from bc_ometria_tests.ometria.examples import RECORDS

START = datetime(2026, 11, 23, 9, 5, tzinfo=UTC)


@dataclass
class Ometria:
    account: Account
    client: OmetriaClient
    url: str


@pytest.fixture
def ometria() -> Iterator[Ometria]:
    account = Account(Clock(START), Settings(limits=False))
    with Server(create_app(account)) as server:
        url = f"{server.url}/v2"
        with OmetriaClient(url, account.settings.api_key, budget=Unlimited(), timeout=10) as client:
            yield Ometria(account, client, url)


def order(id: str, **changes: Any) -> bytes:
    return orjson.dumps({**RECORDS["order"](), "id": id, **changes})


def stored(found: dict[str, Any] | None) -> dict[str, Any]:
    """A record as it was read, without the stamp that the stand-in adds."""
    assert found is not None
    return {name: value for name, value in found.items() if name != "timestamp_update"}


def test_the_good_records_are_stored_and_read_back(ometria: Ometria) -> None:
    good = {record_type: record() for record_type, record in RECORDS.items()}
    for record_type in ("contact", "product", "order", "custom_event"):
        reply = ometria.client.push(record_type, [orjson.dumps(good[record_type])])
        assert (reply.accepted, reply.rejected) == (1, 0)
        assert (reply.queue_limit, reply.queue_remaining) == (50_000, 50_000)
    assert ometria.client.errors() == []
    assert stored(ometria.client.order("W000012345")) == good["order"]
    assert ometria.client.contact("blue_cherry", "00001234") is not None
    assert ometria.client.product("100-ST1-RED-M") is not None
    assert ometria.client.profile("ann@example.com") is not None
    assert ometria.client.order("W000012346") is None


def test_ping_tells_a_good_key_from_a_bad_one_and_from_a_wrong_address(ometria: Ometria) -> None:
    ometria.client.ping()
    with OmetriaClient(ometria.url, "another-key", budget=Unlimited()) as stranger, pytest.raises(AccessRefused):
        stranger.ping()
    with (
        OmetriaClient(ometria.url.removesuffix("/v2"), "another-key", budget=Unlimited()) as lost,
        pytest.raises(Unreachable, match="OMETRIA_BASE_URL"),
    ):
        lost.ping()


def test_a_call_of_mixed_types_is_refused_as_a_whole(ometria: Ometria) -> None:
    with pytest.raises(PayloadRefused, match="different types in one call"):
        ometria.client.push("order", [order("1"), orjson.dumps(RECORDS["product"]())])
    assert ometria.client.order("1") is None


@pytest.mark.parametrize("shape", ["documented", "observed", "mixed"])
def test_asynchronous_refusals_are_read_in_either_shape(ometria: Ometria, shape: Any) -> None:
    ometria.account.settings = ometria.account.settings.changed({"error_shape": shape})
    reply = ometria.client.push("order", [order("1", currency="GPB"), order("2"), order("3", is_valid="yes")])
    assert reply.accepted == 3  # 202 says nothing about them.
    found = ometria.client.errors()
    assert len(found) == 2
    for error in found:
        assert error.message
        if error.request_id is None:
            assert error.path
        else:
            assert (error.request_id, error.record_type) == (reply.request_id, "order")
            assert error.record_id in ("1", "3")
    assert ometria.client.order("2") is not None


def test_rates_and_a_full_queue_are_refused_with_429(ometria: Ometria) -> None:
    ometria.account.faults.arm(Fault(kind="too_many_requests", retry_after="3"))
    with pytest.raises(RateLimited) as caught:
        ometria.client.push("order", [order("1")])
    assert caught.value.pause_s == 3.0
    ometria.account.settings = ometria.account.settings.changed({"queue_limit": 1, "queue_lag_seconds": 60})
    assert ometria.client.push("order", [order("1")]).queue_remaining == 0
    with pytest.raises(RateLimited) as caught:
        ometria.client.push("order", [order("2")])
    assert caught.value.pause_s == PAUSE_S


@pytest.mark.parametrize(
    ("fault", "received"),
    [
        (Fault(kind="server_error"), False),
        (Fault(kind="server_error", after=True), True),
        (Fault(kind="connection_reset"), False),
        (Fault(kind="connection_reset", after=True), True),
        (Fault(kind="half_body"), True),
        (Fault(kind="html_page"), False),
        (Fault(kind="redirect"), False),
    ],
)
def test_a_lost_answer_leaves_the_outcome_unknown_and_the_same_ids_go_again(
    ometria: Ometria, fault: Fault, received: bool
) -> None:
    ometria.account.faults.arm(fault)
    with pytest.raises(OutcomeUnknown, match="under the same ids"):
        ometria.client.push("order", [order("1")])
    assert (ometria.client.order("1") is not None) is received
    ometria.client.push("order", [order("1")])
    assert stored(ometria.client.order("1"))["id"] == "1"


def test_a_body_that_trickles_does_not_hold_a_call_for_ever(ometria: Ometria) -> None:
    # Ten pieces, each of them well within the time that httpx gives to one.
    ometria.account.faults.arm(Fault(kind="slow_body", seconds=5))
    with (
        OmetriaClient(ometria.url, ometria.account.settings.api_key, budget=Unlimited(), timeout=1) as hasty,
        pytest.raises(OutcomeUnknown, match="within 1 s"),
    ):
        hasty.push("order", [order("1")])
    assert ometria.client.order("1") is not None


def test_lists_are_read_whole_page_by_page(ometria: Ometria) -> None:
    for start in range(0, 600, 100):
        ometria.client.push("order", [order(str(number)) for number in range(start, start + 100)])
    assert [found["id"] for found in ometria.client.orders(START)] == [str(number) for number in range(600)]
    assert ometria.account.counts.calls["GET /v2/orders"] == 4
    ometria.account.clock.advance(timedelta(seconds=1))
    ometria.client.push("order", [order("7", status="returned")])
    (changed,) = ometria.client.orders(START + timedelta(seconds=1))
    assert (changed["id"], changed["status"]) == ("7", "returned")


def test_an_order_that_changes_while_pages_are_read_hides_no_other(ometria: Ometria) -> None:
    for start in range(0, 300, 100):
        ometria.client.push("order", [order(str(number)) for number in range(start, start + 100)])
    seen = set()
    for found in ometria.client.orders(START):
        if found["id"] == "100":
            ometria.client.push("order", [order(str(number), status="returned") for number in range(50)])
        seen.add(found["id"])
    assert seen == {str(number) for number in range(300)}


def test_contacts_and_peoples_own_unsubscribes(ometria: Ometria) -> None:
    ometria.client.push("contact", [orjson.dumps(RECORDS["contact"]())])
    assert [found["id"] for found in ometria.client.contacts("blue_cherry", START)] == ["00001234"]
    assert list(ometria.client.contacts("another", START)) == []
    ometria.account.unsubscribe("ann@example.com", "email", "link")
    later = START + timedelta(seconds=1)
    (gone,) = ometria.client.unsubscribes(START, later)
    assert gone["email"] == "ann@example.com"
    assert list(ometria.client.unsubscribes(later, later + timedelta(days=1))) == []


ANYTHING: list[Any] = [
    *("x" * length for length in (0, 1, 31, 32, 33, 36, 37, 64, 65, 140, 141, 255, 256, 1024, 1025)),
    *("+" + "4" * digits for digits in range(3, 19)),
    *("+0442071838750", "442071838750", "+44 2071838750"),
    *(
        "a@example.com",
        "a@b",
        "a@b.c",
        "a@example.com\n",
        "a@-b.com",
        "a@b..com",
        "é@example.com",
        "a@@b.com",
    ),
    *("2026-11-23T09:05:00Z", "2026-11-23T09:05:00.123456+14:00", "2026-11-23T09:05:00+24:00"),
    *("2026-11-23", "2026-11-23T09:05:00", "2026-W48-1T09:05:00Z", "0001-01-01T00:00:00+01:00"),
    *("9999-12-31T23:59:59-01:00", "2026-02-29", "2024-02-29", "20240229", "1900-01-01", "0001-01-01"),
    *("GB", "UK", "gb", "XK", "GBP", "gbp", "XXX", "HRK", "ANG", "XCG", "F", "f", "EXPLICITLY_OPTEDIN"),
    *("https://example.com/" + "x" * length for length in (1, 1004, 1005)),
    *(0, -1, 1.5, 10**18, 1e300, True, False, None, [], {}, ["x"], {"x": "y"}),
    *({"x": "y" * length} for length in (989, 990, 991, 992)),
]


def test_each_field_alone_holds_nothing_that_ometria_refuses() -> None:
    let_go = refused = 0
    for record_type, good in RECORDS.items():
        for path in leaves(good()):
            for value in ANYTHING:
                record: Any = good()
                place = record
                for step in path[:-1]:
                    place = place[step]
                place[path[-1]] = value
                if violations(record_type, orjson.dumps(record)):
                    refused += 1
                else:
                    let_go += 1
                    assert problem_of(record) is None, (record_type, path, value)
    assert let_go > 1_000
    assert refused > 1_000


def leaves(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    if isinstance(value, dict | list):
        for step, child in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves(child, (*path, step))
    else:
        yield path


ODD = st.one_of(
    st.text(max_size=300),
    st.integers(30, 1100).map(lambda length: "x" * length),
    st.from_regex(fields._EMAIL),
    st.emails(),
    st.from_regex(fields._PHONE),
    st.from_regex(fields._URL),
    st.datetimes(timezones=st.timezones()).map(datetime.isoformat),
    st.from_regex(fields._TIMESTAMP),
    st.dates().map(str),
    st.from_regex(fields._DATE),
    st.sampled_from(sorted(CURRENCIES)),
    st.sampled_from(sorted(COUNTRIES)),
    st.floats(),
    st.integers(),
    st.booleans(),
    st.none(),
    st.dictionaries(st.text(max_size=10), st.text(max_size=200), max_size=8),
)


@st.composite
def records(draw: st.DrawFn) -> tuple[str, bytes]:
    """A record of any type with a few fields left out or filled with anything."""
    record_type = draw(st.sampled_from(sorted(RECORDS)))
    record: Any = RECORDS[record_type]()
    paths = draw(st.lists(st.sampled_from(sorted(leaves(record), key=str)), max_size=3, unique=True))
    for *steps, last in sorted(paths, key=str, reverse=True):
        place = record
        for step in steps:
            place = place[step]
        if draw(st.booleans()):
            place[last] = draw(ODD)
        else:
            del place[last]
    return record_type, json.dumps(record).encode()


@given(records())
@settings(max_examples=200, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
@example(("custom_event", orjson.dumps(RECORDS["custom_event"]())))
def test_what_the_models_let_go_ometria_takes(record: tuple[str, bytes]) -> None:
    record_type, payload = record
    assume(violations(record_type, payload) == [])
    assert problem_of(orjson.loads(payload)) is None


def test_a_merge_is_asked_for_by_customer_id_and_its_job_is_seen_through(ometria: Ometria) -> None:
    for code in ("C1", "C2"):
        contact = {**RECORDS["contact"](), "id": code, "customer_id": code, "email": f"{code}@example.com"}
        ometria.client.push("contact", [orjson.dumps(contact)])
    collection = str(RECORDS["contact"]()["@collection"])
    job = ometria.client.merge("C2", ["C1"])
    found = ometria.client.merge_job(job)
    assert found is not None
    assert (found["status"], found["survivor"]) == ("completed", {"type": "customer_id", "value": "C2"})
    assert found["customers_to_merge"] == [{"type": "customer_id", "value": "C1"}]
    assert ometria.client.contact(collection, "C1") is None
    assert ometria.client.contact(collection, "C2") is not None
    assert ometria.client.merge_job("unknown") is None


@pytest.mark.parametrize("merged", [[], [f"C{number}" for number in range(6)]])
def test_a_merge_takes_one_to_five_customers(ometria: Ometria, merged: list[str]) -> None:
    with pytest.raises(ValueError, match="1 to 5"):
        ometria.client.merge("C9", merged)
    assert not ometria.account.merges


def test_a_merge_whose_reply_is_lost_is_of_unknown_outcome(ometria: Ometria) -> None:
    ometria.account.faults.arm(Fault(kind="server_error", path="/merge-profile", calls=1, after=True))
    with pytest.raises(OutcomeUnknown, match="may or may not merge"):
        ometria.client.merge("C2", ["C1"])
    assert len(ometria.account.merges) == 1
