"""Assembled orders become Ometria's orders: first the decision about each, then the payloads of those that go."""

import hashlib
from collections.abc import Collection, Iterator
from itertools import islice
from typing import Any

import numpy as np
import orjson
import pandas as pd

from bc_ometria.mapping.assemble import Orders, first_rows
from bc_ometria.mapping.lookup import amounts, look_up, utc_texts
from bc_ometria.mapping.money import LineMoney, totals_apart, what_is_left, wholly_cancelled
from bc_ometria.mapping.phones import international
from bc_ometria.rules import Rules

REDUCED_FROM = 50_000
"""Bytes from which an order is reduced (ours): 60 KB is Ometria's limit (contracts/ometria.md), and how it counts
letters outside ASCII is not known."""

_OPTIONAL = {
    "payment_method": "pay_method",
    "shipping_method": "ship_via",
    "coupon_code": "promo_code",
    "web_id": "ref_num2",
}


def decide(orders: Orders, rules: Rules, *, erased_customers: Collection[str] = ()) -> pd.DataFrame:
    """What the rules say about each order; one row per order, in the order of ``orders.headers``.

    Columns besides those of the header that a contract looks at (``ord_num``, ``division``, ``ord_status``,
    ``ord_type``, ``currency``, ``email``, ``header_count``, ``stray_lines``):

    - ``line_count``: lines, one per size bucket
    - ``status``, ``is_valid``: Ometria's; ``status`` is blank where the code is unmapped
    - ``store``, ``store_currency``, ``channel``: blank where division or order type is unknown
    - ``excluded``: why the order never goes to Ometria by the retailer's choice; blank where it may go
    - ``identity``: the customer code or the e-mail address, blank where there is neither
    - ``value``: the order's total in minor units
    - ``totals_apart``: minor units by which header and lines differ beyond a penny a line; 0 where they agree
    """
    headers = orders.headers
    status_of, division_of = rules.statuses.ord_status, rules.divisions
    status = look_up(headers["ord_status"], {code: rule.status or "" for code, rule in status_of.items()})
    valid = look_up(headers["ord_status"], {code: rule.is_valid for code, rule in status_of.items()}, False)
    known = np.isin(headers["ord_status"].to_numpy(dtype=object), list(status_of))
    cancelled = wholly_cancelled(orders) & known & valid.astype(bool)
    decisions = headers[
        ["ord_num", "division", "ord_status", "ord_type", "currency", "email", "header_count", "stray_lines"]
    ].assign(
        line_count=np.diff(first_rows(orders.lines, len(orders))),
        status=np.where(cancelled, rules.statuses.wholly_cancelled.status, status),
        is_valid=valid.astype(bool) & ~cancelled,
        store=look_up(headers["division"], {code: rule.store for code, rule in division_of.items()}),
        store_currency=look_up(headers["division"], {code: rule.currency for code, rule in division_of.items()}),
        channel=look_up(headers["ord_type"], {code: rule.channel or "" for code, rule in rules.channels.items()}),
        identity=headers["customer"].where(headers["customer"] != "", headers["email"]),
        value=headers["ord_total"],
        totals_apart=totals_apart(orders),
    )
    decisions["excluded"] = _excluded(headers, rules, erased_customers)
    return decisions


