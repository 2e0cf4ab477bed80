"""F1: two customers of Blue Cherry become one, and so do they in Ometria."""

from typing import Any

import dagster as dg
import orjson
import pytest
from sqlalchemy import text

from bc_ometria.automation.once import run_merge_customers
from bc_ometria.automation.sensors import merge_sensor
from bc_ometria.delivery.replay import Filters, replay
from bc_ometria.mapping.merges import MERGED
from bc_ometria.resources import Store, Tenant
from bc_ometria.sandbox.ometria.faults import Fault
from bc_ometria.store import stops
from bc_ometria_tests.scenarios.shop import Shop, causes, customer, evaluations, metadata

ANN, BEN, CLEO = "00000001", "00000002", "00000003"
ORDER = "0000001001"
IN, OUT = "EXPLICITLY_OPTEDIN", "EXPLICITLY_OPTEDOUT"
DONE = "delivery/merges:merges_are_done"


def merge(shop: Shop) -> dg.ExecuteInProcessResult:
    return run_merge_customers(shop.definitions, shop.instance)


def merged_into(shop: Shop, code: str, survivor: str) -> None:
    shop.edit("customers", int(code[1:]), merged_into=survivor)


def merges(shop: Shop) -> dict[str, tuple[str, str]]:
    """Survivor and state of each merge."""
    with shop.engine.connect() as connection:
        rows = connection.execute(text("SELECT merged, survivor, state FROM bc_ometria.merges"))
        return {row.merged: (row.survivor, row.state) for row in rows}


def asked(shop: Shop) -> list[tuple[str, list[str]]]:
    """Survivor and merged customers of each call that Ometria had."""
    jobs = [job.asked for job in shop.sandbox.account.merges.values()]
    return [(job["survivor"]["value"], [each["value"] for each in job["customers_to_merge"]]) for job in jobs]


def wire(shop: Shop, code: str) -> dict[str, Any]:
    with shop.engine.connect() as connection:
        query = "SELECT payload FROM bc_ometria.outbox WHERE record_type = 'contact' AND record_id = :code"
        return orjson.loads(connection.execute(text(query), {"code": code}).scalar_one())


def profile(shop: Shop, code: str) -> dict[str, Any]:
    people = shop.sandbox.account.people
    return people.profile(people.identities.person([("customer_id", code)]))


def sensed(shop: Shop) -> bool:
    """Whether the sensor would start a run."""
    url = shop.engine.url.render_as_string(hide_password=False)
    with dg.build_sensor_context(
        instance=shop.instance, resources={"store": Store(database_url=url), "tenant": Tenant()}
    ) as context:
        return isinstance(merge_sensor(context), dg.RunRequest)


@pytest.fixture
def two(shop: Shop) -> Shop:
    """Ann and Ben, whom Ometria has, and an order of Ann's."""
    shop.write("customers", customer(ANN, sms_ok="Y"), customer(BEN, sms_ok="Y"))
    shop.order(ORDER, customer=ANN)
    assert causes(shop.sync()) == {}
    return shop


def test_a_merged_customer_is_merged_in_ometria(two: Shop) -> None:
    shop = two
    merged_into(shop, ANN, BEN)
    assert not sensed(shop)
    shop.sync()
    assert shop.states("contact") == {ANN: f"excluded: {MERGED}", BEN: "confirmed"}
    assert merges(shop) == {ANN: (BEN, "wanted")}
    assert sensed(shop)
    result = merge(shop)
    assert causes(result) == {}
    assert asked(shop) == [(BEN, [ANN])]
    assert merges(shop) == {ANN: (BEN, "done")}
    assert set(shop.contacts()) == {BEN}
    told = metadata(result, "delivery", "merges")
    assert told == {
        "calls": 1,
        "customers_asked_for": 1,
        "customers_merged": 1,
        "customers_failed": 0,
        "ended": "complete",
    }
    assert evaluations(result)[DONE].passed
    assert not sensed(shop)
    merge(shop)
    assert len(asked(shop)) == 1


