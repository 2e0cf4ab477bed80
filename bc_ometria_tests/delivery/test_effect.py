"""What sending some records would change, from what Ometria shows of them (P2, P6)."""

from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from bc_ometria.delivery.effect import Consent, Effect, effect_of
from bc_ometria_tests.sandbox.ometria_stand_in import contact, order

IN, OUT = "EXPLICITLY_OPTEDIN", "EXPLICITLY_OPTEDOUT"


def texts(allowed: bool) -> dict[str, Any]:
    return {"channels": {"sms": {"allow_marketing": allowed}}}


def counts(effect: Effect) -> tuple[int, int, int]:
    return effect.creates, effect.updates, effect.no_ops


def test_creates_updates_and_no_ops() -> None:
    """What Ometria adds or writes otherwise is no change: a no-op is what the read back would confirm."""
    shown = order("1", timestamp="2026-11-23T10:00:00+01:00", grand_total=129, timestamp_update="2026-11-23T11:00:00Z")
    same = order("1", timestamp="2026-11-23T09:00:00Z")
    effect = effect_of([(order("2"), None), (same, shown), (order("1", status="shipped"), order("1", status="placed"))])
    assert counts(effect) == (1, 1, 1)
    assert effect.fields == {"status": 1}


def test_changed_fields_are_counted_once_a_record_and_without_their_place() -> None:
    line = {"product_id": "P1", "quantity": 1, "unit_price": 10.0}
    wanted = order("1", lineitems=[{**line, "quantity": 2}, {**line, "quantity": 3}], grand_total=50.0)
    longer = order("2", lineitems=[line, line])
    effect = effect_of(
        [
            (wanted, order("1", lineitems=[line, line], grand_total=20.0)),
            (longer, order("2", lineitems=[line])),
            ({**longer, "customer": {"id": "C2", "email": "a@example.com"}}, {**longer, "customer": {"id": "C1"}}),
        ]
    )
    assert effect.fields == {
        "lineitems.quantity": 1,
        "grand_total": 1,
        "lineitems": 1,
        "customer.id": 1,
        "customer.email": 1,
    }


def test_revenue_is_that_of_valid_orders_by_currency() -> None:
    """P6: a cancellation takes away what Ometria counts, not what the order was worth meanwhile."""
    effect = effect_of(
        [
            (order("new", grand_total=10.1), None),
            (order("cancelled", grand_total=70.0, is_valid=False), order("cancelled", grand_total=80.0)),
            (order("more", grand_total=30.3), order("more", grand_total=20.2)),
            (order("still invalid", is_valid=False), order("still invalid", is_valid=False)),
            (order("moved", grand_total=5.0, currency="EUR"), order("moved", grand_total=5.0)),
            (order("same", currency="USD"), order("same", currency="USD")),
        ]
    )
    assert effect.revenue == {"EUR": Decimal("5.0"), "GBP": Decimal("-64.8")}


def test_what_is_no_amount_counts_as_none() -> None:
    strange = order("1", grand_total="many", currency=None)
    assert effect_of([(order("1", grand_total=10.0), strange)]).revenue == {"GBP": Decimal("10.0")}


def test_consent_by_channel_from_what_ometria_shows_to_what_would_be() -> None:
    """Q1: no key for a channel leaves it as it is."""
    effect = effect_of(
        [
            (contact("new", marketing_optin=IN, **texts(False)), None),
            (contact("out", marketing_optin=OUT, **texts(False)), contact("out", marketing_optin=IN, **texts(True))),
            (contact("first", marketing_optin=IN), contact("first", marketing_optin="NOT_SPECIFIED")),
            (contact("silent"), contact("silent", marketing_optin=OUT, **texts(True))),
            (contact("same", marketing_optin=OUT), contact("same", marketing_optin=OUT)),
        ]
    )
    assert effect.consents == {
        Consent("email", "no contact", "in"): 1,
        Consent("sms", "no contact", "out"): 1,
        Consent("email", "in", "out"): 1,
        Consent("sms", "in", "out"): 1,
        Consent("email", "unknown", "in"): 1,
    }
    assert counts(effect) == (1, 2, 2)
    assert effect.revenue == {}


def test_an_opt_out_of_ometrias_own_that_would_end_is_no_no_op() -> None:
    """P2: the read back takes it for Ometria's; a person who looks before sending must see it."""
    effect = effect_of([(contact(marketing_optin=IN), contact(marketing_optin=OUT))])
    assert counts(effect) == (0, 1, 0)
    assert effect.consents == {Consent("email", "out", "in"): 1}


def test_a_sample_stands_for_all() -> None:
    sample = [(order(str(place)), None) for place in range(3)] + [(order("u", status="shipped"), order("u"))]
    effect = effect_of(sample).scaled(1000 / 4)
    assert counts(effect) == (750, 250, 0)
    assert effect.fields == {"status": 250}
    assert effect.revenue == {"GBP": Decimal("96750.00")}
    consents = effect_of([(contact(marketing_optin=OUT), contact(marketing_optin=IN))]).scaled(2.4).consents
    assert consents == {Consent("email", "in", "out"): 2}


_orders = st.builds(
    order,
    st.just("1"),
    grand_total=st.integers(0, 10**6).map(lambda minor: minor / 100),
    is_valid=st.booleans(),
    currency=st.sampled_from(["GBP", "EUR"]),
)


@given(st.lists(st.tuples(_orders, st.none() | _orders), max_size=8))
def test_revenue_after_is_revenue_before_and_the_change(
    records: list[tuple[dict[str, Any], dict[str, Any] | None]],
) -> None:
    def worth(orders: list[dict[str, Any]], currency: str) -> Decimal:
        return sum(
            (Decimal(str(each["grand_total"])) for each in orders if each["is_valid"] and each["currency"] == currency),
            Decimal(0),
        )

    effect = effect_of(records)
    for currency in ("GBP", "EUR"):
        after = worth([wanted for wanted, _ in records], currency)
        before = worth([shown for _, shown in records if shown], currency)
        assert effect.revenue.get(currency, 0) == after - before
    assert sum(counts(effect)) == len(records)
