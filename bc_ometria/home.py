"""Where a machine without a set-up of its own keeps its Dagster instance and its database."""

import os
import shutil
from pathlib import Path

from bc_ometria.store.embedded import embedded_database

PROJECT = Path(__file__).resolve().parents[1]
"""The checkout, with ``dagster.yaml`` and ``workspace.yaml``."""

DEFAULT = Path(".bc_ometria")
"""The folder below the current one that is used where the environment names nothing else."""


def settle_in_afresh(folder: Path) -> None:
    """Begin with an empty database and Dagster home below ``folder``, whatever the environment names."""
    shutil.rmtree(folder, ignore_errors=True)
    for name in ("BC_OMETRIA_DATABASE_URL", "DAGSTER_HOME", "BC_OMETRIA_RULES"):
        os.environ.pop(name, None)
    settle_in(folder)


def settle_in(folder: Path = DEFAULT) -> None:
    """Set the variables that are not set: a Dagster home, and an embedded PostgreSQL, both below ``folder``."""
    if not os.environ.get("BC_OMETRIA_DATABASE_URL"):
        os.environ["BC_OMETRIA_DATABASE_URL"] = embedded_database((folder / "postgres").resolve())
    if not os.environ.get("DAGSTER_HOME"):
        home = (folder / "dagster").resolve()
        home.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(PROJECT / "dagster.yaml", home / "dagster.yaml")
        os.environ["DAGSTER_HOME"] = str(home)
