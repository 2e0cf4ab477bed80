"""Read the rows of Blue Cherry, page by page, so that none is missed while they change."""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from types import TracebackType

import httpx

from bc_ometria.blue_cherry.calls import Calls
from bc_ometria.blue_cherry.errors import BlueCherryError, MissingColumn, NotJson
from bc_ometria.blue_cherry.profile import TenantProfile

Row = dict[str, object]


@dataclass(frozen=True, slots=True)
class Page:
    """Rows as Blue Cherry served them, under the tenant's field names.

    ``number`` counts the pages of one ``pages()`` from 1. ``total`` is what Blue Cherry counted when it
    served this page: the rows from the point on that the page was read from. ``served_at`` is when it did so, by its
    own clock (the ``Date`` of its reply).
    """

    rows: list[Row]
    total: int
    number: int
    served_at: datetime


@dataclass(frozen=True, slots=True)
class _Reply:
    rows: list[Row]
    total: int
    page_size: int


class BlueCherryClient:
    """One tenant and environment of Blue Cherry, for a ``with`` block.

    ``timeout`` is in seconds; ``transport`` and ``sleep`` replace the network and the wait before a retry. With
    ``patience``, the seconds from now on in which all calls together have to be answered, none is repeated.

    Every method raises a ``BlueCherryError``: ``AccessRefused``, ``NotFound``, ``BadRequest``, ``NotJson`` or
    ``MissingColumn`` at once, ``Unavailable`` after the retries.
    """

    def __init__(
        self,
        base_url: str,
        tenant: str,
        environment: str,
        api_key: str,
        profile: TenantProfile,
        *,
        timeout: float = 30.0,
        patience: float | None = None,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._profile = profile
        self._calls = Calls(
            base_url,
            tenant,
            environment,
            api_key,
            profile,
            timeout=timeout,
            patience=patience,
            transport=transport,
            sleep=sleep,
        )

    def __enter__(self) -> "BlueCherryClient":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._calls.close()

    @property
    def is_out_of_time(self) -> bool:
        """Whether ``patience`` is at its end: no call would be answered any more."""
        return self._calls.is_out_of_time

    def ping(self) -> None:
        """Ask for a single row, to see that address, tenant, environment and key are right."""
        self._page("divisions", {}, number=1, page_size=1)

    def pages(
        self,
        resource: str,
        *,
        modified_since: datetime | None = None,
        modified_before: datetime | None = None,
        order_numbers: Sequence[str] | None = None,
        customers: Sequence[str] | None = None,
        ord_date_from: datetime | None = None,
        ord_date_to: datetime | None = None,
        select: Sequence[str] = (),
    ) -> Iterator[Page]:
        """The rows of ``resource`` that match, in order of ``last_mod``.

        Times are the tenant's local time without an offset; ``…since`` and ``…from`` include their moment,
        ``…before`` and ``…to`` exclude it. Of ``order_numbers`` and ``customers`` one may be given: they are
        asked for in lists of at most ``profile.max_keys``, blank ones are left out, and an empty list reads
        nothing. ``select`` names the columns that are wanted, by our names and with ``last_mod`` among them; all
        where it is left out. Raises ``ValueError`` for a time with an offset or a key that holds a comma.

        **Every row that matches from the first to the last call comes at least once**, whatever changes
        meanwhile; rows that change come again, and so may those around a page's end. Paging by number alone
        would not do: a row that changes moves to the end, its followers move up by one, and the first of the
        next page has then slipped onto the one already read (``contracts/blue_cherry.md``). So only first
        pages are read, each starting at the last stamp of the one before it: a reply is one consistent view,
        and whatever stands before its last stamp was in it. Where one stamp fills a whole page, that stamp
        alone is read by page number, see ``_one_stamp``. This rests on stamps that never go back: what
        changes in the hour that a time zone repeats in autumn is for the reader's overlap to catch
        (``TenantProfile.read_from``).
        """
        if order_numbers is not None and customers is not None:
            raise ValueError("give order_numbers or customers, not both")
        names = self._profile.parameters
        query: dict[str, str] = {}
        if ord_date_from is not None:
            query[names.ord_date_from] = self._stamp(ord_date_from)
        if ord_date_to is not None:
            query[names.ord_date_to] = self._stamp(ord_date_to, up=True)
        if select:
            query[names.select] = ",".join(self._profile.resource(resource).field(column) for column in select)
        name, keys = (names.ord_num, order_numbers) if customers is None else (names.customer, customers)
        numbers = count(1)
        for part in self._key_lists(keys):
            keyed = query if part is None else query | {name: part}
            for reply in self._read(resource, keyed, modified_since, modified_before):
                yield Page(reply.rows, reply.total, next(numbers), self._calls.answered_at)

    def page(self, resource: str, number: int, *, modified_since: datetime) -> Page:
        """One page by its number, of the rows from a stamp on: to look at, not to read on from."""
        reply = self._page(resource, self._between({}, modified_since, None), number=number)
        return Page(reply.rows, reply.total, number, self._calls.answered_at)

    def _key_lists(self, keys: Sequence[str] | None) -> Iterator[str | None]:
        if keys is None:
            yield None
            return
        wanted = [key for key in dict.fromkeys(key.strip() for key in keys) if key]
        if any("," in key for key in wanted):
            raise ValueError("a key with a comma cannot be asked for in a comma list")
        for start in range(0, len(wanted), self._profile.max_keys):
            yield ",".join(wanted[start : start + self._profile.max_keys])

    def _read(
        self, resource: str, query: Mapping[str, str], since: datetime | None, before: datetime | None
    ) -> Iterator[_Reply]:
        """First pages only, each from the last stamp of the one before it on."""
        while since is None or before is None or since < before:
            reply = self._page(resource, self._between(query, since, before), number=1)
            yield reply
            if not reply.rows or len(reply.rows) >= reply.total:
                return
            first, last = self._first_and_last_stamp(resource, reply.rows)
            if first > last or (since is not None and first < self._profile.rounded_down(since)):
                raise BlueCherryError(
                    f"Blue Cherry's {resource} are not served in order of last_mod from a moment on, so "
                    f"they cannot be read completely. Look at parameters.modified_since in tenant.yaml."
                )
            if first < last:
                since = last
            else:
                yield from self._one_stamp(resource, query, last, reply.total)
                since = last + self._profile.stamp_step

    def _one_stamp(
        self, resource: str, query: Mapping[str, str], stamp: datetime, total_from_stamp: int
    ) -> Iterator[_Reply]:
        """All rows of one stamp that has more of them than a page holds, by page number.

        Once its second (or day) is over, rows can only leave a stamp, so what remains only moves to earlier pages:
        read backwards, no row slips past. While it is the present second rows only come to it and others move
        to later pages: read forwards, none slips past. The second is over if Blue Cherry counted anything
        newer; where that cannot be told both ways are read, one of them before or after its end as a whole.
        """
        window = self._between(query, stamp, stamp + self._profile.stamp_step)
        reply = self._page(resource, window, number=1)
        yield reply
        number = 1
        over = total_from_stamp > reply.total
        while not over and number * reply.page_size < reply.total:
            number += 1
            reply = self._page(resource, window, number=number)
            yield reply
        last = math.ceil(reply.total / reply.page_size)
        for number in range(last, 0, -1) if last > 1 else ():
            yield self._page(resource, window, number=number)

    def _between(self, query: Mapping[str, str], since: datetime | None, before: datetime | None) -> dict[str, str]:
        names = self._profile.parameters
        bounds = {}
        if since is not None:
            bounds[names.modified_since] = self._stamp(since)
        if before is not None:
            bounds[names.modified_before] = self._stamp(before, up=True)
        return {**query, **bounds}

    def _stamp(self, moment: datetime, *, up: bool = False) -> str:
        """The moment as Blue Cherry writes it, rounded down, or ``up``, to the step of its stamps."""
        if moment.tzinfo is not None:
            raise ValueError("Blue Cherry's times are the tenant's local time without an offset")
        if up and self._profile.rounded_down(moment) < moment:
            moment += self._profile.stamp_step
        return self._profile.stamp(moment)

    def _first_and_last_stamp(self, resource: str, rows: list[Row]) -> tuple[datetime, datetime]:
        """The first and last stamps of a page; a row whose stamp cannot be read does not count."""
        field = self._profile.resource(resource).field("last_mod")
        pattern = self._profile.stamp_format
        first = next((stamp for row in rows if (stamp := _parsed(row.get(field), pattern))), None)
        last = next((stamp for row in reversed(rows) if (stamp := _parsed(row.get(field), pattern))), None)
        if first is None or last is None:
            raise MissingColumn(resource, "last_mod", field, f"a time as {pattern}")
        return first, last

    def _page(self, resource: str, query: Mapping[str, str], *, number: int, page_size: int | None = None) -> _Reply:
        names, envelope = self._profile.parameters, self._profile.envelope
        size = page_size or self._profile.page_size
        paging = {names.page: str(number), names.page_size: str(size)}
        body = self._calls.json(resource, {**query, **paging})
        expected = f"an object with {envelope.value}, {envelope.page}, {envelope.page_size} and {envelope.total}"
        try:
            rows, total, served = body[envelope.value], body[envelope.total], body[envelope.page_size]
            if body[envelope.page] != number:
                expected = f"page {number}, as asked for with {names.page}={number}"
                raise ValueError
            if not isinstance(rows, list) or type(total) is not int or type(served) is not int or served < 1:
                raise ValueError
        except (KeyError, TypeError, ValueError):
            raise NotJson(
                f"Blue Cherry answered {resource} with JSON of another shape: {expected} was expected. "
                f"Look at envelope and parameters in tenant.yaml."
            ) from None
        # An element that is no object becomes a row without columns, which is held alone like any other.
        return _Reply([row if isinstance(row, dict) else {} for row in rows], total, served)


def _parsed(text: object, pattern: str) -> datetime | None:
    try:
        return datetime.strptime(text.strip(), pattern) if isinstance(text, str) else None  # noqa: DTZ007
    except ValueError:
        return None
