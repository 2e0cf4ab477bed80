"""The days by which Blue Cherry's changes are partitioned."""

import dagster as dg

from bc_ometria.config import load_profile

_profile = load_profile()

change_day = dg.DailyPartitionsDefinition(
    start_date=_profile.first_change_day.isoformat(), timezone=_profile.time_zone, end_offset=1
)
"""A day of Blue Cherry's change stamps in the tenant's time zone, today included: the unit of the live sync
and of "redo Tuesday"."""
