"""The state of orders and lines rests on evidence; the header's status is a claim (P22, F3, P11)."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bc_ometria.blue_cherry import TenantProfile
from bc_ometria.mapping.assemble import REC_TYPES, assemble
from bc_ometria.mapping.lifecycle import Lifecycle, lifecycle
from bc_ometria.mapping.money import per_order, totals_apart
from bc_ometria.mapping.orders import claims_of as claims_of_orders
from bc_ometria.rules import Rules
from bc_ometria.rules.lifecycle import CLAIMS as EVERY_CLAIM
from bc_ometria.rules.lifecycle import STATES
from bc_ometria.sandbox import online_retail
from bc_ometria.sandbox.apparel import Apparel
from bc_ometria_tests.mapping.examples import NOON, Row, line, mirror, order, order_rows, stage
from bc_ometria_tests.mapping.walking import REASONS, Walk, assembled, claims_of

_PLAIN = settings(max_examples=50, deadline=None)


def life_of(stages: dict[str, int], claim: str = "placed", quantity: int = 3, **of_header: Any) -> Lifecycle:
    rows = [stage(pkey=1000 + at, rec_type=kind, quantity=pieces) for at, (kind, pieces) in enumerate(stages.items())]
    return lifecycle(order([line(quantity=quantity)], rows, **of_header), [claim], REASONS)


@st.composite
def _any_stages(draw: st.DrawFn) -> tuple[dict[str, list[Row]], list[str]]:
    """Orders whose stages and documents need not agree with anything, and what their headers claim."""
    rows = draw(order_rows())
    rows["order_stages"] = [
        stage(pkey=at * 10 + nth, fkey=piece["pkey"], ord_num=piece["ord_num"], rec_type=kind,
              bucket=piece["bucket"], quantity=draw(st.integers(0, 4)))
        for at, piece in enumerate(rows["order_lines"])
        for nth, kind in enumerate(draw(st.lists(st.sampled_from(REC_TYPES), max_size=4, unique=True)))
    ]  # fmt: skip
    for paper in (*rows["shipments"], *rows["returns"]):
        paper["void_ok"] = draw(st.sampled_from(["", "Y"]))
    for returned in rows["return_lines"]:
        returned["refund_amt"] = draw(st.integers(0, 3000))
    for paper in rows["returns"]:
        of_paper = [row for row in rows["return_lines"] if row["fkey"] == paper["pkey"]]
        paper["refund_total"] = sum({row["pkey"]: row["refund_amt"] for row in of_paper}.values())
    return rows, [draw(st.sampled_from(["", *EVERY_CLAIM])) for _ in rows["orders"]]


@_PLAIN
@given(_any_stages())
def test_whatever_the_stages_say_pieces_add_up_to_what_was_ordered(
    case: tuple[dict[str, list[Row]], list[str]],
) -> None:
    rows, claims = case
    orders = assemble(mirror(rows), [row["ord_num"] for row in rows["orders"]])
    life = lifecycle(orders, claims, REASONS)
    for frame, ordered in (
        (life.lines, orders.lines["quantity"].to_numpy()),
        (life.orders, per_order(orders, orders.lines["quantity"].to_numpy())),
    ):
        parts = frame[["open", "reserved", "picked", "dispatched", "by_customer", "by_house"]]
        assert (parts >= 0).all(axis=None)
        assert parts.sum(axis=1).tolist() == ordered.tolist()
        assert frame["back_ordered"].between(0, frame["open"]).all()
        assert frame["returned"].between(0, frame["dispatched"]).all()
        assert set(frame["state"]) <= {*STATES, "unmapped"}
    assert (life.orders["state"] == "unmapped").tolist() == [claim == "" for claim in claims]


@_PLAIN
@given(_any_stages(), st.data())
def test_money_adds_up_to_the_penny(case: tuple[dict[str, list[Row]], list[str]], data: st.DataObject) -> None:
    rows, claims = case
    for head in rows["orders"]:  # within a penny a line, as another system rounds it
        lines = sum(row["ord_num"] == head["ord_num"] for row in rows["order_lines"])
        pennies = data.draw(st.integers(-lines, lines))
        head["ord_total"] += pennies
        head["tax_amt"] += pennies
    orders = assemble(mirror(rows), [row["ord_num"] for row in rows["orders"]])
    assert not totals_apart(orders).any()
    life = lifecycle(orders, claims, REASONS)
    of_lines = per_order(orders, life.lines["total"].to_numpy())
    sendable = per_order(orders, life.lines["quantity"].to_numpy()) > 0
    whole = (life.orders["total"] - life.orders["shipping"]).to_numpy()
    assert (of_lines == whole)[sendable].all()
    parts = life.orders["subtotal"] - life.orders["discount"] + life.orders["shipping"] + life.orders["tax"]
    assert (parts == life.orders["total"]).all()
    again = lifecycle(orders, claims, REASONS)
    assert again.lines["total"].tolist() == life.lines["total"].tolist()


@_PLAIN
@given(st.lists(st.integers(0, 4), min_size=1, max_size=5), st.integers(0, 999))
def test_a_refund_of_a_line_is_shared_by_its_sizes_to_the_penny(pieces: list[int], refund: int) -> None:
    sizes = [line(bucket=at, quantity=4) for at in range(1, len(pieces) + 1)]
    rows = {
        "orders": [{"pkey": 10, "ord_num": "W1", "last_mod": NOON}],
        "order_lines": sizes,
        "returns": [{"pkey": 1, "ord_num": "W1", "ret_num": "R1", "refund_total": refund, "ret_date": NOON}],
        "return_lines": [
            {"pkey": 5, "fkey": 1, "ord_num": "W1", "line_num": 1, "bucket": at, "quantity": of, "refund_amt": refund}
            for at, of in enumerate(pieces, 1)
        ],
    }
    life = lifecycle(assemble(mirror(rows), ["W1"]), ["placed"], REASONS)
    assert life.lines["refunded"].sum() == refund == life.orders["refunded"].item()
    assert life.lines["refunded"].min() >= 0


@pytest.mark.parametrize(
    ("stages", "claim", "state"),
    [
        ({"OP": 3}, "placed", "placed"),
        ({"OP": 3}, "on_hold", "on_hold"),
        ({"RS": 3}, "allocated", "allocated"),
        ({"RS": 1, "PK": 2}, "picking", "picking"),
        ({"OP": 3}, "back_ordered", "back_ordered"),
        ({"OP": 1, "IN": 2}, "part_dispatched", "part_dispatched"),
        ({"IN": 3}, "dispatched", "dispatched"),
        ({"OP": 2, "CC": 1}, "placed", "part_cancelled"),
        ({"PK": 2, "CC": 1}, "picking", "picking"),
        ({"IN": 2, "CH": 1}, "dispatched", "part_cancelled"),
        ({"CC": 3}, "cancelled", "cancelled_by_customer"),
        ({"CH": 3}, "cancelled", "cancelled_by_house"),
        ({"CH": 2, "CC": 1}, "cancelled", "cancelled_by_house"),
        ({"IN": 3, "RT": 1}, "dispatched", "part_refunded"),
        ({"IN": 3, "RT": 3}, "refunded", "refunded"),
    ],
)
def test_the_state_that_the_stages_show(stages: dict[str, int], claim: str, state: str) -> None:
    life = life_of(stages, claim)
    assert life.orders["state"].item() == life.lines["state"].item() == state
    assert not life.orders["claim_against_evidence"].item()
    assert not life.orders["evidence_apart"].item()
    assert life.orders["detail"].item() == ""


@pytest.mark.parametrize(
    ("stages", "agree"),
    [
        ({"OP": 3}, {"placed", "on_hold", "back_ordered"}),
        ({"OP": 1, "RS": 2}, {"allocated", "on_hold", "back_ordered"}),
        ({"RS": 1, "PK": 2}, {"picking", "on_hold"}),
        ({"OP": 2, "IN": 1}, {"part_dispatched", "on_hold", "back_ordered"}),
        ({"PK": 2, "IN": 1}, {"part_dispatched", "on_hold"}),
        ({"IN": 3}, {"dispatched"}),
        ({"IN": 2, "CC": 1}, {"dispatched", "part_cancelled"}),
        ({"OP": 2, "CH": 1}, {"placed", "on_hold", "back_ordered", "part_cancelled"}),
        ({"CC": 3}, {"cancelled", "cancelled_by_customer"}),
        ({"CC": 1, "CH": 2}, {"cancelled", "cancelled_by_house"}),
        ({"IN": 3, "RT": 1}, {"dispatched", "part_refunded"}),
        ({"IN": 3, "RT": 3}, {"refunded"}),
    ],
)
def test_a_claim_agrees_with_this_evidence_and_no_other(stages: dict[str, int], agree: set[str]) -> None:
    against = {claim: life_of(stages, claim).orders["claim_against_evidence"].item() for claim in EVERY_CLAIM}
    assert {claim for claim, is_against in against.items() if not is_against} == agree


def test_where_they_disagree_the_evidence_wins_and_both_are_named_without_anything_personal() -> None:
    life = life_of({"OP": 1, "IN": 2}, "dispatched", ord_status="C")
    assert life.orders["state"].item() == "part_dispatched"
    assert life.orders["detail"].item() == (
        "ord_status C claims dispatched, evidence part_dispatched: ordered 3, open 1, dispatched 2, back_ordered 1"
    )


@pytest.mark.parametrize("claim", EVERY_CLAIM)
def test_an_order_without_evidence_rests_on_its_claim(claim: str) -> None:
    life = life_of({}, claim, cancel_code="CU")
    expected = "cancelled_by_customer" if claim == "cancelled" else claim
    assert life.orders["state"].item() == life.lines["state"].item() == expected
    assert not life.orders["evidence"].item()
    assert not life.orders["claim_against_evidence"].item()


def test_a_status_that_no_rule_knows_is_never_guessed() -> None:
    life = life_of({"IN": 3}, "")
    assert life.orders["state"].item() == "unmapped"
    assert life.lines["state"].item() == "dispatched"
    with pytest.raises(ValueError, match="a claim is blank or one of placed"):
        life_of({"IN": 3}, "shipped")


@pytest.mark.parametrize(("stages", "ordered"), [({"OP": 2}, 3), ({"OP": 2, "IN": 2}, 3)])
def test_stages_that_are_not_what_was_ordered_are_reported(stages: dict[str, int], ordered: int) -> None:
    life = life_of(stages, "placed", ordered)
    assert life.orders["evidence_apart"].item()
    assert f"line 1, ordered 3: OP {stages['OP']}" in life.orders["detail"].item()


def test_codes_that_no_rule_knows_are_named_where_they_bear_on_the_order() -> None:
    unknown = {"hold_code": "ZZ", "cancel_code": "QQ"}
    columns = ["unmapped_hold", "unmapped_cancel", "unmapped_return"]

    def unmapped(life: Lifecycle) -> list[str]:
        return life.orders[columns].iloc[0].tolist()

    assert unmapped(life_of({"OP": 3}, "placed", **unknown)) == ["", "", ""]
    assert unmapped(life_of({"OP": 3}, "on_hold", **unknown)) == ["ZZ", "", ""]
    assert unmapped(life_of({"OP": 2, "CC": 1}, "placed", **unknown)) == ["", "QQ", ""]
    walk = Walk(1).move("OP", "PK").ship("S1").take_back("R1", 1, refund={1: 100}, reason="??")
    assert unmapped(walk.life) == ["", "", "??"]
    assert unmapped(walk.void_return("R1").life) == ["", "", ""]


def test_three_lines_in_two_parcels_from_two_warehouses_with_one_back_order() -> None:
    walk = Walk(1, 1, 1).move("OP", "PK", 1, 2).to("P")
    assert walk.state == "picking"
    walk.ship("S1", 1, location="0010").to("S")
    assert (walk.state, walk.line_states) == ("part_dispatched", ["dispatched", "picking", "back_ordered"])
    walk.ship("S2", 2, location="0020")
    assert walk.life.orders["back_ordered"].item() == 1
    walk.move("OP", "PK", 3).ship("S3", 3).to("C")
    assert (walk.state, walk.line_states) == ("dispatched", ["dispatched"] * 3)
    assert not walk.life.orders["claim_against_evidence"].item()


def test_a_held_order_waits_for_no_stock() -> None:
    walk = Walk(1, 1).move("OP", "PK", 1).ship("S1", 1).to("H", hold_code="CR")
    assert walk.state == "on_hold"
    assert walk.life.orders["back_ordered"].item() == 0


def test_a_voided_shipment_does_not_count_and_the_repeated_one_does() -> None:
    walk = Walk(1).move("OP", "PK").ship("S1").to("C")
    assert walk.state == "dispatched"
    walk.parcels["S1"]["void_ok"] = "Y"  # while its pieces still stand as IN
    assert walk.life.orders["dispatched"].item() == 0
    assert walk.life.orders["evidence_apart"].item()
    walk.parcels["S1"]["void_ok"] = ""
    walk.void("S1").to("P")
    assert walk.state == "picking"
    walk.ship("S2").to("C")
    assert walk.state == "dispatched"
    assert not walk.life.orders["evidence_apart"].item()


def test_a_part_refund_and_then_the_rest() -> None:
    walk = Walk(2, 1).move("OP", "PK").ship("S1").to("C")
    first, second = walk.paid_for(1), walk.paid_for(2)
    walk.take_back("R1", 1, 2, refund={1: first // 2, 2: second // 2}).to("R")
    assert walk.state == "part_refunded"
    assert not walk.life.orders["claim_against_evidence"].item()
    walk.take_back("R2", refund={1: first - first // 2, 2: second - second // 2})
    life = walk.life
    assert life.orders["state"].item() == "refunded"
    assert life.lines["refunded"].tolist() == [first, second]
    assert life.lines["returned"].tolist() == [2, 1]
    walk.void_return("R2")
    assert walk.state == "part_refunded"
    assert walk.life.lines["refunded"].tolist() == [first // 2, second // 2]


def test_one_line_of_two_comes_back() -> None:
    walk = Walk(1, 1).move("OP", "PK").ship("S1").take_back("R1", 2, refund={2: 2332}).to("C")
    assert (walk.state, walk.line_states) == ("part_refunded", ["dispatched", "refunded"])


def test_a_free_gift_that_comes_back_in_part_is_not_refunded_whole() -> None:
    walk = Walk(1, 1, price=0, tax=0).move("OP", "PK").ship("S1").take_back("R1", 1, refund={})
    assert walk.state == "part_refunded"
    assert walk.take_back("R2", 2, refund={}).state == "refunded"


def test_freight_that_was_refunded_counts_on_no_line() -> None:
    walk = Walk(1).move("OP", "PK").ship("S1").take_back("R1", 1, refund={1: 2332})
    walk.returned["R1"]["refund_total"] = 2332 + 495
    assert walk.life.orders["refunded"].item() == 2827
    assert walk.life.lines["refunded"].item() == 2332


def test_an_exchange() -> None:
    walk = Walk(1, 1).move("OP", "PK").ship("S1").take_back("R1", 1, refund={1: 2332}, reason="EX").to("C")
    assert (walk.state, walk.line_states) == ("exchanged", ["exchanged", "dispatched"])
    walk.take_back("R2", 2, refund={2: 2332})
    assert walk.state == "refunded"


def test_cancelled_pieces_are_out_of_the_money_unless_all_are() -> None:
    walk = Walk(2, 1).move("OP", "CC", 1, pieces=1)
    assert walk.life.lines["quantity"].tolist() == [1, 1]
    assert walk.life.lines["total"].sum() + 495 == walk.life.orders["total"].item()
    whole = walk.move("OP", "CH").to("X").life
    assert whole.orders["state"].item() == "cancelled_by_house"
    assert whole.orders["total"].item() == 3 * 1999 + 2 * 333 + 495


def test_the_generated_retailer_has_no_state_that_is_unexplained(profile: TenantProfile) -> None:
    """Claims go against evidence only where the status trails its shipment; documents always say what stages do."""
    shop = Apparel(seed=3, customers=100, orders_per_day=50)
    changes = [*shop.catalogue(), *shop.advance(datetime(2026, 1, 5) + timedelta(days=30))]  # noqa: DTZ001
    orders = assembled(changes, profile)
    life = lifecycle(orders, claims_of(orders), REASONS)
    whole = np.bincount(orders.lines["order"], minlength=len(orders)) > 0
    assert set(life.orders["state"]) == {*STATES, "unmapped"}
    unmapped = orders.headers["ord_status"][life.orders["state"] == "unmapped"]
    assert set(unmapped) == {"Q7", "Z1", ""}  # blank: lines that have no header yet
    assert life.orders["evidence"][whole].all()
    assert not life.orders["evidence_apart"].any()
    trailing = life.orders["claim_against_evidence"]
    assert set(life.orders["state"][trailing]) <= {"part_dispatched", "dispatched"}
    assert trailing.sum() <= shop.happened["status trails"]
    assert set(life.orders["unmapped_hold"]) == {"", "ZZ"}
    assert set(life.orders["unmapped_cancel"]) == set(life.orders["unmapped_return"]) == {""}


def test_the_real_orders_have_no_state_that_is_unexplained(profile: TenantProfile, sample_of_real_orders: Path) -> None:
    """A C invoice is in Ometria a refund that is no revenue (docs/online-retail.md); stock and bad debts never go."""
    rules = Rules.load(Path(online_retail.__file__).parent / "tenants" / "online_retail")
    orders = assembled(online_retail.changes(sample_of_real_orders), profile)
    claims = claims_of_orders(orders, rules)
    life = lifecycle(orders, claims, rules.reasons)
    status = orders.headers["ord_status"]
    states = pd.crosstab(status, life.orders["state"])
    assert {code: row[row > 0].index.tolist() for code, row in states.iterrows()} == {
        "C": ["dispatched"],
        "X": ["cancelled_by_customer"],
        "W": ["unmapped"],
        "D": ["unmapped"],
    }
    assert {code for code, rule in rules.statuses.ord_status.items() if rule.ignore} == {"W", "D"}
    assert not life.orders["claim_against_evidence"].any()
    refund = rules.statuses.states["cancelled_by_customer"]
    assert (refund.status, refund.is_valid) == ("refunded", False)
