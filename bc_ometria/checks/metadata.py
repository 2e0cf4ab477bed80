"""How what is open reads in Dagster: sums, ages, masked examples, and the runbook's page. Nothing personal."""

from collections.abc import Iterable, Sequence

import dagster as dg
import pandas as pd

from bc_ometria.config import runbook_page
from bc_ometria.rules import Rules

_EXAMPLES = 10
_CODES = 50

Cells = dict[str, str | int | float]
"""A row of a table in the UI."""

Metadata = dict[str, dg.MetadataValue | int]


def about(found: pd.DataFrame, blocked: pd.DataFrame, record_type: str, rules: Rules) -> Metadata:
    """What a check shows of some open exceptions of ``store.exceptions.open_now``; ``blocked`` are the events that
    wait for them, as ``store.exceptions.blocked_events``."""
    of_type = blocked.drop_duplicates("event_id")["event_type"].value_counts()
    metadata: Metadata = {"records": int(found["record_id"].nunique()), "blocked_events": int(of_type.sum())}
    if found.empty:
        return metadata
    return metadata | {
        "value_at_stake": dg.MetadataValue.text(money(found)),
        "first_seen": dg.MetadataValue.timestamp(found["first_seen"].min().timestamp()),
        "age_of_oldest": dg.MetadataValue.text(age(found["age_h"].max())),
        "owners": dg.MetadataValue.text(", ".join(sorted({rules.exceptions[code].owner for code in found["code"]}))),
        "blocked_event_types": dg.MetadataValue.text(counted(of_type.items()) or "none"),
        "codes": table(by_code(found, rules)),
        "examples": table(_examples(found, record_type)),
        **{f"runbook_{code}": _runbook_link(code) for code in sorted(set(found["code"]))},
    }


def sentence(found: pd.DataFrame) -> str:
    """How many of which code, and the money at stake."""
    records = found.groupby("code")["record_id"].nunique().sort_values(ascending=False)
    return f"{counted(records.items())}; at stake {money(found)}"


def counted(numbers: Iterable[tuple[object, int]]) -> str:
    return ", ".join(f"{number:,} × {name}" for name, number in numbers)


def values(found: pd.DataFrame) -> dict[str, float]:
    """The money at stake in units of each currency, each record counted once."""
    once = found.drop_duplicates("record_id")
    sums = once[once["currency"] != ""].groupby("currency")["value"].sum()
    return {str(currency): amount / 100 for currency, amount in sums.items()}


def money(found: pd.DataFrame) -> str:
    """The same in words."""
    return ", ".join(f"{amount:,.2f} {currency}" for currency, amount in values(found).items()) or "no order value"


def age(hours: float) -> str:
    """An age that people can read: ``25 min``, ``7 h``, ``3 days``."""
    if hours < 1:
        return f"{int(hours * 60)} min"
    return f"{int(hours)} h" if hours < 48 else f"{int(hours / 24)} days"


def by_code(found: pd.DataFrame, rules: Rules) -> list[Cells]:
    """One row per code, field and detail, most records first; at most fifty."""
    keys = ["code", "field", "detail"]
    groups = found.groupby(keys)
    largest = groups["record_id"].nunique().nlargest(_CODES).reset_index()[keys].to_numpy().tolist()
    return [_of_group(groups.get_group(tuple(key)), rules) for key in largest]


def _of_group(group: pd.DataFrame, rules: Rules) -> Cells:
    code, field, detail = (str(group[name].iloc[0]) for name in ("code", "field", "detail"))
    rule = rules.exceptions[code]
    return {
        "code": code,
        "field": field,
        "detail": detail,
        "records": int(group["record_id"].nunique()),
        "at stake": money(group),
        "blocked events": int(group["blocked_events"].sum()),
        "oldest": age(group["age_h"].max()),
        "owner": rule.owner,
        "meaning": rule.meaning,
        "first action": rule.action,
        "runbook": runbook_page(code),
    }


def table(rows: Sequence[Cells]) -> dg.TableMetadataValue:
    return dg.MetadataValue.table([dg.TableRecord(dict(row)) for row in rows])


def shown_id(reference: str, is_customer: bool) -> str:
    """An order's number, which is nothing personal; of a customer's code its end."""
    return f"…{reference[-4:]}" if is_customer else reference


def _examples(found: pd.DataFrame, record_type: str) -> list[Cells]:
    """At most ten: orders by their number, events by that and their type, customers by the end of their code."""
    shown = found.drop_duplicates("record_id").head(_EXAMPLES)
    ids = [
        event or shown_id(record_id, record_type == "contact")
        for event, record_id in zip(shown["event"], shown["record_id"], strict=True)
    ]
    cells = shown.assign(record=ids, **{"first seen": shown["first_seen"].map(lambda at: f"{at:%Y-%m-%d %H:%M}")})
    return cells[["record", "division", "code", "detail", "first seen"]].to_dict("records")  # type: ignore[return-value]


def _runbook_link(code: str) -> dg.MetadataValue:
    page = runbook_page(code)
    return dg.MetadataValue.url(page) if "://" in page else dg.MetadataValue.path(page)
