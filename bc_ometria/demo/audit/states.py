"""What became of an order, counted piece by piece from Blue Cherry's rows."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from bc_ometria.demo.audit.reading import Row, buckets, by

Piece = tuple[Any, str]
"""The ``pkey`` of an order line and one of its size buckets."""

_PENNIES_A_LINE = Decimal("0.02")  # by which a full refund may miss what was paid, for each line and size
_MOVED = ("OP", "RS", "PK", "IN", "CC", "CH", "RT")

# Where all pieces of an order are that has no evidence, by its claim; for any other they are open.
_AS_CLAIMED = {
    "dispatched": ("IN",),
    "part_refunded": ("IN",),
    "refunded": ("IN", "RT"),
    "exchanged": ("IN",),
    "cancelled_by_customer": ("CC",),
    "cancelled_by_house": ("CH",),
}


@dataclass(frozen=True)
class Paper:
    """A shipment or a return: its row, whether it counts, its pieces, and what was refunded: as a whole, and for the
    lines, freight apart."""

    row: Row
    live: bool
    pieces: Counter[Piece]
    refunded: Decimal
    of_lines: Decimal


@dataclass(frozen=True)
class Order:
    """One order: its rows, its pieces as ordered and by movement type, its documents, what its status claims, and
    whether anything proves what became of it."""

    header: Row
    lines: list[Row]
    ordered: Counter[Piece]
    stages: dict[str, Counter[Piece]]
    shipments: list[Paper]
    returns: list[Paper]
    claim: str
    has_evidence: bool

    @property
    def live_returns(self) -> list[Paper]:
        return [paper for paper in self.returns if paper.live]


def order_of(rows: Mapping[str, list[Row]], rules: Mapping[str, Any]) -> Order:
    """An order from its rows of each resource; one that nothing proves anything of is as it claims.

    Raises ``ValueError`` or ``decimal.InvalidOperation`` for malformed rows.
    """
    (header,) = rows["orders"]
    lines = sorted(rows["order-lines"], key=lambda line: (line["line_num"], line["pkey"]))
    ordered, claim = _pieces(lines, "pkey"), _claim(header, rules)
    of_type = by(rows["order-stages"], "rec_type")
    stages = {name: _pieces(of_type.get(name, ()), "fkey") for name in _MOVED}
    shipments = _papers(rows["shipments"], rows["shipment-lines"], lines)
    returns = _papers(rows["returns"], rows["return-lines"], lines)
    moved = any(pieces[piece] for pieces in stages.values() for piece in ordered)
    proved = sum(ordered.values()) > 0 and (moved or any(paper.live for paper in (*shipments, *returns)))
    if not proved:
        stages = {name: Counter(ordered if name in _AS_CLAIMED.get(claim, ()) else ()) for name in _MOVED}
    return Order(header, lines, ordered, stages, shipments, returns, claim, proved)


def _claim(header: Row, rules: Mapping[str, Any]) -> str:
    claim = str(rules["statuses"]["ord_status"].get(header["ord_status"], {}).get("claim", ""))
    if claim != "cancelled":
        return claim
    return f"cancelled_by_{rules['reasons']['cancel'].get(header['cancel_code'], {}).get('by', 'house')}"


def _papers(documents: Iterable[Row], of_documents: Iterable[Row], lines: list[Row]) -> list[Paper]:
    """The documents that have lines. A size that the order's line does not have means the line's first."""
    lines_of, parts, papers = by(lines, "line_num"), by(of_documents, "fkey"), []
    for document in documents:
        pieces: Counter[Piece] = Counter()
        of_lines = Decimal(0)
        for part in parts.get(document["pkey"], ()):
            if part["line_num"] not in lines_of:
                continue
            line = lines_of[part["line_num"]][0]
            of_lines += Decimal(part.get("refund_amt", 0))
            first, *_ = *buckets(line), ""
            for bucket in buckets(part):
                pieces[line["pkey"], bucket if bucket in line else first] += int(part[bucket])
        if document["pkey"] in parts:
            live, refunded = document["void_ok"] != "Y", Decimal(document.get("refund_total", 0))
            papers.append(Paper(document, live, pieces, refunded, of_lines))
    return papers


def fates(order: Order) -> dict[Piece, Counter[str]]:
    """How many pieces of each line and size are ``dispatched``, cancelled ``by_customer`` or ``by_house``, ``picked``,
    ``reserved`` and ``open``, together the ordered ones; and how many of these were ``returned`` and ``waiting`` by
    Blue Cherry's own word.

    What left is surest: the larger of what was invoiced and what shipments hold, never a voided one's. Each kind takes
    what those before it leave of the line.
    """
    stages = order.stages
    shipped, not_shipped = _sums(order.shipments)
    came, not_come = _sums(order.returns)
    found = {}
    for piece, ordered in order.ordered.items():
        said = {
            "dispatched": max(stages["IN"][piece] - not_shipped[piece], shipped[piece]),
            "by_customer": stages["CC"][piece],
            "by_house": stages["CH"][piece],
            "picked": stages["PK"][piece],
            "reserved": stages["RS"][piece],
        }
        fate: Counter[str] = Counter(ordered=ordered, open=ordered)
        for name, pieces in said.items():
            fate[name] = min(max(pieces, 0), fate["open"])
            fate["open"] -= fate[name]
        fate["waiting"] = min(stages["OP"][piece], fate["open"])
        back = max(stages["RT"][piece] - not_come[piece], came[piece])
        fate["returned"] = min(max(back, 0), fate["dispatched"])
        found[piece] = fate
    return found


def state_of(order: Order, due: Decimal, rules: Mapping[str, Any]) -> str:
    """The state of an order of whose goods ``due`` was to be paid; its claim where nothing proves anything."""
    if not order.has_evidence:
        return order.claim
    all_pieces = sum(fates(order).values(), Counter())
    cancelled = all_pieces["by_customer"] + all_pieces["by_house"]
    if cancelled and cancelled >= all_pieces["ordered"]:
        mostly = "customer" if all_pieces["by_customer"] >= all_pieces["by_house"] else "house"
        return f"cancelled_by_{mostly}"
    if all_pieces["open"] + all_pieces["reserved"] + all_pieces["picked"]:
        progress = {
            "on_hold": order.claim == "on_hold",
            "part_dispatched": all_pieces["dispatched"],
            "back_ordered": order.claim == "back_ordered" and all_pieces["waiting"],
            "picking": all_pieces["picked"],
            "allocated": all_pieces["reserved"],
        }
        if shown := [state for state, shows in progress.items() if shows]:
            return shown[0]
    refunded = sum(paper.refunded for paper in order.live_returns)
    if all_pieces["returned"] or refunded:
        codes = rules["reasons"]["returned"]
        exchanges = [codes.get(paper.row["reason_code"], {}).get("exchange") for paper in order.live_returns]
        if exchanges and all(exchanges):
            return "exchanged"
        all_back = all_pieces["dispatched"] > 0 and all_pieces["returned"] >= all_pieces["dispatched"]
        tolerance = _PENNIES_A_LINE * len(order.ordered)
        paid_back = refunded + tolerance >= due and (due > tolerance or all_back)
        return "refunded" if (paid_back if exchanges else all_back) else "part_refunded"
    if cancelled:
        return "part_cancelled"
    return "dispatched" if all_pieces["dispatched"] else "placed"


def _pieces(rows: Iterable[Row], line: str) -> Counter[Piece]:
    pieces: Counter[Piece] = Counter()
    for row in rows:
        for bucket in buckets(row):
            pieces[row[line], bucket] += int(row[bucket])
    return pieces


def _sums(papers: Iterable[Paper]) -> tuple[Counter[Piece], Counter[Piece]]:
    """The pieces in documents that count, and in those that are void."""
    live, void = Counter[Piece](), Counter[Piece]()
    for paper in papers:
        (live if paper.live else void).update(paper.pieces)
    return live, void
