"""`Contest`: the ways to compute one workload, those that were measured and those that wait."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from edgecompile.implementation import Implementation
from edgecompile.tune.workload import Workload

# Counting is within a quarter of the measured time for most layers, and tiles of one template are nearer to each other.
SLOWEST_OWN_CHOICE = 1.6
SLOWEST_VARIANT = 1.2


class Contest:
    """Which way is the fastest for a workload.

    Args:
        ways: as `Implementations` gives them: each template's own choice with its variants behind it.
    """

    def __init__(self, workload: Workload, ways: Sequence[Implementation]) -> None:
        self.workload = workload
        self.times: dict[Implementation, list[int]] = {}
        self._own: dict[Implementation, Implementation] = {}  # the choice of each way's template
        own = ways[0]
        for way in ways:
            own = own if way.is_variant else way
            if way.key:  # no record could name it otherwise
                self._own[way] = own
        self._estimate = min(way.cycles for way in ways if not way.is_variant)
        limit = SLOWEST_OWN_CHOICE * self._estimate
        self.waiting = [way for way in self._own if way.is_variant or way.cycles <= limit]

    @property
    def size(self) -> float:
        """How much of the model's time it takes, as far as that is known: in nanoseconds, or as many cycles."""
        return self.best_ns if self.times else self._estimate

    @property
    def best_ns(self) -> float:
        """Of all measured ways; there is one."""
        return min(_quartile(times) for times in self.times.values())

    @property
    def estimated_choice_ns(self) -> float:
        """What would be taken without measuring; of the measured ways, of which there is one."""
        return _quartile(self.times[min(self.times, key=lambda way: (way.is_variant, way.cycles))])

    def take(self) -> Implementation | None:
        """The next way to be measured: the templates' own choices first, then what promises most; None at the end."""
        self.waiting = [way for way in self.waiting if not self._is_hopeless(way)]
        if not self.waiting:
            return None
        way = min(self.waiting, key=lambda way: (way.is_variant, self._predicted(way)))
        self.waiting.remove(way)
        return way

    def add(self, way: Implementation, nanoseconds: int) -> None:
        """One measured time."""
        self.times.setdefault(way, []).append(nanoseconds)

    def is_near(self, way: Implementation, factor: float) -> bool:
        """True where a measured way takes at most `factor` times as long as the best."""
        return _quartile(self.times[way]) <= factor * self.best_ns

    def _predicted(self, way: Implementation) -> float:
        """Nanoseconds, as the estimate of the template's own choice was off; cycles where that was not measured."""
        own = self._own[way]
        return _quartile(self.times[own]) * way.cycles / own.cycles if own in self.times else way.cycles

    def _is_hopeless(self, way: Implementation) -> bool:
        """True for a variant that should be clearly slower, or whose template's own choice was not worth measuring."""
        if not way.is_variant or not self.times:
            return False
        if self._own[way] not in self.times:
            return self._own[way] not in self.waiting
        return self._predicted(way) > SLOWEST_VARIANT * self.best_ns


def quartiles(times: Sequence[int]) -> tuple[float, float, float]:
    """A quarter, half and three quarters of the times lie below; there is at least one."""
    low, median, high = statistics.quantiles(times if len(times) > 1 else [*times, *times], n=4, method="inclusive")
    return low, median, high


def _quartile(times: Sequence[int]) -> float:
    return quartiles(times)[0]
