"""Events that wait in the outbox, each for its order."""

from sqlalchemy import Engine, text

from bc_ometria.rules import Account, Pace, Rules
from bc_ometria.store import outbox
from bc_ometria.store.outbox import Claimed
from bc_ometria.store.schema import SCHEMA


def account(contacts: int = 2, minutes: float = 5, parents_wait_min: float = 30) -> Account:
    pace = Pace(contacts=contacts, minutes=minutes)
    return Rules.load().account.model_copy(update={"pace": pace, "parents_wait_min": parents_wait_min})


def change(engine: Engine, statement: str, **values: object) -> None:
    with engine.begin() as connection:
        connection.execute(text(statement.replace("outbox", f"{SCHEMA}.outbox")), values)


def order(engine: Engine, number: str, state: str = "confirmed", *, ago_min: float = 0) -> None:
    change(
        engine,
        "INSERT INTO outbox (record_type, record_id, state, sent_version, accepted_at) "
        "VALUES ('order', :number, :state, 'v', now() - make_interval(secs => :ago))",
        number=number,
        state=state,
        ago=60 * ago_min,
    )


def event(engine: Engine, record_id: str, number: str, *, ago_min: float, event_type: str = "order_dispatched") -> None:
    """An event of an order as ``outbox.put`` leaves it: it waits until it is released."""
    with engine.begin() as connection:
        connection.execute(
            text(
                f"INSERT INTO {SCHEMA}.order_events "
                "(record_id, ord_num, customer, event_type, covers, happened_at, enters_until) "
                "SELECT :id, :number, '', :event_type, '', at, at + interval '4 hours' "
                "FROM (SELECT now() - make_interval(secs => :ago) AS at) happened"
            ),
            {"id": record_id, "number": number, "event_type": event_type, "ago": 60 * ago_min},
        )
        connection.execute(
            text(
                f"INSERT INTO {SCHEMA}.outbox "
                "(record_type, record_id, state, lane, payload, wanted_version, queued_at, next_attempt) VALUES "
                "('custom_event', :id, 'wanted', 'events', '{}', 'v', now() - make_interval(secs => :ago), 'infinity')"
            ),
            {"id": record_id, "ago": 60 * ago_min},
        )


def waiting(engine: Engine, *ages: float) -> None:
    """Dispatched orders of so many minutes ago, each confirmed: ``e0`` of order ``W0`` …"""
    for number, ago_min in enumerate(ages):
        order(engine, f"W{number}")
        event(engine, f"e{number}", f"W{number}", ago_min=ago_min)
    change(engine, f"UPDATE {SCHEMA}.live_since SET at = now() - interval '1 day'")


def claim(engine: Engine) -> list[Claimed]:
    batches = outbox.claim(engine, 1)
    return batches[0].records if batches else []
