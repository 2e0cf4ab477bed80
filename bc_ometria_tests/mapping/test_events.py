"""Events tell of every step of an order, once, in order, and of nothing that is not so (P5, P20, P22, F3, Q4)."""

from collections.abc import Callable

import orjson
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from bc_ometria.mapping.events import Events, event_id
from bc_ometria.ometria.payloads import violations
from bc_ometria.rules.lifecycle import (
    COMING,
    EVENT_TYPES,
    LEAVING,
    STATES,
    CancelReason,
    Reason,
    Reasons,
    ReturnReason,
    Statuses,
)
from bc_ometria_tests.mapping.walking import RULES, Store, Walk, events_of, properties_of, types_of

_PLAIN = settings(max_examples=40, deadline=None)

Step = Callable[[Walk], object]


def picked(*pieces: int, **options: object) -> Walk:
    return Walk(*pieces, **options).move("OP", "PK").to("P")  # type: ignore[arg-type]


def test_every_state_and_every_event_type_is_accounted_for() -> None:
    assert set(COMING) == set(STATES)
    assert {name for events in (COMING, LEAVING) for names in events.values() for name in names} == set(EVENT_TYPES)


def test_several_changes_between_two_polls_give_the_whole_path_in_order() -> None:
    walk = picked(1, 1).ship("S1", 1).ship("S2", 2).take_back("R1", 1, refund={1: 2332})
    walk.take_back("R2", 2, refund={2: 2332}).to("R")
    found = events_of(walk)
    assert types_of(found) == [
        "order_picking", "order_part_dispatched", "order_dispatched", "order_part_refunded", "order_refunded",
    ]  # fmt: skip
    assert found.told["timestamp"].is_monotonic_increasing
    assert found.told["record_id"].str.fullmatch("[0-9a-f]{32}").all()


def test_three_lines_in_two_parcels_with_one_back_order_tell_each_step_once() -> None:
    store, walk = Store(), Walk(1, 1, 1)
    for step in (
        lambda: walk.move("OP", "PK", 1, 2).to("P"),
        lambda: walk.ship("S1", 1, 2, location="0010", tracking="T1").to("S"),
        lambda: walk.move("OP", "PK", 3),
        lambda: walk.ship("S2", 3, location="0020", tracking="T2").to("C"),
    ):
        step()
        store.poll(walk)
        store.poll(walk)
    assert store.types == [
        "order_picking", "order_part_dispatched", "order_back_ordered", "back_order_released", "order_dispatched",
    ]  # fmt: skip
    first, last = (
        orjson.loads(record["payload"])["properties"]
        for record in store.records.values()
        if record["event_type"].endswith("dispatched")
    )
    assert first == {
        "order": "W1",
        "store": "uk",
        "warehouse": "Leeds",
        "warehouse_country": "GB",
        "parcel": "S1",
        "carrier": "RM24",
        "tracking": "T1",
        "lines": [
            {"product": "100-DRESS", "size": "01", "colour": "BLK", "quantity": 1},
            {"product": "100-DRESS", "size": "02", "colour": "BLK", "quantity": 1},
        ],
    }
    assert (last["warehouse"], last["parcel"], last["tracking"]) == ("Dublin", "S2", "T2")
    assert [line["size"] for line in last["lines"]] == ["03"]


def test_two_parcels_from_two_warehouses_have_their_own_events() -> None:
    walk = picked(1, 1).ship("S1", 1, location="0010").ship("S2", 2, location="0020")
    found = events_of(walk)
    assert types_of(found)[1:] == ["order_part_dispatched", "order_dispatched"]


def test_only_the_events_of_the_rules_are_told() -> None:
    states = {
        name: rule.model_copy(update={"events": tuple(event for event in rule.events if event == "order_dispatched")})
        for name, rule in RULES.statuses.states.items()
    }
    rules = RULES.model_copy(update={"statuses": Statuses(ord_status=RULES.statuses.ord_status, states=states)})
    assert types_of(events_of(picked(1).ship("S1"), rules=rules)) == ["order_dispatched"]


