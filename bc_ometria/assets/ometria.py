"""``ometria/…``: the records that should be in Ometria, in the outbox; what may not go is held with a reason."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import dagster as dg
import numpy as np
import pandas as pd
from sqlalchemy import Engine

from bc_ometria.assets.overlap import write_behind
from bc_ometria.automation.partitions import change_day
from bc_ometria.blue_cherry.profile import TenantProfile
from bc_ometria.checks.contracts import contact_findings, field_findings, holds, order_findings
from bc_ometria.mapping import contacts, orders
from bc_ometria.mapping.addresses import in_steps
from bc_ometria.mapping.assemble import Orders
from bc_ometria.mapping.documents import from_documents
from bc_ometria.mapping.events import events
from bc_ometria.mapping.lifecycle import lifecycle
from bc_ometria.mapping.lookup import instants
from bc_ometria.mapping.merges import MERGED, resolve
from bc_ometria.mapping.reentered import same_orders
from bc_ometria.ometria.fields import EMAIL_RULE, is_email
from bc_ometria.ometria.payloads import violations
from bc_ometria.resources import Scope, Store, Tenant, day_of
from bc_ometria.rules import Rules
from bc_ometria.store import exceptions, merges, mirror, order_events, outbox, sales, touched, unsubscribes, vanished
from bc_ometria.store.database import one_at_a_time

_BATCH = 5_000  # records mapped at once
_DELETED = "deleted in Blue Cherry"
_MAPPING_ORDERS, _MAPPING_CONTACTS = "mapping orders", "mapping contacts"


@dataclass(frozen=True)
class Queued:
    """How many orders, and how many events of theirs, came to which state of the outbox."""

    orders: Counter = field(default_factory=Counter)
    events: Counter = field(default_factory=Counter)

    def __add__(self, other: "Queued") -> "Queued":
        return Queued(self.orders + other.orders, self.events + other.events)


def queue_unmapped_orders(engine: Engine, rules: Rules, profile: TenantProfile) -> Queued:
    """Map every order whose newest version the outbox does not know."""

    def batches() -> Iterator[_Mapped]:
        last = ""
        while numbers := sales.unmapped(engine, _BATCH, after=last):
            yield _map_orders(engine, rules, profile, numbers)
            last = numbers[-1]

    with one_at_a_time(engine, _MAPPING_ORDERS):
        return sum(write_behind(batches(), lambda mapped: _put_orders(engine, rules, mapped)), Queued())


def queue_orders(engine: Engine, rules: Rules, profile: TenantProfile, order_numbers: Sequence[str]) -> Queued:
    """Map the named orders and put each into the outbox: wanted, held with a reason, or excluded; and the events of
    what happened to it since it was last mapped."""
    with one_at_a_time(engine, _MAPPING_ORDERS):
        return _put_orders(engine, rules, _map_orders(engine, rules, profile, order_numbers))


@dataclass(frozen=True)
class _Mapped:
    """Orders as the outbox takes them, what is wrong with them, and the documents they were mapped from; their events
    as ``order_events.put`` takes them, and what is wrong with those."""

    decided: pd.DataFrame
    findings: pd.DataFrame
    documents: pd.DataFrame
    told: pd.DataFrame
    withdrawn: pd.DataFrame
    event_findings: pd.DataFrame


def _map_orders(engine: Engine, rules: Rules, profile: TenantProfile, order_numbers: Sequence[str]) -> _Mapped:
    documents = sales.documents(engine, order_numbers)
    assembled = from_documents(documents["document"].tolist())
    of_merges = resolve(merges.related(engine, assembled.headers["customer"]))
    assembled = orders.of_survivors(assembled, of_merges.survivors)
    held_rows = mirror.held_rows_of(engine, mirror.ORDER_RESOURCES, order_numbers)
    erased = mirror.erased_customers(engine, assembled.headers["customer"]) | of_merges.erased
    life = lifecycle(assembled, orders.claims_of(assembled, rules), rules.reasons)
    gone = vanished.noticed(engine, order_numbers)
    decisions = orders.decide(assembled, life, rules, erased_customers=erased, vanished=gone.index)
    is_gone = decisions["ord_num"].isin(gone.index)
    if len(gone):
        never_sent = decisions["ord_num"].isin(vanished.unknown_to_ometria(engine, gone.index))
        decisions["excluded"] = decisions["excluded"].mask(never_sent & (decisions["excluded"] == ""), _DELETED)
    # What the last version of a vanished order says does not matter any more: it only has to leave the revenue.
    findings = order_findings(decisions[~is_gone], held_rows, rules)
    goes = (decisions["excluded"] == "") & ~decisions["ord_num"].isin(holds(findings, rules).index)
    mapped = orders.payloads(assembled, life, decisions, goes.to_numpy(), rules, profile.time_zone)
    stake = decisions.set_index("ord_num")
    reduced = [(number, "lineitems", "") for number in mapped.loc[mapped["reduced"], "record_id"]]
    findings = pd.concat(
        [
            findings,
            field_findings(reduced, stake, "reduced_lines"),
            field_findings(_vanished(engine, assembled, decisions[is_gone]), stake, "order_vanished"),
            _violations("order", mapped, stake),
            field_findings(_bad_addresses(decisions[goes.to_numpy()]), stake),
        ]
    )
    mapped["standing"] = np.where(decisions["is_valid"].to_numpy()[goes.to_numpy()], "valid", "invalid")
    decided = _decided(decisions["ord_num"], decisions["excluded"], mapped, findings, rules)
    changed_at = instants(documents["changed_at"], profile.time_zone)
    decided["changed_at"] = gone.reindex(decisions["ord_num"]).reset_index(drop=True).fillna(changed_at).array
    happened = events(
        assembled,
        life,
        order_events.memory(engine, order_numbers),
        changed_at=documents["changed_at"],
        stores=decisions["store"].to_numpy(dtype=object),
        excluded=((decisions["excluded"] != "") | is_gone).to_numpy(),  # that it vanished is no fact of Blue Cherry's
        rules=rules,
        time_zone=profile.time_zone,
    )
    happened.withdrawn.loc[happened.withdrawn["order"].isin(gone.index), "reason"] = _DELETED
    told = happened.told.rename(columns={"order": "ord_num"})
    event_findings = _violations("custom_event", told, stake.loc[told["ord_num"]].set_axis(told["record_id"]))
    return _Mapped(
        decided, findings, documents, _told(told, decided, event_findings, rules), happened.withdrawn, event_findings
    )


def _bad_addresses(decisions: pd.DataFrame) -> list[tuple[str, str, str]]:
    """The addresses of orders that are none: held, although a customer's order is sent without its address (P1)."""
    given = decisions[decisions["email"] != ""]
    return [
        (number, "email", EMAIL_RULE)
        for number, email, identity in zip(given["ord_num"], given["email"], given["identity"], strict=True)
        if identity != email and not is_email(email)
    ]


