"""What an account keeps to be looked at: pushes, errors, jobs and counts. ``at``: seconds since the epoch."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from bc_ometria.sandbox.ometria.checks import Problem
from bc_ometria.sandbox.ometria.shelf import iso


@dataclass(frozen=True, slots=True)
class Push:
    """A push that got a 202: its type and its records' ids, in their order."""

    request_id: str
    at: float
    record_type: str | None
    ids: list[str | None]


class Version(NamedTuple):
    """One record of a push, its JSON and a digest of it: what was pushed under an id, how often and in which order."""

    digest: bytes
    request_id: str
    at: float
    body: bytes


@dataclass(frozen=True, slots=True)
class RecordError:
    """One element of the errors ring, the ``number``-th that came to it."""

    number: int
    request_id: str
    record: Any
    problem: Problem
    at: float

    def shown(self, shape: Literal["documented", "observed"]) -> dict[str, Any]:
        """As ``GET /push/_errors`` gives it, in one of the two shapes of ``contracts/ometria.md``."""
        if shape == "documented":
            return {"error_message": self.problem.message, "error_path": self.problem.path}
        known = self.record if isinstance(self.record, dict) else {}
        return {
            "request_id": self.request_id,
            "record_type": known.get("@type"),
            "record_id": known.get("id"),
            "record": self.record,
            "timestamp": iso(self.at),
            "message": f"{self.problem.path}: {self.problem.message}".removeprefix(": "),
        }


@dataclass(slots=True)
class Job:
    """A data deletion or a merge of profiles: what was asked for, and how it stands (ISO 8601 times)."""

    id: str
    asked: dict[str, Any]
    created_at: str
    status: Literal["pending", "completed"] = "pending"
    completed_at: str | None = None

    def shown(self) -> dict[str, Any]:
        times = {"created_at": self.created_at, "completed_at": self.completed_at}
        return {"id": self.id, "status": self.status, **self.asked, **times}


@dataclass
class Counts:
    """What happened so far.

    ``calls`` by method and route; ``statuses`` of the replies to them (``none`` where the connection broke
    first); ``faults`` that were met, by kind; ``records`` received, by type; ``stored`` and ``refused``
    asynchronously; ids that came twice in one call; events whose type and id were there already.
    """

    calls: Counter[str] = field(default_factory=Counter)
    statuses: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    pushes: int = 0
    records: Counter[str] = field(default_factory=Counter)
    stored: Counter[str] = field(default_factory=Counter)
    refused: int = 0
    duplicate_ids_in_call: int = 0
    event_repeats: int = 0
