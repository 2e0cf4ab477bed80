"""The state of each order and of each of its lines, derived from evidence; the header's status is only a claim.

Evidence is quantities by movement type and shipment and return documents that are not void. Where it disagrees
with the claim it wins, and the disagreement is reported. An order without any evidence rests on its claim.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from bc_ometria.mapping.assemble import REC_TYPES, Orders, first_rows, sums
from bc_ometria.mapping.lookup import look_up
from bc_ometria.mapping.money import totals_apart, what_is_left
from bc_ometria.mapping.papers import Papers, parcels_of, refunded_pieces, refunds_of
from bc_ometria.rules.lifecycle import CLAIMS, STATES, Reason, Reasons

PENNIES_A_LINE = 2
"""Minor units a line by which a refund may miss what was paid and still be full: discount and tax are each rounded
once on the whole line (ours)."""

_NAMES = np.array([*STATES, "unmapped", "cancelled"], dtype=object)
_CODE = {name: code for code, name in enumerate(_NAMES)}

_STAGES_OF_CLAIM = {
    "allocated": ("RS",),
    "picking": ("PK",),
    "back_ordered": ("OP",),
    "dispatched": ("IN",),
    "part_refunded": ("IN",),
    "refunded": ("IN", "RT"),
    "exchanged": ("IN",),
    "cancelled_by_customer": ("CC",),
    "cancelled_by_house": ("CH",),
}
"""Where all pieces of an order are taken to be that has no evidence but this claim; open for every other."""

_PIECES = ("ordered", "open", "reserved", "picked", "dispatched", "by_customer", "by_house", "back_ordered", "returned")

Pieces = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Lifecycle:
    """What became of each order and line; money in minor units.

    ``lines``, in the rows of ``Orders.lines``:

    - ``state``: one of ``rules.lifecycle.STATES``, or ``unmapped``
    - pieces: ``ordered`` = ``open`` + ``reserved`` + ``picked`` + ``dispatched`` + ``by_customer`` + ``by_house`` (the
      last two cancelled); ``back_ordered`` are some of the open ones, ``returned`` some of the dispatched ones
    - ``quantity``, ``subtotal``, ``discount``, ``tax``, ``total``: without what was cancelled, as in
      ``money.what_is_left``; ``total`` also has the pennies by which a header that adds up within a penny a line
      differs from its lines, so the totals and the shipping add up to the order
    - ``refunded``: from return documents that are not void

    ``orders``, in the rows of ``Orders.headers``: ``state``, the pieces, and

    - ``subtotal``, ``discount``, ``shipping``, ``tax``, ``total``
    - ``refunded``: of the return documents as wholes; freight that was refunded counts here and on no line
    - ``claim``, as given, and ``evidence``: whether there is any; where there is none the state is the claim
    - ``claim_against_evidence``; ``evidence_apart``: stages and documents, or stages and ordered pieces, disagree
    - ``detail``: what disagrees, in states, line numbers and quantities: nothing personal; blank where nothing does
    - ``unmapped_hold``, ``unmapped_cancel``, ``unmapped_return``: a code that bears on the order and that no rule
      knows, or blank
    """

    orders: pd.DataFrame
    lines: pd.DataFrame
    parcels: Papers
    refunds: Papers


def lifecycle(orders: Orders, claims: Sequence[str] | np.ndarray, reasons: Reasons) -> Lifecycle:
    """Derive the state of every order and line.

    ``part_cancelled`` is a part cancelled while the rest is untouched or has all left; in between, the progress of the
    rest shows. ``on_hold`` is known from the header alone, and only while pieces are still to leave. The lines of an
    ``unmapped`` order that has evidence are what it says (ours).

    ``claims`` has one of ``CLAIMS`` per order, from a map of the tenant's ``ord_status`` codes, or blank where no rule
    knows the code: such an order is ``unmapped``. Raises ``ValueError`` for another claim.

    Ours, on the facts of contracts/blue_cherry.md:

    - *dispatched* is the larger of ``IN`` and what live shipments hold, *returned* of ``RT`` and live returns; pieces
      of a voided document do not count, even while ``IN`` or ``RT`` still has them
    - no line has more pieces than were ordered: dispatched ones come first, then cancelled, picked and reserved ones;
      the rest is open, whether ``OP`` says so or nothing does
    - Blue Cherry has no movement type for back-orders: ``OP`` pieces are *back-ordered* when the header claims it, or
      when a part of their order has left without them and it is not on hold
    - a cancelled order is cancelled by whoever cancelled more of its pieces, in a tie by the customer. Without
      evidence the cancel code says by whom, and where it does not, by the house
    - *refunded* is decided by money where there are return documents, so that all pieces back for half their worth is
      ``part_refunded``, and by pieces where there are none; *exchanged* means that all live returns are exchanges

    A claim agrees with this evidence, and with no other:

    - ``placed``: something open, nothing reserved, picked or dispatched
    - ``on_hold``: something still to leave
    - ``allocated``: something reserved, nothing picked or dispatched
    - ``picking``: something picked, nothing dispatched
    - ``back_ordered``: something back-ordered
    - ``part_dispatched``: something dispatched, something still to leave
    - ``dispatched``: something dispatched, nothing to leave, not all of it came back
    - ``part_cancelled``: some pieces cancelled, not all
    - ``cancelled``: all pieces cancelled; ``cancelled_by_…`` the same, mostly by the one named
    - ``part_refunded``: something came back or was refunded, but not all
    - ``refunded``: nothing to leave, and all that was dispatched came back or was refunded
    - ``exchanged``: a live return is an exchange
    """
    headers, lines = orders.headers, orders.lines
    position, first = lines["order"].to_numpy(), first_rows(lines, len(orders))

    def per_order(of_lines: np.ndarray) -> np.ndarray:
        return sums(of_lines, first)

    parcels, refunds = parcels_of(orders), refunds_of(orders)
    claim = _codes(claims, len(orders))
    of_claim = _who_cancelled(claim, headers, reasons)
    stages = {name: lines[name].to_numpy() for name in REC_TYPES}
    evidence = per_order(sum(stages.values())) > 0  # type: ignore[arg-type]
    evidence |= parcels.any_live(len(orders)) | refunds.any_live(len(orders))
    evidence &= per_order(lines["quantity"].to_numpy()) > 0
    known = stages if evidence.all() else _staged_as_claimed(stages, lines, of_claim[position], evidence[position])
    pieces = _pieces(orders, known, parcels, refunds)
    of_orders = {name: per_order(amount) for name, amount in pieces.items()}
    short = (of_claim == _CODE["back_ordered"]) | ((of_orders["dispatched"] > 0) & (of_claim != _CODE["on_hold"]))
    pieces["back_ordered"] = np.where(short[position], np.minimum(known["OP"], pieces["open"]), 0)
    of_orders["back_ordered"] = per_order(pieces["back_ordered"])

    line_money, order_money = _money(orders, pieces, per_order)
    line_returns, order_returns = _returns(orders, refunds, reasons)
    held = of_claim == _CODE["on_hold"]
    line_state = _states(pieces, held[position], line_money["total"], np.ones(len(lines)), line_returns)
    goods = order_money["total"] - order_money["shipping"]
    order_state = _states(of_orders, held, goods, np.diff(first), order_returns)
    against = evidence & (claim != _CODE["unmapped"])
    against &= ~_agrees(claim, of_orders, _settled(of_orders, goods, np.diff(first), order_returns), order_returns)
    apart = _apart(orders, stages, parcels, refunds)
    state = np.where(claim == _CODE["unmapped"], claim, np.where(evidence, order_state, of_claim))
    rests_on_evidence = evidence[position] & (pieces["ordered"] > 0)
    of_orders_frame = pd.DataFrame(
        {
            "state": _NAMES[state],
            **of_orders,
            **order_money,
            "refunded": order_returns.money,
            "claim": np.asarray(claims, dtype=object),
            "evidence": evidence,
            "claim_against_evidence": against,
            "evidence_apart": evidence & (per_order(apart) > 0),
            **_unmapped_codes(orders, refunds, reasons, state, of_orders),
        }
    )
    of_orders_frame["detail"] = _details(orders, of_orders_frame, _NAMES[order_state], apart, stages)
    of_lines_frame = pd.DataFrame(
        {
            "state": _NAMES[np.where(rests_on_evidence, line_state, state[position])],
            **pieces,
            **line_money,
            "refunded": line_returns.money,
        }
    )
    return Lifecycle(of_orders_frame, of_lines_frame, parcels, refunds)


@dataclass(frozen=True)
class _Returns:
    """Of each order or line: money refunded, whether there are live return documents, and what they exchange."""

    money: np.ndarray
    known: np.ndarray
    some_exchanged: np.ndarray
    all_exchanged: np.ndarray


def _codes(claims: Sequence[str] | np.ndarray, orders: int) -> np.ndarray:
    values = np.asarray(claims, dtype=object)
    if len(values) != orders:
        raise ValueError(f"{len(values)} claims for {orders} orders")
    codes = pd.Index([*STATES, "", "cancelled"], dtype=object).get_indexer(pd.Index(values, dtype=object))
    if (codes < 0).any():
        raise ValueError(f"a claim is blank or one of {', '.join(CLAIMS)}, not {values[codes < 0][0]!r}")
    return codes


def _who_cancelled(claim: np.ndarray, headers: pd.DataFrame, reasons: Reasons) -> np.ndarray:
    """The claims with ``cancelled`` made into one by customer or house, as the cancel code says."""
    unsaid = claim == _CODE["cancelled"]
    if not unsaid.any():
        return claim
    by = look_up(headers["cancel_code"], {code: reason.by for code, reason in reasons.cancel.items()})
    names = np.where(by == "customer", _CODE["cancelled_by_customer"], _CODE["cancelled_by_house"])
    return np.where(unsaid, names, claim)


def _staged_as_claimed(
    stages: Pieces, lines: pd.DataFrame, of_claim: np.ndarray, evidence: np.ndarray
) -> dict[str, np.ndarray]:
    """The stages of orders without evidence as their claim says."""
    filled = dict(stages)
    for claim, names in _STAGES_OF_CLAIM.items():
        claimed = ~evidence & (of_claim == _CODE[claim])
        for name in names if claimed.any() else ():
            filled[name] = np.where(claimed, lines["quantity"].to_numpy(), filled[name])
    return filled


def _pieces(orders: Orders, stages: Pieces, parcels: Papers, refunds: Papers) -> dict[str, np.ndarray]:
    """What became of the pieces of each line; each kind takes what the surer ones before it leave of the line."""
    count = len(orders.lines)
    shipped, not_shipped = (parcels.pieces_of_lines(orders.shipments, count, live=live) for live in (True, False))
    came, not_come = (refunds.pieces_of_lines(orders.returns, count, live=live) for live in (True, False))
    ordered = left = orders.lines["quantity"].to_numpy()
    pieces = {"ordered": ordered, "open": ordered}
    for name, wanted in (
        ("dispatched", np.maximum(stages["IN"] - not_shipped, shipped)),
        ("by_customer", stages["CC"]),
        ("by_house", stages["CH"]),
        ("picked", stages["PK"]),
        ("reserved", stages["RS"]),
    ):
        pieces[name] = np.clip(wanted, 0, left)
        left = left - pieces[name]
    pieces["open"] = left
    pieces["back_ordered"] = np.zeros(count, dtype=np.int64)
    pieces["returned"] = np.clip(np.maximum(stages["RT"] - not_come, came), 0, pieces["dispatched"])
    return {name: pieces[name] for name in _PIECES}


def _money(
    orders: Orders, pieces: Pieces, per_order: Callable[[np.ndarray], np.ndarray]
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """The money of lines and of orders without what was cancelled, the pennies between them shared out by line."""
    cancelled = orders.lines.assign(CC=pieces["by_customer"], CH=pieces["by_house"])
    left, whole = what_is_left(replace(orders, lines=cancelled))
    position = orders.lines["order"].to_numpy()
    counts = (left.quantity > 0).astype(np.int64)
    of_order = per_order(counts)[position]
    upto = np.cumsum(counts)
    upto -= np.r_[0, np.cumsum(per_order(counts))][position]
    pennies = np.where(totals_apart(orders) == 0, whole.total - whole.shipping - per_order(left.total), 0)[position]
    divisor = np.maximum(of_order, 1)
    share = np.where(counts > 0, pennies * upto // divisor - pennies * (upto - 1) // divisor, 0)
    lines = {"quantity": left.quantity, "subtotal": left.subtotal, "discount": left.discount, "tax": left.tax}
    amounts = ("subtotal", "discount", "shipping", "tax", "total")
    return lines | {"total": left.total + share}, {name: getattr(whole, name) for name in amounts}


def _returns(orders: Orders, refunds: Papers, reasons: Reasons) -> tuple[_Returns, _Returns]:
    """The live returns of each line and of each order."""
    papers, count = refunds.frame, len(orders.lines)
    live = papers["live"].to_numpy()
    exchanges = {code: reason.exchange for code, reason in reasons.returned.items()}
    codes = orders.returns["reason_code"].iloc[papers["row"].to_numpy()]
    exchange = look_up(codes, exchanges, False).astype(bool)
    whole = np.zeros(len(orders), dtype=np.int64)
    total = orders.returns["refund_total"].to_numpy()[papers["row"].to_numpy()]
    np.add.at(whole, papers["order"].to_numpy()[live], total[live])
    of_line = np.zeros(count, dtype=np.int64)
    placed = refunds.line_of >= 0
    np.add.at(of_line, refunds.line_of[placed], refunded_pieces(orders.returns, refunds)[placed])

    def returns(money: np.ndarray, owner: np.ndarray, live: np.ndarray, exchange: np.ndarray) -> _Returns:
        known = np.bincount(owner[live], minlength=len(money))
        exchanged = np.bincount(owner[live & exchange], minlength=len(money))
        return _Returns(money, known > 0, exchanged > 0, (exchanged > 0) & (exchanged == known))

    rows = refunds.paper_of[placed]
    return (
        returns(of_line, refunds.line_of[placed], live[rows], exchange[rows]),
        returns(whole, papers["order"].to_numpy(), live, exchange),
    )


def _settled(pieces: Pieces, due: np.ndarray, lines: np.ndarray, returns: _Returns) -> np.ndarray:
    """Whether all that was paid has been given back."""
    tolerance = PENNIES_A_LINE * lines
    all_back = (pieces["dispatched"] > 0) & (pieces["returned"] >= pieces["dispatched"])
    paid_back = (returns.money + tolerance >= due) & ((due > tolerance) | all_back)
    return np.where(returns.known, paid_back, all_back)


def _states(pieces: Pieces, held: np.ndarray, due: np.ndarray, lines: np.ndarray, returns: _Returns) -> np.ndarray:
    """The state that the pieces show, as a code; ``due`` is what was paid for the goods, of ``lines`` lines."""
    dispatched, cancelled = pieces["dispatched"], pieces["by_customer"] + pieces["by_house"]
    waiting = _waiting(pieces) > 0
    came_back = (pieces["returned"] > 0) | (returns.money > 0)
    chosen = [
        ((cancelled > 0) & (cancelled >= pieces["ordered"]) & (pieces["by_customer"] >= pieces["by_house"]),
         "cancelled_by_customer"),
        ((cancelled > 0) & (cancelled >= pieces["ordered"]), "cancelled_by_house"),
        (waiting & held, "on_hold"),
        (waiting & (dispatched > 0), "part_dispatched"),
        (waiting & (pieces["back_ordered"] > 0), "back_ordered"),
        (waiting & (pieces["picked"] > 0), "picking"),
        (waiting & (pieces["reserved"] > 0), "allocated"),
        (came_back & returns.all_exchanged, "exchanged"),
        (came_back & _settled(pieces, due, lines, returns), "refunded"),
        (came_back, "part_refunded"),
        (cancelled > 0, "part_cancelled"),
        (dispatched > 0, "dispatched"),
    ]  # fmt: skip
    return np.select([shows for shows, _ in chosen], [_CODE[name] for _, name in chosen], _CODE["placed"])


def _waiting(pieces: Pieces) -> np.ndarray:
    return pieces["open"] + pieces["reserved"] + pieces["picked"]


def _agrees(claim: np.ndarray, pieces: Pieces, settled: np.ndarray, returns: _Returns) -> np.ndarray:
    """Whether the evidence is one that each order's claim allows."""
    waiting, dispatched = _waiting(pieces) > 0, pieces["dispatched"] > 0
    reserved, picked = pieces["reserved"] > 0, pieces["picked"] > 0
    cancelled = pieces["by_customer"] + pieces["by_house"]
    all_cancelled = cancelled >= pieces["ordered"]
    mostly_customer = pieces["by_customer"] >= pieces["by_house"]
    all_back = pieces["returned"] >= pieces["dispatched"]
    came_back = (pieces["returned"] > 0) | (returns.money > 0)
    allowed = {
        "placed": (pieces["open"] > 0) & ~reserved & ~picked & ~dispatched,
        "on_hold": waiting,
        "allocated": reserved & ~picked & ~dispatched,
        "picking": picked & ~dispatched,
        "back_ordered": pieces["back_ordered"] > 0,
        "part_dispatched": dispatched & waiting,
        "dispatched": dispatched & ~waiting & ~all_back,
        "part_cancelled": (cancelled > 0) & ~all_cancelled,
        "cancelled_by_customer": all_cancelled & mostly_customer,
        "cancelled_by_house": all_cancelled & ~mostly_customer,
        "cancelled": all_cancelled,
        "part_refunded": came_back & ~settled,
        "refunded": dispatched & ~waiting & (all_back | settled),
        "exchanged": returns.some_exchanged,
    }
    return np.select([claim == _CODE[name] for name in allowed], list(allowed.values()), True)


