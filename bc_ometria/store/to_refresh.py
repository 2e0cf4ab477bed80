"""Orders and customers that somebody named, until they are read again whole."""

from collections.abc import Iterable

from sqlalchemy import Engine, text

from bc_ometria.store.schema import to_refresh
from bc_ometria.store.touched import Kind, Touched


def ask(engine: Engine, kind: Kind, keys: Iterable[str]) -> None:
    """Have these read again. One that waits already is asked for anew: what is read meanwhile does not settle it."""
    with engine.begin() as connection:
        connection.execute(
            text(
                f"INSERT INTO {to_refresh.fullname} (kind, key) "
                "SELECT :kind, key FROM unnest(CAST(:keys AS text[])) AS k (key) GROUP BY key ORDER BY key "
                "ON CONFLICT (kind, key) DO UPDATE SET at = DEFAULT"
            ),
            {"kind": kind, "keys": list(keys)},
        )


def waiting(engine: Engine, kind: Kind, limit: int, *, after: str = "") -> Touched:
    """The next keys behind ``after`` that wait, in their order; to be taken before they are read."""
    with engine.connect() as connection:
        rows = connection.execute(
            text(
                f"SELECT key, at FROM {to_refresh.fullname} WHERE kind = :kind AND key > :after "
                "ORDER BY key LIMIT :limit"
            ),
            {"kind": kind, "after": after, "limit": limit},
        ).all()
    return Touched(kind, [row.key for row in rows], [row.at for row in rows])


def is_any_waiting(engine: Engine) -> bool:
    with engine.connect() as connection:
        return bool(connection.execute(text(f"SELECT EXISTS (SELECT FROM {to_refresh.fullname})")).scalar_one())


def settle(engine: Engine, done: Touched) -> None:
    """Remove keys that have been read, unless they were asked for again meanwhile."""
    with engine.begin() as connection:
        connection.execute(
            text(
                f"DELETE FROM {to_refresh.fullname} t USING unnest(CAST(:keys AS text[]), CAST(:seen AS bigint[])) "
                "AS d (key, at) WHERE t.kind = :kind AND t.key = d.key AND t.at = d.at"
            ),
            {"kind": done.kind, "keys": done.keys, "seen": done.seen},
        )
