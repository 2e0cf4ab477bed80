"""Assembled orders become Ometria's orders: first the decision about each, then the payloads of those that go."""

import hashlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from functools import lru_cache
from itertools import islice
from typing import Any

import numpy as np
import orjson
import pandas as pd

from bc_ometria.mapping.assemble import Orders, first_rows
from bc_ometria.mapping.lifecycle import Lifecycle
from bc_ometria.mapping.lookup import amounts, look_up, utc_texts
from bc_ometria.mapping.money import totals_apart
from bc_ometria.mapping.phones import international
from bc_ometria.rules import Rules
from bc_ometria.rules.lifecycle import CANCELLED

REDUCED_FROM = 50_000
"""Bytes from which an order is reduced (ours): 60 KB is Ometria's limit (contracts/ometria.md), and how it counts
letters outside ASCII is not known."""

_REQUIRED = ("product_id", "sku", "quantity", "unit_price", "total", "quantity_refunded", "refunded")

_OF_LIFE = (
    "claim_against_evidence",
    "evidence_apart",
    "detail",
    "unmapped_hold",
    "unmapped_cancel",
    "unmapped_return",
)

_BUCKET_LABELS = np.array([f"{bucket:02d}" for bucket in range(25)], dtype=object)
"""The two digits of size buckets 1 to 24, and of 0 for a line without sizes."""


def of_survivors(orders: Orders, survivors: Mapping[str, str]) -> Orders:
    """The same orders, those of merged customers as the survivors' (``merges.Merges.survivors``)."""
    codes = orders.headers["customer"]
    if not codes.isin(survivors).any():
        return orders
    return replace(orders, headers=orders.headers.assign(customer=codes.replace(dict(survivors))))


def claims_of(orders: Orders, rules: Rules) -> np.ndarray:
    """What each order's ``ord_status`` claims, as ``lifecycle.lifecycle`` takes it; blank where no rule knows it, and
    where the rules ignore it."""
    claims = {code: rule.claim or "" for code, rule in rules.statuses.ord_status.items()}
    return look_up(orders.headers["ord_status"], claims)


def decide(
    orders: Orders,
    life: Lifecycle,
    rules: Rules,
    *,
    erased_customers: Collection[str] = (),
    vanished: Collection[str] = (),
) -> pd.DataFrame:
    """What the rules say about each order; one row per order, in the order of ``orders.headers``. ``vanished`` names
    those that were deleted in Blue Cherry: what is known of them is how they last were.

    Columns besides those of the header that a contract looks at (``ord_num``, ``division``, ``ord_status``,
    ``ord_type``, ``currency``, ``email``, ``header_count``, ``stray_lines``) and those of ``life.orders`` that it looks
    at (``claim_against_evidence``, ``evidence_apart``, ``detail``, ``unmapped_hold``, ``unmapped_cancel``,
    ``unmapped_return``):

    - ``line_count``: lines, one per size bucket
    - ``status``, ``is_valid``: Ometria's, of the order's state; ``status`` is blank where the code is unmapped. One
      that vanished counts as revenue no more, and has the status of one that the house cancelled (ours: Blue Cherry
      says nothing of it any more)
    - ``store``, ``store_currency``, ``channel``: blank where division or order type is unknown
    - ``unknown_location``: a location of its lines or of a parcel that no rule knows, blank where there is none
    - ``excluded``: why the order never goes to Ometria by the retailer's choice; blank where it may go
    - ``identity``: the customer code or the e-mail address, blank where there is neither
    - ``value``: the order's total in minor units
    - ``totals_apart``: minor units by which header and lines differ beyond a penny a line; 0 where they agree
    """
    headers, division_of, state_of = orders.headers, rules.divisions, rules.statuses.states
    is_vanished = headers["ord_num"].isin(list(vanished))
    is_cancelled_by_it = is_vanished & ~life.orders["state"].isin(CANCELLED).to_numpy()
    state = life.orders["state"].where(~is_cancelled_by_it.to_numpy(), "cancelled_by_house")
    of_type = look_up(headers["ord_type"], {code: rule.channel or "" for code, rule in rules.channels.items()})
    of_division = look_up(headers["division"], {code: rule.channel or "" for code, rule in division_of.items()})
    decisions = headers[
        ["ord_num", "division", "ord_status", "ord_type", "currency", "email", "header_count", "stray_lines"]
    ].assign(
        **{name: life.orders[name].to_numpy() for name in _OF_LIFE},
        line_count=np.diff(first_rows(orders.lines, len(orders))),
        status=look_up(state, {name: rule.status for name, rule in state_of.items()}),
        is_valid=look_up(state, {name: rule.is_valid for name, rule in state_of.items()}, False).astype(bool)
        & ~is_vanished.to_numpy(),
        store=look_up(headers["division"], {code: rule.store for code, rule in division_of.items()}),
        store_currency=look_up(headers["division"], {code: rule.currency for code, rule in division_of.items()}),
        channel=np.where((of_type != "") & (of_division != ""), of_division, of_type),
        unknown_location=_unknown_locations(orders, life, rules),
        identity=headers["customer"].where(headers["customer"] != "", headers["email"]),
        value=headers["ord_total"],
        totals_apart=totals_apart(orders),
    )
    decisions["excluded"] = _excluded(headers, rules, erased_customers)
    return decisions


