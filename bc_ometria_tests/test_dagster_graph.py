"""The whole Dagster graph as it is meant to be: ``dagster_graph.json`` beside this file.

``dagster definitions validate`` accepts a misspelt dependency (it becomes an external asset) and a check
whose target does not exist; a comparison with what was meant does not. After a change that is wanted, write
the snapshot anew and look at the difference:

    .venv/bin/python -m bc_ometria_tests.test_dagster_graph
"""

import json
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import dagster as dg
import pytest
from dagster._core.remote_representation.external_data import RepositorySnap, ResourceConfigEnvVarSnap
from dagster._serdes import serialize_value

from bc_ometria.automation.partitions import change_day
from bc_ometria.config import VARIABLES, load_profile
from bc_ometria.definitions import build_defs, defs
from bc_ometria.resources import BlueCherry, Scope

SNAPSHOT = Path(__file__).with_name("dagster_graph.json")


def served(definitions: dg.Definitions) -> RepositorySnap:
    """What the code server gives to Dagster's API and UI."""
    return RepositorySnap.from_def(definitions.get_repository_def())


def graph(snap: RepositorySnap) -> dict[str, Any]:
    """All that decides what a person sees and what runs when."""
    jobs = {job.name: job for job in snap.job_datas or () if not job.name.startswith("__")}
    return {
        "assets": {_name(node.asset_key): _asset(node) for node in snap.asset_nodes},
        "checks": {f"{_name(node.asset_key)}:{node.name}": _check(node) for node in snap.asset_check_nodes or ()},
        "jobs": {name: _job(snap, name) for name in jobs},
        "sensors": {sensor.name: _sensor(sensor) for sensor in snap.sensors},
        "schedules": {schedule.name: _schedule(schedule) for schedule in snap.schedules},
        "resources": {resource.name: _resource(resource) for resource in snap.resources or ()},
    }


def _name(key: dg.AssetKey) -> str:
    return key.to_user_string()


def _asset(node: Any) -> dict[str, Any]:
    schema = node.metadata.get("dagster/column_schema")
    return {
        "kind_of_asset": node.execution_type.value,
        "depends_on": sorted(_name(edge.parent_asset_key) for edge in node.parent_edges),
        "group": node.group_name,
        "owners": sorted(node.owners),
        "kinds": sorted(tag.removeprefix("dagster/kind/") for tag in node.tags if tag.startswith("dagster/kind/")),
        "partitions": _partitions(node.partitions),
        "backfill": repr(node.backfill_policy),
        "automation": repr(node.automation_condition_snapshot),
        "resources": sorted(node.required_top_level_resources),
        "description": node.description,
        "columns": [f"{column.name} {column.type}" for column in schema.schema.columns] if schema else [],
    }


def _partitions(partitions: Any) -> str | None:
    if partitions is None:
        return None
    begin = datetime.fromtimestamp(partitions.start, ZoneInfo(partitions.timezone))
    return f"{partitions.cron_schedule} {partitions.timezone} from {begin:%Y-%m-%d}, {partitions.end_offset} ahead"


def _check(node: Any) -> dict[str, Any]:
    return {
        "description": node.description,
        "blocking": node.blocking,
        "partitions": _partitions(node.partitions_def_snapshot),
        "automation": repr(node.automation_condition_snapshot),
    }


def _job(snap: RepositorySnap, name: str) -> dict[str, Any]:
    job = defs.resolve_job_def(name)
    checks = [node for node in snap.asset_check_nodes or () if name in node.job_names]
    return {
        "description": job.description,
        "executor": job.executor_def.name,
        "tags": dict(job.tags),
        "assets": sorted(_name(node.asset_key) for node in snap.asset_nodes if name in node.job_names),
        "checks": sorted(f"{_name(node.asset_key)}:{node.name}" for node in checks),
    }


def _sensor(sensor: Any) -> dict[str, Any]:
    return {
        "description": sensor.description,
        "type": sensor.sensor_type.value,
        "jobs": sorted(sensor.target_dict),
        "interval_seconds": sensor.min_interval,
        "default": sensor.default_status.value if sensor.default_status else None,
    }


def _schedule(schedule: Any) -> dict[str, Any]:
    return {
        "job": schedule.job_name,
        "cron": schedule.cron_schedule,
        "time_zone": schedule.execution_timezone,
        "default": schedule.default_status.value if schedule.default_status else None,
    }


def _resource(resource: Any) -> dict[str, Any]:
    return {
        "type": resource.resource_type,
        "values": {
            name: f"variable {value.name}" if isinstance(value, ResourceConfigEnvVarSnap) else value
            for name, value in sorted(resource.configured_values.items())
        },
        "secret": sorted(field.name for field in resource.config_field_snaps if field.is_secret),
        "sensors": sorted(resource.sensors_using),
    }


