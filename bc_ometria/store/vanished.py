"""Orders that were deleted in Blue Cherry: nothing of them is left in the mirror, and ``sales_orders`` keeps them as
they were last known."""

from collections.abc import Iterable, Sequence
from datetime import datetime

import pandas as pd
from sqlalchemy import Connection, Engine, text

from bc_ometria.store.schema import exceptions, outbox, sales_orders, vanished_orders

PAIRED_WITHIN = "interval '2 days'"
"""How soon an order that is entered again follows (ours)."""

TOLD_FOR = "interval '7 days'"
"""How long people are told that an order was deleted (ours): nothing but its return would mend it."""


def note(connection: Connection, gone: Sequence[str]) -> int:
    """Note those of the orders that were known and are gone now; how many are new.

    That an order is gone is another version of it, so it is mapped again.
    """
    return connection.execute(
        text(
            f"""
            WITH noted AS (
                INSERT INTO {vanished_orders.fullname} (ord_num)
                SELECT ord_num FROM {sales_orders.fullname} WHERE ord_num = ANY(:orders) ORDER BY ord_num
                ON CONFLICT DO NOTHING RETURNING ord_num
            )
            UPDATE {sales_orders.fullname} o SET version = 'gone ' || version, seen_at = now()
            FROM noted WHERE o.ord_num = noted.ord_num
            """
        ),
        {"orders": list(gone)},
    ).rowcount


def forget(connection: Connection, served: Sequence[str]) -> None:
    """Forget those of the orders that Blue Cherry serves again; to be called where their versions are written."""
    connection.execute(
        text(f"DELETE FROM {vanished_orders.fullname} WHERE ord_num = ANY(:orders)"), {"orders": list(served)}
    )


def noticed(engine: Engine, order_numbers: Iterable[str]) -> pd.Series:
    """When each of the named orders that are gone was noticed to be, by its number."""
    with engine.connect() as connection:
        rows = connection.execute(
            text(f"SELECT ord_num, noticed_at FROM {vanished_orders.fullname} WHERE ord_num = ANY(:orders)"),
            {"orders": list(order_numbers)},
        ).all()
    return pd.Series({row.ord_num: row.noticed_at for row in rows}, dtype="datetime64[us, UTC]")


def unknown_to_ometria(engine: Engine, order_numbers: Iterable[str]) -> set[str]:
    """Those of the named orders that Ometria was never sent, and that are not about to be."""
    with engine.connect() as connection:
        return set(
            connection.execute(
                text(
                    f"SELECT n.ord_num FROM unnest(CAST(:orders AS text[])) AS n (ord_num) "
                    f"LEFT JOIN {outbox.fullname} o ON o.record_type = 'order' AND o.record_id = n.ord_num "
                    "WHERE o.record_id IS NULL OR o.state IN ('held', 'excluded') "
                    "AND o.accepted_at IS NULL AND o.in_flight_version IS NULL"
                ),
                {"orders": list(order_numbers)},
            ).scalars()
        )


def perhaps_entered_again(engine: Engine, order_numbers: Iterable[str]) -> pd.DataFrame:
    """Orders of the same customer that were placed between two days before each named one and two days after its last
    change, and that are still there: ``ord_num``, ``other``, and ``document`` of the other."""
    columns = ["ord_num", "other", "document"]
    with engine.connect() as connection:
        rows = connection.execute(
            text(
                f"""
                SELECT o.ord_num, n.ord_num, n.document
                FROM {sales_orders.fullname} o
                JOIN {sales_orders.fullname} n ON n.customer = o.customer AND n.ord_num <> o.ord_num
                    AND n.placed_at >= o.placed_at - {PAIRED_WITHIN}
                    AND n.placed_at <= greatest(o.placed_at, o.changed_at) + {PAIRED_WITHIN}
                LEFT JOIN {vanished_orders.fullname} v ON v.ord_num = n.ord_num
                WHERE o.ord_num = ANY(:orders) AND v.ord_num IS NULL
                ORDER BY o.ord_num, n.ord_num
                """
            ),
            {"orders": list(order_numbers)},
        ).all()
    return pd.DataFrame([tuple(row) for row in rows], columns=columns, dtype=object)


def lately(engine: Engine, order_numbers: Iterable[str]) -> set[str]:
    """Those of the named orders that were noticed to be gone so lately that people are told of it."""
    with engine.connect() as connection:
        return set(
            connection.execute(
                text(
                    f"SELECT ord_num FROM {vanished_orders.fullname} "
                    f"WHERE ord_num = ANY(:orders) AND noticed_at > now() - {TOLD_FOR}"
                ),
                {"orders": list(order_numbers)},
            ).scalars()
        )


def look_again(connection: Connection, begin: datetime | None, end: datetime) -> int:
    """Have orders that are gone mapped again, of those placed in ``[begin, end)``: the new ones, because the one that
    takes their place may be entered later, and those that people have been told of for long enough. How many."""
    return connection.execute(
        text(
            f"""
            UPDATE {sales_orders.fullname} o SET mapped_version = NULL FROM {vanished_orders.fullname} v
            WHERE v.ord_num = o.ord_num
                AND (CAST(:begin AS timestamp) IS NULL OR o.placed_at >= :begin) AND o.placed_at < :end
                AND (v.noticed_at > now() - {PAIRED_WITHIN} OR v.noticed_at <= now() - {TOLD_FOR} AND EXISTS (
                    SELECT FROM {exceptions.fullname} e WHERE e.record_type = 'order' AND e.record_id = v.ord_num
                        AND e.code = 'order_vanished' AND e.is_open
                ))
            """
        ),
        {"begin": begin, "end": end},
    ).rowcount