def _vanished(engine: Engine, assembled: Orders, decisions: pd.DataFrame) -> list[tuple[str, str, str]]:
    """What is to be reported of orders that vanished: number, no field, and the order that seems to take its place."""
    numbers = sorted(vanished.lately(engine, decisions.loc[decisions["excluded"] == "", "ord_num"]))
    if not numbers:
        return []
    others = vanished.perhaps_entered_again(engine, numbers)
    documents = others.drop_duplicates("other")["document"].tolist()
    same = same_orders(assembled, from_documents(documents))
    near = others.groupby("ord_num")["other"].agg(set).to_dict()
    pairs = {number: [other for other in same.get(number, []) if other in near.get(number, ())] for number in numbers}
    return [
        (number, "", f"entered again as {', '.join(pair)}, it seems" if pair else "") for number, pair in pairs.items()
    ]


def _told(told: pd.DataFrame, decided: pd.DataFrame, findings: pd.DataFrame, rules: Rules) -> pd.DataFrame:
    """Events as ``order_events.put`` takes them: one that a code or a rule of Ometria's keeps back is held."""
    invalid = holds(findings, rules).reindex(told["record_id"]).fillna("").to_numpy()
    reason = np.where(told["held"].to_numpy() != "", told["held"].to_numpy(), invalid)
    goes = reason == ""
    return told.drop(columns="held").assign(
        happened_at=told["timestamp"].dt.tz_localize("UTC"),
        payload=told["payload"].where(goes, None),
        version=told["version"].where(goes, None),
        state=np.where(goes, "wanted", "held"),
        reason=reason,
        changed_at=decided.set_index("record_id")["changed_at"].reindex(told["ord_num"]).array,
    )


