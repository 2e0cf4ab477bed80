"""The live sensor: what it decides, and what it sees of real servers and a real database."""

import gc
import time
from datetime import UTC, datetime, timedelta

import dagster as dg
import httpx
import pytest
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES
from sqlalchemy import text

from bc_ometria.automation.jobs import UNDER_WAY, live_sync
from bc_ometria.automation.news import RESOURCES, Answer
from bc_ometria.automation.partitions import change_day
from bc_ometria.automation.sensors import Memory, Situation, bulk_sensor, decide, live_sensor
from bc_ometria.config import load_profile
from bc_ometria.resources import run_config
from bc_ometria.rules import DEFAULT_FOLDER, RulesError
from bc_ometria.sandbox.ometria.faults import Fault
from bc_ometria_tests.scenarios.shop import Shop, customer, header, line

ORDER = "0000001001"


def tick(shop: Shop, sensor: dg.SensorDefinition = live_sensor) -> dg.RunRequest | str:
    """One evaluation as the daemon asks for it: the run it wants, or why it wants none."""
    return evaluated(shop, sensor)[0]


def evaluated(
    shop: Shop, sensor: dg.SensorDefinition = live_sensor, *, cursor: str | None = None
) -> tuple[dg.RunRequest | str, str | None]:
    """The same, and the cursor for the next evaluation."""
    resources = {name: (shop.definitions.resources or {})[name] for name in sensor.required_resource_keys}
    with dg.build_sensor_context(
        instance=shop.instance,
        definitions=shop.definitions,
        sensor_name=sensor.name,
        resources=resources,
        cursor=cursor,
    ) as context:
        found = sensor.evaluate_tick(context)
    if found.run_requests:
        (request,) = found.run_requests
        return request, found.cursor
    return str(found.skip_message), found.cursor


@pytest.fixture
def synced(shop: Shop) -> Shop:
    shop.write("customers", customer())
    shop.order(ORDER)
    assert shop.sync().success
    return shop


@pytest.mark.parametrize(
    ("runs", "waiting", "news", "out_of_reach", "starts"),
    [
        (0, False, "", "", False),
        (0, True, "", "", True),
        (0, False, "orders", "", True),
        (0, True, "orders", "", True),
        (1, False, "", "", False),
        (1, True, "orders", "", False),
        (0, True, "", "Blue Cherry is down.", False),
    ],
)
def test_the_decision(runs: int, waiting: bool, news: str, out_of_reach: str, starts: bool) -> None:
    """A run is started for news or for what waits, unless one is under way; no tick ever is silent about why."""
    why_not = decide(Situation(runs, waiting, Answer(news, ("orders",)), out_of_reach=out_of_reach))
    assert (why_not is None) is starts
    assert why_not is None or why_not.endswith(".")


def test_an_empty_store_and_rows_in_blue_cherry_start_a_run_of_today_for_what_is_new(shop: Shop) -> None:
    shop.order(ORDER)
    request = tick(shop)
    assert isinstance(request, dg.RunRequest)
    assert request.partition_key == change_day.get_last_partition_key()
    assert request.run_config == run_config(only_new=True)
    assert request.run_config["resources"]["scope"]["config"] == {"only_new": True}
    assert request.run_key is None, "a run key of a failed run is never requested again"


def test_nothing_new_starts_no_run(synced: Shop) -> None:
    """Rows within the overlap are served again at every tick; they are no news."""
    assert tick(synced) == "Blue Cherry has nothing new, and nothing waits to be sent or proved."
    assert tick(synced) == tick(synced)


def test_a_tick_without_news_costs_one_call_a_resource_however_much_changed_just_now(shop: Shop) -> None:
    """F4: a thousand orders changed a moment ago, so the overlap holds more rows than a page."""
    control = f"{shop.sandbox.blue_cherry_url}/_control/calls"
    numbers = [f"{at:010d}" for at in range(1001, 2101)]
    shop.write("customers", customer())
    shop.write("orders", *(header(number) for number in numbers))
    shop.write("order-lines", *(line(number) for number in numbers))
    assert shop.sync().success
    httpx.delete(control).raise_for_status()
    assert tick(shop) == "Blue Cherry has nothing new, and nothing waits to be sent or proved."
    paths = {load_profile().resource(resource).path for resource in RESOURCES}
    assert httpx.get(control).json() == dict.fromkeys(paths, 1)


