"""What of a record may be told, and what is taken out of Ometria's words. The paths are tested with the comparison."""

from bc_ometria.ometria.personal import may_be_told, without_personal
from bc_ometria_tests.ometria.examples import RECORDS


def test_what_a_refusal_quotes_of_the_record_is_taken_out() -> None:
    words = "+442071838750 of ann example (Dr B. Example-Ann) in Leeds, points 12, is no currency GBPound: GBP, shipped"
    order = {**RECORDS["order"](), "properties": {"grade": "A+", "points": 12}}
    assert without_personal(words, order) == (
        "*** of *** *** (Dr B. ***-***) in ***, points 12, is no currency GBPound: GBP, shipped"
    )
    assert without_personal("must be text", {"@type": "order"}) == "must be text"
    assert without_personal("Ann Example is long", {"firstname": "Ann", "lastname": "Ann Example"}) == "*** is long"
    assert without_personal("not one of m, f", {"gender": "f"}) == "not one of m, f"  # one letter tells of nobody


def test_places_in_lists_make_no_difference() -> None:
    assert may_be_told("lineitems.12.quantity")
    assert may_be_told("store_ids.0")
    assert not may_be_told("quantity")
    assert not may_be_told("properties.0")
    assert not may_be_told("")
