"""One step of a reduction in registers: sums += dot(factors of a row, weights of each vector)."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from schedules.cpu import loops
from schedules.cpu.accumulators import Accumulators
from schedules.cpu.integers.pixel_pairs import PIXELS, exchange_halves
from schedules.dot_product import DotProduct

if TYPE_CHECKING:
    from tvm import tirx

    from schedules.cpu.loops import Expr, Index


def step_weights(dot: DotProduct, buffer: tirx.Buffer, place: Sequence[Index], part: int = 0) -> Expr:
    """A step's weights of a vector of channels, or one of as many parts as a step takes pixels.

    Args:
        buffer: whose last dimension has the weights of a step.
        place: of the step in it.
    """
    size = dot.lanes * dot.group // dot.pixels
    return dot.weight(loops.load(buffer, [*place, loops.ramp(part * size, size)]))


def add_products(
    sums: Accumulators, dot: DotProduct, row: int, factor: Expr, weight: Callable[[int, int], Expr]
) -> list[tirx.Stmt]:
    """The products of a row's factors, one pixel's or a pair's, with the weights of all vectors.

    Args:
        weight: of a vector and a part; see `step_weights`.
    """
    operand = dot.spread(factor)

    def add(before: Expr, v: int, part: int) -> Expr:
        return dot.add(before, operand, weight(v, part))

    return [
        sums.update(row + part, v, functools.partial(add, v=v, part=part))
        for v in range(sums.vectors)
        for part in range(dot.pixels)
    ]


def in_matrices(sums: Accumulators, dot: DotProduct, products: list[tirx.Stmt]) -> list[tirx.Stmt]:
    """Products whose instruction takes sums of pairs of pixels: as matrices before, and as vectors behind them."""
    return products if dot.pixels != PIXELS else [*exchange_halves(sums), *products, *exchange_halves(sums)]