def test_orders_are_linked_to_the_survivor(two: Shop) -> None:
    """Their header in Blue Cherry still says the old code."""
    shop = two
    merged_into(shop, ANN, BEN)
    shop.sync()
    assert shop.orders()[ORDER]["customer"]["id"] == BEN
    shop.at("2026-01-06 10:00")
    shop.ship(ORDER, "0000005001", {1: 2})
    shop.sync()
    merge(shop)
    assert shop.orders()[ORDER]["customer"]["id"] == BEN
    assert profile(shop, BEN)["orders"] == [ORDER]
    (dispatched,) = (
        held[0].record
        for (event_type, _), held in shop.sandbox.account.events.items()
        if event_type == "order_dispatched"
    )
    assert dispatched["identity_account_id"] == BEN


def test_an_event_that_waits_is_told_of_the_survivor(two: Shop) -> None:
    """It waits for the contact of somebody who has none any more."""
    shop = two
    stops.pause(shop.engine, "events")
    shop.ship(ORDER, "0000005001", {1: 2})
    shop.sync()
    merged_into(shop, ANN, BEN)
    shop.sync()
    stops.resume(shop.engine, "events")
    shop.sync()
    told = shop.told(ORDER)
    assert sorted(told) == sorted(set(told))
    assert "order_dispatched" in told
    of = {held[0].record["identity_account_id"] for held in shop.sandbox.account.events.values()}
    assert of == {BEN}


def test_what_waits_of_the_merged_contact_is_withdrawn_and_nothing_sends_it_again(two: Shop) -> None:
    """Neither a replay nor a day that is redone."""
    shop = two
    stops.pause(shop.engine, "live")
    shop.edit("customers", 1, last_name="Finch")
    shop.sync()
    assert shop.states("contact")[ANN] == "wanted"
    merged_into(shop, ANN, BEN)
    shop.sync()
    stops.resume(shop.engine, "live")
    shop.sync()
    merge(shop)
    replay(shop.engine, Filters(record_type="contact"))
    shop.drain()
    shop.redo("2026-01-05")
    shop.sync()
    assert shop.pushed.count(ANN) == 1
    assert set(shop.contacts()) == {BEN}


@pytest.mark.parametrize(
    ("of_merged", "of_survivor", "email"),
    [
        ("N", "Y", OUT),
        ("Y", "N", OUT),
        ("N", "", OUT),
        ("", "Y", IN),
        ("Y", "", None),
        ("Y", "Y", IN),
    ],
)
def test_the_survivors_consent_is_the_stricter_of_both(
    shop: Shop, of_merged: str, of_survivor: str, email: str | None
) -> None:
    """Whichever is newer. An opt-in is nobody's but their own."""
    shop.write("customers", customer(ANN, email_ok=of_merged), customer(BEN, email_ok=of_survivor))
    shop.sync()
    merged_into(shop, ANN, BEN)
    shop.sync()
    assert wire(shop, BEN).get("marketing_optin") == email
    merge(shop)
    assert profile(shop, BEN)["marketing_optin"] == (email or "NOT_SPECIFIED")


def test_a_merge_waits_for_the_opt_out_that_comes_with_it(two: Shop) -> None:
    """Ometria deletes the merged listing, and its opt-out with it: the survivor must have it by then."""
    shop = two
    shop.at("2026-01-05 10:00")
    stops.pause(shop.engine, "opt_outs")
    shop.edit("customers", 1, sms_ok="N", consent_date=shop.now, merged_into=BEN)
    shop.sync()
    assert not sensed(shop)
    merge(shop)
    assert asked(shop) == []
    stops.resume(shop.engine, "opt_outs")
    shop.sync()
    merge(shop)
    assert profile(shop, BEN)["sms_allow_marketing"] is False
    assert asked(shop) == [(BEN, [ANN])]


def test_an_opt_out_of_the_merged_one_at_ometria_is_the_survivors(two: Shop) -> None:
    shop = two
    shop.at("2026-01-05 10:00")
    shop.sandbox.account.unsubscribe(str(customer(ANN)["email"]), "email")
    merged_into(shop, ANN, BEN)
    shop.sync()
    assert "marketing_optin" not in wire(shop, BEN)
    assert shop.open_exceptions() == {("opt_out_is_newer", BEN, "consent_date", "email")}


