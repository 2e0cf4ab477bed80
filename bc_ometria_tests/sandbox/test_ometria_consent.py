"""Profiles and consent: who is one person, and what they agreed to."""

import itertools

import pytest

from bc_ometria_tests.sandbox.ometria_stand_in import at, contact, event, order, stand_in

IN, OUT, OPEN = "EXPLICITLY_OPTEDIN", "EXPLICITLY_OPTEDOUT", "NOT_SPECIFIED"


def listing(collection, optin=None, *, force=False, **fields):
    """Ada's contact in one of several collections."""
    consent = {"marketing_optin": optin} if optin else {}
    if force:
        consent["@force_optin"] = True
    return contact(**{"@collection": collection}, **consent, **fields)


def profile(ometria, email="ada@example.com"):
    (found,) = ometria.get("/profiles", email=email)
    return found


def test_a_profile_clusters_contacts_and_orders_by_customer_id_and_address():
    """F1: order links survive a new address."""
    with stand_in() as ometria:
        ometria.push(contact("C1", email="old@example.com"), contact("C9", email="other@example.com"))
        ometria.push(order("1", customer={"id": "C1", "email": "old@example.com"}))
        ometria.push(order("2", customer={"email": "NEW@example.com"}))
        assert profile(ometria, "old@example.com")["orders"] == ["1"]
        ometria.push(contact("C1", email="new@example.com"))
        found = profile(ometria, "new@example.com")
        assert found == profile(ometria, "Old@example.com")
        assert found["email"] == "new@example.com"
        assert found["orders"] == ["1", "2"]
        assert found["customer_ids"] == ["C1"]
        assert len(ometria.state("profiles")) == 2


def test_an_unknown_address_has_no_profile():
    with stand_in() as ometria:
        assert ometria.get("/profiles", email="nobody@example.com") == []
        assert ometria.api.get("/profiles").status_code == 400


def test_one_opt_out_wins_over_every_opt_in():
    with stand_in() as ometria:
        for person, optins in enumerate(itertools.product([None, OPEN, IN, OUT], repeat=3)):
            who = {"id": f"C{person}", "customer_id": f"C{person}", "email": f"p{person}@example.com"}
            ometria.push(*(listing(f"c{number}", optin, **who) for number, optin in enumerate(optins)))
            expected = OUT if OUT in optins else IN if IN in optins else OPEN
            assert profile(ometria, who["email"])["marketing_optin"] == expected


def test_force_is_final_until_another_is_forced():
    with stand_in() as ometria:
        ometria.push(listing("till", OUT))
        ometria.push(listing("erp", IN, force=True))
        assert profile(ometria)["marketing_optin"] == IN
        ometria.push(listing("erp", OUT))
        ometria.push(listing("web", OUT))
        assert profile(ometria)["marketing_optin"] == IN
        ometria.push(listing("web", OUT, force=True))
        assert profile(ometria)["marketing_optin"] == OUT


def test_force_without_a_status_forces_nothing():
    with stand_in() as ometria:
        ometria.push(listing("till", OUT))
        ometria.push(listing("erp", IN))
        ometria.push(listing("erp", force=True, **{"@merge": True}))
        assert profile(ometria)["marketing_optin"] == OUT


def test_an_order_sets_no_preference():
    with stand_in() as ometria:
        ometria.push(order(marketing_optin=IN, customer={"email": "ada@example.com", "marketing_optin": IN}))
        assert profile(ometria)["marketing_optin"] == OPEN
        assert ometria.state("subscriptions") == []


def test_a_persons_own_opt_out_stands_and_only_force_beats_it():
    """P2: what Ometria owns must not be overwritten; here one sees when it was."""
    with stand_in() as ometria:
        ometria.push(listing("erp", IN, force=True))
        ometria.control.post("/unsubscribe", json={"email": "Ada@example.com"}).raise_for_status()
        assert profile(ometria)["marketing_optin"] == OUT
        ometria.push(listing("erp", IN))
        assert profile(ometria)["marketing_optin"] == OUT
        ometria.push(listing("erp", IN, force=True))
        assert profile(ometria)["marketing_optin"] == IN


def test_unsubscribes_lists_peoples_own_and_hides_the_apis():
    with stand_in() as ometria:
        ometria.push(listing("erp", OUT, timestamp_unsubscribed=at(minutes=1)))
        ometria.control.post("/unsubscribe", json={"email": "ada@example.com", "source": "list_header"})
        ometria.advance(hours=1)
        ometria.control.post("/unsubscribe", json={"email": "eve@example.com", "source": "link", "channel": "sms"})
        first, second = ometria.get("/unsubscribes")
        assert first == {
            "email": "ada@example.com",
            "channel": "email",
            "source": "list_header",
            "timestamp": "2026-11-23T09:00:00Z",
        }
        assert ometria.get("/unsubscribes", since="2026-11-23T10:00:00Z") == [second]
        assert ometria.get("/unsubscribes", before="2026-11-23T10:00:00Z") == [first]
        assert ometria.api.get("/unsubscribes", params={"since": "x"}).status_code == 400


def test_text_messages_have_their_own_consent():
    with stand_in() as ometria:
        ometria.push(listing("a", channels={"sms": {"allow_marketing": True}}))
        assert profile(ometria)["sms_allow_marketing"] is True
        assert profile(ometria)["marketing_optin"] == OPEN
        ometria.push(listing("b", channels={"sms": {"allow_marketing": False}}))
        assert profile(ometria)["sms_allow_marketing"] is False


