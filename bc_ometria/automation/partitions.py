"""The days by which Blue Cherry's changes are partitioned, and the months by which its orders are."""

from datetime import datetime

import dagster as dg

from bc_ometria.config import load_profile

_profile = load_profile()

change_day = dg.DailyPartitionsDefinition(
    start_date=_profile.first_change_day.isoformat(), timezone=_profile.time_zone, end_offset=1
)
"""A day of Blue Cherry's change stamps in the tenant's time zone, today included: the unit of the live sync
and of "redo Tuesday"."""

order_month = dg.MonthlyPartitionsDefinition(
    start_date=f"{_profile.first_change_day:%Y-%m}", fmt="%Y-%m", timezone=_profile.time_zone, end_offset=1
)
"""The month in which an order was placed, the tenant's time zone, the present one included; the first also has what was
placed before it."""


def placed_in(month: str) -> tuple[datetime | None, datetime]:
    """Begin and end of an ``order_month`` in the tenant's local time; the first has no begin."""
    window = order_month.time_window_for_partition_key(month)
    begin = None if month == order_month.get_first_partition_key() else window.start.replace(tzinfo=None)
    return begin, window.end.replace(tzinfo=None)


def months_since(day: datetime, now: datetime | None = None) -> list[str]:
    """The months from that of a local time to the present one, or to that of ``now``."""
    return [month for month in order_month.get_partition_keys(now) if month >= f"{day:%Y-%m}"]
