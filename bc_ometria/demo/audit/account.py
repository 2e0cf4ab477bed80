"""What an audit finds."""

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Account:
    """What became of all records of one kind."""

    in_blue_cherry: int = 0
    excluded: Counter[str] = field(default_factory=Counter)
    expected: int = 0
    equal: int = 0
    held: Counter[str] = field(default_factory=Counter)
    vanished: int = 0
    differing: list[str] = field(default_factory=list)
    unaccounted: list[str] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        return not self.differing and not self.unaccounted


@dataclass
class EventAccount:
    """The custom events that Ometria has, by type; what became of the others; and what is wrong with any."""

    in_ometria: Counter[str] = field(default_factory=Counter)
    kept_back: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
