"""Exceptions open, age, are mended and close by themselves (P19)."""

from dataclasses import dataclass
from typing import Any

import pandas as pd
import pytest
from sqlalchemy import Engine, text

from bc_ometria.rules import Rules
from bc_ometria.store import exceptions
from bc_ometria.store.exceptions import FINDING
from bc_ometria_tests.store.records import decided, excluded, prove, put, reject, send
from bc_ometria_tests.store.rows import table

UNMAPPED = ("unmapped_status", "1", "ord_status", "Q7", "UK", 12900, "GBP")
NO_EMAIL = ("missing_email", "1", "email", "", "UK", 12900, "GBP")
ALL = ["unmapped_status", "missing_email", "rejected", "drift"]


def record(engine: Engine, *findings: tuple, about: tuple[str, ...] = ("1",), record_type: str = "order") -> None:
    with engine.begin() as connection:
        exceptions.record(connection, record_type, about, pd.DataFrame(list(findings), columns=FINDING))


def found_by_delivery(engine: Engine, code: str, words: str) -> None:
    with engine.begin() as connection:
        exceptions.open_one(connection, code, "order", "1", words)


def close(engine: Engine, record_type: str = "order") -> None:
    with engine.begin() as connection:
        exceptions.close_mended(connection, record_type)


def held(engine: Engine, *findings: tuple) -> None:
    put(engine, decided("1", None, reason=findings[0][0]))
    record(engine, *findings)


def wanted(engine: Engine, version: str, *findings: tuple) -> None:
    put(engine, decided("1", version))
    record(engine, *findings)


def standing(engine: Engine) -> dict[str, str]:
    """``open``, ``mended`` or ``closed`` by code."""
    rows = table(engine, "exceptions", "code, is_open, is_mended, num_nulls(closed_at, closed_by)")
    for _, is_open, _, unknown in rows:
        assert unknown == (2 if is_open else 0)
    return {code: ("mended" if mended else "open") if is_open else "closed" for code, is_open, mended, _ in rows}


def closed_by(engine: Engine) -> list[str | None]:
    return [by for (by,) in table(engine, "exceptions", "closed_by", "code, record_id")]


def open_codes(engine: Engine) -> list[str]:
    return exceptions.open_now(engine, "order", ALL)["code"].tolist()


def seen(engine: Engine) -> Any:
    return table(engine, "exceptions", "times_seen, first_seen < last_seen")[0]


def test_a_finding_opens_repeats_is_mended_and_closes_when_its_record_is_confirmed(engine: Engine) -> None:
    held(engine, UNMAPPED)
    (row,) = exceptions.open_now(engine, "order", ALL)[FINDING].to_numpy().tolist()
    assert tuple(row) == UNMAPPED
    assert seen(engine) == (1, False)
    held(engine, (*UNMAPPED[:3], "Q8", "IE", 100, "EUR"))
    assert seen(engine) == (2, True)
    (row,) = exceptions.open_now(engine, "order", ALL)[FINDING].to_numpy().tolist()
    assert tuple(row[3:]) == ("Q8", "IE", 100, "EUR")

    wanted(engine, "A")
    assert standing(engine) == {"unmapped_status": "mended"}
    assert open_codes(engine) == []
    close(engine)
    assert standing(engine) == {"unmapped_status": "mended"}  # not before Ometria has shown it
    send(engine)
    close(engine)
    assert standing(engine) == {"unmapped_status": "mended"}
    prove(engine)
    close(engine)
    assert standing(engine) == {"unmapped_status": "closed"}
    assert closed_by(engine) == ["version A… confirmed"]


def test_a_finding_that_comes_back_opens_anew(engine: Engine) -> None:
    held(engine, UNMAPPED)
    held(engine, UNMAPPED)
    wanted(engine, "A")
    send(engine)
    prove(engine)
    close(engine)
    held(engine, UNMAPPED)
    assert standing(engine) == {"unmapped_status": "open"}
    assert seen(engine) == (1, False)


def test_a_mended_finding_that_comes_back_keeps_its_age(engine: Engine) -> None:
    held(engine, UNMAPPED)
    wanted(engine, "A")
    held(engine, UNMAPPED)
    assert standing(engine) == {"unmapped_status": "open"}
    assert seen(engine) == (2, True)


