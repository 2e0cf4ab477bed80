"""Whatever Ometria does, what was begun is finished: nothing is lost, no event is told twice, no good record is blamed
(P7, P20, P23; truths 1 to 10). And each fault is told in words that say what happened, what was done, and what a person
should do, if anything.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import orjson
import pytest
import yaml
from sqlalchemy import text
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from bc_ometria.rules import DEFAULT_FOLDER
from bc_ometria.sandbox.ometria import Fault
from bc_ometria.sandbox.server import Server
from bc_ometria_tests.chaos import LONG
from bc_ometria_tests.chaos import ometria_defects as defects
from bc_ometria_tests.chaos.harness import Chaos, Defect
from bc_ometria_tests.chaos.truths import BATCH
from bc_ometria_tests.chaos.victim import At

Words = tuple[str, str, str]
"""What happened, what was done, and what a person should do, each as a pattern."""


@dataclass(frozen=True)
class Trouble:
    """Faults of Ometria, what people must be told of them, and a defect under which a truth does not hold. A call with
    events meets ``of_events``, all the others these ``faults``."""

    faults: tuple[Fault, ...]
    of_events: Fault
    told: tuple[Words, ...]
    defect: Defect
    violates: str
    size: int = 130
    """How many customers the shop has, and how many orders on its first day."""


def push(kind: Any, **fields: Any) -> Fault:
    """Meets the next push; and one more, for another may be under way."""
    return Fault(kind=kind, calls=2, method="POST", path="/push", **fields)


def pushes(kind: Any, every: int, **fields: Any) -> Fault:
    """Meets each so-manieth push, until it is cleared."""
    return Fault(kind=kind, every=every, calls=None, method="POST", path="/push", **fields)


_AGAIN = "under the same ids"
_HELD = "Events are not told twice: they are held"

TROUBLES = {
    "429 and 5xx": Trouble(
        # A tenth, a twentieth and a twentieth where there are many pushes; more where there are few.
        (
            pushes("too_many_requests", 10 if LONG else 4),
            pushes("server_error", 20 if LONG else 6),
            pushes("server_error", 20 if LONG else 6, after=True, status=500),
        ),
        push("server_error", after=True, status=500),
        (
            (r"too many calls.*\(429\)", "Nothing was received; .* again by itself", "If it stays, lower the limits"),
            (r"an error of its own \(50[03]\)", _AGAIN, ""),
            (r"an error of its own \(500\)", _HELD, ""),
        ),
        defects.tells_an_event_again,
        "events_once",
        1500 if LONG else 130,
    ),
    "resets": Trouble(
        (pushes("connection_reset", 4), pushes("connection_reset", 4, after=True)),
        push("connection_reset", after=True),
        (("The connection to Ometria broke", _AGAIN, ""), ("The connection to Ometria broke", _HELD, "")),
        defects.tells_an_event_again_under_a_new_id,
        "events_once",
    ),
    "no answer": Trouble(
        (pushes("no_answer", 4, seconds=600), pushes("no_answer", 4, seconds=600, after=True)),
        push("no_answer", seconds=600),
        (("Ometria did not answer within 2 s", _AGAIN, ""), ("Ometria did not answer within 2 s", _HELD, "")),
        defects.takes_silence_for_a_202,
        "nothing_vanishes",
    ),
    "half and slow bodies": Trouble(
        (pushes("half_body", 4), pushes("slow_body", 4, seconds=15)),
        push("slow_body", seconds=15),
        (("The connection to Ometria broke", _AGAIN, ""), ("did not answer within 2 s", _HELD, "")),
        defects.tells_an_event_again,
        "events_once",
    ),
    "pages": Trouble(
        (pushes("html_page", 2),),
        push("html_page"),
        ((r"Ometria answered without JSON \(200\)", f"{_AGAIN}|{_HELD}", "If it stays, look at OMETRIA_BASE_URL"),),
        defects.takes_silence_for_a_202,
        "nothing_vanishes",
    ),
}
SHORT = ("429 and 5xx",)


@pytest.mark.parametrize("name", TROUBLES if LONG else SHORT)
def test_trouble(chaos: Chaos, name: str) -> None:
    trouble = TROUBLES[name]
    a_trouble(chaos, trouble.faults, trouble.of_events, size=trouble.size)
    assert untold(chaos, trouble.told) == [], told(chaos)
    assert chaos.violations() == {}


@pytest.mark.parametrize("name", TROUBLES if LONG else SHORT)
def test_trouble_under_a_defect(chaos: Chaos, name: str) -> None:
    trouble = TROUBLES[name]
    a_trouble(chaos, trouble.faults, trouble.of_events, trouble.defect, size=trouble.size)
    assert trouble.violates in chaos.violations()


def a_trouble(
    chaos: Chaos, faults: Sequence[Fault], of_events: Fault, defect: Defect = defects.impatient, *, size: int = 130
) -> None:
    """A shop opens and trades under these faults; then they end."""
    account = chaos.shop.sandbox.account
    chaos.resends_allowed = 10**9  # judged at the end
    _send_the_guard_home(chaos)
    chaos.open_shop(size, size)
    for fault in faults:
        account.faults.arm(fault)
    chaos.run(defect=defect)
    account.faults.clear()
    chaos.trade()
    chaos.end_waits()
    victim = chaos.start(pause_at=At("before_call", record_type="custom_event"), defect=defect)
    victim.wait_until_paused()
    for fault in (of_events, *faults):
        account.faults.arm(fault)
    victim.go_on()
    victim.end()
    met = account.counts.faults
    chaos.tell(f"{account.counts.calls['POST /v2/push']} pushes, of which met {dict(met)}")
    assert met.keys() == {fault.kind for fault in faults}
    account.faults.clear()
    chaos.until_quiet(defect=defect)
    chaos.resends_allowed = BATCH * met.total()


def _send_the_guard_home(chaos: Chaos) -> None:
    """In a big shop it would stop the opt-outs of one hour."""
    thresholds = yaml.safe_load((DEFAULT_FOLDER / "thresholds.yaml").read_text())
    thresholds["guard"]["least"] = 10**6
    (chaos.shop.rules_folder / "thresholds.yaml").write_text(yaml.safe_dump(thresholds))


def untold(chaos: Chaos, words: Sequence[Words]) -> list[Words]:
    """Of these words, what no single message says."""
    messages = told(chaos)
    return [each for each in words if not any(all(re.search(part, said) for part in each) for said in messages)]


def told(chaos: Chaos) -> list[str]:
    """What people were told: every warning and error in Dagster's log, and why runs failed."""
    with chaos.shop.engine.connect() as connection:
        entries = [orjson.loads(each) for each in connection.execute(text("SELECT event FROM event_logs")).scalars()]
    warnings = {entry["user_message"] for entry in entries if entry["level"] >= 30 and not entry["dagster_event"]}
    return [*sorted(warnings), *(failure for ended in chaos.ended for failure in ended.failures)]


