"""What Ometria refuses after it has said 202 (P1, P7)."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine, insert
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from bc_ometria.delivery.refusals import RING, Errors, read_errors, refuse, still_there
from bc_ometria.ometria.budget import Unlimited
from bc_ometria.ometria.client import OmetriaClient
from bc_ometria.ometria.errors import AccessRefused
from bc_ometria.store import schema
from bc_ometria_tests.delivery.outgoing import Outgoing, contacts, orders
from bc_ometria_tests.ometria.server import KEY, answering
from bc_ometria_tests.sandbox.ometria_stand_in import contact, order
from bc_ometria_tests.store.records import state
from bc_ometria_tests.store.rows import table

NOTHING = Errors()


def held(out: Outgoing) -> int:
    return read_errors(out.engine, out.client).held.total()


def test_a_refused_record_is_held_with_ometrias_words_and_its_neighbours_are_confirmed(out: Outgoing) -> None:
    """P1, and one bad record failing its 99 neighbours is a known mistake of others."""
    records = orders(100)
    records[41]["currency"] = "GPB"
    out.want(*records)
    out.push()
    assert held(out) == 1
    assert held(out) == 0
    out.prove()
    assert out.states() == {"confirmed": 99, "held: rejected": 1}
    assert out.open_exceptions() == [("rejected", "0000000041", "/currency: must be an ISO 4217 currency code")]

    out.want(*records)
    out.push()
    assert out.pushes == 1
    out.want(order("0000000041"))
    out.push()
    assert held(out) == 0  # the ring still shows the old version's error
    out.prove()
    assert out.states() == {"confirmed": 100}
    assert out.open_exceptions() == []


def test_records_of_all_types_are_held_in_one_reading(out: Outgoing) -> None:
    out.record_type = "contact"
    out.want(*contacts(3), contact("C9", email="nobody"))
    out.push()
    out.record_type = "order"
    out.want(*orders(2), order("C9", is_valid="yes"), order("C1", currency="GPB"))
    out.push()
    assert read_errors(out.engine, out.client) == Errors(Counter(contact=1, order=2))
    # Of one id an order and a contact are two records.
    assert out.states() == {"sent": 5, "held: rejected": 3}
    assert out.calls("GET /v2/push/_errors") == 1


def test_an_old_error_does_not_hold_what_was_sent_since(out: Outgoing) -> None:
    out.want(order("1", currency="GPB"))
    out.push()
    out.want(order("1"))
    out.push()
    assert held(out) == 0
    out.prove()
    assert out.state("1") == "confirmed"


def test_errors_without_ids_are_counted_once_and_left_to_the_read_back(out: Outgoing) -> None:
    settings = out.stand_in.account.settings
    out.stand_in.account.settings = settings.changed({"error_shape": "documented"})
    out.stand_in.push(order("another sender's", currency="GPB"))
    assert read_errors(out.engine, out.client) == NOTHING
    out.want(*orders(2), order("bad", currency="GPB"))
    out.push()
    assert read_errors(out.engine, out.client) == Errors(unnamed=1)
    assert read_errors(out.engine, out.client) == NOTHING
    assert out.states() == {"sent": 3}


def test_a_ring_that_has_wrapped_is_noticed(out: Outgoing) -> None:
    """P7: 150 are refused, and the ring keeps the latest 100 of the account."""
    out.stand_in.push(order("before", currency="GPB"))
    assert read_errors(out.engine, out.client) == NOTHING
    out.want(*orders(150, currency="GPB"))
    out.stand_in.arm("error_flood", count=60)
    out.push()
    errors = read_errors(out.engine, out.client)
    assert errors.wrapped
    assert 0 < errors.held["order"] < 150
    assert out.states() == {"held: rejected": errors.held["order"], "sent": 150 - errors.held["order"]}
    assert read_errors(out.engine, out.client) == NOTHING


@pytest.mark.parametrize("status", [400, 404, 429, 503])
def test_a_ring_that_cannot_be_read_holds_nobody_up(engine: Engine, status: int) -> None:
    refused = JSONResponse({"message": "no"}, status_code=status)
    with answering([], refused, [unnamed()]) as scripted:
        assert [read_errors(engine, scripted.client) for _ in range(3)] == [NOTHING, NOTHING, Errors(unnamed=1)]


def test_a_refused_key_is_told(out: Outgoing) -> None:
    out.stand_in.arm("key_revoked")
    with pytest.raises(AccessRefused, match="OMETRIA_API_KEY"):
        read_errors(out.engine, out.client)


# --- what the ring says, word for word -----------------------------------------------------------------------


def accepted(engine: Engine, record_id: str = "1", record_type: str = "order", **columns: Any) -> None:
    """A record that Ometria accepted an hour ago with request ``r-2``."""
    row = {
        "record_type": record_type,
        "record_id": record_id,
        "state": "sent",
        "payload": orjson.dumps({"id": record_id, "lastname": "Example", "currency": "GPB"}).decode(),
        "wanted_version": "v",
        "sent_version": "v",
        "request_id": "r-2",
        "accepted_at": ago(hours=1),
    }
    with engine.begin() as connection:
        connection.execute(insert(schema.outbox).values(row | columns))


def ago(**time: float) -> datetime:
    return datetime.now(UTC) - timedelta(**time)


def named(record_id: str = "1", **fields: Any) -> dict[str, Any]:
    return {"record_type": "order", "record_id": record_id, "message": "must be a currency", **fields}


def unnamed(message: str = "must be a currency") -> dict[str, Any]:
    return {"error_message": message, "error_path": "/currency"}


def readings(engine: Engine, *rings: list[dict[str, Any]]) -> list[Errors]:
    with answering(*rings) as scripted:
        return [read_errors(engine, scripted.client) for _ in rings]


def details(engine: Engine) -> list[str]:
    return [row[0] for row in table(engine, "exceptions", "detail")]


@pytest.mark.parametrize("record_type", ["contact", "order", "custom_event", "product"])
@pytest.mark.parametrize("told", [True, False])
def test_a_request_names_its_records_whenever_they_are_read(engine: Engine, record_type: str, *, told: bool) -> None:
    accepted(engine, record_type=record_type)
    entry = {"request_id": "r-2", "record_id": "1", "message": "no"} | ({"record_type": record_type} if told else {})
    others = [named(request_id="r-1"), named("2", request_id="r-2"), {"request_id": "r-2", "message": "no"}]
    assert readings(engine, others, [*others, entry]) == [NOTHING, Errors(Counter({record_type: 1}))]
    assert state(engine, "1", record_type) == "held: rejected"


@pytest.mark.parametrize("first", ["drift", "accepted"])
def test_a_refusal_that_comes_late_explains_what_was_settled(engine: Engine, first: str) -> None:
    accepted(engine, state=first)
    assert readings(engine, [named(request_id="r-2")])[0].held.total() == 1
    assert state(engine) == "held: rejected"


@pytest.mark.parametrize("columns", [{"state": "confirmed"}, {"wanted_version": "w", "state": "wanted"}])
def test_what_was_read_back_or_has_changed_since_is_not_held(engine: Engine, columns: dict[str, str]) -> None:
    accepted(engine, **columns)
    assert readings(engine, [named(request_id="r-2")]) == [NOTHING]
    assert state(engine) == columns["state"]


def test_a_new_error_that_came_after_its_record_was_sent_counts_without_a_request(engine: Engine) -> None:
    accepted(engine)
    entry = named(timestamp=ago(minutes=1).isoformat())
    assert readings(engine, [], [entry]) == [NOTHING, Errors(Counter(order=1))]
    assert details(engine) == ["must be a currency"]


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"timestamp": "yesterday"},
        {"timestamp": 1e9},
        {"timestamp": ago(minutes=1).replace(tzinfo=None).isoformat()},
        {"timestamp": ago(hours=2).isoformat()},
        {"timestamp": ago(minutes=1).isoformat(), "record_type": None},
        {"timestamp": ago(minutes=1).isoformat(), "record_type": "contact"},
        {"timestamp": ago(minutes=1).isoformat(), "record_id": "2"},
        {"timestamp": ago(minutes=1).isoformat(), "request_id": "r-1"},
    ],
)
def test_an_error_without_request_that_may_be_an_old_one_is_left_to_the_read_back(
    engine: Engine, fields: dict[str, Any]
) -> None:
    accepted(engine)
    assert readings(engine, [], [named(**fields)]) == [NOTHING, NOTHING]
    assert state(engine) == "sent"


def test_the_time_of_an_error_is_ometrias(engine: Engine) -> None:
    """Its clock is a day ahead: by ours, an error of two hours ago seems to have come after the record went."""
    accepted(engine)
    ahead = {"Date": format_datetime(ago(days=-1), usegmt=True)}
    rings = [[], [named(timestamp=ago(days=-1, hours=2).isoformat())], [named(timestamp=ago(days=-1).isoformat())]]
    answers = iter(httpx.Response(200, headers=ahead, stream=httpx.ByteStream(orjson.dumps(ring))) for ring in rings)
    no_network = httpx.MockTransport(lambda request: next(answers))  # A server would send a Date of its own.
    with OmetriaClient("http://ometria.example.com/v2", KEY, budget=Unlimited(), transport=no_network) as ometria:
        found = [read_errors(engine, ometria) for _ in rings]
    assert found == [NOTHING, NOTHING, Errors(Counter(order=1))]


def test_what_the_first_reading_of_a_store_shows_is_not_new(engine: Engine) -> None:
    accepted(engine)
    ring = [named(timestamp=ago(minutes=1).isoformat()), unnamed(), unnamed("other")]
    assert readings(engine, ring, ring, [*ring, unnamed()]) == [NOTHING, NOTHING, Errors(unnamed=1)]
    assert state(engine) == "sent"


def test_all_that_ometria_says_of_a_record_is_told_with_its_path_and_without_the_record(engine: Engine) -> None:
    """Nothing personal gets into an exception, whatever Ometria quotes."""
    accepted(engine)
    said = [
        named(request_id="r-2", message="Example <ann@example.com> is no GPB", error_path="/currency"),
        named(request_id="r-2", message="is required", record={"firstname": "Ann"}),
        named(request_id="r-2", message="is required"),
        named(request_id="r-2", message="x" * 1000),
    ]
    assert readings(engine, said[:3])[0].held.total() == 1
    assert details(engine) == ["/currency: *** <***@***> is no GPB; is required"]
    accepted(engine, "2")
    readings(engine, [{**said[3], "record_id": "2"}])
    assert max(map(len, details(engine))) == 300


def test_the_pump_holds_what_the_call_it_just_made_was_refused_for(engine: Engine) -> None:
    accepted(engine)
    assert not refuse(engine, "order", "1", "r-1", "no")
    assert not refuse(engine, "contact", "1", None, "no")
    assert refuse(engine, "order", "1", None, "Ometria refused it: Example")
    assert details(engine) == ["Ometria refused it: ***"]


def test_another_process_that_reads_meanwhile_tells_what_is_new(engine: Engine) -> None:
    """P7: what came is told once, and what either has not seen is still to come."""
    first, second = [unnamed("1")], [unnamed("1"), unnamed("2"), unnamed("3")]
    assert readings(engine, first) == [NOTHING]

    class Slow(JSONResponse):
        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            assert readings(engine, second[:2]) == [Errors(unnamed=1)]
            await super().__call__(scope, receive, send)

    with answering(Slow(second)) as scripted:
        assert read_errors(engine, scripted.client) == NOTHING
    assert readings(engine, second) == [Errors(unnamed=1)]


ENTRIES = [unnamed(str(number)) for number in range(3 * RING)]


@pytest.mark.parametrize("newest", ["last", "first"])
@pytest.mark.parametrize(
    ("before", "came", "errors"),
    [
        (RING, 0, NOTHING),
        (RING, RING - 1, Errors(unnamed=RING - 1)),
        (RING, RING, Errors(unnamed=RING, wrapped=True)),
        (RING, 2 * RING, Errors(unnamed=RING, wrapped=True)),
        (1, RING - 1, Errors(unnamed=RING - 1)),
        (0, RING - 1, Errors(unnamed=RING - 1)),
        (0, RING, Errors(unnamed=RING, wrapped=True)),
    ],
)
def test_a_ring_in_which_nothing_is_left_may_have_lost_some(
    engine: Engine, newest: str, before: int, came: int, errors: Errors
) -> None:
    rings = [ENTRIES[:before], ENTRIES[: before + came][-RING:]]
    if newest == "first":
        rings = [ring[::-1] for ring in rings]
    assert readings(engine, *rings) == [NOTHING, errors]


def test_a_ring_that_was_emptied_has_not_wrapped(engine: Engine) -> None:
    assert readings(engine, ENTRIES[:RING], [], ENTRIES[-3:]) == [NOTHING, NOTHING, Errors(unnamed=3)]


def test_equal_words_are_taken_for_the_old_ones_as_far_as_there_were_such(engine: Engine) -> None:
    assert readings(engine, [unnamed()] * 3, [unnamed()] * 5, [unnamed()] * RING, [unnamed()] * RING) == [
        NOTHING,
        Errors(unnamed=2),
        Errors(unnamed=RING - 5),
        NOTHING,
    ]


SIZE = 8  # of a ring, and small, so that it wraps often


@given(st.integers(0, 30), st.integers(0, 2 * SIZE), st.booleans())
def test_entries_that_differ_are_told_apart_exactly(before: int, came: int, newest_first: bool) -> None:
    stream = [str(number) for number in range(before + came)]
    was, now = stream[:before][-SIZE:], stream[-SIZE:]
    if newest_first:
        was, now = was[::-1], now[::-1]
    assert {now[place] for place in still_there(was, now)} == set(was) & set(now)


@given(st.lists(st.sampled_from("ab"), max_size=30), st.data(), st.booleans())
def test_an_old_entry_is_never_taken_for_a_new_one(stream: list[str], data: st.DataObject, newest_first: bool) -> None:
    came = data.draw(st.integers(0, len(stream)))
    before = len(stream) - came
    was, now = stream[:before][-SIZE:], stream[-SIZE:]
    if newest_first:
        was, now = was[::-1], now[::-1]
    assert len(now) - len(still_there(was, now)) <= came


@given(st.integers(1, SIZE), st.sets(st.integers(0, SIZE)))
def test_entries_that_came_in_between_are_found(size: int, at: set[int]) -> None:
    was = [str(number) for number in range(size)]
    now = [*was]
    for place in sorted(at, reverse=True):
        now.insert(place, f"new {place}")
    assert {now[place] for place in range(len(now)) if place not in still_there(was, now)} == {
        f"new {place}" for place in at
    }