def _written(found: dict[str, Any]) -> str:
    return json.dumps(found, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    return graph(served(defs))


@pytest.mark.parametrize("part", ["assets", "checks", "jobs", "sensors", "schedules", "resources"])
def test_the_graph_is_the_one_that_was_meant(found: dict[str, Any], part: str) -> None:
    """A difference that is wanted: `.venv/bin/python -m bc_ometria_tests.test_dagster_graph`."""
    meant = json.loads(SNAPSHOT.read_text(encoding="utf-8"))
    assert meant.keys() == found.keys()
    assert found[part] == meant[part]


def test_the_snapshot_file_is_as_the_command_writes_it(found: dict[str, Any]) -> None:
    assert SNAPSHOT.read_text(encoding="utf-8") == _written(found)


REPORTED = {"blue_cherry/updates"}
"""What somebody outside reports to Dagster."""


def test_every_dependency_is_an_asset_of_ours(found: dict[str, Any]) -> None:
    """A misspelt one becomes an external asset, which nothing ever materialises."""
    ours = {name for name, asset in found["assets"].items() if asset["kind_of_asset"] == "MATERIALIZATION"}
    assert ours == set(found["assets"]) - REPORTED
    for name, asset in found["assets"].items():
        assert set(asset["depends_on"]) <= (ours | REPORTED) - {name}


def test_every_check_has_a_target_and_runs_with_it(found: dict[str, Any]) -> None:
    checks = set(found["checks"])
    assert {check.rpartition(":")[0] for check in checks} <= set(found["assets"])
    assert checks <= {check for job in found["jobs"].values() for check in job["checks"]}


def test_every_asset_says_what_it_is_and_whose(found: dict[str, Any]) -> None:
    for name, asset in found["assets"].items():
        assert asset["description"], name
        assert asset["owners"], name
        assert asset["kinds"], name
        # The catalogue and the sweep read Blue Cherry too, with schedules of their own; merges keep Ometria's minute.
        assert asset["group"] in (name.split("/")[0], "catalogue", "sweep", "merges"), name


def test_every_check_says_what_it_looks_for(found: dict[str, Any]) -> None:
    assert all(check["description"].endswith(".") for check in found["checks"].values())


def test_a_checked_asset_runs_one_partition_a_run(found: dict[str, Any]) -> None:
    """A check of a run over a range leaves its rows planned for ever; no policy means one partition a run."""
    checked = {check.rpartition(":")[0] for check in found["checks"]}
    assert {found["assets"][name]["backfill"] for name in checked} == {"None"}


def test_every_asset_is_in_a_job_and_the_live_lane_starts_no_process_a_step(found: dict[str, Any]) -> None:
    assert {name for job in found["jobs"].values() for name in job["assets"]} == set(found["assets"]) - REPORTED
    assert found["jobs"]["live_sync"]["executor"] == "in_process"


def test_a_partition_is_a_day_of_the_tenant_and_today_is_one() -> None:
    zone = ZoneInfo(load_profile().time_zone)
    before = datetime.now(zone).date().isoformat()
    assert before <= change_day.get_last_partition_key() <= datetime.now(zone).date().isoformat()


def test_an_override_swaps_a_resource_and_nothing_else(found: dict[str, Any]) -> None:
    other = BlueCherry(base_url="http://example.com", tenant="T", environment="E", api_key=dg.EnvVar("OTHER_KEY"))
    swapped = graph(served(build_defs({"blue_cherry": other})))
    assert swapped["resources"].pop("blue_cherry")["values"]["api_key"] == "variable OTHER_KEY"
    rest = {name: each for name, each in found["resources"].items() if name != "blue_cherry"}
    assert swapped == {**found, "resources": rest}


def test_whole_partition_is_what_a_run_by_hand_takes() -> None:
    assert not Scope().only_new


def test_no_value_of_a_variable_reaches_dagster(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the code server gives away carries the variables' names only, whatever they are set to."""
    for name in VARIABLES:
        monkeypatch.setenv(name, f"canary-of-{name}")
    given = serialize_value(served(build_defs()))
    assert [name for name in VARIABLES if name not in given] == []
    assert "canary-of-" not in given


def test_a_literal_key_would_be_seen() -> None:
    """The test above can fail: a literal value stands in what is served, even of a field marked secret."""
    literal = BlueCherry(base_url="http://example.com", tenant="T", environment="E", api_key="canary-of-a-key")
    assert "canary-of-a-key" in serialize_value(served(build_defs({"blue_cherry": literal})))


def test_keys_and_the_database_address_are_marked_secret(found: dict[str, Any]) -> None:
    marked = {
        resource["values"][field].removeprefix("variable ")
        for resource in found["resources"].values()
        for field in resource["secret"]
    }
    assert marked == {"BLUE_CHERRY_API_KEY", "OMETRIA_API_KEY", "BC_OMETRIA_DATABASE_URL"}


if __name__ == "__main__":
    SNAPSHOT.write_text(_written(graph(served(defs))), encoding="utf-8")
