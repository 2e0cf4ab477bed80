"""Records that wait in the outbox, as many as a test needs, beside what Ometria has of them."""

from sqlalchemy import Engine, text

from bc_ometria_tests.store.rows import table

VALID_TO_INVALID = {"sent": "valid", "standing": "invalid"}
UNCHANGED = {"sent": "valid", "standing": "valid"}
OPT_OUT = {"record_type": "contact", "sent": "email:in sms:in", "standing": "email:out sms:in"}
OPT_IN = {"record_type": "contact", "sent": "email:out sms:unknown", "standing": "email:in sms:unknown"}
SAME_CONSENT = {"record_type": "contact", "sent": "email:in sms:in", "standing": "email:in sms:in"}


def fill(
    engine: Engine,
    number: int,
    lane: str,
    *,
    sent: str | None,
    standing: str,
    record_type: str = "order",
    prefix: str = "",
    payload: str = '{"status": "cancelled", "currency": "GBP", "grand_total": 12.5}',
    version: str = "new",
) -> None:
    """So many records that wait in a lane. Their ids begin with ``prefix``, or with the lane and what Ometria has."""
    with engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO bc_ometria.outbox (record_type, record_id, state, lane, payload, wanted_version, "
                "sent_version, standing, sent_standing) "
                "SELECT :record_type, :prefix || to_char(n, 'FM0000000'), 'wanted', :lane, :payload, :version, 'old', "
                ":standing, :sent FROM generate_series(1, :number) n"
            ),
            {
                "number": number,
                "lane": lane,
                "sent": sent,
                "standing": standing,
                "record_type": record_type,
                "prefix": prefix or f"{lane} {sent} {standing} ",
                "payload": payload,
                "version": version,
            },
        )


def change(engine: Engine, changes: str, where: str = "true") -> None:
    """Change records of the outbox by hand."""
    with engine.begin() as connection:
        connection.execute(text(f"UPDATE bc_ometria.outbox SET {changes} WHERE {where}"))


def stops(engine: Engine) -> list[tuple]:
    """Every stop: lane, record type, cause, records, and by what it ended if it has."""
    return table(engine, "lane_stops", "lane, record_type, cause, records, ended_by", "id")
