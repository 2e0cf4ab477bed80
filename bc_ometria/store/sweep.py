"""The keys of an order month in the mirror, to be held against those that Blue Cherry still serves."""

from collections.abc import Sequence
from datetime import datetime

import pandas as pd
from sqlalchemy import BigInteger, Column, DateTime, Engine, Text, text

from bc_ometria.store.copy import copy_out, temporary_keys
from bc_ometria.store.schema import MIRROR, outbox

KEYS: list[Column] = [Column("pkey", BigInteger), Column("ord_num", Text), Column("last_mod", DateTime)]


def orders_placed(engine: Engine, begin: datetime | None, end: datetime) -> set[str]:
    """The orders with a header placed in ``[begin, end)``, the tenant's local time."""
    with engine.connect() as connection:
        return set(
            connection.execute(
                text(
                    f"SELECT DISTINCT ord_num FROM {MIRROR['orders'].fullname} "
                    "WHERE (CAST(:begin AS timestamp) IS NULL OR ord_date >= :begin) AND ord_date < :end"
                ),
                {"begin": begin, "end": end},
            ).scalars()
        )


def incomplete_orders(engine: Engine) -> set[str]:
    """The orders that wait for a part: one without a header belongs to no month."""
    with engine.connect() as connection:
        return set(
            connection.execute(
                text(
                    f"SELECT record_id FROM {outbox.fullname} "
                    "WHERE record_type = 'order' AND state IN ('held', 'drift') AND reason = 'incomplete_order'"
                )
            ).scalars()
        )


def first_order(engine: Engine) -> datetime | None:
    """When the oldest order was placed, the tenant's local time."""
    with engine.connect() as connection:
        return connection.execute(text(f"SELECT min(ord_date) FROM {MIRROR['orders'].fullname}")).scalar_one()


def keys_of(engine: Engine, resource: str, order_numbers: Sequence[str]) -> pd.DataFrame:
    """``pkey``, ``ord_num`` and ``last_mod`` of the mirrored rows of the named orders."""
    with engine.begin() as connection:
        temporary_keys(connection, order_numbers)
        return copy_out(
            connection,
            f"SELECT DISTINCT m.pkey, m.ord_num, m.last_mod FROM {MIRROR[resource].fullname} m "
            "JOIN keys k ON m.ord_num = k.key",
            KEYS,
        )
