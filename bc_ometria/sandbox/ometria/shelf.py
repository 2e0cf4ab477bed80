"""Stored records of one type, kept as JSON text: hundreds of thousands stay small and quick to export."""

from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count, islice
from operator import attrgetter
from typing import Any, Generic, Literal, TypeVar

import orjson

Id = TypeVar("Id", bound=Hashable)
Stamp = Literal["create", "update", "timestamp"]


def iso(seconds: float) -> str:
    """Seconds since the epoch as ISO 8601 in UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")


def encoded(record: Any) -> bytes:
    """A record's JSON, to be kept."""
    # A copy, because the bytes that orjson returns hold several times the memory of their text.
    return bytes(memoryview(orjson.dumps(record)))


@dataclass(slots=True)
class Stored:
    """A record and when it was first and last stored (``create``, ``update``), in seconds since the epoch.

    ``timestamp`` is the record's own, where it has one. ``version`` counts every write of the shelf.
    """

    number: int
    version: int
    body: bytes
    create: float
    update: float
    timestamp: float

    @property
    def record(self) -> dict[str, Any]:
        return orjson.loads(self.body)

    def shown(self, *, with_update: bool) -> bytes:
        """The JSON a read gives."""
        if not with_update:
            return self.body
        return b'%b,"timestamp_update":"%b"}' % (self.body[:-1], iso(self.update).encode())


class Shelf(Generic[Id]):
    """Records by id, in the order they first came."""

    def __init__(self) -> None:
        self._stored: dict[Id, Stored] = {}
        self._count = count(1)

    def __len__(self) -> int:
        return len(self._stored)

    def __iter__(self) -> Iterator[Id]:
        return iter(self._stored)

    def __contains__(self, id: Id) -> bool:
        return id in self._stored

    def __getitem__(self, id: Id) -> dict[str, Any]:
        """The record; raises ``KeyError``."""
        return self._stored[id].record

    def get(self, id: Id) -> Stored | None:
        return self._stored.get(id)

    def put(self, id: Id, body: bytes, *, at: float, timestamp: float = 0.0) -> bool:
        """Store ``body`` under ``id``; whether it is new."""
        number = next(self._count)
        stored = self._stored.get(id)
        if stored is None:
            self._stored[id] = Stored(number, number, body, at, at, timestamp)
            return True
        stored.version, stored.body, stored.update, stored.timestamp = number, body, at, timestamp
        return False

    def remove(self, id: Id) -> None:
        self._stored.pop(id, None)

    def bodies(self) -> Iterable[bytes]:
        return (stored.body for stored in self._stored.values())

    def page(
        self,
        *,
        offset: int,
        limit: int,
        since: Mapping[Stamp, float],
        before: Mapping[Stamp, float],
        by_update: bool = False,
        ids: Iterable[Id] | None = None,
    ) -> list[Stored]:
        """A page of what lies in [since, before) of each stamp, of ``ids`` only where they are given."""
        found: Iterable[Stored] = self._stored.values()
        if ids is not None:
            known = (self._stored.get(id) for id in ids)
            found = sorted((stored for stored in known if stored), key=attrgetter("number"))
        for stamp, bound in since.items():
            found = [stored for stored in found if getattr(stored, stamp) >= bound]
        for stamp, bound in before.items():
            found = [stored for stored in found if getattr(stored, stamp) < bound]
        if by_update:
            found = sorted(found, key=attrgetter("version"))
        return list(islice(found, offset, offset + limit))
