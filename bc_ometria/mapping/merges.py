"""Who was merged into whom: Blue Cherry's ``merged_into``, followed to its end."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import pandas as pd

MERGED = "merged into another customer"
"""Why the contact of a merged customer never goes to Ometria."""


@dataclass(frozen=True)
class Merges:
    """What became of the merged ones among some customers.

    ``survivors``: into whom each was merged in the end. ``unclear``: those of whom that cannot be told, with the reason
    in words. ``erased``: those who were merged into somebody who was erased since, and so were they.
    """

    survivors: Mapping[str, str] = field(default_factory=dict)
    unclear: Mapping[str, str] = field(default_factory=dict)
    erased: frozenset[str] = frozenset()

    def absorbed_by(self, customers: Iterable[str]) -> dict[str, str]:
        """Everybody who was merged into one of these customers, with that customer."""
        wanted = set(customers)
        return {merged: survivor for merged, survivor in self.survivors.items() if survivor in wanted}


NOBODY = Merges()
"""Nobody was merged."""


def resolve(customers: pd.DataFrame) -> Merges:
    """Follow ``merged_into`` from each of these customers to the end: ``customer``, ``merged_into``, ``erased_ok``.

    Whoever they are merged into must be among them, if Blue Cherry serves that customer at all. One who was erased is
    not merged: nothing of theirs is handed on.
    """
    into = dict(zip(customers["customer"], customers["merged_into"], strict=True))
    erased = set(customers.loc[customers["erased_ok"] == "Y", "customer"])
    survivors, unclear, gone = {}, {}, set()
    for merged, at in into.items():
        if not at or merged in erased:
            continue
        passed = {merged}
        while into.get(at) and at not in passed and at not in erased:
            passed.add(at)
            at = into[at]
        if at in passed:
            unclear[merged] = "in a circle"
        elif at not in into:
            unclear[merged] = "into a customer whom Blue Cherry does not serve"
        elif at in erased:
            gone.add(merged)
        else:
            survivors[merged] = at
    return Merges(survivors, unclear, frozenset(gone))
