"""Hints from outside: reported materialisations of ``blue_cherry/updates`` that name orders and customers.

A hint is not trusted: what looks like a key is a key to read again, everything else of it is ignored.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import dagster as dg
from sqlalchemy import Engine

from bc_ometria.assets.refresh import is_key, updates
from bc_ometria.store import to_refresh
from bc_ometria.store.touched import Kind

_REPORTS = 100  # a look; the next one goes on behind them
_KEYS = 100  # of a report
_LETTERS = 33 * _KEYS

_NAMES: dict[str, Kind] = {"orders": "order", "customers": "customer"}
"""The metadata of a report that count."""


@dataclass(frozen=True)
class Hints:
    """How many keys were taken from how many reports, how many were ignored, and the last report that was seen."""

    reports: int
    keys: int
    ignored: int
    last_report: int


def take_hints(instance: dg.DagsterInstance, engine: Engine, after: int) -> Hints:
    """Have what the reports behind ``after`` name read again.

    It is written into the store before the caller remembers ``last_report``; a report that is seen twice costs a second
    reading and nothing else.
    """
    of_updates = dg.AssetRecordsFilter(updates.key, after_storage_id=after)
    records = instance.fetch_materializations(of_updates, limit=_REPORTS, ascending=True).records
    found = [pair for record in records if (said := record.asset_materialization) for pair in named(said.metadata)]
    keys = [(kind, key) for kind, key in found if is_key(key)]
    for kind in _NAMES.values():
        if of_kind := [key for each, key in keys if each == kind]:
            to_refresh.ask(engine, kind, of_kind)
    last = max((record.storage_id for record in records), default=after)
    return Hints(len(records), len(keys), len(found) - len(keys), last)


def named(metadata: Mapping[str, dg.MetadataValue]) -> Iterator[tuple[Kind, str]]:
    """What a report names, key by key; a blank in the place of what is no list of keys as text."""
    for name, kind in _NAMES.items():
        if name in metadata:
            value = metadata[name].value
            keys = value.split(",", _KEYS) if isinstance(value, str) and len(value) <= _LETTERS else [""]
            yield from ((kind, key.strip()) for key in keys)
