"""What CPUs offer for 3x3 convolutions of int8 with fewer products, and back from its annotations to loops."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgecompile.convolution import Convolution
from edgecompile.implementation import Implementation
from edgecompile.target import CpuFacts, Target

from schedules.arm_cpu import dot_products as arm_cpu
from schedules.cpu.epilogue import Epilogue
from schedules.cpu.integers.winograd_config import IntegerWinogradConfig, fits_integers
from schedules.cpu.integers.winograd_convolution import IntegerWinogradConvolution
from schedules.cpu.integers.winograd_formula import (
    convolve_integer_winograd,
    pack_integer_winograd,
    pack_integer_winograd_at_load,
)
from schedules.cpu.integers.winograd_matrices import WHOLE_POINTS, integer_transforms, is_exact
from schedules.cpu.problem_numbers import read_problem
from schedules.cpu.template import Anchor, attributes
from schedules.dot_product import DotProduct
from schedules.x86 import dot_products as x86

if TYPE_CHECKING:
    import numpy as np
    from tvm import te, tirx

INTEGER_WINOGRAD = "integer Winograd convolution"


def word_products(facts: CpuFacts) -> Sequence[DotProduct]:
    """What a CPU multiplies words with, the fastest first."""
    return [*x86.wrapping_products(facts), *arm_cpu.wrapping_products(facts)]


def integer_winograd_ways(
    problem: Convolution, zero_point: int, in_block: int, out_block: int, weight_sum: int, facts: CpuFacts
) -> tuple[Sequence[Implementation], str]:
    """The transforms that are exact for a layer, and why others are not offered.

    Args:
        zero_point: of x.
        in_block: channels side by side in x.
        out_block: channels side by side in the result.
        weight_sum: the largest sum of |w| over the taps and input channels of an output channel.
    """
    if not fits_integers(problem, in_block) or not word_products(facts):
        return (), ""
    dot = word_products(facts)[0]
    refused = [outputs for outputs in WHOLE_POINTS if not is_exact(outputs, weight_sum)]
    ways = [
        _way(problem, zero_point, in_block, out_block, outputs, dot, facts)
        for outputs in WHOLE_POINTS
        if outputs not in refused
    ]
    limits = (f"F({outputs},3) sums below {integer_transforms(outputs).limit}" for outputs in refused)
    return ways, f"its sums reach {weight_sum * 128}, exact are {', '.join(limits)}" if refused else ""


def _way(
    problem: Convolution,
    zero_point: int,
    in_block: int,
    out_block: int,
    outputs: int,
    dot: DotProduct,
    facts: CpuFacts,
) -> Implementation:
    config = IntegerWinogradConfig.choose(problem, outputs, in_block, dot, facts)
    numbers = {"problem": dataclasses.asdict(problem), "config": config.key, "zero_point": zero_point}
    notes = attributes(INTEGER_WINOGRAD, numbers)

    def pack(weight: np.ndarray) -> Sequence[np.ndarray]:
        return pack_integer_winograd(weight, zero_point, in_block, config, dot)

    def compute(x: te.Tensor, weight: te.Tensor, start: te.Tensor, b: te.Tensor, a: te.Tensor) -> te.Tensor:
        return convolve_integer_winograd(x, weight, start, b, a, problem, zero_point, out_block, config, dot, notes)

    return Implementation(
        name=f"conv2d_int8_winograd F({outputs},3) {dot.name} {config.tile.rows}x{config.tile.panel}",
        cycles=config.cycles(problem, dot, facts),
        pack=pack,
        compute=compute,
        key=json.dumps({"template": INTEGER_WINOGRAD, "config": config.key}, sort_keys=True),
        at_load=pack_integer_winograd_at_load(zero_point, in_block, config, dot),
    )


def emit_integer_winograd(anchor: Anchor, epilogue: Epilogue, target: Target) -> tirx.Stmt:
    """The loops for blocks that a way of this template annotated."""
    x, weight = (next(b for b in anchor.reads if str(b.dtype) == dtype) for dtype in ("int8", "int16"))
    start = next(buffer for buffer in anchor.reads if len(buffer.shape) == 1)  # the small matrices are in the code
    problem = read_problem(anchor.numbers["problem"])
    config = IntegerWinogradConfig.from_numbers(anchor.numbers["config"])
    zero_point = int(anchor.numbers["zero_point"])
    dot = next(dot for dot in word_products(target.cpu) if dot.name == config.tile.dot)
    return IntegerWinogradConvolution(problem, zero_point, config, dot, x, weight, start, epilogue, target.cpu).emit()