def test_the_time_is_that_of_the_parcel_in_utc() -> None:
    walk = picked(1)
    walk.ship("S1").parcels["S1"]["ship_date"] = "2026-07-01 12:00:00"
    parcel = orjson.loads(events_of(walk).told["payload"].iloc[-1])
    assert parcel["event_type"] == "order_dispatched"
    assert parcel["timestamp"] == "2026-07-01T11:00:00Z"


@pytest.mark.parametrize(("kind", "code", "by"), [("CC", "CU", "customer"), ("CH", "NS", "house")])
def test_a_cancelled_order_is_quiet_but_for_its_cancellation(kind: str, code: str, by: str) -> None:
    store, walk = Store(), picked(1, 1)
    store.poll(walk, send=False)
    assert store.waiting() == ["order_picking"]
    walk.move("PK", kind).to("X", cancel_code=code)
    found = store.poll(walk)
    assert found.withdrawn["reason"].tolist() == ["the order is cancelled"]
    assert types_of(found) == store.types == ["order_cancelled"]
    properties = properties_of(found, "order_cancelled")
    assert properties["cancelled_by"] == by
    assert properties["reason"] == RULES.reasons.cancel[code].meaning
    assert [line["quantity"] for line in properties["lines"]] == [1, 1]


def test_a_part_cancellation_names_its_lines_once_and_the_rest_goes_on() -> None:
    store, walk = Store(), Walk(1, 2, 1)
    walk.move("OP", "CC", 2).to("O", cancel_code="CU")
    found = store.poll(walk)
    assert types_of(found) == ["order_part_cancelled"]
    (line,) = properties_of(found, "order_part_cancelled")["lines"]
    assert (line["size"], line["quantity"]) == ("02", 2)
    walk.move("OP", "PK").ship("S1").to("C")
    store.poll(walk)
    assert store.types == ["order_part_cancelled", "order_picking", "order_dispatched"]


def test_a_part_cancellation_without_a_time_comes_before_the_parcel_told_with_it() -> None:
    walk = Walk(1, 1, timed=False).move("OP", "PK", 1).ship("S1").move("OP", "CC", 2).to("C", cancel_code="CU")
    assert types_of(events_of(walk)) == ["order_picking", "order_part_cancelled", "order_dispatched"]


def test_a_back_order_that_was_overtaken_before_it_was_sent_is_still_told() -> None:
    store, walk = Store(), Walk(1)
    store.poll(walk.to("B"), send=False)
    assert store.poll(walk.move("OP", "RS").to("A"), send=False).withdrawn.empty
    assert store.waiting() == ["order_back_ordered", "back_order_released"]


def test_a_back_order_that_the_house_drops_is_cancelled_and_not_released() -> None:
    store, walk = Store(), Walk(1, 1)
    walk.move("OP", "PK", 1).ship("S1").to("S")
    store.poll(walk)
    walk.move("OP", "CH", 2).to("C", cancel_code="NS")
    store.poll(walk)
    assert store.types == ["order_picking", "order_part_dispatched", "order_back_ordered", "order_part_cancelled"]


def test_a_whole_order_that_waits_for_stock_and_then_does_not() -> None:
    store, walk = Store(), Walk(1)
    store.poll(walk.to("B"))
    store.poll(walk.move("OP", "RS").to("A"))
    store.poll(walk.move("RS", "OP").to("B"))
    assert store.types == ["order_back_ordered", "back_order_released"]


def test_a_part_refund_and_then_the_rest() -> None:
    walk = picked(1).ship("S1").to("C")
    walk.take_back("R1", 1, refund={1: 1166}).take_back("R2", refund={1: 1166})
    found = events_of(walk)
    assert types_of(found)[2:] == ["order_part_refunded", "order_refunded"]
    properties = properties_of(found, "order_refunded")
    assert (properties["return"], properties["refunded"], properties["currency"]) == ("R2", 11.66, "GBP")
    assert properties["reason"] == "does not fit"


