"""The runbook (P15): a page for every exception code, and queries that find what they promise."""

import re
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from bc_ometria.rules import Rules

RUNBOOK = Path(__file__).resolve().parents[1] / "docs" / "runbook"
PAGES = {page.stem: page for page in sorted(RUNBOOK.glob("*.md")) if page.stem != "README"}
HEADINGS = ["Who", "How bad", "Look", "Do", "When it comes back"]
A_SCREEN = 50  # lines
_ROW = re.compile(r"^\| \[(\w+)\]\((\w+)\.md\) \| (.+) \| (\w+) \| (\w+) \|$", re.MULTILINE)


def _table() -> dict[str, tuple[str, str]]:
    """Owner and severity of each code in the runbook's table."""
    rows = _ROW.findall((RUNBOOK / "README.md").read_text(encoding="utf-8"))
    assert all(code == page for code, page, *_ in rows)
    assert len({code for code, *_ in rows}) == len(rows)
    return {code: (owner, {"held": "hold", "reported": "report"}[severity]) for code, _, _, owner, severity in rows}


def _parts(page: Path) -> dict[str, str]:
    """A page's text under each heading; under the blank one its title and what happened."""
    first, *rest = re.split(r"^## ", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {"": first} | {heading: part for heading, _, part in (each.partition("\n") for each in rest)}


def _queries(page: Path) -> list[str]:
    return re.findall(r"^```sql\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def test_the_table_names_every_page_and_no_other() -> None:
    assert set(_table()) == set(PAGES)


def test_every_code_of_the_rules_has_a_page_with_its_owner_and_severity(rules: Rules) -> None:
    told = _table()
    assert {code: told.get(code) for code in rules.exceptions} == {
        code: (rule.owner, rule.severity) for code, rule in rules.exceptions.items()
    }


@pytest.mark.parametrize("code", PAGES)
def test_a_page_says_what_happened_and_has_the_same_headings_as_all(code: str) -> None:
    parts = _parts(PAGES[code])
    title, _, happened = parts.pop("").partition("\n")
    assert title == f"# {code}"
    assert list(parts) == HEADINGS
    assert all(part.strip() for part in (happened, *parts.values()))
    assert len(PAGES[code].read_text(encoding="utf-8").splitlines()) <= A_SCREEN


@pytest.mark.parametrize("code", PAGES)
def test_a_page_names_the_owner_and_the_severity_of_the_table(code: str) -> None:
    parts, (owner, severity) = _parts(PAGES[code]), _table()[code]
    assert parts["Who"].strip().startswith(f"**{owner}** owns it")
    assert parts["How bad"].strip().startswith("**Held" if severity == "hold" else "**Only reported")


@pytest.mark.parametrize("code", PAGES)
def test_a_query_finds_the_open_records_of_its_code_and_no_others(code: str, engine: Engine) -> None:
    """Even where the mirror and the outbox know nothing of the record."""
    queries = _queries(PAGES[code])
    assert queries
    with engine.begin() as connection:
        for record_id, of_code, is_open, is_mended in (
            ("WANTED", code, True, False),
            ("CLOSED", code, False, True),
            ("MENDED", code, True, True),
            ("ANOTHER", "another_code", True, False),
        ):
            connection.execute(
                text(
                    "INSERT INTO bc_ometria.exceptions (code, record_type, record_id, field, detail, division, value, "
                    "currency, is_open, is_mended) "
                    "VALUES (:code, 'order', :record_id, 'a_field', 'detail', '100', 12900, 'GBP', :open, :mended)"
                ),
                {"code": of_code, "record_id": record_id, "open": is_open, "mended": is_mended},
            )
        cells = {str(cell) for query in queries for row in connection.exec_driver_sql(query).all() for cell in row}
    assert cells & {"WANTED", "CLOSED", "MENDED", "ANOTHER"} == {"WANTED"}
