"""Transposed convolution: an ordinary one for each phase of the output's pixels, whose results are written interleaved.

    y[n, k, h*s + i*d - p, w*s + j*d - p] += x[n, c, h, w] * weight[c, k, i, j]

Output pixels whose rows and columns leave the same rests, divided by the strides, all meet the same part of the kernel:

    for phase in s*s phases:
        y[n, k, s*h + phase.row, s*w + phase.column] = epilogue(conv(x, taps of the phase))    # direct, stride 1

Not one product is with a zero between the pixels, and no pixel of y is written more than once.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgecompile.implementation import Implementation
from edgecompile.target import CpuFacts, Target
from edgecompile.transposed_convolution import Phase, TransposedConvolution

from schedules.cpu import loops
from schedules.cpu.direct.config import DirectConfig
from schedules.cpu.direct.convolution import DirectConvolution
from schedules.cpu.epilogue import Epilogue
from schedules.cpu.template import Anchor, attributes
from schedules.cpu.transposed.formula import convolve_transposed, pack_transposed

if TYPE_CHECKING:
    from tvm import te, tirx

    from schedules.cpu.loops import Expr

TRANSPOSED = "transposed convolution"


def transposed_ways(
    problem: TransposedConvolution, in_block: int, out_block: int, facts: CpuFacts
) -> Sequence[Implementation]:
    """The template, with the tile that suits the phase with the most work."""
    problems = [phase.problem for phase in problem.phases()]
    largest = max(problems, key=lambda phase: phase.macs)
    config = DirectConfig.choose(largest, in_block, facts)
    numbers = {"problem": dataclasses.asdict(problem), "config": dataclasses.asdict(config)}
    notes = attributes(TRANSPOSED, numbers)

    def compute(x: te.Tensor, weight: te.Tensor) -> te.Tensor:
        return convolve_transposed(x, weight, problem, out_block, config.panel, notes)

    return (
        Implementation(
            name=f"conv2d_transpose {config.rows}x{config.panel}",
            cycles=sum(config.cycles(phase, facts) for phase in problems),
            pack=lambda weight: [pack_transposed(weight, problem, in_block, config)],
            compute=compute,
        ),
    )


def emit_transposed(anchor: Anchor, epilogue: Epilogue, target: Target) -> tirx.Stmt:
    """The loops for a block that a way of this template annotated."""
    x, weight = anchor.reads
    fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in anchor.numbers["problem"].items()}
    problem, config = TransposedConvolution(**fields), DirectConfig(**anchor.numbers["config"])
    return loops.sequence(
        [
            PhaseConvolution(
                phase.problem, config, x, weight, epilogue, False, target.cpu, problem.strides, phase
            ).emit()
            for phase in problem.phases()
        ]
    )


@dataclass(frozen=True)
class PhaseConvolution(DirectConvolution):
    """Makes the loops of one phase.

    Attributes:
        weight: of all phases, `[phases * panels, blocks of input channels, rows, columns, block, panel]`.
        steps: rows and columns of the output from one pixel of the phase to the next.
        phase: this one.
    """

    steps: tuple[int, int]
    phase: Phase

    @property
    def _panels(self) -> int:
        return int(self.weight.shape[0]) // math.prod(self.steps)

    def _weight(self, panel: Expr) -> Expr:
        return panel + self.phase.index * self._panels

    def _place(self, h: Expr, w: Expr) -> tuple[Expr, Expr]:
        return h * self.steps[0] + self.phase.rests[0], w * self.steps[1] + self.phase.rests[1]
