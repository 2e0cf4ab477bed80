"""What was measured: the best of several repetitions, and how far they lie apart."""

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Speed:
    """How many ``unit`` a second in each repetition, and what each took of this process's processor time."""

    unit: str
    rates: tuple[float, ...]
    microseconds: tuple[float, ...]

    @property
    def best(self) -> float:
        """What the machine can do: whatever else it does meanwhile only ever slows a repetition down."""
        return max(self.rates)

    @property
    def worst(self) -> float:
        return min(self.rates)

    @property
    def processor_time(self) -> float:
        """Microseconds of this process for one ``unit``, at best: other processes disturb it less than a rate."""
        return min(self.microseconds)

    def of(self, unit: str, number: int) -> "Speed":
        """The same repetitions counted in another unit, of which one ``self.unit`` has so many."""
        rates = tuple(rate * number for rate in self.rates)
        return Speed(unit, rates, tuple(each / number for each in self.microseconds))


def measure(
    unit: str, number: int, work: Callable[[], object], repetitions: int, *, before: Callable[[], object] | None = None
) -> Speed:
    """The speed of ``work``, which does ``number`` of ``unit``; ``before`` each repetition is not counted."""
    rates, microseconds = [], []
    for _ in range(repetitions):
        if before:
            before()
        began, busy = time.perf_counter(), time.process_time()
        work()
        rates.append(number / (time.perf_counter() - began))
        microseconds.append((time.process_time() - busy) / number * 1e6)
    return Speed(unit, tuple(rates), tuple(microseconds))
