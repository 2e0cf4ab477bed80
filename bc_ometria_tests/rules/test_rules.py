"""Rules that people edit: the project's own load, a broken file is refused with line and what is allowed (Q3, P13)."""

import shutil
from pathlib import Path

import pytest

from bc_ometria.blue_cherry.profile import TenantProfile
from bc_ometria.rules import DEFAULT_FOLDER, Rules, RulesError, rules_file
from bc_ometria.rules.lifecycle import CANCELLED, CLAIMS, COMING, EVENT_TYPES, LEAVING, STATES
from bc_ometria.sandbox import online_retail
from bc_ometria.sandbox.apparel.catalogue import KNOWN_DIVISIONS, LOCATIONS
from bc_ometria.sandbox.apparel.lives import HOLD_CODES, RETURN_REASONS
from bc_ometria.sandbox.running import RULES

FILES = (
    "attributes", "channels", "divisions", "ometria", "owners", "phones", "reasons", "retention", "statuses",
    "thresholds", "warehouses",
)  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of every rules file, to break one."""
    for name in FILES:
        shutil.copy(DEFAULT_FOLDER / f"{name}.yaml", tmp_path)
    return tmp_path


def altered(folder: Path, name: str, old: str, new: str) -> tuple[Path, int]:
    """Change one passage of a file; its path, and the line on which the passage began."""
    path = folder / f"{name}.yaml"
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times"
    path.write_text(text.replace(old, new), encoding="utf-8")
    return path, text[: text.index(old)].count("\n") + 1


def refusal(folder: Path) -> str:
    with pytest.raises(RulesError) as refused:
        Rules.load(folder)
    return str(refused.value)


def test_every_file_of_the_project_loads() -> None:
    assert {path.stem for path in DEFAULT_FOLDER.glob("*.yaml")} == {*FILES, "tenant"}
    rules = Rules.load()
    assert {code for code, channel in rules.channels.items() if channel.send} == {"W", "R"}
    assert TenantProfile.load(rules_file("tenant", None)).time_zone == "Europe/London"


TENANTS = sorted(RULES)


@pytest.mark.parametrize("tenant", TENANTS)
def test_every_state_and_every_event_of_an_order_is_mapped(tenant: str) -> None:
    """F3: no state without a status in Ometria, and no event that is left out unseen."""
    rules = Rules.load(RULES[tenant]).statuses
    assert set(rules.states) == set(STATES)
    assert rules.event_types == set(EVENT_TYPES)
    assert {event for events in (*COMING.values(), *LEAVING.values()) for event in events} == set(EVENT_TYPES)
    for state, rule in rules.states.items():
        assert rule.events == COMING[state]
        assert rule.leaving == LEAVING.get(state, ())
        assert not (state in CANCELLED and rule.is_valid)


def test_every_code_of_the_reference_tenant_is_mapped() -> None:
    """F3, Q3: the codes that contracts/blue_cherry.md and the generated retailer know, and no other."""
    rules = Rules.load(RULES["apparel"])
    assert sorted(rules.statuses.ord_status) == sorted("OHAPBSCXR")
    assert {rule.claim for rule in rules.statuses.ord_status.values()} <= set(CLAIMS)
    assert set(rules.reasons.hold) == set(HOLD_CODES)
    assert set(rules.reasons.cancel) == {"CU", "FR", "NS"}
    assert set(rules.reasons.returned) == {*RETURN_REASONS, "EX"}
    assert {code for code, reason in rules.reasons.returned.items() if reason.exchange} == {"EX"}
    assert set(rules.divisions) == set(KNOWN_DIVISIONS)
    assert {code: warehouse.country or "" for code, warehouse in rules.warehouses.items()} == {
        code: country for code, _, _, country in LOCATIONS
    }
    assert {code for code, warehouse in rules.warehouses.items() if not warehouse.real} == {"POE", "FOB"}


def test_every_code_of_the_real_orders_is_mapped_or_ignored_with_a_reason() -> None:
    """A credit note is a refund in Ometria, by the tenant's own map."""
    rules = Rules.load(RULES["online-retail"])
    served = (online_retail.FULFILLED, online_retail.CANCELLATION)
    no_orders = (online_retail.STOCK_ADJUSTMENT, online_retail.BAD_DEBT)
    statuses = rules.statuses.ord_status
    assert set(statuses) == {how.status for how in (*served, *no_orders)}
    assert {code for code, rule in statuses.items() if rule.ignore} == {how.status for how in no_orders}
    credited = rules.statuses.states[statuses[online_retail.CANCELLATION.status].claim]
    assert (credited.status, credited.is_valid) == ("refunded", False)
    assert online_retail.LOCATION in rules.warehouses
    assert online_retail.DIVISION in rules.divisions


