"""The catalogue is read by a schedule of its own: it corrects orders, and never keeps one back (P8, F2, F4)."""

from typing import Any

import httpx
import pytest

from bc_ometria_tests.automation.test_sensor import tick
from bc_ometria_tests.scenarios.shop import CATALOGUE, Shop, causes, customer, metadata

ORDER, LATER = "0000001001", "0000001002"
MEDIUM = [{"type": "colour", "id": "NAV", "label": "Navy"}, {"type": "size", "id": "03", "label": "M"}]


@pytest.fixture
def opened(shop: Shop) -> Shop:
    """A shop with one customer and one order, of a style that nobody described."""
    shop.write("customers", customer(email_ok="N"))
    shop.order(ORDER)
    return shop


def options(shop: Shop, number: str) -> list[dict[str, Any]]:
    """What the first line of an order shows of its colour and size, in Ometria."""
    return list(shop.orders()[number]["lineitems"][0]["variant_options"])


def calls(shop: Shop) -> dict[str, int]:
    """The calls of Blue Cherry since they were last asked for, by resource."""
    url = f"{shop.sandbox.blue_cherry_url}/_control/calls"
    counted: dict[str, int] = httpx.get(url).json()
    httpx.delete(url).raise_for_status()
    return counted


@pytest.mark.parametrize("resource", CATALOGUE)
def test_a_catalogue_that_fails_keeps_no_order_back(opened: Shop, resource: str) -> None:
    opened.describe("STYLE001")
    opened.fault(kind="html", resource=resource, times=100)
    failed = opened.sync_catalogue()
    assert list(causes(failed)) == [f"blue_cherry__{resource.replace('-', '_')}"]
    assert causes(opened.sync()) == {}
    assert opened.states() == {ORDER: "confirmed"}


def test_an_order_goes_without_what_the_catalogue_does_not_know_yet_and_is_corrected_when_it_does(
    opened: Shop,
) -> None:
    opened.sync()
    assert opened.states() == {ORDER: "confirmed"}
    assert [option["type"] for option in options(opened, ORDER)] == ["colour"], "no size that nobody knows"
    assert isinstance(tick(opened), str)
    opened.describe("STYLE001")
    assert isinstance(tick(opened), str), "the sensor does not poll the catalogue"
    assert metadata(opened.sync_catalogue(), "blue_cherry", "styles")["rows_changed"] == 1
    assert not isinstance(tick(opened), str), "its orders are touched, which wakes the live lane"
    opened.sync()
    assert options(opened, ORDER) == MEDIUM
    assert opened.states() == {ORDER: "confirmed"}
    assert opened.told(ORDER) == []


def test_the_first_orders_of_a_store_go_once(opened: Shop) -> None:
    """Nobody has to start catalogue_sync before the sensor is on."""
    opened.describe("STYLE001")
    opened.catalogue_has_news = False
    opened.sync()
    assert options(opened, ORDER) == MEDIUM
    pushes = opened.pushes
    opened.sync_catalogue()
    assert isinstance(tick(opened), str)
    opened.order(LATER)
    calls(opened)
    opened.sync()
    assert calls(opened).keys().isdisjoint(CATALOGUE), "only while no order is known"
    assert opened.pushes == pushes + 1


@pytest.mark.parametrize("resource", CATALOGUE)
def test_a_catalogue_that_cannot_be_read_at_first_keeps_no_order_back(opened: Shop, resource: str) -> None:
    opened.describe("STYLE001")
    opened.catalogue_has_news = False
    opened.fault(kind="html", resource=resource)
    assert causes(opened.sync()) == {}
    assert opened.states() == {ORDER: "confirmed"}
    opened.sync_catalogue()
    opened.sync()
    assert options(opened, ORDER) == MEDIUM


def test_a_catalogue_that_is_stamped_as_a_whole_touches_no_order_and_costs_the_live_lane_no_call(opened: Shop) -> None:
    opened.describe("STYLE001")
    opened.sync()
    pushes = opened.pushes
    opened.at("2026-01-05 10:00")
    for resource in CATALOGUE:
        opened.write(resource, *({**row, "last_mod": None} for row in opened.sandbox.blue_cherry.rows(resource)))
    opened.sync_catalogue()
    assert isinstance(tick(opened), str)
    opened.order(LATER)
    calls(opened)
    opened.sync()
    assert calls(opened).keys().isdisjoint(CATALOGUE)
    assert options(opened, LATER) == MEDIUM, "what the mirror knows is used as it is"
    assert opened.pushes == pushes + 1
