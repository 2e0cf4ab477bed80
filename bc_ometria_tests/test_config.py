"""Settings come from the environment; a missing or malformed variable is named with what to set."""

import re
from pathlib import Path

import pytest

from bc_ometria.config import (
    OPTIONAL_VARIABLES,
    VARIABLES,
    Settings,
    SettingsError,
    load_profile,
    load_rules,
    rules_folder,
    runbook_page,
)
from bc_ometria.rules import RulesError

GOOD = {
    "BLUE_CHERRY_BASE_URL": "https://examplebcapi.azure-api.net",
    "BLUE_CHERRY_TENANT": "EXAMPLE",
    "BLUE_CHERRY_ENVIRONMENT": "prod",
    "BLUE_CHERRY_API_KEY": "canary-blue-cherry",
    "OMETRIA_BASE_URL": "https://api.ometria.com/v2",
    "OMETRIA_API_KEY": "canary-ometria",
    "BC_OMETRIA_DATABASE_URL": "postgresql://user:canary-password@db.example.com:5432/bc",
}


def refusal(environment: dict[str, str]) -> list[str]:
    with pytest.raises(SettingsError) as refused:
        Settings.from_environment(environment)
    assert "canary" not in str(refused.value)
    return str(refused.value).splitlines()


def test_every_variable_is_read() -> None:
    assert set(GOOD) == set(VARIABLES)
    settings = Settings.from_environment({name: f" {value}\n" for name, value in GOOD.items()})
    assert vars(settings) == {name.lower(): value for name, value in GOOD.items()}


@pytest.mark.parametrize("value", [None, "", "  "])
@pytest.mark.parametrize("name", VARIABLES)
def test_a_missing_variable_is_named_with_what_to_set(name: str, value: str | None) -> None:
    environment = {key: text for key, text in (GOOD | {name: value}).items() if text is not None}
    assert refusal(environment) == [f"{name} is not set: {VARIABLES[name]}"]


def test_all_of_them_are_named_at_once() -> None:
    assert [line.split(" ")[0] for line in refusal({})] == list(VARIABLES)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("BLUE_CHERRY_BASE_URL", "examplebcapi.azure-api.net"),
        ("BLUE_CHERRY_BASE_URL", "ftp://example.com"),
        ("BLUE_CHERRY_BASE_URL", "https://"),
        ("OMETRIA_BASE_URL", "api.ometria.com/v2"),
        ("OMETRIA_BASE_URL", "http://[::1"),
    ],
)
def test_an_address_that_is_none_is_named(name: str, value: str) -> None:
    assert refusal(GOOD | {name: value}) == [f"{name} is no http or https address: {VARIABLES[name]}"]


@pytest.mark.parametrize("value", ["mysql://canary@db/bc", "canary", "postgresqlx://db/bc", "postgres://db/bc"])
def test_a_database_that_is_no_postgresql_is_named(value: str) -> None:
    """SQLAlchemy knows no ``postgres://``."""
    name = "BC_OMETRIA_DATABASE_URL"
    assert refusal(GOOD | {name: value}) == [f"{name} is no PostgreSQL address: {VARIABLES[name]}"]


@pytest.mark.parametrize(
    "value", ["postgresql+psycopg2://db/bc", "postgresql://user@/bc?host=/var/run/postgresql", "postgresql://db/bc"]
)
def test_a_driver_or_a_socket_may_be_named(value: str) -> None:
    assert Settings.from_environment(GOOD | {"BC_OMETRIA_DATABASE_URL": value}).bc_ometria_database_url == value


def test_no_key_is_shown() -> None:
    """Design, 9."""
    settings = Settings.from_environment(GOOD)
    for shown in (repr(settings), str(settings), f"{settings}", repr([settings])):
        assert "canary" not in shown
        assert "examplebcapi" in shown


def test_every_variable_stands_in_the_example(request: pytest.FixtureRequest) -> None:
    text = (request.config.rootpath / ".env.example").read_text(encoding="utf-8")
    named = set(re.findall(r"^#? ?([A-Z_]+)=", text, flags=re.MULTILINE))
    assert set(VARIABLES) | set(OPTIONAL_VARIABLES) <= named


def test_the_environment_leads_to_the_rules(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert rules_folder({}) is None
    assert rules_folder({"BC_OMETRIA_RULES": "  "}) is None
    (tmp_path / "phones.yaml").write_text('BE: {calling_code: "32", trunk_prefix: "0"}', encoding="utf-8")
    monkeypatch.setenv("BC_OMETRIA_RULES", str(tmp_path))
    assert list(load_rules().phones) == ["BE"]
    assert load_profile().time_zone == "Europe/London"


@pytest.mark.parametrize("value", ["https://wiki.example.com/runbook", " https://wiki.example.com/runbook/\n"])
def test_the_environment_leads_to_the_published_runbook(value: str) -> None:
    for unset in ({}, {"BC_OMETRIA_RUNBOOK_URL": " "}):
        assert runbook_page("drift", unset) == "docs/runbook/drift.md"
    environment = GOOD | {"BC_OMETRIA_RUNBOOK_URL": value}
    assert runbook_page("drift", environment) == "https://wiki.example.com/runbook/drift.md"
    assert Settings.from_environment(environment)


def test_a_runbook_that_is_published_nowhere_is_named() -> None:
    name = "BC_OMETRIA_RUNBOOK_URL"
    assert refusal(GOOD | {name: "wiki/runbook"}) == [f"{name} is no http or https address: {OPTIONAL_VARIABLES[name]}"]


def test_a_broken_tenant_file_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "tenant.yaml").write_text("time_zone: Mars/Olympus", encoding="utf-8")
    monkeypatch.setenv("BC_OMETRIA_RULES", str(tmp_path))
    with pytest.raises(RulesError, match=re.escape(f"{tmp_path}/tenant.yaml:1: time_zone:")):
        load_profile()
