"""What the two systems hold, read over bare HTTP."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any

import httpx

Row = Mapping[str, Any]

BUCKETS = [f"size{bucket:02}_qty" for bucket in range(1, 25)]

_COLUMNS = {
    "customers": [
        "customer",
        "email",
        "first_name",
        "last_name",
        "email_ok",
        "consent_date",
        "merged_into",
        "erased_ok",
    ],
    "orders": [
        "pkey",
        "ord_num",
        "division",
        "customer",
        "ord_status",
        "cancel_code",
        "ord_type",
        "ord_date",
        "currency",
        "email",
        "first_name",
        "last_name",
        "frt_amt",
        "ord_total",
    ],
    "order-lines": [
        "pkey",
        "fkey",
        "ord_num",
        "line_num",
        "location",
        "unit_price",
        "line_disc",
        "line_tax",
        *BUCKETS,
    ],
    "order-stages": ["fkey", "ord_num", "rec_type", *BUCKETS],
    "shipments": ["pkey", "ship_num", "ord_num", "location", "void_ok"],
    "shipment-lines": ["fkey", "ord_num", "line_num", *BUCKETS],
    "returns": ["pkey", "ret_num", "ord_num", "reason_code", "refund_total", "void_ok"],
    "return-lines": ["fkey", "ord_num", "line_num", "refund_amt", *BUCKETS],
}
OF_ORDERS = tuple(resource for resource in _COLUMNS if resource != "customers")


@dataclass
class Ometria:
    """What the stand-in has stored: contacts and orders by id, custom events as they came, and its journal of all that
    could have started a flow, in the order in which it happened."""

    contacts: dict[str, dict[str, Any]]
    orders: dict[str, dict[str, Any]]
    events: list[dict[str, Any]]
    journal: list[dict[str, Any]]


def read_blue_cherry(environment: Mapping[str, str]) -> dict[str, list[Row]]:
    """The rows of what customers and orders are made of, trimmed, and of those only what is looked at; the
    stand-in must stand still."""
    base = "/".join(environment[f"BLUE_CHERRY_{part}"] for part in ("BASE_URL", "TENANT", "ENVIRONMENT"))
    headers = {"Ocp-Apim-Subscription-Key": environment["BLUE_CHERRY_API_KEY"]}
    with httpx.Client(base_url=base, headers=headers, timeout=60) as http:
        return {resource: list(_rows(http, resource)) for resource in _COLUMNS}


def _rows(http: httpx.Client, resource: str) -> Iterator[Row]:
    for page in count(1):
        params: dict[str, str | int] = {"page": page, "page_size": 1000, "select": ",".join(_COLUMNS[resource])}
        rows = http.get(f"/{resource}", params=params).raise_for_status().json()["value"]
        for row in rows:
            trimmed = {name: value.strip() if isinstance(value, str) else value for name, value in row.items()}
            yield {name: value for name, value in trimmed.items() if name not in BUCKETS or value}
        if not rows:
            return


def read_ometria(control_url: str) -> Ometria:
    """All that the stand-in has stored."""
    with httpx.Client(base_url=f"{control_url}/_control", timeout=120) as http:
        contacts, orders, events, journal = (
            http.get(f"/state/{part}").raise_for_status().json()
            for part in ("contacts", "orders", "events", "automation")
        )
    return Ometria(
        contacts={each["id"]: each for each in contacts},
        orders={each["id"]: each for each in orders},
        events=events,
        journal=journal,
    )


def buckets(row: Row) -> list[str]:
    """The size buckets of a row that hold pieces."""
    return [name for name in BUCKETS if name in row]


def by(rows: Iterable[Row], column: str) -> dict[Any, list[Row]]:
    """Rows by what stands in a column; none where it is in no row."""
    grouped: dict[Any, list[Row]] = {}
    for row in rows:
        grouped.setdefault(row[column], []).append(row)
    return grouped
