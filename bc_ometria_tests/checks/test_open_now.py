"""What the checks of open matters show: how many, which codes, what is at stake, masked examples, whose it is."""

import dagster as dg
import pytest

from bc_ometria.rules import Rules
from bc_ometria.sandbox.ometria.faults import Fault
from bc_ometria_tests.scenarios.shop import Shop, customer, evaluations, header, table

CELLS = (str, int, float, bool, type(None))
"""What Dagster can show in a table; NaN, times and numpy's types are not among it."""


@pytest.fixture
def troubled(shop: Shop) -> Shop:
    """Orders and customers with each kind of trouble, and one of each without any."""
    shop.write(
        "customers",
        customer(),
        customer("00000002", email=""),
        customer("00000003", phone="12", email_ok=""),
        customer("00000004", email="nobody"),
        *(customer(f"000001{n:02d}", phone="") for n in range(15)),
    )
    shop.order("0000001001")
    shop.order("0000001002", ord_status="Q7", division="9X9")
    shop.order("0000001003", ord_status="Z1", pieces=(4,))
    shop.order("0000001004", ord_status="Q7")
    shop.order("0000001005", customer="", email="")
    shop.order("0000001006", customer="00000001", email="")
    shop.order("0000001007", division="300", currency="EUR", ord_status="Q7")
    shop.write("orders", header("0000001008"))
    shop.raw("orders", header("0000001009"), ord_date="tomorrow")
    return shop


def test_each_check_shows_its_own_matters_and_all_of_them_turn_green_when_these_are_mended(
    troubled: Shop, rules: Rules
) -> None:
    found = evaluations(troubled.sync())
    red = {name: check.severity for name, check in found.items() if not check.passed}
    error = dg.AssetCheckSeverity.ERROR
    assert red == {
        "blue_cherry/orders:rows_are_well_formed": error,
        "ometria/contacts:attributes_are_there": error,
        "ometria/contacts:contacts_are_valid": error,
        "ometria/orders:attributes_are_there": error,
        "ometria/orders:codes_are_mapped": error,
        "ometria/orders:orders_are_valid": error,
    }

    incomplete = found["ometria/orders:headers_and_lines_are_together"]
    assert (incomplete.metadata["records"].value, incomplete.metadata["waiting"].value) == (0, 1)
    assert [row["record"] for row in table(incomplete, "waiting_examples")] == ["0000001008"]
    assert troubled.states()["0000001008"] == "held: incomplete_order"

    codes = found["ometria/orders:codes_are_mapped"]
    assert codes.description == "4 × unmapped_status, 1 × unknown_division; at stake 100.00 EUR, 400.00 GBP"
    assert codes.metadata["records"].value == 4
    assert codes.metadata["value_at_stake"].value == "100.00 EUR, 400.00 GBP"
    by_code = [(row["code"], row["detail"], row["records"], row["at stake"]) for row in table(codes, "codes")]
    assert by_code[0] == ("unmapped_status", "Q7", 3, "100.00 EUR, 200.00 GBP")
    assert sorted(by_code[1:]) == [
        ("unknown_division", "9X9", 1, "100.00 GBP"),
        ("unmapped_status", "Z1", 1, "200.00 GBP"),
    ]
    for row in table(codes, "codes"):
        rule = rules.exceptions[row["code"]]
        assert (row["meaning"], row["owner"], row["first action"]) == (rule.meaning, rule.owner, rule.action)

    contacts = found["ometria/contacts:attributes_are_there"]
    assert contacts.metadata["records"].value == 17
    examples = table(contacts, "examples")
    assert len(examples) == 10
    assert {row["record"][0] for row in examples} == {"…"}
    assert {len(row["record"]) for row in examples} == {5}
    assert contacts.metadata["value_at_stake"].value == "no order value"
    assert {row["field"]: row["records"] for row in table(contacts, "codes")} == {"email": 1, "phone": 15, "consent": 1}

    for check in found.values():
        assert isinstance(check.metadata.get("first_seen", dg.MetadataValue.timestamp(0.0)).value, float)
        for value in check.metadata.values():
            for record in value.records if isinstance(value, dg.TableMetadataValue) else ():
                assert {type(cell) for cell in record.data.values()} <= set(CELLS)

    troubled.at("2026-01-05 12:00")
    people = [customer(code) for code in ("00000002", "00000003", "00000004")]
    troubled.write("customers", *people, *(customer(f"000001{n:02d}") for n in range(15)))
    for number in range(1002, 1010):
        troubled.order(f"000000{number}")
    mended = evaluations(troubled.sync())
    assert {name for name, check in mended.items() if not check.passed} == set()
    said = {check.description for check in mended.values()}
    assert {each for each in said if not str(each).startswith("Ometria's unsubscribes were last read")} <= {
        "Nothing is open.",
        "Nothing is held.",
        "No event waits.",
        "No lane is paused.",
        "The guard has stopped nothing.",
        "No fill rate fell.",
    }
    assert {check.metadata["waiting"].value for check in mended.values() if "waiting" in check.metadata} == {0}


