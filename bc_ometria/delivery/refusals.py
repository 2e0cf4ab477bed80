"""What Ometria refused after it had accepted it: a 202 says received, the errors ring says the rest."""

from sqlalchemy import Engine

from bc_ometria.ometria.client import OmetriaClient
from bc_ometria.ometria.errors import AccessRefused, OmetriaError
from bc_ometria.store import exceptions, outbox


def hold_refused(engine: Engine, ometria: OmetriaClient, record_type: str) -> int:
    """Hold the records of a type that the errors ring names, each with Ometria's own words; how many.

    The ring is the account's and keeps only the latest 100: an entry counts where the record was last sent
    with the request it names. Entries of the documented shape, without an id, cannot be told apart; the read
    back finds those records missing, as it does where the ring cannot be read. Raises ``AccessRefused`` where
    Ometria refuses the key.
    """
    held = 0
    try:
        errors = ometria.errors()
    except AccessRefused:
        raise
    except OmetriaError:
        return 0
    for error in errors:
        if error.request_id and error.record_id and error.record_type in (None, record_type):
            where = f"{error.path}: " if error.path else ""
            held += refuse(engine, record_type, error.record_id, error.request_id, where + error.message)
    return held


def refuse(engine: Engine, record_type: str, record_id: str, request_id: str | None, words: str) -> bool:
    """Hold one record that Ometria refused; False where it was not last sent with that request.

    ``request_id=None`` stands for the call just made.
    """
    with engine.begin() as connection:
        refused = outbox.reject(connection, record_type, record_id, request_id)
        if refused:
            exceptions.open_one(connection, "rejected", record_type, record_id, words)
    return refused
