"""What the rules say about an order, and the payload that Ometria gets of it (P1, Q3, F3)."""

import json
from typing import Any

import numpy as np
import orjson
import pandas as pd
import pytest
from hypothesis import given, settings

from bc_ometria.mapping.assemble import assemble
from bc_ometria.mapping.documents import from_documents, to_documents
from bc_ometria.ometria.fields import CONSENT_KEYS
from bc_ometria.ometria.payloads import MAX_RECORD_BYTES, violations
from bc_ometria.rules import Division, Rules
from bc_ometria.rules.lifecycle import Status
from bc_ometria_tests.mapping.examples import (
    Row,
    decided,
    header,
    line,
    mapped,
    mirror,
    order,
    order_rows,
    payload,
    payloads,
    stage,
)


def decision(rules: Rules, lines: list[Row] | None = None, stages: tuple[Row, ...] = (), **changes: Any) -> pd.Series:
    return decided(order(lines, stages, **changes), rules).iloc[0]


def changed(rules: Rules, **parts: Any) -> Rules:
    return rules.model_copy(update=parts)


# ── decisions ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("code", "status"), [("O", "cancelled"), ("R", "cancelled"), ("Z", "cancelled")])
def test_an_order_that_vanished_is_no_revenue_whatever_its_last_status_was(
    rules: Rules, code: str, status: str
) -> None:
    """F2: also where the rules would count a cancellation as revenue."""
    states = rules.statuses.states
    counted = rules.statuses.model_copy(
        update={
            "states": {
                **states,
                "cancelled_by_house": states["cancelled_by_house"].model_copy(update={"is_valid": True}),
            }
        }
    )
    one = order(ord_status=code)
    for each in (rules, changed(rules, statuses=counted)):
        found = decided(one, each, vanished={"W1"}).iloc[0]
        assert (found["status"], found["is_valid"]) == (status, False)
    assert decided(order(ord_status="O"), rules, vanished={"W2"}).iloc[0]["is_valid"]


def test_an_order_that_was_cancelled_before_it_vanished_is_as_it_was(rules: Rules) -> None:
    """So nothing is sent for it."""
    states = rules.statuses.states
    named = {
        **states,
        "cancelled_by_customer": states["cancelled_by_customer"].model_copy(update={"status": "withdrawn"}),
    }
    own = changed(rules, statuses=rules.statuses.model_copy(update={"states": named}))
    assert decided(order(stages=[stage()]), own, vanished={"W1"}).iloc[0]["status"] == "withdrawn"


@pytest.mark.parametrize(
    ("code", "status", "is_valid"),
    [
        ("O", "placed", True),
        ("H", "on_hold", True),
        ("A", "allocated", True),
        ("P", "picking", True),
        ("B", "back_ordered", True),
        ("S", "part_dispatched", True),
        ("C", "dispatched", True),
        ("X", "cancelled", False),
        ("R", "refunded", False),
        ("Z", "", False),
        ("", "", False),
        ("o", "", False),  # codes are exact: a guess could fire a journey
    ],
)
def test_without_evidence_the_status_is_that_of_the_claim_or_blank(
    rules: Rules, code: str, status: str, is_valid: bool
) -> None:
    """F3, P13: an unmapped code is never guessed."""
    told = decision(rules, ord_status=code)
    assert (told["status"], told["is_valid"], told["excluded"]) == (status, is_valid, "")


def test_a_wholly_cancelled_order_is_cancelled_whatever_its_header_claims(rules: Rules) -> None:
    """The header status is a claim, the quantities are the evidence (contracts/blue_cherry.md; Q4)."""
    told = decision(rules, stages=(stage(),), ord_status="C")
    assert (told["status"], told["is_valid"]) == ("cancelled", False)


def test_evidence_goes_before_the_claim_and_their_disagreement_is_told(rules: Rules) -> None:
    """F3: one of two pieces left the warehouse, whatever the header says."""
    told = decision(rules, [line(quantity=2)], (stage(rec_type="IN"),), ord_status="O")
    assert (told["status"], told["is_valid"], told["claim_against_evidence"]) == ("part_dispatched", True, True)
    assert told["detail"].startswith("ord_status O claims placed, evidence part_dispatched")


