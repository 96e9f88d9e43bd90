"""`MeasuredImplementations`: ways to compute a layer, priced by records where there are some."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from edgecompile.implementation import Implementation, Implementations
from edgecompile.tune.records import Record
from edgecompile.tune.workload import WatchedImplementations, Workload

if TYPE_CHECKING:
    from tvm import te


# What a variant must take at most, as a part of its template's own choice: with less to gain, noise decides, and the
# layer's epilogue, which may be another than the measured one.
CLEARLY_FASTER = 0.98


class MeasuredImplementations(WatchedImplementations):
    """Replaces estimates by measured times, as cycles.

    A way without a record keeps its estimate, times the factor by which the estimates of the same workload fell short,
    or those of all workloads where it has no record at all. Other numbers than a template's own choice are offered only
    where they were measured to be clearly faster than that.

    Args:
        offered: the target's, with variants.
        records: of the conditions at hand; of two for the same way the later one counts.

    Attributes:
        used: the records of the ways whose formulas were asked for, in that order.
    """

    def __init__(self, offered: Implementations, records: Sequence[Record]) -> None:
        super().__init__(offered)
        self._records = {(record.workload, record.way): record for record in records}
        self._shortfall = _shortfall(tuple(self._records.values()), 1.0)
        self.used: list[Record] = []

    def answer(self, workload: Workload, ways: Sequence[Implementation]) -> Sequence[Implementation]:
        """The ways with their prices."""
        known = [self._records.get((workload.key, way.key)) for way in ways]
        shortfall = _shortfall([record for record in known if record], self._shortfall)
        answer: list[Implementation] = []
        limit = 0.0
        for way, record in zip(ways, known, strict=True):
            if not way.is_variant:
                limit = CLEARLY_FASTER * record.cycles if record else 0.0
            if record and (not way.is_variant or record.cycles <= limit):
                answer.append(self._measured(way, record))
            elif not way.is_variant:
                answer.append(dataclasses.replace(way, cycles=way.cycles * shortfall))
        return answer

    def conversion_cycles(self, elements: int) -> float:
        """As offered, in the measured cycles of layers that keep the machine as busy."""
        return super().conversion_cycles(elements) * self._shortfall

    def plain_cycles(self, operations: int) -> float:
        """As offered, likewise."""
        return super().plain_cycles(operations) * self._shortfall

    def _measured(self, way: Implementation, record: Record) -> Implementation:
        def compute(*operands: te.Tensor) -> Any:
            if record not in self.used:
                self.used.append(record)
            return way.compute(*operands)

        name = f"{way.name} in {record.ms:.3f} ms"
        return dataclasses.replace(way, name=name, cycles=record.cycles, compute=compute, is_measured=True)


def _shortfall(records: Sequence[Record], otherwise: float) -> float:
    """How many cycles were measured for each that was estimated, in the middle."""
    return statistics.median(r.cycles / r.estimated_cycles for r in records) if records else otherwise
