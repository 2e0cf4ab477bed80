"""Hints from outside: whoever knows of a change reports it to Dagster, and the record is read again (F1, F2)."""

from collections.abc import Iterator
from typing import Any

import dagster as dg
import pytest
from dagster._core.test_utils import instance_for_test
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import EmptyWorkspaceTarget
from dagster_webserver.webserver import DagsterWebserver
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient

from bc_ometria.assets.refresh import is_key, updates
from bc_ometria.automation.hints import named, take_hints
from bc_ometria.store import to_refresh
from bc_ometria_tests.automation.test_sensor import evaluated, tick
from bc_ometria_tests.scenarios.shop import Shop, customer, header, line, stage

ORDER, OTHER, LATER, CUSTOMER = "0000001001", "0000001002", "0000001003", "00000001"
LONG_AGO = "2025-12-01 08:00:00"
NOTHING = "Blue Cherry has nothing new, and nothing waits to be sent or proved."


def report(shop: Shop, **metadata: Any) -> None:
    shop.instance.report_runless_asset_event(dg.AssetMaterialization(updates.key, metadata=metadata))


def waiting(shop: Shop, kind: Any = "order") -> list[str]:
    return to_refresh.waiting(shop.engine, kind, 1000).keys


@pytest.fixture
def webserver(shop: Shop) -> Iterator[TestClient]:
    """Dagster's own endpoints, on an instance with files, which the shop takes from now on."""
    with instance_for_test() as instance, WorkspaceProcessContext(instance, EmptyWorkspaceTarget()) as context:
        shop.instance = instance
        yield TestClient(DagsterWebserver(context).create_asgi_app())


@pytest.fixture
def sold(shop: Shop) -> Shop:
    shop.write("customers", customer())
    shop.order(ORDER)
    assert shop.sync().success
    return shop


def test_a_report_to_the_endpoint_has_the_order_read_again(sold: Shop, webserver: TestClient) -> None:
    """As docs/operating.md tells it. What else the report says is not used: the order is what Blue Cherry serves."""
    sold.at("2026-01-06 10:00")
    sold.order(LATER)
    assert sold.sync().success
    sold.write("orders", header(ORDER, "150.00", last_mod=LONG_AGO))
    sold.write("order-lines", line(ORDER, 1, 3, last_mod=LONG_AGO))
    sold.write("order-stages", stage(ORDER, 1, 3, last_mod=LONG_AGO))
    assert tick(sold) == NOTHING
    reply = webserver.post(
        "/report_asset_materialization/blue_cherry/updates",
        json={"metadata": {"orders": f"{ORDER}, {OTHER}", "customers": CUSTOMER, "grand_total": 1, "status": "X"}},
    )
    assert reply.status_code == 200, reply.text
    request, cursor = evaluated(sold)
    assert isinstance(request, dg.RunRequest)
    assert (waiting(sold), waiting(sold, "customer")) == ([ORDER, OTHER], [CUSTOMER])
    assert sold.sync().success
    assert sold.orders()[ORDER]["grand_total"] == 150.0
    assert sold.orders()[ORDER]["is_valid"] is True
    assert sold.states() == {ORDER: "confirmed", LATER: "confirmed"}
    assert evaluated(sold, cursor=cursor)[0] == NOTHING


def test_many_reports_are_one_run(sold: Shop) -> None:
    for at in range(3):
        report(sold, orders=f"{ORDER},{at:010d}")
    request, cursor = evaluated(sold)
    assert isinstance(request, dg.RunRequest)
    assert request.run_config["resources"]["scope"]["config"] == {"only_new": True}
    assert len(waiting(sold)) == 4
    assert isinstance(evaluated(sold, cursor=cursor)[0], dg.RunRequest), "the run was lost: what it had to do is not"
    sold.sync()
    assert evaluated(sold, cursor=cursor)[0] == NOTHING


def test_a_lost_cursor_costs_a_second_reading_and_nothing_else(sold: Shop) -> None:
    report(sold, orders=ORDER)
    tick(sold)
    sold.sync()
    pushes = sold.pushes
    assert isinstance(tick(sold), dg.RunRequest)
    sold.sync()
    assert sold.pushes == pushes


def test_a_hint_is_taken_while_a_run_is_under_way(sold: Shop) -> None:
    run = sold.instance.create_run_for_job(sold.definitions.resolve_job_def("live_sync"))
    sold.instance.report_dagster_event(dg.DagsterEvent("PIPELINE_START", "live_sync"), run.run_id)
    report(sold, orders=ORDER)
    assert tick(sold) == "A run of live_sync is under way."
    assert waiting(sold) == [ORDER]


def test_what_is_no_key_is_ignored_and_its_neighbours_are_taken(sold: Shop) -> None:
    report(sold, orders=f"{ORDER},canary@example.com,{'9' * 33},", customers=42, address="1 High Street")
    report(sold, orders="0" * 100_000)
    report(sold, orders=["0000001003"])
    hints = take_hints(sold.instance, sold.engine, 0)
    assert (hints.reports, hints.keys, hints.ignored) == (3, 1, 6)
    assert (waiting(sold), waiting(sold, "customer")) == ([ORDER], [])
    assert take_hints(sold.instance, sold.engine, hints.last_report).reports == 0


@given(st.dictionaries(st.sampled_from(["orders", "customers", "total"]), st.text() | st.integers() | st.booleans()))
def test_any_report_names_keys_of_known_kinds_and_not_too_many(said: dict[str, Any]) -> None:
    found = list(named(dg.AssetMaterialization(updates.key, metadata=said).metadata))
    assert {kind for kind, _ in found} <= {"order", "customer"}
    assert len(found) <= 2 * 101
    assert all("," not in key or not is_key(key) for _, key in found)
