"""The integer convolution as a formula, and its weight as the template reads it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from edgecompile.convolution import Convolution

from schedules.cpu import loops
from schedules.cpu.integers.borders import BorderKinds, corrections
from schedules.cpu.integers.config import IntegerConfig, groups_of
from schedules.dot_product import DotProduct

if TYPE_CHECKING:
    from tvm import te, tirx

    from schedules.cpu.loops import Expr


def pack_integer_weight(weight: np.ndarray, in_block: int, config: IntegerConfig, dot: DotProduct) -> np.ndarray:
    """`[K, C, KH, KW]` of any type -> `[panels, ceil(C / in_block), KH, KW, groups, vectors, lanes * group]`.

    Channels beyond K, beyond C and beyond a block's end are filled with zeros.
    """
    out_channels, in_channels, height, width = weight.shape
    panels, blocks = math.ceil(out_channels / config.panel), math.ceil(in_channels / in_block)
    padded = np.zeros((panels * config.panel, blocks * in_block, height, width), weight.dtype)
    padded[:out_channels, :in_channels] = weight
    groups = groups_of(in_block, dot)
    whole = np.zeros((panels * config.panel, blocks, groups * dot.group, height, width), weight.dtype)
    whole[:, :, :in_block] = padded.reshape(panels * config.panel, blocks, in_block, height, width)
    split = whole.reshape(panels, config.vectors, dot.lanes, blocks, groups, dot.group, height, width)
    ordered = split.transpose(0, 3, 6, 7, 4, 1, 2, 5).reshape(
        *(panels, blocks, height, width, groups), -1, dot.lanes, dot.group
    )
    places = [dot.place(lane, element, dot.group) for lane in range(dot.lanes) for element in range(dot.group)]
    packed = np.empty((*ordered.shape[:-2], dot.lanes * dot.group), weight.dtype)
    packed[..., places] = ordered.reshape(packed.shape)
    return packed


def pack_corrections(
    weight: np.ndarray, problem: Convolution, zero_point: int, config: IntegerConfig, dot: DotProduct
) -> np.ndarray:
    """What the sums begin with: `[line kinds, column kinds, channels of all panels]` int32."""
    found = corrections(weight, problem, zero_point + dot.offset)
    beyond = -found.shape[2] % config.panel
    return np.pad(found, ((0, 0), (0, 0), (0, beyond)))


def convolve_integers(
    x: te.Tensor,
    weight: te.Tensor,
    start: te.Tensor,
    problem: Convolution,
    out_block: int,
    dot: DotProduct,
    attributes: dict[str, str],
    fold: int = 1,
) -> te.Tensor:
    """The convolution as a formula: sums of `(x + offset) * w` over the taps within the image, then the corrections.

    Args:
        x: `[N, ceil(C / b), H, W, b]` int8.
        weight, start: as `pack_integer_weight` and `pack_corrections` make them.
        out_block: the result is `[N, K / out_block, OH, OW, out_block]` int32.
        attributes: annotations of the blocks, by which the schedule finds them again.
        fold: columns of x that are one of the problem's; see `integers.folded_columns`.
    """
    from tvm import te, tirx

    top, left, _, _ = problem.padding
    size = int(x.shape[4])
    in_block = size * fold
    chunk, row, column, inner = (
        te.reduce_axis((loops.index(0), loops.index(extent)), name)
        for extent, name in (
            (int(weight.shape[1]), "c"),
            (problem.kernel[0], "i"),
            (problem.kernel[1], "j"),
            (in_block, "ci"),
        )
    )
    lines, columns = (BorderKinds.along(problem, axis) for axis in (0, 1))

    def product(n: tirx.Var, block: tirx.Var, h: tirx.Var, w: tirx.Var, lane: tirx.Var) -> Expr:
        ih = h * problem.strides[0] + row * problem.dilations[0] - top
        iw = w * problem.strides[1] + column * problem.dilations[1] - left
        first = (block * out_block + lane) // (problem.out_channels // problem.groups) * int(weight.shape[1])
        at = [iw, inner] if fold == 1 else [iw * fold + inner // size, inner % size]
        factor = x(n, first + chunk, ih, *at).astype("int32") + dot.offset
        if any(problem.padding):
            inside = tirx.all(ih >= 0, ih < problem.height, iw >= 0, iw < problem.width)
            factor = tirx.if_then_else(inside, factor, tirx.const(0, "int32"))
        place = weight_place(weight, dot, block * out_block + lane, inner)
        read = weight(place[0], chunk, row, column, *place[1:])
        return te.sum(factor * read.astype("int32"), axis=[chunk, row, column, inner])

    shape = (problem.batch, problem.out_channels // out_block, problem.out_height, problem.out_width, out_block)
    extents = [loops.index(extent) for extent in shape]
    sums = te.compute(extents, product, name="products", attrs=attributes)

    def corrected(n: tirx.Var, block: tirx.Var, h: tirx.Var, w: tirx.Var, lane: tirx.Var) -> Expr:
        return sums(n, block, h, w, lane) + start(lines.of(h), columns.of(w), block * out_block + lane)

    return te.compute(extents, corrected, name="conv2d", attrs=attributes)


def multiply_integers(
    x: te.Tensor, weight: te.Tensor, start: te.Tensor, out_channels: int, dot: DotProduct, attributes: dict[str, str]
) -> te.Tensor:
    """`(x - zero_point) @ w` as a formula: x is `[*rows, C]` int8, the result `[*rows, K]` int32."""
    from tvm import te

    inner = te.reduce_axis((loops.index(0), x.shape[-1]), "ci")

    def product(*indices: tirx.Var) -> Expr:
        *row, k = indices
        place = weight_place(weight, dot, k, inner)
        read = weight(place[0], 0, 0, 0, *place[1:])
        return te.sum((x(*row, inner).astype("int32") + dot.offset) * read.astype("int32"), axis=[inner])

    extents = [*x.shape[:-1], loops.index(out_channels)]
    sums = te.compute(extents, product, name="products", attrs=attributes)
    return te.compute(extents, lambda *i: sums(*i) + start(0, 0, i[-1]), name="matmul", attrs=attributes)


def weight_place(weight: te.Tensor, dot: DotProduct, k: Expr, channel: Expr) -> list[Expr]:
    """The panel, group, vector and place of a weight of a block."""
    panel = int(weight.shape[-2]) * dot.lanes
    place = dot.place(k % dot.lanes, channel % dot.group, dot.group)
    return [k // panel, channel // dot.group, k % panel // dot.lanes, place]
