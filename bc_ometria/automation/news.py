"""Ask Blue Cherry whether anything is new, in a given time."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Engine

from bc_ometria.blue_cherry.client import BlueCherryClient, Page
from bc_ometria.blue_cherry.errors import BlueCherryError
from bc_ometria.blue_cherry.profile import TenantProfile
from bc_ometria.blue_cherry.rows import typed_rows
from bc_ometria.store import known, mirror

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
    """Whether Blue Cherry serves anything else than the mirror has, from where a run would begin to read.

    One page tells: the last that the mirror knows of. How many rows there are shows those that came late, with an older
    stamp, and those that are gone; what changes comes to the end. Where stamps are dates only it may stay in its place,
    so all pages are read.
    """
    watermark = mirror.watermark(engine, resource)
    if watermark is None:
        return any(page.rows for page in client.pages(resource))
    since = profile.read_from(watermark)
    expected = known.count(engine, resource, since)
    last = max(math.ceil(expected / profile.page_size), 1)
    first = 1 if profile.stamp_step >= timedelta(days=1) else last
    for number in range(last, first - 1, -1):
        page = client.page(resource, number, modified_since=since)
        if _is_news(engine, profile, resource, page, since, expected):
            return True
        if number > first and client.is_out_of_time:
            return True  # whether the rest has news is for a run to find out
    return False


def _is_news(engine: Engine, profile: TenantProfile, resource: str, page: Page, since: datetime, expected: int) -> bool:
    """Whether the page, of the rows stamped ``since`` or later, shows that there is anything but the ``expected`` rows
    as the mirror has them."""
    held = mirror.held_keys(engine, resource)  # malformed: whether they are stamped in this window is not known
    if not expected <= page.total <= expected + len(held):
        return True
    frame, malformed = typed_rows(resource, page.rows, profile)
    pkeys = frame["pkey"].unique().tolist()
    served = set(zip(frame["pkey"], frame["last_mod"].dt.to_pydatetime(), frame["row_hash"], strict=True))
    if served - known.versions(engine, resource, pkeys):
        return True
    if set(malformed["row_key"]) - held or held.intersection(map(str, pkeys)):
        return True
    if page.number * profile.page_size < page.total or frame.empty:
        return False
    begin = since if page.number == 1 else frame["last_mod"].min().to_pydatetime() + profile.stamp_step
    return known.count(engine, resource, begin, but=pkeys) > 0
