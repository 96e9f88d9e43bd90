"""Depthwise convolution of bytes as a formula, and its weight packed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from edgecompile.convolution import Convolution

from schedules.cpu import loops
from schedules.cpu.integers.borders import BorderKinds, corrections
from schedules.cpu.integers.depthwise_config import QUAD, SHIFTS, IntegerDepthwiseConfig, quads_of

if TYPE_CHECKING:
    from tvm import te, tirx

    from schedules.cpu.loops import Expr


def pack_integer_depthwise(
    weight: np.ndarray, problem: Convolution, zero_point: int, block: int, config: IntegerDepthwiseConfig
) -> list[np.ndarray]:
    """`[C, 1, KH, KW]` int8 to the weight and what the sums begin with.

    Returns:
        `[C / block, KH, KW, block]` int8, or with quads `[C / 16, KH, quads, shifts, 64]`, whose bytes are four taps of
        each channel; and `[line kinds, column kinds, C]` int32.
    """
    start = corrections(weight, problem, zero_point + config.offset)
    channels, _, height, width = weight.shape
    if not config.has_quads:
        blocked = weight.reshape(channels // block, block, height, width)
        return [np.ascontiguousarray(blocked.transpose(0, 2, 3, 1)), start]
    packed = np.zeros((channels // block, height, quads_of(width), len(SHIFTS), block, QUAD), np.int8)
    taps = weight.reshape(channels // block, block, height, width)
    for at, shift in enumerate(SHIFTS):
        for j in range(width):
            quad, place = divmod(j, QUAD)
            if 0 <= place + shift < QUAD:
                packed[:, :, quad, at, :, place + shift] = taps[:, :, :, j].transpose(0, 2, 1)
    return [packed.reshape(*packed.shape[:4], block * QUAD), start]


def convolve_integer_depthwise(
    x: te.Tensor,
    weight: te.Tensor,
    start: te.Tensor,
    problem: Convolution,
    config: IntegerDepthwiseConfig,
    attributes: dict[str, str],
) -> te.Tensor:
    """The convolution as a formula: x is `[N, C / b, H, W, b]` int8, the result has the same blocks in int32."""
    from tvm import te, tirx

    top, left, _, _ = problem.padding
    block_size = int(x.shape[4])
    row, column = (
        te.reduce_axis((loops.index(0), loops.index(problem.kernel[axis])), name) for axis, name in ((0, "i"), (1, "j"))
    )
    lines, columns = (BorderKinds.along(problem, axis) for axis in (0, 1))

    def product(n: tirx.Var, block: tirx.Var, h: tirx.Var, w: tirx.Var, lane: tirx.Var) -> Expr:
        ih = h * problem.strides[0] + row * problem.dilations[0] - top
        iw = w * problem.strides[1] + column * problem.dilations[1] - left
        factor = x(n, block, ih, iw, lane).astype("int32") + config.offset
        if any(problem.padding):
            inside = tirx.all(ih >= 0, ih < problem.height, iw >= 0, iw < problem.width)
            factor = tirx.if_then_else(inside, factor, tirx.const(0, "int32"))
        tap = [block, row, column, lane]
        if config.has_quads:
            tap = [block, row, column // QUAD, loops.index(SHIFTS.index(0)), lane * QUAD + column % QUAD]
        return te.sum(factor * weight(*tap).astype("int32"), axis=[row, column])

    extents = [
        loops.index(extent)
        for extent in (problem.batch, int(x.shape[1]), problem.out_height, problem.out_width, block_size)
    ]
    sums = te.compute(extents, product, name="products", attrs=attributes)

    def corrected(n: tirx.Var, block: tirx.Var, h: tirx.Var, w: tirx.Var, lane: tirx.Var) -> Expr:
        return sums(n, block, h, w, lane) + start(lines.of(h), columns.of(w), block * block_size + lane)

    return te.compute(extents, corrected, name="depthwise", attrs=attributes)
