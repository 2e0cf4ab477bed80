"""Q1, truth 5: consent is never more permissive than what Blue Cherry and Ometria say."""

from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from sqlalchemy import text

from bc_ometria.assets.unsubscribes import read_unsubscribes
from bc_ometria.delivery.replay import Filters, replay
from bc_ometria.ometria.errors import OutcomeUnknown
from bc_ometria.resources import run_config
from bc_ometria.sandbox.ometria.faults import Fault
from bc_ometria.store import outbox, stops
from bc_ometria_tests.ometria.server import answering
from bc_ometria_tests.scenarios.shop import Shop, causes, customer, evaluations, metadata, table

CODE = "00000001"
EMAIL = f"canary.{CODE}@example.com"
IN, OUT = "EXPLICITLY_OPTEDIN", "EXPLICITLY_OPTEDOUT"
OPT_INS = "ometria/contacts:opt_ins_are_the_last_word"
KNOWN = "ometria/unsubscribes:opt_outs_are_known"


@pytest.fixture
def opted_in(shop: Shop) -> Shop:
    """A shop with one customer, who opted in to both channels in May 2025, and whom Ometria has so."""
    shop.write("customers", customer(sms_ok="Y"))
    assert causes(shop.sync()) == {}
    assert profile(shop)["marketing_optin"] == IN
    return shop


def profile(shop: Shop, email: str = EMAIL) -> dict[str, Any]:
    people = shop.sandbox.account.people
    return people.profile(people.identities.person([("email_address", email)]))


def wire(shop: Shop) -> list[dict[str, Any]]:
    """The contacts as they went over the wire, those of the newest version of each only."""
    with shop.engine.connect() as connection:
        query = "SELECT payload FROM bc_ometria.outbox WHERE record_type = 'contact' ORDER BY record_id"
        return [orjson.loads(payload) for payload in connection.execute(text(query)).scalars()]


def read(shop: Shop) -> Any:
    """What the schedule starts."""
    job = shop.definitions.resolve_job_def("read_unsubscribes")
    quiet = run_config(only_new=False, log_level="CRITICAL")
    return job.execute_in_process(instance=shop.instance, run_config=quiet, raise_on_error=False)


def standing(shop: Shop) -> tuple[str, str]:
    with shop.engine.connect() as connection:
        query = "SELECT standing, sent_standing FROM bc_ometria.outbox WHERE record_id = :code"
        return tuple(connection.execute(text(query), {"code": CODE}).one())


def test_an_opt_out_at_ometria_outlives_every_later_change_in_blue_cherry(opted_in: Shop) -> None:
    shop = opted_in
    shop.at("2026-01-05 10:00")
    shop.sandbox.account.unsubscribe(EMAIL.upper(), "email", "link")
    shop.at("2026-01-05 11:00")
    shop.edit("customers", 1, last_name="Finch")
    result = shop.sync()
    assert result.success
    contact = shop.contacts()[CODE]
    assert contact["lastname"] == "Finch"
    (sent,) = wire(shop)
    assert not sent.keys() & {"marketing_optin", "timestamp_subscribed", "@force_optin"}
    assert sent["@merge"] is True
    assert sent["channels"]["sms"]["allow_marketing"] is True, "of text messages nothing was said"
    assert profile(shop)["marketing_optin"] == OUT
    assert standing(shop) == ("email:unknown sms:in", "email:unknown sms:in")
    assert shop.states("contact") == {CODE: "confirmed"}
    assert shop.open_exceptions() == {("opt_out_is_newer", CODE, "consent_date", "email")}
    check = evaluations(result)[OPT_INS]
    assert not check.passed
    assert check.severity.value == "WARN"
    assert table(check, "codes")[0]["owner"] == "Marketing"


