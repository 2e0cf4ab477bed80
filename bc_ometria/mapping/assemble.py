"""Header, lines, stages, shipments and returns become one order.

Groups are never looped over: rows are sorted by order once, and each order knows where its rows begin.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

REC_TYPES = ("OP", "RS", "PK", "IN", "CC", "CH", "RT")
"""Movement types whose quantities an order line carries (contracts/blue_cherry.md)."""

TIMED = ("PK", "CC", "CH")
"""Movement types whose newest time an order line carries too; all others have documents that tell theirs."""

_BUCKETS = 32  # more than the 24 size buckets, so that (pkey, bucket) fits one integer
_NEVER = np.datetime64("NaT", "us").astype("int64")  # as an integer the smallest there is


@dataclass(frozen=True)
class Orders:
    """Assembled orders, as frames that are sorted by order.

    ``headers``: one row per order, in the order of ``ord_num``: the columns of the mirror's ``orders``
    (blank where there is no header) and

    - ``header_count``: headers that carry this number; 0 when only parts of it are known
    - ``stray_lines``: lines of this number that point to no header of this number
    - ``changed_at``: newest change stamp of any part, the tenant's local time

    ``lines``: one row per line and size bucket, sorted by order, line number and bucket: the mirror's
    ``order_lines`` and what is in its catalogue about them (``size``, ``colour``, ``upc``), and

    - ``OP`` … ``RT``: pieces per movement type
    - ``PK_at``, ``CC_at``, ``CH_at``: newest ``trans_date`` of the stages with pieces of that type, the tenant's
      local time; NaT where there are none

    ``shipments`` and ``returns``: one row per shipped or returned piece of a line, with the columns of
    their document. ``pkey`` of ``returns`` is that of the return line, which may have several size buckets.

    Each of the last three has a column ``order``: the position of its order in ``headers``.
    """

    headers: pd.DataFrame
    lines: pd.DataFrame
    shipments: pd.DataFrame
    returns: pd.DataFrame

    def __len__(self) -> int:
        return len(self.headers)


def assemble(mirror: Mapping[str, pd.DataFrame], order_numbers: Sequence[str]) -> Orders:
    """Assemble the named orders from the mirror's rows of them.

    ``mirror`` has a frame per resource: ``orders``, ``order_lines``, ``order_stages``, ``shipments``,
    ``shipment_lines``, ``returns``, ``return_lines``, with the columns of ``blue_cherry.schemas``; ``order_lines``
    has ``size``, ``colour`` and ``upc`` besides, texts that may be blank. A number without any row comes out with
    ``header_count`` 0 and no lines. The document of a shipment or return is found by ``fkey``, its order by the
    repeated ``ord_num``.
    """
    numbers = pd.Index(sorted(set(order_numbers)), dtype=object)
    headers = _headers(mirror["orders"], numbers)
    own, stray = _own_lines(mirror["order_lines"], mirror["orders"], headers, numbers)
    headers["stray_lines"] = stray
    headers["changed_at"] = _newest_stamp(mirror, numbers)
    return Orders(
        headers=headers,
        lines=_with_stages(own, mirror["order_stages"]),
        shipments=_documents(mirror["shipments"], mirror["shipment_lines"], numbers).drop(columns="pkey"),
        returns=_documents(mirror["returns"], mirror["return_lines"], numbers),
    )


def first_rows(part: pd.DataFrame, orders: int) -> np.ndarray:
    """Where each order's rows begin in a part that is sorted by ``order``, and where the last ones end."""
    return np.searchsorted(part["order"].to_numpy(), np.arange(orders + 1))


def sums(of_rows: np.ndarray, first: np.ndarray) -> np.ndarray:
    """Sums of a value of each row, per order, with ``first`` as ``first_rows`` gives it; 0 for one without rows."""
    running = np.r_[0, np.cumsum(of_rows)]
    return running[first[1:]] - running[first[:-1]]


def _positions(frame: pd.DataFrame, numbers: pd.Index) -> np.ndarray:
    return numbers.get_indexer(pd.Index(frame["ord_num"].to_numpy(dtype=object)))