def _apart(orders: Orders, stages: Pieces, parcels: Papers, refunds: Papers) -> np.ndarray:
    """Lines whose stages are not what was ordered, or whose documents are not what the stages say.

    Goods sold over a counter leave without a shipment, so a line without documents is not measured by them.
    """
    count = len(orders.lines)
    on_the_way = sum(stages[name] for name in REC_TYPES if name != "RT")
    apart = (on_the_way > 0) & (on_the_way != orders.lines["quantity"].to_numpy())
    for papers, part, stage in ((parcels, orders.shipments, "IN"), (refunds, orders.returns, "RT")):
        named = np.bincount(papers.line_of[papers.line_of >= 0], minlength=count) > 0
        apart |= named & (papers.pieces_of_lines(part, count, live=True) != stages[stage])
    return np.asarray(apart)


def _unmapped_codes(
    orders: Orders, refunds: Papers, reasons: Reasons, state: np.ndarray, pieces: Pieces
) -> dict[str, np.ndarray]:
    """Codes that no rule knows, where they bear on the order; of several returns that of the newest."""
    headers, papers = orders.headers, refunds.frame

    def unmapped(codes: np.ndarray, rules: Mapping[str, Reason]) -> np.ndarray:
        return np.where(np.isin(codes, ["", *rules]), "", codes)

    hold = unmapped(headers["hold_code"].to_numpy(dtype=object), reasons.hold)
    cancel = unmapped(headers["cancel_code"].to_numpy(dtype=object), reasons.cancel)
    of_return = orders.returns["reason_code"].to_numpy(dtype=object)[papers["row"].to_numpy()]
    of_return = unmapped(of_return, reasons.returned)
    bears = papers["live"].to_numpy() & (of_return != "")
    returned = np.full(len(orders), "", dtype=object)
    returned[papers["order"].to_numpy()[bears]] = of_return[bears]
    cancelled = pieces["by_customer"] + pieces["by_house"] > 0
    return {
        "unmapped_hold": np.where(state == _CODE["on_hold"], hold, ""),
        "unmapped_cancel": np.where(cancelled, cancel, ""),
        "unmapped_return": returned,
    }