def test_an_excluded_record_needs_no_confirmation(engine: Engine) -> None:
    held(engine, UNMAPPED)
    put(engine, excluded("1"))
    record(engine)
    assert standing(engine) == {"unmapped_status": "closed"}
    assert closed_by(engine) == ["excluded: wholesale"]


def test_a_record_that_is_as_it_was_when_it_was_confirmed_closes_at_once(engine: Engine) -> None:
    wanted(engine, "A")
    send(engine)
    prove(engine)
    held(engine, UNMAPPED)
    wanted(engine, "A")
    assert standing(engine) == {"unmapped_status": "closed"}


def test_findings_that_hold_nothing_stay_open_beside_a_confirmed_record(engine: Engine) -> None:
    wanted(engine, "A", NO_EMAIL)
    send(engine)
    prove(engine)
    close(engine)
    assert standing(engine) == {"missing_email": "open"}
    wanted(engine, "A", NO_EMAIL)
    assert standing(engine) == {"missing_email": "open"}


def test_each_finding_is_mended_on_its_own(engine: Engine) -> None:
    held(engine, UNMAPPED, NO_EMAIL)
    wanted(engine, "A", NO_EMAIL)
    assert standing(engine) == {"unmapped_status": "mended", "missing_email": "open"}
    # Two fields of one code are two findings.
    held(engine, UNMAPPED, (*UNMAPPED[:2], "hold_code", "ZZ", *UNMAPPED[4:]))
    held(engine, UNMAPPED)
    mended = table(engine, "exceptions", "field, is_mended", "field")
    assert mended == [("email", True), ("hold_code", True), ("ord_status", False)]


def test_only_the_records_that_were_looked_at_are_mended(engine: Engine) -> None:
    other = ("unmapped_status", "2", *UNMAPPED[2:])
    put(engine, decided("1", None, reason="unmapped_status"), decided("2", None, reason="unmapped_status"))
    record(engine, UNMAPPED, other, about=("1", "2"))
    put(engine, decided("1", None, reason="unmapped_status"), record_type="contact")
    record(engine, UNMAPPED, record_type="contact")
    wanted(engine, "A")
    still_open = table(engine, "exceptions", "record_type, record_id, is_mended", "1, 2")
    assert still_open == [("contact", "1", False), ("order", "1", True), ("order", "2", False)]


def test_a_rejection_outlives_mapping_the_same_version_and_ends_with_a_confirmed_new_one(engine: Engine) -> None:
    wanted(engine, "A")
    send(engine)
    reject(engine, "1")
    found_by_delivery(engine, "rejected", "/currency: must be a currency")
    wanted(engine, "A")
    assert standing(engine) == {"rejected": "open"}
    wanted(engine, "B")
    assert standing(engine) == {"rejected": "mended"}
    send(engine)
    prove(engine)
    close(engine)
    assert standing(engine) == {"rejected": "closed"}


def test_a_new_version_that_is_rejected_too_keeps_the_age(engine: Engine) -> None:
    wanted(engine, "A")
    send(engine)
    reject(engine, "1")
    found_by_delivery(engine, "rejected", "first words")
    wanted(engine, "B")
    send(engine)
    reject(engine, "1")
    found_by_delivery(engine, "rejected", "second words")
    assert standing(engine) == {"rejected": "open"}
    assert seen(engine) == (2, True)
    assert table(engine, "exceptions", "detail") == [("second words",)]


def test_drift_outlives_mapping_the_same_version_and_ends_with_a_confirmed_new_one(engine: Engine) -> None:
    wanted(engine, "A")
    send(engine)
    prove(engine, "drift")
    found_by_delivery(engine, "drift", "missing")
    wanted(engine, "A")
    close(engine)
    assert standing(engine) == {"drift": "open"}
    wanted(engine, "B")
    assert standing(engine) == {"drift": "mended"}
    send(engine)
    prove(engine)
    close(engine)
    assert standing(engine) == {"drift": "closed"}


