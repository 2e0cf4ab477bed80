"""Whether what Ometria shows is what was wanted: the one place that knows what Ometria adds or reformats."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

_DIRECTIVES = {"@merge", "@force_optin", "@add_to_lists", "@remove_from_lists"}
"""Keys that tell Ometria what to do with a record and are no part of what it stores."""


def differences(wanted: Any, shown: Any, path: str = "") -> list[str]:
    """The paths, as ``lineitems.0.quantity``, at which a shown record differs from the wanted one.

    Keys that Ometria shows beyond those wanted are its own and do not count, nor does the order of keys;
    numbers compare as numbers and times as instants, however they are written. Lists compare in order.
    """
    return list(_differences(wanted, shown, path))


def _differences(wanted: Any, shown: Any, path: str) -> Iterator[str]:
    if isinstance(wanted, dict) and isinstance(shown, dict):
        for key, value in wanted.items():
            if key not in _DIRECTIVES:
                yield from _differences(value, shown.get(key), f"{path}.{key}" if path else key)
    elif isinstance(wanted, list) and isinstance(shown, list) and len(wanted) == len(shown):
        for at, (value, other) in enumerate(zip(wanted, shown, strict=True)):
            yield from _differences(value, other, f"{path}.{at}")
    elif (wanted != shown and not _same_instant(wanted, shown)) or isinstance(wanted, bool) != isinstance(shown, bool):
        yield path


def _same_instant(wanted: Any, shown: Any) -> bool:
    if not (isinstance(wanted, str) and isinstance(shown, str)):
        return False
    try:
        one, other = datetime.fromisoformat(wanted), datetime.fromisoformat(shown)
    except ValueError:
        return False
    return one.tzinfo is not None and other.tzinfo is not None and one == other
