"""Planted defects: each puts a wrong function in the place of one of the project's, in a victim before its work begins.

A scenario that runs with one must violate the truth that the defect is made for, or its check passes blindly.
"""

import itertools
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import httpx
from sqlalchemy import Engine, event

from bc_ometria.assets import mirror as mirror_assets
from bc_ometria.assets import ometria as ometria_assets
from bc_ometria.delivery import late
from bc_ometria.mapping import contacts, event_payloads
from bc_ometria.ometria.client import OmetriaClient
from bc_ometria.store import mirror, outbox, sales


def _rewrite(*changes: tuple[str, str]) -> None:
    """Have the project say other SQL than it means to."""

    def rewritten(_: Any, __: Any, statement: str, parameters: Any, *___: Any) -> tuple[str, Any]:
        for right, wrong in changes:
            statement = statement.replace(right, wrong)
        return statement, parameters

    event.listen(Engine, "before_cursor_execute", rewritten, retval=True)


def moves_watermark_before_commit() -> None:
    """The watermark moves in a transaction of its own, before the rows that it stands for."""
    write = mirror.write

    def early(engine: Engine, resource: str, frame: Any, held: Any, **options: Any) -> Any:
        if options.get("moves_watermark") and not frame.empty:
            with engine.begin() as connection:
                mirror._move_watermark(connection, resource, frame["last_mod"].max().to_pydatetime())
        return write(engine, resource, frame, held, **options)

    mirror.write = early


def settles_touches_before_documents() -> None:
    """What an order was touched by is forgotten before the order is assembled."""
    put = sales.put

    def early(engine: Engine, assembled: Any, done: Any, *others: Any) -> Any:
        with engine.begin() as connection:
            sales.settle(connection, done)
        return put(engine, assembled, done, *others)

    sales.put = early


def marks_mapped_before_outbox() -> None:
    """Orders count as mapped before the outbox has them."""
    put = ometria_assets._put_orders

    def early(engine: Engine, rules: Any, mapped: Any) -> Any:
        with engine.begin() as connection:
            sales.mark_mapped(connection, mapped.documents)
        return put(engine, rules, mapped)

    ometria_assets._put_orders = early


def acknowledges_without_version() -> None:
    """Sent is written for whatever version is wanted by then."""
    _rewrite(
        ("sent_version = in_flight_version, sent_standing", "sent_version = wanted_version, sent_standing"),
        ("CASE WHEN state = 'wanted' AND wanted_version = in_flight_version THEN 'sent' ELSE state END", "'sent'"),
    )


def claims_without_lease() -> None:
    """A record that another process is sending may be claimed all the same."""
    _rewrite(
        ("AND (o.leased_until IS NULL OR o.leased_until < now())", ""),
        ("FOR UPDATE OF o SKIP LOCKED", ""),
        ("ELSE o.in_flight_version IS DISTINCT FROM o.wanted_version", "ELSE true"),
    )


def sends_events_again() -> None:
    """An event of which a call was lost goes again, as orders and contacts do."""
    late.hold_unknown = lambda *_: 0
    late.hold_unknown_batch = lambda *_: 0
    _rewrite(("(o.in_flight_version IS NULL OR %(resend_events)s) AND", ""))


def makes_event_ids_anew() -> None:
    """The ids of events follow from the process that makes them, and not from Blue Cherry's keys alone."""
    made = itertools.count()
    event_id = event_payloads.event_id
    event_payloads.event_id = lambda order, event_type, key="": event_id(order, event_type, f"{key} {next(made)}")


def sends_again_without_a_look() -> None:
    """What a dead process may have sent goes again, whether Ometria has it or not."""
    outbox.take_for_sent = lambda *_: 0
    look = "o.in_flight_version IS DISTINCT FROM o.wanted_version"
    _rewrite((f"THEN {look}", "THEN true"), (f"ELSE {look}", "ELSE true"))


def acknowledges_what_was_not_sent() -> None:
    """One call that went well counts for everything that waits."""
    acknowledge = outbox.acknowledge

    def generous(engine: Engine, record_type: str, records: Any, request_id: str) -> None:
        with engine.begin() as connection:
            connection.exec_driver_sql(
                "UPDATE bc_ometria.outbox SET state = 'sent', sent_version = wanted_version, accepted_at = now(), "
                "request_id = %s WHERE state = 'wanted'",
                (request_id,),
            )
        acknowledge(engine, record_type, records, request_id)

    outbox.acknowledge = generous


def starts_calls_however_late() -> None:
    """What was claimed is sent, even if its lease is over and another process may have sent something newer."""
    push = OmetriaClient.push

    def patient(self: OmetriaClient, *args: Any, start_by: float = 0, **options: Any) -> Any:
        return push(self, *args, **options)

    OmetriaClient.push = patient  # type: ignore[method-assign]


def sends_a_record_twice_in_a_call() -> None:
    push = OmetriaClient.push

    def doubling(self: OmetriaClient, record_type: str, payloads: Sequence[bytes], **options: Any) -> Any:
        return push(self, record_type, [*payloads[:50], *payloads[:50]], **options)

    OmetriaClient.push = doubling  # type: ignore[method-assign]


def opts_in_by_default() -> None:
    """No information about consent counts as an opt-in."""
    of_email = contacts._email_consent
    contacts._email_consent = lambda consent, since: of_email(consent or "Y", since or "2025-05-01T09:00:00Z")


def holds_the_neighbours() -> None:
    """A record that is held keeps those of its batch back too."""
    put = ometria_assets._put_orders

    def all_or_nothing(engine: Engine, rules: Any, mapped: Any) -> Any:
        held = mapped.decided["state"] == "held"
        if held.any():
            goes = mapped.decided["state"] == "wanted"
            decided = mapped.decided.assign(
                state=mapped.decided["state"].mask(goes, "held"),
                reason=mapped.decided["reason"].mask(goes, "unmapped_status"),
            )
            mapped = replace(mapped, decided=decided)
        return put(engine, rules, mapped)

    ometria_assets._put_orders = all_or_nothing


def prints_what_it_sends() -> None:
    push = OmetriaClient.push

    def talking(self: OmetriaClient, record_type: str, payloads: Sequence[bytes], **options: Any) -> Any:
        sys.stdout.write(f"sending {payloads[0]!r}\n")
        sys.stdout.flush()
        return push(self, record_type, payloads, **options)

    OmetriaClient.push = talking  # type: ignore[method-assign]


def writes_to_blue_cherry() -> None:
    """Rows that were read are marked as read, where they came from."""
    capture = mirror_assets.capture

    def marking(engine: Engine, blue_cherry: Any, *args: Any, **window: Any) -> Any:
        with httpx.Client() as client:
            client.post(os.environ["BLUE_CHERRY_BASE_URL"])
        return capture(engine, blue_cherry, *args, **window)

    mirror_assets.capture = marking