def test_a_refund_stays_a_part_when_the_rest_is_cancelled_after_it() -> None:
    walk = picked(1, 1).ship("S1", 1).take_back("R1", 1, refund={1: 2332})
    assert types_of(events_of(walk))[-1] == "order_part_refunded"
    walk.move("PK", "CH", 2).to("R", cancel_code="NS")
    assert types_of(events_of(walk))[-2:] == ["order_part_refunded", "order_part_cancelled"]


def test_an_exchange_says_so() -> None:
    walk = picked(1, 1).ship("S1").take_back("R1", 1, refund={1: 2332}, reason="EX")
    properties = properties_of(events_of(walk), "order_part_refunded")
    assert (properties["reason"], properties["reason_code"]) == ("exchange", "EX")


def test_a_return_without_money_is_no_refund_yet() -> None:
    walk = picked(1).ship("S1").take_back("R1", 1, refund={})
    assert types_of(events_of(walk)) == ["order_picking", "order_dispatched"]
    walk.returned["R1"]["refund_total"] = 2332
    assert types_of(events_of(walk))[-1] == "order_refunded"


def test_a_voided_shipment_withdraws_what_was_not_sent_and_the_repeated_one_is_told() -> None:
    store, walk = Store(), picked(1)
    store.poll(walk)
    store.poll(walk.ship("S1"), send=False)
    found = store.poll(walk.void("S1").to("P"))
    assert found.withdrawn["reason"].tolist() == ["it is no longer so"]
    store.poll(walk.ship("S2").to("C"))
    assert store.types == ["order_picking", "order_dispatched"]
    assert store.sent[-1] == event_id("W1", "order_dispatched", "S2")


def test_a_voided_shipment_that_was_told_is_not_taken_back_and_not_repeated() -> None:
    store, walk = Store(), picked(1).ship("S1")
    store.poll(walk)
    assert store.poll(walk.void("S1")).withdrawn.empty
    walk.parcels["S1"]["void_ok"] = ""
    store.poll(walk.move("PK", "IN"))
    assert store.types == ["order_picking", "order_dispatched"]


def test_tracking_that_comes_a_day_later() -> None:
    store, walk = Store(), picked(1).ship("S1", tracking="")
    found = store.poll(walk)
    assert "tracking" not in properties_of(found, "order_dispatched")
    found = store.poll(walk.track("S1", "T9"))
    assert types_of(found) == ["tracking_added"]
    assert properties_of(found, "tracking_added")["tracking"] == "T9"
    assert types_of(store.poll(walk.track("S1", "T10"))) == []
    assert "tracking_added" not in types_of(events_of(walk))  # an empty store tells it with the parcel


def test_a_hold_and_its_release_are_told_once_per_reason() -> None:
    store, walk = Store(), Walk(1)
    for code in ("CR", "", "CR", "", "AD", ""):
        store.poll(walk.to("H" if code else "O", hold_code=code))
    assert store.types == ["order_on_hold", "order_hold_released"] * 2
    reasons = [orjson.loads(record["payload"])["properties"].get("reason") for record in store.records.values()]
    assert reasons == ["credit check", None, "address to be checked", None]


def test_a_hold_whose_code_changes_is_one_hold() -> None:
    store, walk = Store(), Walk(1)
    for code in ("CR", "AD", ""):
        store.poll(walk.to("H" if code else "O", hold_code=code))
    assert store.types == ["order_on_hold", "order_hold_released"]


def test_a_status_that_goes_backwards_repeats_nothing() -> None:
    store, walk = Store(), picked(1, 1)
    for status in "PSCPOPSC":
        store.poll(walk.to(status))
    store.poll(walk.move("PK", "OP").to("O"))
    store.poll(walk.move("OP", "PK").to("P"))
    assert store.types == ["order_picking"]


