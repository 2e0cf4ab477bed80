"""Events as Ometria's records."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import orjson
import pandas as pd

from bc_ometria.mapping.assemble import Orders
from bc_ometria.mapping.facts import Found
from bc_ometria.mapping.lookup import amounts, instants, look_up, utc_texts
from bc_ometria.mapping.told import kind_of
from bc_ometria.rules import Rules
from bc_ometria.rules.lifecycle import EVENT_TYPES, Reason

MAX_PROPERTIES = 1_000
"""The properties of an event stay under this many characters of JSON (contracts/ometria.md)."""

_TEXTS = ("warehouse", "warehouse_country", "parcel", "carrier", "tracking", "return", "cancelled_by")
_CODES = ("hold_code", "cancel_code", "reason_code")
_COLUMNS = ["record_id", "event_type", "order", "customer", "payload", "version", "held", "covers"]


@dataclass(frozen=True)
class Names:
    """How stores, warehouses and reasons are called, and which code keeps all events of an order back; see
    ``events.events``."""

    orders: Orders
    rules: Rules
    stores: np.ndarray
    held: np.ndarray


def event_id(order: str, event_type: str, key: str = "") -> str:
    """The id of an event: 32 hex characters. ``key``: shipment, return or line number, or hold code."""
    text = "\n".join((order, kind_of(event_type), key))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def payloads(found: Sequence[Found], names: Names, time_zone: str) -> pd.DataFrame:
    """The events that the rules send as records, in the order in which they happened; see ``events.Events``."""
    records = [record for kind in found for record in _records(kind, names, time_zone)]
    told = pd.DataFrame(records, columns=_COLUMNS, dtype=object)
    nothing = np.empty(0, dtype=np.int64)  # first, since there may be no events
    order = np.concatenate([nothing, *(kind.frame["order"].to_numpy() for kind in found)])
    at = np.concatenate([nothing.view("datetime64[us]"), *(kind.frame["at"].to_numpy() for kind in found)])
    told["timestamp"] = instants(pd.Series(at), time_zone).dt.tz_localize(None).dt.floor("s")
    place = {event_type: nth for nth, event_type in enumerate(EVENT_TYPES)}
    rank = np.array([place[event_type] for event_type in told["event_type"]], dtype=np.int64)
    in_order = np.lexsort((rank, at, order))
    is_sent = told["event_type"].isin(names.rules.statuses.event_types).to_numpy()
    return told.iloc[in_order[is_sent[in_order]]].reset_index(drop=True)


def _records(kind: Found, names: Names, time_zone: str) -> Iterator[tuple[Any, ...]]:
    frame, headers = kind.frame, names.orders.headers
    order = frame["order"].to_numpy()
    described, held = _described(frame, names)
    texts = {"store": names.stores[order].tolist()} | {name: described[name].tolist() for name in described}
    columns = [headers[name].to_numpy(dtype=object)[order].tolist() for name in ("ord_num", "customer", "email")]
    lines = _lines(kind, names)
    line_counts = np.bincount(kind.event, minlength=len(frame)).tolist()
    money = _money(frame, headers)
    # Every part of a payload is made when its event is, as in ``orders.payloads``.
    for at, (number, customer, email, event_type, key, covers, timestamp, held_by, line_count) in enumerate(
        zip(
            *columns,
            *(frame[name].tolist() for name in ("type", "key", "covers")),
            utc_texts(frame["at"], time_zone),
            held,
            line_counts,
            strict=True,
        )
    ):
        record_id = event_id(number, event_type, key)
        properties: dict[str, Any] = {"order": number}
        for name, values in texts.items():
            if values[at]:
                properties[name] = values[at]
        properties.update(money[at])
        event = {
            "@type": "custom_event",
            "id": record_id,
            "event_type": event_type,
            "timestamp": timestamp,
            "identity_account_id" if customer else "identity_email": customer or email,
            "properties": _written(properties, list(islice(lines, line_count))),
        }
        payload = orjson.dumps(event)
        version = hashlib.blake2b(payload, digest_size=16).hexdigest()
        yield record_id, event_type, number, customer, payload, version, held_by, covers


def _described(frame: pd.DataFrame, names: Names) -> tuple[dict[str, np.ndarray], list[str]]:
    """The texts of some events, blank where there is none; and the exception code of what keeps each back."""
    texts = {name: frame[name].to_numpy(dtype=object) for name in frame.columns if name in _TEXTS}
    held = names.held[frame["order"].to_numpy()]
    reasons = names.rules.reasons
    of_code: tuple[Mapping[str, Reason], ...] = (reasons.hold, reasons.cancel, reasons.returned)
    if "location" in frame:
        real = {code: warehouse for code, warehouse in names.rules.warehouses.items() if warehouse.real}
        texts["warehouse"] = look_up(frame["location"], {code: warehouse.name for code, warehouse in real.items()})
        countries = {code: warehouse.country for code, warehouse in real.items()}
        texts["warehouse_country"] = look_up(frame["location"], countries)
        held = _held(held, frame["location"], names.rules.warehouses, "unknown_warehouse")
    for column, known in zip(_CODES, of_code, strict=True):
        if column in frame:
            texts["reason"] = look_up(frame[column], {code: reason.meaning for code, reason in known.items()})
            texts["reason_code"] = frame[column].to_numpy(dtype=object)
            held = _held(held, frame[column], known, "unmapped_reason")
    return texts, held.tolist()


def _held(held: np.ndarray, codes: pd.Series, known: Mapping[str, Any], by: str) -> np.ndarray:
    """What keeps events back: what did before, or a code of theirs that is not known."""
    return np.where((held == "") & ~np.isin(codes.to_numpy(dtype=object), ["", *known]), by, held)


def _money(frame: pd.DataFrame, headers: pd.DataFrame) -> list[dict[str, Any]]:
    if "refunded" not in frame:
        return [{}] * len(frame)
    currency = headers["currency"].to_numpy(dtype=object)[frame["order"].to_numpy()].tolist()
    refunded = amounts(frame["refunded"].to_numpy())
    return [{"refunded": amount, "currency": code} for amount, code in zip(refunded, currency, strict=True)]


def _lines(kind: Found, names: Names) -> Iterator[dict[str, Any]]:
    """The lines of the events, event by event."""
    by_event = np.argsort(kind.event, kind="stable")
    rows, lines = kind.row[by_event], names.orders.lines
    columns = ("division", "style", "color_code", "colour", "bucket", "size")
    cells = (lines[name].to_numpy(dtype=object)[rows].tolist() for name in columns)
    for division, style, colour_code, colour_name, bucket, size_label, quantity in zip(
        *cells, kind.quantity[by_event].tolist(), strict=True
    ):
        size, colour = size_label or (f"{bucket:02d}" if bucket else ""), colour_name or colour_code
        line: dict[str, Any] = {"product": f"{division}-{style}"}
        if size:
            line["size"] = size
        if colour:
            line["colour"] = colour
        line["quantity"] = quantity
        yield line


def _written(properties: dict[str, Any], lines: list[dict[str, Any]]) -> orjson.Fragment:
    """The properties as JSON, with as many of the lines as there is room for; ``more_lines`` says how many there is
    none for.

    Room is counted by the longest usual writing, as where the payload is checked.
    """
    whole = properties | {"lines": lines} if lines else properties
    compact = orjson.dumps(whole)
    if len(compact) * 3 < MAX_PROPERTIES * 2 and compact.isascii():  # blanks after separators add a third at most
        return orjson.Fragment(compact)
    kept = len(lines)
    while len(json.dumps(whole)) >= MAX_PROPERTIES and kept:
        kept -= 1
        whole = properties | ({"lines": lines[:kept]} if kept else {}) | {"more_lines": len(lines) - kept}
    return orjson.Fragment(orjson.dumps(whole))
