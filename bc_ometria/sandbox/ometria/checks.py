"""Checks of JSON values, to be put together into the shape of a record.

A check takes a value and returns the first problem it finds, or ``None``. ``null`` and ``""`` in an optional
field are no problem: they are stored, and overwrite what was there.
"""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from typing import Any, NamedTuple

import orjson

MAX_PROPERTIES_CHARACTERS = 1_000


class Problem(NamedTuple):
    """Why a record is refused: where (``/lineitems/0/sku``) and what."""

    path: str
    message: str

    def under(self, name: str | int) -> "Problem":
        return Problem(f"/{name}{self.path}", self.message)


Check = Callable[[Any], Problem | None]


def parse_timestamp(text: str) -> datetime:
    """A moment in UTC from ISO 8601 with any offset (without one it is UTC); raises ``ValueError``."""
    # fromisoformat also takes weeks, basic dates and other separators; Ometria is not known to.
    if text[7:8] != "-" or text[10:11] != "T":
        raise ValueError(f"not an ISO 8601 date and time: {text!r}")
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def text(longest: int) -> Check:
    wrong_type = Problem("", "must be a string")
    too_long = Problem("", f"must be at most {longest} characters")

    def check(value: Any) -> Problem | None:
        if not isinstance(value, str):
            return wrong_type
        return too_long if len(value) > longest else None

    return check


def pattern(expression: str, message: str) -> Check:
    matches = re.compile(expression).fullmatch
    problem = Problem("", message)

    def check(value: Any) -> Problem | None:
        return None if isinstance(value, str) and matches(value) else problem

    return check


def one_of(allowed: frozenset[str], message: str) -> Check:
    problem = Problem("", message)

    def check(value: Any) -> Problem | None:
        return None if isinstance(value, str) and value in allowed else problem

    return check


def flag(value: Any) -> Problem | None:
    return None if value is True or value is False else Problem("", "must be a boolean")


def number(value: Any) -> Problem | None:
    return None if type(value) is int or type(value) is float else Problem("", "must be a number")


def timestamp(value: Any) -> Problem | None:
    try:
        parse_timestamp(value)
    except (ValueError, TypeError, OverflowError):
        return Problem("", "must be an ISO 8601 date and time")
    return None


def day(value: Any) -> Problem | None:
    try:
        good = len(value) == 10 and value[7] == "-" and date.fromisoformat(value) is not None
    except (ValueError, TypeError):
        good = False
    return None if good else Problem("", "must be a date as YYYY-MM-DD")


def properties(value: Any) -> Problem | None:
    if not isinstance(value, dict):
        return Problem("", "must be an object")
    if len(orjson.dumps(value).decode()) > MAX_PROPERTIES_CHARACTERS:
        return Problem("", f"must be at most {MAX_PROPERTIES_CHARACTERS} characters of JSON")
    return None


def object_of(fields: Mapping[str, Check], required: tuple[str, ...] = ()) -> Check:
    check_of = fields.get

    def check(value: Any) -> Problem | None:
        if not isinstance(value, dict):
            return Problem("", "must be an object")
        for name in required:
            if value.get(name) in (None, ""):
                return Problem(f"/{name}", "is required")
        for name, item in value.items():
            field = check_of(name)
            if field is not None and item is not None and item != "":
                problem = field(item)
                if problem is not None:
                    return problem.under(name)
        return None

    return check


def list_of(item: Check) -> Check:
    def check(value: Any) -> Problem | None:
        if not isinstance(value, list):
            return Problem("", "must be an array")
        for index, element in enumerate(value):
            problem = item(element)
            if problem is not None:
                return problem.under(index)
        return None

    return check


def with_one_of(check_fields: Check, names: tuple[str, ...]) -> Check:
    """``check_fields``, and at least one of ``names`` present."""
    missing = Problem(f"/{names[0]}", f"one of {', '.join(names)} is required")

    def check(value: Any) -> Problem | None:
        problem = check_fields(value)
        if problem is not None:
            return problem
        return None if any(value.get(name) not in (None, "") for name in names) else missing

    return check