def test_codes_are_text_and_keep_their_zeros(folder: Path) -> None:
    line = "010: {store: uk, currency: GBP, country: GB, brand: Kids, marketing: true}\n"
    (folder / "divisions.yaml").write_text(line + line.replace("010", "NO"), encoding="utf-8")
    assert list(Rules.load(folder).divisions) == ["010", "NO"]


_OPEN = "O: {claim: placed, meaning"
_PLACED = "placed: {status: placed, is_valid: true, meaning"
_BY_HOUSE = "cancelled_by_house: {status: cancelled, is_valid: false"
_PICKING = "events: [order_picking]"
_CHANGED_MIND = "CU: {by: customer, meaning"
_LONDON = '"0010": {name: London, country: GB}'
_IE = '"300": {store: ie, currency: EUR, country: IE, brand: Outlet, marketing: true}'
_WEB = "W: {channel: online, send: true"
_REDUCED = '{owner: Ecommerce, severity: report, meaning: "an order was'
_LATE = 'lasts_h: 168, meaning: "an event was too old'
_TOTALS = "totals_differ:\n  {owner: Operations"
_EITHER = "give either claim, or ignore with a reason"


@pytest.mark.parametrize(
    ("name", "old", "new", "field", "says"),
    [
        ("statuses", _OPEN, "O: {claim: open, meaning", "ord_status.O.claim", "allowed: 'placed', 'on_hold'"),
        ("statuses", _OPEN, "O: {status: open, meaning", "ord_status.O.status", "allowed: meaning, claim, ignore"),
        ("statuses", _OPEN, "O: {meaning", "ord_status.O", _EITHER),
        ("statuses", _OPEN, "O: {ignore: never, claim: placed, meaning", "ord_status.O", _EITHER),
        ("statuses", _OPEN, 'O: {ignore: "", meaning', "ord_status.O.ignore", "at least 1"),
        ("statuses", "  O: {", f"  {'O' * 17}: {{", f"ord_status.{'O' * 17}", "at most 16"),
        ("statuses", "  H: {", "  O: {", "ord_status.O", "a second time"),
        ("statuses", _PLACED, _PLACED.replace("true", "perhaps"), "states.placed.is_valid", "boolean"),
        ("statuses", _PLACED, _PLACED.replace("is_valid: true, ", ""), "states.placed.is_valid", "is missing"),
        ("statuses", _PLACED, _PLACED.replace("d: {", "d: {ignore: no, "), "states.placed.ignore", "allowed: meaning"),
        ("statuses", "  picking: {", "  parked: {", "states.parked", "allowed: 'placed', 'on_hold'"),
        ("statuses", _PICKING, "events: [order_parked]", "states.picking.events.0", "allowed: 'order_cancelled'"),
        ("reasons", _CHANGED_MIND, "CU: {meaning", "cancel.CU.by", "is missing"),
        ("reasons", _CHANGED_MIND, "CU: {by: shop, meaning", "cancel.CU.by", "allowed: 'customer' or 'house'"),
        ("reasons", "exchange: true", "exchange: one", "returned.EX.exchange", "boolean"),
        ("reasons", "returned:\n", "refunded:\n", "refunded", "allowed: hold, cancel, returned"),
        ("warehouses", _LONDON, '"0010": {name: London}', "0010", "a real warehouse needs a country"),
        ("warehouses", _LONDON, _LONDON.replace("GB", "UK1"), "0010.country", "[A-Z]{2}"),
        ("warehouses", _LONDON, _LONDON.replace("London", '""'), "0010.name", "at least 1"),
        ("thresholds", "warn: {age_h: 24,", "warn: {age_h: 0,", "open_exceptions.warn.age_h", "greater than 0"),
        ("thresholds", "fail: 20}", "fail: 200}", "fill_rates.fail", "less than or equal to 100"),
        ("thresholds", "weeks: 4, ", "", "fill_rates.weeks", "is missing"),
        ("retention", "unchanged_days: 1", "unchanged_days: 0", "unchanged_days", "greater than or equal to 1"),
        ("divisions", _IE, _IE.replace("{", f"{{channel: {'x' * 33}, "), "300.channel", "at most 32"),
        ("divisions", _IE, _IE.replace("EUR", "euro"), "300.currency", "[A-Z]{3}"),
        ("divisions", _IE, _IE.replace("store: ie, ", ""), "300.store", "is missing"),
        ("divisions", _IE, _IE.replace("store: ie", f"store: {'x' * 33}"), "300.store", "at most 32"),
        ("divisions", _IE, _IE.replace("country: IE", "country: Ireland"), "300.country", "[A-Z]{2}"),
        ("divisions", _IE, _IE.replace("Outlet", '""'), "300.brand", "at least 1"),
        ("divisions", _IE, '"300": ie', "300", "dictionary"),
        ("channels", _WEB, "W: {send: true", "W", "a type that is sent needs a channel"),
        ("channels", _WEB, "W: {chanel: online, send: true", "W.chanel", "allowed: meaning, send, channel"),
        ("attributes", "  phone: report", "  phone: ignore", "contacts.phone", "allowed: 'hold' or 'report'"),
        ("phones", 'GB: {calling_code: "44"', "GB: {calling_code: 44", "GB.calling_code", "write it in quotes"),
        ("phones", 'GB: {calling_code: "44"', 'GB: {calling_code: "044"', "GB.calling_code", "[1-9]"),
        ("phones", "GB: {", "UKM: {", "UKM", "[A-Z]{2}"),
        ("ometria", "discount_sign: positive", "discount_sign: plus", "discount_sign", "'positive' or 'negative'"),
        ("ometria", "push_per_s: 8", "push_per_s: 0", "limits.push_per_s", "greater than or equal to 1"),
        ("ometria", "collection: bluecherry", "collection: optin:sms", "collection", "[a-z0-9_-]"),
        ("ometria", "read_back_after: 1", "read_back_after: soon", "read_back_after", "number"),
        ("ometria", "cliff_min: 240", "cliff_min: 0", "cliff_min", "greater than 0"),
        ("owners", _REDUCED, _REDUCED.replace("Ecommerce", "IT"), "reduced_lines.owner", "'Marketing', 'Ecommerce'"),
        ("owners", _REDUCED, _REDUCED.replace("report", "low"), "reduced_lines.severity", "'hold' or 'report'"),
        ("owners", "wait_min: 60", "wait_min: -1", "incomplete_order.wait_min", "greater than or equal to 0"),
        ("owners", _LATE, _LATE.replace("168", "0"), "event_too_late.lasts_h", "greater than 0"),
    ],
)
def test_a_broken_file_is_refused_with_line_field_and_what_is_allowed(
    folder: Path, name: str, old: str, new: str, field: str, says: str
) -> None:
    path, number = altered(folder, name, old, new)
    (line,) = (line for line in refusal(folder).splitlines() if f": {field}: " in line)
    assert line.startswith(f"{path}:{number}: ")
    assert says in line


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        # A cancelled order goes with all its pieces: as a valid one it would be revenue (Q4).
        (_BY_HOUSE, _BY_HOUSE.replace("false", "true"), "states.cancelled_by_house.is_valid must be false"),
        (f"  {_PLACED}", "  # was: {", "states.placed is missing"),
        (
            _PLACED,
            _PLACED.replace("{", "{events: [order_picking], "),
            "order_picking is no event of states.placed.events",
        ),
        (
            "leaving: [back_order_released]",
            "leaving: [order_hold_released]",
            "order_hold_released is no event of states.back_ordered.leaving (allowed: back_order_released)",
        ),
        (
            "status: exchanged\n    is_valid: true\n    events: [order_part_refunded, order_refunded]",
            "status: exchanged\n    is_valid: true\n    events: [order_part_refunded]",
            "order_refunded is missing in states.exchanged.events, and stands in another state",
        ),
    ],
)
def test_states_that_do_not_fit_together_are_refused(folder: Path, old: str, new: str, says: str) -> None:
    """The fault is between states, so it is told of the file as a whole."""
    path, _ = altered(folder, "statuses", old, new)
    first = path.read_text(encoding="utf-8").splitlines().index("ord_status:") + 1
    assert refusal(folder) == f"{path}:{first}: the file: {says}"


