"""F1, Q1: a customer's changes reach the right contact, under the right address, and nobody becomes somebody else."""

from typing import Any

import orjson
import pytest
from sqlalchemy import text

from bc_ometria.delivery.replay import Filters, replay
from bc_ometria.sandbox.ometria import Settings
from bc_ometria.sandbox.ometria.faults import Fault
from bc_ometria.store import stops
from bc_ometria_tests.scenarios.shop import Shop, causes, customer

ANN, BEN, CLEO = "00000001", "00000002", "00000003"
NEW = "new@example.com"
ORDER = "0000001001"


def email(code: str) -> str:
    return f"canary.{code}@example.com"


@pytest.fixture
def remembering(shop: Shop) -> Shop:
    """A shop whose Ometria keeps all that it was ever sent, and takes who once shared an address for one for ever."""
    shop.sandbox.account.settings = Settings(limits=False, history=True, joins_last=True)
    return shop


def bodies(shop: Shop, code: str, record_type: str = "contact") -> list[dict[str, Any]]:
    """What was sent under an id, in order."""
    shop.sandbox.account.settle()
    return [orjson.loads(version.body) for version in shop.sandbox.account.history.get((record_type, code), [])]


def profile(shop: Shop, code: str) -> dict[str, Any]:
    people = shop.sandbox.account.people
    return people.profile(people.identities.person([("customer_id", code)]))


def move(shop: Shop, code: str, to: str) -> None:
    shop.edit("customers", int(code[1:]), email=to)


# ── addresses and identities ─────────────────────────────────────────────────────────────────────────────────────────


def test_a_new_default_address_alone_reaches_ometria(shop: Shop) -> None:
    """Its row is in a resource of its own, and the customer's stamp does not move."""
    shop.write("customers", customer(country=""))
    home = {"pkey": 1, "customer": ANN, "store": "000001", "country": "GB", "default_ok": "Y", "active_ok": "Y"}
    shop.write("stores", home)
    shop.sync()
    assert shop.contacts()[ANN]["country_id"] == "GB"
    shop.at("2026-01-05 10:00")
    shop.edit("stores", 1, default_ok="")
    shop.write("stores", {**home, "pkey": 2, "store": "000002", "country": "IE"})
    shop.sync()
    assert shop.contacts()[ANN]["country_id"] == "IE"
    assert shop.states("contact") == {ANN: "confirmed"}


def test_a_contact_is_its_customer_code_in_a_collection_of_our_own(remembering: Shop) -> None:
    shop = remembering
    shop.write("customers", customer())
    shop.sync()
    move(shop, ANN, NEW)
    shop.sync()
    identities = {(each["@collection"], each["id"], each["customer_id"]) for each in bodies(shop, ANN)}
    assert identities == {("bluecherry", ANN, ANN)}


def test_a_new_e_mail_address_goes_alone_first_and_then_the_whole_contact(remembering: Shop) -> None:
    """contracts/ometria.md, Consent 6. All within one run."""
    shop = remembering
    shop.write("customers", customer(sms_ok="Y"))
    shop.sync()
    shop.edit("customers", 1, email=NEW, last_name="Finch")
    assert causes(shop.sync()) == {}
    before, first, second = bodies(shop, ANN)
    assert before["email"] == email(ANN)
    assert first == {
        "@type": "contact",
        "@collection": "bluecherry",
        "id": ANN,
        "customer_id": ANN,
        "email": NEW,
        "@merge": True,
    }
    assert (second["email"], second["lastname"]) == (NEW, "Finch")
    assert second["marketing_optin"] == "EXPLICITLY_OPTEDIN"
    assert shop.states("contact") == {ANN: "confirmed"}
    assert profile(shop, ANN)["emails"] == [NEW]


def test_an_opt_out_goes_with_the_first_of_the_two(remembering: Shop) -> None:
    """Q1: it waits for nothing."""
    shop = remembering
    shop.write("customers", customer(sms_ok="Y"))
    shop.sync()
    shop.at("2026-01-05 10:00")
    shop.edit("customers", 1, email=NEW, email_ok="N", sms_ok="N", consent_date=shop.now)
    shop.sync()
    _, first, second = bodies(shop, ANN)
    for each in (first, second):
        assert (each["marketing_optin"], each["timestamp_unsubscribed"]) == (
            "EXPLICITLY_OPTEDOUT",
            "2026-01-05T10:00:00Z",
        )
        assert each["channels"]["sms"]["allow_marketing"] is False