def test_a_wholly_cancelled_order_with_an_unmapped_status_stays_unmapped(rules: Rules) -> None:
    assert decision(rules, stages=(stage(),), ord_status="Z")["status"] == ""


@pytest.mark.parametrize(
    ("division", "store", "currency"), [("100", "uk", "GBP"), ("300", "ie", "EUR"), ("999", "", ""), ("", "", "")]
)
def test_division_leads_to_store_and_currency(rules: Rules, division: str, store: str, currency: str) -> None:
    """Q3: nothing lands in the wrong store."""
    told = decision(rules, division=division)
    assert (told["store"], told["store_currency"]) == (store, currency)


@pytest.mark.parametrize(
    ("kind", "channel", "excluded"),
    [
        ("W", "online", ""),
        ("R", "store", ""),
        ("S", "", "wholesale orders are not sent"),
        ("E", "", "EDI orders are not sent"),
        ("Q", "", ""),
    ],
)
def test_web_and_till_go_wholesale_and_edi_never(rules: Rules, kind: str, channel: str, excluded: str) -> None:
    """Q3; an unknown type is neither sent nor excluded: it is held."""
    told = decision(rules, ord_type=kind)
    assert (told["channel"], told["excluded"]) == (channel, excluded)


def test_a_division_that_is_not_marketed_is_excluded(rules: Rules) -> None:
    quiet = Division(store="hq", currency="GBP", country="GB", brand="Staff", marketing=False)
    ruled = changed(rules, divisions={**rules.divisions, "900": quiet})
    assert decision(ruled, division="900")["excluded"] == "division 900 is not marketed"


def test_an_ignored_status_is_excluded_with_its_reason(rules: Rules) -> None:
    known = {**rules.statuses.ord_status, "D": Status(meaning="draft", ignore="a draft is no order")}
    ruled = changed(rules, statuses=rules.statuses.model_copy(update={"ord_status": known}))
    told = decision(ruled, ord_status="D")
    assert (told["excluded"], told["status"], told["is_valid"]) == ("a draft is no order", "", False)


def test_orders_of_an_erased_customer_are_excluded_and_guests_are_not(rules: Rules) -> None:
    rows = {"orders": [header(), header(pkey=11, ord_num="W2", customer="")]}
    told = decided(assemble(mirror(rows), ["W1", "W2"]), rules, erased_customers={"C0000001"})
    assert told["excluded"].tolist() == ["the customer was erased", ""]


@pytest.mark.parametrize(
    ("customer", "email", "identity"),
    [
        ("C0000001", "ann@example.com", "C0000001"),
        ("C0000001", "", "C0000001"),
        ("", "ann@example.com", "ann@example.com"),
        ("", "", ""),
    ],
)
def test_identity_is_the_customer_code_or_the_email(rules: Rules, customer: str, email: str, identity: str) -> None:
    assert decision(rules, customer=customer, email=email)["identity"] == identity


def test_orders_without_header_or_lines_are_told(rules: Rules) -> None:
    rows = {"orders": [header()], "order_lines": [line(ord_num="W2")]}
    told = decided(assemble(mirror(rows), ["W1", "W2"]), rules)
    assert told[["header_count", "line_count", "stray_lines"]].to_numpy().tolist() == [[1, 0, 0], [0, 0, 1]]


def test_no_order_no_decision(rules: Rules) -> None:
    nothing = from_documents([])
    assert decided(nothing, rules).empty
    assert mapped(nothing, rules).empty


# ── payloads ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@settings(max_examples=25, deadline=None)
@given(rows=order_rows())
def test_every_order_of_good_rows_is_a_valid_record(rules: Rules, rows: dict[str, list[Row]]) -> None:
    """P1; and what must never be in one (design, 5): consent, a null, a blank, a guest with an id."""
    numbers = [row["ord_num"] for row in rows["orders"]]
    orders = from_documents(to_documents(assemble(mirror(rows), numbers))[0])
    told, records = decided(orders, rules), mapped(orders, rules)
    assert records["record_id"].tolist() == numbers
    for written, row in zip(records["payload"], rows["orders"], strict=True):
        nameless = not row["customer"] and not row["email"]
        assert nameless or violations("order", written) == []
        record = orjson.loads(written)
        assert CONSENT_KEYS.isdisjoint(_keys(record))
        assert not [value for value in _leaves(record) if value is None or value == ""]
        assert record["is_valid"] is (told.loc[told["ord_num"] == record["id"], "is_valid"].item())
        assert record["customer"].get("id", "") == row["customer"]
        assert "@merge" not in record  # an order is always pushed whole
        of_lines = sum(round(item["total"] * 100) for item in record["lineitems"])
        assert of_lines + round(record["shipping"] * 100) == round(record["grand_total"] * 100)


