"""Orders and customers of which a row changed and that wait to be assembled and mapped again."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import Connection, Engine, text

from bc_ometria.store.schema import touched

Kind = Literal["order", "customer"]


@dataclass(frozen=True)
class Touched:
    """Keys, and for each the touch that was seen: a later touch of the same key is not settled with it."""

    kind: Kind
    keys: list[str]
    seen: list[int]

    def without(self, keys: Collection[str]) -> "Touched":
        """The touches of all other keys."""
        left = [(key, at) for key, at in zip(self.keys, self.seen, strict=True) if key not in keys]
        return Touched(self.kind, [key for key, _ in left], [at for _, at in left])


def waiting(engine: Engine, kind: Kind, limit: int, *, after: str = "") -> list[str]:
    """The next keys behind ``after`` that wait, in their order."""
    with engine.connect() as connection:
        return list(
            connection.execute(
                text(
                    f"SELECT key FROM {touched.fullname} WHERE kind = :kind AND key > :after ORDER BY key LIMIT :limit"
                ),
                {"kind": kind, "limit": limit, "after": after},
            ).scalars()
        )


def of(engine: Engine, kind: Kind, keys: Sequence[str]) -> Touched:
    """The touches of some keys so far: to be taken before their rows are read, and settled with the result."""
    with engine.connect() as connection:
        rows = connection.execute(
            text(f"SELECT key, at FROM {touched.fullname} WHERE kind = :kind AND key = ANY(:keys)"),
            {"kind": kind, "keys": list(keys)},
        ).all()
    return Touched(kind, [row.key for row in rows], [row.at for row in rows])


def count(engine: Engine, kind: Kind) -> int:
    with engine.connect() as connection:
        return connection.execute(
            text(f"SELECT count(*) FROM {touched.fullname} WHERE kind = :kind"), {"kind": kind}
        ).scalar_one()


def settle(connection: Connection, done: Touched) -> None:
    """Remove keys that have been worked on, unless they were touched again meanwhile."""
    connection.execute(
        text(
            f"DELETE FROM {touched.fullname} t USING unnest(CAST(:keys AS text[]), CAST(:seen AS bigint[])) "
            "AS d (key, at) WHERE t.kind = :kind AND t.key = d.key AND t.at = d.at"
        ),
        {"kind": done.kind, "keys": done.keys, "seen": done.seen},
    )