def test_a_newer_opt_in_goes_and_closes_the_exception(opted_in: Shop) -> None:
    shop = opted_in
    shop.at("2026-01-05 10:00")
    shop.sandbox.account.unsubscribe(EMAIL, "email")
    assert read(shop).success
    shop.sync()
    assert len(shop.open_exceptions()) == 1
    # Ometria's clock is the machine's, and Blue Cherry's the shop's: newer is what comes after both.
    tomorrow = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0, tzinfo=None) + timedelta(days=1)
    shop.edit("customers", 1, consent_date=tomorrow)
    result = shop.sync()
    (sent,) = wire(shop)
    assert sent["marketing_optin"] == IN
    assert sent["timestamp_subscribed"][:10] == f"{tomorrow:%Y-%m-%d}"
    assert "@force_optin" not in sent, "Ometria decides what it makes of it"
    assert shop.open_exceptions() == set()
    assert evaluations(result)[OPT_INS].passed


def test_an_opt_out_of_blue_cherry_goes_whatever_ometria_knows(opted_in: Shop) -> None:
    shop = opted_in
    shop.at("2026-01-05 10:00")
    shop.sandbox.account.unsubscribe(EMAIL, "email")
    shop.at("2026-01-05 11:00")
    shop.edit("customers", 1, email_ok="N", consent_date=shop.now)
    shop.sync()
    (sent,) = wire(shop)
    assert (sent["marketing_optin"], sent["timestamp_unsubscribed"]) == (OUT, "2026-01-05T11:00:00Z")
    assert shop.open_exceptions() == set()


def test_text_messages_are_opted_out_of_apart(opted_in: Shop) -> None:
    shop = opted_in
    shop.at("2026-01-05 10:00")
    shop.sandbox.account.unsubscribe(EMAIL, "sms")
    shop.edit("customers", 1, last_name="Finch")
    shop.sync()
    (sent,) = wire(shop)
    assert sent["marketing_optin"] == IN
    assert "channels" not in sent
    assert sent["@merge"] is True
    assert profile(shop)["sms_allow_marketing"] is False
    assert {detail for *_, detail in shop.open_exceptions()} == {"sms"}


def test_the_schedule_alone_has_the_contact_mapped_again(opted_in: Shop) -> None:
    """Nothing changes in Blue Cherry: what a replay would send must not be an opt-in either."""
    shop = opted_in
    shop.at("2026-01-05 10:00")
    shop.sandbox.account.unsubscribe(EMAIL, "email")
    result = read(shop)
    assert metadata(result, "ometria", "unsubscribes") == {"new_opt_outs": 1, "ended": "complete"}
    assert evaluations(result)[KNOWN].passed
    shop.sync()
    replay(shop.engine, Filters(ids=[CODE]))
    shop.drain()
    assert shop.pushed.count(CODE) == 3
    assert "marketing_optin" not in wire(shop)[0]
    assert profile(shop)["marketing_optin"] == OUT
    assert metadata(read(shop), "ometria", "unsubscribes")["new_opt_outs"] == 0, "the overlap is free"


def test_a_waiting_opt_in_is_mapped_again_before_it_is_sent(shop: Shop) -> None:
    """It waits in the outbox when the person opts out; the next run reads that first."""
    shop.write("customers", customer(sms_ok="Y"))
    stops.pause(shop.engine, "live")
    shop.sync()
    assert shop.states("contact") == {CODE: "wanted"}
    assert wire(shop)[0]["marketing_optin"] == IN
    shop.at("2026-01-05 10:00")
    shop.sandbox.account.unsubscribe(EMAIL, "email")
    stops.resume(shop.engine, "live")
    shop.sync()
    assert shop.pushed == [CODE]
    assert "marketing_optin" not in shop.contacts()[CODE]
    assert profile(shop)["marketing_optin"] == OUT


