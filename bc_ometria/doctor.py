"""Whether everything that the project needs is there, in plain words."""

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from sqlalchemy.exc import SQLAlchemyError

from bc_ometria.blue_cherry.client import BlueCherryClient
from bc_ometria.blue_cherry.errors import BlueCherryError
from bc_ometria.config import faults, load_profile, load_rules
from bc_ometria.ometria.budget import Unlimited
from bc_ometria.ometria.client import OmetriaClient
from bc_ometria.ometria.errors import OmetriaError
from bc_ometria.rules import RulesError
from bc_ometria.store.database import connect, is_current


@dataclass(frozen=True)
class Finding:
    """One thing that was tested. ``advice`` says what is wrong and what to set, and is blank where it is well;
    ``note`` is for what is well."""

    subject: str
    advice: str = ""
    note: str = ""

    @property
    def is_well(self) -> bool:
        return not self.advice


def examine(environment: Mapping[str, str] = os.environ) -> Iterator[Finding]:
    """Test the rules, the environment, the database and both systems, each that its variables allow."""
    rules = _try("rules", lambda: (load_rules(), load_profile()))
    yield rules
    wrong = faults(environment)
    if not environment.get("BC_OMETRIA_DATABASE_URL"):
        del wrong["BC_OMETRIA_DATABASE_URL"]
    yield Finding("environment", "\n".join(wrong.values()))
    if not environment.get("BC_OMETRIA_DATABASE_URL"):
        yield Finding("database", note="BC_OMETRIA_DATABASE_URL is not set: an embedded PostgreSQL is used")
    elif "BC_OMETRIA_DATABASE_URL" not in wrong:
        yield _try("database", lambda: _test_database(environment["BC_OMETRIA_DATABASE_URL"]))
    if rules.is_well and not any(name.startswith("BLUE_CHERRY") for name in wrong):
        yield _try("Blue Cherry", lambda: _test_blue_cherry(environment), environment["BLUE_CHERRY_BASE_URL"])
    if rules.is_well and not any(name.startswith("OMETRIA") for name in wrong):
        yield _try("Ometria", lambda: _test_ometria(environment), environment["OMETRIA_BASE_URL"])


def _try(subject: str, test: Callable[[], object], note: str = "") -> Finding:
    try:
        test()
    except (RulesError, BlueCherryError, OmetriaError, _NotCurrent) as error:
        return Finding(subject, str(error))
    except SQLAlchemyError as error:
        cause = str(getattr(error, "orig", error)).strip()
        return Finding(subject, f"PostgreSQL could not be used: {cause}. Look at BC_OMETRIA_DATABASE_URL.")
    return Finding(subject, note=note)


class _NotCurrent(Exception):
    pass


def _test_database(url: str) -> None:
    if not is_current(connect(url)):
        raise _NotCurrent(
            "PostgreSQL answers, but the schema bc_ometria is not at this version yet: the next "
            "`bc-ometria sync` or `bc-ometria dev` brings it there."
        )


def _test_blue_cherry(environment: Mapping[str, str]) -> None:
    names = ("BASE_URL", "TENANT", "ENVIRONMENT", "API_KEY")
    base_url, tenant, code, key = (environment[f"BLUE_CHERRY_{name}"].strip() for name in names)
    with BlueCherryClient(base_url, tenant, code, key, load_profile()) as client:
        client.ping()


def _test_ometria(environment: Mapping[str, str]) -> None:
    base_url, key = environment["OMETRIA_BASE_URL"].strip(), environment["OMETRIA_API_KEY"].strip()
    with OmetriaClient(base_url, key, budget=Unlimited()) as client:
        client.ping()
