"""Please update this one: named orders and customers are read again whole and taken all the way (F1, F2)."""

from collections.abc import Sequence
from decimal import Decimal

import dagster as dg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bc_ometria.assets.refresh import NotAKey, Refreshed, is_key, read_again, refresh
from bc_ometria.blue_cherry.client import BlueCherryClient
from bc_ometria.blue_cherry.errors import NotJson
from bc_ometria.config import load_profile, load_rules
from bc_ometria.ometria.client import OmetriaClient
from bc_ometria.resources import BlueCherry, Ometria
from bc_ometria.sandbox.ometria import Fault
from bc_ometria.store import stops, to_refresh
from bc_ometria_tests.scenarios.shop import Shop, customer, everything_dagster_keeps, header, line, metadata, stage

ORDER, OTHER, UNKNOWN = "0000001001", "0000001002", "0000009999"
CUSTOMER = "00000001"
LONG_AGO = "2025-12-01 08:00:00"
"""A stamp so old that no poll reads its row."""

CONFIRMED = "confirmed: Ometria shows it as it is now"
UNCHANGED = "unchanged: Ometria has it as it is"


def blue_cherry(shop: Shop) -> BlueCherryClient:
    given = shop.sandbox.environment()
    fields = {name: given[f"BLUE_CHERRY_{name.upper()}"] for name in ("base_url", "tenant", "environment", "api_key")}
    return BlueCherry(**fields).client(load_profile())


def ometria(shop: Shop) -> OmetriaClient:
    given = shop.sandbox.environment()
    resource = Ometria(base_url=given["OMETRIA_BASE_URL"], api_key=given["OMETRIA_API_KEY"])
    return resource.client(load_rules(), shop.engine)


def refreshed(shop: Shop, *orders: str, customers: Sequence[str] = ()) -> list[Refreshed]:
    with blue_cherry(shop) as source, ometria(shop) as account:
        return refresh(
            shop.engine, source, account, load_rules(), load_profile(), orders=orders, customers=list(customers)
        )


def told(found: list[Refreshed]) -> dict[str, str]:
    return {each.key: each.outcome for each in found}


def waiting(shop: Shop) -> list[str]:
    return [key for kind in ("customer", "order") for key in to_refresh.waiting(shop.engine, kind, 100).keys]


@pytest.fixture
def sold(shop: Shop) -> Shop:
    shop.write("customers", customer())
    shop.order(ORDER, pieces=(2, 1))
    assert shop.sync().success
    assert shop.states() == {ORDER: "confirmed"}
    return shop


def correct_quietly(shop: Shop) -> None:
    """A service agent takes a piece more, and no stamp moves so that a poll would see it."""
    shop.write("orders", header(ORDER, "200.00", last_mod=LONG_AGO))
    shop.write("order-lines", line(ORDER, 1, 3, last_mod=LONG_AGO))
    shop.write("order-stages", stage(ORDER, 1, 3, last_mod=LONG_AGO))


def test_an_order_that_no_poll_sees_is_read_again_and_confirmed(sold: Shop) -> None:
    """F2: stamps lie; naming the order is enough."""
    correct_quietly(sold)
    sold.sync()
    assert sold.orders()[ORDER]["grand_total"] == 150.0
    assert told(refreshed(sold, ORDER)) == {ORDER: CONFIRMED}
    assert sold.orders()[ORDER]["grand_total"] == 200.0
    assert waiting(sold) == []


def test_an_unchanged_order_sends_nothing(sold: Shop) -> None:
    pushes = sold.pushes
    assert told(refreshed(sold, ORDER, customers=[CUSTOMER])) == {ORDER: UNCHANGED, CUSTOMER: UNCHANGED}
    assert sold.pushes == pushes


def test_a_line_that_is_gone_is_gone_from_the_order(sold: Shop) -> None:
    """F2: a deleted row leaves no trace; the order is read whole."""
    sold.delete("order-lines", int(ORDER) * 100 + 2)
    sold.delete("order-stages", int(ORDER) * 1000 + 20)
    sold.write("orders", header(ORDER, "100.00", last_mod=LONG_AGO))
    assert told(refreshed(sold, ORDER)) == {ORDER: CONFIRMED}
    assert sold.orders()[ORDER]["grand_total"] == 100.0
    assert len(sold.orders()[ORDER]["lineitems"]) == 1


