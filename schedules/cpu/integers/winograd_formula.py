"""Winograd convolution in whole numbers as formulas, and its constants as the template reads them."""

from __future__ import annotations

import functools
import operator
from typing import TYPE_CHECKING

import numpy as np
from edgecompile.convolution import Convolution
from edgecompile.implementation import PackingAtLoad

from schedules.cpu import loops
from schedules.cpu.integers.formula import pack_integer_weight, weight_place
from schedules.cpu.integers.winograd_config import IntegerWinogradConfig
from schedules.cpu.integers.winograd_matrices import integer_transforms, is_exact, transform_integer_weight
from schedules.cpu.winograd.formula import transform_input, transform_output
from schedules.cpu.winograd.matrices import TAPS
from schedules.dot_product import DotProduct

if TYPE_CHECKING:
    from tvm import te

    from schedules.cpu.loops import Expr


def pack_integer_winograd(
    weight: np.ndarray, zero_point: int, in_block: int, config: IntegerWinogradConfig, dot: DotProduct
) -> list[np.ndarray]:
    """The arrays that `convolve_integer_winograd` takes beside x.

    Args:
        weight: `[K, C, 3, 3]` int8.
        zero_point: of x, which pads it too.

    Returns:
        The transformed weight `[panels, n * n, C / in_block, groups, vectors, lanes * group]` int16, what the sums
        begin with, `[channels of all panels]` int32, and B^T and A^T.
    """
    transformed = transform_integer_weight(weight, config.outputs)
    packed = pack_integer_weight(transformed, in_block, config.tile, dot)
    ordered = packed.transpose(0, 2, 3, 1, 4, 5, 6).reshape(len(packed), -1, packed.shape[1], *packed.shape[4:])
    return [np.ascontiguousarray(ordered), *_beside_weight(weight, zero_point, config)]


def pack_integer_winograd_at_load(
    zero_point: int, in_block: int, config: IntegerWinogradConfig, dot: DotProduct
) -> PackingAtLoad:
    """The same in two steps: `[K, C, 3, 3]` -> `[panels, C / in_block, 3, 3, groups, vectors, lanes * group]` int8, and
    its transform, whose words take 8 times the bytes for F(4,3) and 3.6 times for F(2,3)."""
    matrix = integer_transforms(config.outputs).weight
    # [n * n, 9]: what each tap counts in each place.
    factors = np.einsum("ri,sj->rsij", matrix, matrix).reshape(config.size**2, TAPS * TAPS).astype(np.int32)

    def move(weight: np.ndarray) -> np.ndarray:
        return pack_integer_weight(weight, in_block, config.tile, dot)

    def transform(weight: te.Tensor, factors: te.Tensor) -> te.Tensor:
        from tvm import te, tirx

        def value(panel: Expr, place: Expr, block: Expr, *rest: Expr) -> Expr:
            terms = [
                tirx.Cast("int32", weight(panel, block, *divmod(tap, TAPS), *rest)) * factors(place, tap)
                for tap in range(TAPS * TAPS)
            ]
            return tirx.Cast("int16", functools.reduce(operator.add, terms))

        extents = [weight.shape[0], loops.index(config.size**2), weight.shape[1], *weight.shape[4:]]
        return te.compute(extents, value, name="transformed")

    return PackingAtLoad(move, transform, [factors], lambda weight: _beside_weight(weight, zero_point, config))


def _beside_weight(weight: np.ndarray, zero_point: int, config: IntegerWinogradConfig) -> list[np.ndarray]:
    """What the sums begin with, and the matrices."""
    assert is_exact(config.outputs, int(np.abs(weight.astype(np.int64)).sum(axis=(1, 2, 3)).max()))
    start = -zero_point * weight.sum(axis=(1, 2, 3), dtype=np.int64)
    matrices = integer_transforms(config.outputs)
    return [
        np.pad(start, (0, -len(start) % config.tile.panel)).astype(np.int32),
        matrices.input.astype(np.int32),
        matrices.output.astype(np.int32),
    ]


def convolve_integer_winograd(
    x: te.Tensor,
    weight: te.Tensor,
    start: te.Tensor,
    b: te.Tensor,
    a: te.Tensor,
    problem: Convolution,
    zero_point: int,
    out_block: int,
    config: IntegerWinogradConfig,
    dot: DotProduct,
    attributes: dict[str, str],
) -> te.Tensor:
    """The three steps as formulas, and the division: x is `[N, C/b, H, W, b]` int8, the result
    `[N, K / out_block, OH, OW, out_block]` int32."""
    from tvm import te, tirx

    in_block, matrices = int(x.shape[4]), integer_transforms(config.outputs)
    v = transform_input(x, b, problem, config.outputs, tirx.const(zero_point, "int8"), attributes)
    c = te.reduce_axis((loops.index(0), loops.index(problem.in_channels)), "c")

    def multiplied(r: Expr, s: Expr, k: Expr, tile: Expr) -> Expr:
        panel, *place = weight_place(weight, dot, k, c % in_block)
        read = weight(panel, r * config.size + s, c // in_block, *place)
        return te.sum(v(r, s, c // in_block, tile, c % in_block) * read.astype("int32"), axis=[c])

    extents = [*v.shape[:2], loops.index(problem.out_channels), v.shape[3]]
    u = te.compute(extents, multiplied, name="winograd_products", attrs=attributes)
    scaled = transform_output(u, a, problem, config.outputs, out_block, attributes)

    def divided(n: Expr, block: Expr, h: Expr, w: Expr, lane: Expr) -> Expr:
        power = scaled(n, block, h, w, lane) * tirx.const(matrices.inverse, "int32")
        return tirx.shift_right(power, tirx.const(matrices.shift, "int32")) + start(block * out_block + lane)

    return te.compute(scaled.shape, divided, name="conv2d", attrs=attributes)
