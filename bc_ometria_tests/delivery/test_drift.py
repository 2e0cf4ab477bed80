"""A record that Ometria shows differently: an exception with both values, and one repair (P2, P9, P19)."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pandas as pd
import pytest
from sqlalchemy import text

from bc_ometria.delivery.proof import Proved, Prover
from bc_ometria.store import exceptions, outbox
from bc_ometria_tests.delivery.outgoing import Outgoing, account, contacts, orders
from bc_ometria_tests.sandbox.ometria_stand_in import contact, order
from bc_ometria_tests.store.records import column, decided, end_leases
from bc_ometria_tests.store.rows import table, until_waiting

AT_ONCE, LATER = 1e-9, 3600.0
OPTED_IN = {"marketing_optin": "EXPLICITLY_OPTEDIN", "timestamp_subscribed": "2026-01-01T00:00:00Z"}


def look(out: Outgoing, until_drift: float = AT_ONCE, **settings: Any) -> Proved:
    """One look, as a delivery ends with one; what differs ``until_drift`` seconds after it was accepted has drifted."""
    proved = Prover(out.engine, out.client, account(read_back_until=until_drift, **settings)).look()
    with out.engine.begin() as connection:
        exceptions.close_mended(connection, out.record_type)
    return proved


def sent(out: Outgoing, *records: dict[str, Any]) -> None:
    out.want(*records)
    out.push()


def closed(out: Outgoing) -> list[tuple]:
    return [row[1:] for row in table(out.engine, "exceptions", "is_open, code, record_id, closed_by") if not row[0]]


def is_any_due(out: Outgoing) -> bool:
    return outbox.is_any_due(out.engine)


def test_a_record_that_differs_is_told_with_both_values_and_repaired_from_blue_cherry(out: Outgoing) -> None:
    """P2."""
    sent(out, order("1", status="shipped"), order("2"))
    out.stand_in.push(order("1", status="placed", grand_total=99.0))
    assert look(out, LATER).open["order"] == 1
    assert out.open_exceptions() == []

    proved = look(out)
    assert (proved.repaired["order"], proved.drifted.total()) == (1, 0)
    assert (out.state("1"), out.state("2")) == ("wanted", "confirmed")
    assert column(out.engine, "lane") == "repairs"
    [(code, record_id, detail)] = out.open_exceptions()
    assert (code, record_id) == ("drift", "1")
    assert set(detail.split("; ")) == {
        "grand_total: 129.0 wanted, 99.0 shown",
        'status: "shipped" wanted, "placed" shown',
    }

    assert out.push().accepted == 1
    assert len(out.open_exceptions()) == 1  # accepted is not proved
    assert look(out).confirmed["order"] == 1
    assert out.open_exceptions() == []
    assert closed(out) == [("drift", "1", f"version {column(out.engine, 'wanted_version')[:8]}… confirmed")]
    assert out.stand_in.account.orders["1"]["grand_total"] == 129.0


def test_a_record_that_ometria_lost_is_repaired(out: Outgoing) -> None:
    without_ids(out)
    out.stand_in.arm("reject_ids", ids=["1"])
    sent(out, order("1"))
    look(out)
    assert out.open_exceptions() == [("drift", "1", "missing in Ometria")]
    out.push()
    assert look(out).confirmed["order"] == 1
    assert out.open_exceptions() == []


@pytest.mark.parametrize("number", [1, 40])
def test_a_version_that_differs_again_is_not_repaired_again(out: Outgoing, number: int) -> None:
    """Or two sources of one account would overwrite each other for ever."""
    sent(out, *orders(number))
    for repaired in (number, 0):
        out.stand_in.push(*orders(number, grand_total=1.0))
        proved = look(out)
        assert (proved.repaired["order"], proved.drifted["order"]) == (repaired, number - repaired)
        out.push()
    assert out.states() == {"drift": number}
    assert out.pushes - 2 == 2  # ours, beside those of the other source
    assert not is_any_due(out)
    assert look(out) == Proved()
    assert {words for _, _, words in out.open_exceptions()} == {"grand_total: 129.0 wanted, 1.0 shown"}
    assert [times for (times,) in table(out.engine, "exceptions", "times_seen")] == [2] * number


def test_a_new_version_starts_afresh(out: Outgoing) -> None:
    sent(out, order("1"))
    for _ in range(2):
        out.stand_in.push(order("1", grand_total=1.0))
        look(out)
        out.push()
    assert out.state("1") == "drift"

    sent(out, order("1", status="returned"))
    out.stand_in.push(order("1", grand_total=2.0))
    assert look(out).repaired["order"] == 1
    assert len(out.open_exceptions()) == 1
    out.push()
    assert look(out).confirmed["order"] == 1
    assert (out.state("1"), out.open_exceptions()) == ("confirmed", [])


def test_a_version_that_is_confirmed_at_once_closes_the_drift_of_the_one_before(out: Outgoing) -> None:
    """P19: exceptions close by themselves."""
    sent(out, order("1"))
    out.stand_in.push(order("1", grand_total=1.0))
    look(out)
    out.want(order("1", status="returned"))  # before the repair went
    assert column(out.engine, "lane") != "repairs"
    out.push()
    look(out)
    assert (out.state("1"), out.open_exceptions()) == ("confirmed", [])
    assert out.stand_in.account.orders["1"]["status"] == "returned"


def test_a_repair_waits_for_what_people_notice(out: Outgoing) -> None:
    """P3: repairs are bulk."""
    sent(out, order("1"))
    out.stand_in.push(order("1", grand_total=1.0))
    look(out)
    out.want(order("2"))
    with out.engine.begin() as connection:
        connection.execute(text("UPDATE bc_ometria.outbox SET lane = 'live' WHERE record_id = '2'"))
    [batch] = outbox.claim(out.engine, 1, size=1)
    assert [record.record_id for record in batch.records] == ["2"]


@pytest.mark.parametrize("number", [1, 10])
def test_an_opt_out_made_at_ometria_is_not_fought(out: Outgoing, number: int) -> None:
    """P2: what Ometria owns is never overwritten."""
    out.record_type = "contact"
    texts = {"channels": {"sms": {"allow_marketing": True}}}
    sent(out, *contacts(number, **OPTED_IN, **texts))
    stopped = {"channels": {"sms": {"allow_marketing": False}}}
    out.stand_in.push(*contacts(number, marketing_optin="EXPLICITLY_OPTEDOUT", **stopped))
    pushes = out.pushes
    assert look(out).confirmed["contact"] == number
    out.push()
    assert out.pushes == pushes
    assert out.open_exceptions() == []


def test_an_opt_in_made_elsewhere_is_repaired(out: Outgoing) -> None:
    """Truth 5: consent is never more permissive than what Blue Cherry says."""
    out.record_type = "contact"
    sent(out, contact("C1", marketing_optin="EXPLICITLY_OPTEDOUT"))
    out.stand_in.push(contact("C1", **OPTED_IN))
    look(out)
    assert out.open_exceptions() == [
        ("drift", "C1", 'marketing_optin: "EXPLICITLY_OPTEDOUT" wanted, "EXPLICITLY_OPTEDIN" shown')
    ]
    out.push()
    assert look(out).confirmed["contact"] == 1
    assert out.stand_in.account.contacts["blue_cherry"]["C1"]["marketing_optin"] == "EXPLICITLY_OPTEDOUT"


def test_nothing_personal_gets_into_the_exception(out: Outgoing) -> None:
    out.record_type = "contact"
    sent(out, contact("C1", firstname="Ann", phone_number="+442071838750", country_id="GB"))
    out.stand_in.push(contact("C1", firstname="Bea", email="bea@example.com", country_id="IE"))
    look(out)
    [(_, _, detail)] = out.open_exceptions()
    assert set(detail.split("; ")) == {
        "email: differs",
        "firstname: differs",
        "phone_number: missing",
        'country_id: "GB" wanted, "IE" shown',
    }


def test_a_record_that_differs_everywhere_makes_no_endless_text(out: Outgoing) -> None:
    sent(
        out, order("1", lineitems=[{"product_id": f"P{place}", "quantity": 1, "unit_price": 1} for place in range(50)])
    )
    other = [{"product_id": f"Q{place}", "quantity": 2, "unit_price": 2} for place in range(50)]
    out.stand_in.push(order("1", lineitems=other))
    look(out)
    [(_, _, detail)] = out.open_exceptions()
    assert 1 < len(detail.split("; ")) <= 10


# --- accounts without lists ----------------------------------------------------------------------------------


def test_an_account_without_lists_is_read_by_id(out: Outgoing) -> None:
    sent(out, *orders(30))
    out.stand_in.push(order("0000000007", grand_total=1.0))
    proved = look(out, read_back_lists=False)
    assert (proved.confirmed["order"], proved.repaired["order"]) == (29, 1)
    assert (out.calls("GET /v2/orders/{id}"), out.calls("GET /v2/orders")) == (30, 0)


def test_of_a_sample_the_others_end_as_accepted(out: Outgoing) -> None:
    sent(out, *orders(300))
    while look(out, read_back_lists=False, read_back_sample=0.1).open:
        pass
    states = out.states()
    assert states == {"confirmed": states["confirmed"], "accepted": 300 - states["confirmed"]}
    assert 10 <= states["confirmed"] <= 60
    assert out.calls("GET /v2/orders/{id}") == states["confirmed"]
    assert not is_any_due(out)


def test_a_sample_is_the_same_however_often_it_is_drawn(out: Outgoing) -> None:
    """Two processes that look at once would otherwise read twice the sample, and a repair might never be looked at."""
    sent(out, *orders(100))
    sample = {"read_back_lists": False, "read_back_sample": 0.2}
    drawn = []
    for _ in range(2):
        look(out, **sample)
        drawn.append(table(out.engine, "outbox", "record_id, state", "record_id"))
        with out.engine.begin() as connection:
            connection.execute(text("UPDATE bc_ometria.outbox SET state = 'sent'"))
    assert drawn[0] == drawn[1]
    look(out, read_back_lists=False, read_back_sample=1)
    assert out.states() == {"confirmed": 100}


def test_drift_within_a_sample_is_repaired_and_proved(out: Outgoing) -> None:
    sample = {"read_back_lists": False, "read_back_sample": 0.2}
    sent(out, *orders(60))
    out.stand_in.push(*orders(60, grand_total=1.0))
    repaired = look(out, **sample).repaired["order"]
    assert 0 < repaired < 60
    assert out.states() == {"wanted": repaired, "accepted": 60 - repaired}
    out.push()
    assert look(out, **sample).confirmed["order"] == repaired
    assert out.open_exceptions() == []


def without_ids(out: Outgoing) -> None:
    """Let the errors ring show its entries without ids, so that the read back has to find what is missing."""
    out.stand_in.account.settings = out.stand_in.account.settings.changed({"error_shape": "documented"})


def test_a_look_and_a_mapping_of_what_differs_do_not_wait_for_each_other(out: Outgoing) -> None:
    """Both lock records, and then the exceptions."""
    sent(out, order("1"), order("2"))
    out.stand_in.push(order("2", grand_total=1.0))
    newer = pd.DataFrame([decided("2", "B")]).assign(changed_at=pd.Timestamp.now("UTC"))
    with ThreadPoolExecutor(1) as thread:
        with out.engine.begin() as mapping:
            outbox.put(mapping, "order", newer)
            looking = thread.submit(look, out)
            until_waiting(out.engine, 1)
            exceptions.record(mapping, "order", ["2"], pd.DataFrame(columns=exceptions.FINDING))
        assert looking.result(60).confirmed["order"] == 1
    assert (out.state("2"), column(out.engine, "wanted_version", "2")) == ("wanted", "B")
    assert out.open_exceptions() == []


def test_what_was_lost_on_its_way_and_its_mapping_do_not_wait_for_each_other(out: Outgoing) -> None:
    out.want(order("1"), order("2"))
    outbox.claim(out.engine, 1, record_types=["order"])
    out.stand_in.push(order("1"))
    end_leases(out.engine)
    assert outbox.take_for_sent(out.engine) == 2
    newer = pd.DataFrame([decided("2", "B")]).assign(changed_at=pd.Timestamp.now("UTC"))
    with ThreadPoolExecutor(1) as thread:
        with out.engine.begin() as mapping:
            outbox.put(mapping, "order", newer)
            looking = thread.submit(look, out, LATER)
            until_waiting(out.engine, 1)
            exceptions.record(mapping, "order", ["2"], pd.DataFrame(columns=exceptions.FINDING))
        assert looking.result(60).confirmed["order"] == 1
    assert (out.state("2"), column(out.engine, "wanted_version", "2")) == ("wanted", "B")
