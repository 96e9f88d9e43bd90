"""The grouped convolution as a formula, and its weight as the template reads it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from edgecompile.convolution import Convolution

from schedules.cpu import loops
from schedules.cpu.grouped.config import GroupedConfig, group_outputs

if TYPE_CHECKING:
    from tvm import te, tirx

    from schedules.cpu.loops import Expr


def pack_grouped(weight: np.ndarray, problem: Convolution, config: GroupedConfig) -> np.ndarray:
    """`[K, C / groups, KH, KW]` -> `[panels, KH, KW, span, panel]`, with zeros across groups and beyond K."""
    outputs, channels = group_outputs(problem), problem.group_channels
    panels = math.ceil(problem.out_channels / config.panel)
    packed = np.zeros((panels, *problem.kernel, config.span, config.panel), weight.dtype)
    for k in range(problem.out_channels):
        panel, place = divmod(k, config.panel)
        first = 0 if config.shuffles else (k // outputs - config.first_group(problem, panel)) * channels
        packed[panel, :, :, first : first + channels, place] = weight[k].transpose(1, 2, 0)
    return packed


def convolve_grouped(
    x: te.Tensor,
    weight: te.Tensor,
    problem: Convolution,
    out_block: int,
    config: GroupedConfig,
    attributes: dict[str, str],
) -> te.Tensor:
    """The convolution as a formula.

    Args:
        x: `[N, C / b, H, W, b]`.
        weight: as `pack_grouped` makes it.
        out_block: the result is `[N, K / out_block, OH, OW, out_block]`.
        attributes: annotations of the block, by which the schedule finds it again.
    """
    from tvm import te, tirx

    top, left, _, _ = problem.padding
    in_block, outputs = int(x.shape[4]), group_outputs(problem)
    row, column, inner = (
        te.reduce_axis((loops.index(0), loops.index(extent)), name)
        for extent, name in ((problem.kernel[0], "i"), (problem.kernel[1], "j"), (problem.group_channels, "c"))
    )
    last = loops.index(config.last_group(problem))

    def value(n: tirx.Var, block: tirx.Var, h: tirx.Var, w: tirx.Var, lane: tirx.Var) -> Expr:
        ih = h * problem.strides[0] + row * problem.dilations[0] - top
        iw = w * problem.strides[1] + column * problem.dilations[1] - left
        k = block * out_block + lane
        group = k // outputs
        channel = group * problem.group_channels + inner
        read = x(n, channel // in_block, ih, iw, channel % in_block)
        if any(problem.padding):
            inside = tirx.all(ih >= 0, ih < problem.height, iw >= 0, iw < problem.width)
            read = tirx.if_then_else(inside, read, tirx.const(0.0, x.dtype))
        place = inner
        if not config.shuffles:
            first = tirx.min(k // config.panel * config.panel // outputs, last)
            place = inner + (group - first) * problem.group_channels
        return te.sum(read * weight(k // config.panel, row, column, place, k % config.panel), axis=[row, column, inner])

    shape = (problem.batch, problem.out_channels // out_block, problem.out_height, problem.out_width, out_block)
    return te.compute([loops.index(extent) for extent in shape], value, name="conv2d_grouped", attrs=attributes)
