"""The commands as people use them: their help, what the doctor says, and the live lane in a process of its own."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import httpx
import pytest
from click.testing import CliRunner, Result
from sqlalchemy import Engine, make_url, text

from bc_ometria.cli import main
from bc_ometria.config import VARIABLES
from bc_ometria.delivery.guard import watch
from bc_ometria.demo.processes import end, start_sandbox
from bc_ometria.rules import DEFAULT_FOLDER, Rules
from bc_ometria.store import stops
from bc_ometria.store.database import connect, migrate
from bc_ometria.store.lanes import LANES
from bc_ometria_tests.scenarios.shop import Shop, customer, header, line, stage
from bc_ometria_tests.store.records import decided, put, send, state
from bc_ometria_tests.store.waiting import OPT_IN, UNCHANGED, VALID_TO_INVALID, fill

ORDER, OTHER = "0000001001", "0000001002"


def run(*arguments: str) -> Result:
    """A command in this process; lines are as long as they are."""
    return CliRunner(env={"COLUMNS": "500"}).invoke(main, list(arguments))


def findings(result: Result) -> dict[str, str]:
    """What the doctor says of each subject: blank where it is well."""
    found: dict[str, str] = {}
    for said in result.output.splitlines():
        if said.startswith(("✓", "✗")):
            known = ("rules", "environment", "database", "Blue Cherry", "Ometria")
            subject = next(name for name in known if said[2:].startswith(name))
            found[subject] = said[2:].removeprefix(subject).strip() if said[0] == "✗" else ""
        else:
            found[subject] += "\n" + said
    return found


@pytest.mark.parametrize("command", [None, *main.commands])
def test_every_command_tells_what_it_does_and_explains_its_options(command: str | None) -> None:
    result = run(*filter(None, [command]), "--help")
    assert result.exit_code == 0
    told = main.commands[command].help if command else main.help
    assert told
    shown = " ".join(result.output.split())
    assert told.split("\n")[0] in shown
    if command:
        for option in main.commands[command].params:
            assert not isinstance(option, click.Option) or max(option.opts) in shown


def test_the_main_help_lists_every_command() -> None:
    shown = run("--help").output
    assert [name for name in main.commands if name not in shown] == []
    assert run("--version").exit_code == 0


# --- doctor --------------------------------------------------------------------------------------------------


def test_the_doctor_finds_nothing_wrong_where_nothing_is(shop: Shop) -> None:
    result = run("doctor")
    assert result.exit_code == 0
    assert findings(result) == dict.fromkeys(["rules", "environment", "database", "Blue Cherry", "Ometria"], "")


def test_the_doctor_changes_nothing_and_sends_nothing(shop: Shop) -> None:
    shop.order(ORDER)
    run("doctor")
    assert shop.states() == {}
    assert shop.pushes == 0


@pytest.mark.parametrize("name", [name for name in VARIABLES if name != "BC_OMETRIA_DATABASE_URL"])
def test_the_doctor_names_a_missing_variable_with_what_to_set(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.delenv(name)
    result = run("doctor")
    assert result.exit_code == 1
    found = findings(result)
    assert found["environment"] == f"{name} is not set: {VARIABLES[name]}"
    assert {"database", "Ometria" if name.startswith("BLUE_CHERRY") else "Blue Cherry"} <= set(found)


def test_the_doctor_takes_an_embedded_database_for_well(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BC_OMETRIA_DATABASE_URL")
    result = run("doctor")
    assert result.exit_code == 0
    assert "an embedded PostgreSQL is used" in result.output
    assert "✓ Ometria" in result.output


@pytest.mark.parametrize(
    ("name", "value", "subject", "words"),
    [
        ("BLUE_CHERRY_API_KEY", "wrong", "Blue Cherry", ["Blue Cherry refused the key", "BLUE_CHERRY_API_KEY"]),
        ("BLUE_CHERRY_TENANT", "NOBODY", "Blue Cherry", ["404", "BLUE_CHERRY_TENANT", "BLUE_CHERRY_ENVIRONMENT"]),
        ("OMETRIA_API_KEY", "wrong", "Ometria", ["Ometria refused the API key", "OMETRIA_API_KEY"]),
        ("OMETRIA_BASE_URL", "http://127.0.0.1:1/v2", "Ometria", ["No connection to Ometria", "OMETRIA_BASE_URL"]),
        ("BC_OMETRIA_DATABASE_URL", "postgresql://u:p@127.0.0.1:1/x", "database", ["BC_OMETRIA_DATABASE_URL"]),
    ],
)
def test_the_doctor_says_which_part_is_ill_and_that_the_others_are_well(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, name: str, value: str, subject: str, words: list[str]
) -> None:
    monkeypatch.setenv(name, value)
    result = run("doctor")
    assert result.exit_code == 1
    found = findings(result)
    assert [word for word in words if word not in found[subject]] == []
    assert {other for other, advice in found.items() if advice} == {subject}
    assert "Traceback" not in result.output


def test_the_doctor_refuses_broken_rules_with_file_and_line(shop: Shop) -> None:
    broken = shop.rules_folder / "divisions.yaml"
    broken.write_text('"100": {store: uk, currency: pounds, country: GB, brand: Women, marketing: true}\n')
    result = run("doctor")
    assert result.exit_code == 1
    assert f"{broken}:1: 100.currency: 'pounds'" in findings(result)["rules"]
    assert findings(result)["database"] == ""


def test_the_doctor_tells_a_rules_folder_that_is_not_there(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BC_OMETRIA_RULES", "no-such-folder")
    assert "BC_OMETRIA_RULES names no-such-folder, which is not a folder" in findings(run("doctor"))["rules"]


def test_the_doctor_says_how_a_schema_comes_to_this_version(shop: Shop) -> None:
    with shop.engine.begin() as connection:
        connection.execute(text("DROP SCHEMA bc_ometria CASCADE"))
    result = run("doctor")
    assert result.exit_code == 1
    assert "`bc-ometria sync`" in findings(result)["database"]
    migrate(shop.engine)
    assert run("doctor").exit_code == 0


# --- sync ----------------------------------------------------------------------------------------------------


@pytest.fixture
def own_database(database_url: str) -> Iterator[Engine]:
    """An empty database beside that of the other tests: Dagster makes its own tables in it."""
    server = connect(database_url).execution_options(isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        connection.execute(text("DROP DATABASE IF EXISTS bc_ometria_sync WITH (FORCE)"))
        connection.execute(text("CREATE DATABASE bc_ometria_sync"))
    engine = connect(make_url(database_url).set(database="bc_ometria_sync").render_as_string(hide_password=False))
    yield engine
    engine.dispose()
    server.dispose()


def sync(shop: Shop, database: Engine, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """``bc-ometria sync`` in a folder and a process of its own, with only the named variables set."""
    environment = {name: value for name, value in shop.sandbox.environment().items() if name in VARIABLES}
    environment["BC_OMETRIA_DATABASE_URL"] = database.url.render_as_string(hide_password=False)
    return subprocess.run(
        [sys.executable, "-m", "bc_ometria.cli", "sync"],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "COLUMNS": "200", **environment, **variables},
        capture_output=True,
        text=True,
    )


def test_sync_needs_two_servers_and_a_database_and_nothing_else(
    shop: Shop, own_database: Engine, tmp_path: Path
) -> None:
    """Once, and again with a wrong key, and again: on a PostgreSQL that was empty, and a Dagster instance there."""
    folder = tmp_path / "anywhere"
    folder.mkdir()
    shop.write("customers", customer())
    shop.order(ORDER)
    done = sync(shop, own_database, folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "confirmed" in done.stdout
    assert sorted(shop.pushed) == ["00000001", ORDER]
    assert shop.orders()[ORDER]["grand_total"] == 100.0
    with own_database.connect() as connection:
        runs = connection.execute(text("SELECT pipeline_name, status FROM runs ORDER BY id")).all()
    assert runs == [("catalogue_sync", "SUCCESS"), ("live_sync", "SUCCESS")]

    refused = sync(shop, own_database, folder, BLUE_CHERRY_API_KEY="canary-of-a-key")
    assert refused.returncode == 1
    assert "Blue Cherry refused the key" in refused.stdout
    assert "Traceback" not in refused.stdout + refused.stderr
    assert "canary" not in refused.stdout + refused.stderr
    assert shop.pushes == 2


@pytest.mark.parametrize("command", ["sync", "dev"])
def test_a_command_that_lacks_its_settings_says_which(
    command: str, shop: Shop, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    monkeypatch.delenv("OMETRIA_API_KEY")
    monkeypatch.setenv("BLUE_CHERRY_BASE_URL", "bluecherry")
    before = signal.getsignal(signal.SIGTERM)
    result = run(command)
    signal.signal(signal.SIGTERM, before)
    assert result.exit_code == 1
    assert "OMETRIA_API_KEY is not set: the API key of the Ometria account" in result.output
    assert "BLUE_CHERRY_BASE_URL is no http or https address" in result.output
    assert "BLUE_CHERRY_API_KEY" not in result.output


def test_sync_refuses_broken_rules_before_it_starts_a_run(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    rules = (DEFAULT_FOLDER / "statuses.yaml").read_text().replace("O: {claim: placed,", "O: {")
    (shop.rules_folder / "statuses.yaml").write_text(rules)
    result = run("sync")
    assert result.exit_code == 1
    assert "ord_status.O: give either claim, or ignore with a reason" in result.output


# --- approve, pause and resume -------------------------------------------------------------------------------


@pytest.fixture
def store(engine: Engine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Engine:
    """The database that the commands take."""
    monkeypatch.setenv("BC_OMETRIA_DATABASE_URL", engine.url.render_as_string(hide_password=False))
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    return engine


def test_the_lanes_that_can_be_paused_are_explained() -> None:
    shown = " ".join(run("pause", "--help").output.split())
    assert [lane for lane in (*LANES, "all") if f" {lane}" not in shown] == []
    refused = run("pause", "sideways")
    assert refused.exit_code == 2
    assert "'opt_outs'" in refused.output


def test_a_lane_is_paused_and_resumed(store: Engine) -> None:
    """P6: the kill switch."""
    assert run("approve").output == "No lane is stopped.\n"
    assert run("pause", "live").output == "Lane live is paused.\n"
    assert run("pause", "live").output == "Lane live was paused before, and still is.\n"
    fill(store, 3, "live", **UNCHANGED)
    told = run("approve").output.splitlines()
    assert told[0].startswith("Stop 1: lane live, records, paused 20")
    assert told[1:] == ["  3 wait in the lane: bc-ometria resume live"]
    assert run("resume", "live").output == "Lane live flows again: what waits in it goes with the next run.\n"
    again = run("resume", "live")
    assert again.exit_code == 1
    assert again.output == "Error: Lane live is not paused.\n"


def test_all_lanes_are_paused_and_resumed_at_once(store: Engine) -> None:
    run("pause", "events")
    assert run("pause", "all").exit_code == 0
    assert set(stops.open_stops(store)["lane"]) == set(LANES)
    assert run("resume", "all").output.count("flows again") == len(LANES)
    assert stops.open_stops(store).empty
    nothing = run("resume", "all")
    assert (nothing.exit_code, nothing.output) == (0, "No lane is paused.\n")


def test_what_the_guard_stopped_is_shown_with_its_figures_and_approved(store: Engine) -> None:
    """P6."""
    fill(store, 60, "cancellations", **VALID_TO_INVALID, prefix="000")
    fill(store, 60, "live", **OPT_IN)
    watch(store, Rules.load().thresholds.guard)
    told = run("approve").output.splitlines()
    assert told[0].startswith("Stop 1: lane cancellations, orders, since 20")
    assert told[1].startswith("  60 of 60 waiting orders that Ometria has would not count as revenue any more: 100 %")
    assert told[2:4] == ["  revenue: 750.00 GBP", "  statuses: 60 × cancelled"]
    assert told[4].startswith("  for example: 0000000001, 0000000002, ")
    assert told[5] == "  60 records, 60 wait in the lane: bc-ometria approve 1"
    assert "  consents: 60 × email:out sms:unknown → email:in sms:unknown" in told
    assert run("resume", "cancellations").output == (
        "Error: Lane cancellations is not paused. The guard has stopped it: `bc-ometria approve 1` lets it go.\n"
    )
    assert run("approve", "1", "2").output.splitlines() == [
        "Stop 1 has ended. 60 records were approved and go with the next run.",
        "Stop 2 has ended. 60 records were approved and go with the next run.",
    ]
    assert watch(store, Rules.load().thresholds.guard) == set()
    again = run("approve", "1")
    assert again.exit_code == 1
    assert "there is nothing to approve" in again.output


# --- plan and replay -----------------------------------------------------------------------------------------


@pytest.fixture
def sold(shop: Shop, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Shop:
    """A shop whose customer and two orders are confirmed."""
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    shop.write("customers", customer())
    shop.order(ORDER)
    shop.order(OTHER)
    shop.sync()
    assert set(shop.states().values()) == {"confirmed"}
    return shop


def cells(result: Result) -> list[list[str]]:
    """The rows of all tables in what a command printed."""
    lines = [line for line in result.output.splitlines() if line.startswith("│")]
    return [[cell.strip() for cell in line.split("│")[1:-1]] for line in lines]


def test_please_update_this_one(sold: Shop) -> None:
    """F2: an order whose stamps no poll notices; and what came of each."""
    sold.write("orders", header(ORDER, "150.00", last_mod="2025-12-01 08:00:00"))
    sold.write("order-lines", line(ORDER, 1, 3, last_mod="2025-12-01 08:00:00"))
    sold.write("order-stages", stage(ORDER, 1, 3, last_mod="2025-12-01 08:00:00"))
    result = run("refresh", ORDER, OTHER, "--customer", "00000001")
    assert result.output.splitlines() == [
        "customer 00000001: unchanged: Ometria has it as it is",
        f"order {ORDER}: confirmed: Ometria shows it as it is now",
        f"order {OTHER}: unchanged: Ometria has it as it is",
    ]
    assert result.exit_code == 0
    assert sold.orders()[ORDER]["grand_total"] == 150.0


def test_a_refresh_says_what_is_wrong(sold: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("refresh").exit_code == 2
    unknown = run("refresh", "0000009999")
    assert (unknown.exit_code, unknown.output) == (1, "order 0000009999: unknown in Blue Cherry\n")
    wrong = run("refresh", "canary@example.com")
    assert wrong.exit_code == 1
    assert "can be no order number" in wrong.output
    assert "canary" not in wrong.output
    monkeypatch.setenv("BLUE_CHERRY_API_KEY", "wrong")
    refused = run("refresh", ORDER)
    assert refused.exit_code == 1
    assert "Blue Cherry refused the key" in refused.output
    assert "What was named is kept, and the next live_sync goes on with it." in refused.output


def test_a_plan_tells_what_would_change_and_sends_nothing(sold: Shop) -> None:
    run("pause", "all")
    sold.mark(ORDER, ord_status="X", cancel_code="CU")
    sold.cancel(ORDER, {1: 2})
    sold.order("0000001003", pieces=(4,))
    sold.edit("customers", 1, email_ok="N")
    sold.sync()
    pushes, states = sold.pushes, (sold.states(), sold.states("contact"), sold.states("custom_event"))
    result = run("plan")
    assert result.exit_code == 0, result.output
    assert (sold.states(), sold.states("contact"), sold.states("custom_event")) == states
    assert sold.pushes == pushes
    table = cells(result)
    for row in (
        ["records", "1", "2"],
        ["of which wait to be sent", "1", "2"],
        ["Ometria would create", "0", "1"],
        ["Ometria would update", "1", "1"],
        ["equal already", "0", "0"],
        ["email", "in", "out", "1"],
        ["order", "is_valid", "1"],
        ["order_cancelled", "1", "0", "0", "1", "0", "0", ""],
        ["opt_outs", "contact", "1", "paused"],
        ["cancellations", "order", "1", "paused"],
    ):
        assert row in table, result.output
    assert "The revenue of orders would change by +100.00 GBP." in result.output
    assert "sending takes less than a second (3 calls)" in result.output
    assert "Nothing was sent." in result.output
    assert "extrapolated" not in result.output
    assert not {"canary", "wilhelmina"} & set(result.output.lower().split())

    sampled = run("plan", "--sample", "1")
    assert "≈ The figures of orders are extrapolated, of a sample of 1 of 2." in sampled.output
    assert "contacts are extrapolated" not in sampled.output


def test_a_plan_of_a_day_and_of_nothing(sold: Shop) -> None:
    nothing = run("plan")
    assert nothing.exit_code == 0
    assert nothing.output == "Nothing waits to be sent.\nNothing was sent.\n"
    sold.sandbox.account.orders.remove(ORDER)
    of_monday = run("plan", "--day", "2026-01-05")
    assert "goes with `bc-ometria replay`" in of_monday.output
    monday = cells(of_monday)
    assert ["records", "1", "2"] in monday
    assert ["Ometria would create", "0", "1"] in monday
    assert ["equal already", "1", "1"] in monday
    assert cells(run("plan", "--day", "2026-01-06")) == []
    assert run("plan", "--day", "Monday").exit_code == 2


def test_a_plan_says_so_where_ometria_refuses_the_key(sold: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    run("replay", "--id", ORDER, "--go")
    monkeypatch.setenv("OMETRIA_API_KEY", "canary-of-a-key")
    result = run("plan")
    assert result.exit_code == 1
    assert "OMETRIA_API_KEY" in result.output
    assert "Nothing was sent." in result.output
    assert "canary" not in result.output
    assert "Traceback" not in result.output


def test_a_replay_is_dry_until_it_is_told_to_go(sold: Shop) -> None:
    """Truth 3: an event is told once, whatever is replayed."""
    sold.ship(OTHER, "0000000501", {1: 2})
    sold.sync()
    pushed, told = sold.pushed, sold.told(OTHER)
    dry = run("replay", "--since", "2026-01-05")
    assert dry.exit_code == 0, dry.output
    assert ["order", "confirmed", "again", "", "2"] in cells(dry)
    assert ["contact", "confirmed", "again", "", "1"] in cells(dry)
    assert "Nothing was changed. What goes would go in the lane repairs" in dry.output
    assert "(2 calls)" in dry.output
    sold.sync()
    assert sold.pushed == pushed

    done = run("replay", "--type", "order", "--go")
    assert done.exit_code == 0, done.output
    assert "2 records go again with the next run, in the lane repairs; 0 are mapped again first." in done.output
    waits = run("replay", "--type", "order", "--go")
    assert ["order", "wanted", "", "waits to be sent", "2"] in cells(waits)
    assert "0 records go again" in waits.output
    sold.sync()
    assert sorted(filter(None, sold.pushed[len(pushed) :])) == [ORDER, OTHER]
    assert set(sold.states().values()) == {"confirmed"}
    assert sold.told(OTHER) == told != []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "give a time, a record type, an id or a division"),
        (["--type", "custom_event"], "an event is sent at most once, or a person would be told twice"),
        (["--type", "orders"], "A record type is contact or order, not orders"),
        (["--id", "0000009999"], "knows no contact and no order with the id 0000009999"),
        (["--since", "yesterday"], "yesterday is no time: write it as 2026-11-20"),
        (["--since", "2026-11-21", "--until", "2026-11-20"], "beginning of the time lies after its end"),
    ],
)
def test_a_replay_says_what_it_cannot_do(store: Engine, arguments: list[str], words: str) -> None:
    put(store, decided(ORDER, "v1"))
    send(store)
    result = run("replay", *arguments, "--go")
    assert result.exit_code == 1
    assert words in result.output
    assert "Traceback" not in result.output
    assert state(store, ORDER) == "sent"


def test_times_of_a_replay_are_the_tenants_unless_they_say_otherwise(store: Engine) -> None:
    """In July London is an hour ahead of UTC."""
    put(store, decided(ORDER, "v1"))
    send(store)
    with store.begin() as connection:
        connection.execute(text("UPDATE bc_ometria.outbox SET accepted_at = '2026-07-01 09:30+00'"))

    def chosen(since: str, until: str) -> bool:
        return ["order", "sent", "again", "", "1"] in cells(run("replay", "--since", since, "--until", until))

    assert chosen("2026-07-01T10:30", "2026-07-01T10:31")
    assert not chosen("2026-07-01T09:30", "2026-07-01T10:30")
    assert chosen("2026-07-01T11:30+02:00", "2026-07-01T10:00+00:00")
    assert chosen("2026-07-01", "2026-07-02")
    assert not chosen("2026-07-02", "2026-07-03")
    assert "Nothing in the outbox matches." in run("replay", "--until", "2026-07-01", "--type", "order").output


# --- sandbox and demo ----------------------------------------------------------------------------------------


def test_the_sandbox_serves_what_its_variables_say_and_ends_when_asked() -> None:
    process, variables = start_sandbox(["--standing", "--customers", "3", "--orders-per-day", "0"], ports=(0, 0))
    try:
        base = "/".join(variables[f"BLUE_CHERRY_{part}"] for part in ("BASE_URL", "TENANT", "ENVIRONMENT"))
        key = {"Ocp-Apim-Subscription-Key": variables["BLUE_CHERRY_API_KEY"]}
        assert httpx.get(f"{base}/customers", headers=key).json()["total"] >= 3
        ometria = {"X-Ometria-Auth": variables["OMETRIA_API_KEY"]}
        assert httpx.get(f"{variables['OMETRIA_BASE_URL']}/orders", headers=ometria).json() == []
        assert set(variables) == set(VARIABLES) - {"BC_OMETRIA_DATABASE_URL"}
    finally:
        end(process)
    assert process.returncode == 0


def test_a_sandbox_that_cannot_start_says_why() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(RuntimeError, match="the sandbox did not start:") as failed:
            start_sandbox(["--standing", "--customers", "0"], ports=(taken.getsockname()[1], 0))
    assert "Address already in use" in str(failed.value)


def test_real_orders_need_their_data() -> None:
    result = run("demo", "--tenant", "online-retail")
    assert result.exit_code == 2
    assert "online-retail needs its data: --data PATH" in result.output
    missing = run("demo", "--tenant", "online-retail", "--data", "nowhere.csv")
    assert missing.exit_code == 2
    assert "nowhere.csv" in missing.output
