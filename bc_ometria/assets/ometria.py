"""``ometria/…``: the records that should be in Ometria, in the outbox; what may not go is held with a reason."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import dagster as dg
import numpy as np
import pandas as pd
from sqlalchemy import Engine

from bc_ometria.assets.overlap import write_behind
from bc_ometria.automation.partitions import change_day
from bc_ometria.blue_cherry.profile import TenantProfile
from bc_ometria.checks.contracts import contact_findings, field_findings, holds, order_findings
from bc_ometria.mapping import contacts, orders
from bc_ometria.mapping.documents import from_documents
from bc_ometria.mapping.lookup import instants
from bc_ometria.ometria.payloads import violations
from bc_ometria.resources import Scope, Store, Tenant, day_of
from bc_ometria.rules import Rules
from bc_ometria.store import exceptions, mirror, outbox, sales, touched
from bc_ometria.store.database import one_at_a_time

_BATCH = 5_000  # records mapped at once
_MAPPING_ORDERS, _MAPPING_CONTACTS = "mapping orders", "mapping contacts"


def queue_unmapped_orders(engine: Engine, rules: Rules, profile: TenantProfile) -> Counter:
    """Map every order whose newest version the outbox does not know; counts by the state they came to."""

    def batches() -> Iterator[_Mapped]:
        last = ""
        while numbers := sales.unmapped(engine, _BATCH, after=last):
            yield _map_orders(engine, rules, profile, numbers)
            last = numbers[-1]

    with one_at_a_time(engine, _MAPPING_ORDERS):
        return sum(write_behind(batches(), lambda mapped: _put_orders(engine, mapped)), Counter())


def queue_orders(engine: Engine, rules: Rules, profile: TenantProfile, order_numbers: Sequence[str]) -> Counter:
    """Map the named orders and put each into the outbox: wanted, held with a reason, or excluded."""
    with one_at_a_time(engine, _MAPPING_ORDERS):
        return _put_orders(engine, _map_orders(engine, rules, profile, order_numbers))


@dataclass(frozen=True)
class _Mapped:
    """Orders as the outbox takes them, what is wrong with them, and the documents they were mapped from."""

    decided: pd.DataFrame
    findings: pd.DataFrame
    documents: pd.DataFrame


def _map_orders(engine: Engine, rules: Rules, profile: TenantProfile, order_numbers: Sequence[str]) -> _Mapped:
    documents = sales.documents(engine, order_numbers)
    assembled = from_documents(documents["document"].tolist())
    held_rows = mirror.held_rows_of(engine, mirror.ORDER_RESOURCES, order_numbers)
    erased = mirror.erased_customers(engine, assembled.headers["customer"])
    decisions = orders.decide(assembled, rules, erased_customers=erased)
    findings = order_findings(decisions, held_rows, rules)
    goes = (decisions["excluded"] == "") & ~decisions["ord_num"].isin(holds(findings, rules).index)
    mapped = orders.payloads(assembled, decisions, goes.to_numpy(), rules, profile.time_zone)
    stake = decisions.set_index("ord_num")
    reduced = [(number, "lineitems", "") for number in mapped.loc[mapped["reduced"], "record_id"]]
    findings = pd.concat(
        [findings, field_findings(reduced, stake, "reduced_lines"), _violations("order", mapped, stake)]
    )
    decided = _decided(decisions["ord_num"], decisions["excluded"], mapped, findings, rules)
    decided["changed_at"] = instants(documents["changed_at"], profile.time_zone).array
    return _Mapped(decided, findings, documents)


def _put_orders(engine: Engine, mapped: _Mapped) -> Counter:
    with engine.begin() as connection:
        states = outbox.put(connection, "order", mapped.decided)
        exceptions.record(connection, "order", mapped.decided["record_id"].tolist(), mapped.findings)
        sales.mark_mapped(connection, mapped.documents)
    return Counter(states)


def queue_touched_contacts(engine: Engine, rules: Rules, profile: TenantProfile) -> Counter:
    """Map every customer of whom a row changed; counts by the state they came to."""
    counts: Counter = Counter()
    last = ""
    while customers := touched.waiting(engine, "customer", _BATCH, after=last):
        counts += queue_contacts(engine, rules, profile, customers)
        last = customers[-1]
    return counts


def queue_contacts(engine: Engine, rules: Rules, profile: TenantProfile, customers: Sequence[str]) -> Counter:
    """Map the named customers and put each into the outbox: wanted, held with a reason, or excluded.

    An address whose customer Blue Cherry has not served yet waits in the mirror for it.
    """
    with one_at_a_time(engine, _MAPPING_CONTACTS):
        return _queue_contacts(engine, rules, profile, customers)


def _queue_contacts(engine: Engine, rules: Rules, profile: TenantProfile, customers: Sequence[str]) -> Counter:
    done = touched.of(engine, "customer", customers)
    parts, held_rows = mirror.read_customers(engine, customers)
    known = _one_row_each(parts["customers"])
    decisions = _with_unread(contacts.decide(known, parts["addresses"], rules), held_rows)
    findings = contact_findings(decisions, held_rows, rules)
    goes = (decisions["excluded"] == "") & ~decisions["customer"].isin(holds(findings, rules).index)
    read = slice(0, len(known))
    mapped = contacts.payloads(known, decisions[read], goes.to_numpy()[read], rules, profile.time_zone)
    stake = decisions.assign(value=0, currency="").set_index("customer")
    findings = pd.concat([findings, _violations("contact", mapped, stake)])
    decided = _decided(decisions["customer"], decisions["excluded"], mapped, findings, rules)
    decided["changed_at"] = instants(decisions["changed_at"], profile.time_zone).array
    with engine.begin() as connection:
        states = outbox.put(connection, "contact", decided)
        exceptions.record(connection, "contact", decided["record_id"].tolist(), findings)
        gone = decisions.loc[decisions["excluded"] != "", "customer"]
        if len(gone):
            sales.map_again(connection, gone)
        touched.settle(connection, done)
    return Counter(states)


def _with_unread(decisions: pd.DataFrame, held_rows: pd.DataFrame) -> pd.DataFrame:
    """Add the customers of whom no well-formed row was ever read, so that they are held and not forgotten."""
    unread = sorted(set(held_rows["reference"]) - set(decisions["customer"]))
    if not unread:
        return decisions
    blank = {name: "" for name in decisions.columns if name not in ("customer", "changed_at")}
    rows = pd.DataFrame({"customer": unread, **blank, "changed_at": np.datetime64("NaT", "us")})
    return pd.concat([decisions, rows], ignore_index=True)


def _violations(record_type: str, mapped: pd.DataFrame, stake: pd.DataFrame) -> pd.DataFrame:
    """Findings about payloads that are no valid records of Ometria's."""
    faults: list[tuple[str, str, str]] = []
    too_large: list[tuple[str, str, str]] = []
    for record_id, payload in zip(mapped["record_id"].tolist(), mapped["payload"].tolist(), strict=True):
        for fault in violations(record_type, payload):
            of_whole_record = fault.field == "record"
            (too_large if of_whole_record else faults).append((record_id, fault.field, fault.rule))
    return pd.concat(
        [field_findings(faults, stake), field_findings(too_large, stake, "record_too_large")],
        ignore_index=True,
    )