def test_a_customer_is_read_again_with_all_addresses(sold: Shop) -> None:
    """F1."""
    sold.write("stores", {"pkey": 7, "customer": CUSTOMER, "default_ok": "Y", "city": "Hull", "country": "GB"})
    sold.sync()
    sold.delete("stores", 7)
    sold.write("customers", customer(last_name="Finch", last_mod=LONG_AGO))
    assert told(refreshed(sold, customers=[CUSTOMER])) == {CUSTOMER: CONFIRMED}
    assert sold.contacts()[CUSTOMER]["lastname"] == "Finch"
    assert "Hull" not in str(sold.contacts()[CUSTOMER])


def test_it_says_of_each_what_came_of_it(sold: Shop) -> None:
    sold.order(OTHER, ord_status="Q7")
    found = refreshed(sold, OTHER, UNKNOWN, ORDER, ORDER, customers=["00000099"])
    assert [each.key for each in found] == ["00000099", OTHER, UNKNOWN, ORDER]
    assert [each.is_served for each in found] == [False, True, False, True]
    outcomes = told(found)
    assert outcomes["00000099"] == outcomes[UNKNOWN] == "unknown in Blue Cherry"
    meaning = load_rules().exceptions["unmapped_status"].meaning
    assert outcomes[OTHER] == f"held: unmapped_status: {meaning}"
    assert UNKNOWN not in sold.states()


def test_an_order_that_was_deleted_is_named_so_and_leaves_the_revenue(sold: Shop) -> None:
    """F2: read twice, for a page that failed must not look like a deletion."""
    number = int(ORDER)
    sold.delete("orders", number)
    sold.delete("order-lines", number * 100 + 1, number * 100 + 2)
    sold.delete("order-stages", number * 1000 + 10, number * 1000 + 20)
    (found,) = refreshed(sold, ORDER)
    assert not found.is_served
    assert found.outcome == f"no longer in Blue Cherry; {CONFIRMED}"
    assert sold.orders()[ORDER]["is_valid"] is False


def test_a_stopped_lane_is_named(sold: Shop) -> None:
    """P6: a refresh goes round no stop."""
    stops.pause(sold.engine, "live")
    correct_quietly(sold)
    assert told(refreshed(sold, ORDER)) == {ORDER: "waits: the lane live is stopped, see `bc-ometria approve`"}
    assert sold.orders()[ORDER]["grand_total"] == 150.0


def test_an_opt_in_waits_where_the_unsubscribes_cannot_be_read(shop: Shop) -> None:
    """Truth 5: somebody's refresh sends whatever is due, and nobody knows who has opted out meanwhile."""
    shop.write("customers", customer(sms_ok="Y"))
    stops.pause(shop.engine, "live")
    assert shop.sync().success
    stops.resume(shop.engine, "live")
    shop.sandbox.account.faults.arm(Fault(kind="server_error", path="/unsubscribes", calls=None))
    refreshed(shop, UNKNOWN)
    assert shop.pushed == []
    shop.sandbox.account.faults.clear()
    refreshed(shop, UNKNOWN)
    assert shop.pushed == [CUSTOMER]


def test_what_could_not_be_read_is_read_by_the_next_live_sync(sold: Shop) -> None:
    """Truth 1: it was written down before it was read."""
    correct_quietly(sold)
    sold.fault(kind="html", resource="order-lines")
    with pytest.raises(NotJson):
        refreshed(sold, ORDER)
    assert waiting(sold) == [ORDER]
    result = sold.sync()
    assert result.success
    assert metadata(result, "blue_cherry", "refreshed")["orders_read"] == 1
    assert waiting(sold) == []
    assert sold.orders()[ORDER]["grand_total"] == 200.0


