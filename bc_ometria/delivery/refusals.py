"""What Ometria refused after it had accepted it: a 202 says received, the errors ring says the rest."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import astuple, dataclass, field
from datetime import datetime, timedelta
from difflib import SequenceMatcher
from hashlib import blake2b
from typing import NamedTuple

import orjson
from sqlalchemy import Engine, select, tuple_
from sqlalchemy.dialects.postgresql import insert

from bc_ometria.ometria.client import OmetriaClient, RecordError
from bc_ometria.ometria.errors import AccessRefused, OmetriaError
from bc_ometria.ometria.personal import without_personal
from bc_ometria.store import exceptions, outbox, schema
from bc_ometria.store.lanes import RECORD_TYPES

RING = 100
"""How many entries the ring keeps, of the whole account (contracts/ometria.md)."""

_LONGEST_WORDS = 300  # characters of Ometria's words in an exception

_CLOCKS_APART = timedelta(seconds=1)  # Ometria's time is known to the second

_OUTBOX, _ACCOUNT = schema.outbox.c, schema.ometria_account.c


@dataclass(frozen=True)
class Errors:
    """What one reading of the ring came to.

    ``held``: records held, by type. ``unnamed``: entries that name no record and came since the last reading, of
    whichever sender. ``wrapped``: none of the entries read last is left, so that others may have come and gone.
    ``problem``: why it could not be read.
    """

    held: Counter[str] = field(default_factory=Counter)
    unnamed: int = 0
    wrapped: bool = False
    problem: str = field(default="", compare=False)


class _Sent(NamedTuple):
    """A record as it was last sent."""

    record_type: str
    record_id: str
    request_id: str
    accepted_at: datetime


def read_errors(engine: Engine, ometria: OmetriaClient) -> Errors:
    """Hold the records that the errors ring names, each with Ometria's own words.

    An entry with a request id counts where its record was last sent with that request. One without counts where it
    has come since the last reading, and its time is after its record was last sent; otherwise it may be an old one.
    What cannot be told is left to the read back, which finds the record missing. So it is where the ring has wrapped,
    for contacts and orders; of events that were accepted meanwhile nothing can be known.

    Which entries have come since the last reading is worked out from what the ring showed then, whether it shows the
    newest first or last (the contract does not say); entries that are equal word for word cannot be told apart, and
    are taken for the old ones as far as there were such (ours). The first reading of a store finds nothing new. Raises
    ``AccessRefused`` where Ometria refuses the key; a ring that cannot be read otherwise holds nobody up.
    """
    before = _remembered(engine)
    try:
        ring = ometria.errors()
    except AccessRefused:
        raise
    except OmetriaError as unread:
        return Errors(problem=str(unread))
    marks = [_mark(error) for error in ring]
    known = range(len(ring)) if before is None else still_there(before.split(), marks)
    sent = _last_sent(engine, ring)
    words: dict[_Sent, list[str]] = {}
    for place, error in enumerate(ring):
        for record in sent[error.record_id]:
            if _is_about(error, record, ometria, is_new=place not in known):
                words.setdefault(record, []).append(f"{error.path}: {error.message}" if error.path else error.message)
    held = Counter(
        record.record_type
        for record, told in words.items()
        if refuse(engine, record.record_type, record.record_id, record.request_id, "; ".join(dict.fromkeys(told)))
    )
    if not _remember(engine, before, " ".join(marks)):
        return Errors(held)  # Another process has read the ring meanwhile, and tells what is new.
    unnamed = sum(error.record_id is None and place not in known for place, error in enumerate(ring))
    return Errors(held, unnamed, wrapped=len(ring) >= RING and not known)


def refuse(engine: Engine, record_type: str, record_id: str, request_id: str | None, words: str) -> bool:
    """Hold one record that Ometria refused; False where it was not last sent with that request.

    ``request_id=None`` stands for the call just made. Texts of the record are taken out of Ometria's words.
    """
    with engine.begin() as connection:
        refused = outbox.reject(connection, record_type, record_id, request_id)
        if refused:
            of_record = (_OUTBOX.record_type == record_type, _OUTBOX.record_id == record_id)
            payload = connection.execute(select(_OUTBOX.payload).where(*of_record)).scalar_one()
            told = words
            with suppress(orjson.JSONDecodeError):  # of which nothing can stand in Ometria's words
                told = without_personal(words, orjson.loads(payload or "{}"))
            exceptions.open_one(connection, "rejected", record_type, record_id, told[:_LONGEST_WORDS])
    return refused


def still_there(before: Sequence[str], now: Sequence[str]) -> set[int]:
    """The places in the ring as it is ``now`` of entries that it showed ``before``.

    What is left of a ring is one run of neighbours: at its beginning where it shows the newest last, at its end where
    it shows them first; an entry that came in between splits the run. Never takes an old entry for a new one.
    """
    blocks = SequenceMatcher(None, before, now).get_matching_blocks()
    return {place for block in blocks for place in range(block.b, block.b + block.size)}


def _is_about(error: RecordError, record: _Sent, ometria: OmetriaClient, *, is_new: bool) -> bool:
    if error.request_id:
        return error.request_id == record.request_id
    return (
        is_new
        and error.record_type == record.record_type
        and error.at is not None
        and error.at > ometria.ometria_time(record.accepted_at) + _CLOCKS_APART
    )


def _last_sent(engine: Engine, ring: Iterable[RecordError]) -> dict[str | None, list[_Sent]]:
    """The records that the ring may be about, of any type, by their id: those that Ometria has accepted."""
    keys = [(each, error.record_id) for error in ring if error.record_id for each in RECORD_TYPES]
    found = select(_OUTBOX.record_type, _OUTBOX.record_id, _OUTBOX.request_id, _OUTBOX.accepted_at).where(
        tuple_(_OUTBOX.record_type, _OUTBOX.record_id).in_(keys), _OUTBOX.state.in_(("sent", "drift", "accepted"))
    )
    sent: dict[str | None, list[_Sent]] = defaultdict(list)
    with engine.connect() as connection:
        for row in connection.execute(found):
            sent[row.record_id].append(_Sent(*row))
    return sent


def _mark(error: RecordError) -> str:
    return blake2b(repr(astuple(error)).encode(), digest_size=4).hexdigest()


def _remembered(engine: Engine) -> str | None:
    """The marks of the entries that the ring showed last; None where it was never read."""
    with engine.connect() as connection:
        return connection.execute(select(_ACCOUNT.errors_seen)).scalar_one_or_none()


def _remember(engine: Engine, before: str | None, marks: str) -> bool:
    """Write what the ring shows; False where another process has written since ``before`` was read."""
    if before == marks:
        return True
    row = insert(schema.ometria_account).values(errors_seen=marks)
    row = row.on_conflict_do_update(
        index_elements=["only_row"],
        set_={"errors_seen": marks},
        where=_ACCOUNT.errors_seen.is_not_distinct_from(before),
    )
    with engine.begin() as connection:
        return bool(connection.execute(row).rowcount)
