"""Truth 9: nothing personal and no key where people look, whatever goes wrong.

A canary, that is a person and a key that stand nowhere else, goes through every fault of Ometria, through rows and
records that are refused, drift, a stop of the guard, the dry run and a replay. Then it is looked for in all that is
written: output and logs of every process, Dagster's home and its tables, exceptions, stops, what the commands print.
"""

from collections.abc import Iterator
from typing import get_args

from click.testing import CliRunner

from bc_ometria.cli import main
from bc_ometria.sandbox.ometria import Fault
from bc_ometria.sandbox.ometria.faults import PushKind, ReplyKind
from bc_ometria_tests.chaos import LONG
from bc_ometria_tests.chaos import ometria_defects as defects
from bc_ometria_tests.chaos.harness import Chaos
from bc_ometria_tests.chaos.postgres import full_disk
from bc_ometria_tests.chaos.victim import At
from bc_ometria_tests.scenarios.shop import customer, header, line

NAME, SURNAME, EMAIL, PHONE = "Zephyrine", "Quackenbush", "quackenbush.zephyrine@example.com", "+447700900123"
TOWN = "Nether Wallop"
PERSON = {"first_name": NAME, "last_name": SURNAME, "email": EMAIL, "phone": PHONE}
CUSTOMER, ORDER = "00000501", "0000009501"

_ALL_REPLIES = (
    Fault(kind="server_error", after=True),
    Fault(kind="html_page"),
    Fault(kind="redirect", location=f"https://login.example.com/?user={EMAIL}"),
    Fault(kind="too_many_requests", retry_after="1"),
    Fault(kind="server_error"),
    Fault(kind="connection_reset"),
    Fault(kind="connection_reset", after=True),
    Fault(kind="half_body"),
    Fault(kind="slow_body", seconds=15),
    Fault(kind="no_answer", seconds=600),
)
OF_REPLIES = _ALL_REPLIES if LONG else _ALL_REPLIES[:3]
"""Each meets one push and one read."""

OF_PUSHES = (
    Fault(kind="rejected", calls=2),
    Fault(kind="error_flood", count=50, calls=None),
    Fault(kind="slow_queue", seconds=0, calls=None),
    Fault(kind="out_of_order", seconds=0, calls=None),
    Fault(
        kind="reject_ids",
        calls=None,
        ids=frozenset({CUSTOMER, ORDER}),
        message=f"cannot deliver to {NAME} {SURNAME}, {EMAIL}, {PHONE}",
    ),
)


def feathers(chaos: Chaos) -> set[str]:
    """What the canary is known by, in any spelling, and the other persons of the shop."""
    keys = {chaos.shop.sandbox.environment()[name] for name in ("BLUE_CHERRY_API_KEY", "OMETRIA_API_KEY")}
    return {"zephyrine", "quackenbush", "7700900123", "nether wallop", "wilhelmina", "canary.0", "+447700", *keys}


def found(chaos: Chaos, printed: str = "") -> set[tuple[str, str]]:
    """Places, and which feather of the canary lies there."""
    kept = {**chaos.kept(), "what the commands printed": printed}
    return {(place, each) for place, text in kept.items() for each in feathers(chaos) if each in text.lower()}


def test_nothing_personal_is_seen(chaos: Chaos) -> None:
    _open(chaos)
    chaos.run()
    _go_through_every_fault(chaos)
    _go_through_a_call_that_is_refused(chaos)
    if LONG:
        _go_through_drift(chaos)
    printed = "".join(_commands(chaos))
    _go_through_a_revoked_key(chaos)
    if LONG:
        with full_disk(chaos.shop.engine):
            chaos.run()

    met = chaos.shop.sandbox.account.counts.faults.keys()
    assert met == {*(fault.kind for fault in OF_REPLIES), *get_args(PushKind), "bad_request", "key_revoked"}
    assert not LONG or met == {*get_args(ReplyKind), *get_args(PushKind)}
    assert all(chaos.shop.exceptions(code) for code in ("rejected", "invalid_field", *(["drift"] if LONG else [])))
    assert "contacts_change_consent" in chaos.kept()["bc_ometria.lane_stops"]
    assert found(chaos, printed) == set()