def test_each_change_in_blue_cherry_is_news_once(synced: Shop) -> None:
    """F2, F4: whatever moved: also a line alone, an address alone, a malformed row, a row with an old stamp."""
    changes = {
        "header": lambda: synced.write("orders", header(ORDER, ord_status="A")),
        "line alone": lambda: synced.write("order-lines", line(ORDER, season="AW26")),
        "address alone": lambda: synced.write("stores", {"pkey": 1, "customer": "00000001", "default_ok": "Y"}),
        "malformed row": lambda: synced.raw("orders", header("0000001002"), currency="GBX"),
        "stamp within the overlap": lambda: synced.write(
            "customers", customer("00000002", last_mod="2026-01-05 08:50:00")
        ),
    }
    for minute, (what, change) in enumerate(changes.items(), 1):
        synced.at(f"2026-01-05 09:{minute:02d}")
        change()
        assert isinstance(tick(synced), dg.RunRequest), what
        synced.sync()
        assert tick(synced) == "Blue Cherry has nothing new, and nothing waits to be sent or proved.", what


@pytest.mark.parametrize("event", ["PIPELINE_STARTING", "PIPELINE_START", "PIPELINE_CANCELING"])
def test_a_run_under_way_is_waited_for(shop: Shop, event: str) -> None:
    shop.order(ORDER)
    run = shop.instance.create_run_for_job(shop.definitions.resolve_job_def(live_sync.name))
    shop.instance.report_dagster_event(dg.DagsterEvent(event, live_sync.name), run.run_id)
    assert tick(shop) == "A run of live_sync is under way."
    shop.instance.report_run_failed(run)
    assert isinstance(tick(shop), dg.RunRequest)


def test_every_run_that_is_not_finished_counts_as_under_way() -> None:
    assert set(UNDER_WAY) == set(NOT_FINISHED_STATUSES) - {dg.DagsterRunStatus.SUSPENDED}  # not in use


def closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody listens at Blue Cherry's address."""
    monkeypatch.setenv("BLUE_CHERRY_BASE_URL", "http://127.0.0.1:9")