def test_an_event_that_is_left_out_of_all_its_states_is_not_sent(folder: Path) -> None:
    """P5: which events there are is the retailer's choice."""
    path = folder / "statuses.yaml"
    text = path.read_text(encoding="utf-8")
    assert text.count(", tracking_added]") == 2
    path.write_text(text.replace(", tracking_added]", "]"), encoding="utf-8")
    assert set(EVENT_TYPES) - Rules.load(folder).statuses.event_types == {"tracking_added"}


def test_a_place_that_is_no_building_needs_no_country(folder: Path) -> None:
    (folder / "warehouses.yaml").write_text("EXW: {name: Ex works, real: false}\n", encoding="utf-8")
    assert not Rules.load(folder).warehouses["EXW"].real


def test_a_tenant_without_codes_for_reasons_says_so_by_an_empty_section(folder: Path) -> None:
    (folder / "reasons.yaml").write_text("hold: {}\n", encoding="utf-8")
    reasons = Rules.load(folder).reasons
    assert (reasons.hold, reasons.cancel, reasons.returned) == ({}, {}, {})


def test_a_missing_field_is_told_at_the_block_that_lacks_it(folder: Path) -> None:
    path, _ = altered(folder, "attributes", "  identity: hold\n", "")
    block = path.read_text(encoding="utf-8").splitlines().index("orders:") + 1
    assert refusal(folder) == f"{path}:{block}: orders.identity: is missing"


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize(
    ("content", "says"),
    [("", "is empty"), ("a: [", "is not YAML"), ("- one", "dictionary"), ("just words", "dictionary")],
)
def test_no_file_may_be_empty_or_something_else(folder: Path, name: str, content: str, says: str) -> None:
    (folder / f"{name}.yaml").write_text(content, encoding="utf-8")
    text = refusal(folder)
    assert text.startswith(f"{folder / name}.yaml:1:")
    assert says in text


