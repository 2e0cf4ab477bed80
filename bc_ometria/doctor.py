"""Whether everything that the project needs is there, in plain words."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from sqlalchemy.exc import SQLAlchemyError

from bc_ometria.blue_cherry.client import BlueCherryClient
from bc_ometria.blue_cherry.errors import BlueCherryError
from bc_ometria.config import Settings, SettingsError, load_profile, load_rules
from bc_ometria.ometria.budget import Budget, Limits
from bc_ometria.ometria.client import OmetriaClient
from bc_ometria.ometria.errors import OmetriaError
from bc_ometria.rules import RulesError
from bc_ometria.store.database import connect, is_current


@dataclass(frozen=True)
class Finding:
    """One thing that was tested; ``advice`` says what is wrong and what to set, and is blank where it is well."""

    subject: str
    advice: str = ""

    @property
    def is_well(self) -> bool:
        return not self.advice


def examine() -> Iterator[Finding]:
    """Test the rules, the environment, the database and both systems; each as far as the others allow."""
    rules = _try("rules", lambda: (load_rules(), load_profile()))
    yield rules
    try:
        settings = Settings.from_environment(os.environ)
    except SettingsError as error:
        yield Finding("environment", str(error))
        return
    yield Finding("environment")
    yield _try("database", lambda: _test_database(settings))
    if rules.is_well:
        yield _try("Blue Cherry", lambda: _test_blue_cherry(settings))
        yield _try("Ometria", lambda: _test_ometria(settings))


def _try(subject: str, test: Callable[[], object]) -> Finding:
    try:
        test()
    except (RulesError, BlueCherryError, OmetriaError, _NotCurrent) as error:
        return Finding(subject, str(error))
    except SQLAlchemyError as error:
        cause = str(getattr(error, "orig", error)).strip()
        return Finding(subject, f"PostgreSQL could not be used: {cause}. Look at BC_OMETRIA_DATABASE_URL.")
    return Finding(subject)


class _NotCurrent(Exception):
    pass


def _test_database(settings: Settings) -> None:
    if not is_current(connect(settings.bc_ometria_database_url)):
        raise _NotCurrent(
            "PostgreSQL answers, but the schema bc_ometria is not at this version yet: the next "
            "`bc-ometria sync` or `bc-ometria dev` brings it there."
        )


def _test_blue_cherry(settings: Settings) -> None:
    with BlueCherryClient(
        settings.blue_cherry_base_url,
        settings.blue_cherry_tenant,
        settings.blue_cherry_environment,
        settings.blue_cherry_api_key,
        load_profile(),
    ) as client:
        client.ping()


def _test_ometria(settings: Settings) -> None:
    limits = Limits(**load_rules().account.limits.model_dump())
    with OmetriaClient(settings.ometria_base_url, settings.ometria_api_key, budget=Budget(limits)) as client:
        client.ping()
