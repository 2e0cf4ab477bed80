"""Nothing counts as synced until Ometria has shown it (P7)."""

from typing import Any

import orjson
import pytest
from sqlalchemy import Engine
from starlette.responses import JSONResponse

from bc_ometria.delivery.proof import Prover
from bc_ometria.ometria.errors import AccessRefused
from bc_ometria.store import outbox
from bc_ometria_tests.delivery.outgoing import AT_ONCE, Outgoing, Seen, account, contacts, orders
from bc_ometria_tests.ometria.server import answering
from bc_ometria_tests.sandbox.ometria_stand_in import contact, order
from bc_ometria_tests.store.records import column, end_leases, send, state, want

FEW, MANY = 4, 300


def lag(out: Outgoing, seconds: float) -> None:
    settings = out.stand_in.account.settings
    out.stand_in.account.settings = settings.changed({"queue_lag_seconds": seconds})


def nameless(out: Outgoing) -> None:
    """Ometria's errors ring has the documented shape, which names no record."""
    settings = out.stand_in.account.settings
    out.stand_in.account.settings = settings.changed({"error_shape": "documented"})


def test_few_are_read_one_by_one(out: Outgoing) -> None:
    out.want(*orders(FEW))
    out.push()
    assert out.prove() == Seen(confirmed=FEW)
    assert (out.calls("GET /v2/orders/{id}"), out.calls("GET /v2/orders")) == (FEW, 0)


def test_many_are_read_from_lists_in_which_others_records_stand_too(out: Outgoing) -> None:
    stranger = [order(f"other {number}", status="returned") for number in range(100)]
    for _ in range(3):
        out.stand_in.push(*stranger)
    out.want(*orders(MANY))
    out.push()
    out.stand_in.push(*[order(f"late {number}") for number in range(100)])
    assert out.prove() == Seen(confirmed=MANY)
    assert (out.calls("GET /v2/orders/{id}"), out.calls("GET /v2/orders")) == (0, 3)
    assert out.states() == {"confirmed": MANY}


@pytest.mark.parametrize("number", [3, FEW + 1])
def test_contacts_are_read_from_our_collection(out: Outgoing, number: int) -> None:
    out.record_type = "contact"
    out.want(*contacts(number, **{"@merge": True, "@force_optin": True, "marketing_optin": "EXPLICITLY_OPTEDOUT"}))
    out.push()
    elsewhere = [contact(f"C{place}", **{"@collection": "shop"}, firstname="Other") for place in range(number)]
    out.stand_in.push(*elsewhere)
    assert out.prove().confirmed == number
    listed = number > FEW
    assert out.calls("GET /v2/contacts/{collection}") == (2 if listed else 0)
    assert out.calls("GET /v2/contacts/{collection}/{id}") == (0 if listed else number)


def test_what_ometria_knows_besides_does_not_count(out: Outgoing) -> None:
    """P2: what Ometria owns is no difference."""
    out.record_type = "contact"
    out.stand_in.push(contact("C0", email="c0@example.com", properties={"quiz": "autumn"}, firstname="Ann"))
    out.want(contact("C0", email="c0@example.com", **{"@merge": True}))
    out.push()
    assert out.prove(AT_ONCE).confirmed == 1


@pytest.mark.parametrize("number", [5, MANY])
def test_what_is_not_there_yet_is_waited_for(out: Outgoing, number: int) -> None:
    lag(out, 60)
    out.want(*orders(number))
    out.push()
    assert out.prove() == Seen(open=number)
    assert out.states() == {"sent": number}
    assert out.open_exceptions() == []
    out.stand_in.advance(seconds=61)
    assert out.prove() == Seen(confirmed=number)


def test_an_old_version_that_is_still_shown_is_waited_for(out: Outgoing) -> None:
    out.want(*orders(5))
    out.push()
    out.prove()
    lag(out, 60)
    out.want(*orders(5, status="returned"))
    out.push()
    assert out.prove() == Seen(open=5)
    out.stand_in.advance(seconds=61)
    assert out.prove() == Seen(confirmed=5)