# Redirects


@contextmanager
def another_server() -> Iterator[tuple[str, list[Request]]]:
    """A server that is not Ometria, and takes everything; the requests that came to it."""
    came: list[Request] = []

    async def take(request: Request) -> Response:
        came.append(request)
        return JSONResponse({"status": "OK", "request_id": "elsewhere", "accepted": 100, "rejected": 0}, 202)

    with Server(Starlette(routes=[Route("/{path:path}", take, methods=["GET", "POST"])])) as server:
        yield server.url, came


@pytest.mark.skipif(not LONG, reason="runs with make chaos")
@pytest.mark.parametrize("defect", [defects.impatient, defects.follows_redirects])
def test_a_redirect_is_not_followed_with_the_key(chaos: Chaos, defect: Defect) -> None:
    """Truth 9: whoever stands at the other end learns nothing."""
    with another_server() as (url, came):
        a_trouble(chaos, [pushes("redirect", 2, location=url)], push("redirect", location=url), defect)
    violations = chaos.violations()
    if defect is defects.impatient:
        assert came == []
        assert violations == {}
        words = (r"with a redirect, which is not followed \(302\)", f"{_AGAIN}|{_HELD}", "look at OMETRIA_BASE_URL")
        assert untold(chaos, [words]) == []
    else:
        key = chaos.shop.sandbox.account.settings.api_key
        assert key in {request.headers.get("X-Ometria-Auth") for request in came}
        assert "nothing_vanishes" in violations


# A key that is revoked


def a_revoked_key(chaos: Chaos, defect: Defect | None = None, **of_calls: Any) -> None:
    """The key is revoked when Ometria has taken the first call, and restored after the next run."""
    faults = chaos.shop.sandbox.account.faults
    chaos.open_shop()
    victim = chaos.start(pause_at="between_acknowledgement_and_watermark", defect=defect)
    victim.wait_until_paused()
    faults.arm(Fault(kind="key_revoked", calls=None, **of_calls))
    victim.go_on()
    victim.end()
    chaos.trade()
    chaos.run(defect=defect)


def test_a_key_that_is_revoked_in_mid_run(chaos: Chaos) -> None:
    """Delivery stops at once, marks nothing as bad, and goes on when the key is restored."""
    a_revoked_key(chaos)
    account, shop = chaos.shop.sandbox.account, chaos.shop
    chaos.tell(f"{account.counts.pushes} pushes taken, {account.counts.statuses['403']} calls refused")
    assert [ended.succeeded for ended in chaos.ended] == [False, False]
    assert account.counts.statuses["403"] <= 2 * 16  # what was under way on 16 connections, in each of two runs
    words = (r"refused the API key \(403\)", "No record is marked as bad; all of them wait", "Look at OMETRIA_API_KEY")
    assert untold(chaos, [words]) == []
    states = {**shop.states("contact"), **shop.states("order"), **shop.states("custom_event")}
    assert "held: rejected" not in states.values()
    account.faults.clear()
    chaos.until_quiet()
    assert chaos.violations() == {}


