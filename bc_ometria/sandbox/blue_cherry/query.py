"""The parameters of a request, as `contracts/blue_cherry.md` lists them, turned into conditions."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from bc_ometria.sandbox.blue_cherry.columns import RESOURCES

MAX_PAGE_SIZE = 1000
MAX_LISTED = 100

_RANGES = {
    "modified_since": ("last_mod", ">="),
    "modified_before": ("last_mod", "<"),
    "ord_date_from": ("ord_date", ">="),
    "ord_date_to": ("ord_date", "<"),
}
_EQUAL = ("division", "location")
_LISTS = ("ord_num", "customer")


class BadParameter(ValueError):
    """A parameter that the API answers with 400; the message says which and why."""


@dataclass(frozen=True, slots=True)
class Condition:
    sql: str
    arguments: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Query:
    """One page of one resource. ``select`` empty means every column."""

    resource: str
    conditions: tuple[Condition, ...] = ()
    select: tuple[str, ...] = ()
    page: int = 1
    page_size: int = 500


def parse(resource: str, parameters: Iterable[tuple[str, str]]) -> Query:
    """The query that a request's parameters ask for. Raises ``BadParameter``."""
    columns = {column.name for column in RESOURCES[resource]}
    conditions: list[Condition] = []
    select: tuple[str, ...] = ()
    numbers = {"page": 1, "page_size": 500}
    seen: set[str] = set()
    for name, value in parameters:
        if name in seen:
            raise BadParameter(f"Parameter '{name}' is given more than once.")
        seen.add(name)
        if not value.strip():
            raise BadParameter(f"Parameter '{name}' is blank.")
        if name in numbers:
            numbers[name] = _whole(name, value)
        elif name == "select":
            select = _selected(resource, columns, value)
        else:
            conditions.append(_condition(resource, columns, name, value))
    return Query(resource, tuple(conditions), select, numbers["page"], numbers["page_size"])


def _condition(resource: str, columns: set[str], name: str, value: str) -> Condition:
    column, operator = _RANGES.get(name, (name, "="))
    if name not in (*_RANGES, *_EQUAL, *_LISTS):
        raise BadParameter(f"Parameter '{name}' is unknown.")
    if column not in columns:
        raise BadParameter(f"Parameter '{name}' does not apply to {resource}: it has no column {column}.")
    if name in _LISTS:
        listed = tuple(dict.fromkeys(part.strip() for part in value.split(",")))
        if len(listed) > MAX_LISTED:
            raise BadParameter(f"Parameter '{name}' lists more than {MAX_LISTED} values.")
        return Condition(f"{column} IN ({', '.join('?' * len(listed))})", listed)
    return Condition(f"{column} {operator} ?", (_time(name, value) if name in _RANGES else value.rstrip(),))


def _time(name: str, value: str) -> str:
    for form in ("%Y-%m-%d %H:%M:%S", "%Y-%m-%d"):
        try:
            return datetime.strptime(value, form).isoformat(" ")  # noqa: DTZ007 - the tenant's local time
        except ValueError:
            continue
    raise BadParameter(f"Parameter '{name}' is not a time of the form 2026-11-23 09:05:00: '{value}'.")


def _whole(name: str, value: str) -> int:
    most = MAX_PAGE_SIZE if name == "page_size" else 10**9
    if not (value.isascii() and value.isdigit() and 1 <= int(value) <= most):
        raise BadParameter(f"Parameter '{name}' must be a whole number from 1 to {most}: '{value}'.")
    return int(value)


def _selected(resource: str, columns: set[str], value: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(part.strip().lower() for part in value.split(",")))
    for name in names:
        if name not in columns:
            raise BadParameter(f"Parameter 'select' names no column of {resource}: '{name}'.")
    return names