def test_an_order_that_is_no_longer_cancelled_goes_on() -> None:
    store, walk = Store(), Walk(1)
    store.poll(walk.move("OP", "CC").to("X", cancel_code="CU"), send=False)
    found = store.poll(walk.move("CC", "OP").to("O", cancel_code=""))
    assert found.withdrawn["reason"].tolist() == ["it is no longer so"]
    assert store.types == []
    store.poll(walk.move("OP", "CC").to("X", cancel_code="CU"))  # was never told, so it is now
    store.poll(walk.move("CC", "PK").to("P", cancel_code=""))
    store.poll(walk.move("PK", "CC").to("X", cancel_code="CU"))
    assert store.types == ["order_cancelled", "order_picking"]


@pytest.mark.parametrize(
    ("walk", "code", "held"),
    [
        (Walk(1).to("H", hold_code="ZZ"), "ZZ", "unmapped_reason"),
        (Walk(1).move("OP", "CC").to("X", cancel_code="QQ"), "QQ", "unmapped_reason"),
        (picked(1).ship("S1").take_back("R1", 1, refund={1: 9}, reason="??"), "??", "unmapped_reason"),
        (picked(1).ship("S1", location="0099"), "0099", "unknown_warehouse"),
    ],
)
def test_a_code_that_no_rule_knows_keeps_its_event_back_until_one_does(walk: Walk, code: str, held: str) -> None:
    """P13, Q3."""
    store = Store()
    found = store.poll(walk)
    assert found.told["held"].iloc[-1] == held
    assert found.told["record_id"].iloc[-1] not in store.sent
    reasons = Reasons(
        hold={**RULES.reasons.hold, code: Reason(meaning="now known")},
        cancel={**RULES.reasons.cancel, code: CancelReason(meaning="now known", by="house")},
        returned={**RULES.reasons.returned, code: ReturnReason(meaning="now known")},
    )
    warehouses = RULES.warehouses | {code: RULES.warehouses["0010"]}
    store.poll(walk, rules=RULES.model_copy(update={"reasons": reasons, "warehouses": warehouses}))
    assert found.told["record_id"].iloc[-1] == store.sent[-1]


@pytest.mark.parametrize("location", ["POE", ""])
def test_a_warehouse_that_is_none_is_not_shown(location: str) -> None:
    found = events_of(picked(1).ship("S1", location=location))
    assert "warehouse" not in properties_of(found, "order_dispatched")
    assert (found.told["held"] == "").all()


def test_an_unmapped_status_fires_nothing_and_withdraws_nothing() -> None:
    """P13: what its evidence shows is kept back, so that people see which journeys it blocks."""
    store, walk = Store(), picked(1)
    store.poll(walk, send=False)
    found = store.poll(walk.ship("S1").to("Q7"), send=False)
    assert found.told[["event_type", "held"]].to_numpy().tolist() == [["order_dispatched", "unmapped_status"]]
    assert found.withdrawn.empty
    assert types_of(store.poll(walk.to("C"))) == ["order_dispatched"]
    assert store.types == ["order_picking", "order_dispatched"]


def test_an_unmapped_status_of_which_all_is_cancelled_withdraws_what_waits() -> None:
    """Q4: evidence cancels, whatever the code may mean."""
    store, walk = Store(), picked(1)
    store.poll(walk, send=False)
    found = store.poll(walk.move("PK", "CC").to("Q7", cancel_code="CU"))
    assert found.withdrawn["reason"].tolist() == ["the order is cancelled"]
    assert found.told[["event_type", "held"]].to_numpy().tolist() == [["order_cancelled", "unmapped_status"]]


def test_an_unknown_division_keeps_the_events_back_until_it_has_a_store() -> None:
    """Q3: an event tells the store."""
    store = Store()
    assert store.poll(picked(1), store="").told["held"].tolist() == ["unknown_division"]
    assert store.sent == []
    found = store.poll(picked(1))
    assert properties_of(found, "order_picking")["store"] == "uk"
    assert store.types == ["order_picking"]


