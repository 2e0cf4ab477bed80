"""Rows that change while pages are read: none that was there throughout is missed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.types import ASGIApp, Receive, Scope, Send

from bc_ometria.blue_cherry import BlueCherryClient
from bc_ometria.sandbox.blue_cherry.app import create_app
from bc_ometria.sandbox.blue_cherry.database import BlueCherryDatabase
from bc_ometria.sandbox.changes import Delete, Write
from bc_ometria.sandbox.clock import Clock
from bc_ometria.sandbox.server import Server
from bc_ometria_tests.blue_cherry.tenant import PROFILE

NOW = datetime(2026, 11, 23, 12, 0, 10, tzinfo=UTC)
LOCAL_NOW = NOW.replace(tzinfo=None)


@dataclass(frozen=True)
class Meanwhile:
    """What happens between two replies: a while passes, then rows are written and rows vanish."""

    seconds: int = 0
    written: Sequence[int] = ()
    deleted: Sequence[int] = ()


@dataclass
class Restless:
    """The stand-in with things happening after each of its replies."""

    database: BlueCherryDatabase = field(default_factory=lambda: BlueCherryDatabase(Clock(NOW)))
    script: list[Meanwhile] = field(default_factory=list)
    calls: int = 0

    def begin(self, stamps: dict[int, int], script: Sequence[Meanwhile]) -> None:
        """Rows by pkey with their stamps, in seconds before now."""
        self.database = BlueCherryDatabase(Clock(NOW))
        self.database.apply(
            Write("divisions", {"pkey": pkey, "last_mod": LOCAL_NOW - timedelta(seconds=ago), "division": "UK"})
            for pkey, ago in stamps.items()
        )
        self.script, self.calls = list(script), 0
        self.app: ASGIApp = create_app(self.database, tenant="ACME", environment="STG", api_keys=["k"])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            message = await receive()
            await send({"type": f"{message['type']}.complete"})
            message = await receive()
            await send({"type": f"{message['type']}.complete"})
            return
        await self.app(scope, receive, send)
        self.calls += 1
        if self.script:
            self.happen(self.script.pop(0))

    def happen(self, meanwhile: Meanwhile) -> None:
        if meanwhile.seconds:
            self.database.clock.advance(timedelta(seconds=meanwhile.seconds))
        self.database.apply(
            [Write("divisions", {"pkey": pkey, "division": "UK"}) for pkey in meanwhile.written]
            + [Delete("divisions", pkey) for pkey in meanwhile.deleted]
        )


@pytest.fixture(scope="module")
def restless() -> Restless:
    return Restless()


@pytest.fixture(scope="module")
def url(restless: Restless) -> Iterator[str]:
    with Server(restless) as server:
        yield server.url


def read(url: str, page_size: int, **window: datetime) -> list[int]:
    profile = PROFILE.model_copy(update={"page_size": page_size})
    with BlueCherryClient(url, "ACME", "STG", "k", profile) as client:
        return [row["pkey"] for page in client.pages("divisions", **window) for row in page.rows]  # type: ignore


def test_a_row_that_would_slip_over_a_pages_end_is_read(restless: Restless, url: str) -> None:
    """Read by page number, row 3 moves onto page 1 when row 1 changes, and is never seen."""
    restless.begin({1: 9, 2: 8, 3: 7, 4: 6}, [Meanwhile(written=[1])])
    assert set(read(url, 2)) == {1, 2, 3, 4}


def test_a_stamp_with_more_rows_than_a_page_is_read_whole_while_rows_leave_it(restless: Restless, url: str) -> None:
    restless.begin(dict.fromkeys(range(1, 10), 5) | {20: 1}, [Meanwhile(written=[n]) for n in range(1, 5)])
    assert set(read(url, 2)) == {*range(1, 10), 20}


def test_a_stamp_that_rows_still_come_to_is_read_whole(restless: Restless, url: str) -> None:
    restless.begin(dict.fromkeys(range(10, 20), 0), [Meanwhile(written=[n]) for n in range(9, 0, -1)])
    assert set(read(url, 2)) >= set(range(10, 20))


def test_a_quiet_read_repeats_only_the_rows_around_a_pages_end(restless: Restless, url: str) -> None:
    restless.begin({pkey: 1000 - pkey for pkey in range(1, 101)}, [])
    assert len(read(url, 10)) == 110
    assert restless.calls == 11


def test_a_day_with_more_rows_than_a_page_is_read_whole_where_stamps_are_dates_only(
    restless: Restless, url: str
) -> None:
    midnight = 12 * 3600 + 10  # seconds before now
    stamps = dict.fromkeys(range(1, 6), midnight + 86_400) | dict.fromkeys(range(10, 16), midnight)
    restless.begin(stamps, [])
    profile = PROFILE.model_copy(update={"page_size": 2, "stamp_format": "%Y-%m-%d 00:00:00"})
    with BlueCherryClient(url, "ACME", "STG", "k", profile) as client:
        pages = list(client.pages("divisions", modified_since=datetime(2026, 11, 22)))  # noqa: DTZ001
    assert {row["pkey"] for page in pages for row in page.rows} == set(stamps)


def test_a_page_says_when_it_was_served_by_the_clock_of_blue_cherry(restless: Restless, url: str) -> None:
    restless.begin({1: 0, 2: 0}, [])
    with BlueCherryClient(url, "ACME", "STG", "k", PROFILE.model_copy(update={"page_size": 1})) as client:
        page = client.page("divisions", 2, modified_since=LOCAL_NOW)
        assert (page.total, [row["pkey"] for row in page.rows], page.served_at) == (2, [2], NOW)
        assert {page.served_at for page in client.pages("divisions")} == {NOW}


def test_a_window_ends_before_its_upper_bound(restless: Restless, url: str) -> None:
    restless.begin({1: 4, 2: 3, 3: 3, 4: 3, 5: 2, 6: 1}, [])
    window = {
        "modified_since": LOCAL_NOW - timedelta(seconds=3),
        "modified_before": LOCAL_NOW - timedelta(seconds=2),
    }
    assert set(read(url, 2, **window)) == {2, 3, 4}


AMONG = st.lists(st.integers(1, 24), max_size=4)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    stamps=st.dictionaries(st.integers(1, 24), st.integers(0, 3), max_size=20),
    page_size=st.integers(1, 5),
    script=st.lists(st.builds(Meanwhile, seconds=st.integers(0, 1), written=AMONG), max_size=20),
)
def test_no_row_that_was_there_throughout_is_missed(
    restless: Restless, url: str, stamps: dict[int, int], page_size: int, script: list[Meanwhile]
) -> None:
    """Whatever is written and whenever the second ends, even in the second that is being read."""
    restless.begin(stamps, script)
    assert set(read(url, page_size)) >= set(stamps)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    stamps=st.dictionaries(st.integers(1, 24), st.integers(1, 4), max_size=20),
    page_size=st.integers(1, 5),
    script=st.lists(st.builds(Meanwhile, written=AMONG, deleted=AMONG), max_size=20),
)
def test_rows_that_vanish_take_no_other_with_them(
    restless: Restless, url: str, stamps: dict[int, int], page_size: int, script: list[Meanwhile]
) -> None:
    """In seconds that are over."""
    restless.begin(stamps, script)
    vanished = {pkey for meanwhile in script for pkey in meanwhile.deleted}
    window = {"modified_before": LOCAL_NOW}
    changed = {pkey for meanwhile in script for pkey in meanwhile.written}
    assert set(read(url, page_size, **window)) >= set(stamps) - vanished - changed