def _decided(
    record_ids: pd.Series, excluded: pd.Series, mapped: pd.DataFrame, findings: pd.DataFrame, rules: Rules
) -> pd.DataFrame:
    """One row per record as ``outbox.put`` takes it."""
    of_record = mapped.set_index("record_id").reindex(record_ids)
    held = holds(findings, rules).reindex(record_ids).fillna("").to_numpy()
    reason = np.where(excluded.to_numpy() != "", excluded.to_numpy(), held)
    state = np.select([excluded.to_numpy() != "", held != ""], ["excluded", "held"], "wanted")
    goes = state == "wanted"
    return pd.DataFrame(
        {
            "record_id": record_ids.to_numpy(),
            "payload": of_record["payload"].astype(object).where(goes, None).to_numpy(),
            "version": of_record["version"].astype(object).where(goes, None).to_numpy(),
            "state": state,
            "reason": reason,
        }
    )


def _one_row_each(customers: pd.DataFrame) -> pd.DataFrame:
    newest_last = customers.sort_values(["last_mod", "pkey"], kind="stable")
    return newest_last.drop_duplicates("customer", keep="last", ignore_index=True)


def _result(counts: Counter) -> dg.MaterializeResult:
    outcome = {f"records_{state}": int(number) for state, number in sorted(counts.items())}
    gaps = "with gaps: something is held" if counts["held"] else "complete"
    return dg.MaterializeResult(metadata={"records_changed": counts.total(), "ended": gaps, **outcome})


@dg.asset(
    key=["ometria", "contacts"],
    deps=[["blue_cherry", "customers"], ["blue_cherry", "addresses"]],
    group_name="ometria",
    partitions_def=change_day,
    kinds={"postgres", "pandas"},
    owners=["team:marketing"],
    description="Ometria contacts as they should be, one per customer; held ones say why.",
)
def ometria_contacts(
    context: dg.AssetExecutionContext, store: Store, tenant: Tenant, scope: Scope
) -> dg.MaterializeResult:
    engine, rules, profile = store.engine, tenant.rules, tenant.profile
    if scope.only_new:
        if sales.apply_rules(engine, rules.version):
            context.log.info("The rules changed: every record is mapped again.")
        return _result(queue_touched_contacts(engine, rules, profile))
    customers = mirror.changed_between(engine, mirror.CUSTOMER_RESOURCES, *day_of(context.partition_key))
    counts: Counter = Counter()
    for at in range(0, len(customers), _BATCH):
        counts += queue_contacts(engine, rules, profile, customers[at : at + _BATCH])
    return _result(counts)


@dg.asset(
    key=["ometria", "orders"],
    deps=[["sales", "orders"], ["ometria", "contacts"]],
    group_name="ometria",
    partitions_def=change_day,
    kinds={"postgres", "pandas"},
    owners=["team:ecommerce"],
    description="Ometria orders as they should be, whole or not at all; held ones say why.",
)
def ometria_orders(
    context: dg.AssetExecutionContext, store: Store, tenant: Tenant, scope: Scope
) -> dg.MaterializeResult:
    engine, rules, profile = store.engine, tenant.rules, tenant.profile
    if scope.only_new:
        return _result(queue_unmapped_orders(engine, rules, profile))
    numbers = mirror.changed_between(engine, mirror.ORDER_RESOURCES, *day_of(context.partition_key))
    counts: Counter = Counter()
    for at in range(0, len(numbers), _BATCH):
        counts += queue_orders(engine, rules, profile, numbers[at : at + _BATCH])
    return _result(counts)
