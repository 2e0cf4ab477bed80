"""Who was merged into whom, and what that does to consent (F1, truth 5)."""

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bc_ometria.mapping import contacts
from bc_ometria.mapping.merges import Merges, resolve
from bc_ometria.rules import Rules
from bc_ometria_tests.mapping.examples import TIME_ZONE, customer, frame, unsubscribes

CODES = st.sampled_from([f"C{number}" for number in range(6)])


def of(into: dict[str, str], erased: frozenset[str] = frozenset()) -> Merges:
    rows = [(code, other, "Y" if code in erased else "") for code, other in into.items()]
    return resolve(pd.DataFrame(rows, columns=["customer", "merged_into", "erased_ok"]))


def test_a_chain_is_followed_to_its_end() -> None:
    assert of({"A": "B", "B": "C", "C": ""}).survivors == {"A": "C", "B": "C"}


@pytest.mark.parametrize("into", [{"A": "A"}, {"A": "B", "B": "A"}, {"A": "B", "B": "C", "C": "B"}])
def test_a_circle_ends_nowhere(into: dict[str, str]) -> None:
    found = of(into)
    assert not found.survivors
    assert set(found.unclear.values()) == {"in a circle"}
    assert set(found.unclear) == set(into)


def test_an_unknown_survivor_is_nobody() -> None:
    assert set(of({"A": "X"}).unclear) == {"A"}


def test_an_erased_customer_hands_nothing_on_and_takes_who_was_merged_into_them_along() -> None:
    found = of({"A": "B", "B": "C", "C": ""}, frozenset({"B"}))
    assert (dict(found.survivors), found.erased) == ({}, {"A"})


@given(st.dictionaries(CODES, st.one_of(st.just(""), CODES)), st.frozensets(CODES))
def test_everybody_is_told_of_once_and_no_survivor_is_merged(into: dict[str, str], erased: frozenset[str]) -> None:
    found = of(into, erased)
    told = [*found.survivors, *found.unclear, *found.erased]
    assert len(told) == len(set(told))
    assert set(told) == {code for code, other in into.items() if other and code not in erased}
    assert all(not into[survivor] and survivor not in erased for survivor in found.survivors.values())


SAYS = st.sampled_from(["Y", "N", ""])


@given(said=st.lists(st.tuples(SAYS, SAYS), min_size=1, max_size=4))
def test_consent_is_never_more_permissive_than_anybody_who_was_merged(
    said: list[tuple[str, str]], rules: Rules
) -> None:
    rows = [customer(customer=f"C{at}", pkey=at + 1, email_ok=e, sms_ok=s) for at, (e, s) in enumerate(said)]
    merges = Merges({str(row["customer"]): "C0" for row in rows[1:]})
    decided = contacts.decide(
        frame("customers", rows[:1]),
        frame("addresses", []),
        unsubscribes(),
        rules,
        TIME_ZONE,
        merges=merges,
        absorbed=frame("customers", rows[1:]),
    )
    for column, at in (("consent", 0), ("sms", 1)):
        any_out = any(each[at] == "N" for each in said)
        assert decided[column].item() == ("N" if any_out else said[0][at])
