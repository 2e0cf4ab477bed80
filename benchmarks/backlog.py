"""An outbox with a history to send, and live orders that come into it meanwhile."""

from itertools import count
from threading import Event

import pandas as pd
from sqlalchemy import Connection, Engine, text

from bc_ometria.rules import Rules
from bc_ometria.store import outbox
from bc_ometria.store.schema import SCHEMA
from benchmarks.ingest import empty_the_store

LIVE_EVERY_S = 0.5
"""Seconds between two live orders."""

_PAYLOADS = {
    "contact": '{"@type":"contact","@collection":"COLLECTION","id":"ID","customer_id":"ID","email":"ID@example.com",'
    '"firstname":"Fern","country_id":"GB"}',
    "order": '{"@type":"order","id":"ID","timestamp":"2020-03-02T09:00:00+00:00","grand_total":42.5,"currency":"GBP",'
    '"status":"complete","is_valid":true,"customer":{"id":"ID"},'
    '"lineitems":[{"product_id":"ST00001","quantity":1,"unit_price":42.5,"total":42.5}]}',
}
_STANDINGS = {"contact": "email:unknown sms:unknown", "order": "valid"}


def fill(engine: Engine, records: int) -> None:
    """A store in which so many ready records of years ago wait for their first call: contacts, and as many orders."""
    empty_the_store(engine)
    collection = Rules.load().account.collection
    with engine.begin() as connection:
        for record_type, number in (("contact", records // 2), ("order", records - records // 2)):
            connection.execute(
                text(
                    f"""
                    INSERT INTO {SCHEMA}.outbox
                        (record_type, record_id, state, lane, standing, payload, wanted_version, changed_at)
                    SELECT :record_type, id, 'wanted', 'history', :standing, replace(:payload, 'ID', id), md5(id),
                        now() - interval '3 years'
                    FROM (SELECT 'H' || lpad(CAST(n AS text), 8, '0') AS id FROM generate_series(1, :number) n) made
                    """
                ),
                {
                    "record_type": record_type,
                    "number": number,
                    "standing": _STANDINGS[record_type],
                    "payload": _PAYLOADS[record_type].replace("COLLECTION", collection),
                },
            )
        connection.execute(text(f"ANALYZE {SCHEMA}.outbox"))


def trade(engine: Engine, is_over: Event) -> float:
    """Put a live order into the outbox now and then, until Ometria has accepted the history; the share of all that was
    accepted which is proved by then.

    Raises ``RuntimeError`` where the delivery ``is_over`` before that.
    """
    numbers = count(1)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        while _is_history_waiting(connection):
            with engine.begin() as transaction:
                outbox.put(transaction, "order", _live_order(f"L{next(numbers):08}"))
            if is_over.wait(LIVE_EVERY_S):
                raise RuntimeError("the delivery ended before Ometria had accepted the history")
        proved = "avg(CASE state WHEN 'confirmed' THEN 1 ELSE 0 END)"
        accepted = text(f"SELECT {proved} FROM {SCHEMA}.outbox WHERE state <> 'wanted'")
        return float(connection.execute(accepted).scalar_one())


def _is_history_waiting(connection: Connection) -> bool:
    waiting = f"SELECT EXISTS (SELECT FROM {SCHEMA}.outbox WHERE state = 'wanted' AND lane = 'history')"
    return bool(connection.execute(text(waiting)).scalar_one())


def _live_order(number: str) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "record_id": [number],
            "payload": [_PAYLOADS["order"].replace("ID", number)],
            "version": [number],
            "state": ["wanted"],
            "reason": [""],
            "standing": [_STANDINGS["order"]],
            "changed_at": [pd.Timestamp.now("UTC")],
        }
    )