def payloads(
    orders: Orders, life: Lifecycle, decisions: pd.DataFrame, goes: np.ndarray, rules: Rules, time_zone: str
) -> pd.DataFrame:
    """The payloads of the orders marked in ``goes``: columns ``record_id``, ``payload`` (JSON bytes),
    ``version`` (32 hex characters of a hash of it) and ``reduced`` (the details of its lines were left out).

    Cancelled pieces are taken out of quantities and money, unless all are cancelled: such an order is sent
    as it was placed, with ``is_valid`` false, as Ometria asks for a full cancellation. What came back stays in both,
    and is told apart: pieces and money on its line, and the order's refunds as a whole, freight included, in its
    properties. An order that comes near the 60 KB of a record is reduced: its lines keep what Ometria requires of them,
    their totals and what came back (ours).
    """
    at = np.flatnonzero(goes)
    line_counts = np.diff(first_rows(orders.lines, len(orders)))[at].tolist()
    items = _line_items(orders, life.lines, goes, rules)
    headers, chosen, money = orders.headers.iloc[at], decisions.iloc[at], life.orders.iloc[at]
    # Every part of a payload is made when its order is: thousands of small objects that live at once make the
    # garbage collector look through them over and over, which costs as much as making them.
    columns = zip(
        headers["ord_num"].tolist(),
        utc_texts(headers["ord_date"], time_zone),
        headers["currency"].tolist(),
        *(amounts(money[name].to_numpy()) for name in ("total", "subtotal")),
        amounts(_sign(rules) * money["discount"].to_numpy()),
        *(amounts(money[name].to_numpy()) for name in ("shipping", "tax", "refunded")),
        chosen["status"].tolist(),
        chosen["is_valid"].tolist(),
        _customers(headers, rules),
        _addresses(headers, "ship"),
        _addresses(headers, "bill"),
        chosen["channel"].tolist(),
        chosen["store"].tolist(),
        *(headers[name].tolist() for name in ("pay_method", "ship_via", "promo_code", "ref_num2")),
        look_up(headers["division"], {code: rule.brand for code, rule in rules.divisions.items()}).tolist(),
        headers["division"].tolist(),
        line_counts,
        strict=True,
    )  # fmt: skip
    payloads, versions, reduced = [], [], []
    for (
        number, timestamp, currency, total, subtotal, discount, shipping, tax, refunded, status, is_valid, customer,
        ship_to, bill_to, channel, store, pay_method, ship_via, promo_code, web_id, brand, division, line_count,
    ) in columns:  # fmt: skip
        order: dict[str, Any] = {
            "@type": "order",
            "id": number,
            "timestamp": timestamp,
            "currency": currency,
            "grand_total": total,
            "subtotal": subtotal,
            "discount": discount,
            "shipping": shipping,
            "tax": tax,
            "status": status,
            "is_valid": is_valid,
            "customer": customer,
            "lineitems": list(islice(items, line_count)),
        }
        if ship_to:
            order["shipping_address"] = ship_to
        if bill_to:
            order["billing_address"] = bill_to
        order["channel"] = channel
        order["store"] = store
        if pay_method:
            order["payment_method"] = pay_method
        if ship_via:
            order["shipping_method"] = ship_via
        if promo_code:
            order["coupon_code"] = promo_code
        if web_id:
            order["web_id"] = web_id
        order["properties"] = {"brand": brand, "division": division}
        if refunded:
            order["properties"]["refunded"] = refunded
        payload = orjson.dumps(order)
        is_too_large = len(payload) > REDUCED_FROM
        if is_too_large:
            order["lineitems"] = [_reduced(item) for item in order["lineitems"]]
            payload = orjson.dumps(order)
        payloads.append(payload)
        versions.append(hashlib.blake2b(payload, digest_size=16).hexdigest())
        reduced.append(is_too_large)
    return pd.DataFrame(
        {"record_id": headers["ord_num"].to_numpy(), "payload": payloads, "version": versions, "reduced": reduced}
    )