def test_what_delivery_found_keeps_the_value_that_mapping_knew(engine: Engine) -> None:
    wanted(engine, "A", ("rejected", *UNMAPPED[1:2], "", "", "UK", 12900, "GBP"))
    found_by_delivery(engine, "rejected", "words")
    (row,) = exceptions.open_now(engine, "order", ALL)[FINDING].to_numpy().tolist()
    assert row[3:7] == ["words", "UK", 12900, "GBP"]


def test_a_finding_twice_in_one_write_counts_once(engine: Engine) -> None:
    held(engine, UNMAPPED, UNMAPPED)
    assert table(engine, "exceptions", "times_seen") == [(1,)]


def test_records_of_several_types_may_be_told_of_in_one_transaction(engine: Engine) -> None:
    put(engine, decided("1", None, reason="unmapped_status"))
    with engine.begin() as connection:
        for record_type in ("order", "custom_event"):
            found = pd.DataFrame([UNMAPPED], columns=FINDING)
            exceptions.record(connection, record_type, ["1"], found)
    assert table(engine, "exceptions", "record_type") == [("custom_event",), ("order",)]


def test_only_the_codes_asked_for_are_shown_oldest_first(engine: Engine) -> None:
    held(engine, UNMAPPED)
    wanted(engine, "A", UNMAPPED, NO_EMAIL)
    assert open_codes(engine) == ["unmapped_status", "missing_email"]
    assert exceptions.open_now(engine, "order", ["missing_email"])["code"].tolist() == ["missing_email"]
    assert exceptions.open_now(engine, "contact", ALL).empty


# --- custom events: they cannot be read back, and some are not to be sent any more -------------------------------


def event(
    engine: Engine, record_id: str, state: str, reason: str = "", *, order: str = "1", customer: str = "C"
) -> None:
    """A custom event of an order, and how it stands in the outbox."""
    with engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO bc_ometria.order_events "
                "(record_id, ord_num, customer, event_type, covers, happened_at, enters_until) "
                "VALUES (:id, :order, :customer, 'order_dispatched', '', now(), now()) ON CONFLICT DO NOTHING"
            ),
            {"id": record_id, "order": order, "customer": customer},
        )
        connection.execute(
            text(
                "INSERT INTO bc_ometria.outbox (record_type, record_id, state, reason, wanted_version) "
                "VALUES ('custom_event', :id, :state, :reason, '0123456789abcdef') "
                "ON CONFLICT (record_type, record_id) DO UPDATE SET state = :state, reason = :reason"
            ),
            {"id": record_id, "state": state, "reason": reason},
        )


def about_event(engine: Engine, code: str, record_id: str = "e1") -> None:
    finding = (code, record_id, "", "", "UK", 12900, "GBP")
    record(engine, finding, about=(record_id,), record_type="custom_event")


@pytest.mark.parametrize(
    ("state", "reason", "by"),
    [
        ("accepted", "", "version 01234567… accepted"),
        ("confirmed", "", "version 01234567… confirmed"),
        ("withdrawn", "the order is cancelled", "withdrawn: the order is cancelled"),
        ("excluded", "the customer was erased", "excluded: the customer was erased"),
    ],
)
def test_what_is_wrong_with_an_event_ends_when_it_went_or_is_not_to_go(
    engine: Engine, state: str, reason: str, by: str
) -> None:
    """Nobody maps a withdrawn event again, so nothing else would mend it."""
    event(engine, "e1", "held", "unmapped_reason")
    about_event(engine, "unmapped_reason")
    close(engine, "custom_event")
    assert standing(engine) == {"unmapped_reason": "open"}
    event(engine, "e1", state, reason)
    close(engine)
    assert standing(engine) == {"unmapped_reason": "open"}
    close(engine, "custom_event")
    assert standing(engine) == {"unmapped_reason": "closed"}
    assert closed_by(engine) == [by]


@pytest.mark.parametrize("state", ["wanted", "sent"])
def test_an_event_on_its_way_closes_nothing(engine: Engine, state: str) -> None:
    event(engine, "e1", state)
    about_event(engine, "unmapped_reason")
    close(engine, "custom_event")
    assert standing(engine) == {"unmapped_reason": "open"}


# --- what the rules say of a code ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Rule:
    owner: str = "Operations"
    severity: str = "hold"
    wait_min: int = 0
    lasts_h: int | None = None
    meaning: str = "something is wrong with it"


