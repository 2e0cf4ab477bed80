"""Settings from the environment, and the tenant's files that they lead to."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from urllib.parse import urlsplit

from bc_ometria.blue_cherry.profile import TenantProfile
from bc_ometria.rules import Rules, rules_file

VARIABLES: dict[str, str] = {
    "BLUE_CHERRY_BASE_URL": "the address of Blue Cherry's API, as https://<name>bcapi.azure-api.net",
    "BLUE_CHERRY_TENANT": "the tenant's name in that address",
    "BLUE_CHERRY_ENVIRONMENT": "the code of its staging or production environment",
    "BLUE_CHERRY_API_KEY": "the subscription key of the tenant's API",
    "OMETRIA_BASE_URL": "the address of Ometria's Data API, as https://api.ometria.com/v2",
    "OMETRIA_API_KEY": "the API key of the Ometria account",
    "BC_OMETRIA_DATABASE_URL": "a PostgreSQL database, as postgresql://user:password@host:5432/name",
}
"""Every variable that must be set, and what to set it to."""

OPTIONAL_VARIABLES: dict[str, str] = {
    "BC_OMETRIA_RULES": "a folder whose files override those of rules/",
    "BC_OMETRIA_RUNBOOK_URL": "the address under which docs/runbook is published; the checks link to its pages",
}


class SettingsError(ValueError):
    """A variable that is missing or malformed; the text names each, with what to set."""


@dataclass(frozen=True, repr=False)
class Settings:
    """Where the two systems and the database are. Its ``repr`` shows no key."""

    blue_cherry_base_url: str
    blue_cherry_tenant: str
    blue_cherry_environment: str
    blue_cherry_api_key: str
    ometria_base_url: str
    ometria_api_key: str
    bc_ometria_database_url: str

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Settings":
        """Read every variable. Raises ``SettingsError`` that names all of the missing or malformed ones."""
        if found := faults(environment):
            raise SettingsError("\n".join(found.values()))
        return cls(**{field.name: environment[field.name.upper()].strip() for field in fields(cls)})

    def __repr__(self) -> str:
        return f"Settings({self.blue_cherry_base_url}/{self.blue_cherry_tenant} → {self.ometria_base_url})"


def faults(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """What is wrong with each variable that is missing or malformed, and what to set."""
    found = {}
    for name, meaning in VARIABLES.items():
        value = environment.get(name, "").strip()
        if not value:
            found[name] = f"{name} is not set: {meaning}"
        elif name.endswith("_BASE_URL") and not _is_web_address(value):
            found[name] = f"{name} is no http or https address: {meaning}"
        elif name == "BC_OMETRIA_DATABASE_URL" and not re.match(r"postgresql(\+\w+)?://", value):
            found[name] = f"{name} is no PostgreSQL address: {meaning}"
    name, published = "BC_OMETRIA_RUNBOOK_URL", environment.get("BC_OMETRIA_RUNBOOK_URL", "").strip()
    if published and not _is_web_address(published):
        found[name] = f"{name} is no http or https address: {OPTIONAL_VARIABLES[name]}"
    return found


def _is_web_address(text: str) -> bool:
    try:
        address = urlsplit(text)
    except ValueError:
        return False
    return address.scheme in ("http", "https") and bool(address.hostname)


def rules_folder(environment: Mapping[str, str] = os.environ) -> Path | None:
    """The folder whose files override ``rules/``, where one is named."""
    named = environment.get("BC_OMETRIA_RULES", "").strip()
    return Path(named) if named else None


def runbook_page(code: str, environment: Mapping[str, str] = os.environ) -> str:
    """Where to read what an exception code asks for: an address, or the page's path in the repository."""
    published = environment.get("BC_OMETRIA_RUNBOOK_URL", "").strip()
    return f"{published.rstrip('/') or 'docs/runbook'}/{code}.md"


def load_rules() -> Rules:
    """The rules in force. Raises ``RulesError`` with file, line and the allowed values."""
    return Rules.load(rules_folder())


def load_profile() -> TenantProfile:
    """How the tenant's Blue Cherry speaks. Raises ``RulesError`` likewise."""
    return TenantProfile.load(rules_file("tenant", rules_folder()))
