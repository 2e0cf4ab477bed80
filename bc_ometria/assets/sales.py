"""``sales/orders``: header, lines, stages, shipments and returns of one order in one document."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import dagster as dg
import orjson
import pandas as pd
from sqlalchemy import Engine

from bc_ometria.assets.mirror import MIRRORED, capture, capture_orders
from bc_ometria.assets.overlap import write_behind
from bc_ometria.automation.partitions import change_day
from bc_ometria.automation.retention import mark_changed
from bc_ometria.blue_cherry.client import BlueCherryClient
from bc_ometria.blue_cherry.errors import BlueCherryError
from bc_ometria.blue_cherry.profile import TenantProfile
from bc_ometria.mapping.assemble import assemble
from bc_ometria.mapping.documents import to_documents
from bc_ometria.mapping.money import is_whole
from bc_ometria.resources import BlueCherry, Scope, Store, Tenant, day_of
from bc_ometria.store import catalogue, mirror, sales, touched
from bc_ometria.store.database import one_at_a_time
from bc_ometria.store.touched import Touched

_BATCH = 5_000  # orders assembled at once
_ASSEMBLING = "assembling orders"


Reread = Callable[[Sequence[str]], None]
"""Reads the named orders again whole, from Blue Cherry into the mirror."""

Assembled = tuple[pd.DataFrame, Touched, list[str]]
"""Assembled orders as ``sales.put`` takes them, the touches that they settle, and orders of which nothing is left."""


def assemble_touched(engine: Engine, reread: Reread) -> tuple[int, int]:
    """Assemble every order of which a row changed; how many were assembled, and how many came out new."""
    assembled = 0

    def batches() -> Iterator[Assembled]:
        nonlocal assembled
        last = ""
        while numbers := touched.waiting(engine, "order", _BATCH, after=last):
            yield _assembled(engine, numbers, reread)
            assembled, last = assembled + len(numbers), numbers[-1]

    with one_at_a_time(engine, _ASSEMBLING):
        new = sum(write_behind(batches(), lambda batch: sales.put(engine, *batch)))
    return assembled, new


def assemble_orders(engine: Engine, order_numbers: Sequence[str], reread: Reread) -> int:
    """Assemble the named orders from the mirror and settle what touched them; how many came out new.

    A header's stamp does not move with its lines, and a deleted line leaves no trace. So an order that the
    mirror cannot prove to be whole is read again by its number first. One of which nothing is left then was deleted
    in Blue Cherry, and stays as it was last known.
    """
    with one_at_a_time(engine, _ASSEMBLING):
        return sales.put(engine, *_assembled(engine, order_numbers, reread))


def _assembled(engine: Engine, order_numbers: Sequence[str], reread: Reread) -> Assembled:
    done = touched.of(engine, "order", order_numbers)
    rows, held_rows = mirror.read_orders(engine, order_numbers)
    orders = assemble(rows, order_numbers)
    doubtful = orders.headers.loc[~is_whole(orders), "ord_num"].tolist()
    if doubtful:
        reread(doubtful)
        done = touched.of(engine, "order", order_numbers)
        rows, held_rows = mirror.read_orders(engine, order_numbers)
        orders = assemble(rows, order_numbers)
    documents, versions = to_documents(orders)
    assembled = pd.DataFrame(
        {
            "ord_num": orders.headers["ord_num"],
            "document": documents,
            "version": _with_faults(versions, orders.headers["ord_num"], held_rows),
            "customer": orders.headers["customer"],
            "changed_at": orders.headers["changed_at"],
            "placed_at": orders.headers["ord_date"],
        }
    )
    # A row without a stamp is held, so only an order without any row has none; one with a held row is still there.
    is_gone = orders.headers["changed_at"].isna() & ~orders.headers["ord_num"].isin(held_rows["reference"])
    return assembled[~is_gone], done, orders.headers.loc[is_gone, "ord_num"].tolist()


def _with_faults(versions: Sequence[str], order_numbers: pd.Series, held_rows: pd.DataFrame) -> list[str]:
    """Other versions for orders with malformed rows. The mirror keeps the last good rows, so the document alone
    would look as before: the order would not be held, nor go again when they are mended."""
    columns = ["resource", "row_key", "field", "rule", "masked"]
    faults: dict[str, list] = {}
    for reference, *fault in held_rows[["reference", *columns]].sort_values(columns).itertuples(index=False):
        faults.setdefault(str(reference), []).append(fault)
    return [
        hashlib.blake2b(orjson.dumps([version, faults[number]]), digest_size=16).hexdigest()
        if number in faults
        else version
        for version, number in zip(versions, order_numbers.tolist(), strict=True)
    ]


def read_catalogue_first(engine: Engine, blue_cherry: BlueCherryClient, profile: TenantProfile) -> str:
    """Read the catalogue where the store has no order yet; what could not be read of it, blank where all could.

    Otherwise the first orders would go without the names of their sizes and colours, and all of them once more when
    ``catalogue_sync`` brings those. It keeps no order back: what cannot be read now comes later.
    """
    if sales.is_any_known(engine):
        return ""
    trouble = []
    for resource in catalogue.RESOURCES:
        if mirror.watermark(engine, resource) is None:
            try:
                capture(engine, blue_cherry, profile, resource, modified_since=None)
            except BlueCherryError as error:
                trouble.append(f"{resource}: {error}")
    return " ".join(trouble)


@dg.asset(
    key=["sales", "orders"],
    deps=[["blue_cherry", name] for name in (*MIRRORED, "refreshed") if name != "addresses"],
    group_name="sales",
    partitions_def=change_day,
    kinds={"postgres", "pandas"},
    owners=["team:operations"],
    description="Whole orders: header, lines, stages, shipments and returns of one order in one document.",
)
def sales_orders(
    context: dg.AssetExecutionContext, blue_cherry: BlueCherry, store: Store, tenant: Tenant, scope: Scope
) -> dg.MaterializeResult:
    with blue_cherry.client(tenant.profile) as client:
        if trouble := read_catalogue_first(store.engine, client, tenant.profile):
            context.log.warning(f"Orders go without what the catalogue says of them. {trouble}")
        reread = partial(capture_orders, store.engine, client, tenant.profile)
        if scope.only_new:
            assembled, new = assemble_touched(store.engine, reread)
        else:
            day = day_of(context.partition_key)
            numbers = mirror.changed_between(store.engine, mirror.ORDER_RESOURCES, *day)
            assembled, new = len(numbers), 0
            for at in range(0, len(numbers), _BATCH):
                batch = numbers[at : at + _BATCH]
                new += assemble_orders(store.engine, batch, reread)
    if new:
        mark_changed(context)
    return dg.MaterializeResult(metadata={"orders_assembled": assembled, "orders_changed": new})