def test_a_subscription_event_happens_once_per_channel_ever():
    with stand_in() as ometria:
        ometria.push(listing("erp", IN, timestamp_subscribed=at(minutes=1)))
        ometria.push(listing("erp", OUT))
        ometria.push(listing("erp", IN, timestamp_subscribed=at(seconds=1)))
        ometria.push(listing("erp", IN, timestamp_subscribed=at(seconds=1), email="new@example.com"))
        ometria.push(listing("web", IN, timestamp_subscribed=at(seconds=1)))
        assert ometria.outcomes("subscribed") == ["fired"]
        sms = {"sms": {"allow_marketing": True, "dt_updated_marketing": at(minutes=2)}}
        ometria.push(listing("erp", IN, channels=sms))
        ometria.push(listing("erp", IN, channels=sms))
        assert [each["channel"] for each in ometria.state("subscriptions")] == ["email", "sms"]
        assert ometria.outcomes("subscribed_sms") == ["fired"]


def test_a_status_without_a_timestamp_is_stamped_now():
    with stand_in() as ometria:
        ometria.push(listing("erp", IN))
        ometria.advance(hours=1)
        ometria.push(listing("erp", IN))
        assert profile(ometria)["timestamp_subscribed"] == "2026-11-23T09:00:00Z"
        assert ometria.outcomes("subscribed") == ["fired"]


def test_a_timestamp_without_a_status_moves_the_date_and_fires_nothing():
    with stand_in() as ometria:
        ometria.push(listing("erp", timestamp_subscribed=at(minutes=1)))
        assert profile(ometria)["timestamp_subscribed"] == at(minutes=1)
        assert profile(ometria)["marketing_optin"] == OPEN
        assert ometria.state("subscriptions") == []


def test_who_is_opted_out_elsewhere_gets_no_subscription():
    with stand_in() as ometria:
        ometria.push(listing("till", OUT))
        ometria.push(listing("erp", IN, timestamp_subscribed=at(minutes=1)))
        assert ometria.state("subscriptions") == []


def test_the_subscription_of_an_old_opt_in_starts_no_welcome():
    """Q5: history without welcome mails."""
    with stand_in() as ometria:
        ometria.push(listing("erp", IN, timestamp_subscribed=at(days=400)))
        assert ometria.outcomes("subscribed") == ["too_old"]


def test_the_collection_that_sends_a_text_message_is_seen():
    with stand_in() as ometria:
        ometria.push(listing("optin:sms", phone_number="+442079460000"))
        assert ometria.outcomes("sms_optin_message") == ["fired"]


def test_an_erasure_takes_all_of_a_person_and_a_later_push_recreates_them():
    with stand_in(job_lag_seconds=14 * 86_400) as ometria:
        ometria.push(contact("C1"), contact("C2", email="eve@example.com"))
        ometria.push(order("1"), order("2", customer={"id": "C2"}))
        ometria.push(event("e1"), event("e2", identity_account_id="C2"))
        asked = ometria.api.post("/data-deletion-requests", json={"email": "ADA@example.com"})
        assert asked.status_code == 202
        job = f"/data-deletion-requests/{asked.json()['id']}"
        assert ometria.get(job)["status"] == "pending"
        assert ometria.api.get("/contacts/blue_cherry/C1").status_code == 200
        ometria.advance(days=14)
        assert ometria.get(job)["status"] == "completed"
        assert ometria.get("/data-deletion-requests") == [ometria.get(job)]
        assert ometria.api.get("/contacts/blue_cherry/C1").status_code == 404
        assert [each["id"] for each in ometria.state("orders")] == ["2"]
        assert [each["id"] for each in ometria.state("events")] == ["e2"]
        assert ometria.get("/profiles", email="ada@example.com") == []
        ometria.push(contact("C1"))
        assert profile(ometria)["customer_ids"] == ["C1"]


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"email": 7}'])
def test_an_erasure_without_an_address_is_400(body):
    with stand_in() as ometria:
        assert ometria.api.post("/data-deletion-requests", content=body).status_code == 400


def test_a_merge_gives_the_survivor_the_orders_and_takes_the_merged_listings():
    with stand_in() as ometria:
        ometria.push(contact("C1"), contact("C2", email="two@example.com"), contact("C3", email="three@example.com"))
        ometria.push(order("1"), order("2", customer={"id": "C2"}), order("3", customer={"id": "C3"}))
        reply = ometria.api.post(
            "/merge-profile",
            json={
                "survivor": {"type": "customer_id", "value": "C1"},
                "customers_to_merge": [
                    {"type": "email_address", "value": "two@example.com"},
                    {"type": "profile_hash", "value": profile(ometria, "three@example.com")["id"]},
                ],
            },
        )
        assert reply.status_code == 202
        assert ometria.get(f"/merge-profile/{reply.json()['job_id']}")["status"] == "completed"
        assert profile(ometria)["orders"] == ["1", "2", "3"]
        assert [each["id"] for each in ometria.state("contacts")] == ["C1"]


CUSTOMER = {"type": "customer_id", "value": "C1"}


@pytest.mark.parametrize(
    "body",
    [
        [],
        {"survivor": CUSTOMER},
        {"survivor": CUSTOMER, "customers_to_merge": []},
        {"survivor": CUSTOMER, "customers_to_merge": [CUSTOMER] * 6},
        {"survivor": {"type": "name", "value": "Ada"}, "customers_to_merge": [CUSTOMER]},
        {"customers_to_merge": [CUSTOMER]},
    ],
)
def test_a_malformed_merge_is_400(body):
    with stand_in() as ometria:
        assert ometria.api.post("/merge-profile", json=body).status_code == 400
