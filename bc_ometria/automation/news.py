"""Ask Blue Cherry whether anything is new, in a given time."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Engine

from bc_ometria.assets.mirror import OVERLAP
from bc_ometria.blue_cherry.client import BlueCherryClient
from bc_ometria.blue_cherry.errors import BlueCherryError
from bc_ometria.blue_cherry.profile import TenantProfile
from bc_ometria.blue_cherry.rows import typed_rows
from bc_ometria.store import mirror

RESOURCES = (*mirror.CUSTOMER_RESOURCES, *mirror.ORDER_RESOURCES)
"""The live resources, in the order in which they are asked for; customers first, for their consent."""


@dataclass(frozen=True)
class Answer:
    """What came of asking.

    ``news`` is the first resource with a row that the mirror has not seen, blank where none was found;
    ``answered`` are those that were read; ``trouble`` says what was wrong with the first one that could not be;
    ``next_first`` is the resource with which to begin the next time, blank where time was enough for all.
    """

    news: str = ""
    answered: tuple[str, ...] = ()
    trouble: str = ""
    next_first: str = ""

    @property
    def is_out_of_reach(self) -> bool:
        """Blue Cherry was asked and nothing of it could be read."""
        return bool(self.trouble) and not self.answered


def ask(
    engine: Engine,
    client: BlueCherryClient,
    profile: TenantProfile,
    *,
    first: str = "",
    whether_it_answers: bool = False,
) -> Answer:
    """Ask for one resource after another until one has news, or the client's patience ends: one call each.

    Looks back as far as a run reads; a row counts as seen with the stamp it was last read with. A resource that cannot
    be read says nothing about the others. One during which the time is over is asked for first the next time, when it
    has all the time; if it had that already, the one behind it. ``whether_it_answers`` is content with one answer.
    """
    answered: list[str] = []
    trouble = ""
    for resource in _beginning_with(first):
        if client.is_out_of_time:
            return Answer("", tuple(answered), trouble, resource)
        try:
            has_news = _has_news(engine, client, profile, resource)
        except BlueCherryError as error:
            if client.is_out_of_time and answered:
                return Answer("", tuple(answered), trouble, resource)
            trouble = trouble or str(error)
            continue
        answered.append(resource)
        if has_news or whether_it_answers:
            return Answer(resource if has_news else "", tuple(answered), trouble)
    return Answer("", tuple(answered), trouble)


def _beginning_with(first: str) -> Iterator[str]:
    begin = RESOURCES.index(first) if first in RESOURCES else 0
    yield from RESOURCES[begin:]
    yield from RESOURCES[:begin]


def _has_news(engine: Engine, client: BlueCherryClient, profile: TenantProfile, resource: str) -> bool:
    stamp = mirror.watermark(engine, resource)
    since = stamp - OVERLAP if stamp else None
    page = next(iter(client.pages(resource, modified_since=since)), None)
    if page is None or not page.rows:
        return False
    return since is None or page.total > len(page.rows) or _has_unseen(engine, resource, page.rows, profile, since)


def _has_unseen(engine: Engine, resource: str, rows: list, profile: TenantProfile, since: datetime) -> bool:
    typed = typed_rows(resource, rows, profile)
    stamped = set(zip(typed.frame["pkey"].tolist(), typed.frame["last_mod"].dt.to_pydatetime(), strict=True))
    return bool(stamped - mirror.stamps_since(engine, resource, since)) or bool(
        set(typed.held["row_key"]) - mirror.held_keys(engine, resource)
    )