@pytest.mark.parametrize("number", [5, MANY])
def test_what_is_overdue_has_drifted_with_the_fields_that_differ(out: Outgoing, number: int) -> None:
    nameless(out)
    out.want(*orders(number))
    out.stand_in.arm("reject_ids", calls=None, ids=["0000000001"])
    out.push()
    out.stand_in.push(order("0000000002", status="returned", grand_total=1.0))
    out.stand_in.push(order("0000000003", status="returned"))
    proved = out.prove(AT_ONCE)
    assert (proved.confirmed, proved.drifted, proved.open) == (number - 2, 2, 0)
    assert out.open_exceptions() == [
        ("drift", "0000000001", "missing in Ometria"),
        ("drift", "0000000002", "grand_total: 129.0 wanted, 1.0 shown"),
    ]
    out.want(order("0000000001", status="x"), order("0000000002", status="x"))
    assert out.stand_in.control.delete("/faults").status_code == 200
    out.push()
    out.prove(AT_ONCE)
    assert out.states() == {"confirmed": number}
    assert out.open_exceptions() == []


def test_more_missing_records_than_one_look_takes(out: Outgoing) -> None:
    nameless(out)
    out.want(*orders(450))
    out.stand_in.arm("reject_ids", calls=None, ids=[f"{number:010}" for number in range(450)])
    out.push()
    assert sum(out.prove(AT_ONCE).drifted for _ in range(3)) == 450
    assert out.states() == {"wanted": 450}


def test_records_that_were_applied_out_of_order_are_found(out: Outgoing) -> None:
    """P20: the older push is applied last."""
    out.want(*orders(3))
    out.stand_in.arm("out_of_order", seconds=60)
    out.push()
    out.want(*orders(3, status="returned"))
    out.push()
    out.stand_in.advance(seconds=61)
    assert out.prove() == Seen(open=3)
    assert out.prove(AT_ONCE) == Seen(drifted=3)
    assert {words for _, _, words in out.open_exceptions()} == {'status: "returned" wanted, missing'}


SPOILT: list[dict[str, Any]] = [
    {"kind": "too_many_requests", "retry_after": "0"},
    {"kind": "server_error"},
    {"kind": "connection_reset"},
    {"kind": "half_body"},
    {"kind": "html_page"},
    {"kind": "redirect"},
]


@pytest.mark.parametrize("fault", SPOILT)
@pytest.mark.parametrize("number", [2, MANY])
def test_a_failed_read_is_no_missing_record(out: Outgoing, fault: dict[str, Any], number: int) -> None:
    out.want(*orders(number))
    out.push()
    out.stand_in.arm(**fault, method="GET", path="/orders")
    proved = out.prove(AT_ONCE)
    assert (proved.confirmed, proved.drifted, proved.open) == (0, 0, number)
    assert "Ometria" in proved.problem
    assert out.states() == {"sent": number}
    assert out.prove(AT_ONCE).confirmed == number


def test_a_read_that_ometria_refuses_is_told_and_fails_nothing(engine: Engine) -> None:
    want(engine, "1", "A")
    send(engine)
    with answering([], JSONResponse({"message": "bad id"}, status_code=400)) as scripted:
        proved = Prover(engine, scripted.client, account()).look()
    assert (proved.open["order"], proved.drifted.total()) == (1, 0)
    assert any("bad id" in problem for problem in proved.problems)
    assert state(engine) == "sent"


def test_a_refused_key_is_told_and_nothing_is_marked(out: Outgoing) -> None:
    out.want(*orders(2))
    out.push()
    out.stand_in.arm("key_revoked", calls=None)
    with pytest.raises(AccessRefused, match="OMETRIA_API_KEY"):
        out.prove(AT_ONCE)
    assert out.states() == {"sent": 2}


def test_a_record_that_changed_since_it_was_sent_is_not_read_back(out: Outgoing) -> None:
    out.want(*orders(2))
    out.push()
    out.want(order("0000000000", status="returned"))
    assert out.prove(AT_ONCE) == Seen(confirmed=1)
    assert out.state("0000000000") == "wanted"
    assert column(out.engine, "proved_version", "0000000000") is None


def test_nothing_to_prove_calls_nobody(out: Outgoing) -> None:
    assert out.prove() == Seen()
    assert out.calls("GET /v2/orders/{id}") == 0


def test_all_that_a_dead_sender_had_under_way_is_found_in_one_reading_of_the_lists(out: Outgoing) -> None:
    out.want(*orders(MANY))
    for batch in outbox.claim(out.engine, 3, record_types=["order"]):
        out.stand_in.push(*(orjson.loads(record.payload) for record in batch.records[1:]))
    end_leases(out.engine)
    assert outbox.take_for_sent(out.engine) == MANY
    proved = Prover(out.engine, out.client, account()).look()
    assert (proved.confirmed["order"], proved.again["order"]) == (MANY - 3, 3)
    assert (out.calls("GET /v2/orders/{id}"), out.calls("GET /v2/orders")) == (0, 3)
