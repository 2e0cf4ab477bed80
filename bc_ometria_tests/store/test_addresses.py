"""A new e-mail address in several payloads, one after the other (F1, truths 1 and 2)."""

import orjson
import pandas as pd
import pytest
from sqlalchemy import Engine

from bc_ometria.delivery.swaps import part
from bc_ometria.mapping.addresses import address_key, in_steps
from bc_ometria.store import outbox
from bc_ometria_tests.store.records import CHANGED, claim, column, end_leases, give_back, prove, send, state

CONTACT = "contact"


def want(engine: Engine, code: str, email: str, name: str = "Ann") -> None:
    """The contact as mapping wants it, in as many payloads as it takes."""
    payload = orjson.dumps({"@type": "contact", "id": code, "email": email, "firstname": name})
    frame = pd.DataFrame(
        [
            {
                "record_id": code,
                "payload": payload,
                "version": f"{email} {name}",
                "state": "wanted",
                "reason": "",
                "standing": "email:unknown sms:unknown",
                "address": address_key(email),
                "changed_at": pd.Timestamp(CHANGED),
            }
        ]
    )
    with engine.begin() as connection:
        outbox.put(connection, CONTACT, in_steps(frame, outbox.known_contacts(connection, [code])))


def wire(engine: Engine, request_id: str = "r-1") -> list[tuple[str, str, bool]]:
    """All that is due, accepted: id, address and whether it is the address alone."""
    batch = claim(engine, record_type=CONTACT)
    outbox.acknowledge(engine, CONTACT, batch, request_id)
    told = [orjson.loads(record.payload) for record in batch]
    return [(each["id"], each["email"], "@merge" in each) for each in told]


def known(engine: Engine, code: str, email: str) -> None:
    """Ometria shows the contact under this address."""
    want(engine, code, email)
    send(engine, record_type=CONTACT)
    prove(engine, record_type=CONTACT)
    assert state(engine, code, CONTACT) == "confirmed"


def test_the_second_goes_once_the_first_is_proved(engine: Engine) -> None:
    known(engine, "1", "a@example.com")
    want(engine, "1", "b@example.com")
    assert wire(engine) == [("1", "b@example.com", True)]
    assert state(engine, record_type=CONTACT) == "sent"
    assert wire(engine) == []
    prove(engine, record_type=CONTACT)
    assert state(engine, record_type=CONTACT) == "wanted"
    assert wire(engine) == [("1", "b@example.com", False)]
    prove(engine, record_type=CONTACT)
    assert state(engine, record_type=CONTACT) == "confirmed"
    assert column(engine, "following", record_type=CONTACT) is None


def test_where_only_a_sample_is_read_back_the_second_follows_as_well(engine: Engine) -> None:
    known(engine, "1", "a@example.com")
    want(engine, "1", "b@example.com")
    wire(engine)
    prove(engine, "accepted", CONTACT)
    assert wire(engine) == [("1", "b@example.com", False)]


def test_mapped_again_the_same_changes_nothing(engine: Engine) -> None:
    known(engine, "1", "a@example.com")
    want(engine, "1", "b@example.com")
    wire(engine)
    want(engine, "1", "b@example.com")
    assert state(engine, record_type=CONTACT) == "sent"
    prove(engine, record_type=CONTACT)
    want(engine, "1", "b@example.com")
    assert wire(engine) == [("1", "b@example.com", False)]
    prove(engine, record_type=CONTACT)
    want(engine, "1", "b@example.com")
    assert state(engine, record_type=CONTACT) == "confirmed"


@pytest.mark.parametrize("email", ["c@example.com", "a@example.com"])
def test_a_change_of_address_before_the_proof_begins_again(engine: Engine, email: str) -> None:
    """Also back to the first one: Ometria has the contact under another by now, or will have."""
    known(engine, "1", "a@example.com")
    want(engine, "1", "b@example.com")
    wire(engine)
    want(engine, "1", email)
    assert wire(engine) == [("1", email, True)]
    prove(engine, record_type=CONTACT)
    assert wire(engine) == [("1", email, False)]


def test_another_change_before_the_proof_waits_for_it(engine: Engine) -> None:
    known(engine, "1", "a@example.com")
    want(engine, "1", "b@example.com")
    wire(engine)
    want(engine, "1", "b@example.com", "Anna")
    assert state(engine, record_type=CONTACT) == "sent"
    prove(engine, record_type=CONTACT)
    assert orjson.loads(column(engine, "payload", record_type=CONTACT))["firstname"] == "Anna"


def test_a_sender_that_dies_leaves_the_two_in_order(engine: Engine) -> None:
    known(engine, "1", "a@example.com")
    want(engine, "1", "b@example.com")
    claim(engine, record_type=CONTACT)
    end_leases(engine)
    want(engine, "1", "c@example.com")
    assert outbox.take_for_sent(engine) == 0, "what it sent is not what is wanted"
    assert wire(engine) == [("1", "c@example.com", True)]


def test_a_lost_call_leaves_the_two_in_order(engine: Engine) -> None:
    known(engine, "1", "a@example.com")
    want(engine, "1", "b@example.com")
    give_back(engine, claim(engine, record_type=CONTACT), arrived=True, record_type=CONTACT)
    want(engine, "1", "a@example.com")
    assert wire(engine) == [("1", "a@example.com", True)], "Ometria may have it under b"


def test_a_contact_that_was_never_sent_has_one_payload(engine: Engine) -> None:
    want(engine, "1", "a@example.com")
    want(engine, "1", "b@example.com")
    assert wire(engine) == [("1", "b@example.com", False)]


def test_an_address_is_free_once_ometria_shows_that_it_was_given_up(engine: Engine) -> None:
    known(engine, "1", "a@example.com")
    want(engine, "1", "b@example.com")
    want(engine, "2", "a@example.com")
    assert wire(engine) == [("1", "b@example.com", True)]
    assert wire(engine) == []
    assert outbox.is_any_contact_kept_back(engine)
    prove(engine, record_type=CONTACT)
    assert not outbox.is_any_contact_kept_back(engine)
    assert sorted(wire(engine)) == [("1", "b@example.com", False), ("2", "a@example.com", False)]


def test_one_of_two_who_wait_for_each_other_steps_aside(engine: Engine) -> None:
    known(engine, "1", "a@example.com")
    known(engine, "2", "b@example.com")
    want(engine, "1", "b@example.com")
    want(engine, "2", "a@example.com")
    assert wire(engine) == []
    assert part(engine) == 1
    assert part(engine) == 0
    sent = []
    for _ in range(6):
        sent += wire(engine)
        prove(engine, record_type=CONTACT)
    (aside,) = (email for _, email, _ in sent if email.endswith(".invalid"))
    assert sent[:3] == [("1", aside, True), ("2", "a@example.com", True), ("1", "b@example.com", True)] or sent[:4] == [
        ("1", aside, True),
        ("2", "a@example.com", True),
        ("2", "a@example.com", False),
        ("1", "b@example.com", True),
    ]
    assert {code: state(engine, code, CONTACT) for code in "12"} == {"1": "confirmed", "2": "confirmed"}


def test_who_only_waits_for_a_round_does_not_step_aside(engine: Engine) -> None:
    for code, email in zip("1234", "abcd", strict=True):
        known(engine, code, f"{email}@example.com")
    for code, email in (("1", "b"), ("2", "c"), ("3", "b"), ("4", "d2")):
        want(engine, code, f"{email}@example.com")
    assert part(engine) == 1
    aside = [code for code in "1234" if "invalid" in column(engine, "payload", code, CONTACT)]
    assert aside == ["2"], "2 and 3 wait for each other, 1 for 2"