def test_an_opt_out_that_is_known_and_not_mapped_yet_keeps_the_opt_in_back(opted_in: Shop) -> None:
    """The schedule has read it; until a run of live_sync maps the contact, a drain must not send what it was."""
    shop = opted_in
    shop.at("2026-01-05 10:00")
    shop.sandbox.account.unsubscribe(EMAIL, "email")
    replay(shop.engine, Filters(ids=[CODE]))
    assert read(shop).success
    assert shop.drain().success
    assert profile(shop)["marketing_optin"] == OUT
    assert (shop.pushed, shop.states("contact")) == ([CODE], {CODE: "wanted"})
    shop.sync()
    assert (shop.pushed, shop.states("contact")) == ([CODE, CODE], {CODE: "confirmed"})
    assert "marketing_optin" not in wire(shop)[0]
    assert profile(shop)["marketing_optin"] == OUT


def test_where_the_unsubscribes_cannot_be_read_opt_ins_wait_and_all_else_goes(shop: Shop) -> None:
    """P11: and the run says so. The next one that can read them sends them, without any change in Blue Cherry."""
    out, undated = customer("00000002", email_ok="N"), customer("00000003", consent_date=None)
    shop.write("customers", customer(sms_ok=""), out, undated)
    shop.order("0000001001", customer="00000002", email="canary.00000002@example.com")
    shop.sandbox.account.faults.arm(Fault(kind="server_error", path="/unsubscribes", calls=None))
    result = shop.sync()
    assert result.success
    assert set(shop.states("contact")) == {"00000002", "00000003"}
    assert set(shop.orders()) == {"0000001001"}
    told = metadata(result, "ometria", "unsubscribes")
    assert told == {
        "new_opt_outs": 0,
        "opt_ins_waiting": 1,
        "ended": "with gaps: could not be read, and contacts that opt in wait",
    }
    run = shop.instance.get_run_by_id(result.run_id)
    assert run
    assert run.tags["ended"] == "with gaps"
    assert evaluations(result)[KNOWN].passed, "not for long yet"
    shop.change("UPDATE bc_ometria.touched SET seen_at = seen_at - interval '61 minutes'")
    assert not evaluations(shop.sync())[KNOWN].passed
    assert not read(shop).success, "what is started for nothing else fails"

    shop.sandbox.account.faults.clear()
    assert shop.sync().success
    assert shop.contacts()[CODE]["marketing_optin"] == IN


def test_an_opt_out_stays_with_the_person_whose_address_changes(opted_in: Shop) -> None:
    """F1: the opt-in in Blue Cherry is as old at the new address as it was at the old one."""
    shop = opted_in
    shop.at("2026-01-05 10:00")
    shop.sandbox.account.unsubscribe(EMAIL, "email")
    assert read(shop).success
    shop.at("2026-01-05 11:00")
    shop.edit("customers", 1, email="another@example.com")
    shop.sync()
    assert "marketing_optin" not in wire(shop)[0]
    assert shop.contacts()[CODE]["email"] == "another@example.com"
    assert standing(shop)[0] == "email:unknown sms:in"


def test_who_opted_out_at_ometria_before_blue_cherry_knew_them_is_not_opted_in(shop: Shop) -> None:
    """The first reading goes back to the beginning of Ometria's list."""
    shop.sandbox.account.unsubscribe(EMAIL, "email")
    shop.at("2026-01-06 10:00")
    shop.write("customers", customer(), customer("00000002"))
    shop.sync()
    assert "marketing_optin" not in shop.contacts()[CODE]
    assert shop.contacts()["00000002"]["marketing_optin"] == IN


def test_runs_in_which_nobody_opts_in_do_not_ask(opted_in: Shop) -> None:
    """It costs a call that reading back could use."""
    shop = opted_in
    shop.write("customers", customer("00000002", email_ok="N"))
    shop.order("0000001001")
    shop.sandbox.account.faults.arm(Fault(kind="server_error", path="/unsubscribes", calls=None))
    result = shop.sync()
    assert metadata(result, "ometria", "unsubscribes")["ended"] == "complete: not read, for no opt-in waits"
    assert set(shop.states("contact")) == {CODE, "00000002"}
    assert shop.orders()


