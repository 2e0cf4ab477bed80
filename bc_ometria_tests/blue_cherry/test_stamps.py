"""Real time behind local times without an offset, through both clock changes of the year."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bc_ometria.blue_cherry.stamps import first_moment, overlap_begin
from bc_ometria_tests.blue_cherry.tenant import PROFILE

LONDON = ZoneInfo("Europe/London")
QUARTER = timedelta(minutes=15)
ZONES = ("Europe/London", "America/New_York", "Australia/Lord_Howe", "America/Santiago", "Asia/Kolkata", "UTC")

CHANGES = [
    datetime(2026, 3, 29, 1, tzinfo=UTC),  # London, New York and Lord Howe, forwards and back
    datetime(2026, 10, 25, 1, tzinfo=UTC),
    datetime(2026, 3, 8, 7, tzinfo=UTC),
    datetime(2026, 11, 1, 6, tzinfo=UTC),
    datetime(2026, 4, 4, 15, tzinfo=UTC),
    datetime(2026, 10, 3, 15, 30, tzinfo=UTC),
]
MOMENTS = st.builds(
    lambda change, seconds: change + timedelta(seconds=seconds),
    st.sampled_from(CHANGES),
    st.integers(-6 * 3600, 6 * 3600) | st.sampled_from([-3600, -1800, -1, 0, 1, 1800, 3600]),
)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


@pytest.mark.parametrize(
    ("watermark", "begin"),
    [
        ("2026-06-01 12:00:00", "2026-06-01 11:45:00"),
        ("2026-10-25 00:50:00", "2026-10-25 00:35:00"),
        ("2026-10-25 01:10:00", "2026-10-25 00:55:00"),  # 01:10 may be the first of the two
        ("2026-10-25 01:50:00", "2026-10-25 01:00:00"),  # what is stamped 01:05 may come after it
        ("2026-10-25 02:00:00", "2026-10-25 01:45:00"),  # a quarter of an hour before it was the second 01:45
        ("2026-10-25 02:15:00", "2026-10-25 02:00:00"),
        ("2026-03-29 02:05:00", "2026-03-29 00:50:00"),  # the hour from 01:00 never was
        ("2026-03-29 01:30:00", "2026-03-29 00:15:00"),  # no moment: the earliest that may be meant is 00:30
    ],
)
def test_the_clock_changes_of_london(watermark: str, begin: str) -> None:
    assert overlap_begin(at(watermark), QUARTER, LONDON) == at(begin)


@given(
    zone=st.sampled_from(ZONES).map(ZoneInfo),
    seen=MOMENTS,
    later=st.integers(0, 4 * 3600),
    overlap=st.integers(1, 180).map(lambda minutes: timedelta(minutes=minutes)),
)
def test_nothing_that_is_stamped_from_the_overlap_on_is_older_than_its_begin(
    zone: ZoneInfo, seen: datetime, later: int, overlap: timedelta
) -> None:
    """Whichever moment the watermark means, and whatever is stamped after it or so much before it."""
    watermark = seen.astimezone(zone).replace(tzinfo=None)
    changed = (seen - overlap + timedelta(seconds=later)).astimezone(zone)
    assert overlap_begin(watermark, overlap, zone) <= changed.replace(tzinfo=None)


@given(zone=st.sampled_from(ZONES).map(ZoneInfo), seen=MOMENTS, overlap=st.integers(1, 180))
def test_no_more_is_read_again_than_has_to_be(zone: ZoneInfo, seen: datetime, overlap: int) -> None:
    """Some moment of the overlap, or behind it, has the very stamp with which reading begins."""
    watermark = seen.astimezone(zone).replace(tzinfo=None)
    begin = overlap_begin(watermark, timedelta(minutes=overlap), zone)
    earliest = first_moment(watermark, zone) - timedelta(minutes=overlap)
    meant = [begin.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1)]
    assert max(meant) >= earliest
    assert earliest - min(meant) <= timedelta(hours=1)


@given(MOMENTS, st.integers(1, 1440))
def test_without_clock_changes_the_overlap_is_what_the_tenant_sets(seen: datetime, minutes: int) -> None:
    watermark = seen.replace(tzinfo=None)
    overlap = timedelta(minutes=minutes)
    assert overlap_begin(watermark, overlap, ZoneInfo("UTC")) == watermark - overlap


def test_the_profile_says_how_far_and_in_which_zone() -> None:
    assert PROFILE.overlap == QUARTER
    assert PROFILE.model_copy(update={"overlap_min": 30}).read_from(at("2026-06-01 12:00:00.5")) == at(
        "2026-06-01 11:30:00"
    )
    assert PROFILE.read_from(at("2026-10-25 01:50:00")) == at("2026-10-25 01:00:00")


@pytest.mark.parametrize(
    ("stamp_format", "step", "begin"),
    [
        ("%Y-%m-%dT%H:%M:%S.%f", timedelta(microseconds=1), "2026-10-26 00:15:00"),
        ("%Y-%m-%d %H:%M:%S", timedelta(seconds=1), "2026-10-26 00:15:00"),
        ("%d.%m.%Y %H:%M", timedelta(minutes=1), "2026-10-26 00:15:00"),
        ("%Y-%m-%d %H", timedelta(hours=1), "2026-10-25 23:00:00"),
        ("%Y-%m-%d", timedelta(days=1), "2026-10-25 00:00:00"),  # a day of 25 hours
    ],
)
def test_the_overlap_has_at_least_one_step_of_the_stamps(stamp_format: str, step: timedelta, begin: str) -> None:
    profile = PROFILE.model_copy(update={"stamp_format": stamp_format})
    assert profile.stamp_step == step
    assert profile.overlap == max(step, QUARTER)
    assert profile.read_from(profile.rounded_down(at("2026-10-26 00:30:00"))) == at(begin)


@pytest.mark.parametrize("moment", ["0001-01-01 00:00:00", "1900-01-01 00:00:00"])
def test_a_stamp_from_before_all_time_is_read_from_where_it_is(moment: str) -> None:
    """What .NET and SQL Server write where there is none."""
    assert PROFILE.stamp(at(moment)) == moment
    assert PROFILE.read_from(at(moment)) <= at(moment)