def test_a_later_opt_out_of_the_merged_one_is_the_survivors(two: Shop) -> None:
    """Somebody enters it with the old code."""
    shop = two
    merged_into(shop, ANN, BEN)
    shop.sync()
    merge(shop)
    shop.at("2026-01-06 10:00")
    shop.edit("customers", 1, email_ok="N", consent_date=shop.now)
    shop.sync()
    assert wire(shop, BEN)["marketing_optin"] == OUT
    assert wire(shop, BEN)["timestamp_unsubscribed"] == "2026-01-06T10:00:00Z"


def test_a_chain_ends_at_its_last(shop: Shop) -> None:
    shop.write("customers", customer(ANN), customer(BEN), customer(CLEO))
    shop.order(ORDER, customer=ANN)
    shop.sync()
    merged_into(shop, ANN, BEN)
    shop.sync()
    merged_into(shop, BEN, CLEO)
    shop.sync()
    assert merges(shop) == {ANN: (CLEO, "wanted"), BEN: (CLEO, "wanted")}
    assert shop.orders()[ORDER]["customer"]["id"] == CLEO
    merge(shop)
    assert asked(shop) == [(CLEO, [ANN, BEN])], "up to five share a call"
    assert set(shop.contacts()) == {CLEO}


def test_six_into_one_take_two_calls(shop: Shop) -> None:
    codes = [f"{number:08d}" for number in range(1, 8)]
    shop.write("customers", *(customer(code) for code in codes))
    shop.sync()
    for code in codes[:-1]:
        merged_into(shop, code, codes[-1])
    shop.sync()
    merge(shop)
    assert [(survivor, len(merged)) for survivor, merged in asked(shop)] == [(codes[-1], 5), (codes[-1], 1)]
    assert set(shop.contacts()) == {codes[-1]}


def test_a_circle_is_held_until_it_is_broken(shop: Shop) -> None:
    shop.write("customers", customer(ANN, merged_into=BEN), customer(BEN, merged_into=ANN))
    shop.order(ORDER, customer=ANN)
    shop.sync()
    assert set(shop.states("contact").values()) == {"held: merge_unclear"}
    assert {detail for *_, detail in shop.open_exceptions()} == {"in a circle"}
    assert merges(shop) == {}
    merged_into(shop, BEN, "")
    shop.sync()
    assert shop.states("contact") == {ANN: f"excluded: {MERGED}", BEN: "confirmed"}
    assert shop.open_exceptions() == set()
    assert shop.orders()[ORDER]["customer"]["id"] == BEN


def test_a_survivor_whom_blue_cherry_serves_later_is_waited_for(shop: Shop) -> None:
    shop.write("customers", customer(ANN))
    shop.order(ORDER)
    shop.sync()
    merged_into(shop, ANN, BEN)
    shop.sync()
    assert shop.states("contact") == {ANN: "held: merge_unclear"}
    assert shop.orders()[ORDER]["customer"]["id"] == ANN
    shop.write("customers", customer(BEN))
    shop.sync()
    shop.sync()
    assert shop.states("contact") == {ANN: f"excluded: {MERGED}", BEN: "confirmed"}
    merge(shop)
    assert shop.orders()[ORDER]["customer"]["id"] == BEN
    assert set(shop.contacts()) == {BEN}


def test_a_survivor_who_is_held_is_waited_for(two: Shop) -> None:
    shop = two
    shop.edit("customers", 2, email="")
    merged_into(shop, ANN, BEN)
    shop.sync()
    assert shop.states("contact")[BEN] == "held: missing_email"
    merge(shop)
    assert asked(shop) == []
    shop.edit("customers", 2, email="ben@example.com")
    shop.sync()
    merge(shop)
    assert asked(shop) == [(BEN, [ANN])]


def test_who_was_never_sent_needs_no_call(shop: Shop) -> None:
    shop.write("customers", customer(ANN, merged_into=BEN), customer(BEN))
    shop.sync()
    assert merges(shop) == {ANN: (BEN, "done")}
    assert not sensed(shop)


def test_a_merge_that_is_taken_back_brings_the_contact_back(two: Shop) -> None:
    shop = two
    merged_into(shop, ANN, BEN)
    shop.sync()
    merge(shop)
    merged_into(shop, ANN, "")
    shop.sync()
    assert merges(shop) == {}
    assert set(shop.states("contact").values()) == {"confirmed"}
    assert set(shop.contacts()) == {ANN, BEN}
    assert shop.orders()[ORDER]["customer"]["id"] == ANN