def test_every_fault_of_a_file_is_named(folder: Path) -> None:
    path, first = altered(folder, "divisions", "currency: EUR", "currency: euro")
    altered(folder, "divisions", "brand: Women", "brnd: Women")
    assert [line.split(": ")[0] for line in refusal(folder).splitlines()] == [
        f"{path}:{first - 2}",
        f"{path}:{first - 2}",
        f"{path}:{first}",
    ]


def test_a_folder_replaces_single_files(tmp_path: Path) -> None:
    (tmp_path / "channels.yaml").write_text('T: {channel: store, send: true, meaning: "till"}', encoding="utf-8")
    own, default = Rules.load(tmp_path), Rules.load()
    assert list(own.channels) == ["T"]
    assert own.model_copy(update={"channels": default.channels}) == default
    assert rules_file("channels", tmp_path) == tmp_path / "channels.yaml"
    assert rules_file("statuses", tmp_path) == DEFAULT_FOLDER / "statuses.yaml"


def test_a_folder_that_is_none_is_named(tmp_path: Path) -> None:
    missing = tmp_path / "not-there"
    assert refusal(missing) == f"BC_OMETRIA_RULES names {missing}, which is not a folder"


def test_owners_of_a_tenant_name_every_code(folder: Path) -> None:
    """P15: a code without an owner would be an alert that nobody reads, and would hold nothing."""
    path = folder / "owners.yaml"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("totals_differ:", "totals_difer:"), encoding="utf-8")
    assert refusal(folder) == f"{path}:1: totals_differ: is missing\n{path}:1: totals_difer: is not a known code"


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("statuses", "O: {claim: placed", "O: {claim: allocated"),
        ("statuses", "placed: {status: placed", "placed: {status: open"),
        ("statuses", "refunded: {status: refunded, is_valid: false", "refunded: {status: refunded, is_valid: true"),
        ("statuses", ", events: [order_picking]", ""),
        ("reasons", 'changed their mind"}\n  FR', 'no longer wanted"}\n  FR'),
        ("reasons", ", exchange: true", ""),
        ("warehouses", "name: London", "name: Croydon"),
        ("divisions", "brand: Outlet,", "brand: Outlet, channel: outlet,"),
        ("divisions", "store: ie", "store: IE"),
        ("divisions", 'marketing: true}\n"200"', 'marketing: false}\n"200"'),
        ("channels", "R: {channel: store", "R: {channel: till"),
        ("attributes", "  country: report", "  country: hold"),
        ("phones", "NL: {", "BE: {"),
        ("ometria", "collection: bluecherry", "collection: erp"),
        ("ometria", "discount_sign: positive", "discount_sign: negative"),
        # An order held for it goes when it only has to be reported.
        ("owners", f"{_TOTALS}, severity: hold", f"{_TOTALS}, severity: report"),
    ],
)
def test_the_version_follows_what_can_change_a_record(folder: Path, name: str, old: str, new: str) -> None:
    altered(folder, name, old, new)
    assert Rules.load(folder).version != Rules.load().version


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("ometria", "push_per_s: 8", "push_per_s: 4"),
        ("ometria", "read_back_after: 1", "read_back_after: 30"),
        ("ometria", "read_back_until: 900", "read_back_until: 60"),
        ("ometria", "cliff_min: 240", "cliff_min: 120"),
        ("owners", "wait_min: 60", "wait_min: 30"),
        ("owners", _LATE, _LATE.replace("168", "24")),
        ("thresholds", "weeks: 4", "weeks: 6"),
        ("retention", "failed_days: 14", "failed_days: 30"),
        ("owners", _TOTALS, _TOTALS.replace("Operations", "Ecommerce")),
        ("owners", "add up to different totals", "do not add up"),
        ("owners", "correct one of the two in Blue Cherry", "ask the warehouse"),
        ("statuses", "# The life of an order.", "# An order's life."),
    ],
)
def test_the_version_stays_where_no_record_can_change(folder: Path, name: str, old: str, new: str) -> None:
    """Otherwise a new owner would have every order mapped again."""
    altered(folder, name, old, new)
    assert Rules.load(folder).version == Rules.load().version


@pytest.mark.parametrize("name", ["statusses.yaml", "statuses.yml"])
def test_a_file_that_overrides_nothing_is_refused(folder: Path, name: str) -> None:
    (folder / name).write_text("{}\n")
    with pytest.raises(RulesError, match="overrides no file of the rules") as refused:
        Rules.load(folder)
    assert name in str(refused.value)
    assert "statuses.yaml" in str(refused.value)