def test_a_leak_is_seen(chaos: Chaos) -> None:
    """Planted: an error's message quotes the records of the call."""
    _open(chaos)
    chaos.shop.sandbox.account.faults.arm(Fault(kind="server_error", path="/push", method="POST", calls=None))
    chaos.run(defect=defects.quotes_the_records)
    places = {place for place, feather in found(chaos) if feather == "zephyrine"}
    assert 'public."event_logs"' in places
    assert any(place.endswith(".output") for place in places)


def _open(chaos: Chaos) -> None:
    """A shop, the canary in it, and rows of canaries in cells that no column should hold."""
    shop = chaos.shop
    shop.sandbox.account.settings = shop.sandbox.account.settings.changed({"error_shape": "observed"})
    chaos.resends_allowed = 10**9
    chaos.open_shop()
    shop.write("customers", customer(CUSTOMER, **PERSON), customer("00000502", **PERSON | {"email": NAME}))
    shop.order(ORDER, customer=CUSTOMER, **PERSON, ship_city=TOWN)
    shop.raw("customers", customer("00000503", **PERSON), birth_date=NAME, email=447700900123)
    shop.raw("orders", header("0000009503", **PERSON), ord_date=SURNAME, ord_total=EMAIL, ord_status=PHONE)
    shop.raw("order-lines", line("0000009503"), size03_qty=NAME, color_code=EMAIL)


def _go_through_every_fault(chaos: Chaos) -> None:
    """And more contacts opt out than the guard lets pass."""
    faults = chaos.shop.sandbox.account.faults
    for fault in OF_PUSHES:
        faults.arm(fault)
    for fault in OF_REPLIES:
        faults.arm(fault.model_copy(update={"method": "POST"}))
        faults.arm(fault.model_copy(update={"method": "GET"}))
    chaos.trade()
    for place in range(1, 130):
        if place % 3 != 1:  # who opted out already
            chaos.shop.edit("customers", place, email_ok="N", consent_date=chaos.shop.now)
    chaos.shop.edit("customers", int(CUSTOMER), loyalty_tier="GOLD")
    chaos.shop.mark(ORDER, ship_city=f"{TOWN} again")
    for _ in range(5):
        chaos.end_waits()
        chaos.run(defect=defects.impatient)
        if not any(fault.calls for fault in faults.armed):
            break
    faults.clear()


def _go_through_a_call_that_is_refused(chaos: Chaos) -> None:
    """Ometria refuses every call, and quotes it."""
    faults = chaos.shop.sandbox.account.faults
    faults.arm(Fault(kind="bad_request", path="/push", method="POST", calls=None, count=1000))
    for place in range(1, 130, 6):
        chaos.shop.edit("customers", place, loyalty_tier="SILVER")
    chaos.run()
    faults.clear()
    chaos.end_waits()


def _go_through_drift(chaos: Chaos) -> None:
    """Another source overwrites what was accepted, before it is read back."""
    chaos.account(read_back_until=0.001)
    for place in range(1, 130, 3):
        chaos.shop.edit("customers", place, loyalty_tier="BRONZE")
    victim = chaos.start(pause_at=At("between_acknowledgement_and_watermark", record_type="contact"))
    victim.wait_until_paused()
    account = chaos.shop.sandbox.account
    account.settle()
    for shelf in account.contacts.values():
        for id in shelf:
            account.push([{**shelf[id], "email": EMAIL, "firstname": NAME, "phone_number": PHONE}])
    victim.go_on()
    victim.end()


def _go_through_a_revoked_key(chaos: Chaos) -> None:
    faults = chaos.shop.sandbox.account.faults
    faults.arm(Fault(kind="key_revoked", calls=None))
    chaos.shop.mark(ORDER, ship_city=TOWN)
    assert not chaos.run().succeeded
    faults.clear()


def _commands(chaos: Chaos) -> Iterator[str]:
    """What the commands print."""
    runner = CliRunner(env={"COLUMNS": "300"})
    day = chaos.shop.now.strftime("%Y-%m-%d")
    for command in ("plan", f"plan --day {day}", f"replay --id {ORDER}", "replay --type contact --go", "approve",
                    "approve 1", "pause live", "resume live"):  # fmt: skip
        result = runner.invoke(main, command.split())
        assert result.exit_code == 0, (command, result.output)
        yield result.output