def test_many_opt_outs_at_ometria_are_nothing_for_the_guard(shop: Shop) -> None:
    """P6: after a campaign many people opt out within minutes. That they stay out changes nothing in Ometria."""
    people = [customer(f"{number:08d}") for number in range(1, 81)]
    shop.write("customers", *people)
    shop.sync()
    shop.at("2026-01-05 10:00")
    for person in people[:70]:
        shop.sandbox.account.unsubscribe(str(person["email"]), "email", "list_header")
    assert metadata(read(shop), "ometria", "unsubscribes")["new_opt_outs"] == 70
    shop.sync()
    with shop.engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM bc_ometria.lane_stops")).scalar_one() == 0
    assert set(shop.states("contact").values()) == {"confirmed"}
    assert len(shop.exceptions("opt_out_is_newer")) == 70


@pytest.mark.parametrize(
    "entry",
    [
        {"channel": "email", "timestamp": "2026-01-05T10:00:00Z"},
        {"email": "", "channel": "email", "timestamp": "2026-01-05T10:00:00Z"},
        {"email": EMAIL, "channel": "email"},
        {"email": EMAIL, "channel": "email", "timestamp": "2026-01-05T10:00:00"},
        {"email": EMAIL, "channel": "email", "timestamp": "soon"},
        {"email": EMAIL, "channel": "email", "timestamp": 1767607200},
    ],
)
def test_an_entry_that_cannot_be_understood_could_be_anybodys(shop: Shop, entry: dict[str, Any]) -> None:
    """Nothing of such a reading counts, and its text names nobody (truth 9)."""
    sound = {"email": "ann@example.com", "channel": "email", "timestamp": "2026-01-05T10:00:00Z"}
    with (
        answering([sound, entry], []) as ometria,
        pytest.raises(OutcomeUnknown, match="could be anybody's") as raised,
    ):
        read_unsubscribes(shop.engine, ometria.client)
    assert EMAIL not in str(raised.value)
    with shop.engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM bc_ometria.unsubscribes")).scalar_one() == 0


@pytest.mark.parametrize("channel", [{}, {"channel": None}, {"channel": "push"}])
def test_an_entry_without_a_channel_that_is_known_counts_for_all(shop: Shop, channel: dict[str, Any]) -> None:
    entry = {"email": EMAIL, "timestamp": "2026-01-05T10:00:00+01:00", **channel}
    with answering([entry], []) as ometria:
        assert read_unsubscribes(shop.engine, ometria.client) == 2
    with shop.engine.connect() as connection:
        rows = connection.execute(text("SELECT email, channel, at FROM bc_ometria.unsubscribes ORDER BY channel")).all()
    at = datetime(2026, 1, 5, 9, tzinfo=UTC)
    assert [tuple(row) for row in rows] == [(EMAIL, "email", at), (EMAIL, "sms", at)]


def test_a_run_by_hand_that_cannot_read_them_fails_and_says_why(shop: Shop) -> None:
    shop.write("customers", customer())
    shop.sandbox.account.faults.arm(Fault(kind="server_error", path="/unsubscribes", calls=None))
    result = shop.redo("2026-01-05")
    assert set(causes(result)) == {"ometria__unsubscribes"}
    assert shop.states("contact") == {}


def test_the_unsubscribes_are_read_every_quarter_of_an_hour(shop: Shop) -> None:
    schedule = shop.definitions.resolve_schedule_def("unsubscribes_schedule")
    assert (schedule.cron_schedule, schedule.job.name) == ("*/15 * * * *", "read_unsubscribes")
    assert schedule.default_status.value == "RUNNING"


# ── line by line of contracts/ometria.md, "Consent" ──────────────────────────────────────────────────────────────────