def test_a_hold_is_not_released_by_a_code_that_nobody_knows() -> None:
    store, walk = Store(), Walk(1).to("H", hold_code="CR")
    store.poll(walk)
    assert types_of(store.poll(walk.to("Q7"))) == []
    assert types_of(store.poll(walk.to("O", hold_code=""))) == ["order_hold_released"]


def test_an_order_that_never_goes_tells_nothing_and_withdraws_what_waits() -> None:
    """Q3: as one whose division is no longer marketed."""
    store, walk = Store(), picked(1)
    store.poll(walk, send=False)
    found = store.poll(walk.ship("S1"), excluded=True)
    assert types_of(found) == []
    assert found.withdrawn["reason"].tolist() == ["the order never goes to Ometria"]


def test_a_guest_is_known_by_the_address_and_nobody_by_nothing() -> None:
    walk = picked(1)
    walk.header |= {"customer": ""}
    (payload,) = events_of(walk).told["payload"]
    assert orjson.loads(payload)["identity_email"] == "ann@example.com"
    assert b"identity_account_id" not in payload
    walk.header |= {"email": ""}
    assert types_of(events_of(walk)) == []


def test_sizes_and_colours_are_what_people_call_them() -> None:
    (line,) = properties_of(events_of(picked(1), size="XL", colour="Midnight"), "order_picking")["lines"]
    assert (line["size"], line["colour"]) == ("XL", "Midnight")


@pytest.mark.parametrize("letter", ["X", "ø"])
def test_properties_that_would_be_too_long_lose_lines_and_say_how_many(letter: str) -> None:
    walk = picked(*[1] * 24)
    (payload,) = events_of(walk, size="S", colour=letter * 5).told["payload"]
    properties = orjson.loads(payload)["properties"]
    assert violations("custom_event", payload) == []
    assert len(properties["lines"]) + properties["more_lines"] == 24
    assert len(properties["lines"]) > 4


def _forward(lines: int) -> st.SearchStrategy[Step]:
    """Steps of which the evidence stays: what was picked leaves, is cancelled for good, or comes back."""
    line = st.integers(1, lines)
    names = st.integers(0, 10**6).map(str)
    return st.one_of(
        st.builds(lambda n, name, pieces: lambda walk: _ship(walk, name, n, pieces), line, names, st.integers(1, 3)),
        st.builds(lambda n: lambda walk: _cancel_rest(walk, n), line),
        st.builds(lambda n, name, share: lambda walk: _return(walk, name, n, share), line, names, st.integers(1, 2)),
    )


def _ship(walk: Walk, name: str, line: int, pieces: int) -> None:
    if name not in walk.parcels and walk.stages[line]["PK"]:
        walk.ship(name, line, pieces=pieces)


def _cancel_rest(walk: Walk, line: int) -> None:
    others = sum(stages["PK"] + stages["IN"] for n, stages in walk.stages.items() if n != line)
    if walk.stages[line]["PK"] and others:
        walk.move("PK", "CC", line)


