"""``sweep/order_keys``: what Blue Cherry still serves of the orders of a month, held against the mirror.

A row that is deleted in Blue Cherry leaves no trace. So the keys and stamps of all that is served of a month's orders
are compared with the mirror's, and every order that differs is read again whole, by its number. Only that second
reading takes rows from the mirror: a page that failed or was short, or a row that moved from one to another, makes an
order be read once too often and no more. What changed is touched, so ``live_sync`` does the rest.
"""

from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass
from datetime import datetime

import dagster as dg
import pandas as pd
from pydantic import Field
from sqlalchemy import Engine

from bc_ometria.assets.mirror import capture_orders
from bc_ometria.automation.partitions import order_month, placed_in
from bc_ometria.blue_cherry.client import BlueCherryClient, Page
from bc_ometria.blue_cherry.profile import TenantProfile
from bc_ometria.blue_cherry.rows import KEYS, typed_keys
from bc_ometria.resources import BlueCherry, Store, Tenant
from bc_ometria.rules import GuardThresholds
from bc_ometria.store import mirror, sweep, vanished

_COMPARED = 1_000  # orders whose rows are compared at once
_READ_AGAIN = 100  # orders read whole at once: what changes meanwhile must not be taken for gone for long

_MAKE_AN_ORDER = ("orders", "order_lines")
"""Their rows are only ever deleted by somebody; others may be tidied up by Blue Cherry itself."""


@dataclass(frozen=True)
class Compared:
    """The orders of a month: how many the mirror knows and how many Blue Cherry serves; which of them differ, and which
    of those have lost a header or a line."""

    known: int
    served: int
    differing: frozenset[str]
    lost: frozenset[str]

    def doubt(self, guard: GuardThresholds) -> str:
        """Why this looks like a failure of Blue Cherry and not like deletions; blank where it does not."""
        if self.known and not self.served:
            return f"Blue Cherry serves none of the {self.known:,} orders that were placed then"
        lost, percent = len(self.lost), guard.orders_become_invalid
        if lost >= guard.least and 100 * lost >= percent * self.known:
            return (
                f"Blue Cherry serves {lost:,} of the {self.known:,} orders that were placed then no longer, or without "
                f"lines that they had: {100 * lost / self.known:.0f} %, and {percent:g} % are taken for a failure"
            )
        return ""


def compare_keys(
    engine: Engine, blue_cherry: BlueCherryClient, profile: TenantProfile, begin: datetime | None, end: datetime
) -> Compared:
    """Compare the keys and change stamps of all rows of the orders placed in ``[begin, end)`` with the mirror's.

    The mirror is read first: what comes meanwhile is served and not known, and not the other way round.
    """
    known = sweep.orders_placed(engine, begin, end)
    in_mirror = sweep.keys_of(engine, "orders", sorted(known))
    placed = _keys("orders", blue_cherry.pages("orders", ord_date_from=begin, ord_date_to=end, select=KEYS), profile)
    served = set(placed["ord_num"])
    differing, lost = _apart(in_mirror, placed)
    for numbers in _parts(known | served | sweep.incomplete_orders(engine), _COMPARED):
        for resource in mirror.ORDER_RESOURCES[1:]:
            in_mirror = sweep.keys_of(engine, resource, numbers)
            pages = blue_cherry.pages(resource, order_numbers=numbers, select=KEYS)
            apart, gone = _apart(in_mirror, _keys(resource, pages, profile))
            differing |= apart
            lost |= gone if resource in _MAKE_AN_ORDER else set()
    return Compared(len(known), len(served), frozenset(differing), frozenset(lost))


def _parts(order_numbers: Set[str], size: int) -> Iterator[Sequence[str]]:
    in_order = sorted(order_numbers)
    return (in_order[at : at + size] for at in range(0, len(in_order), size))


def _keys(resource: str, pages: Iterable[Page], profile: TenantProfile) -> pd.DataFrame:
    return typed_keys(resource, [row for page in pages for row in page.rows], profile)


def _apart(in_mirror: pd.DataFrame, served: pd.DataFrame) -> tuple[set[str], set[str]]:
    """The orders of rows that are only on one side, or have another order or stamp there; and those of rows that are
    only in the mirror."""
    sides = in_mirror.merge(served, how="outer", on=list(KEYS), indicator=True)
    apart = sides[sides["_merge"] != "both"]
    return set(apart["ord_num"]), set(in_mirror.loc[~in_mirror["pkey"].isin(served["pkey"]), "ord_num"])


class Sweep(dg.Config):
    """How a month is swept."""

    deletions_confirmed: bool = Field(
        default=False,
        description="A person has looked: however many orders of this month are missing, they were deleted.",
    )


@dg.asset(
    key=["sweep", "order_keys"],
    deps=[["blue_cherry", "orders"]],
    group_name="sweep",
    partitions_def=order_month,
    kinds={"postgres", "pandas"},
    owners=["team:operations"],
    description="What Blue Cherry still serves of the orders of a month. An order that differs from the mirror is read "
    "again whole; what was deleted goes from the mirror, and live_sync tells Ometria.",
)
def order_keys(
    context: dg.AssetExecutionContext, config: Sweep, blue_cherry: BlueCherry, store: Store, tenant: Tenant
) -> dg.MaterializeResult:
    engine, profile = store.engine, tenant.profile
    begin, end = placed_in(context.partition_key)
    with blue_cherry.client(profile) as client:
        compared = compare_keys(engine, client, profile, begin, end)
        doubt = compared.doubt(tenant.rules.thresholds.guard)
        if doubt and not config.deletions_confirmed:
            raise dg.Failure(
                f"{doubt}. Nothing was taken for deleted. If they were deleted, materialize this month with "
                "deletions_confirmed: true.",
                allow_retries=False,
            )
        for numbers in _parts(compared.differing, _READ_AGAIN):
            capture_orders(engine, client, profile, numbers)
    with engine.begin() as connection:
        vanished.look_again(connection, begin, end)
    return dg.MaterializeResult(
        metadata={
            "orders_known": compared.known,
            "orders_served": compared.served,
            "orders_read_again": len(compared.differing),
            "orders_with_rows_gone": len(compared.lost),
        }
    )
