"""Which stages of a row share one sweep over its columns, and where their values wait.

softmax:     sweep 1   highest = max over x
             sweep 2   e = exp(x - highest);  total = sum over e        e waits in a row's buffer
             sweep 3   y = e / total
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from schedules.cpu.rows.stages import RowGroup, RowStage, loads_of

if TYPE_CHECKING:
    from tvm import tirx


@dataclass
class Sweep:
    """One loop over the columns.

    Attributes:
        stages: computed for each vector of columns, in order.
        scalars: computed behind the loop.
    """

    stages: list[RowStage] = field(default_factory=list)
    scalars: list[RowStage] = field(default_factory=list)

    def knows(self, buffer: tirx.Buffer) -> bool:
        """True when one of the stages computes the elements of `buffer`."""
        return any(stage.kind == "elements" and stage.target.same_as(buffer) for stage in self.stages)

    def ends_with(self, buffer: tirx.Buffer) -> bool:
        """True when `buffer` holds a number that is known behind the loop only."""
        results = [*(stage for stage in self.stages if stage.kind == "reduction"), *self.scalars]
        return any(stage.target.same_as(buffer) for stage in results)


def make_sweeps(stages: Sequence[RowStage]) -> list[Sweep]:
    """Few sweeps, in order: a new one starts where a stage needs a number that the sweep before ends with."""
    sweeps = [Sweep()]
    for stage in stages:
        if stage.kind == "scalar":
            sweeps[-1].scalars.append(stage)
            continue
        if any(sweeps[-1].ends_with(read.source) for read in loads_of(stage.value)):
            sweeps.append(Sweep())
        sweeps[-1].stages.append(stage)
    return sweeps


def kept_rows(group: RowGroup, sweeps: Sequence[Sweep]) -> list[tirx.Buffer]:
    """Elements that a later sweep reads and that are stored nowhere else."""
    kept: list[tirx.Buffer] = []
    for at, sweep in enumerate(sweeps):
        later = [read.source for other in sweeps[at + 1 :] for s in other.stages for read in loads_of(s.value)]
        elements = [stage.target for stage in sweep.stages if stage.kind == "elements"]
        kept += [b for b in elements if not group.is_stored(b) and any(b.same_as(buffer) for buffer in later)]
    return kept