def rule_by(engine: Engine, **codes: Rule) -> None:
    with engine.begin() as connection:
        exceptions.set_codes(connection, codes)


def age(engine: Engine, *, minutes: int = 0, hours: int = 0) -> None:
    """As if everything had been seen so much earlier."""
    with engine.begin() as connection:
        connection.execute(
            text(
                "UPDATE bc_ometria.exceptions SET first_seen = first_seen - make_interval(mins => :minutes), "
                "last_seen = last_seen - make_interval(mins => :minutes)"
            ),
            {"minutes": minutes + 60 * hours},
        )


def test_the_rules_in_force_stand_beside_the_exceptions_and_are_written_only_where_they_differ(
    engine: Engine, rules: Rules
) -> None:
    def versions() -> dict[str, int]:
        return dict(table(engine, "exception_codes", "code, CAST(CAST(xmin AS text) AS bigint)"))

    with engine.begin() as connection:
        exceptions.set_codes(connection, rules.exceptions)
    first = versions()
    assert set(first) == set(rules.exceptions)
    row = table(engine, "exception_codes", "code, owner, severity, wait_min, lasts_h, meaning", "code = 'drift' DESC")[
        0
    ]
    drift = rules.exceptions["drift"]
    assert row == ("drift", drift.owner, drift.severity, drift.wait_min, drift.lasts_h, drift.meaning)

    others = {code: rule for code, rule in rules.exceptions.items() if code != "rejected"}
    changed = others | {"drift": drift.model_copy(update={"owner": "Marketing"})}
    with engine.begin() as connection:
        exceptions.set_codes(connection, changed)
    assert {code for code, version in versions().items() if version != first[code]} == {"drift"}
    assert set(versions()) == set(changed)
    assert ("drift", "Marketing") in table(engine, "exception_codes", "code, owner")


@pytest.mark.parametrize("state", ["held", "withdrawn"])
def test_what_nothing_can_mend_closes_by_its_age_alone(engine: Engine, state: str) -> None:
    """A journey that was missed was missed, whatever becomes of its event."""
    rule_by(engine, event_too_late=Rule(severity="report", lasts_h=168))
    event(engine, "e1", state, "event_too_late")
    about_event(engine, "event_too_late")
    record(engine, about=("e1",), record_type="custom_event")  # looked at again, and nothing found
    age(engine, hours=167)
    close(engine, "custom_event")
    assert standing(engine) == {"event_too_late": "open"}
    age(engine, hours=2)
    close(engine, "order")
    assert standing(engine) == {"event_too_late": "open"}
    close(engine, "custom_event")
    assert standing(engine) == {"event_too_late": "closed"}
    assert closed_by(engine) == ["age"]


def test_age_counts_from_when_it_was_last_seen_and_closes_no_other_code(engine: Engine) -> None:
    rule_by(engine, event_too_late=Rule(lasts_h=168), unmapped_status=Rule())
    held(engine, UNMAPPED)
    found_by_delivery(engine, "event_too_late", "order_dispatched")
    age(engine, hours=100)
    found_by_delivery(engine, "event_too_late", "order_dispatched")
    age(engine, hours=100)
    close(engine)
    assert standing(engine) == {"unmapped_status": "open", "event_too_late": "open"}
    age(engine, hours=100)
    close(engine)
    assert standing(engine) == {"unmapped_status": "open", "event_too_late": "closed"}


# --- what people and checks see ------------------------------------------------------------------------------------


def seen_open(engine: Engine, columns: str, order: str = "1") -> list[tuple]:
    return table(engine, "open_exceptions", columns, order)


def test_open_exceptions_are_shown_with_what_the_rules_say(engine: Engine) -> None:
    """P15: who owns it, how bad it is; without a rule it is shown all the same."""
    rule_by(engine, missing_email=Rule("Marketing", "report"))
    held(engine, UNMAPPED, NO_EMAIL)
    assert seen_open(
        engine, "code, owner, severity, record_type, record_id, field, detail, division, value, currency"
    ) == [
        ("missing_email", "Marketing", "report", "order", "1", "email", "", "UK", 12900, "GBP"),
        ("unmapped_status", None, None, "order", "1", "ord_status", "Q7", "UK", 12900, "GBP"),
    ]
    assert (
        seen_open(engine, "first_seen = last_seen, times_seen, blocked_events, is_waiting") == [(True, 1, 0, False)] * 2
    )
    wanted(engine, "A", NO_EMAIL)
    assert seen_open(engine, "code") == [("missing_email",)]


