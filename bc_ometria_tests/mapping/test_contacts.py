"""What is known of a customer, and the contact that Ometria gets: consent before all else (F1, Q1)."""

import random
from collections.abc import Iterable
from typing import Any

import numpy as np
import orjson
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bc_ometria.mapping import contacts
from bc_ometria.ometria.fields import CONSENT_KEYS
from bc_ometria.ometria.payloads import violations
from bc_ometria.rules import Rules
from bc_ometria_tests.mapping.examples import NOON, TIME_ZONE, OptOut, Row, address, customer, frame, unsubscribes

SINCE = "2026-06-01T09:00:00Z"  # consent_date of the example, which is summer time


def decided(
    rules: Rules, customers: list[Row], addresses: list[Row] | None = None, opt_outs: Iterable[OptOut] = ()
) -> pd.DataFrame:
    return contacts.decide(
        frame("customers", customers), frame("addresses", addresses or []), unsubscribes(*opt_outs), rules, TIME_ZONE
    )


def mapped(
    rules: Rules, customers: list[Row], addresses: list[Row] | None = None, opt_outs: Iterable[OptOut] = ()
) -> pd.DataFrame:
    decisions = decided(rules, customers, addresses, opt_outs)
    goes = (decisions["excluded"] == "").to_numpy()
    return contacts.payloads(frame("customers", customers), decisions, goes, rules, TIME_ZONE)


def record(rules: Rules, *addresses: Row, **changes: Any) -> dict[str, Any]:
    written = mapped(rules, [customer(**changes)], list(addresses))["payload"].item()
    assert violations("contact", written) == []
    return orjson.loads(written)


# ── consent (contracts/ometria.md, "Consent") ────────────────────────────────────────────────────────────────────────


def test_an_opt_in_carries_its_date(rules: Rules) -> None:
    found = record(rules, email_ok="Y")
    assert (found["marketing_optin"], found["timestamp_subscribed"]) == ("EXPLICITLY_OPTEDIN", SINCE)
    assert "@merge" not in found
    assert "timestamp_unsubscribed" not in found


def test_an_opt_in_without_its_date_is_not_sent(rules: Rules) -> None:
    """Ometria would stamp it now, and welcome the person (D)."""
    found = record(rules, email_ok="Y", sms_ok="", consent_date="NaT")
    assert CONSENT_KEYS.isdisjoint(found)
    assert found["@merge"] is True


@pytest.mark.parametrize(("date", "dated"), [("2026-06-01 10:00:00", {"timestamp_unsubscribed": SINCE}), ("NaT", {})])
def test_an_opt_out_goes_with_or_without_its_date(rules: Rules, date: str, dated: dict[str, str]) -> None:
    """Known mistakes of others (mission): an opt-out turned into an opt-in."""
    found = record(rules, email_ok="N", sms_ok="", consent_date=date)
    assert {name: found[name] for name in CONSENT_KEYS & set(found)} == {
        "marketing_optin": "EXPLICITLY_OPTEDOUT",
        **dated,
    }


@pytest.mark.parametrize("date", ["2026-06-01 10:00:00", "NaT"])
def test_no_consent_information_means_no_consent_key_and_a_merge(rules: Rules, date: str) -> None:
    found = record(rules, email_ok="", sms_ok="", consent_date=date)
    assert CONSENT_KEYS.isdisjoint(found)
    assert "channels" not in found
    assert found["@merge"] is True


@pytest.mark.parametrize(
    ("sms", "date", "channels"),
    [
        ("Y", "2026-06-01 10:00:00", {"allow_marketing": True, "dt_updated_marketing": SINCE}),
        ("Y", "NaT", None),
        ("N", "2026-06-01 10:00:00", {"allow_marketing": False, "dt_updated_marketing": SINCE}),
        ("N", "NaT", {"allow_marketing": False}),
        ("", "2026-06-01 10:00:00", None),
    ],
)
@pytest.mark.parametrize("email", ["Y", "N", ""])
def test_text_messages_are_asked_for_apart(
    rules: Rules, sms: str, date: str, channels: dict[str, Any] | None, email: str
) -> None:
    found = record(rules, email_ok=email, sms_ok=sms, consent_date=date)
    assert found.get("channels", {}).get("sms") == channels


