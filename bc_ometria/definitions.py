"""Everything Dagster sees, on one page."""

from collections.abc import Mapping
from typing import Any

import dagster as dg

from bc_ometria.assets.delivery import delivered_contacts, delivered_order_events, delivered_orders
from bc_ometria.assets.merges import merged_customers
from bc_ometria.assets.mirror import mirror_assets
from bc_ometria.assets.ometria import ometria_contacts, ometria_orders
from bc_ometria.assets.refresh import refreshed, updates
from bc_ometria.assets.sales import sales_orders
from bc_ometria.assets.sweep import order_keys
from bc_ometria.assets.unsubscribes import ometria_unsubscribes
from bc_ometria.automation.approve import approve
from bc_ometria.automation.jobs import (
    bulk_delivery,
    catalogue_sync,
    check_events,
    check_what_is_open,
    housekeeping,
    live_sync,
    merge_customers,
    read_unsubscribes,
    sweep,
)
from bc_ometria.automation.refresh import refresh
from bc_ometria.automation.schedules import (
    catalogue_schedule,
    checks_of_events,
    hourly_checks,
    nightly_housekeeping,
    nightly_sweep,
    unsubscribes_schedule,
    weekly_sweep,
)
from bc_ometria.automation.sensors import bulk_sensor, live_sensor, merge_sensor
from bc_ometria.checks import ageing, cliff, fill_rates, flow, merges, open_now, unsubscribes
from bc_ometria.resources import BlueCherry, Ometria, Scope, Store, Tenant


def build_defs(overrides: Mapping[str, Any] | None = None) -> dg.Definitions:
    """The code location; ``overrides`` swaps resources by name, for tests."""
    resources: dict[str, Any] = {
        "blue_cherry": BlueCherry(
            base_url=dg.EnvVar("BLUE_CHERRY_BASE_URL"),
            tenant=dg.EnvVar("BLUE_CHERRY_TENANT"),
            environment=dg.EnvVar("BLUE_CHERRY_ENVIRONMENT"),
            api_key=dg.EnvVar("BLUE_CHERRY_API_KEY"),
        ),
        "ometria": Ometria(base_url=dg.EnvVar("OMETRIA_BASE_URL"), api_key=dg.EnvVar("OMETRIA_API_KEY")),
        "store": Store(database_url=dg.EnvVar("BC_OMETRIA_DATABASE_URL")),
        "tenant": Tenant(),
        "scope": Scope.configure_at_launch(),
    }
    return dg.Definitions(
        assets=[
            *mirror_assets,
            updates,
            refreshed,
            order_keys,
            sales_orders,
            ometria_unsubscribes,
            ometria_contacts,
            ometria_orders,
            delivered_contacts,
            delivered_orders,
            delivered_order_events,
            merged_customers,
        ],
        asset_checks=[
            *open_now.checks,
            *ageing.checks,
            *fill_rates.checks,
            *flow.checks,
            *cliff.checks,
            *unsubscribes.checks,
            *merges.checks,
        ],
        jobs=[
            live_sync,
            catalogue_sync,
            read_unsubscribes,
            bulk_delivery,
            merge_customers,
            sweep,
            check_what_is_open,
            check_events,
            approve,
            refresh,
            housekeeping,
        ],
        schedules=[
            catalogue_schedule,
            unsubscribes_schedule,
            hourly_checks,
            checks_of_events,
            nightly_housekeeping,
            nightly_sweep,
            weekly_sweep,
        ],
        sensors=[live_sensor, bulk_sensor, merge_sensor],
        resources={**resources, **(overrides or {})},
    )


defs = build_defs()
