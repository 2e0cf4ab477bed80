"""``blue_cherry/…``: Blue Cherry's rows as last seen."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import dagster as dg
from sqlalchemy import Engine

from bc_ometria.assets.overlap import write_behind
from bc_ometria.automation.partitions import change_day
from bc_ometria.automation.retention import mark_changed
from bc_ometria.blue_cherry.client import BlueCherryClient
from bc_ometria.blue_cherry.profile import TenantProfile
from bc_ometria.blue_cherry.rows import TypedRows, typed_rows
from bc_ometria.blue_cherry.schemas import frame_dtypes
from bc_ometria.delivery import guard
from bc_ometria.resources import BlueCherry, Scope, Store, Tenant, day_of
from bc_ometria.rules import GuardThresholds
from bc_ometria.store import catalogue, extracts, mirror
from bc_ometria.store.mirror import Written

OVERLAP = timedelta(minutes=15)
"""How far behind the watermark reading starts again: rows may be committed late with an older stamp. Hashes
make the overlap free."""

_BATCH = 10_000  # rows typed and written at once: validation has a cost per call, memory one per row

MIRRORED: dict[str, tuple[str, ...]] = {
    "customers": ("customers",),
    "addresses": ("addresses",),
    "orders": ("orders",),
    "order_lines": ("order_lines",),
    "order_stages": ("order_stages",),
    "shipments": ("shipments", "shipment_lines"),
    "returns": ("returns", "return_lines"),
    "styles": ("styles",),
    "style_colors": ("style_colors",),
    "sizes": ("sizes",),
    "upcs": ("upcs",),
}
"""The resources that each asset mirrors."""

_DESCRIPTIONS = {
    "customers": "Customers (zzxcustr): master data, consent and loyalty.",
    "addresses": "A customer's addresses (zzxstorr). A new default address changes rows here, not the customer.",
    "orders": "Order headers (zzoordrh). The header's status is a claim; quantities are the evidence.",
    "order_lines": "Order lines (zzoordrd), one row per SKU: the size buckets are unfolded.",
    "order_stages": "Quantities of each order line by movement type (open, picked, invoiced, cancelled …).",
    "shipments": "Shipments and their lines (zzoshprh, zzoshprd).",
    "returns": "Returns and their lines (zznretnh, zznretnd).",
    "styles": "Styles (zzxstylr): what a product is called and which size scale it has.",
    "style_colors": "Colours of each style (zzxscolr), with the names that people read.",
    "sizes": "Size scales (zzxsizer): the label of each size bucket.",
    "upcs": "UPCs (zzeupcnr) of SKUs without a label.",
}


def capture(
    engine: Engine, blue_cherry: BlueCherryClient, profile: TenantProfile, resource: str, **window: Any
) -> Written:
    """Read the rows of a resource in a window of change stamps and write them to the mirror, batch by batch.

    Without ``modified_before`` this reads on to the present and moves the watermark with each batch; a batch
    whose commit fails is read again by the next run. Raises what the client raises, and ``MissingColumn``.
    """

    def write(typed: TypedRows) -> Written:
        moves_watermark = "modified_before" not in window
        return mirror.write(engine, resource, typed.frame, typed.held, moves_watermark=moves_watermark)

    batches = _batches(blue_cherry.pages(resource, **window))
    return sum(write_behind((typed_rows(resource, rows, profile) for rows in batches), write), Written())


def capture_news(
    engine: Engine, blue_cherry: BlueCherryClient, profile: TenantProfile, thresholds: GuardThresholds, resource: str
) -> tuple[Written, str]:
    """Read what is new of a resource since its watermark; and what is unusual about how much that was, blank where
    nothing is.

    The first reading is not judged, and neither is the catalogue: it only describes what orders have.
    """
    stamp = mirror.watermark(engine, resource)
    if stamp is None or resource in catalogue.RESOURCES:
        since = stamp - OVERLAP if stamp else None
        return capture(engine, blue_cherry, profile, resource, modified_since=since), ""
    known = extracts.known_rows(engine, resource, stamp - OVERLAP)
    written = capture(engine, blue_cherry, profile, resource, modified_since=stamp - OVERLAP)
    rows = written.rows + written.held
    return written, guard.judge_reading(engine, thresholds, resource, rows, known, OVERLAP)


def capture_orders(
    engine: Engine, blue_cherry: BlueCherryClient, profile: TenantProfile, order_numbers: Sequence[str]
) -> None:
    """Read the named orders whole, every part of them, and take what is gone in Blue Cherry from the mirror."""
    for resource in mirror.ORDER_RESOURCES:
        rows = [row for page in blue_cherry.pages(resource, order_numbers=order_numbers) for row in page.rows]
        typed = typed_rows(resource, rows, profile)
        mirror.write(engine, resource, typed.frame, typed.held, all_rows_of=order_numbers)


def capture_customers(
    engine: Engine, blue_cherry: BlueCherryClient, profile: TenantProfile, customers: Sequence[str]
) -> None:
    """Read the named customers and all their addresses, and take what is gone in Blue Cherry from the mirror."""
    for resource in mirror.CUSTOMER_RESOURCES:
        rows = [row for page in blue_cherry.pages(resource, customers=customers) for row in page.rows]
        typed = typed_rows(resource, rows, profile)
        mirror.write(engine, resource, typed.frame, typed.held, all_rows_of=customers)


def _batches(pages: Iterator[Any]) -> Iterator[list]:
    """Rows of several pages together; the next batch is fetched while one is worked on."""

    def next_batch() -> list:
        rows: list = []
        for page in pages:
            rows += page.rows
            if len(rows) >= _BATCH:
                break
        return rows

    with ThreadPoolExecutor(1, thread_name_prefix="read") as ahead:
        coming = ahead.submit(next_batch)
        while rows := coming.result():
            coming = ahead.submit(next_batch)
            yield rows


def _mirror_asset(name: str, resources: Sequence[str]) -> dg.AssetsDefinition:
    @dg.asset(
        key=["blue_cherry", name],
        group_name="catalogue" if name in catalogue.RESOURCES else "blue_cherry",
        partitions_def=change_day,
        kinds={"postgres"},
        owners=["team:operations"],
        description=_DESCRIPTIONS[name],
        metadata={"dagster/column_schema": _column_schema(resources[0])},
    )
    def mirrored(
        context: dg.AssetExecutionContext, blue_cherry: BlueCherry, store: Store, tenant: Tenant, scope: Scope
    ) -> dg.MaterializeResult:
        total = Written()
        with blue_cherry.client(tenant.profile) as client:
            for resource in resources:
                if scope.only_new:
                    limits = tenant.rules.thresholds.guard
                    written, unusual = capture_news(store.engine, client, tenant.profile, limits, resource)
                    if unusual:
                        context.log.warning(f"{unusual}. What it feeds waits until `bc-ometria approve`.")
                else:
                    begin, end = day_of(context.partition_key)
                    window = {"modified_since": begin, "modified_before": end}
                    written = capture(store.engine, client, tenant.profile, resource, **window)
                context.log.info(
                    f"{resource}: {written.rows} rows read, {written.changed} changed, {written.held} held"
                )
                total += written
        if total.changed:
            mark_changed(context)
        return dg.MaterializeResult(
            metadata={
                "rows_read": total.rows,
                "rows_changed": total.changed,
                "rows_held": total.held,
                "took": "only what is new" if scope.only_new else "the whole day",
            }
        )

    return mirrored


def _column_schema(resource: str) -> dg.TableSchema:
    return dg.TableSchema([dg.TableColumn(name, dtype) for name, dtype in frame_dtypes(resource).items()])


mirror_assets = [_mirror_asset(name, resources) for name, resources in MIRRORED.items()]