def test_what_goes_all_the_same_is_a_warning_only(shop: Shop) -> None:
    """P11, P12: the record is there, with a gap that people see."""
    shop.write("customers", customer(phone=""), customer("00000002", phone="12"))
    shop.order("0000001001", email="")
    found = evaluations(shop.sync())
    assert shop.states("contact") == {"00000001": "confirmed", "00000002": "confirmed"}
    assert shop.states() == {"0000001001": "confirmed"}
    assert {name: check.severity.value for name, check in found.items() if not check.passed} == {
        "ometria/contacts:attributes_are_there": "WARN",
        "ometria/contacts:contacts_are_valid": "WARN",
        "ometria/orders:attributes_are_there": "WARN",
    }
    assert found["ometria/contacts:contacts_are_valid"].description == "1 × invalid_phone; at stake no order value"


def test_a_check_stays_red_while_another_day_is_redone(shop: Shop) -> None:
    """It shows what is open now, not what this partition brought."""
    shop.order("0000001001", ord_status="Q7")
    shop.sync()
    assert not evaluations(shop.redo("2026-02-02"))["ometria/orders:codes_are_mapped"].passed


def test_what_ometria_refused_is_shown_with_its_words_until_a_new_version_is_confirmed(shop: Shop) -> None:
    """P7: accepted is not stored."""
    account = shop.sandbox.account
    account.settings = account.settings.changed({"error_shape": "observed"})
    account.faults.arm(Fault(kind="reject_ids", ids=frozenset({"0000001001"}), calls=2))
    shop.write("customers", customer())
    shop.order("0000001001")
    shop.order("0000001002")
    check = evaluations(shop.sync())["delivery/orders:ometria_has_what_was_sent"]
    assert shop.states() == {"0000001001": "held: rejected", "0000001002": "confirmed"}
    assert not check.passed
    assert check.severity is dg.AssetCheckSeverity.ERROR
    (row,) = table(check, "codes")
    assert (row["code"], row["detail"]) == ("rejected", "/id: could not be processed")
    shop.at("2026-01-05 12:00")
    shop.write("orders", header("0000001001", promo_code="WINTER"))
    assert evaluations(shop.sync())["delivery/orders:ometria_has_what_was_sent"].passed
    assert set(shop.states().values()) == {"confirmed"}


def test_what_reads_differently_in_ometria_is_shown_with_the_fields(shop: Shop) -> None:
    """P7: sent, accepted, and something else is there; after the patience of the rules, and one repair, it is drift.
    The errors ring of this account names no record."""
    shop.rules_folder.joinpath("ometria.yaml").write_text(
        (shop.rules_folder / "ometria.yaml").read_text().replace("read_back_until: 900", "read_back_until: 0.01")
    )
    shop.sandbox.account.faults.arm(Fault(kind="reject_ids", ids=frozenset({"0000001001"}), calls=None))
    shop.order("0000001001")
    result = shop.sync()
    assert shop.states() == {"0000001001": "drift"}
    (row,) = table(evaluations(result)["delivery/orders:ometria_has_what_was_sent"], "codes")
    assert (row["code"], row["detail"], row["owner"]) == ("drift", "missing in Ometria", "Ecommerce")
