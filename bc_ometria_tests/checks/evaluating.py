"""Single checks against a store that a test fills by hand."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from sqlalchemy import Engine, text

from bc_ometria.resources import Store, Tenant
from bc_ometria.rules import DEFAULT_FOLDER, Rules
from bc_ometria.store import exceptions


def evaluate(engine: Engine, checks: Sequence[dg.AssetChecksDefinition], key: str) -> dg.AssetCheckResult:
    """What the check ``asset/key:name`` says."""
    (check,) = (check for check in checks for each in check.check_keys if f"{_name(each.asset_key)}:{each.name}" == key)
    store = Store(database_url=engine.url.render_as_string(hide_password=False))
    result = check(store=store, tenant=Tenant())
    store.engine.dispose()
    assert isinstance(result, dg.AssetCheckResult)
    return result


def _name(key: dg.AssetKey) -> str:
    return key.to_user_string()


def rows(result: dg.AssetCheckResult, name: str) -> list[dict[str, Any]]:
    """The rows of a table in what a check shows; each cell is one that Dagster can show."""
    table = result.metadata[name]
    assert isinstance(table, dg.TableMetadataValue)
    found = [dict(record.data) for record in table.records]
    assert {type(cell) for row in found for cell in row.values()} <= {str, int, float, bool}
    return found


def open_exception(
    engine: Engine,
    code: str,
    record_id: str,
    *,
    record_type: str = "order",
    field: str = "",
    detail: str = "",
    division: str = "100",
    value: int = 10000,
    currency: str = "GBP",
    hours: float = 0,
) -> None:
    """An exception as old as so many hours."""
    with engine.begin() as connection:
        exceptions.set_codes(connection, Rules.load().exceptions)
        connection.execute(
            text(
                "INSERT INTO bc_ometria.exceptions "
                "(code, record_type, record_id, field, detail, division, value, currency, first_seen) VALUES (:code, "
                ":type, :id, :field, :detail, :division, :value, :currency, now() - make_interval(secs => :seconds))"
            ),
            {
                "code": code,
                "type": record_type,
                "id": record_id,
                "field": field,
                "detail": detail,
                "division": division,
                "value": value,
                "currency": currency,
                "seconds": 3600 * hours,
            },
        )


def event(engine: Engine, record_id: str, order: str, *, event_type: str = "order_dispatched", state: str = "wanted",
          reason: str = "", customer: str = "00000001") -> None:  # fmt: skip
    """A custom event of an order, and how it stands in the outbox."""
    with engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO bc_ometria.order_events "
                "(record_id, ord_num, customer, event_type, covers, happened_at, enters_until) "
                "VALUES (:id, :order, :customer, :event_type, '', now(), now())"
            ),
            {"id": record_id, "order": order, "customer": customer, "event_type": event_type},
        )
        connection.execute(
            text(
                "INSERT INTO bc_ometria.outbox (record_type, record_id, state, reason) "
                "VALUES ('custom_event', :id, :state, :reason)"
            ),
            {"id": record_id, "state": state, "reason": reason},
        )


def override(monkeypatch: pytest.MonkeyPatch, folder: Path, name: str, **changes: Any) -> None:
    """A rules file in force with some of its top-level keys changed."""
    known = yaml.safe_load((DEFAULT_FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(known | changes), encoding="utf-8")
    monkeypatch.setenv("BC_OMETRIA_RULES", str(folder))
