"""Parse a column of raw cells into typed ones; a cell that cannot be parsed is named with a rule.

A parser gives a value for every cell (``''``, 0 or ``NaT`` where a cell is broken) and the rules that broken
cells break, by position. A column of the right type goes through at once, repeated texts are parsed once, and
only a column with a cell of another type is gone through cell by cell.
"""

import re
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

Faults = dict[int, str]

MISSING = type("Missing", (), {})()
"""Stands where a row has no such key."""

INT64 = 2**63 - 1

NO_KEY = "is missing from the row"
BLANK = "is blank, but every row needs it"
NOT_WHOLE = "is not a whole number"
NOT_MONEY = "is not an amount with at most two decimals"
NOT_TEXT = "is a number, but text is expected: codes keep their leading zeros"
NOT_PLAIN = "is neither text nor a number"
NUL = "holds a NUL character"

_WHOLE = re.compile(r"[+-]?[0-9]{1,19}")
_MONEY = re.compile(r"([+-]?)([0-9]{0,13})(?:\.([0-9]{0,2})0*)?")


def texts(cells: Sequence[object]) -> tuple[list[str], Faults]:
    """Trimmed texts; null is blank (Blue Cherry's "no value" is ``''``)."""
    found, faults = _only_text(cells, _not_text)
    trimmed = list(map(str.strip, found))
    # PostgreSQL has no NUL in text: one such cell would fail the whole batch.
    if "\0" in "".join(trimmed):
        for i, text in enumerate(trimmed):
            if "\0" in text:
                trimmed[i], faults[i] = "", NUL
    return trimmed, faults


def integers(cells: Sequence[object], largest: int = INT64) -> tuple[np.ndarray, Faults]:
    """Whole numbers as int64, also from text of digits or a decimal without a fraction."""
    if set(map(type, cells)) <= {int}:
        try:
            numbers = np.fromiter(cells, np.int64, len(cells))
        except OverflowError:
            pass
        else:
            if not len(numbers) or (-largest <= int(numbers.min()) and int(numbers.max()) <= largest):
                return numbers, {}
    faults: Faults = {}
    values = [0] * len(cells)
    for i, cell in enumerate(cells):
        value = _integer(cell)
        if isinstance(value, int) and abs(value) > largest:
            value = f"is beyond {largest}"
        if isinstance(value, str):
            faults[i] = value
        else:
            values[i] = value
    return np.array(values, np.int64), faults


def money(cells: Sequence[object]) -> tuple[np.ndarray, Faults]:
    """Hundredths as int64, exact. A JSON number is read by its shortest text, which is exact to 15 digits."""
    found, faults = _only_text(cells, _money_text)
    by_text = {text: _hundredths(text.strip()) for text in set(found)}
    rules = {text: rule for text, rule in by_text.items() if isinstance(rule, str)}
    if rules:
        by_text |= dict.fromkeys(rules, 0)
        faults |= {i: rules[text] for i, text in enumerate(found) if text in rules}
    return np.fromiter(map(by_text.__getitem__, found), np.int64, len(found)), faults


def stamps(cells: Sequence[object], formats: Sequence[str]) -> tuple[np.ndarray, Faults]:
    """Naive times as datetime64[us] in the first of the ``formats`` that fits; ``NaT`` where blank."""
    found, faults = _only_text(cells, _not_text)
    known = pd.Index(list(set(found)), dtype=object)
    bare = pd.Series([text.strip() for text in known], dtype=object)
    times = np.full(len(known), np.datetime64("NaT"), "datetime64[us]")
    # pandas would take "now" and "today" for times, whatever the format.
    left = ~bare.isin(["", "now", "today"]).to_numpy()
    for pattern in formats:
        if left.any():
            parsed = pd.to_datetime(bare[left], format=pattern, errors="coerce")
            times[left] = parsed.to_numpy("datetime64[us]")
            left &= np.isnat(times)
    broken = set(known[np.isnat(times) & (bare != "").to_numpy()])
    if broken:
        faults |= {i: f"is not a time as {formats[0]}" for i, text in enumerate(found) if text in broken}
    by_text = dict(zip(known, times.view(np.int64).tolist(), strict=True))
    of_rows = np.fromiter(map(by_text.__getitem__, found), np.int64, len(found))
    return of_rows.view("datetime64[us]"), faults


def _only_text(cells: Sequence[object], convert: Callable[[object], tuple[str, str]]) -> tuple[Sequence[str], Faults]:
    """The cells as texts, those that are none through ``convert``: it gives a text, and a rule or ``''``."""
    if set(map(type, cells)) <= {str}:
        return cells, {}  # type: ignore[return-value]
    found: list[str] = []
    faults: Faults = {}
    for i, cell in enumerate(cells):
        text, rule = (cell, "") if isinstance(cell, str) else convert(cell)
        found.append(text)
        if rule:
            faults[i] = rule
    return found, faults


def _integer(cell: object) -> int | str:
    """The number, or the rule that the cell breaks."""
    if isinstance(cell, str):
        text = cell.strip()
        if _WHOLE.fullmatch(text):
            return int(text)
        return NOT_WHOLE if text else BLANK
    if isinstance(cell, int) and not isinstance(cell, bool):
        return cell
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < 2**53:
        return int(cell)
    return _absent(cell) or NOT_WHOLE


def _hundredths(text: str) -> int | str:
    """The amount, or the rule that the text breaks."""
    # The usual form without the regular expression, which takes twice as long.
    digits = text[:-3] + text[-2:]
    if text[-3:-2] == "." and len(digits) <= 15 and digits.isascii() and digits.isdigit():
        return int(digits)
    match = _MONEY.fullmatch(text)
    if match is None or not (match[2] or match[3]):
        return NOT_MONEY if text else BLANK
    amount = int(match[2] or "0") * 100 + int((match[3] or "").ljust(2, "0"))
    return -amount if match[1] == "-" else amount


def _money_text(cell: object) -> tuple[str, str]:
    if isinstance(cell, int | float) and not isinstance(cell, bool):
        exact = isinstance(cell, int) or abs(cell) < 1e13
        return (repr(cell), "") if exact else ("0", NOT_MONEY)
    return "0", _absent(cell) or NOT_MONEY


def _not_text(cell: object) -> tuple[str, str]:
    if cell is None:
        return "", ""
    return "", _absent(cell) or (NOT_TEXT if isinstance(cell, int | float) else NOT_PLAIN)


def _absent(cell: object) -> str:
    if cell is MISSING:
        return NO_KEY
    return BLANK if cell is None else ""