def test_a_cause_that_may_last_a_while_waits_in_sight_and_then_becomes_an_exception(engine: Engine) -> None:
    """Q2: an incomplete order waits visibly first."""
    rule_by(engine, incomplete_order=Rule(wait_min=60), unmapped_status=Rule())
    held(engine, ("incomplete_order", *UNMAPPED[1:]), UNMAPPED)
    assert seen_open(engine, "code, is_waiting") == [("incomplete_order", True), ("unmapped_status", False)]
    age(engine, minutes=59)
    assert seen_open(engine, "code, is_waiting")[0] == ("incomplete_order", True)
    age(engine, minutes=1)
    found = exceptions.open_now(engine, "order", ["incomplete_order"])
    assert found["is_waiting"].tolist() == [False]
    assert 1 <= found["age_h"].iloc[0] < 1.1


def test_the_events_that_wait_for_a_held_record_are_counted(engine: Engine) -> None:
    rule_by(engine, unmapped_status=Rule(), missing_email=Rule())
    held(engine, UNMAPPED)
    event(engine, "e1", "wanted", customer="C1")
    event(engine, "e2", "held", "unmapped_reason", customer="C1")
    event(engine, "e3", "accepted")
    event(engine, "e4", "withdrawn", "the order is cancelled")
    event(engine, "e5", "wanted", order="2", customer="C1")
    event(engine, "e6", "held", "event_too_late", customer="C1")  # mending the order does not help it
    put(engine, decided("C1", None, reason="missing_email"), record_type="contact")
    about_contact = ("missing_email", "C1", "email", "", "UK", 0, "")
    record(engine, about_contact, about=("C1",), record_type="contact")
    about_event(engine, "unmapped_reason", "e2")
    assert seen_open(engine, "record_type, blocked_events") == [("contact", 3), ("custom_event", 1), ("order", 2)]
    blocked = exceptions.blocked_events(engine, "order", ALL)
    assert sorted(map(tuple, blocked.to_numpy().tolist())) == [
        ("1", "e1", "order_dispatched"),
        ("1", "e2", "order_dispatched"),
    ]
    assert exceptions.blocked_events(engine, "contact", ALL)["event_id"].nunique() == 3
    (shown,) = exceptions.open_now(engine, "custom_event", ["unmapped_reason"])["event"]
    assert shown == "1 order_dispatched"
    wanted(engine, "A")  # mended
    assert exceptions.blocked_events(engine, "order", ALL).empty


def test_what_is_only_reported_blocks_the_events_alone_that_are_held_for_it(engine: Engine) -> None:
    rule_by(engine, unmapped_reason=Rule(severity="report"), missing_email=Rule(severity="report"))
    reason = ("unmapped_reason", *UNMAPPED[1:])
    wanted(engine, "A", NO_EMAIL, reason)
    event(engine, "e1", "wanted")
    event(engine, "e2", "held", "unmapped_reason")
    assert seen_open(engine, "code, blocked_events") == [("missing_email", 0), ("unmapped_reason", 1)]


def test_an_event_that_waits_for_two_findings_about_one_order_is_one_event(engine: Engine) -> None:
    held(engine, UNMAPPED, NO_EMAIL)
    event(engine, "e1", "wanted")
    assert seen_open(engine, "code, blocked_events") == [("missing_email", 1), ("unmapped_status", 1)]
    assert len(exceptions.blocked_events(engine, "order", ALL)) == 1


def test_the_attributes_that_one_record_lacks_are_a_row_each(engine: Engine) -> None:
    lacking = [("missing_attribute", "1", field, "", "UK", 0, "") for field in ("phone", "country")]
    wanted(engine, "A", *lacking)
    assert seen_open(engine, "field") == [("country",), ("phone",)]