def _leaves(value: Any) -> list[Any]:
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return [value] if parts is None else [leaf for part in parts for leaf in _leaves(part)]


def _keys(value: Any) -> set[str]:
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    own = set(value) if isinstance(value, dict) else set()
    return own.union(*(_keys(part) for part in parts))


def test_the_payload_of_an_order_field_by_field(rules: Rules) -> None:
    pieces = [
        line(
            bucket=3,
            quantity=2,
            line_disc=300,
            line_tax=50,
            season="AW26",
            lbl_code="L1",
            dimension="32",
            location="0010",
            size="M",
            colour="Black",
            upc="200000000017",
        )
    ]
    orders = order(
        pieces,
        freight=495,
        first_name="Ann",
        last_name="Example",
        phone="020 7183 8750",
        pay_method="card",
        ship_via="DPD",
        promo_code="TEN",
        ref_num2="100045",
        ship_city="Leeds",
        ship_zipcode="LS1 4AP",
        bill_country="IE",
    )
    assert payload(orders, rules) == {
        "@type": "order",
        "id": "W1",
        "timestamp": "2026-11-20T09:30:00Z",
        "currency": "GBP",
        "grand_total": 22.45,
        "subtotal": 20.0,
        "discount": 3.0,
        "shipping": 4.95,
        "tax": 0.5,
        "status": "placed",
        "is_valid": True,
        "customer": {
            "id": "C0000001",  # without the address: that may be a former one
            "firstname": "Ann",
            "lastname": "Example",
            # The country of the bill goes before that of the delivery.
            "phone_number": "+3532071838750",
        },
        "lineitems": [
            {
                "product_id": "100-DRESS",
                "variant_id": "100-DRESS-BLK-L1-32-03",
                "sku": "100-DRESS-BLK-L1-32-03",
                "quantity": 2,
                "unit_price": 10.0,
                "subtotal": 20.0,
                "discount": 3.0,
                "tax": 0.5,
                "total": 17.5,
                "variant_options": [
                    {"type": "colour", "id": "BLK", "label": "Black"},
                    {"type": "size", "id": "03", "label": "M"},
                ],
                "properties": {"ordered": 2, "warehouse": "London", "season": "AW26", "upc": "200000000017"},
            }
        ],
        "shipping_address": {"city": "Leeds", "postcode": "LS1 4AP", "country_code": "GB"},
        "billing_address": {"country_code": "IE"},
        "channel": "online",
        "store": "uk",
        "payment_method": "card",
        "shipping_method": "DPD",
        "coupon_code": "TEN",
        "web_id": "100045",
        "properties": {"brand": "Women", "division": "100"},
    }


def test_only_the_orders_marked_are_mapped_each_with_its_own_lines(rules: Rules) -> None:
    rows = {
        "orders": [header(pkey=key, ord_num=f"W{key}", customer=f"C{key}") for key in (1, 2, 3)],
        "order_lines": [
            line(pkey=key * 10 + nth, fkey=key, ord_num=f"W{key}", style=f"S{key}", line_num=nth)
            for key in (1, 2, 3)
            for nth in range(key)
        ],
    }
    orders = assemble(mirror(rows), ["W1", "W2", "W3"])
    two = mapped(orders, rules, np.array([True, False, True]))
    records = [orjson.loads(written) for written in two["payload"]]
    assert [record["id"] for record in records] == two["record_id"].tolist() == ["W1", "W3"]
    assert [[item["product_id"] for item in record["lineitems"]] for record in records] == [
        ["100-S1"],
        ["100-S3"] * 3,
    ]
    assert [record["customer"]["id"] for record in records] == ["C1", "C3"]


