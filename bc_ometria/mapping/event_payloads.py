"""Events as Ometria's records."""

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import orjson
import pandas as pd

from bc_ometria.mapping.assemble import Orders
from bc_ometria.mapping.facts import Found
from bc_ometria.mapping.lifecycle import Reasons
from bc_ometria.mapping.lookup import look_up, utc_texts
from bc_ometria.mapping.told import kind_of

EVENT_TYPES = (
    "order_cancelled",
    "order_on_hold",
    "order_hold_released",
    "order_part_cancelled",
    "back_order_released",
    "order_picking",
    "order_part_dispatched",
    "order_dispatched",
    "order_back_ordered",
    "tracking_added",
    "order_part_refunded",
    "order_refunded",
)
"""Every event type, in the order in which events of one moment happened (ours)."""

MAX_PROPERTIES = 1_000
"""The properties of an event stay under this many characters of JSON (contracts/ometria.md)."""

_TEXTS = ("warehouse", "warehouse_country", "parcel", "carrier", "tracking", "return", "cancelled_by")
_CODES = ("hold_code", "cancel_code", "reason_code")
_COLUMNS = ["record_id", "event_type", "order", "timestamp", "payload", "version", "held", "covers"]


@dataclass(frozen=True)
class Warehouse:
    """A ``location``; one that is not real (``POE``, ``FOB``) is never shown."""

    name: str
    country: str = ""
    real: bool = True


@dataclass(frozen=True)
class Names:
    """How stores, warehouses, reasons and goods are called; see ``events.events``."""

    orders: Orders
    reasons: Reasons
    warehouses: Mapping[str, Warehouse]
    stores: np.ndarray
    goods: pd.DataFrame | None


def event_id(order: str, event_type: str, key: str = "") -> str:
    """The id of an event: 32 hex characters. ``key``: shipment, return or line number, or hold code."""
    text = "\n".join((order, kind_of(event_type), key))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def payloads(found: Sequence[Found], names: Names, types: Collection[str], time_zone: str) -> pd.DataFrame:
    """The events of the wanted types as records, in the order in which they happened; see ``events.Events``."""
    rank = {event_type: at for at, event_type in enumerate(EVENT_TYPES)}
    places: list[tuple[np.ndarray, ...]] = []
    records: list[tuple[Any, ...]] = []
    for kind in found:
        frame = kind.frame
        wanted = np.isin(frame["type"].to_numpy(dtype=object), list(types))
        ranks = np.array([rank[event_type] for event_type in frame["type"].tolist()], dtype=np.int64)
        places.append((ranks[wanted], frame["at"].to_numpy()[wanted], frame["order"].to_numpy()[wanted]))
        records += [
            record for record, goes in zip(_records(kind, names, time_zone), wanted.tolist(), strict=True) if goes
        ]
    told = pd.DataFrame(records, columns=_COLUMNS, dtype=object)
    told["timestamp"] = pd.to_datetime(told["timestamp"], format="%Y-%m-%dT%H:%M:%SZ")
    if not places:
        return told
    in_order = np.lexsort([np.concatenate(parts) for parts in zip(*places, strict=True)])
    return told.iloc[in_order].reset_index(drop=True)


def _records(kind: Found, names: Names, time_zone: str) -> Iterator[tuple[Any, ...]]:
    frame, headers = kind.frame, names.orders.headers
    order = frame["order"].to_numpy()
    described, held = _described(frame, names)
    texts = {name: described[name].tolist() for name in described}
    columns = [headers[name].to_numpy(dtype=object)[order].tolist() for name in ("ord_num", "customer", "email")]
    lines = _lines(kind, names)
    line_counts = np.bincount(kind.event, minlength=len(frame)).tolist()
    money = _money(frame, headers)
    # Every part of a payload is made when its event is, as in ``orders.payloads``.
    for at, (number, customer, email, event_type, key, covers, timestamp, store, held_by, line_count) in enumerate(
        zip(
            *columns,
            *(frame[name].tolist() for name in ("type", "key", "covers")),
            utc_texts(frame["at"], time_zone),
            names.stores[order].tolist(),
            held,
            line_counts,
            strict=True,
        )
    ):
        record_id = event_id(number, event_type, key)
        properties = {"order": number, "store": store}
        for name, values in texts.items():
            if values[at]:
                properties[name] = values[at]
        event = {
            "@type": "custom_event",
            "id": record_id,
            "event_type": event_type,
            "timestamp": timestamp,
            **({"identity_account_id": customer} if customer else {"identity_email": email}),
            "properties": _with_lines_that_fit({**properties, **money[at]}, list(islice(lines, line_count))),
        }
        payload = orjson.dumps(event)
        version = hashlib.blake2b(payload, digest_size=16).hexdigest()
        yield record_id, event_type, number, timestamp, payload, version, held_by, covers