def test_an_address_that_comes_back_is_a_change_like_any_other(remembering: Shop) -> None:
    shop = remembering
    shop.write("customers", customer())
    shop.sync()
    move(shop, ANN, NEW)
    shop.sync()
    move(shop, ANN, email(ANN))
    shop.sync()
    assert [each["email"] for each in bodies(shop, ANN)] == [email(ANN), NEW, NEW, email(ANN), email(ANN)]


def test_another_case_of_letters_is_no_new_address(remembering: Shop) -> None:
    shop = remembering
    shop.write("customers", customer())
    shop.sync()
    move(shop, ANN, email(ANN).upper())
    shop.sync()
    assert ["@merge" in each for each in bodies(shop, ANN)] == [False, False]


@pytest.mark.parametrize("after", [False, True])
def test_a_call_that_is_lost_leaves_the_two_in_order(remembering: Shop, after: bool) -> None:
    """Whether Ometria has the first one is then not known: it goes again, and the second one after it."""
    shop = remembering
    shop.write("customers", customer())
    shop.sync()
    move(shop, ANN, NEW)
    shop.sandbox.account.faults.arm(Fault(kind="server_error", path="/push", calls=1, after=after))
    shop.sync()
    shop.change("UPDATE bc_ometria.outbox SET next_attempt = now()")
    shop.sync()
    sent = ["@merge" in each for each in bodies(shop, ANN)]
    assert sent == [False, *[True] * (1 + after), False]
    assert shop.states("contact") == {ANN: "confirmed"}


def test_a_replay_sends_the_whole_contact_under_the_new_address(remembering: Shop) -> None:
    shop = remembering
    shop.write("customers", customer())
    shop.sync()
    move(shop, ANN, NEW)
    shop.sync()
    replay(shop.engine, Filters(ids=[ANN]))
    shop.drain()
    assert "@merge" not in bodies(shop, ANN)[-1]
    assert bodies(shop, ANN)[-1]["email"] == NEW
    assert shop.states("contact") == {ANN: "confirmed"}


def test_nothing_goes_to_the_old_address_afterwards(remembering: Shop) -> None:
    """Also not with an order that was placed under it and changes later, nor with its events."""
    shop = remembering
    shop.write("customers", customer())
    shop.order(ORDER)
    shop.sync()
    move(shop, ANN, NEW)
    shop.sync()
    shop.at("2026-01-06 10:00")
    shop.ship(ORDER, "0000005001", {1: 2})
    shop.sync()
    assert profile(shop, ANN)["emails"] == [NEW]
    assert profile(shop, ANN)["orders"] == [ORDER]
    assert all("email" not in each["customer"] for each in bodies(shop, ORDER, "order"))
    assert "order_dispatched" in shop.told(ORDER)
    with shop.engine.connect() as connection:
        payloads = connection.execute(
            text("SELECT payload FROM bc_ometria.outbox WHERE record_type = 'custom_event'")
        ).scalars()
        assert {orjson.loads(each)["identity_account_id"] for each in payloads} == {ANN}


# ── addresses that pass from one to another ──────────────────────────────────────────────────────────────────────────


def test_two_customers_who_swap_addresses_do_not_cross(remembering: Shop) -> None:
    """Even where Ometria takes two for one person for ever that once shared an address."""
    shop = remembering
    shop.write("customers", customer(ANN), customer(BEN, email_ok="N"))
    shop.order(ORDER)
    shop.sync()
    move(shop, ANN, email(BEN))
    move(shop, BEN, email(ANN))
    assert causes(shop.sync()) == {}
    assert set(shop.states("contact").values()) == {"confirmed"}
    for one, other in ((ANN, BEN), (BEN, ANN)):
        assert shop.contacts()[one]["email"] == email(other)
        assert profile(shop, one)["emails"] == [email(other)]
        assert profile(shop, one)["customer_ids"] == [one]
    assert profile(shop, ANN)["marketing_optin"] == "EXPLICITLY_OPTEDIN"
    assert profile(shop, BEN)["marketing_optin"] == "EXPLICITLY_OPTEDOUT"
    assert profile(shop, ANN)["orders"] == [ORDER]
    stepped_aside = [each for each in bodies(shop, ANN) if each["email"].endswith(".invalid")]
    assert len(stepped_aside) == 1
    assert ANN not in stepped_aside[0]["email"]
    assert not [each for each in bodies(shop, BEN) if each["email"].endswith(".invalid")]