def test_what_cannot_be_read_again_keeps_back_nothing_else(sold: Shop) -> None:
    """Whoever names an order must not stop the others."""
    to_refresh.ask(sold.engine, "order", [ORDER])
    sold.order(OTHER)
    sold.fault(kind="html", resource="orders")
    result = sold.sync()
    assert metadata(result, "blue_cherry", "refreshed")["orders_read"] == 0
    assert result.success
    assert sold.states()[OTHER] == "confirmed"
    assert waiting(sold) == [ORDER]


def test_a_key_that_blue_cherry_does_not_accept_is_dropped_and_its_neighbours_are_read(sold: Shop) -> None:
    """A 400 for a list of keys: each is asked for on its own."""
    to_refresh.ask(sold.engine, "order", [ORDER, UNKNOWN])
    sold.fault(kind="status", status=400, resource="orders", times=2)  # for the list, and for the first alone
    with blue_cherry(sold) as source:
        found = read_again(sold.engine, source, load_profile())
    assert found.refused == [ORDER]
    assert waiting(sold) == []


def test_a_key_that_is_asked_for_again_while_it_is_read_still_waits(shop: Shop) -> None:
    to_refresh.ask(shop.engine, "order", [ORDER, OTHER, ORDER])
    reading = to_refresh.waiting(shop.engine, "order", 100)
    assert reading.keys == [ORDER, OTHER]
    to_refresh.ask(shop.engine, "order", [ORDER])
    to_refresh.settle(shop.engine, reading)
    assert waiting(shop) == [ORDER]


@pytest.mark.parametrize("wrong", ["", "canary@example.com", "1,2", "0 1", "x" * 33, "'; --"])
def test_what_is_no_key_is_refused_before_anything_is_read(shop: Shop, wrong: str) -> None:
    with pytest.raises(NotAKey) as refused:
        refreshed(shop, ORDER, wrong)
    assert "1 of what was named can be no order number" in str(refused.value)
    assert "canary" not in str(refused.value)
    assert waiting(shop) == []


@given(st.text(max_size=40))
def test_a_key_can_be_asked_for_in_a_comma_list(text: str) -> None:
    """What passes is short, has no comma, nothing to trim, and is no e-mail address."""
    if is_key(text):
        assert 0 < len(text) <= 32
        assert text == text.strip()
        assert not set(text) & set(",@%&?'\"\\ \n")


# --- the job ---------------------------------------------------------------------------------------------------


def launch(shop: Shop, **named: list[str]) -> dg.ExecuteInProcessResult:
    return shop.definitions.resolve_job_def("refresh").execute_in_process(
        instance=shop.instance, run_config={"ops": {"refresh_named": {"config": named}}}, raise_on_error=False
    )


def test_the_job_tells_what_came_of_each_and_nothing_personal(sold: Shop) -> None:
    """Truth 9: of a customer's code its end."""
    correct_quietly(sold)
    result = launch(sold, orders=[ORDER], customers=[CUSTOMER])
    assert result.success
    (output,) = (event.step_output_data for event in result.all_node_events if event.is_successful_output)
    outcomes = output.metadata["outcomes"]
    assert isinstance(outcomes, dg.TableMetadataValue)
    assert [dict(record.data) for record in outcomes.records] == [
        {"record": "…0001", "kind": "customer", "outcome": UNCHANGED},
        {"record": ORDER, "kind": "order", "outcome": CONFIRMED},
    ]
    kept = everything_dagster_keeps(sold.instance, [result.run_id])
    assert "Canary" not in kept
    assert "@example.com" not in kept
    assert sold.orders()[ORDER]["grand_total"] == Decimal(200)


@pytest.mark.parametrize(
    ("named", "said"),
    [({}, "Name at least one order or customer."), ({"orders": ["a b"]}, "1 of what was named can be no order number")],
)
def test_the_job_says_what_is_wrong_with_what_was_named(shop: Shop, named: dict[str, list[str]], said: str) -> None:
    result = launch(shop, **named)
    assert not result.success
    (failure,) = (event.step_failure_data for event in result.all_events if event.is_step_failure)
    assert failure.user_failure_data
    assert said in str(failure.user_failure_data.description)