def _described(frame: pd.DataFrame, names: Names) -> tuple[dict[str, np.ndarray], list[str]]:
    """The texts of some events, blank where there is none; and which unmapped code keeps each back."""
    texts = {name: frame[name].to_numpy(dtype=object) for name in frame.columns if name in _TEXTS}
    held = np.full(len(frame), "", dtype=object)
    if "location" in frame:
        real = {code: warehouse for code, warehouse in names.warehouses.items() if warehouse.real}
        texts["warehouse"] = look_up(frame["location"], {code: warehouse.name for code, warehouse in real.items()})
        countries = {code: warehouse.country for code, warehouse in real.items()}
        texts["warehouse_country"] = look_up(frame["location"], countries)
        held = _unmapped(frame["location"], names.warehouses, "location")
    of_column = (names.reasons.hold, names.reasons.cancel, names.reasons.returned)
    for column, reasons in zip(_CODES, of_column, strict=True):
        if column in frame:
            texts["reason"] = look_up(frame[column], {code: reason.meaning for code, reason in reasons.items()})
            texts["reason_code"] = frame[column].to_numpy(dtype=object)
            held = np.where(held == "", _unmapped(frame[column], reasons, column), held)
    return texts, held.tolist()


def _unmapped(codes: pd.Series, known: Mapping[str, Any], column: str) -> np.ndarray:
    values = codes.to_numpy(dtype=object)
    unmapped = ~np.isin(values, ["", *known])
    return np.array(
        [f"{column} {code}" if is_so else "" for code, is_so in zip(values, unmapped, strict=True)], dtype=object
    )


def _money(frame: pd.DataFrame, headers: pd.DataFrame) -> list[dict[str, Any]]:
    if "refunded" not in frame:
        return [{}] * len(frame)
    currency = headers["currency"].to_numpy(dtype=object)[frame["order"].to_numpy()].tolist()
    amounts = (frame["refunded"].to_numpy() / 100).tolist()
    return [{"refunded": amount, "currency": code} for amount, code in zip(amounts, currency, strict=True)]


def _lines(kind: Found, names: Names) -> Iterator[dict[str, Any]]:
    """The lines of the events, event by event."""
    by_event = np.argsort(kind.event, kind="stable")
    rows, lines = kind.row[by_event], names.orders.lines
    division, style, colour, bucket = (
        lines[name].to_numpy(dtype=object)[rows].tolist() for name in ("division", "style", "color_code", "bucket")
    )
    if names.goods is None:
        size = [f"{number:02d}" if number else "" for number in bucket]
    else:
        size, colour = (names.goods[name].to_numpy(dtype=object)[rows].tolist() for name in ("size", "colour"))
    for of_division, of_style, of_size, of_colour, quantity in zip(
        division, style, size, colour, kind.quantity[by_event].tolist(), strict=True
    ):
        line: dict[str, Any] = {"product": f"{of_division}-{of_style}"}
        if of_size:
            line["size"] = of_size
        if of_colour:
            line["colour"] = of_colour
        line["quantity"] = quantity
        yield line


def _with_lines_that_fit(properties: dict[str, Any], lines: list[dict[str, Any]]) -> dict[str, Any]:
    """The properties with as many of the lines as there is room for; ``more_lines`` says how many there is none for.

    Room is counted by the longest usual writing, as where the payload is checked.
    """
    whole = properties | {"lines": lines} if lines else properties
    compact = orjson.dumps(whole)
    if len(compact) * 3 < MAX_PROPERTIES * 2 and compact.isascii():  # blanks after separators add a third at most
        return whole
    kept = len(lines)
    while len(json.dumps(whole)) >= MAX_PROPERTIES and kept:
        kept -= 1
        whole = properties | ({"lines": lines[:kept]} if kept else {}) | {"more_lines": len(lines) - kept}
    return whole
