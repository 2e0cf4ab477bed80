"""The schema that the migrations make is the one that the tables declare, however it came about."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, inspect, text

from bc_ometria.store.database import _config, connect, is_current, migrate
from bc_ometria.store.schema import SCHEMA, metadata


def differences(engine: Engine) -> list:
    with engine.connect() as connection:
        options = {
            "version_table_schema": SCHEMA,
            "include_schemas": True,
            "include_name": lambda name, kind, parents: kind != "schema" or name == SCHEMA,
            "compare_type": True,
            "compare_server_default": True,
        }
        return compare_metadata(MigrationContext.configure(connection, opts=options), metadata)


def tables(engine: Engine) -> set[str]:
    return set(inspect(engine).get_table_names(SCHEMA))


def partial_indexes(engine: Engine) -> set[str]:
    with engine.connect() as connection:
        found = connection.execute(
            text("SELECT indexname FROM pg_indexes WHERE schemaname = :schema AND indexdef LIKE '% WHERE %'"),
            {"schema": SCHEMA},
        )
        return set(found.scalars())


@pytest.fixture
def bare(engine: Engine) -> Engine:
    """The database without the project's schema."""
    with engine.begin() as connection:
        connection.execute(text(f"DROP SCHEMA {SCHEMA} CASCADE"))
    return engine


def test_a_migrated_database_is_what_the_tables_declare(engine: Engine) -> None:
    assert differences(engine) == []
    assert tables(engine) == {table.name for table in metadata.tables.values()} | {"alembic_version"}
    # Autogenerate does not look at the conditions of indexes.
    declared = {
        index.name
        for table in metadata.tables.values()
        for index in table.indexes
        if index.dialect_options["postgresql"]["where"] is not None
    }
    assert partial_indexes(engine) == declared
    assert len(declared) == 11


def test_a_difference_would_be_found(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text(f"ALTER TABLE {SCHEMA}.outbox DROP COLUMN attempts"))
    assert len(differences(engine)) == 1


def test_migrating_again_changes_nothing(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text(f"INSERT INTO {SCHEMA}.touched (kind, key) VALUES ('order', '1')"))
    migrate(engine)
    assert is_current(engine)
    with engine.connect() as connection:
        assert connection.execute(text(f"SELECT count(*) FROM {SCHEMA}.touched")).scalar_one() == 1


def test_several_processes_may_migrate_at_once(bare: Engine, database_url: str) -> None:
    assert not is_current(bare)
    engines = [connect(database_url) for _ in range(4)]
    with ThreadPoolExecutor(len(engines)) as threads:
        list(threads.map(migrate, engines))
    for each in engines:
        each.dispose()
    assert is_current(bare)
    assert differences(bare) == []


def test_every_migration_goes_back_and_forth(engine: Engine) -> None:
    with engine.begin() as connection:
        config = _config()
        config.attributes["connection"] = connection
        command.downgrade(config, "base")
    assert tables(engine) == {"alembic_version"}
    assert not is_current(engine)
    migrate(engine)
    assert is_current(engine)
    assert differences(engine) == []