def test_an_opt_out_is_first_in_line_and_carries_its_time(opted_in: Shop) -> None:
    """Before the contacts and orders that waited longer."""
    shop = opted_in
    stops.pause(shop.engine, "live")
    shop.write("customers", customer("00000002", email_ok="N"), customer("00000003", sms_ok="Y"))
    shop.order("0000001001")
    shop.sync()
    shop.at("2026-01-05 10:00")
    shop.edit("customers", 1, email_ok="N", consent_date=shop.now)
    shop.sync()
    stops.resume(shop.engine, "live")
    shop.sync()
    sent = shop.pushed
    assert sent.index("00000002") < sent.index("00000003")
    assert sent.index(CODE, 1) < sent.index("00000003") < sent.index("0000001001")
    contact = shop.contacts()[CODE]
    assert (contact["marketing_optin"], contact["timestamp_unsubscribed"]) == (OUT, "2026-01-05T10:00:00Z")
    assert "timestamp_subscribed" not in contact


@pytest.mark.parametrize("email", ["Y", "N", ""])
@pytest.mark.parametrize("sms", ["Y", "N", ""])
def test_e_mail_and_text_messages_are_told_apart_and_a_blank_sends_no_key(shop: Shop, email: str, sms: str) -> None:
    shop.write("customers", customer(email_ok=email, sms_ok=sms))
    shop.sync()
    contact = shop.contacts()[CODE]
    assert contact.get("marketing_optin") == {"Y": IN, "N": OUT}.get(email)
    assert ("timestamp_subscribed" in contact, "timestamp_unsubscribed" in contact) == (email == "Y", email == "N")
    told = contact.get("channels", {}).get("sms", {}).get("allow_marketing")
    assert told == {"Y": True, "N": False}.get(sms)


def test_an_opt_in_that_waits_already_waits_on_while_the_unsubscribes_cannot_be_read(shop: Shop) -> None:
    """Somebody may have opted out since it was mapped. All else goes."""
    shop.write("customers", customer(), customer("00000002", email_ok="N"))
    for lane in ("live", "opt_outs"):
        stops.pause(shop.engine, lane)
    shop.sync()
    assert shop.states("contact") == {CODE: "wanted", "00000002": "wanted"}
    shop.at("2026-01-05 10:00")
    shop.sandbox.account.unsubscribe(EMAIL, "email")
    for lane in ("live", "opt_outs"):
        stops.resume(shop.engine, lane)
    shop.sandbox.account.faults.arm(Fault(kind="server_error", path="/unsubscribes", calls=None))
    assert shop.sync().success
    shop.drain()
    assert shop.states("contact") == {CODE: "wanted", "00000002": "confirmed"}
    assert outbox.is_any_contact_kept_back(shop.engine), "the sensor tries again"
    shop.sandbox.account.faults.clear()
    shop.sync()
    assert shop.pushed.count(CODE) == 1
    assert "marketing_optin" not in shop.contacts()[CODE]
    assert profile(shop)["marketing_optin"] == OUT


def test_an_opt_in_that_waits_is_not_sent_by_bulk_before_it_is_mapped_again(shop: Shop) -> None:
    """The schedule has read of an opt-out, and the live lane has not come to it yet."""
    shop.write("customers", customer(sms_ok="Y"))
    stops.pause(shop.engine, "live")
    shop.sync()
    shop.at("2026-01-05 10:00")
    shop.sandbox.account.unsubscribe(EMAIL, "email")
    assert read(shop).success
    stops.resume(shop.engine, "live")
    shop.drain()
    assert shop.pushed == []
    shop.sync()
    assert "marketing_optin" not in shop.contacts()[CODE]


def test_after_a_rest_the_unsubscribes_are_read_before_any_opt_in_is_sent(shop: Shop) -> None:
    """Whoever comes first after it, bulk too, does not send what somebody has taken back meanwhile."""
    shop.write("customers", customer(sms_ok="Y"))
    stops.pause(shop.engine, "live")
    shop.sync()
    shop.at("2026-01-05 10:00")
    shop.sandbox.account.unsubscribe(EMAIL, "email")
    stops.resume(shop.engine, "live")
    shop.change("UPDATE bc_ometria.ometria_account SET unsubscribes_read_at = now() - interval '1 hour'")
    shop.drain()
    assert shop.pushed == []
    shop.sync()
    assert "marketing_optin" not in shop.contacts()[CODE]


