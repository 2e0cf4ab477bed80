"""Which runs live. A run holds a lock of PostgreSQL's for as long as it does: the lock goes with its connection, so it
cannot outlive the process."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Engine, text

_LOCK = "hashtextextended('run ' || :run_id, 0)"

_NOTICED_SOON = "SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3"
"""PostgreSQL then notices within half a minute that the machine of a run is gone."""


@contextmanager
def alive(engine: Engine, run_id: str) -> Iterator[None]:
    """Show, for as long as the block lasts, that a run lives."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql(_NOTICED_SOON)
        connection.execute(text(f"SELECT pg_advisory_lock({_LOCK})"), {"run_id": run_id})
        try:
            yield
        finally:
            connection.invalidate()  # the lock goes with it


def is_alive(engine: Engine, run_id: str) -> bool:
    """Whether the process of a run that has begun still lives."""
    with engine.begin() as connection:
        is_free = connection.execute(text(f"SELECT pg_try_advisory_xact_lock({_LOCK})"), {"run_id": run_id})
        return not is_free.scalar_one()