@pytest.mark.parametrize("after", [True, False])
def test_a_lost_reply_is_looked_for_before_it_is_asked_again(two: Shop, after: bool) -> None:
    shop = two
    merged_into(shop, ANN, BEN)
    shop.sync()
    shop.sandbox.account.faults.arm(Fault(kind="server_error", path="/merge-profile", calls=1, after=after))
    merge_without_waiting(shop)
    assert merges(shop) == {ANN: (BEN, "done" if after else "asked")}
    if not after:
        shop.change("UPDATE bc_ometria.merges SET asked_at = asked_at - interval '1 hour', next_attempt = now()")
        merge(shop)
        merge(shop)
    assert len(asked(shop)) == 1
    assert merges(shop) == {ANN: (BEN, "done")}


def merge_without_waiting(shop: Shop) -> None:
    """As the job does, without waiting for what Ometria does not show at once."""
    from bc_ometria.delivery.merges import merge_customers
    from bc_ometria.resources import Ometria
    from bc_ometria.rules import Rules

    variables, rules = shop.sandbox.environment(), Rules.load(shop.rules_folder)
    ometria = Ometria(base_url=variables["OMETRIA_BASE_URL"], api_key=variables["OMETRIA_API_KEY"])
    with ometria.client(rules, shop.engine) as client:
        merge_customers(shop.engine, client, rules.account, wait_for=0)


def test_a_merge_that_ometria_refuses_is_reported_and_tried_again_a_day_later(two: Shop) -> None:
    shop = two
    merged_into(shop, ANN, BEN)
    shop.sync()
    shop.sandbox.account.faults.arm(Fault(kind="bad_request", path="/merge-profile", calls=1))
    result = merge(shop)
    assert merges(shop) == {ANN: (BEN, "failed")}
    assert {each[:2] for each in shop.open_exceptions()} == {("merge_failed", ANN)}
    check = evaluations(result)[DONE]
    assert not check.passed
    assert check.severity.value == "WARN"
    shop.edit("customers", 1, last_name="Finch")
    shop.sync()
    assert {each[0] for each in shop.open_exceptions()} == {"merge_failed"}, "mapping does not mend it"
    merge(shop)
    assert asked(shop) == []
    shop.change("UPDATE bc_ometria.merges SET next_attempt = now()")
    merge(shop)
    assert merges(shop) == {ANN: (BEN, "done")}
    assert shop.open_exceptions() == set()


def test_a_key_that_is_refused_fails_the_run_and_loses_nothing(two: Shop) -> None:
    shop = two
    merged_into(shop, ANN, BEN)
    shop.sync()
    shop.sandbox.account.faults.arm(Fault(kind="key_revoked", path="/merge-profile", calls=1))
    assert set(causes(merge(shop))) == {"delivery__merges"}
    assert merges(shop) == {ANN: (BEN, "wanted")}
    assert not sensed(shop)


def test_live_changes_do_not_wait_for_a_merge(two: Shop) -> None:
    """It is a job of its own; the live lane does no merge."""
    shop = two
    merged_into(shop, ANN, BEN)
    shop.edit("customers", 2, last_name="Finch")
    shop.sync()
    assert shop.contacts()[BEN]["lastname"] == "Finch"
    assert asked(shop) == []
    job = shop.definitions.resolve_job_def("live_sync")
    assert "delivery__merges" not in {node.name for node in job.nodes}


def test_an_erased_customer_is_not_merged(two: Shop) -> None:
    """Nothing of theirs is handed on."""
    shop = two
    shop.edit("customers", 1, merged_into=BEN, erased_ok="Y")
    shop.sync()
    assert shop.states("contact")[ANN] == "excluded: the customer was erased"
    assert merges(shop) == {}
    assert wire(shop, BEN)["marketing_optin"] == IN


def test_who_was_merged_into_somebody_erased_was_erased_too(two: Shop) -> None:
    shop = two
    merged_into(shop, ANN, BEN)
    shop.edit("customers", 2, erased_ok="Y")
    shop.sync()
    assert set(shop.states("contact").values()) == {"excluded: the customer was erased"}
    assert shop.states()[ORDER] == "excluded: the customer was erased"
