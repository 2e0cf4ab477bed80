"""The benchmarks measure real work and report what they promise; how fast it is, no test says."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine, text

from bc_ometria.blue_cherry.profile import TenantProfile
from bc_ometria.rules import Rules
from benchmarks import backlog, delivery, drain, ingest, mapping, orders, product, stand_ins, tick
from benchmarks.speed import Speed, measure

ORDERS = 60
RECORDS = 1_300
"""In a drain: 13 calls, of which five wait for the next second."""
PROJECT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def blue_cherry() -> Iterator[str]:
    with stand_ins.blue_cherry(ORDERS) as url:
        yield url


@pytest.fixture(scope="module")
def ometria() -> Iterator[str]:
    with stand_ins.ometria() as url:
        yield url


def test_the_orders_are_the_same_every_time_and_have_three_lines() -> None:
    once = list(orders.changes(8, shipped_every=4))
    assert once == list(orders.changes(8, shipped_every=4))
    resources = [change.resource for change in once]
    assert {resource: resources.count(resource) for resource in set(resources)} == {
        "orders": 8, "order-lines": 24, "order-stages": 24, "shipments": 2, "shipment-lines": 6,
    }  # fmt: skip
    assert len(list(orders.changes(ORDERS))) == ORDERS * orders.ROWS


def test_the_best_repetition_counts_and_the_preparation_does_not() -> None:
    done: list[str] = []
    speed = measure("things", 10, lambda: done.append("work"), 3, before=lambda: done.append("before"))
    assert done == ["before", "work"] * 3
    assert len(speed.rates) == 3
    speed = Speed("orders", (2.0, 5.0, 3.0), (70.0, 14.0, 21.0))
    assert (speed.best, speed.worst, speed.processor_time) == (5.0, 2.0, 14.0)
    assert speed.of("rows", 7) == Speed("rows", (14.0, 35.0, 21.0), (10.0, 2.0, 3.0))


def test_mapping_is_measured_over_all_orders(rules: Rules, profile: TenantProfile) -> None:
    frames = mapping.mirror_frames(profile, ORDERS)
    assert {name: len(frame) for name, frame in frames.items() if len(frame)} == {
        "orders": ORDERS, "order_lines": 3 * ORDERS, "order_stages": 3 * ORDERS,
        "shipments": ORDERS // 4, "shipment_lines": 3 * (ORDERS // 4),
    }  # fmt: skip
    speeds = mapping.run(rules, profile, ORDERS, 2)
    for speed in vars(speeds).values():
        assert (speed.unit, len(speed.rates)) == ("orders", 2)
        assert speed.worst > 0


def test_a_mapping_that_leaves_orders_out_is_no_result(rules: Rules, profile: TenantProfile) -> None:
    nothing_goes = rules.model_copy(update={"channels": {"W": rules.channels["W"].model_copy(update={"send": False})}})
    with pytest.raises(RuntimeError, match="left orders out"):
        mapping.run(nothing_goes, profile, ORDERS, 1)


def test_the_way_in_and_out_is_measured_with_every_order_there(
    engine: Engine, blue_cherry: str, ometria: str, rules: Rules, profile: TenantProfile
) -> None:
    ingested = ingest.run(engine, blue_cherry, ORDERS, rules, profile, 2)
    assert (ingested.unit, len(ingested.rates)) == ("orders", 2)
    assert _all(engine, "SELECT state, count(*), count(DISTINCT wanted_version) FROM bc_ometria.outbox GROUP BY 1") == [
        ("wanted", ORDERS, ORDERS)
    ]
    calls = httpx.get(f"{blue_cherry}/_control/calls").json()
    assert {calls[resource] for resource in ("orders", "order-lines", "order-stages", "shipments", "returns")} == {2}

    copied = ingest.raw_copy(engine, 2)
    assert copied.unit == "rows"
    assert _all(engine, "SELECT count(*) FROM bc_ometria.bare_order_lines") == [(3 * ORDERS,)]
    assert ingest.raw_reading(blue_cherry, ORDERS, profile, 1).unit == "rows"

    delivered = delivery.run(engine, ometria, 2)
    assert (delivered.unit, len(delivered.rates)) == ("records", 2)
    assert _all(engine, "SELECT count(*) FROM bc_ometria.outbox WHERE sent_version = wanted_version") == [(ORDERS,)]
    assert httpx.get(f"{ometria}/_control/counts").json()["stored"] == {"order": ORDERS}
    assert delivery.raw_push(engine, ometria, 2).unit == "records"


def test_a_drain_at_the_limit_gives_every_figure(engine: Engine) -> None:
    with stand_ins.limited_ometria() as ometria:
        measured = drain.at_the_limit(engine, ometria, RECORDS)
        counts = httpx.get(f"{ometria}/_control/counts").json()
    states = "SELECT lane, state, count(*) FROM bc_ometria.outbox GROUP BY 1, 2 ORDER BY 1"
    assert _all(engine, states) == [("history", "confirmed", RECORDS), ("live", "confirmed", measured.live_orders)]
    assert measured.live_orders >= 1
    accepted = RECORDS + measured.live_orders
    assert measured.delivery.accepted == counts["records"]["contact"] + counts["records"]["order"] == accepted
    assert measured.batch_fill == pytest.approx(accepted / counts["pushes"] / 100)
    assert 0 < measured.budget_used < 2  # the first calls of a short drain need not wait
    assert 0 < measured.live_p50_s <= measured.live_p95_s <= measured.delivery.seconds
    assert 0 <= measured.proved <= 1
    assert measured.noop_calls == 0
    assert 20 < measured.delivery.peak_rss_mb < 2_000


def test_drains_at_no_limit_are_measured_in_processes_of_their_own(engine: Engine, ometria: str) -> None:
    measured = drain.at_no_limit(engine, ometria, 400, 900)
    assert (measured.small.accepted, measured.large.accepted) == (400, 900)
    assert measured.growth == pytest.approx(1, abs=0.5)
    assert (measured.speed.unit, measured.raw_push.unit) == ("records", "records")
    assert 0 < measured.speed.best < 900 / 0.01
    assert httpx.get(f"{ometria}/_control/counts").json()["stored"] == {"contact": 450, "order": 450}


def test_runs_are_measured_in_a_mirror_that_grows(engine: Engine) -> None:
    ticks = tick.run(engine, (100, 300), 1)
    assert list(ticks.runs) == [100, 300]
    assert ticks.growth == ticks.seconds(300) / ticks.seconds(100)
    counts = "SELECT count(*), count(DISTINCT {0}), min(length({0})) FROM bc_ometria.{1}"
    for table, key, rows, keys in (
        ("blue_cherry_orders", "ord_num", 300, 300),
        ("blue_cherry_order_lines", "ord_num", 900, 300),
        ("blue_cherry_order_stages", "ord_num", 900, 300),
        ("blue_cherry_customers", "customer", 30, 30),
        ("sales_orders", "ord_num", 300, 300),
        ("order_events", "ord_num", 200, 200),
    ):
        assert _all(engine, counts.format(key, table)) == [(rows, keys, 8)]
    states = "SELECT record_type, state, count(*) FROM bc_ometria.outbox GROUP BY 1, 2 ORDER BY 1"
    assert _all(engine, states) == [
        ("contact", "confirmed", 30), ("custom_event", "accepted", 200), ("order", "confirmed", 300)
    ]  # fmt: skip


def test_a_delivery_whose_records_do_not_get_through_is_no_result(engine: Engine) -> None:
    backlog.fill(engine, 100)
    with pytest.raises(RuntimeError, match="not every record got through"):
        product.push_at_no_limit(engine, "http://127.0.0.1:9", 100)
    backlog.fill(engine, 100)  # those above wait for their next attempt
    with pytest.raises(RuntimeError, match=r"the delivery failed: .*not every record got through"):
        product.push(engine, "http://127.0.0.1:9", 100)


def test_trade_without_a_delivery_is_no_result(engine: Engine) -> None:
    backlog.fill(engine, 1)
    is_over = Event()
    is_over.set()
    with pytest.raises(RuntimeError, match="ended before"):
        backlog.trade(engine, is_over)


def test_orders_that_do_not_arrive_are_no_result(
    engine: Engine, blue_cherry: str, rules: Rules, profile: TenantProfile
) -> None:
    with pytest.raises(RuntimeError, match="not every order"):
        ingest.run(engine, blue_cherry, ORDERS + 1, rules, profile, 1)


def test_a_stand_in_ends_with_its_block() -> None:
    with stand_ins.ometria() as url:
        assert httpx.get(f"{url}/_control/counts").status_code == 200
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{url}/_control/counts")


def test_the_command_writes_its_figures_and_leaves_nothing_behind(tmp_path: Path) -> None:
    written = tmp_path / "figures.json"
    command = [sys.executable, "-m", "benchmarks", "--orders", str(ORDERS), "--repetitions", "1"]
    command += ["--drain", str(RECORDS), "--large-drain", str(2 * RECORDS), "--mirror", "10000"]
    # Not in the folder of the test: the path of PostgreSQL's socket may have some hundred characters.
    with tempfile.TemporaryDirectory() as folder:
        environment = {name: value for name, value in os.environ.items() if name != "XDG_RUNTIME_DIR"}
        done = subprocess.run(
            [*command, "--json", str(written)], cwd=PROJECT, capture_output=True, text=True, check=False, timeout=300,
            env={**environment, "TMPDIR": folder},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert not [name for name in os.listdir(folder) if name.startswith("bc-ometria")]
    figures: dict[str, Any] = json.loads(written.read_text())
    assert set(figures) == {
        "mapping_orders_per_s", "ingest_orders_per_s", "delivery_records_per_s",
        "raw_http_records_per_s", "raw_copy_rows_per_s", "peak_rss_mb",
        "budget_used_share", "mean_batch_fill", "live_p50_s", "live_p95_s", "noop_calls", "drain_proved_share",
        "drain_1m_records_per_s", "drain_1m_peak_rss_mb", "tick_10k_s", "tick_100k_s", "tick_1m_s", "tick_growth",
    }  # fmt: skip
    assert figures.pop("noop_calls") == 0
    assert all(isinstance(value, float) and value > 0 for value in figures.values())
    assert max(figures["mean_batch_fill"], figures["drain_proved_share"]) <= 1
    for words in (
        "mapping", "Blue Cherry → outbox", "outbox → Ometria", "raw limit", "Peak memory", "7 rows",
        "Ometria's rate of pushes", "95th percentile", "nothing to do", f"{2 * RECORDS:,} records at no limit",
        "live_sync for 50 changed orders",
    ):  # fmt: skip
        assert words in done.stdout


def _all(engine: Engine, query: str) -> list[tuple]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(query))]
