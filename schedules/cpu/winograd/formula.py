"""Winograd convolution as formulas, and its weight as the template reads it."""

from __future__ import annotations

import functools
import math
import operator
from typing import TYPE_CHECKING

import numpy as np
from edgecompile.convolution import Convolution
from edgecompile.implementation import PackingAtLoad

from schedules.cpu import loops
from schedules.cpu.winograd.config import WinogradConfig
from schedules.cpu.winograd.matrices import TAPS, transform_weight, transforms

if TYPE_CHECKING:
    from tvm import te

    from schedules.cpu.loops import Expr


def pack_winograd(weight: np.ndarray, config: WinogradConfig) -> list[np.ndarray]:
    """The arrays that `convolve_winograd` takes beside x: the transformed weight
    `[n * n, panels, C, panel]`, and B^T and A^T."""
    transformed = transform_weight(weight, config.outputs)
    size, _, out_channels, in_channels = transformed.shape
    panels = transformed.reshape(size * size, out_channels // config.panel, config.panel, in_channels)
    matrices = transforms(config.outputs)
    packed = np.ascontiguousarray(panels.transpose(0, 1, 3, 2))
    return [packed, matrices.input.astype(np.float32), matrices.output.astype(np.float32)]


def pack_winograd_at_load(config: WinogradConfig) -> PackingAtLoad:
    """The same in two steps: `[K, C, 3, 3]` -> `[panels, C, 3, 3, panel]`, and its transform, computed in float64."""
    matrices = transforms(config.outputs)
    size = config.size
    # [n * n, 9]: what each tap counts in each place.
    factors = np.einsum("ri,sj->rsij", matrices.weight, matrices.weight).reshape(size * size, TAPS * TAPS)

    def move(weight: np.ndarray) -> np.ndarray:
        panels = weight.reshape(-1, config.panel, *weight.shape[1:])
        return np.ascontiguousarray(panels.transpose(0, 2, 3, 4, 1))

    def transform(weight: te.Tensor, factors: te.Tensor) -> te.Tensor:
        from tvm import te, tirx

        panels, channels = weight.shape[:2]

        def value(place: Expr, panel: Expr, channel: Expr, lane: Expr) -> Expr:
            terms = [
                tirx.Cast("float64", weight(panel, channel, *divmod(tap, TAPS), lane)) * factors(place, tap)
                for tap in range(TAPS * TAPS)
            ]
            return tirx.Cast("float32", functools.reduce(operator.add, terms))

        return te.compute([loops.index(size * size), panels, channels, weight.shape[4]], value, name="transformed")

    others = [matrices.input.astype(np.float32), matrices.output.astype(np.float32)]
    return PackingAtLoad(move, transform, [factors], lambda weight: others)


def convolve_winograd(
    x: te.Tensor,
    weight: te.Tensor,
    b: te.Tensor,
    a: te.Tensor,
    problem: Convolution,
    config: WinogradConfig,
    attributes: dict[str, str],
) -> te.Tensor:
    """The three steps as formulas; x and the result are `[N, C / lanes, H, W, lanes]`."""
    from tvm import te, tirx

    size, lanes = config.size, config.lanes
    v = transform_input(x, b, problem, config.outputs, tirx.const(0.0, x.dtype), attributes)
    c = te.reduce_axis((loops.index(0), loops.index(problem.in_channels)), "c")

    def multiplied(r: Expr, s: Expr, k: Expr, tile: Expr) -> Expr:
        factor = weight(r * size + s, k // config.panel, c, k % config.panel)
        return te.sum(v(r, s, c // lanes, tile, c % lanes) * factor, axis=[c])

    extents = [loops.index(size), loops.index(size), loops.index(problem.out_channels), v.shape[3]]
    u = te.compute(extents, multiplied, name="winograd_products", attrs=attributes)
    return transform_output(u, a, problem, config.outputs, lanes, attributes)


def transform_input(
    x: te.Tensor, b: te.Tensor, problem: Convolution, outputs: int, outside: Expr, attributes: dict[str, str]
) -> te.Tensor:
    """B^T d B of all tiles: `[N, C/b, H, W, b]` -> `[n, n, C/b, tiles, b]` of b's type.

    Args:
        b: `[n, n]`.
        outside: what stands for the pixels beyond x, of its type.
    """
    from tvm import te, tirx

    height, width = math.ceil(problem.out_height / outputs), math.ceil(problem.out_width / outputs)
    top, left, _, _ = problem.padding
    i, j = (te.reduce_axis((loops.index(0), b.shape[1]), name) for name in "ij")

    def transformed(r: Expr, s: Expr, block: Expr, tile: Expr, lane: Expr) -> Expr:
        ih = tile // width % height * outputs + i - top
        iw = tile % width * outputs + j - left
        inside = tirx.all(ih >= 0, ih < problem.height, iw >= 0, iw < problem.width)
        read = tirx.if_then_else(inside, x(tile // (height * width), block, ih, iw, lane), outside)
        return te.sum(b(r, i) * b(s, j) * read.astype(b.dtype), axis=[i, j])

    extents = [b.shape[0], b.shape[0], x.shape[1], loops.index(problem.batch * height * width), x.shape[4]]
    return te.compute(extents, transformed, name="winograd_input", attrs=attributes)


def transform_output(
    u: te.Tensor, a: te.Tensor, problem: Convolution, outputs: int, out_block: int, attributes: dict[str, str]
) -> te.Tensor:
    """A^T m A of all tiles: `[n, n, K, tiles]` -> `[N, K / out_block, OH, OW, out_block]`; a is `[outputs, n]`."""
    from tvm import te

    height, width = math.ceil(problem.out_height / outputs), math.ceil(problem.out_width / outputs)
    p, q = (te.reduce_axis((loops.index(0), a.shape[1]), name) for name in "pq")

    def output(n: Expr, block: Expr, h: Expr, w: Expr, lane: Expr) -> Expr:
        tile = (n * height + h // outputs) * width + w // outputs
        return te.sum(a(h % outputs, p) * a(w % outputs, q) * u(p, q, block * out_block + lane, tile), axis=[p, q])

    shape = (problem.batch, problem.out_channels // out_block, problem.out_height, problem.out_width, out_block)
    return te.compute([loops.index(n) for n in shape], output, name="conv2d_winograd", attrs=attributes)
