"""The transposed convolution as a formula, and its weight as the template reads it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from edgecompile.transposed_convolution import TransposedConvolution

from schedules.cpu import loops
from schedules.cpu.direct.config import DirectConfig
from schedules.cpu.direct.formula import pack_weight

if TYPE_CHECKING:
    from tvm import te, tirx

    from schedules.cpu.loops import Expr


def pack_transposed(
    weight: np.ndarray, problem: TransposedConvolution, in_block: int, config: DirectConfig
) -> np.ndarray:
    """`[C, K, KH, KW]` -> `[phases * panels, C / in_block, rows, columns, in_block, panel]`.

    The taps of each phase in the order of the pixels that they meet; zeros behind them up to `most_taps`, and where a
    phase has no pixels.
    """
    rows, columns = problem.most_taps
    phases = np.zeros(
        (math.prod(problem.strides), problem.out_channels, problem.in_channels, rows, columns), weight.dtype
    )
    for phase in problem.phases():
        (i, j), kernel = phase.taps, weight.transpose(1, 0, 2, 3)
        phases[phase.index, :, :, : len(i), : len(j)] = kernel[:, :, i][:, :, :, j]
    return np.concatenate([pack_weight(phase, in_block, config) for phase in phases])


def convolve_transposed(
    x: te.Tensor,
    weight: te.Tensor,
    problem: TransposedConvolution,
    out_block: int,
    panel: int,
    attributes: dict[str, str],
) -> te.Tensor:
    """The convolution as a formula.

    Args:
        x: `[N, C / b, H, W, b]`.
        weight: as `pack_transposed` makes it.
        out_block: the result is `[N, K / out_block, OH, OW, out_block]`.
        attributes: annotations of the block, by which the schedule finds it again.
    """
    from tvm import te, tirx

    panels = math.ceil(problem.out_channels / panel)
    chunk, row, column, inner = (
        te.reduce_axis((loops.index(0), loops.index(int(weight.shape[axis]))), name)
        for axis, name in ((1, "c"), (2, "i"), (3, "j"), (4, "ci"))
    )

    def source(axis: int, pixel: Expr, tap: Expr) -> Expr:
        """The pixel of the input that an output pixel meets by one of its taps."""
        stride = problem.strides[axis]
        first = loops.index(problem.first(axis, 0))
        for rest in range(1, stride):
            first = tirx.Select((pixel % stride).equal(rest), loops.index(problem.first(axis, rest)), first)
        return pixel // stride + first + tap * problem.step(axis)

    def value(n: tirx.Var, block: tirx.Var, h: tirx.Var, w: tirx.Var, lane: tirx.Var) -> Expr:
        ih, iw = source(0, h, row), source(1, w, column)
        inside = tirx.all(ih >= 0, ih < problem.height, iw >= 0, iw < problem.width)
        read = tirx.if_then_else(inside, x(n, chunk, ih, iw, inner), tirx.const(0.0, x.dtype))
        phase = h % problem.strides[0] * problem.strides[1] + w % problem.strides[1]
        k = block * out_block + lane
        factor = weight(phase * panels + k // panel, chunk, row, column, inner, k % panel)
        return te.sum(read * factor, axis=[chunk, row, column, inner])

    shape = (problem.batch, problem.out_channels // out_block, problem.out_height, problem.out_width, out_block)
    return te.compute([loops.index(extent) for extent in shape], value, name="conv2d_transpose", attrs=attributes)
