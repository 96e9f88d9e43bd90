"""`Attempt` and `Verdict`: what is compiled to be judged, and what ships."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from edgecompile.compress.lowrank.factors import Factors
from edgecompile.compress.measuring.workbench import Candidate
from edgecompile.decision import Decision

if TYPE_CHECKING:
    import tvm

    from edgecompile.compress.lowrank.solve import Chosen


@dataclass(frozen=True, eq=False)
class Attempt:
    """A choice of layers, compiled.

    Attributes:
        chosen: by layer.
        factors: of those that have some.
        candidate: the compiled model.
        costs: by layer what its kernels took before and take now, by the names of a table's columns.
        slow: why it is no faster, by layer.
        fits: what was fitted to the data; empty until they are.
    """

    chosen: Chosen
    factors: Mapping[str, Factors]
    candidate: Candidate
    costs: dict[str, dict[str, float]] = field(default_factory=dict)
    slow: dict[str, str] = field(default_factory=dict)
    fits: Sequence[Decision] = ()


@dataclass(frozen=True)
class Verdict:
    """What ships: the module with these factors; see `StepResult` for the others."""

    factors: Mapping[str, Factors]
    module: tvm.IRModule
    decisions: list[Decision]
    figures: Mapping[str, Mapping[str, float]]
