"""What Ometria refuses after it has said 202 (P1, P7)."""

import pytest
from sqlalchemy import Engine
from starlette.responses import JSONResponse

from bc_ometria.delivery.refusals import hold_refused
from bc_ometria.ometria.errors import AccessRefused
from bc_ometria_tests.delivery.outgoing import AT_ONCE, Outgoing, contacts, orders
from bc_ometria_tests.ometria.server import answering
from bc_ometria_tests.sandbox.ometria_stand_in import contact, order
from bc_ometria_tests.store.records import send, state, want


def test_a_refused_record_is_held_with_ometrias_words_and_its_neighbours_are_confirmed(out: Outgoing) -> None:
    """P1, and one bad record failing its 99 neighbours is a known mistake of others."""
    records = orders(100)
    records[41]["currency"] = "GPB"
    out.want(*records)
    assert out.push().accepted == 100
    assert out.read_errors() == 1
    assert out.read_errors() == 0
    assert out.prove(AT_ONCE).confirmed == 99
    assert out.states() == {"confirmed": 99, "held: rejected": 1}
    assert out.open_exceptions() == [("rejected", "0000000041", "/currency: must be an ISO 4217 currency code")]

    out.want(*records)
    assert out.push().calls == 0
    out.want(order("0000000041"))
    out.push()
    assert out.read_errors() == 0  # the ring still shows the old version's error
    out.prove()
    assert out.states() == {"confirmed": 100}
    assert out.open_exceptions() == []


def test_a_refused_contact(out: Outgoing) -> None:
    out.record_type = "contact"
    out.want(*contacts(3), contact("C9", email="nobody"))
    out.push()
    assert out.read_errors() == 1
    out.prove()
    assert out.states() == {"confirmed": 3, "held: rejected": 1}
    # Of one id an order and a contact are two records.
    out.record_type = "order"
    out.want(order("C9", is_valid="yes"))
    assert out.read_errors() == 0
    out.push()
    assert out.read_errors() == 1


def test_errors_without_ids_are_left_to_the_read_back(out: Outgoing) -> None:
    settings = out.stand_in.account.settings
    out.stand_in.account.settings = settings.changed({"error_shape": "documented"})
    out.want(*orders(2), order("bad", currency="GPB"))
    out.push()
    assert out.read_errors() == 0
    assert out.prove(AT_ONCE).drifted == 1
    assert out.states() == {"confirmed": 2, "drift": 1}
    assert out.open_exceptions() == [("drift", "bad", "missing")]


def test_what_the_ring_has_lost_is_found_missing(out: Outgoing) -> None:
    """P7: 150 are refused, and the ring keeps the latest 100 of the account."""
    out.want(*orders(150, currency="GPB"), *[order(f"good {number}") for number in range(50)])
    out.stand_in.arm("error_flood", count=60)
    out.push()
    held = out.read_errors()
    assert 0 < held <= 100
    proved = out.prove(AT_ONCE)
    assert (proved.confirmed, proved.drifted, proved.open) == (50, 150 - held, 0)
    assert out.states() == {"confirmed": 50, "held: rejected": held, "drift": 150 - held}
    assert {code for code, _, words in out.open_exceptions() if words == "missing"} == {"drift"}


def test_a_record_that_the_reply_counts_as_rejected_is_not_taken_for_sent(out: Outgoing) -> None:
    out.want(*orders(10))
    out.stand_in.arm("rejected", count=2)
    out.push()
    assert out.read_errors() == 0
    out.prove(AT_ONCE)
    assert out.states() == {"confirmed": 8, "drift": 2}


def test_an_old_error_does_not_hold_what_was_sent_since(out: Outgoing) -> None:
    out.want(order("1", currency="GPB"))
    out.push()
    out.want(order("1"))
    out.push()
    assert out.read_errors() == 0
    out.prove()
    assert out.state("1") == "confirmed"


def test_an_error_that_names_a_record_but_no_request_may_be_an_old_one(engine: Engine) -> None:
    want(engine, "1", "A")
    send(engine, "r-2")
    old = {"record_type": "order", "record_id": "1", "message": "must be a currency"}
    with answering([old, {**old, "request_id": "r-1"}]) as scripted:
        assert hold_refused(engine, scripted.client, "order") == 0
    assert state(engine) == "sent"
    with answering([{**old, "request_id": "r-2"}]) as scripted:
        assert hold_refused(engine, scripted.client, "order") == 1
    assert state(engine) == "held: rejected"


@pytest.mark.parametrize("status", [400, 404, 429, 503])
def test_a_ring_that_cannot_be_read_holds_nobody_up(engine: Engine, status: int) -> None:
    with answering(JSONResponse({"message": "no"}, status_code=status)) as scripted:
        assert hold_refused(engine, scripted.client, "order") == 0


def test_a_refused_key_is_told(out: Outgoing) -> None:
    out.stand_in.arm("key_revoked")
    with pytest.raises(AccessRefused, match="OMETRIA_API_KEY"):
        out.read_errors()
