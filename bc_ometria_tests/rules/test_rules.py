"""Rules that people edit: the project's own load, a broken file is refused with line and what is allowed (Q3, P13)."""

import shutil
from pathlib import Path

import pytest

from bc_ometria.blue_cherry.profile import TenantProfile
from bc_ometria.rules import DEFAULT_FOLDER, Rules, RulesError, rules_file

FILES = ("attributes", "channels", "divisions", "ometria", "owners", "phones", "statuses")


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
    assert sorted(rules.statuses.ord_status) == sorted("OHAPBSCXR")  # the reference tenant's list, whole
    assert {code for code, channel in rules.channels.items() if channel.send} == {"W", "R"}
    assert TenantProfile.load(rules_file("tenant", None)).time_zone == "Europe/London"


def test_codes_are_text_and_keep_their_zeros(folder: Path) -> None:
    line = "010: {store: uk, currency: GBP, country: GB, brand: Kids, marketing: true}\n"
    (folder / "divisions.yaml").write_text(line + line.replace("010", "NO"), encoding="utf-8")
    assert list(Rules.load(folder).divisions) == ["010", "NO"]


_OPEN = "O: {status: open, is_valid: true, meaning"
_WHOLLY = "wholly_cancelled: {status: cancelled, is_valid: false"
_IE = '"300": {store: ie, currency: EUR, country: IE, brand: Outlet, marketing: true}'
_WEB = "W: {channel: online, send: true"
_REDUCED = '{owner: Ecommerce, severity: report, meaning: "an order was'
_TOTALS = "totals_differ:\n  {owner: Operations"
_EITHER = "give either status and is_valid, or ignore with a reason"


@pytest.mark.parametrize(
    ("name", "old", "new", "field", "says"),
    [
        ("statuses", _OPEN, "O: {status: open, is_valid: perhaps, meaning", "ord_status.O.is_valid", "boolean"),
        ("statuses", _OPEN, "O: {status: open, valid: true, meaning", "ord_status.O.valid", "allowed: meaning, status"),
        ("statuses", _OPEN, "O: {status: open, meaning", "ord_status.O", _EITHER),
        ("statuses", _OPEN, "O: {ignore: never, status: open, is_valid: true, meaning", "ord_status.O", _EITHER),
        ("statuses", _OPEN, 'O: {ignore: "", meaning', "ord_status.O.ignore", "at least 1"),
        ("statuses", "  O: {", f"  {'O' * 17}: {{", f"ord_status.{'O' * 17}", "at most 16"),
        ("statuses", "  H: {", "  O: {", "ord_status.O", "a second time"),
        # A cancelled order goes with all its pieces: as a valid one it would be revenue (Q4).
        ("statuses", _WHOLLY, _WHOLLY.replace("false", "true"), "wholly_cancelled.is_valid", "allowed: False"),
        ("statuses", _WHOLLY, "wholly_cancelled: {ignore: no", "wholly_cancelled.ignore", "allowed: meaning, status"),
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
        ("owners", _REDUCED, _REDUCED.replace("Ecommerce", "IT"), "reduced_lines.owner", "'Marketing', 'Ecommerce'"),
        ("owners", _REDUCED, _REDUCED.replace("report", "low"), "reduced_lines.severity", "'hold' or 'report'"),
    ],
)
def test_a_broken_file_is_refused_with_line_field_and_what_is_allowed(
    folder: Path, name: str, old: str, new: str, field: str, says: str
) -> None:
    path, number = altered(folder, name, old, new)
    (line,) = (line for line in refusal(folder).splitlines() if f": {field}: " in line)
    assert line.startswith(f"{path}:{number}: ")
    assert says in line


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
        ("statuses", "O: {status: open,", "O: {status: placed,"),
        ("statuses", "R: {status: returned, is_valid: false", "R: {status: returned, is_valid: true"),
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
        ("owners", _TOTALS, _TOTALS.replace("Operations", "Ecommerce")),
        ("owners", "add up to different totals", "do not add up"),
        ("owners", "correct one of the two in Blue Cherry", "ask the warehouse"),
        ("statuses", "# What each ord_status", "# What every ord_status"),
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
