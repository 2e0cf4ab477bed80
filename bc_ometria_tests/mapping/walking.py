"""Orders that are moved through their stages as Blue Cherry would, and a store that remembers their events."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import orjson
import pandas as pd

from bc_ometria.blue_cherry import TenantProfile, typed_rows
from bc_ometria.mapping.assemble import Orders, assemble
from bc_ometria.mapping.events import MEMORY, Events, events, nothing_remembered
from bc_ometria.mapping.lifecycle import Lifecycle, lifecycle
from bc_ometria.ometria.payloads import violations
from bc_ometria.rules import Rules
from bc_ometria.rules.lifecycle import CancelReason, Reason, Reasons, ReturnReason, Warehouse
from bc_ometria.sandbox.blue_cherry.encoding import encode, unpack
from bc_ometria.sandbox.changes import Change, Write
from bc_ometria_tests.mapping.examples import (
    ORDER_PARTS,
    TIME_ZONE,
    Row,
    amounts,
    header,
    line,
    mirror,
    without_catalogue,
)

CLAIMS = {
    "O": "placed",
    "H": "on_hold",
    "A": "allocated",
    "P": "picking",
    "B": "back_ordered",
    "S": "part_dispatched",
    "C": "dispatched",
    "X": "cancelled",
    "R": "refunded",
}
REASONS = Reasons(
    hold={
        "CR": Reason(meaning="credit check"),
        "AD": Reason(meaning="address to be checked"),
        "FR": Reason(meaning="fraud check"),
    },
    cancel={
        "CU": CancelReason(meaning="no longer wanted", by="customer"),
        "NS": CancelReason(meaning="out of stock", by="house"),
        "FR": CancelReason(meaning="fraud", by="house"),
    },
    returned={
        "FIT": ReturnReason(meaning="does not fit"),
        "DMG": ReturnReason(meaning="damaged"),
        "MIND": ReturnReason(meaning="changed their mind"),
        "LATE": ReturnReason(meaning="came too late"),
        "EX": ReturnReason(meaning="exchange", exchange=True),
    },
)
WAREHOUSES = {
    "0010": Warehouse(name="Leeds", country="GB"),
    "0020": Warehouse(name="Dublin", country="IE"),
    "POE": Warehouse(name="port of entry", real=False),
}
RULES = Rules.load().model_copy(update={"reasons": REASONS, "warehouses": WAREHOUSES})
START = datetime(2026, 11, 20, 9, 30)  # noqa: DTZ001 - Blue Cherry's times are naive local ones


def claims_of(orders: Orders) -> np.ndarray:
    return np.array([CLAIMS.get(code, "") for code in orders.headers["ord_status"]], dtype=object)


class Walk:
    """One order with a line per number given, of so many pieces; every change takes an hour."""

    def __init__(self, *pieces: int, number: str = "W1", price: int = 1999, tax: int = 333, timed: bool = True) -> None:
        self.number, self.timed = number, timed
        self.rows = [
            line(pkey=100 + n, ord_num=number, line_num=n, unit_price=price, line_tax=tax, quantity=of, bucket=n)
            for n, of in enumerate(pieces, 1)
        ]
        self.stages = {n: Counter({"OP": of}) for n, of in enumerate(pieces, 1)}
        self.moved_at: dict[tuple[int, str], datetime] = {}
        self.header: Row = {"ord_num": number, **amounts(self.rows, 495)}
        self.parcels: dict[str, Row] = {}
        self.returned: dict[str, Row] = {}
        self.now = START

    def to(self, status: str, **columns: str) -> "Walk":
        """Another status of the header."""
        self.now += timedelta(hours=1)
        self.header |= {"ord_status": status, **columns}
        return self

    def move(self, source: str, target: str, *lines: int, pieces: int = 99) -> "Walk":
        """Up to so many pieces of each line, of all lines where none is named."""
        self.now += timedelta(hours=1)
        for number in lines or self.stages:
            moved = min(pieces, self.stages[number][source])
            self.stages[number][source] -= moved
            self.stages[number][target] += moved
            if moved:
                self.moved_at[number, target] = self.now
        return self

    def ship(self, number: str, *lines: int, tracking: str = "T1", location: str = "0010", pieces: int = 99) -> "Walk":
        before = {n: self.stages[n]["IN"] for n in self.stages}
        self.move("PK", "IN", *lines, pieces=pieces)
        left = {n: self.stages[n]["IN"] - before[n] for n in self.stages if self.stages[n]["IN"] > before[n]}
        place = {"ship_num": number, "location": location, "ship_via": "RM24", "tracking": tracking, "void_ok": ""}
        self.parcels[number] = {"of": left, "ship_date": str(self.now), **place}
        return self

    def void(self, number: str) -> "Walk":
        self.now += timedelta(hours=1)
        self.parcels[number]["void_ok"] = "Y"
        for n, pieces in self.parcels[number]["of"].items():
            self.stages[n]["IN"] -= pieces
            self.stages[n]["PK"] += pieces
        return self

    def track(self, number: str, tracking: str = "T9") -> "Walk":
        self.now += timedelta(days=1)
        self.parcels[number]["tracking"] = tracking
        return self

    def take_back(self, number: str, *lines: int, refund: Mapping[int, int], reason: str = "FIT") -> "Walk":
        """All dispatched pieces of the lines, and so much money for each of the lines in ``refund``."""
        self.now += timedelta(days=3)
        back = {n: self.stages[n]["IN"] - self.stages[n]["RT"] for n in lines}
        for n, pieces in back.items():
            self.stages[n]["RT"] += pieces
        self.returned[number] = {
            "of": {n: (back.get(n, 0), refund.get(n, 0)) for n in {*back, *refund}},
            "ret_num": number,
            "ret_date": str(self.now),
            "reason_code": reason,
            "refund_total": sum(refund.values()),
            "void_ok": "",
        }
        return self

    def void_return(self, number: str) -> "Walk":
        self.now += timedelta(hours=1)
        self.returned[number]["void_ok"] = "Y"
        for n, (pieces, _) in self.returned[number]["of"].items():
            self.stages[n]["RT"] -= pieces
        return self

    def paid_for(self, number: int) -> int:
        row = self.rows[number - 1]
        return row["unit_price"] * row["quantity"] + row["line_tax"]

    @property
    def frames(self) -> dict[str, list[Row]]:
        stamp: Row = {"last_mod": str(self.now), "ord_num": self.number}
        rows: dict[str, list[Row]] = {part: [] for part in ORDER_PARTS}
        rows["orders"] = [header(**(self.header | {"last_mod": str(self.now)}))]
        rows["order_lines"] = self.rows
        rows["order_stages"] = [
            stamp
            | {"pkey": 9, "fkey": 100 + n, "rec_type": kind, "bucket": n, "quantity": pieces}
            | {"trans_date": str(self.moved_at.get((n, kind), "NaT")) if self.timed else "NaT"}
            for n, stages in self.stages.items()
            for kind, pieces in stages.items()
            if pieces
        ]
        for papers, name in ((self.parcels, "shipment"), (self.returned, "return")):
            for key, paper in enumerate(papers.values(), 1):
                rows[f"{name}s"].append(stamp | {"pkey": key} | {k: v for k, v in paper.items() if k != "of"})
                for n, of in paper["of"].items():
                    pieces, money = of if isinstance(of, tuple) else (of, None)
                    row = stamp | {"pkey": key * 100 + n, "fkey": key, "line_num": n, "bucket": n, "quantity": pieces}
                    rows[f"{name}_lines"].append(row if money is None else row | {"refund_amt": money})
        return rows

    @property
    def orders(self) -> Orders:
        return assemble(mirror(self.frames), [self.number])

    @property
    def life(self) -> Lifecycle:
        orders = self.orders
        return lifecycle(orders, claims_of(orders), REASONS)

    @property
    def state(self) -> str:
        return str(self.life.orders["state"].item())

    @property
    def line_states(self) -> list[str]:
        return self.life.lines["state"].tolist()


class Store:
    """Remembers events, and sends those that wait when told to."""

    def __init__(self) -> None:
        self.records: dict[str, dict[str, Any]] = {}
        self.sent: list[str] = []
        """Ids in the order in which they were sent."""

    @property
    def memory(self) -> pd.DataFrame:
        if not self.records:
            return nothing_remembered()
        return pd.DataFrame(list(self.records.values()), dtype=object)[list(MEMORY)]

    def poll(self, walk: Walk, *, send: bool = True, **options: Any) -> Events:
        found = events_of(walk, self.memory, **options)
        for row in found.withdrawn.to_dict("records"):
            assert self.records[row["record_id"]]["state"] == "waiting"
            self.records[row["record_id"]]["state"] = "withdrawn"
        for row in found.told.to_dict("records"):
            assert violations("custom_event", row["payload"]) == []
            assert self.records.get(row["record_id"], {}).get("state") not in ("sent", "waiting")
            self.records.pop(row["record_id"], None)
            self.records[row["record_id"]] = row | {"state": "held" if row["held"] else "waiting"}
        if send:
            self.send()
        return found

    def send(self) -> None:
        for record_id, record in self.records.items():
            if record["state"] == "waiting":
                record["state"] = "sent"
                assert record_id not in self.sent
                self.sent.append(record_id)

    @property
    def types(self) -> list[str]:
        """The types of what was sent."""
        return [self.records[record_id]["event_type"] for record_id in self.sent]

    def waiting(self) -> list[str]:
        return [record["event_type"] for record in self.records.values() if record["state"] == "waiting"]


def events_of(
    walk: Walk,
    memory: pd.DataFrame | None = None,
    *,
    rules: Rules = RULES,
    store: str = "uk",
    excluded: bool = False,
    **catalogue: str,
) -> Events:
    """The events of a walk; ``catalogue``: what ``size`` and ``colour`` of its lines are called."""
    orders = walk.orders
    orders = replace(orders, lines=orders.lines.assign(**catalogue))
    return events(
        orders,
        lifecycle(orders, claims_of(orders), rules.reasons),
        nothing_remembered() if memory is None else memory,
        changed_at=orders.headers["changed_at"],
        stores=[store] * len(orders),
        excluded=np.full(len(orders), excluded),
        rules=rules,
        time_zone=TIME_ZONE,
    )


def types_of(found: Events) -> list[str]:
    return found.told["event_type"].tolist()


def properties_of(found: Events, event_type: str) -> dict[str, Any]:
    """Of the only event of a type."""
    (payload,) = found.told.loc[found.told["event_type"] == event_type, "payload"]
    return orjson.loads(payload)["properties"]


def assembled(changes: Iterable[Change], profile: TenantProfile) -> Orders:
    """The orders that Blue Cherry holds after these changes."""
    resources = {profile.resource(part).path: part for part in ORDER_PARTS}
    rows: dict[str, dict[int, bytes]] = {part: {} for part in ORDER_PARTS}
    for change in changes:
        part = resources.get(change.resource)
        if part and isinstance(change, Write):
            rows[part][int(str(change.row["pkey"]))] = encode(change.resource, change.row)
        elif part and not isinstance(change, Write):
            del rows[part][change.pkey]
    frames = {part: _typed(part, list(packed.values()), profile) for part, packed in rows.items()}
    return assemble(frames, [number for frame in frames.values() for number in frame["ord_num"]])


def _typed(part: str, packed: Sequence[bytes], profile: TenantProfile) -> pd.DataFrame:
    return without_catalogue(part, typed_rows(part, [orjson.loads(unpack(row)) for row in packed], profile).frame)
