"""P6: what is out of all proportion stops before sending, waits for a person, and loses nothing."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import dagster as dg
import pytest
import yaml

from bc_ometria.delivery import guard
from bc_ometria.rules import DEFAULT_FOLDER
from bc_ometria.store import stops
from bc_ometria_tests.scenarios.shop import (
    ACCOUNT,
    MONDAY,
    Shop,
    customer,
    evaluations,
    header,
    line,
    stage,
    table,
)
from bc_ometria_tests.store import waiting
from bc_ometria_tests.store.rows import table as rows_of

ORDERS = [f"{number:010}" for number in range(3001, 3101)]
CUSTOMERS = [f"{number:08}" for number in range(2, 102)]
IN_PROPORTION = "changes_are_in_proportion"


@pytest.fixture
def opened(shop: Shop) -> Shop:
    """A shop in which everything is of today, whatever day today is."""
    account = yaml.safe_load(ACCOUNT) | {"history_after_h": 1_000_000}
    (shop.rules_folder / "ometria.yaml").write_text(yaml.safe_dump(account))
    shop.write("customers", customer())
    return shop


def limit(shop: Shop, **guard_thresholds: float) -> None:
    """The thresholds of the guard in force."""
    known = yaml.safe_load((DEFAULT_FOLDER / "thresholds.yaml").read_text())
    changed = known | {"guard": known["guard"] | guard_thresholds}
    (shop.rules_folder / "thresholds.yaml").write_text(yaml.safe_dump(changed))


def take(shop: Shop, numbers: Sequence[str]) -> None:
    """Orders of one line, as Blue Cherry takes them in."""
    shop.write("orders", *(header(number) for number in numbers))
    shop.write("order-lines", *(line(number) for number in numbers))
    shop.write("order-stages", *(stage(number) for number in numbers))


def cancel(shop: Shop, numbers: Sequence[str]) -> None:
    """The house cancels whole orders."""
    shop.write("orders", *(header(number, ord_status="X", cancel_code="NS") for number in numbers))
    moved = [stage(number, pieces=pieces, rec_type=to) for number in numbers for to, pieces in (("OP", 0), ("CH", 2))]
    shop.write("order-stages", *moved)


def sent_by(shop: Shop) -> tuple[dg.ExecuteInProcessResult, list[str | None]]:
    """A run, and the ids that were on the wire in it."""
    before = len(shop.pushed)
    result = shop.sync()
    assert result.success
    return result, shop.pushed[before:]


def approve_all(shop: Shop) -> int:
    return sum(stops.approve(shop.engine, id) for id in stops.open_stops(shop.engine)["id"])


def said(result: dg.ExecuteInProcessResult, records: str, check: str = IN_PROPORTION) -> dg.AssetCheckEvaluation:
    return evaluations(result)[f"delivery/{records}:{check}"]


def test_a_mass_cancellation_waits_for_a_person_and_the_rest_goes(opened: Shop) -> None:
    shop, cancelled, changed = opened, ORDERS[:60], ORDERS[60:]
    take(shop, ORDERS)
    assert said(shop.sync(), "orders").passed

    shop.at("2026-01-05 10:00")
    cancel(shop, cancelled)
    shop.write("orders", *(header(number, promo_code="TWELFTH") for number in changed))
    shop.order("0000004001")
    shop.write("customers", customer(first_name="Minnie"))
    result, sent = sent_by(shop)
    assert not {*sent} & {*cancelled}
    assert {*sent} == {*changed, "0000004001", "00000001"}
    assert {shop.orders()[number]["is_valid"] for number in cancelled} == {True}
    assert {shop.states()[number] for number in cancelled} == {"wanted"}
    check = said(result, "orders")
    assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert "60 of 100 waiting orders that Ometria has would not count as revenue any more: 60 %" in str(
        check.description
    )
    assert check.metadata["revenue_that_would_go"].value == "6,000.00 GBP"
    (stop,) = table(check, "stops")
    assert (stop["lane"], stop["records"], stop["would become"]) == ("cancellations", 60, "60 × cancelled")
    assert stop["examples"].split(", ")[0] == cancelled[0]
    assert said(result, "contacts").passed

    result, sent = sent_by(shop)
    assert sent == []
    assert not said(result, "orders").passed
    assert shop.told(cancelled[0]) == []

    assert approve_all(shop) == 60
    result, sent = sent_by(shop)
    assert {*cancelled} <= {*sent}
    assert said(result, "orders").passed
    assert {shop.orders()[number]["is_valid"] for number in cancelled} == {False}
    assert {*shop.states().values()} == {"confirmed"}
    shop.sync()
    assert {tuple(shop.told(number)) for number in cancelled} == {("order_cancelled",)}


def test_what_is_cancelled_after_the_figures_is_not_approved_with_them(opened: Shop) -> None:
    shop = opened
    take(shop, ORDERS)
    shop.sync()
    shop.at("2026-01-05 10:00")
    cancel(shop, ORDERS[:50])
    shop.sync()
    shop.at("2026-01-05 11:00")
    cancel(shop, ORDERS[50:])
    assert approve_all(shop) == 50
    assert not {*sent_by(shop)[1]} & {*ORDERS}
    assert approve_all(shop) == 50
    assert {*sent_by(shop)[1]} >= {*ORDERS}
    assert said(shop.sync(), "orders").passed


def test_a_mistake_that_is_mended_in_blue_cherry_ends_the_stop(opened: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "_FIGURES_LAST", timedelta(0))
    shop = opened
    take(shop, ORDERS)
    shop.sync()
    shop.at("2026-01-05 10:00")
    cancel(shop, ORDERS)
    assert not said(shop.sync(), "orders").passed
    shop.at("2026-01-05 11:00")
    shop.write("orders", *(header(number) for number in ORDERS))
    back = [stage(number, pieces=pieces, rec_type=to) for number in ORDERS for to, pieces in (("OP", 2), ("CH", 0))]
    shop.write("order-stages", *back)
    shop.order("0000004001")
    result, sent = sent_by(shop)
    assert sent == ["0000004001"]
    assert said(result, "orders").passed
    assert [ended_by for *_, ended_by in waiting.stops(shop.engine)] == ["mended"]
    assert {*shop.states().values()} == {"confirmed"}
    assert {each["is_valid"] for each in shop.orders().values()} == {True}


def test_a_mass_change_of_consent_waits_for_a_person_and_the_rest_goes(opened: Shop) -> None:
    shop, out, renamed = opened, CUSTOMERS[:60], CUSTOMERS[60:]
    shop.write("customers", *(customer(code) for code in CUSTOMERS))
    take(shop, ORDERS[:1])
    shop.sync()

    shop.at("2026-01-05 10:00")
    later: dict[str, Any] = {"email_ok": "N", "consent_date": datetime(2026, 1, 5, 9)}  # noqa: DTZ001
    shop.write("customers", *(customer(code, **later) for code in out))
    shop.write("customers", *(customer(code, first_name="Minnie") for code in renamed))
    shop.mark(ORDERS[0], promo_code="TWELFTH")
    result, sent = sent_by(shop)
    assert {*sent} == {*renamed, ORDERS[0]}
    check = said(result, "contacts")
    assert not check.passed
    assert "60 of 100 waiting contacts that Ometria has would have another consent there" in str(check.description)
    (stop,) = table(check, "stops")
    assert (stop["lane"], stop["records"]) == ("opt_outs", 60)
    assert stop["would become"] == "60 × email:in sms:out → email:out sms:out"
    assert stop["examples"].startswith("…0002, ")
    assert "canary" not in str(check.metadata)
    assert said(result, "orders").passed

    assert approve_all(shop) == 60
    result, sent = sent_by(shop)
    assert {*sent} == {*out}
    assert said(result, "contacts").passed
    assert {shop.contacts()[code]["marketing_optin"] for code in out} == {"EXPLICITLY_OPTEDOUT"}
    assert {*shop.states("contact").values()} == {"confirmed"}


def test_a_paused_lane_sends_nothing_and_loses_nothing(opened: Shop) -> None:
    """The kill switch: an opt-out goes, because its lane is another one."""
    shop = opened
    shop.write("customers", customer("00000002"))
    shop.sync()
    stops.pause(shop.engine, "live")
    shop.at("2026-01-05 10:00")
    take(shop, ORDERS[:3])
    shop.write("customers", customer(first_name="Minnie"), customer("00000002", email_ok="N"))
    result, sent = sent_by(shop)
    assert sent == ["00000002"]
    for records, passed in (("contacts", False), ("orders", False), ("order_events", True)):
        check = said(result, records, "lanes_flow")
        assert (check.passed, check.severity) == (passed, dg.AssetCheckSeverity.WARN)
    assert "and 4 records wait in it; `bc-ometria resume live` lets them go" in str(
        said(result, "orders", "lanes_flow").description
    )
    assert sent_by(shop)[1] == []

    stops.resume(shop.engine, "live")
    result, sent = sent_by(shop)
    assert {*sent} == {"00000001", *ORDERS[:3]}
    assert said(result, "orders", "lanes_flow").passed
    assert {*shop.states().values()} == {*shop.states("contact").values()} == {"confirmed"}


def test_a_reading_ten_times_as_large_as_usual_stops_what_it_feeds(opened: Shop) -> None:
    shop = opened
    limit(shop, extract_least=20)
    take(shop, ORDERS[:3])
    shop.sync()
    shop.change(
        "INSERT INTO bc_ometria.extracts (resource, at, rows, known_rows) "
        "SELECT resource, now() - make_interval(secs => 30 * n), 3, 3 "
        "FROM unnest(ARRAY['orders', 'order_lines', 'order_stages']) resource, generate_series(1, 5) n"
    )
    take(shop, ORDERS[3:40])
    shop.write("customers", customer(first_name="Minnie"))
    result, sent = sent_by(shop)
    assert sent == ["00000001"]
    check = said(result, "orders")
    assert "Blue Cherry gave 40 orders at once, where 3 are usual, and 10 times as many stop the lane" in str(
        check.description
    )
    assert {stop["lane"] for stop in table(check, "stops")} == {"cancellations", "live"}
    assert said(result, "contacts").passed

    shop.at("2026-01-05 10:00")
    take(shop, ORDERS[40:41])
    result, sent = sent_by(shop)
    assert sent == []
    assert not said(result, "orders").passed

    approve_all(shop)
    result, sent = sent_by(shop)
    assert {*sent} == {*ORDERS[3:41]}
    assert said(result, "orders").passed
    assert {*shop.states().values()} == {"confirmed"}


def test_a_reading_without_the_rows_that_were_there_stops_what_it_feeds(opened: Shop) -> None:
    """Blue Cherry's view is empty, as while it is built anew: what else is read meanwhile is not to be trusted."""
    shop = opened
    limit(shop, extract_least=3)
    take(shop, ORDERS[:3])
    shop.sync()
    shop.delete("orders", *(int(number) for number in ORDERS[:3]))
    shop.edit("order-lines", int(ORDERS[0]) * 100 + 1, color_code="RED")
    shop.write("customers", customer(first_name="Minnie"))
    result, sent = sent_by(shop)
    assert sent == ["00000001"]
    assert "Blue Cherry gave none of the 3 orders that it gave before" in str(said(result, "orders").description)
    approve_all(shop)
    shop.write("orders", *(header(number) for number in ORDERS[:3]))
    assert sent_by(shop)[1] == [ORDERS[0]]


def test_only_readings_of_what_is_new_are_judged(opened: Shop) -> None:
    """Not the first one, and not the whole day that a person has redone."""
    shop = opened
    take(shop, ORDERS[:3])
    shop.sync()
    shop.redo(MONDAY)
    assert rows_of(shop.engine, "extracts", "resource") == []
    shop.sync()
    judged = rows_of(shop.engine, "extracts", "resource, rows, known_rows")
    assert [row for row in judged if row[0] in ("customers", "orders")] == [("customers", 1, 1), ("orders", 3, 3)]
    assert {resource for resource, *_ in judged}.isdisjoint({"styles", "style_colors", "sizes", "upcs"})