def test_a_revoked_key_under_a_defect(chaos: Chaos) -> None:
    # For pushes only: the run ends with the first reading that is refused, and that may be its first call.
    a_revoked_key(chaos, defects.takes_a_403_for_a_refusal_of_the_records, method="POST", path="/push")
    assert "held_alone" in chaos.violations()


# Records that are refused

REFUSED = {("contact", "00000005"), ("order", "0000001018"), ("order", "0000001108")}
"""Records that lack nothing."""


def refused_records(chaos: Chaos, defect: Defect | None = None, *, flood: int = 0, **settings: Any) -> None:
    """Ometria takes them and refuses them later; the errors of ``flood`` records of others come on top of its ring."""
    account = chaos.shop.sandbox.account
    account.settings = account.settings.changed(settings)
    account.faults.arm(Fault(kind="reject_ids", ids=frozenset(id for _, id in REFUSED), calls=None))
    if flood:
        account.faults.arm(Fault(kind="error_flood", count=flood, calls=None))
    chaos.resends_allowed = 2 * BATCH * len(REFUSED)  # a call that is halved until only one of them is left
    chaos.open_shop()
    for _ in range(3):  # refused; repaired in vain; given up
        chaos.run(defect=defect)
        chaos.end_waits()


def blamed(chaos: Chaos) -> dict[tuple[str, str], str]:
    """The records that were held or given up because of what Ometria did."""
    states = {(kind, id): state for kind in ("contact", "order") for id, state in chaos.shop.states(kind).items()}
    return {record: state for record, state in states.items() if state in ("held: rejected", "drift")}


@pytest.mark.skipif(not LONG, reason="runs with make chaos")
@pytest.mark.parametrize(
    ("how", "state", "words"),
    [
        ({"error_shape": "observed"}, "held: rejected", []),
        ({"error_shape": "observed", "rejects_in_reply": True}, "held: rejected", []),
        ({"error_shape": "documented"}, "drift", [("refused records without naming them", "the read back finds", "")]),
        ({"error_shape": "observed", "flood": 150}, "drift", [("ring has turned", "are read back all the same", "")]),
        ({"error_shape": "mixed", "flood": 150}, "drift", []),
    ],
)
def test_records_that_are_refused(chaos: Chaos, how: dict[str, Any], state: str, words: list[Words]) -> None:
    """P7: found by the ring, or past it by reading back; the neighbours go, and a later version mends them."""
    refused_records(chaos, **how)
    assert blamed(chaos) == dict.fromkeys(REFUSED, state)
    assert untold(chaos, words) == []
    open_ones = {
        (row["record_id"], row["detail"]) for code in ("rejected", "drift") for row in chaos.shop.exceptions(code)
    }
    said = "could not be processed" if state == "held: rejected" else "missing in Ometria"
    assert len(open_ones) == len(REFUSED)
    assert all(said in detail for _, detail in open_ones)
    chaos.shop.sandbox.account.faults.clear()
    for record_type, id in REFUSED:
        if record_type == "order":
            chaos.shop.mark(id, ship_city="Mended")
        else:
            chaos.shop.edit("customers", int(id), first_name="Mended")
    chaos.until_quiet()
    assert blamed(chaos) == {}
    assert not any(row["is_open"] for code in ("rejected", "drift") for row in chaos.shop.exceptions(code))
    assert chaos.violations() == {}


@pytest.mark.skipif(not LONG, reason="runs with make chaos")
@pytest.mark.parametrize(
    ("defect", "how", "truth"),
    [
        (defects.reads_the_errors_by_position, {"error_shape": "observed"}, "held_alone"),
        (defects.holds_the_whole_call, {"error_shape": "observed", "rejects_in_reply": True}, "held_alone"),
        (defects.takes_a_202_for_stored, {"error_shape": "observed", "flood": 150}, "nothing_vanishes"),
    ],
)
def test_refused_records_under_a_defect(chaos: Chaos, defect: Defect, how: dict[str, Any], truth: str) -> None:
    refused_records(chaos, defect, **how)
    assert set(blamed(chaos)) != REFUSED
    chaos.shop.sandbox.account.faults.clear()
    chaos.until_quiet(defect=defect)
    assert truth in chaos.violations()


@pytest.mark.skipif(not LONG, reason="runs with make chaos")
def test_records_that_a_reply_counts_as_rejected_go_again(chaos: Chaos) -> None:
    """Which ones it means is not documented, and the ring says nothing of them: they are found, and none is blamed."""
    account = chaos.shop.sandbox.account
    chaos.resends_allowed = 10 * BATCH
    chaos.open_shop()
    account.faults.arm(Fault(kind="rejected", count=3, calls=4))
    chaos.run()
    chaos.until_quiet()
    assert account.counts.faults["rejected"] == 4
    assert chaos.violations() == {}