def test_an_opt_out_does_not_wait_for_somebody_else_with_its_address(shop: Shop) -> None:
    """Two share an address. One is to get another, and is stopped; the other one opts out."""
    shop.write("customers", customer(), customer("00000002", email=EMAIL))
    shop.sync()
    stops.pause(shop.engine, "live")
    shop.edit("customers", 2, email="another@example.com")
    shop.sync()
    shop.edit("customers", 1, email_ok="N", consent_date=shop.now)
    shop.sync()
    assert shop.contacts()[CODE]["marketing_optin"] == OUT


def test_nothing_is_forced_unless_the_rules_name_a_reason(shop: Shop) -> None:
    shop.write("customers", customer(), customer("00000002", email_ok="N"), customer("00000003", email_ok=""))
    shop.sync()
    assert not any("@force_optin" in each for each in wire(shop))
    shop.rule("ometria.yaml", "", force_optin="{opt_out: the preference centre writes to Blue Cherry}")
    assert causes(shop.sync()) == {}
    assert [each.get("@force_optin") for each in wire(shop)] == [None, True, None]
    assert set(shop.states("contact").values()) == {"confirmed"}


def test_an_opt_out_that_somebody_makes_in_our_own_listing_is_kept_once_it_is_seen(opted_in: Shop) -> None:
    """Ometria's list of unsubscribes does not show it. That no opt-in goes over it again is seen to when a look at the
    contact shows it; see docs/assumptions.md."""
    shop = opted_in
    replay(shop.engine, Filters(ids=[CODE]))
    stops.pause(shop.engine, "repairs")
    shop.change(
        "UPDATE bc_ometria.outbox SET state = 'sent', sent_version = wanted_version WHERE record_id = :code", code=CODE
    )
    listing = shop.contacts()[CODE] | {"marketing_optin": OUT, "timestamp_unsubscribed": "2026-01-05T10:00:00Z"}
    shop.sandbox.account.push([listing])
    shop.sync()
    shop.edit("customers", 1, last_name="Finch")
    shop.sync()
    assert "marketing_optin" not in wire(shop)[0]
    assert (shop.contacts()[CODE]["marketing_optin"], shop.contacts()[CODE]["lastname"]) == (OUT, "Finch")
    assert shop.open_exceptions() == {("opt_out_is_newer", CODE, "consent_date", "email")}


def test_an_opt_in_beside_an_opt_out_that_ometria_has_waits_and_is_not_taken_back(shop: Shop) -> None:
    """In to e-mail and out of texts, as before: nothing of it is urgent, and the guard has no change of consent."""
    shop.write("customers", customer())
    shop.sync()
    before = shop.pushes
    shop.sandbox.account.faults.arm(Fault(kind="server_error", path="/unsubscribes", calls=None))
    shop.edit("customers", 1, last_name="Finch")
    shop.sync()
    assert shop.pushes == before
    shop.sandbox.account.faults.clear()
    shop.sync()
    assert (wire(shop)[0]["marketing_optin"], wire(shop)[0]["lastname"]) == (IN, "Finch")


def test_an_opt_out_does_not_wait_for_the_opt_in_beside_it(opted_in: Shop) -> None:
    """Of e-mail out, to texts in: while the unsubscribes cannot be read, the opt-out goes alone."""
    shop = opted_in
    shop.at("2026-01-05 10:00")
    shop.edit("customers", 1, email_ok="N", sms_ok="Y", consent_date=shop.now)
    shop.sandbox.account.faults.arm(Fault(kind="server_error", path="/unsubscribes", calls=None))
    shop.sync()
    assert shop.contacts()[CODE]["marketing_optin"] == OUT
    assert "channels" not in wire(shop)[0]
    assert profile(shop)["sms_allow_marketing"] is True, "as it was: the push was merged into what is there"
    shop.sandbox.account.faults.clear()
    shop.sync()
    assert wire(shop)[0]["channels"]["sms"]["allow_marketing"] is True
    assert shop.states("contact") == {CODE: "confirmed"}