@pytest.mark.parametrize("date", ["2026-06-01 10:00:00", "NaT"])
@pytest.mark.parametrize("sms", ["Y", "N", ""])
@pytest.mark.parametrize("email", ["Y", "N", ""])
def test_what_is_not_said_is_merged_so_that_nothing_known_is_lost(
    rules: Rules, email: str, sms: str, date: str
) -> None:
    """Design, 5: a whole replacement would take away an opt-out that only Ometria knows."""
    found = record(rules, email_ok=email, sms_ok=sms, consent_date=date)
    says_all = "marketing_optin" in found and "channels" in found
    assert found.get("@merge", False) is not says_all
    assert found.get("marketing_optin") != "EXPLICITLY_OPTEDIN" or "timestamp_subscribed" in found
    assert "timestamp_subscribed" not in found or found["marketing_optin"] == "EXPLICITLY_OPTEDIN"
    assert "@force_optin" not in found


@pytest.mark.parametrize(
    ("email", "date", "consent"),
    [("Y", NOON, "Y"), ("Y", "NaT", ""), ("N", NOON, "N"), ("N", "NaT", "N"), ("", NOON, ""), ("", "NaT", "")],
)
def test_an_opt_in_without_its_date_counts_as_missing(rules: Rules, email: str, date: str, consent: str) -> None:
    assert decided(rules, [customer(email_ok=email, consent_date=date)])["consent"].item() == consent


BEFORE, THEN, LATER = "2026-06-01T08:59:59Z", SINCE, "2026-06-01T09:00:01Z"


@pytest.mark.parametrize(
    ("email_ok", "sms_ok", "opt_outs", "email", "sms"),
    [
        ("Y", "Y", [("email", LATER)], None, True),
        ("Y", "Y", [("sms", LATER)], "EXPLICITLY_OPTEDIN", None),
        ("Y", "Y", [("email", LATER), ("sms", LATER)], None, None),
        ("Y", "Y", [("email", BEFORE), ("sms", BEFORE)], "EXPLICITLY_OPTEDIN", True),
        ("Y", "Y", [("email", BEFORE), ("sms", LATER)], "EXPLICITLY_OPTEDIN", None),
        ("Y", "N", [("email", THEN)], None, False),
        ("N", "Y", [("email", LATER)], "EXPLICITLY_OPTEDOUT", True),
        ("N", "N", [("email", LATER), ("sms", LATER)], "EXPLICITLY_OPTEDOUT", False),
        ("", "", [("email", LATER), ("sms", LATER)], None, None),
    ],
)
def test_an_older_opt_in_never_beats_a_newer_opt_out(
    rules: Rules, email_ok: str, sms_ok: str, opt_outs: list[tuple[str, str]], email: str | None, sms: bool | None
) -> None:
    """Q1, truth 5: no key of that channel, and a merge; an opt-out of Blue Cherry's goes all the same. In the same
    second the opt-out wins."""
    of_customer = [("C0000001", channel, at) for channel, at in opt_outs]
    row = mapped(rules, [customer(email_ok=email_ok, sms_ok=sms_ok)], opt_outs=of_customer).iloc[0]
    found = orjson.loads(row["payload"])
    assert violations("contact", row["payload"]) == []
    assert found.get("marketing_optin") == email
    assert found.get("channels", {}).get("sms", {}).get("allow_marketing") == sms
    assert ("timestamp_subscribed" in found) is (email == "EXPLICITLY_OPTEDIN")
    assert found.get("@merge", False) is (email is None or sms is None)
    assert "@force_optin" not in found
    of_email = {"EXPLICITLY_OPTEDIN": "in", "EXPLICITLY_OPTEDOUT": "out", None: "unknown"}[email]
    of_sms = {True: "in", False: "out", None: "unknown"}[sms]
    assert row["standing"] == f"email:{of_email} sms:{of_sms}"


def test_an_opt_out_is_that_persons_alone(rules: Rules) -> None:
    both = [customer(), customer(pkey=2, customer="C0000002")]
    found = decided(rules, both, opt_outs=[("C0000002", "email", LATER), ("C0000003", "sms", LATER)])
    assert found["newer_opt_out"].tolist() == ["", "email"]
    assert found["consent"].tolist() == ["Y", "Y"], "what Blue Cherry says is not missing"