def payloads(orders: Orders, decisions: pd.DataFrame, goes: np.ndarray, rules: Rules, time_zone: str) -> pd.DataFrame:
    """The payloads of the orders marked in ``goes``: columns ``record_id``, ``payload`` (JSON bytes),
    ``version`` (32 hex characters of a hash of it) and ``reduced`` (the details of its lines were left out).

    Cancelled pieces are taken out of quantities and money, unless all are cancelled: such an order is sent
    as it was placed, with ``is_valid`` false, as Ometria asks for a full cancellation. An order that
    comes near the 60 KB of a record is reduced: its lines keep what Ometria requires of them and their totals
    (ours).
    """
    at = np.flatnonzero(goes)
    line_counts = np.diff(first_rows(orders.lines, len(orders)))[at].tolist()
    of_lines, money = what_is_left(orders)
    items = _line_items(orders, of_lines, goes, _sign(rules))
    headers, chosen = orders.headers.iloc[at], decisions.iloc[at]
    # Every part of a payload is made when its order is: thousands of small objects that live at once make the
    # garbage collector look through them over and over, which costs as much as making them.
    columns = zip(
        headers["ord_num"].tolist(),
        utc_texts(headers["ord_date"], time_zone),
        headers["currency"].tolist(),
        *(amounts(amount[at]) for amount in (money.total, money.subtotal, _sign(rules) * money.discount,
                                             money.shipping, money.tax)),
        chosen["status"].tolist(),
        chosen["is_valid"].tolist(),
        _customers(headers, rules),
        _addresses(headers, "ship"),
        _addresses(headers, "bill"),
        chosen["channel"].tolist(),
        chosen["store"].tolist(),
        _without_blanks({name: headers[column].tolist() for name, column in _OPTIONAL.items()}),
        look_up(headers["division"], {code: rule.brand for code, rule in rules.divisions.items()}).tolist(),
        headers["division"].tolist(),
        line_counts,
        strict=True,
    )  # fmt: skip
    payloads, versions, reduced = [], [], []
    for (
        number, timestamp, currency, total, subtotal, discount, shipping, tax, status, is_valid, customer,
        ship_to, bill_to, channel, store, optional, brand, division, line_count,
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
            **({"shipping_address": ship_to} if ship_to else {}),
            **({"billing_address": bill_to} if bill_to else {}),
            "channel": channel,
            "store": store,
            **optional,
            "properties": {"brand": brand, "division": division},
        }
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


def _line_items(orders: Orders, money: LineMoney, goes: np.ndarray, sign: int) -> Iterator[dict[str, Any]]:
    """Ometria's line items of the orders that go, line by line in the order of ``orders.lines``."""
    chosen = goes[orders.lines["order"].to_numpy()]
    lines = orders.lines[chosen]
    columns = zip(
        *(lines[name].tolist() for name in ("division", "style", "color_code", "lbl_code", "dimension", "bucket")),
        *(lines[name].tolist() for name in ("location", "season")),
        money.quantity[chosen].tolist(),
        *(amounts(amount) for amount in (lines["unit_price"].to_numpy(), money.subtotal[chosen],
                                         sign * money.discount[chosen], money.tax[chosen], money.total[chosen])),
        strict=True,
    )  # fmt: skip
    for (
        division, style, colour, label, dimension, bucket, warehouse, season,
        quantity, price, subtotal, discount, tax, total,
    ) in columns:  # fmt: skip
        sku = f"{division}-{style}-{colour}-{label}-{dimension}-{bucket:02d}"
        item: dict[str, Any] = {
            "product_id": f"{division}-{style}",
            "variant_id": sku,
            "sku": sku,
            "quantity": quantity,
            "unit_price": price,
            "subtotal": subtotal,
            "discount": discount,
            "tax": tax,
            "total": total,
        }
        if colour:
            item["variant_options"] = [{"type": "colour", "id": colour, "label": colour}]
        if warehouse and season:
            item["properties"] = {"warehouse": warehouse, "season": season}
        elif warehouse:
            item["properties"] = {"warehouse": warehouse}
        elif season:
            item["properties"] = {"season": season}
        yield item


def _reduced(item: dict[str, Any]) -> dict[str, Any]:
    return {name: item[name] for name in ("product_id", "sku", "quantity", "unit_price", "total")}


def _customers(headers: pd.DataFrame, rules: Rules) -> Iterator[dict[str, str]]:
    """Ometria's ``customer`` of each order; a guest has no ``id``."""
    country = headers["bill_country"].where(headers["bill_country"] != "", headers["ship_country"])
    home = look_up(headers["division"], {code: rule.country for code, rule in rules.divisions.items()})
    phones = international(headers["phone"], country.where(country != "", home), rules.phones)
    columns = {"id": "customer", "email": "email", "firstname": "first_name", "lastname": "last_name"}
    values = {name: headers[column].tolist() for name, column in columns.items()}
    return _without_blanks({**values, "phone_number": phones})


def _addresses(headers: pd.DataFrame, purpose: str) -> Iterator[dict[str, str]]:
    parts = {"city": "city", "state": "state", "postcode": "zipcode", "country_code": "country"}
    return _without_blanks({name: headers[f"{purpose}_{part}"].tolist() for name, part in parts.items()})


def _without_blanks(columns: dict[str, list[str]]) -> Iterator[dict[str, str]]:
    """Row by row the columns that are not blank: a blank never overwrites a value."""
    names = tuple(columns)
    for values in zip(*columns.values(), strict=True):
        yield {name: value for name, value in zip(names, values, strict=True) if value}
