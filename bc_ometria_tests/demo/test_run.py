"""The demo from an empty folder to the proof, on a generated retailer and on real orders."""

import csv
import gzip
import os
import re
import subprocess
import sys
from collections import defaultdict
from decimal import Decimal
from pathlib import Path

import pytest
from rich.console import Console
from sqlalchemy import text

from bc_ometria.demo.run import FOLDER, run_demo
from bc_ometria.store.database import connect


def _numbers(output: str, row: str) -> tuple[int, int]:
    """Customers and orders in one row of the printed table."""
    (found,) = re.findall(rf"│\s*{re.escape(row)}\s*│\s*([\d,]+)\s*│\s*([\d,]+)\s*│", output)
    return int(found[0].replace(",", "")), int(found[1].replace(",", ""))


def _held(output: str) -> tuple[int, int]:
    rows = re.findall(r"│\s*held: \w+\s*│\s*([\d,]+)\s*│\s*([\d,]+)\s*│", output)
    return sum(int(customers.replace(",", "")) for customers, _ in rows), sum(int(orders) for _, orders in rows)


def test_a_generated_retailer_lives_a_day_and_all_of_it_is_accounted_for(tmp_path: Path) -> None:
    """The command as a person types it, in a folder of its own, with nothing set."""
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "XDG_RUNTIME_DIR")}
    done = subprocess.run(
        [sys.executable, "-m", "bc_ometria.cli", "demo", "--days", "1", "--orders-per-day", "24", "--no-limits"],
        cwd=tmp_path,
        env={**kept, "COLUMNS": "120"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Everything is accounted for" in done.stdout
    assert _numbers(done.stdout, "differing") == _numbers(done.stdout, "unaccounted for") == (0, 0)
    for column in (0, 1):
        expected = _numbers(done.stdout, "expected in Ometria")[column]
        equal, held = _numbers(done.stdout, "confirmed equal")[column], _held(done.stdout)[column]
        assert equal + held == expected
        assert equal > 0.5 * expected
    assert re.search(r"^Events in Ometria: .+\. Not sent: .+ excluded: history\b", done.stdout, re.MULTILINE)
    assert [path.name for path in tmp_path.iterdir()] == [".bc_ometria"]
    assert not re.search(r"@example\.com|07700|\+44", done.stdout + done.stderr)


def test_real_orders(sample_of_real_orders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every one of the 2,274 invoices of the sample is confirmed, or held or excluded with a reason; and what is
    confirmed has the invoice's own total, by arithmetic on the file alone."""
    monkeypatch.chdir(tmp_path)
    console = Console(record=True, width=120, quiet=False, file=(tmp_path / "shown").open("w"))
    status = run_demo(console, "online-retail", (sample_of_real_orders,), days=1, orders_per_day=0, limits=False)
    shown = console.export_text()
    assert status == 0, shown
    assert "Everything is accounted for" in shown

    totals: dict[str, Decimal] = defaultdict(Decimal)
    with gzip.open(sample_of_real_orders, "rt", encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            totals[row["InvoiceNo"]] += int(row["Quantity"]) * Decimal(row["UnitPrice"])
    assert len(totals) == 2274

    engine = connect(os.environ["BC_OMETRIA_DATABASE_URL"])
    assert (FOLDER / "postgres").is_dir()
    with engine.connect() as connection:
        rows = connection.execute(
            text(
                "SELECT record_id, state, reason, payload::json AS payload FROM bc_ometria.outbox "
                "WHERE record_type = 'order'"
            )
        ).all()
    engine.dispose()
    assert {row.record_id for row in rows} == set(totals)
    assert {row.state for row in rows} <= {"confirmed", "held", "excluded"}
    assert [row.record_id for row in rows if row.state != "confirmed" and not row.reason] == []
    confirmed = {row.record_id: row.payload for row in rows if row.state == "confirmed"}
    assert len(confirmed) > 0.7 * len(totals)
    apart = {
        number: (payload["grand_total"], totals[number])
        for number, payload in confirmed.items()
        if abs(abs(totals[number]) - Decimal(str(payload["grand_total"]))) >= Decimal("0.005")
    }
    assert apart == {}
