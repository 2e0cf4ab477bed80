"""What may be shown of a malformed cell: enough to find the fault, nothing personal."""

import re

from bc_ometria.blue_cherry.schemas import Column

LONGEST = 24
"""Characters shown at most (ours)."""

_CODE = re.compile(r"[A-Z0-9?!./-]{1,3}|.")


def masked(cell: object, column: Column) -> str:
    """The cell as it may stand in a log or in Dagster.

    Short codes (``GBX``) and numbers of at most six digits are shown, all other text by its shape only
    (``aaaa@aaaaaaa.aaa``, ``99/99/9999``): a shifted column may put a name where a code or an amount belongs.
    Of a personal column nothing but the shape is shown.
    """
    if cell is None:
        return "null"
    if isinstance(cell, str):
        text = cell.strip()
        is_code = _CODE.fullmatch(text) and text.isprintable()
        shown = text if is_code and not column.personal else _shape(text[:LONGEST])
        return shown if len(text) <= LONGEST else f"{shown}… ({len(text)} characters)"
    if isinstance(cell, bool | int | float) and not column.personal and abs(cell) < 1e6:
        return repr(cell)[:LONGEST]
    return {"dict": "an object", "list": "a list", "Missing": "nothing"}.get(type(cell).__name__, "a number")


def reference(cell: object, column: Column) -> str:
    """An order number or customer code to find the row by; blank where the cell is unlikely to be one."""
    text = cell.strip() if isinstance(cell, str) else ""
    plausible = len(text) <= column.width and text.isprintable() and "@" not in text
    return text if plausible and any(map(str.isdigit, text)) else ""


def _shape(text: str) -> str:
    return "".join("a" if letter.isalpha() else "9" if letter.isdigit() else _sign(letter) for letter in text)


def _sign(letter: str) -> str:
    return letter if letter.isascii() and letter.isprintable() else "?"
