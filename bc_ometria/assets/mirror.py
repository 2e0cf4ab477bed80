"""``blue_cherry/…``: Blue Cherry's rows as last seen."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import dagster as dg
import pandas as pd
from sqlalchemy import Engine

from bc_ometria.assets.overlap import write_behind
from bc_ometria.assets.recognised import Known
from bc_ometria.automation.partitions import change_day
from bc_ometria.automation.retention import mark_changed
from bc_ometria.blue_cherry.client import BlueCherryClient, Page, Row
from bc_ometria.blue_cherry.profile import TenantProfile
from bc_ometria.blue_cherry.rows import TypedRows, typed_rows, unknown_columns
from bc_ometria.blue_cherry.schemas import frame_dtypes
from bc_ometria.blue_cherry.stamps import first_moment
from bc_ometria.delivery import guard
from bc_ometria.resources import BlueCherry, Scope, Store, Tenant, day_of
from bc_ometria.rules import GuardThresholds
from bc_ometria.store import catalogue, known, mirror, to_refresh
from bc_ometria.store import unknown_columns as columns_told_of
from bc_ometria.store.mirror import Written
from bc_ometria.store.touched import Kind

_BATCH = 10_000  # rows typed and written at once: validation has a cost per call, memory one per row
_NAMED = 20  # columns in a message
_LOOKS_BACK = (100, 1_000, 10_000, 100_000)  # known rows, step by step, until one is served as it is known

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


@dataclass(frozen=True)
class Extract:
    """What came of reading a resource.

    ``new_columns``: those that were never served before and that nothing reads. ``stamped_ahead``: new rows with a
    stamp of the future. ``not_served``: known rows that are gone, whose orders or customers are now to be read again.
    ``warnings`` says all that is unusual in words.
    """

    written: Written = field(default_factory=Written)
    new_columns: tuple[str, ...] = ()
    stamped_ahead: int = 0
    not_served: int = 0
    warnings: tuple[str, ...] = ()

    def __add__(self, other: "Extract") -> "Extract":
        return Extract(
            self.written + other.written,
            self.new_columns + other.new_columns,
            self.stamped_ahead + other.stamped_ahead,
            self.not_served + other.not_served,
            self.warnings + other.warnings,
        )


def capture(
    engine: Engine,
    blue_cherry: BlueCherryClient,
    profile: TenantProfile,
    resource: str,
    *,
    known_rows: Known | None = None,
    **window: Any,
) -> Extract:
    """Read the rows of a resource in a window of change stamps and write them to the mirror, batch by batch.

    Without ``modified_before`` this reads on to the present and moves the watermark with each batch; a batch whose
    commit fails is read again by the next run. The watermark never moves beyond Blue Cherry's own present, the ``Date``
    of its replies: a row stamped 2099, or by a clock that was ahead for a while, would otherwise hide all that comes
    until then. Such a row is taken like any other, and read again until its time has come. Our clock is not asked.

    ``known_rows`` takes note of those that are met; as long as none is met as it is known the watermark stays, see
    ``_look_for_lost``: the next run begins at the same place, whatever becomes of this one. Raises what the client
    raises, and ``MissingColumn``.
    """
    columns, ahead = set[str](), list[datetime]()

    def batches() -> Iterator[tuple[TypedRows, datetime | None]]:
        for rows, served_at in _batches(blue_cherry.pages(resource, **window)):
            typed, present = typed_rows(resource, rows, profile), profile.local(served_at)
            columns.update(unknown_columns(resource, rows, profile))
            if known_rows is None:
                new, is_sure = typed.frame.drop_duplicates("pkey")["last_mod"], True
            else:
                new = known_rows.meet(typed, present)
                is_sure = known_rows.newest_unchanged is not None
            ahead.extend(_ahead(new, served_at, profile))
            yield typed, present if is_sure and "modified_before" not in window else None

    def write(batch: tuple[TypedRows, datetime | None]) -> Written:
        (frame, held), present = batch
        return mirror.write(engine, resource, frame, held, moves_watermark=present is not None, not_beyond=present)

    written = sum(write_behind(batches(), write), Written())
    new_columns = columns_told_of.note(engine, resource, columns)
    warnings = []
    if new_columns:
        named = ", ".join(new_columns[:_NAMED]) + (" …" if len(new_columns) > _NAMED else "")
        warnings.append(f"Blue Cherry's {resource} have columns that were not there before and nothing reads: {named}.")
    if ahead:
        warnings.append(
            f"{len(ahead)} new {resource} are stamped in Blue Cherry's future, up to {max(ahead)}. They are taken; "
            "look at its clock, and at time_zone in tenant.yaml."
        )
    return Extract(written, tuple(new_columns), len(ahead), warnings=tuple(warnings))


def _ahead(stamps: pd.Series, served_at: datetime, profile: TenantProfile) -> list[datetime]:
    """Those of the stamps that are further ahead than the overlap, whichever of two hours they mean."""
    present = served_at + profile.overlap
    later = stamps[stamps > profile.local(present)].dt.to_pydatetime()
    return [stamp for stamp in later if stamp.year == 9999 or first_moment(stamp, profile.zone) > present]


def capture_news(
    engine: Engine, blue_cherry: BlueCherryClient, profile: TenantProfile, thresholds: GuardThresholds, resource: str
) -> Extract:
    """Read what is new of a resource since its watermark, from the overlap on.

    Of the first reading nothing is judged, and nothing of the catalogue: that only describes what orders have.
    """
    watermark = mirror.watermark(engine, resource)
    if watermark is None:
        return capture(engine, blue_cherry, profile, resource)
    since = profile.read_from(watermark)
    if resource in catalogue.RESOURCES:
        return capture(engine, blue_cherry, profile, resource, modified_since=since)
    recent = Known(known.stamps(engine, resource, since))
    extract = capture(engine, blue_cherry, profile, resource, known_rows=recent, modified_since=since)
    rows = extract.written.rows + extract.written.held
    unusual = guard.judge_reading(engine, thresholds, resource, rows, len(recent), watermark - since)
    if unusual:
        extract += Extract(warnings=(f"{unusual}. What it feeds waits until `bc-ometria approve`.",))
    return extract + _look_for_lost(engine, blue_cherry, profile, resource, recent, since)


def _look_for_lost(
    engine: Engine,
    blue_cherry: BlueCherryClient,
    profile: TenantProfile,
    resource: str,
    recent: Known,
    since: datetime,
) -> Extract:
    """Have the orders or customers read again whole of which a row is not served any more: it was deleted, or Blue
    Cherry was put back to an earlier state.

    A row that is served as it is known proves that all which changed before it is still so. Where a reading met none,
    known rows further back are read until one is met; all behind it that are not served count as lost, and the
    watermark goes back to it, because what changes from now on may be stamped from there on. Where none is met at all,
    that proves no restore, but rather a failure: nothing counts as lost, and the guard and the sweep have their say.
    What changes while this reads may be taken for lost; it is only read again once more.
    """
    extract, missing, met, begin = Extract(), recent.missing, recent.newest_unchanged, since
    for rows in _LOOKS_BACK:
        if met or (older := known.stamp_before(engine, resource, begin, rows)) is None:
            break
        before, begin = begin, older
        further = Known(known.stamps(engine, resource, begin, before))
        window: dict[str, Any] = {"modified_since": begin, "modified_before": before}
        extract += capture(engine, blue_cherry, profile, resource, known_rows=further, **window)
        missing += further.missing
        met = further.newest_unchanged
    if not missing:
        return extract
    if not met:
        told = f"Blue Cherry serves none of the {resource} that it changed last. Nothing is taken for deleted for it."
        return extract + Extract(warnings=(told,))
    keys = known.references(engine, resource, missing)
    kind: Kind = "customer" if resource in mirror.CUSTOMER_RESOURCES else "order"
    to_refresh.ask(engine, kind, keys)
    told = f"{len(missing)} {resource} are not served any more: {len(keys)} {kind}s are to be read again whole"
    if met < since:
        mirror.put_watermark_back(engine, resource, met)
        told += f". Blue Cherry seems to have been put back to an earlier state, of {met} at the earliest"
    return extract + Extract(not_served=len(missing), warnings=(f"{told}.",))


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


def _batches(pages: Iterator[Page]) -> Iterator[tuple[list[Row], datetime]]:
    """Rows of several pages together, and when the last of them was served; the next batch is fetched while one is
    worked on."""

    def next_batch() -> tuple[list[Row], datetime | None]:
        rows: list[Row] = []
        served_at = None
        for page in pages:
            rows += page.rows
            served_at = page.served_at
            if len(rows) >= _BATCH:
                break
        return rows, served_at

    with ThreadPoolExecutor(1, thread_name_prefix="read") as ahead:
        coming = ahead.submit(next_batch)
        while True:
            rows, served_at = coming.result()
            if not rows or served_at is None:
                return
            coming = ahead.submit(next_batch)
            yield rows, served_at


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
        total = Extract()
        with blue_cherry.client(tenant.profile) as client:
            for resource in resources:
                if scope.only_new:
                    limits = tenant.rules.thresholds.guard
                    extract = capture_news(store.engine, client, tenant.profile, limits, resource)
                else:
                    begin, end = day_of(context.partition_key)
                    window: dict[str, Any] = {"modified_since": begin, "modified_before": end}
                    extract = capture(store.engine, client, tenant.profile, resource, **window)
                written = extract.written
                context.log.info(
                    f"{resource}: {written.rows} rows read, {written.changed} changed, {written.held} held"
                )
                for warning in extract.warnings:
                    context.log.warning(warning)
                total += extract
        if total.written.changed:
            mark_changed(context)
        return dg.MaterializeResult(
            metadata={
                "rows_read": total.written.rows,
                "rows_changed": total.written.changed,
                "rows_held": total.written.held,
                "rows_stamped_ahead": total.stamped_ahead,
                "rows_not_served_any_more": total.not_served,
                "new_columns": list(total.new_columns),
                "took": "only what is new" if scope.only_new else "the whole day",
            }
        )

    return mirrored


def _column_schema(resource: str) -> dg.TableSchema:
    return dg.TableSchema([dg.TableColumn(name, dtype) for name, dtype in frame_dtypes(resource).items()])


mirror_assets = [_mirror_asset(name, resources) for name, resources in MIRRORED.items()]
