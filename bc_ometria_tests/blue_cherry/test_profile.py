"""A tenant's differences are data, and a broken profile is refused with file, line and what is allowed."""

from pathlib import Path
from typing import Literal

import pytest
from pydantic import BaseModel, ConfigDict, RootModel

from bc_ometria.blue_cherry import RESOURCES, TenantProfile
from bc_ometria.rules.loader import RulesError, load_yaml_model
from bc_ometria_tests.blue_cherry.tenant import PROFILE, PROFILE_FILE


def altered(folder: Path, old: str, new: str) -> Path:
    """The default profile with one passage changed."""
    text = PROFILE_FILE.read_text(encoding="utf-8")
    assert text.count(old) == 1
    (folder / "tenant.yaml").write_text(text.replace(old, new), encoding="utf-8")
    return folder / "tenant.yaml"


def line_of(path: Path, passage: str) -> int:
    return next(n for n, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1) if passage in line)


def test_the_default_profile_knows_every_resource() -> None:
    assert {name: PROFILE.resource(name).path for name in ("addresses", "order_lines", "upcs")} == {
        "addresses": "stores",
        "order_lines": "order-lines",
        "upcs": "upcs",
    }
    assert len({PROFILE.resource(name).path for name in RESOURCES}) == 16


def test_a_tenant_renames_columns_and_lacks_some(tmp_path: Path) -> None:
    path = altered(
        tmp_path,
        "orders: {path: orders}",
        "orders: {path: so, columns: {ord_num: ORDNO}, absent: [promo_code]}",
    )
    orders = TenantProfile.load(path).resource("orders")
    assert (orders.path, orders.field("ord_num"), orders.field("division")) == ("so", "ORDNO", "division")
    assert orders.absent == ("promo_code",)


@pytest.mark.parametrize(
    ("old", "new", "field", "says"),
    [
        ("time_zone: Europe/London", "time_zone: Europe/Londn", "time_zone", "allowed: an IANA name"),
        ("page_size: 1000 #", "page_size: many #", "page_size", "'many'"),
        ("max_keys: 100", "max_keys: 0", "max_keys", "greater than or equal to 1"),
        ("overlap_min: 15", "overlap_min: 0", "overlap_min", "greater than or equal to 1"),
        ("key_header: Ocp", "key_haeder: Ocp", "key_haeder", "allowed: time_zone, key_header"),
        (
            "{tenant}/{environment}/{resource}",
            "{tennant}/{resource}",
            "path",
            "allowed: {base_url}, {tenant}",
        ),
        ('"%Y-%m-%d %H:%M:%S"', '"%H:%M"', "stamp_format", "allowed: as %Y-%m-%d"),
        ("total: total}", "totl: total}", "envelope.totl", "allowed: value, page, page_size, total"),
        (
            "path: orders}",
            "path: orders, columns: {ordnum: X}}",
            "resources.orders.columns.ordnum",
            "'ord_num'",
        ),
        ("path: orders}", "path: orders, absent: [ord_num]}", "resources.orders.absent.0", "'promo_code'"),
        ("path: orders}", "path: orders, columns: {email: phone}}", "resources.orders", "same field: phone"),
        ("  sizes: {path: sizes}\n", "", "resources.sizes", "is missing"),
        ("  sizes: {path: sizes}", "  sizes: {path: 7}", "resources.sizes.path", "write it in quotes"),
    ],
)
def test_a_broken_profile_is_refused_with_its_line(tmp_path: Path, old: str, new: str, field: str, says: str) -> None:
    path = altered(tmp_path, old, new)
    with pytest.raises(RulesError) as refused:
        TenantProfile.load(path)
    fault = next(fault for fault in str(refused.value).splitlines() if f": {field}: " in fault)
    assert says in fault
    assert fault.startswith(f"{path}:{line_of(path, new.strip() or 'resources:')}: ")


def test_a_key_that_stands_twice_is_refused_where_it_stands_again(tmp_path: Path) -> None:
    path = altered(tmp_path, "  sizes: {path: sizes}", "  upcs: {path: sizes}")
    with pytest.raises(RulesError, match=f":{line_of(path, '{path: upcs}')}: resources.upcs: .*a second time"):
        TenantProfile.load(path)


def test_what_is_no_yaml_is_refused_with_its_line(tmp_path: Path) -> None:
    path = altered(tmp_path, "  sizes: {path: sizes}", "  sizes: {path: sizes")
    with pytest.raises(RulesError, match=f"^{path}:{line_of(path, '  upcs:')}: is not YAML"):
        TenantProfile.load(path)


def test_every_fault_of_a_file_is_told(tmp_path: Path) -> None:
    text = PROFILE_FILE.read_text(encoding="utf-8")
    path = tmp_path / "tenant.yaml"
    path.write_text(text.replace("max_keys: 100", "max_keys: x").replace("Europe/London", "Mars"))
    with pytest.raises(RulesError) as refused:
        TenantProfile.load(path)
    assert [fault.split(": ")[1] for fault in str(refused.value).splitlines()] == ["time_zone", "max_keys"]


def test_a_file_that_is_missing_or_empty_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RulesError, match="cannot be read"):
        TenantProfile.load(tmp_path / "tenant.yaml")
    (tmp_path / "tenant.yaml").write_text("# nothing yet\n")
    with pytest.raises(RulesError, match=r"is empty \(allowed: time_zone"):
        TenantProfile.load(tmp_path / "tenant.yaml")


class Rule(BaseModel):
    model_config = ConfigDict(extra="forbid")
    kind: Literal["sent", "ignored"]


class RulesByCode(RootModel[dict[str, Rule]]): ...


def test_keys_are_codes_whatever_they_look_like_to_yaml(tmp_path: Path) -> None:
    path = tmp_path / "codes.yaml"
    path.write_text("010: {kind: sent}\nNO: {kind: ignored}\n1.50: {kind: sent}\n")
    assert list(load_yaml_model(path, RulesByCode).root) == ["010", "NO", "1.50"]


def test_allowed_values_and_fields_of_models_inside_mappings(tmp_path: Path) -> None:
    path = tmp_path / "codes.yaml"
    path.write_text("A:\n  kind: sended\nB:\n  kind: sent\n  color: red\n")
    with pytest.raises(RulesError) as refused:
        load_yaml_model(path, RulesByCode)
    assert str(refused.value).splitlines() == [
        f"{path}:2: A.kind: 'sended' is not possible here (allowed: 'sent' or 'ignored')",
        f"{path}:5: B.color: is not a known field (allowed: kind)",
    ]
