"""Which of the rows that the mirror knows a reading of Blue Cherry meets again, and in which state."""

from datetime import datetime

import numpy as np
import pandas as pd

from bc_ometria.blue_cherry.rows import TypedRows


class Known:
    """The mirrored rows of a window of change stamps, ``stamps`` by ``pkey``, while that window is read."""

    def __init__(self, stamps: pd.Series) -> None:
        self._stamps = stamps
        self._met = np.zeros(len(stamps), bool)
        self._unchanged = np.zeros(len(stamps), bool)

    def __len__(self) -> int:
        return len(self._stamps)

    def meet(self, typed: TypedRows, present: datetime) -> pd.Series:
        """Take note of rows that were served; the stamps of those among them that are not as they were known.

        A malformed row is there, and says no more. Neither does one that is stamped behind the ``present``: when it
        changed is not known.
        """
        served = typed.frame.drop_duplicates("pkey")
        at = self._stamps.index.get_indexer(pd.Index(served["pkey"]))
        is_known = at >= 0
        is_same = is_known.copy()
        is_same[is_known] = self._stamps.to_numpy()[at[is_known]] == served["last_mod"].to_numpy()[is_known]
        self._met[at[is_known]] = True
        self._unchanged[at[is_same & (served["last_mod"] <= present).to_numpy()]] = True
        held = self._stamps.index.get_indexer(pd.Index(typed.held["pkey"].dropna().astype("int64")))
        self._met[held[held >= 0]] = True
        return served["last_mod"][~is_same]

    @property
    def missing(self) -> list[int]:
        """The keys of those that were not met."""
        return self._stamps.index[~self._met].tolist()

    @property
    def newest_unchanged(self) -> datetime | None:
        """The newest stamp of a row that was met as it was known; ``None`` where there is none."""
        stamps = self._stamps[self._unchanged]
        return None if stamps.empty else stamps.max().to_pydatetime()