def _details(orders: Orders, decided: pd.DataFrame, shown: np.ndarray, apart: np.ndarray, stages: Pieces) -> np.ndarray:
    """What disagrees, per order; only codes, line numbers and quantities."""
    details = np.full(len(decided), "", dtype=object)
    statuses = orders.headers["ord_status"].to_numpy(dtype=object)
    pieces = {name: decided[name].to_numpy() for name in _PIECES}
    for at in np.flatnonzero(decided["claim_against_evidence"].to_numpy()).tolist():
        counts = ", ".join(f"{name} {pieces[name][at]}" for name in _PIECES if pieces[name][at])
        details[at] = f"ord_status {statuses[at]} claims {decided['claim'].iat[at]}, evidence {shown[at]}: {counts}"
    position, number, ordered = (orders.lines[name].to_numpy() for name in ("order", "line_num", "quantity"))
    for row in np.flatnonzero(apart & decided["evidence_apart"].to_numpy()[position]).tolist():
        counts = ", ".join(f"{name} {stages[name][row]}" for name in REC_TYPES if stages[name][row]) or "no stage"
        at = position[row]
        if len(details[at]) < 200:
            details[at] += f"{'; ' if details[at] else ''}line {number[row]}, ordered {ordered[row]}: {counts}"
    return details
