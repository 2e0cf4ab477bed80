"""Everything Dagster sees, on one page."""

from collections.abc import Mapping
from typing import Any

import dagster as dg

from bc_ometria.assets.delivery import delivered_contacts, delivered_order_events, delivered_orders
from bc_ometria.assets.mirror import mirror_assets
from bc_ometria.assets.ometria import ometria_contacts, ometria_orders
from bc_ometria.assets.sales import sales_orders
from bc_ometria.automation.approve import approve
from bc_ometria.automation.jobs import bulk_delivery, check_events, check_what_is_open, housekeeping, live_sync
from bc_ometria.automation.schedules import checks_of_events, hourly_checks, nightly_housekeeping
from bc_ometria.automation.sensors import bulk_sensor, live_sensor
from bc_ometria.checks import ageing, cliff, fill_rates, flow, open_now
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
            sales_orders,
            ometria_contacts,
            ometria_orders,
            delivered_contacts,
            delivered_orders,
            delivered_order_events,
        ],
        asset_checks=[*open_now.checks, *ageing.checks, *fill_rates.checks, *flow.checks, *cliff.checks],
        jobs=[live_sync, bulk_delivery, check_what_is_open, check_events, approve, housekeeping],
        schedules=[hourly_checks, checks_of_events, nightly_housekeeping],
        sensors=[live_sensor, bulk_sensor],
        resources={**resources, **(overrides or {})},
    )


defs = build_defs()
