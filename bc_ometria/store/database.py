"""The connection to PostgreSQL, and the state of its schema."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg2
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from psycopg2.extensions import cursor as Cursor
from sqlalchemy import Engine, create_engine, text

from bc_ometria.store.schema import SCHEMA

MIGRATIONS = Path(__file__).parent / "migrations"


_CONNECTIONS = 20
"""Kept once they were needed: each of delivery's threads has one now and then, and to open one is dear."""


def connect(url: str) -> Engine:
    """An engine for ``postgresql://…``; nothing is opened until it is used. Its errors quote no row."""
    return create_engine(
        url,
        pool_size=_CONNECTIONS,
        pool_pre_ping=True,
        hide_parameters=True,
        connect_args={"cursor_factory": _DiscreetCursor},
    )


class _DiscreetCursor(Cursor):
    """Leaves out of an error what follows its first line: PostgreSQL quotes there the whole row that it refuses,
    and Dagster would keep it (truth 9)."""

    def execute(self, *args: Any, **options: Any) -> None:
        _discreetly(super().execute, *args, **options)

    def copy_expert(self, *args: Any, **options: Any) -> None:
        _discreetly(super().copy_expert, *args, **options)


def _discreetly(run: Callable[..., None], *args: Any, **options: Any) -> None:
    try:
        run(*args, **options)
    except psycopg2.Error as error:
        if error.diag.message_primary is None:  # said by the driver, of the connection
            raise
        raise type(error)(error.diag.message_primary) from None


def migrate(engine: Engine) -> None:
    """Bring the schema to this project's version; safe to call by several processes at once."""
    with engine.begin() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(hashtext(:schema))"), {"schema": SCHEMA})
        connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}"))
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


@contextmanager
def one_at_a_time(engine: Engine, work: str) -> Iterator[None]:
    """Keep every other process out of the same work: what it read earlier it must not write later."""
    with engine.begin() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(hashtext(:work))"), {"work": f"{SCHEMA}: {work}"})
        yield


def is_current(engine: Engine) -> bool:
    """Whether the schema is at this project's version."""
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table_schema": SCHEMA})
        return context.get_current_revision() == ScriptDirectory.from_config(_config()).get_current_head()


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    return config
