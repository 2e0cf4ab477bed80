"""A PostgreSQL for the chaos tests alone, and a world for each scenario."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bc_ometria.home import PROJECT
from bc_ometria_tests.chaos import LONG

if TYPE_CHECKING:
    from bc_ometria.sandbox.running import Sandbox
    from bc_ometria_tests.chaos.harness import Chaos
    from bc_ometria_tests.chaos.postgres import Postgres


@pytest.fixture(scope="session")
def own_postgres(tmp_path_factory: pytest.TempPathFactory) -> "Postgres":
    """A server that the scenarios may kill."""
    os.environ.setdefault("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("runtime")))
    from bc_ometria_tests.chaos.postgres import Postgres

    return Postgres(PROJECT)


@pytest.fixture
def chaos(
    own_postgres: "Postgres",
    sandbox: "Sandbox",
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> Iterator["Chaos"]:
    """A retailer before its first day, between real stand-ins, a database as after the installation, and Dagster's
    instance on disk."""
    import dagster as dg

    from bc_ometria.store.database import connect
    from bc_ometria_tests.chaos.harness import Chaos
    from bc_ometria_tests.scenarios.shop import opened

    reporter = request.config.pluginmanager.get_plugin("terminalreporter")

    def tell(text: str) -> None:
        if LONG and reporter:
            reporter.ensure_newline()
            reporter.write_line(f"  {text}")

    home = tmp_path / "dagster"
    home.mkdir()
    shutil.copyfile(PROJECT / "dagster.yaml", home / "dagster.yaml")
    url = own_postgres.new_database()
    engine = connect(url)
    with dg.DagsterInstance.ephemeral() as instance:
        shop = opened(sandbox, engine, tmp_path / "rules", monkeypatch, instance)
        yield Chaos(shop, own_postgres, home, tmp_path, tell)
    engine.dispose()
    own_postgres.drop(url)