def _put_orders(engine: Engine, rules: Rules, mapped: _Mapped) -> Queued:
    numbers = mapped.decided["record_id"].tolist()
    with engine.begin() as connection:
        # All records before the first exception, as delivery locks them: or the two would wait for each other.
        states = outbox.put(connection, "order", mapped.decided, history_after_h=rules.account.history_after_h)
        events_states = order_events.put(connection, numbers, mapped.told, mapped.withdrawn, rules.account.cliff_min)
        exceptions.record(connection, "order", numbers, mapped.findings)
        exceptions.record(connection, "custom_event", mapped.told["record_id"].tolist(), mapped.event_findings)
        sales.mark_mapped(connection, mapped.documents)
    return Queued(Counter(states), Counter(events_states))


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

    An address whose customer Blue Cherry has not served yet waits in the mirror for it. One who opts in waits until
    Ometria's unsubscribes have been read after the change was seen (``assets.unsubscribes``; truth 5). One who opts out
    of the other channel goes without that opt-in first, and is mapped again then.
    """
    with one_at_a_time(engine, _MAPPING_CONTACTS):
        return _queue_contacts(engine, rules, profile, customers)


def _queue_contacts(engine: Engine, rules: Rules, profile: TenantProfile, customers: Sequence[str]) -> Counter:
    seen = touched.of(engine, "customer", customers)  # whatever comes after this has them mapped again
    # What is said of one customer bears on all whom merges connect with them: a survivor has everybody's opt-outs, and
    # where a merge ends may be another one's change.
    connected = merges.related(engine, customers)
    of_merges = resolve(connected)
    customers = sorted({*customers, *connected["customer"]})
    unchecked = unsubscribes.unchecked(engine, customers)
    opting_out = unchecked & unsubscribes.opting_out(engine, unchecked)
    customers = [customer for customer in customers if customer not in unchecked - opting_out]
    absorbed = sorted(of_merges.absorbed_by(customers))
    parts, held_rows = mirror.read_customers(engine, {*customers, *absorbed})
    held_rows = held_rows[held_rows["reference"].isin(customers)]
    rows = _one_row_each(parts["customers"])
    known = rows[rows["customer"].isin(customers)].reset_index(drop=True)
    opt_outs = unsubscribes.of_customers(engine, [*customers, *absorbed])
    decided_of = contacts.decide(
        known,
        parts["addresses"],
        opt_outs,
        rules,
        profile.time_zone,
        merges=of_merges,
        absorbed=rows[rows["customer"].isin(absorbed)],
        unchecked=opting_out,
    )
    decisions = _with_unread(decided_of, held_rows)
    findings = contact_findings(decisions, held_rows, rules)
    goes = (decisions["excluded"] == "") & ~decisions["customer"].isin(holds(findings, rules).index)
    read = slice(0, len(known))
    mapped = contacts.payloads(known, decisions[read], goes.to_numpy()[read], rules, profile.time_zone)
    stake = decisions.assign(value=0, currency="").set_index("customer")
    findings = pd.concat([findings, _violations("contact", mapped, stake)])
    decided = _decided(decisions["customer"], decisions["excluded"], mapped, findings, rules)
    decided["changed_at"] = instants(decisions["changed_at"], profile.time_zone).array
    decided["address"] = mapped.set_index("record_id")["address"].reindex(decided["record_id"]).fillna("").to_numpy()
    with engine.begin() as connection:
        # This locks all of these records in the order in which delivery does, before anything else is locked.
        decided = in_steps(decided, outbox.known_contacts(connection, decided["record_id"].tolist()))
        changed = merges.note(connection, decided["record_id"].tolist(), of_merges.survivors)
        for channel in unsubscribes.CHANNELS:
            opted_out = decisions["newer_opt_out"].str.contains(channel)
            unsubscribes.overtake(connection, channel, decisions.loc[opted_out, "customer"].tolist())
        states = outbox.put(connection, "contact", decided, history_after_h=rules.account.history_after_h)
        exceptions.record(connection, "contact", decided["record_id"].tolist(), findings)
        exceptions.mend(connection, exceptions.MERGE_FAILED, "contact", changed.taken_back)
        gone = decisions.loc[~decisions["excluded"].isin(["", MERGED]), "customer"]
        if mapped_again := [*gone, *changed.relinked]:
            order_events.forget_waiting(connection, changed.relinked)
            sales.map_again(connection, mapped_again)
        touched.settle(connection, seen.without(unchecked))
    return Counter(states)


def _with_unread(decisions: pd.DataFrame, held_rows: pd.DataFrame) -> pd.DataFrame:
    """Add the customers of whom no well-formed row was ever read, so that they are held and not forgotten."""
    unread = sorted(set(held_rows["reference"]) - set(decisions["customer"]))
    if not unread:
        return decisions
    times = ("changed_at", "consent_at", "sms_at")
    blank: dict[str, object] = {name: "" for name in decisions.columns if name not in ("customer", *times)}
    rows = pd.DataFrame({"customer": unread, **blank, **dict.fromkeys(times, np.datetime64("NaT", "us"))})
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
            "standing": of_record["standing"].astype(object).where(goes, "").to_numpy(),
        }
    )


def _one_row_each(customers: pd.DataFrame) -> pd.DataFrame:
    newest_last = customers.sort_values(["last_mod", "pkey"], kind="stable")
    return newest_last.drop_duplicates("customer", keep="last", ignore_index=True)


def _result(
    context: dg.AssetExecutionContext, counts: Counter, key: Sequence[str] | None = None
) -> dg.MaterializeResult:
    """What an asset reports; a run that held something carries it as a tag, so that the list of runs shows it (P11)."""
    outcome = {f"records_{state}": int(number) for state, number in sorted(counts.items())}
    gaps = "with gaps: something is held" if counts["held"] else "complete"
    if counts["held"]:
        context.instance.add_run_tags(context.run.run_id, {"ended": "with gaps"})
    return dg.MaterializeResult(asset_key=key, metadata={"records_changed": counts.total(), "ended": gaps, **outcome})


@dg.asset(
    key=["ometria", "contacts"],
    deps=[
        ["blue_cherry", "customers"],
        ["blue_cherry", "addresses"],
        ["blue_cherry", "refreshed"],
        ["ometria", "unsubscribes"],
    ],
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
        with engine.begin() as connection:
            exceptions.set_codes(connection, rules.exceptions)
        return _result(context, queue_touched_contacts(engine, rules, profile))
    customers = mirror.changed_between(engine, mirror.CUSTOMER_RESOURCES, *day_of(context.partition_key))
    counts: Counter = Counter()
    for at in range(0, len(customers), _BATCH):
        counts += queue_contacts(engine, rules, profile, customers[at : at + _BATCH])
    return _result(context, counts)


@dg.multi_asset(
    name="ometria_orders",
    specs=[
        dg.AssetSpec(
            ["ometria", "orders"],
            deps=[["sales", "orders"], ["ometria", "contacts"]],
            owners=["team:ecommerce"],
            kinds={"postgres", "pandas"},
            description="Ometria orders as they should be, whole or not at all; held ones say why.",
        ),
        dg.AssetSpec(
            ["ometria", "order_events"],
            deps=[["sales", "orders"]],
            owners=["team:marketing"],
            kinds={"postgres", "pandas"},
            description="Custom events of what happened to orders, each once; they are written with their order.",
        ),
    ],
    group_name="ometria",
    partitions_def=change_day,
)
def ometria_orders(
    context: dg.AssetExecutionContext, store: Store, tenant: Tenant, scope: Scope
) -> Iterator[dg.MaterializeResult]:
    engine, rules, profile = store.engine, tenant.rules, tenant.profile
    if scope.only_new:
        queued = queue_unmapped_orders(engine, rules, profile)
    else:
        numbers = mirror.changed_between(engine, mirror.ORDER_RESOURCES, *day_of(context.partition_key))
        queued = Queued()
        for at in range(0, len(numbers), _BATCH):
            queued += queue_orders(engine, rules, profile, numbers[at : at + _BATCH])
    yield _result(context, queued.orders, ["ometria", "orders"])
    yield _result(context, queued.events, ["ometria", "order_events"])