def _return(walk: Walk, name: str, line: int, share: int) -> None:
    back = walk.stages[line]["IN"] - walk.stages[line]["RT"]
    if name not in walk.returned and back:
        walk.take_back(
            name, line, refund={line: walk.paid_for(line) * back // walk.rows[line - 1]["quantity"] // share}
        )


def _keys(found: Events) -> list[tuple[str, str]]:
    return list(zip(found.told["record_id"], found.told["event_type"], strict=True))


@_PLAIN
@given(st.lists(st.integers(1, 3), min_size=1, max_size=3), st.data())
def test_every_prefix_of_a_walk_gives_a_prefix_of_its_events(pieces: list[int], data: st.DataObject) -> None:
    """Seen once, at any moment, by an empty store; and the same as by a store that saw every step."""
    walk, watching = picked(*pieces), Store()
    before: list[tuple[str, str]] = []
    for step in data.draw(st.lists(_forward(len(pieces)), max_size=8)):
        step(walk)
        once = _keys(events_of(walk))
        assert once[: len(before)] == before
        before = once
        watching.poll(walk)
        assert [key for key, _ in once] == watching.sent
        assert [kind for _, kind in once] == watching.types


def _anything(lines: int) -> st.SearchStrategy[Step]:
    """Steps forwards and backwards."""
    line = st.integers(1, lines)
    moves = [("OP", "RS"), ("OP", "PK"), ("RS", "PK"), ("PK", "OP"), ("OP", "CC"), ("PK", "CH"), ("CC", "OP")]
    return st.one_of(
        _forward(lines),
        st.builds(
            lambda n, move, pieces: lambda walk: walk.move(*move, n, pieces=pieces),
            line, st.sampled_from(moves), st.integers(1, 3),
        ),
        st.sampled_from(moves).map(lambda move: lambda walk: walk.move(*move)),
        st.sampled_from([("O", ""), ("H", "CR"), ("H", "AD"), ("B", ""), ("S", ""), ("X", ""), ("Q7", "")]).map(
            lambda to: lambda walk: walk.to(to[0], hold_code=to[1])
        ),
        st.integers(0, 3).map(lambda nth: lambda walk: _void(walk, nth)),
        st.integers(0, 3).map(lambda nth: lambda walk: _track(walk, nth)),
    )  # fmt: skip


def _void(walk: Walk, nth: int) -> None:
    for number in list(walk.parcels)[nth : nth + 1]:
        if not walk.parcels[number]["void_ok"] and not any(stages["RT"] for stages in walk.stages.values()):
            walk.void(number)
    for number in list(walk.returned)[nth : nth + 1]:
        if not walk.returned[number]["void_ok"]:
            walk.void_return(number)


def _track(walk: Walk, nth: int) -> None:
    for number in list(walk.parcels)[nth : nth + 1]:
        walk.track(number, "" if walk.parcels[number]["tracking"] else "T1")


@_PLAIN
@given(st.lists(st.integers(1, 3), min_size=1, max_size=3), st.booleans(), st.data())
def test_nothing_is_told_twice_whatever_an_order_goes_through(
    pieces: list[int], timed: bool, data: st.DataObject
) -> None:
    """``Store`` fails where an event that was sent, or waits to be, is told again."""
    walk, store = Walk(*pieces, timed=timed), Store()
    for step in data.draw(st.lists(_anything(len(pieces)), max_size=14)):
        step(walk)
        store.poll(walk, send=data.draw(st.booleans()))
        assert store.poll(walk, send=False).told.query("held == ''").empty
        if walk.state.startswith("cancelled"):
            assert set(store.waiting()) <= {"order_cancelled"}
    parcels = [record["record_id"] for record in store.records.values() if "dispatched" in record["event_type"]]
    assert len(parcels) <= len(walk.parcels)
    store.send()
    assert len(set(store.sent)) == len(store.sent)


@_PLAIN
@given(st.lists(st.integers(1, 3), min_size=1, max_size=3), st.data())
def test_an_empty_store_rebuilds_no_other_ids(pieces: list[int], data: st.DataObject) -> None:
    walk, store = picked(*pieces), Store()
    for step in data.draw(st.lists(_forward(len(pieces)), min_size=1, max_size=8)):
        step(walk)
        walk.timed = False
        store.poll(walk)
    assume(store.sent)
    assert set(events_of(walk).told["record_id"]) <= set(store.sent)


def test_ids_follow_from_blue_cherrys_keys_alone() -> None:
    assert event_id("W1", "order_dispatched", "S1") == event_id("W1", "order_part_dispatched", "S1")
    assert event_id("W1", "order_dispatched", "S1") != event_id("W1", "order_refunded", "S1")
    assert event_id("W1", "order_picking") == "388b9f2d4153ade6b5215ab58971d53f"
