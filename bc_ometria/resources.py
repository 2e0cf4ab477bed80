"""What the assets work with: the two systems, the store, the rules, and how much of a partition a run takes."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

import dagster as dg
from pydantic import Field
from sqlalchemy import Engine

from bc_ometria.blue_cherry.client import BlueCherryClient
from bc_ometria.blue_cherry.profile import TenantProfile
from bc_ometria.config import load_profile, load_rules
from bc_ometria.delivery.budget import SharedBudget
from bc_ometria.ometria.budget import Limits
from bc_ometria.ometria.client import OmetriaClient
from bc_ometria.rules import Rules
from bc_ometria.store import lives
from bc_ometria.store.database import connect, migrate


class BlueCherry(dg.ConfigurableResource):
    """The tenant's Blue Cherry; only ever read."""

    base_url: str
    tenant: str
    environment: str
    api_key: str = Field(json_schema_extra={"dagster__is_secret": True})

    def client(self, profile: TenantProfile, *, patience: float | None = None) -> BlueCherryClient:
        """A client; with ``patience``, one whose calls all together take no longer than so many seconds."""
        return BlueCherryClient(self.base_url, self.tenant, self.environment, self.api_key, profile, patience=patience)


class Ometria(dg.ConfigurableResource):
    """The Ometria account."""

    base_url: str
    api_key: str = Field(json_schema_extra={"dagster__is_secret": True})

    def client(self, rules: Rules, engine: Engine) -> OmetriaClient:
        """A client whose calls count together with those of every other process on the same store."""
        budget = SharedBudget(engine, Limits(**rules.account.limits.model_dump()))
        return OmetriaClient(self.base_url, self.api_key, budget=budget)


class Store(dg.ConfigurableResource):
    """The project's tables in PostgreSQL, migrated when first used."""

    database_url: str = Field(json_schema_extra={"dagster__is_secret": True})

    @cached_property
    def engine(self) -> Engine:
        engine = connect(self.database_url)
        migrate(engine)
        return engine

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator["Store"]:
        """Show of a run that it lives (``automation.orphans``), and close the connections of this run or tick: the code
        server makes a new one of this for each."""
        try:
            with lives.alive(self.engine, context.run.run_id) if context.run else nullcontext():
                yield self
        finally:
            if "engine" in self.__dict__:
                self.engine.dispose()


class Tenant(dg.ConfigurableResource):
    """The tenant's rules and profile, read anew by every run."""

    @cached_property
    def rules(self) -> Rules:
        return load_rules()

    @cached_property
    def profile(self) -> TenantProfile:
        return load_profile()


class Scope(dg.ConfigurableResource):
    """How much of its partition a run takes.

    The whole of it where a person or a backfill starts the run. The live sensor's run takes only what is new
    since the watermarks, and whatever waits in the store.
    """

    only_new: bool = False


def run_config(*, only_new: bool, log_level: str = "INFO") -> dict[str, Any]:
    """Run config of a run with that ``Scope``; ``log_level`` is for the process's own output."""
    return {
        "resources": {"scope": {"config": {"only_new": only_new}}},
        "loggers": {"console": {"config": {"log_level": log_level}}},
    }


def day_of(partition_key: str) -> tuple[datetime, datetime]:
    """Begin and end of a ``change_day`` in the tenant's local time, as Blue Cherry stamps it."""
    begin = datetime.strptime(partition_key, "%Y-%m-%d")  # noqa: DTZ007
    return begin, begin + timedelta(days=1)
