"""The columns that Blue Cherry serves and nothing reads, so that a new one is told of once."""

from collections.abc import Collection

from sqlalchemy import Engine, text

from bc_ometria.store.schema import unknown_columns


def note(engine: Engine, resource: str, names: Collection[str]) -> list[str]:
    """Remember these columns of a resource; those that were not known before, in their order."""
    if not names:
        return []
    with engine.begin() as connection:
        new = connection.execute(
            text(
                f"INSERT INTO {unknown_columns.fullname} (resource, name) "
                "SELECT :resource, name FROM unnest(CAST(:names AS text[])) AS n (name) ORDER BY name "
                "ON CONFLICT DO NOTHING RETURNING name"
            ),
            {"resource": resource, "names": sorted(name.replace("\0", "") for name in names)},
        )
        return sorted(new.scalars())