@settings(max_examples=20, deadline=None)
@given(rows=order_rows())
def test_the_payload_of_an_order_does_not_depend_on_its_neighbours(rules: Rules, rows: dict[str, list[Row]]) -> None:
    """Re-materialising a partition sends nothing a second time: same rows, same version."""
    numbers = [row["ord_num"] for row in rows["orders"]]
    together = payloads(assemble(mirror(rows), numbers), rules)
    alone = [payload(assemble(mirror(_of_order(rows, number)), [number]), rules) for number in numbers]
    assert together == alone


def _of_order(rows: dict[str, list[Row]], number: str) -> dict[str, list[Row]]:
    return {part: [row for row in of_part if row["ord_num"] == number] for part, of_part in rows.items()}


def test_a_guest_has_no_customer_id(rules: Rules) -> None:
    """Known mistakes of others (mission): guests refused."""
    record = payload(order(customer=""), rules)
    assert record["customer"] == {"email": "ann@example.com"}
    assert violations("order", orjson.dumps(record)) == []


def test_zero_prices_and_zero_quantities_go(rules: Rules) -> None:
    """Known mistakes of others (mission): such lines dropped."""
    pieces = [line(unit_price=0), line(pkey=101, line_num=2, bucket=0, quantity=0)]
    record = payload(order(pieces), rules)
    assert [(item["unit_price"], item["quantity"]) for item in record["lineitems"]] == [(0, 1), (10, 0)]
    assert violations("order", orjson.dumps(record)) == []


def test_cancelled_pieces_are_out_of_quantity_and_money(rules: Rules) -> None:
    record = payload(order([line(quantity=3)], [stage()], freight=495), rules)
    assert (record["lineitems"][0]["quantity"], record["subtotal"], record["grand_total"]) == (2, 20.0, 24.95)
    assert record["is_valid"] is True


def test_a_full_cancellation_is_the_whole_order_not_valid(rules: Rules) -> None:
    """Known mistakes of others (mission): every order valid for ever (Q4)."""
    record = payload(order([line(quantity=3)], [stage(quantity=3)], ord_status="A"), rules)
    assert (record["is_valid"], record["status"], record["grand_total"]) == (False, "cancelled", 30.0)


def test_what_became_of_the_pieces_of_a_line_is_told(rules: Rules) -> None:
    """Of six: three left, two came back, one was cancelled, and the rest waits for stock (P22, F3)."""
    stages = [stage(pkey=at, rec_type=kind, quantity=n) for at, (kind, n) in enumerate(_SIX.items())]
    record = payload(order([line(quantity=6, location="")], stages, ord_status="S"), rules)
    (item,) = record["lineitems"]
    assert (record["status"], record["is_valid"]) == ("part_dispatched", True)
    assert (item["quantity"], item["quantity_refunded"], item["total"]) == (5, 2, 50.0)
    assert item["properties"] == {"ordered": 6, "dispatched": 3, "back_ordered": 2, "cancelled": 1}


_SIX = {"OP": 2, "IN": 3, "CC": 1, "RT": 2}


@pytest.mark.parametrize("location", ["0099", "FOB", ""])
def test_only_a_warehouse_that_is_known_and_real_is_shown(rules: Rules, location: str) -> None:
    """Q3: POE and FOB are no warehouses."""
    pieces = order([line(location=location)])
    assert payload(pieces, rules)["lineitems"][0]["properties"] == {"ordered": 1}
    assert decided(pieces, rules)["unknown_location"].item() == ("0099" if location == "0099" else "")


def test_a_division_may_have_a_channel_of_its_own(rules: Rules) -> None:
    outlet = rules.divisions["100"].model_copy(update={"channel": "outlet"})
    ruled = changed(rules, divisions={**rules.divisions, "100": outlet})
    assert decision(ruled)["channel"] == "outlet"
    assert decision(ruled, ord_type="Q")["channel"] == ""  # an unknown type stays unknown