def _headers(orders: pd.DataFrame, numbers: pd.Index) -> pd.DataFrame:
    """One row per number, the newest header where there are several; text is blank where there is none."""
    position = _positions(orders, numbers)
    count = np.bincount(position, minlength=len(numbers))
    newest_last = orders.assign(order=position).sort_values(["last_mod", "pkey"], kind="stable")
    newest = newest_last.drop_duplicates("order", keep="last").set_index("order").sort_index()
    if len(newest) < len(numbers):
        # Column by column, so that a key never passes through a float.
        every = range(len(numbers))
        newest = pd.DataFrame({name: cells.reindex(every, fill_value=_blank(cells)) for name, cells in newest.items()})
    return newest.assign(ord_num=numbers.to_numpy(), header_count=count).reset_index(drop=True)


def _blank(column: pd.Series) -> Any:
    if pd.api.types.is_datetime64_any_dtype(column):
        return pd.NaT
    return 0 if pd.api.types.is_numeric_dtype(column) else ""


def _own_lines(
    lines: pd.DataFrame, orders: pd.DataFrame, headers: pd.DataFrame, numbers: pd.Index
) -> tuple[pd.DataFrame, np.ndarray]:
    """The lines that point to the header of their order, sorted; and how many of each order point to none of its."""
    position = _positions(lines, numbers)
    header = pd.Index(orders["pkey"]).get_indexer(pd.Index(lines["fkey"]))
    has_header = np.r_[_positions(orders, numbers), -1][header] == position
    own = has_header & (lines["fkey"].to_numpy() == headers["pkey"].to_numpy()[position])
    stray = np.bincount(position[~has_header], minlength=len(numbers))
    kept = lines[own].assign(order=position[own])
    return kept.sort_values(["order", "line_num", "pkey", "bucket"], ignore_index=True), stray


def _with_stages(lines: pd.DataFrame, stages: pd.DataFrame) -> pd.DataFrame:
    """Add the pieces per movement type, where the stages of one line, bucket and type add up, and the newest times."""
    piece = lines["pkey"].to_numpy() * _BUCKETS + lines["bucket"].to_numpy()
    by_piece = np.argsort(piece)
    wanted = stages["fkey"].to_numpy() * _BUCKETS + stages["bucket"].to_numpy()
    kind = pd.Index(REC_TYPES).get_indexer(pd.Index(stages["rec_type"].to_numpy(dtype=object)))
    pieces = stages["quantity"].to_numpy()
    at = _as_integers(stages["trans_date"])
    quantities = np.zeros((len(lines), len(REC_TYPES)), dtype="int64")
    newest = np.full(quantities.shape, _NEVER)
    if len(lines):
        found = by_piece[np.searchsorted(piece, wanted, sorter=by_piece).clip(max=len(lines) - 1)]
        known = (piece[found] == wanted) & (kind >= 0)
        np.add.at(quantities, (found[known], kind[known]), pieces[known])
        moved = known & (pieces > 0)
        np.maximum.at(newest, (found[moved], kind[moved]), at[moved])
    times = newest.view("datetime64[us]")
    return lines.assign(
        **{name: quantities[:, nth] for nth, name in enumerate(REC_TYPES)},
        **{f"{name}_at": times[:, REC_TYPES.index(name)] for name in TIMED},
    )


def _documents(documents: pd.DataFrame, lines: pd.DataFrame, numbers: pd.Index) -> pd.DataFrame:
    """Lines of shipments or returns with the columns of their document, sorted by order."""
    of_document = documents.drop(columns=["ord_num", "division", "last_mod", "row_hash"], errors="ignore")
    joined = lines.drop(columns=["last_mod", "row_hash"], errors="ignore").merge(
        of_document, left_on="fkey", right_on="pkey", how="inner", suffixes=("", "_of_document")
    )
    joined["order"] = _positions(joined, numbers)
    # By the row's own key too: two parcels may carry pieces of one line and bucket.
    in_order = joined.sort_values(["order", "line_num", "bucket", "pkey"], kind="stable", ignore_index=True)
    return in_order.drop(columns=["fkey", "pkey_of_document"])


def _newest_stamp(mirror: Mapping[str, pd.DataFrame], numbers: pd.Index) -> np.ndarray:
    newest = np.full(len(numbers), _NEVER)
    for frame in mirror.values():
        # As integers: numpy finds the largest of those many times faster than of times.
        np.maximum.at(newest, _positions(frame, numbers), _as_integers(frame["last_mod"]))
    return newest.view("datetime64[us]")


def _as_integers(times: pd.Series) -> np.ndarray:
    return times.to_numpy(dtype="datetime64[us]").view("int64")