def test_blue_cherry_out_of_reach_is_no_empty_blue_cherry(synced: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """A failed read is not an empty set; the reason says which system and what to look at, once."""
    monkeypatch.setenv("BLUE_CHERRY_API_KEY", "wrong")
    told, cursor = evaluated(synced)
    assert isinstance(told, str)
    assert told.startswith("Blue Cherry could not be asked, it is asked again at ")
    assert "UTC. Blue Cherry refused the key" in told
    told, cursor = evaluated(synced, cursor=cursor)
    assert str(told).startswith("Blue Cherry has been out of reach since ")
    assert "key" not in str(told)


def test_what_waits_starts_no_run_while_blue_cherry_is_out_of_reach(
    synced: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing queues up: every such run would fail."""
    synced.change("INSERT INTO bc_ometria.touched (kind, key) VALUES ('order', :key)", key=ORDER)
    with monkeypatch.context() as down:
        closed(down)
        assert str(tick(synced)).startswith("Blue Cherry could not be asked")
    assert isinstance(tick(synced), dg.RunRequest)


def test_it_asks_ever_more_seldom_and_recovers_by_itself(synced: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as down:
        closed(down)
        _, cursor = evaluated(synced)
    synced.at("2026-01-05 09:01")
    synced.write("orders", header(ORDER, ord_status="A"))
    told, cursor = evaluated(synced, cursor=cursor)
    assert "has been out of reach since" in str(told), "it was asked although it was to be left alone"
    assert cursor
    over = Memory.read(cursor).model_copy(update={"asks_again_at": datetime.now(UTC)})
    request, cursor = evaluated(synced, cursor=over.model_dump_json())
    assert isinstance(request, dg.RunRequest)
    assert cursor is not None
    assert Memory.read(cursor).failures == 0


@pytest.mark.parametrize("damaged", [None, "", "7", "not JSON", '{"failures": "many"}'])
def test_a_cursor_that_is_lost_or_of_another_version_is_a_fresh_one(damaged: str | None) -> None:
    assert Memory.read(damaged) == Memory()


def test_the_waits_double_up_to_ten_minutes() -> None:
    memory, now, waits = Memory(last_report=7), datetime(2026, 11, 23, 9, tzinfo=UTC), []
    for _ in range(6):
        memory = memory.after(Answer(trouble="down"), now)
        assert memory.asks_again_at
        waits.append((memory.asks_again_at - now).total_seconds() / 60)
        assert memory.is_backing_off(memory.asks_again_at - timedelta(seconds=1))
        assert not memory.is_backing_off(memory.asks_again_at)
        now = memory.asks_again_at
    assert waits == [1, 2, 4, 8, 10, 10]
    assert memory.failing_since == datetime(2026, 11, 23, 9, tzinfo=UTC)
    assert Memory.read(memory.model_dump_json()) == memory
    assert memory.after(Answer(answered=("orders",)), now) == Memory(last_report=7)


def test_a_resource_that_cannot_be_read_hides_no_news_of_the_others(synced: Shop) -> None:
    """An opt-out must not wait for Blue Cherry's order lines to be served again."""
    synced.fault(kind="html", resource="customers")
    told = str(tick(synced))
    assert told.startswith("Blue Cherry has nothing new")
    assert "But not all could be asked: Blue Cherry answered customers with something that is not JSON" in told
    synced.fault(kind="html", resource="customers")
    synced.at("2026-01-05 09:01")
    synced.write("orders", header(ORDER, ord_status="A"))
    assert isinstance(tick(synced), dg.RunRequest)


@pytest.fixture
def impatient(synced: Shop) -> Shop:
    """The sensor gives Blue Cherry one second."""
    profile = (DEFAULT_FOLDER / "tenant.yaml").read_text()
    assert "ask_within_s: 20 " in profile
    (synced.rules_folder / "tenant.yaml").write_text(profile.replace("ask_within_s: 20 ", "ask_within_s: 1 "))
    synced.sync()
    return synced


def test_a_slow_blue_cherry_fails_no_tick_and_is_asked_the_rest_the_next_time(impatient: Shop) -> None:
    """F4: each tick goes on where the time of the one before it was over."""
    impatient.fault(kind="slow", seconds=60, resource="orders")
    told, cursor = evaluated(impatient)
    assert str(told).endswith("The time was enough for customers, addresses; the next tick begins with orders.")
    impatient.fault(kind="slow", seconds=60, resource="orders")
    told, cursor = evaluated(impatient, cursor=cursor)
    assert "orders could not be read: it did not answer in time" in str(told)
    assert cursor is not None
    assert Memory.read(cursor).first == "order_lines"
    impatient.at("2026-01-05 09:01")
    impatient.write("order-lines", line(ORDER, season="AW26"))
    over = Memory.read(cursor).model_copy(update={"asks_again_at": None})
    assert isinstance(evaluated(impatient, cursor=over.model_dump_json())[0], dg.RunRequest)


def test_the_time_is_the_one_that_the_tenant_sets_and_below_that_of_dagster() -> None:
    profile = load_profile()
    assert live_sensor.minimum_interval_seconds == profile.poll_s == 30
    assert profile.ask_within_s == 20


def test_what_could_not_be_sent_starts_a_run_when_its_wait_is_over(shop: Shop) -> None:
    """Truth 1: on its way means that somebody goes on."""
    shop.write("customers", customer())
    shop.sandbox.account.faults.arm(Fault(kind="server_error", path="/push", calls=None))
    shop.sync()
    shop.sandbox.account.faults.clear()
    assert shop.states("contact") == {"00000001": "wanted"}
    with shop.engine.begin() as connection:
        connection.execute(text("UPDATE bc_ometria.outbox SET next_attempt = now()"))
    assert isinstance(tick(shop), dg.RunRequest)
    shop.sync()
    assert shop.states("contact") == {"00000001": "confirmed"}


def test_what_waits_in_a_bulk_lane_starts_the_drain_and_no_live_run(shop: Shop) -> None:
    """P4: the live lane does not notice; what waits is sent all the same."""
    shop.write("customers", customer())
    shop.sandbox.account.faults.arm(Fault(kind="server_error", path="/push", calls=None))
    shop.sync()
    shop.sandbox.account.faults.clear()
    assert tick(shop, bulk_sensor) == "No repair, product, deep attribute or history waits to be sent."
    shop.change("UPDATE bc_ometria.outbox SET next_attempt = now(), lane = 'history'")
    assert isinstance(tick(shop), str)
    request = tick(shop, bulk_sensor)
    assert isinstance(request, dg.RunRequest)
    assert (request.run_key, request.run_config) == (None, run_config(only_new=False))
    assert shop.drain().success
    assert shop.states("contact") == {"00000001": "confirmed"}
    assert isinstance(tick(shop, bulk_sensor), str)


def test_live_records_that_no_live_run_gets_to_are_drained(shop: Shop) -> None:
    """An opt-out must not wait for Blue Cherry's order lines to be served again."""
    shop.write("customers", customer())
    shop.sandbox.account.faults.arm(Fault(kind="server_error", path="/push", calls=None))
    shop.sync()
    shop.sandbox.account.faults.clear()
    shop.change(
        "UPDATE bc_ometria.outbox SET next_attempt = now() - interval '3 minutes', "
        "queued_at = now() - interval '4 minutes'"
    )
    assert isinstance(tick(shop, bulk_sensor), dg.RunRequest)


@pytest.mark.parametrize(
    "left",
    [
        pytest.param("state = 'sent', proved_version = NULL", id="accepted and not read back"),
        pytest.param(
            "state = 'wanted', in_flight_version = wanted_version, leased_until = now() - interval '1 second'",
            id="sent by a process that died",
        ),
    ],
)
def test_what_is_under_way_is_followed_up_while_blue_cherry_is_out_of_reach(
    synced: Shop, monkeypatch: pytest.MonkeyPatch, left: str
) -> None:
    """Truth 1: nothing of it is due, and events wait for its proof until their cliff."""
    synced.change(f"UPDATE bc_ometria.outbox SET {left} WHERE record_type = 'order'")
    assert isinstance(tick(synced, bulk_sensor), str), "live_sync, which has just succeeded, goes on with it"
    for run in synced.instance.get_runs():
        synced.instance.delete_run(run.run_id)
    closed(monkeypatch)
    assert isinstance(tick(synced), str)
    assert isinstance(tick(synced, bulk_sensor), dg.RunRequest)
    assert synced.drain().success
    assert synced.states() == {ORDER: "confirmed"}
    assert isinstance(tick(synced, bulk_sensor), str)


def test_after_a_refused_key_nothing_is_started_for_a_while_and_the_reason_says_what_to_do(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.write("customers", customer())
    with monkeypatch.context() as wrong:
        wrong.setenv("OMETRIA_API_KEY", "another-key")
        assert not shop.sync().success
    for sensor in (live_sensor, bulk_sensor):
        told = tick(shop, sensor)
        assert "Ometria refused the API key (403)" in str(told)
        assert "Look at OMETRIA_API_KEY" in str(told)
        assert "Nothing is lost; the next try is at" in str(told)
    shop.change("UPDATE bc_ometria.ometria_account SET refused_at = now() - interval '6 minutes'")
    assert isinstance(tick(shop), dg.RunRequest)
    assert shop.sync().success
    assert shop.states("contact") == {"00000001": "confirmed"}
    assert tick(shop) == "Blue Cherry has nothing new, and nothing waits to be sent or proved."


def test_what_was_read_and_not_assembled_starts_a_run(shop: Shop) -> None:
    """A run that died behind the mirror: the rows are no news any more, and are not forgotten."""
    shop.order(ORDER)
    shop.redo("2026-01-05", "blue_cherry")
    assert isinstance(tick(shop), dg.RunRequest)
    shop.sync()
    assert shop.states() == {ORDER: "confirmed"}


def test_new_rules_start_a_run_and_the_same_rules_do_not(synced: Shop) -> None:
    synced.map_status(Q7='{claim: placed, meaning: "x"}')
    assert isinstance(tick(synced), dg.RunRequest)
    synced.sync()
    assert isinstance(tick(synced), str)


def test_broken_rules_fail_the_tick_with_file_and_line(synced: Shop) -> None:
    broken = synced.rules_folder / "channels.yaml"
    broken.write_text("W: {channel: online, send: perhaps, meaning: x}\n")
    with pytest.raises(RulesError) as failed:
        tick(synced)
    assert f"{broken}:1: W.send: 'perhaps'" in str(failed.value)


def test_a_held_order_alone_starts_no_run(shop: Shop) -> None:
    """Held is a state to rest in: only a new version or a new rule moves it."""
    shop.write("customers", customer())
    shop.order(ORDER, ord_status="Q7")
    shop.sync()
    assert shop.states() == {ORDER: "held: unmapped_status"}
    assert isinstance(tick(shop), str)


def test_a_tick_and_a_run_leave_no_connection_behind(synced: Shop) -> None:
    """Each builds its resources anew, in a code server that lives for weeks and may not collect its garbage."""
    backends = text("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()")

    def connections() -> int:
        with synced.engine.connect() as connection:
            return int(connection.execute(backends).scalar_one())

    gc.collect()
    gc.disable()
    try:
        before = connections()
        for _ in range(5):
            tick(synced)
        synced.sync()
        deadline = time.monotonic() + 10  # a backend ends a little after its connection
        while connections() > before and time.monotonic() < deadline:
            pass
        assert connections() <= before
    finally:
        gc.enable()
