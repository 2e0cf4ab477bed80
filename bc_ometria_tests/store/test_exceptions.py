"""Exceptions open, age, are mended and close by themselves (P19)."""

from typing import Any

import pandas as pd
from sqlalchemy import Engine

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


def close(engine: Engine) -> None:
    with engine.begin() as connection:
        exceptions.close_mended(connection, "order")


def held(engine: Engine, *findings: tuple) -> None:
    put(engine, decided("1", None, reason=findings[0][0]))
    record(engine, *findings)


def wanted(engine: Engine, version: str, *findings: tuple) -> None:
    put(engine, decided("1", version))
    record(engine, *findings)


def standing(engine: Engine) -> dict[str, str]:
    """``open``, ``mended`` or ``closed`` by code."""
    rows = table(engine, "exceptions", "code, is_open, is_mended, closed_at IS NULL")
    for _, is_open, _, has_no_end in rows:
        assert is_open == has_no_end
    return {code: ("mended" if mended else "open") if is_open else "closed" for code, is_open, mended, _ in rows}


def open_codes(engine: Engine) -> list[str]:
    return exceptions.open_now(engine, "order", ALL)["code"].tolist()


def seen(engine: Engine) -> Any:
    return table(engine, "exceptions", "times_seen, first_seen < last_seen")[0]


def test_a_finding_opens_repeats_is_mended_and_closes_when_its_record_is_confirmed(engine: Engine) -> None:
    held(engine, UNMAPPED)
    (row,) = exceptions.open_now(engine, "order", ALL).drop(columns="first_seen").to_numpy().tolist()
    assert tuple(row) == UNMAPPED
    assert seen(engine) == (1, False)
    held(engine, (*UNMAPPED[:3], "Q8", "IE", 100, "EUR"))
    assert seen(engine) == (2, True)
    (row,) = exceptions.open_now(engine, "order", ALL).drop(columns="first_seen").to_numpy().tolist()
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
    (row,) = exceptions.open_now(engine, "order", ALL).to_numpy().tolist()
    assert row[3:7] == ["words", "UK", 12900, "GBP"]


def test_a_finding_twice_in_one_write_counts_once(engine: Engine) -> None:
    held(engine, UNMAPPED, UNMAPPED)
    assert table(engine, "exceptions", "times_seen") == [(1,)]


def test_only_the_codes_asked_for_are_shown_oldest_first(engine: Engine) -> None:
    held(engine, UNMAPPED)
    wanted(engine, "A", UNMAPPED, NO_EMAIL)
    assert open_codes(engine) == ["unmapped_status", "missing_email"]
    assert exceptions.open_now(engine, "order", ["missing_email"])["code"].tolist() == ["missing_email"]
    assert exceptions.open_now(engine, "contact", ALL).empty