@pytest.mark.parametrize(("sign", "discount"), [("positive", 3.0), ("negative", -3.0)])
def test_the_sign_of_discounts_is_the_accounts(rules: Rules, sign: str, discount: float) -> None:
    """contracts/ometria.md: the sign is not documented; totals are the same under both."""
    ruled = changed(rules, account=rules.account.model_copy(update={"discount_sign": sign}))
    record = payload(order([line(line_disc=300)]), ruled)
    assert (record["discount"], record["lineitems"][0]["discount"]) == (discount, discount)
    assert (record["grand_total"], record["lineitems"][0]["total"]) == (7.0, 7.0)


@pytest.mark.parametrize(
    ("local", "utc"),
    [
        ("2026-01-15 09:05:00", "2026-01-15T09:05:00Z"),
        ("2026-07-15 09:05:00", "2026-07-15T08:05:00Z"),
        ("2026-03-29 00:59:59", "2026-03-29T00:59:59Z"),
        ("2026-03-29 01:30:00", "2026-03-29T01:00:00Z"),  # skipped: the first time that exists
        ("2026-03-29 02:00:00", "2026-03-29T01:00:00Z"),
        ("2026-10-25 00:59:59", "2026-10-24T23:59:59Z"),
        ("2026-10-25 01:30:00", "2026-10-25T00:30:00Z"),  # repeated: the first of the two
        ("2026-10-25 02:00:00", "2026-10-25T02:00:00Z"),
    ],
)
def test_times_are_utc_through_both_clock_changes(rules: Rules, local: str, utc: str) -> None:
    """Known mistakes of others (mission): +01:00 refused."""
    assert payload(order(ord_date=local), rules)["timestamp"] == utc


def test_one_style_in_two_divisions_is_two_products(rules: Rules) -> None:
    """SKU key = division + style + colour + label + dimension + bucket (contracts/blue_cherry.md)."""
    pieces = [line(), line(pkey=101, line_num=2, division="200"), line(pkey=102, line_num=3, bucket=4)]
    items = payload(order(pieces), rules)["lineitems"]
    assert [item["product_id"] for item in items] == ["100-DRESS", "200-DRESS", "100-DRESS"]
    assert len({item["sku"] for item in items}) == 3


def test_equal_content_has_an_equal_version_whatever_the_stamp(rules: Rules) -> None:
    def version(**changes: Any) -> str:
        return str(mapped(order(**changes), rules)["version"].item())

    assert version() == version(last_mod="2026-11-24 00:00:00")
    assert version() != version(ord_status="C")


# ── large orders ─────────────────────────────────────────────────────────────────────────────────────────────────────


def large(lines: int, rules: Rules) -> tuple[bytes, bool]:
    """The payload of an order of so many lines, and whether it was reduced."""
    pieces = [line(pkey=at, line_num=at, style=f"STYLE{at:05}", season="AW26") for at in range(lines)]
    record = mapped(order(pieces), rules)
    return record["payload"].item(), bool(record["reduced"].item())


@pytest.mark.parametrize("lines", [1, 100, 140])
def test_an_order_of_usual_size_keeps_the_details_of_its_lines(rules: Rules, lines: int) -> None:
    written, reduced = large(lines, rules)
    assert not reduced
    assert "variant_options" in orjson.loads(written)["lineitems"][-1]
    assert violations("order", written) == []


@pytest.mark.parametrize("lines", [200, 300, 480])
def test_a_large_order_is_reduced_to_what_ometria_requires(rules: Rules, lines: int) -> None:
    """Ours: its lines keep product, SKU, quantity, price and total; the order's own amounts stay."""
    written, reduced = large(lines, rules)
    record = orjson.loads(written)
    assert reduced
    assert len(record["lineitems"]) == lines
    assert set(record["lineitems"][0]) == {"product_id", "sku", "quantity", "unit_price", "total"}
    assert record["grand_total"] == 10.0 * lines
    assert len(json.dumps(record)) <= MAX_RECORD_BYTES
    assert violations("order", written) == []


def test_an_order_of_1114_lines_is_told_to_be_too_large(rules: Rules) -> None:
    """The largest invoice of the real data; never an error that stops its neighbours."""
    written, reduced = large(1_114, rules)
    assert reduced
    assert [fault.field for fault in violations("order", written)] == ["record"]