@settings(max_examples=50, deadline=None)
@given(
    said=st.sampled_from(["Y", "N", ""]),
    opted_in=st.one_of(st.none(), st.integers(-3, 3)),
    opted_out=st.one_of(st.none(), st.integers(-3, 3)),
)
def test_an_opt_in_goes_exactly_where_it_is_dated_and_newer(
    rules: Rules, said: str, opted_in: int | None, opted_out: int | None
) -> None:
    def at(hours: int) -> pd.Timestamp:
        return pd.Timestamp("2026-01-05 12:00:00") + pd.Timedelta(hours=hours)  # winter: London's time is UTC

    date = "NaT" if opted_in is None else str(at(opted_in))
    opt_outs = [] if opted_out is None else [("C0000001", "email", f"{at(opted_out).isoformat()}Z")]
    payload = orjson.loads(mapped(rules, [customer(email_ok=said, consent_date=date)], opt_outs=opt_outs)["payload"][0])
    goes = said == "Y" and opted_in is not None and (opted_out is None or opted_out < opted_in)
    assert (payload.get("marketing_optin") == "EXPLICITLY_OPTEDIN") is goes


# ── identity, address, the rest ──────────────────────────────────────────────────────────────────────────────────────


def test_the_id_is_the_customer_code_and_joins_the_orders(rules: Rules) -> None:
    """An id holds nothing personal (design, 9), and a new e-mail address keeps it (F1)."""
    before, after = record(rules), record(rules, email="new@example.com")
    assert before["id"] == before["customer_id"] == after["id"] == "C0000001"
    assert after["email"] == "new@example.com"


def test_the_payload_of_a_contact_field_by_field(rules: Rules) -> None:
    found = record(rules, address(), loyalty_num="L77", loyalty_tier="gold")
    assert found == {
        "@type": "contact",
        "@collection": "bluecherry",
        "id": "C0000001",
        "customer_id": "C0000001",
        "email": "ann@example.com",
        "phone_number": "+442071838750",
        "firstname": "Ann",
        "lastname": "Example",
        "gender": "f",
        "date_of_birth": "1990-12-31",
        "country_id": "GB",
        "timestamp_acquired": "2020-02-29T00:00:00Z",
        "store_ids": ["uk"],
        "marketing_optin": "EXPLICITLY_OPTEDIN",
        "timestamp_subscribed": SINCE,
        "channels": {"sms": {"allow_marketing": True, "dt_updated_marketing": SINCE}},
        "properties": {"loyalty_number": "L77", "loyalty_tier": "gold"},
    }


def test_a_contact_of_whom_nothing_is_known_is_its_code(rules: Rules) -> None:
    """Known mistakes of others (mission): null over a good value."""
    bare = frame("customers", [{"pkey": 1, "last_mod": NOON, "customer": "C0000001"}])
    decisions = contacts.decide(bare, frame("addresses", []), unsubscribes(), rules, TIME_ZONE)
    written = contacts.payloads(bare, decisions, np.array([True]), rules, TIME_ZONE)["payload"].item()
    assert orjson.loads(written) == {
        "@type": "contact",
        "@collection": "bluecherry",
        "id": "C0000001",
        "customer_id": "C0000001",
        "@merge": True,
    }


@pytest.mark.parametrize(
    ("own", "addresses", "country"),
    [
        ("FR", [address(country="IE")], "FR"),
        ("", [address(country="IE")], "IE"),
        ("", [], ""),
        ("", [address(country="IE", default_ok="N")], ""),
        ("", [address(country="IE", active_ok="N")], ""),
        ("", [address(country="IE", active_ok="")], "IE"),
        ("", [address(customer="C0000002", country="IE")], ""),
        # A new default address counts from its stamp, whichever row comes first (F1).
        ("", [address(country="IE"), address(pkey=6, country="DE", last_mod="2026-11-23 12:00:01")], "DE"),
        ("", [address(pkey=4, country="DE", last_mod="2026-11-23 12:00:01"), address(country="IE")], "DE"),
        ("", [address(pkey=6, country="DE"), address(country="IE")], "DE"),
    ],
)
def test_the_country_is_the_customers_or_that_of_the_default_address(
    rules: Rules, own: str, addresses: list[Row], country: str
) -> None:
    assert decided(rules, [customer(country=own)], addresses)["country"].item() == country
    assert record(rules, *addresses, country=own).get("country_id", "") == country


@pytest.mark.parametrize(
    ("own", "division", "phone"),
    [("", "100", "+442071838750"), ("", "300", "+3532071838750"), ("FR", "100", "+332071838750"), ("", "999", "")],
)
def test_a_national_number_is_one_of_the_customers_country_or_the_divisions(
    rules: Rules, own: str, division: str, phone: str
) -> None:
    found = decided(rules, [customer(country=own, division=division)]).iloc[0]
    assert (found["phone"], found["written_phone"]) == (phone, "020 7183 8750")


