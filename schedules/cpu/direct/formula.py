"""The direct convolution as a formula, and its weight as the template reads it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from edgecompile.convolution import Convolution

from schedules.cpu import loops
from schedules.cpu.direct.config import DirectConfig

if TYPE_CHECKING:
    from tvm import te, tirx

    from schedules.cpu.loops import Expr


def pack_weight(weight: np.ndarray, in_block: int, config: DirectConfig) -> np.ndarray:
    """`[K, C, KH, KW]` -> `[panels, C / in_block, KH, KW, in_block, panel]`, channels beyond K filled with zeros."""
    out_channels, in_channels, height, width = weight.shape
    panels = math.ceil(out_channels / config.panel)
    padded = np.zeros((panels * config.panel, in_channels, height, width), weight.dtype)
    padded[:out_channels] = weight
    blocked = padded.reshape(panels, config.panel, in_channels // in_block, in_block, height, width)
    return np.ascontiguousarray(blocked.transpose(0, 2, 4, 5, 3, 1))


def convolve(
    x: te.Tensor, weight: te.Tensor, problem: Convolution, out_block: int, panel: int, attributes: dict[str, str]
) -> te.Tensor:
    """The convolution as a formula.

    Args:
        x: `[N, C, H, W]`, or `[N, C / b, H, W, b]`.
        weight: as `pack_weight` makes it.
        out_block: the result is `[N, K / out_block, OH, OW, out_block]`.
        attributes: annotations of the block, by which the schedule finds it again.
    """
    from tvm import te, tirx

    top, left, _, _ = problem.padding
    in_block = int(weight.shape[4])
    chunk, row, column, inner = (
        te.reduce_axis((loops.index(0), loops.index(int(weight.shape[axis]))), name)
        for axis, name in ((1, "c"), (2, "i"), (3, "j"), (4, "ci"))
    )

    def value(n: tirx.Var, block: tirx.Var, h: tirx.Var, w: tirx.Var, lane: tirx.Var) -> Expr:
        ih = h * problem.strides[0] + row * problem.dilations[0] - top
        iw = w * problem.strides[1] + column * problem.dilations[1] - left
        read = x(n, chunk * in_block + inner, ih, iw) if x.ndim == 4 else x(n, chunk, ih, iw, inner)
        if any(problem.padding):
            inside = tirx.all(ih >= 0, ih < problem.height, iw >= 0, iw < problem.width)
            read = tirx.if_then_else(inside, read, tirx.const(0.0, x.dtype))
        k = block * out_block + lane
        return te.sum(read * weight(k // panel, chunk, row, column, inner, k % panel), axis=[chunk, row, column, inner])

    shape = (problem.batch, problem.out_channels // out_block, problem.out_height, problem.out_width, out_block)
    return te.compute([loops.index(extent) for extent in shape], value, name="conv2d", attrs=attributes)


def multiply(x: te.Tensor, weight: te.Tensor, out_channels: int, attributes: dict[str, str]) -> te.Tensor:
    """`x @ w` as a formula: x is `[*rows, C]`, the weight what `pack_weight` makes of `[K, C, 1, 1]`."""
    from tvm import te

    chunk, inner = (
        te.reduce_axis((loops.index(0), loops.index(int(weight.shape[axis]))), name)
        for axis, name in ((1, "c"), (4, "ci"))
    )
    in_block, panel = int(weight.shape[4]), int(weight.shape[5])

    def value(*indices: tirx.Var) -> Expr:
        *row, k = indices
        factor = weight(k // panel, chunk, 0, 0, inner, k % panel)
        return te.sum(x(*row, chunk * in_block + inner) * factor, axis=[chunk, inner])

    return te.compute([*x.shape[:-1], loops.index(out_channels)], value, name="matmul", attrs=attributes)