def _excluded(headers: pd.DataFrame, rules: Rules, erased_customers: Collection[str]) -> np.ndarray:
    """Why an order never goes, the first reason that holds; blank for the others and for unknown codes."""
    by_type = {code: f"{rule.meaning}s are not sent" for code, rule in rules.channels.items() if not rule.send}
    by_division = {
        code: f"division {code} is not marketed" for code, rule in rules.divisions.items() if not rule.marketing
    }
    by_status = {code: rule.ignore for code, rule in rules.statuses.ord_status.items() if rule.ignore}
    erased = dict.fromkeys(erased_customers, "the customer was erased")
    reason = look_up(headers["ord_type"], by_type)
    for column, reasons in (("division", by_division), ("ord_status", by_status), ("customer", erased)):
        reason = np.where(reason != "", reason, look_up(headers[column], reasons))
    return reason


def _sign(rules: Rules) -> int:
    return -1 if rules.account.discount_sign == "negative" else 1


def _unknown_locations(orders: Orders, life: Lifecycle, rules: Rules) -> np.ndarray:
    """A location of each order that no rule knows, of its lines or of its parcels that are not void."""
    parcels = life.parcels.frame
    of_parcels = orders.shipments["location"].to_numpy(dtype=object)[parcels["row"].to_numpy()]
    location = np.r_[orders.lines["location"].to_numpy(dtype=object), of_parcels]
    order = np.r_[orders.lines["order"].to_numpy(), parcels["order"].to_numpy()]
    counts = np.r_[np.ones(len(orders.lines), dtype=bool), parcels["live"].to_numpy()]
    counts &= ~pd.Index(location).isin(["", *rules.warehouses])
    unknown = np.full(len(orders), "", dtype=object)
    unknown[order[counts]] = location[counts]
    return unknown