def test_the_newest_stamp_of_customer_and_addresses(rules: Rules) -> None:
    """A new default address does not move the customer's stamp (contracts/blue_cherry.md; F1)."""
    later = "2026-11-23 13:00:00"
    stamps = [
        decided(rules, [customer()]),
        decided(rules, [customer()], [address(last_mod=later, default_ok="N")]),
        decided(rules, [customer(last_mod=later)], [address()]),
        decided(rules, [customer()], [address(last_mod=later, customer="C0000002")]),
    ]
    assert [str(frame["changed_at"].item())[11:13] for frame in stamps] == ["12", "13", "13", "12"]


def test_an_erased_customer_is_excluded(rules: Rules) -> None:
    both = [customer(erased_ok="Y"), customer(pkey=2, customer="C0000002")]
    assert decided(rules, both)["excluded"].tolist() == ["the customer was erased", ""]
    assert mapped(rules, both)["record_id"].tolist() == ["C0000002"]


@pytest.mark.parametrize(("written", "gender"), [("M", "m"), ("F", "f"), ("O", "o"), ("", None), ("U", None)])
def test_gender_is_ometrias_or_left_out(rules: Rules, written: str, gender: str | None) -> None:
    assert record(rules, gender=written).get("gender") == gender


def test_no_customer_no_contact(rules: Rules) -> None:
    assert decided(rules, []).empty
    assert mapped(rules, []).empty


# ── rules that are general ───────────────────────────────────────────────────────────────────────────────────────────

_TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Z"]), max_size=20)
_FLAGS = st.sampled_from(["Y", "N", ""])
_DATES = st.one_of(
    st.just("NaT"),
    st.datetimes(min_value=pd.Timestamp("1950-01-01"), max_value=pd.Timestamp("2030-01-01")).map(
        lambda at: at.replace(microsecond=0)
    ),
)
_COUNTRIES = st.sampled_from(["", "GB", "IE", "US"])


@st.composite
def customer_rows(draw: st.DrawFn) -> tuple[list[Row], list[Row]]:
    customers, addresses = [], []
    for at in range(draw(st.integers(1, 4))):
        code = f"C{at}"
        texts = {name: draw(_TEXTS) for name in ("first_name", "last_name", "loyalty_num", "loyalty_tier", "gender")}
        flags = {name: draw(_FLAGS) for name in ("email_ok", "sms_ok", "erased_ok", "active_ok")}
        dates = {name: draw(_DATES) for name in ("consent_date", "birth_date", "create_date")}
        customers.append(
            customer(pkey=at, customer=code, country=draw(_COUNTRIES), **texts, **flags, **dates)
            | {"division": draw(st.sampled_from(["100", "300", "999", ""]))}
            | {
                "email": draw(st.sampled_from(["", "ann@example.com"])),
                "phone": draw(st.sampled_from(["", "020 1", NOON])),
            }
        )
        addresses += [
            address(pkey=at * 10 + nth, customer=code, country=draw(_COUNTRIES), default_ok=draw(_FLAGS))
            for nth in range(draw(st.integers(0, 3)))
        ]
    return customers, addresses


@settings(max_examples=25, deadline=None)
@given(rows=customer_rows())
def test_every_contact_of_good_rows_is_a_valid_record(rules: Rules, rows: tuple[list[Row], list[Row]]) -> None:
    """P1; and consent is never more permissive than Blue Cherry says (design, 5)."""
    records = mapped(rules, *rows)
    served = {row["customer"]: row for row in rows[0]}
    assert set(records["record_id"]) == {code for code, row in served.items() if row["erased_ok"] != "Y"}
    for code, written in zip(records["record_id"], records["payload"], strict=True):
        assert violations("contact", written) == []
        found = orjson.loads(written)
        if found.get("marketing_optin") == "EXPLICITLY_OPTEDIN":
            assert served[code]["email_ok"] == "Y"
        if found.get("channels", {}).get("sms", {}).get("allow_marketing"):
            assert served[code]["sms_ok"] == "Y"


@settings(max_examples=25, deadline=None)
@given(rows=customer_rows(), chance=st.randoms(use_true_random=False))
def test_the_order_of_rows_never_matters(
    rules: Rules, rows: tuple[list[Row], list[Row]], chance: random.Random
) -> None:
    customers, addresses = (chance.sample(part, len(part)) for part in rows)
    straight = mapped(rules, *rows).set_index("record_id").sort_index()
    pd.testing.assert_frame_equal(mapped(rules, customers, addresses).set_index("record_id").sort_index(), straight)
