"""Truth 9: nothing personal and no key where people look, whatever goes wrong.

A canary, that is a person and a key that stand nowhere else, goes through every fault of Ometria, through rows and
records that are refused, drift, a stop of the guard, the dry run and a replay. Then it is looked for in all that is
written: output and logs of every process, Dagster's home and its tables, exceptions, stops, what the commands print.
"""

from collections.abc import Iterator
from typing import Any, get_args

import orjson
import pytest
from click.testing import CliRunner

from bc_ometria.cli import main
from bc_ometria.sandbox.ometria import Fault
from bc_ometria.sandbox.ometria.faults import PushKind, ReplyKind
from bc_ometria_tests.chaos import LONG
from bc_ometria_tests.chaos import ometria_defects as defects
from bc_ometria_tests.chaos.harness import Chaos, Defect
from bc_ometria_tests.chaos.postgres import full_disk
from bc_ometria_tests.chaos.victim import At
from bc_ometria_tests.scenarios.shop import customer, header, line

NAME, SURNAME, EMAIL, PHONE = "Zephyrine", "Quackenbush", "quackenbush.zephyrine@example.com", "+447700900123"
TOWN = "Nether Wallop"
QUOTED = f"{NAME} {SURNAME}, {EMAIL}, {PHONE}, {TOWN}"
"""Ometria's words, where they quote what they are about."""

PERSON = {"first_name": NAME, "last_name": SURNAME, "email": EMAIL, "phone": PHONE}
CANARY, ORDER = "00000501", "0000009501"


def feathers(chaos: Chaos) -> set[str]:
    """What a canary is known by, in any spelling."""
    keys = {chaos.shop.sandbox.environment()[name] for name in ("BLUE_CHERRY_API_KEY", "OMETRIA_API_KEY")}
    return {"zephyrine", "quackenbush", "7700900123", "7700 900123", "nether wallop", *keys}


def found(chaos: Chaos, printed: str = "") -> set[tuple[str, str]]:
    """Where the canary stands, and which feather of it."""
    places = {**chaos.kept(), "what the commands printed": printed}
    return {(place, each) for place, kept in places.items() for each in feathers(chaos) if each in kept.lower()}


EVERYWHERE = (
    Fault(kind="too_many_requests", retry_after="1"),
    Fault(kind="server_error"),
    Fault(kind="server_error", after=True),
    Fault(kind="connection_reset"),
    Fault(kind="connection_reset", after=True),
    Fault(kind="half_body"),
    Fault(kind="slow_body", seconds=15),
    Fault(kind="no_answer", seconds=600),
    Fault(kind="html_page"),
    Fault(kind="redirect", location=f"https://login.example.com/?user={EMAIL}"),
    Fault(kind="bad_request", message=QUOTED),
)
"""One of each kind, and each meets one call whatever its path."""


def test_no_canary_is_seen(chaos: Chaos) -> None:
    shop, account = chaos.shop, chaos.shop.sandbox.account
    account.settings = account.settings.changed({"error_shape": "observed"})
    _open(chaos)
    chaos.run(defect=defects.impatient)

    # Every kind of reply, to pushes and to reads; and records that are refused in words that quote them.
    kinds = {
        "rejected": {"count": 1}, "reject_ids": {"ids": frozenset({ORDER, "00000007"}), "message": QUOTED},
        "error_flood": {"count": 50}, "slow_queue": {"seconds": 0}, "out_of_order": {"seconds": 0},
    }  # fmt: skip
    for kind, fields in kinds.items():
        account.faults.arm(Fault(kind=kind, calls=None, **fields))
    for fault in EVERYWHERE:
        account.faults.arm(fault.model_copy(update={"method": "POST"}))
        account.faults.arm(fault.model_copy(update={"method": "GET"}))
    chaos.trade()
    _change_consents(chaos)
    while len(account.faults.armed) > len(kinds):
        chaos.end_waits()
        chaos.run(defect=defects.impatient)
    account.faults.clear()

    # Another source overwrites what was just accepted: drift, with both values.
    chaos.account(read_back_until=0)
    shop.mark(ORDER, ship_name=f"{NAME} {SURNAME}")
    victim = chaos.start(pause_at=At("between_acknowledgement_and_watermark"))
    victim.wait_until_paused()
    _overwrite(chaos)
    victim.go_on()
    victim.end()

    printed = "".join(_commands(chaos))
    account.faults.arm(Fault(kind="key_revoked", calls=None))
    shop.mark(ORDER, ship_city="Wallop")
    refused = chaos.run()
    if LONG:
        account.faults.clear()
        with full_disk(shop.engine):
            chaos.run()

    assert account.counts.faults.keys() == {*get_args(ReplyKind), *get_args(PushKind)}
    assert not refused.succeeded
    assert {"rejected", "drift", "invalid_field"} <= {code for code, *_ in shop.open_exceptions()}
    assert shop.exceptions("drift")
    assert "lane_stops" in "".join(chaos.kept())
    assert found(chaos, printed) == set()


def test_a_canary_that_flies_is_seen(chaos: Chaos) -> None:
    """A planted leak: an error's message quotes a record."""
    _open(chaos)
    chaos.shop.sandbox.account.faults.arm(Fault(kind="server_error", method="POST", path="/push", calls=None))
    chaos.run(defect=defects.quotes_the_record)
    seen = found(chaos)
    assert {feather for _, feather in seen} >= {"zephyrine", "quackenbush"}
    assert "event_logs" in "".join(place for place, _ in seen)


def _open(chaos: Chaos) -> None:
    """A shop, a canary in it, and rows of canaries that no column should hold."""
    shop = chaos.shop
    chaos.open_shop()
    shop.write("customers", customer(CANARY, **PERSON), customer("00000502", **PERSON | {"email": f"{NAME} {SURNAME}"}))
    shop.order(ORDER, customer=CANARY, **PERSON, ship_city=TOWN)
    shop.raw("customers", customer("00000503", **PERSON), birth_date=NAME, email=447700900123)
    shop.raw("orders", header("0000009503", **PERSON), ord_date=SURNAME, ord_total=EMAIL, ord_status=PHONE)
    shop.raw("order-lines", line("0000009503"), size03_qty=NAME, color_code=EMAIL)


def _change_consents(chaos: Chaos) -> None:
    """More contacts opt out than the guard lets pass."""
    for place in range(1, 130):
        if place % 3 == 0:
            chaos.shop.edit("customers", place, email_ok="N", consent_date=chaos.shop.now)


def _overwrite(chaos: Chaos) -> None:
    account = chaos.shop.sandbox.account
    account.settle()
    for shelf in (account.orders, *account.contacts.values()):
        for id in shelf:
            record: dict[str, Any] = shelf[id]
            account.push([{**record, "email": EMAIL, "firstname": NAME, "status": SURNAME}])


def _commands(chaos: Chaos) -> Iterator[str]:
    """What the commands print, errors and all."""
    runner = CliRunner(env={"COLUMNS": "300"})
    day = chaos.shop.now.strftime("%Y-%m-%d")
    for command in (["plan"], ["plan", "--day", day], ["replay", "--id", ORDER], ["replay", "--type", "contact", "--go"],
                    ["approve"], ["approve", "1"], ["pause", "live"], ["resume", "live"]):  # fmt: skip
        result = runner.invoke(main, command)
        assert result.exit_code == 0, (command, result.output)
        yield result.output