def _line_items(orders: Orders, of_lines: pd.DataFrame, goes: np.ndarray, rules: Rules) -> Iterator[dict[str, Any]]:
    """Ometria's line items of the orders that go, line by line in the order of ``orders.lines``."""
    chosen = goes[orders.lines["order"].to_numpy()]
    lines, life = orders.lines[chosen], of_lines[chosen]
    real = {code: warehouse.name for code, warehouse in rules.warehouses.items() if warehouse.real}
    columns = zip(
        *(lines[name].tolist() for name in ("division", "style", "color_code", "lbl_code", "dimension")),
        _BUCKET_LABELS[lines["bucket"].to_numpy()].tolist(),
        *(lines[name].tolist() for name in ("colour", "size", "upc", "season")),
        look_up(lines["location"], real).tolist(),
        *(life[name].tolist() for name in ("quantity", "ordered", "dispatched", "back_ordered", "returned")),
        (life["by_customer"] + life["by_house"]).tolist(),
        amounts(lines["unit_price"].to_numpy()),
        amounts(life["subtotal"].to_numpy()),
        amounts(_sign(rules) * life["discount"].to_numpy()),
        *(amounts(life[name].to_numpy()) for name in ("tax", "total", "refunded")),
        strict=True,
    )
    for (
        division, style, colour, label, dimension, bucket, colour_name, size, upc, season, warehouse,
        quantity, ordered, dispatched, back_ordered, returned, cancelled,
        price, subtotal, discount, tax, total, refunded,
    ) in columns:  # fmt: skip
        product = f"{division}-{style}"
        sku = f"{product}-{colour}-{label}-{dimension}-{bucket}"
        item: dict[str, Any] = {
            "product_id": product,
            "variant_id": sku,
            "sku": sku,
            "quantity": quantity,
            "unit_price": price,
            "subtotal": subtotal,
            "discount": discount,
            "tax": tax,
            "total": total,
        }
        if returned:
            item["quantity_refunded"] = returned
        if refunded:
            item["refunded"] = refunded
        if colour or size:
            item["variant_options"] = _variant_options(colour, colour_name, bucket, size)
        properties = _properties(ordered, dispatched, back_ordered, cancelled, warehouse, season)
        item["properties"] = {**properties, "upc": upc} if upc else properties
        yield item


@lru_cache(maxsize=10_000)
def _variant_options(colour: str, colour_name: str, bucket: str, size: str) -> list[dict[str, str]]:
    """Made once for the many lines that have the same; not to be changed."""
    options = [{"type": "colour", "id": colour, "label": colour_name or colour}] if colour else []
    return [*options, {"type": "size", "id": bucket, "label": size}] if size else options


@lru_cache(maxsize=10_000)
def _properties(
    ordered: int, dispatched: int, back_ordered: int, cancelled: int, warehouse: str, season: str
) -> dict[str, Any]:
    """Made once for the many lines that have the same; not to be changed."""
    pieces = {"dispatched": dispatched, "back_ordered": back_ordered, "cancelled": cancelled}
    rest = {**pieces, "warehouse": warehouse, "season": season}
    return {"ordered": ordered} | {name: value for name, value in rest.items() if value}


def _reduced(item: dict[str, Any]) -> dict[str, Any]:
    """What Ometria requires of a line, its totals, and what came back of it."""
    return {name: item[name] for name in _REQUIRED if name in item}


def _customers(headers: pd.DataFrame, rules: Rules) -> Iterator[dict[str, str]]:
    """Ometria's ``customer`` of each order, without what is blank: a guest has no ``id``, and who has one no ``email``.

    ``customer_id`` joins an order to its contact (contracts/ometria.md). The address that the order was placed under
    may be a former one by now, or somebody else's (F1).
    """
    country = headers["bill_country"].where(headers["bill_country"] != "", headers["ship_country"])
    home = look_up(headers["division"], {code: rule.country for code, rule in rules.divisions.items()})
    phones = international(headers["phone"], country.where(country != "", home), rules.phones)
    columns = (headers[name].tolist() for name in ("customer", "email", "first_name", "last_name"))
    for account, email, first_name, last_name, phone in zip(*columns, phones, strict=True):
        customer = {}
        if account:
            customer["id"] = account
        elif email:
            customer["email"] = email
        if first_name:
            customer["firstname"] = first_name
        if last_name:
            customer["lastname"] = last_name
        if phone:
            customer["phone_number"] = phone
        yield customer


def _addresses(headers: pd.DataFrame, purpose: str) -> Iterator[dict[str, str]]:
    """Ometria's address of each order, without what is blank: a blank never overwrites a value."""
    columns = (headers[f"{purpose}_{part}"].tolist() for part in ("city", "state", "zipcode", "country"))
    for city, state, postcode, country in zip(*columns, strict=True):
        address = {}
        if city:
            address["city"] = city
        if state:
            address["state"] = state
        if postcode:
            address["postcode"] = postcode
        if country:
            address["country_code"] = country
        yield address
