"""What a local time without an offset can mean where a time zone turns its clocks."""

from bisect import bisect_left
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

_DAY_S = 86_400


def overlap_begin(stamp: datetime, overlap: timedelta, zone: ZoneInfo) -> datetime:
    """The smallest stamp of any moment from ``overlap`` before ``stamp`` on, in real time; stamps are local times.

    In autumn an hour is repeated: a stamp of it may mean either, so the first counts, and what is stamped in the second
    has smaller stamps than what came before it, back to the hour's begin. In spring an hour is skipped, and no part of
    the overlap with it. To the whole second. Raises ``OverflowError`` near the years 1 and 9999.
    """
    return smallest_stamp_from(first_moment(stamp, zone) - overlap, zone)


def first_moment(stamp: datetime, zone: ZoneInfo) -> datetime:
    """The earliest moment that a stamp can mean, in UTC; of one that the spring change skips the same is said."""
    return min(stamp.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))


def smallest_stamp_from(moment: datetime, zone: ZoneInfo) -> datetime:
    """The smallest stamp that any moment from ``moment`` on has, in whole seconds.

    Clocks are turned back by less than a day, and at most once within one (a fact of all zones today).
    """
    moment = moment.replace(microsecond=0)

    def local(seconds: int) -> datetime:
        return (moment + timedelta(seconds=seconds)).astimezone(zone)

    turned_back = bisect_left(range(_DAY_S), True, key=lambda s: _offset(local(s)) < _offset(local(0)))
    return min(local(seconds).replace(tzinfo=None) for seconds in (0, turned_back))


def _offset(moment: datetime) -> timedelta:
    return moment.utcoffset() or timedelta()
