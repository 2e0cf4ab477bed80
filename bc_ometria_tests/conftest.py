"""What the tests stand on: a real PostgreSQL, real servers, and nothing left running."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import Engine, text

from bc_ometria.blue_cherry.profile import TenantProfile
from bc_ometria.config import OPTIONAL_VARIABLES, VARIABLES
from bc_ometria.rules import DEFAULT_FOLDER, Rules
from bc_ometria.store.database import connect, migrate
from bc_ometria.store.embedded import embedded_database
from bc_ometria.store.schema import SCHEMA

if TYPE_CHECKING:
    from bc_ometria.sandbox.running import Sandbox
    from bc_ometria_tests.scenarios.shop import Shop

# Workers of pytest set it, and a console that is made at import keeps that width.
os.environ.pop("COLUMNS", None)

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(autouse=True)
def _no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test sees only the variables that it sets itself."""
    for name in (*VARIABLES, *OPTIONAL_VARIABLES, "DAGSTER_HOME"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def database_url(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A PostgreSQL for this test session."""
    os.environ.setdefault("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("runtime")))
    return embedded_database(tmp_path_factory.mktemp("postgres"))


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """The project's tables, empty."""
    engine = connect(database_url)
    with engine.begin() as connection:
        connection.execute(text(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE"))
    migrate(engine)
    yield engine
    engine.dispose()


@pytest.fixture(scope="session")
def sandbox() -> Iterator["Sandbox"]:
    """The stand-ins of both systems, for all tests of this session; each empties them first."""
    from bc_ometria.sandbox.running import Sandbox

    with Sandbox(customers=0, orders_per_day=0, limits=False) as sandbox:
        yield sandbox


@pytest.fixture
def shop(sandbox: "Sandbox", engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator["Shop"]:
    """A retailer without customers and orders between real stand-ins, and the environment that points there."""
    import dagster as dg

    from bc_ometria_tests.scenarios.shop import opened

    with dg.DagsterInstance.ephemeral() as instance:
        yield opened(sandbox, engine, tmp_path / "rules", monkeypatch, instance)


@pytest.fixture(scope="session")
def rules() -> Rules:
    """The rules that come with the project."""
    return Rules.load()


@pytest.fixture(scope="session")
def profile() -> TenantProfile:
    """The reference tenant's profile."""
    return TenantProfile.load(DEFAULT_FOLDER / "tenant.yaml")


@pytest.fixture(scope="session")
def sample_of_real_orders() -> Path:
    path = SHARED / "data" / "online_retail_ii" / "sample" / "online_retail_sample.csv.gz"
    if not path.exists():
        pytest.skip("the real orders of ../shared/data are not on this machine")
    return path