def test_three_who_pass_their_addresses_round_do_not_cross(remembering: Shop) -> None:
    shop = remembering
    shop.write("customers", customer(ANN), customer(BEN), customer(CLEO))
    shop.sync()
    for one, other in ((ANN, BEN), (BEN, CLEO), (CLEO, ANN)):
        move(shop, one, email(other))
    shop.sync()
    assert [shop.contacts()[code]["email"] for code in (ANN, BEN, CLEO)] == [email(BEN), email(CLEO), email(ANN)]
    assert [profile(shop, code)["customer_ids"] for code in (ANN, BEN, CLEO)] == [[ANN], [BEN], [CLEO]]


def test_who_gets_an_address_waits_for_who_gives_it_up(remembering: Shop) -> None:
    """A new customer too. Nobody steps aside where nobody waits for them in turn."""
    shop = remembering
    shop.write("customers", customer(ANN), customer(BEN))
    shop.sync()
    move(shop, ANN, email(BEN))
    move(shop, BEN, NEW)
    shop.write("customers", customer(CLEO, email=email(ANN)))
    shop.sync()
    assert {code: each["email"] for code, each in shop.contacts().items()} == {
        ANN: email(BEN),
        BEN: NEW,
        CLEO: email(ANN),
    }
    assert [profile(shop, code)["customer_ids"] for code in (ANN, BEN, CLEO)] == [[ANN], [BEN], [CLEO]]
    assert not any(each["email"].endswith(".invalid") for code in (ANN, BEN, CLEO) for each in bodies(shop, code))


def test_a_swap_whose_calls_are_lost_does_not_cross_either(remembering: Shop) -> None:
    shop = remembering
    shop.write("customers", customer(ANN), customer(BEN))
    shop.sync()
    move(shop, ANN, email(BEN))
    move(shop, BEN, email(ANN))
    for _ in range(5):
        shop.sandbox.account.faults.arm(Fault(kind="server_error", path="/push", calls=1, after=True))
        shop.sync()
        shop.change("UPDATE bc_ometria.outbox SET next_attempt = now() WHERE record_type = 'contact'")
    shop.sandbox.account.faults.clear()
    shop.sync()
    assert [shop.contacts()[code]["email"] for code in (ANN, BEN)] == [email(BEN), email(ANN)]
    assert [profile(shop, code)["customer_ids"] for code in (ANN, BEN)] == [[ANN], [BEN]]
    assert set(shop.states("contact").values()) == {"confirmed"}


def test_who_share_an_address_in_blue_cherry_wait_for_nobody(shop: Shop) -> None:
    """A couple, for one: that is how Blue Cherry has them."""
    shop.write("customers", customer(ANN), customer(BEN))
    shop.sync()
    move(shop, ANN, email(BEN))
    shop.sync()
    assert shop.contacts()[ANN]["email"] == email(BEN)
    assert set(shop.states("contact").values()) == {"confirmed"}


# ── guests ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_history_of_a_guest_joins_when_they_register(shop: Shop) -> None:
    """Ometria joins by the address: the order still has no customer id, as in Blue Cherry."""
    shop.order(ORDER, customer="", email=NEW)
    shop.sync()
    assert shop.orders()[ORDER]["customer"] == {
        "email": NEW,
        "firstname": "Wilhelmina",
        "lastname": "Canary",
        "phone_number": "+447700000001",
    }
    shop.at("2026-01-06 10:00")
    shop.write("customers", customer(email=NEW))
    shop.sync()
    assert profile(shop, ANN)["orders"] == [ORDER]
    assert "id" not in shop.orders()[ORDER]["customer"]
    shop.mark(ORDER, customer=ANN)
    shop.sync()
    assert shop.orders()[ORDER]["customer"]["id"] == ANN
    assert "email" not in shop.orders()[ORDER]["customer"]
    assert profile(shop, ANN)["orders"] == [ORDER]


def test_a_customers_change_is_ahead_of_bulk_work(shop: Shop) -> None:
    """F1: with the lanes of bulk at a standstill it goes all the same."""
    shop.write("customers", customer())
    shop.sync()
    for lane in ("history", "repairs", "attributes", "products"):
        stops.pause(shop.engine, lane)
    move(shop, ANN, NEW)
    shop.sync()
    assert shop.contacts()[ANN]["email"] == NEW


def test_an_order_whose_address_is_none_is_held_although_it_would_go_without(shop: Shop) -> None:
    """P1: what Blue Cherry has wrong is seen."""
    shop.write("customers", customer())
    shop.order(ORDER, email="canary@")
    shop.sync()
    assert shop.states() == {ORDER: "held: invalid_field"}
    assert {each[:3] for each in shop.open_exceptions()} == {("invalid_field", ORDER, "email")}
