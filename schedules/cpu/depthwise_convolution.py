"""Depthwise convolution: each channel by itself, vectors along the channels of a block.

y[n, c, h, w] = sum over i, j of  x[n, c, h*s + i*d - p, w*s + j*d - p] * weight[c, i, j]

for image, band of lines, block, line in parallel(...):
    for tile in ...:                           # rows pixels along the width
        for v in ...:                          # the block's vectors
            for i in kernel rows:
                for j, row in unrolled(...):   # neighbours share what they read of x
                    sums[row] += x[...] * weight[block, i, j, v]
            y[tile] = epilogue(sums)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from edgecompile.convolution import Convolution
from edgecompile.target import CpuFacts

from schedules.cpu import loops
from schedules.cpu.accumulators import Accumulators
from schedules.cpu.block_vectors import over_lines, over_vectors
from schedules.cpu.direct.config import FLOAT_BYTES
from schedules.cpu.epilogue import Epilogue
from schedules.cpu.image_tiles import ImageTiles, Tile

if TYPE_CHECKING:
    from tvm import te, tirx

    from schedules.cpu.loops import Expr, Index


@dataclass(frozen=True)
class DepthwiseConfig:
    """The numbers of the template: `rows` pixels of a tile, `lanes` floats of a vector."""

    rows: int
    lanes: int

    @staticmethod
    def choose(problem: Convolution, block: int, facts: CpuFacts) -> DepthwiseConfig:
        """As many sums as half of the registers hold, in tiles that come out even where they can."""
        lanes = facts.vector_bytes // FLOAT_BYTES
        while lanes > 1 and block <= lanes // 2:
            lanes //= 2
        width, most = problem.out_width, facts.vector_registers // 2
        rows = min(range(1, min(width, most) + 1), key=lambda rows: (math.ceil(width / rows), rows))
        return DepthwiseConfig(rows, lanes)

    def cycles(self, problem: Convolution, facts: CpuFacts) -> float:
        """What one core needs, when all operands come in time."""
        vectors = math.ceil(problem.in_channels / self.lanes)
        taps = problem.kernel[0] * problem.kernel[1]
        return problem.batch * problem.out_height * problem.out_width * vectors * taps / facts.fma_ports


def pack_depthwise(weight: np.ndarray, block: int) -> np.ndarray:
    """`[C, 1, KH, KW]` -> `[C / block, KH, KW, block]`."""
    channels, _, height, width = weight.shape
    return np.ascontiguousarray(weight.reshape(channels // block, block, height, width).transpose(0, 2, 3, 1))


def convolve_depthwise(x: te.Tensor, weight: te.Tensor, problem: Convolution, attributes: dict[str, str]) -> te.Tensor:
    """The convolution as a formula.

    Args:
        x: `[N, C / b, H, W, b]`; the result has the same blocks.
        weight: as `pack_depthwise` makes it.
    """
    from tvm import te, tirx

    top, left, _, _ = problem.padding
    row, column = (
        te.reduce_axis((loops.index(0), loops.index(problem.kernel[axis])), name) for axis, name in ((0, "i"), (1, "j"))
    )

    def value(n: tirx.Var, block: tirx.Var, h: tirx.Var, w: tirx.Var, lane: tirx.Var) -> Expr:
        ih = h * problem.strides[0] + row * problem.dilations[0] - top
        iw = w * problem.strides[1] + column * problem.dilations[1] - left
        read = x(n, block, ih, iw, lane)
        if any(problem.padding):
            inside = tirx.all(ih >= 0, ih < problem.height, iw >= 0, iw < problem.width)
            read = tirx.if_then_else(inside, read, tirx.const(0.0, x.dtype))
        return te.sum(read * weight(block, row, column, lane), axis=[row, column])

    shape = (problem.batch, x.shape[1], loops.index(problem.out_height), loops.index(problem.out_width), x.shape[4])
    return te.compute([loops.index(problem.batch), *shape[1:]], value, name="depthwise", attrs=attributes)


@dataclass(frozen=True)
class DepthwiseConvolution:
    """Makes the loops of one depthwise convolution; x is `[N, C/b, H, W, b]`, the weight `[C/b, KH, KW, b]`."""

    problem: Convolution
    config: DepthwiseConfig
    x: tirx.Buffer
    weight: tirx.Buffer
    epilogue: Epilogue
    cores: int

    def emit(self) -> tirx.Stmt:
        """The loops that compute all of the epilogue's target."""
        tiles = ImageTiles(self.problem, self.config.rows)

        def body(image: Expr, block: Expr, line: Expr) -> list[tirx.Stmt]:
            def vectors(tile: Tile) -> list[tirx.Stmt]:
                return over_vectors(
                    int(self.x.shape[4]),
                    self.config.lanes,
                    lambda first, lanes: self._tile(tiles, tile, image, block, first, lanes),
                )

            return tiles.of_line(line, vectors)

        return over_lines(self.problem.batch, int(self.x.shape[1]), self.problem.out_height, self.cores, body)

    def _tile(
        self, tiles: ImageTiles, tile: Tile, image: Expr, block: Expr, first: Expr, lanes: int
    ) -> list[tirx.Stmt]:
        sums = Accumulators.make(tile.rows, 1, lanes, str(self.x.dtype))

        def add(row: int, i: Expr, j: Index, place: tuple[Expr, Expr]) -> list[tirx.Stmt]:
            def product(v: int, lane: Expr) -> Expr:
                del v  # there is one
                value = loops.load(self.x, [image, block, *place, first + lane])
                return value * loops.load(self.weight, [block, i, j, first + lane])

            return sums.add(row, product)

        def finish(row: int, v: int, lane: Expr) -> tirx.Stmt:
            assert tile.line is not None
            indices = [image, block, tile.line, tile.pixel(row), first + lane]
            return self.epilogue.store(sums.get(row, v, lane), indices)

        def kernel_row(i: Expr) -> list[tirx.Stmt]:
            return [
                statement
                for j in range(self.problem.kernel[1])
                for row in range(tile.rows)
                if (place := tiles.source(tile, row, i, j)) is not None
                for statement in add(row, i, j, place)
            ]

        low, extent = tiles.kernel_rows(tile.line)
        products = [loops.serial(extent, kernel_row, "i", low)] if kernel_row(loops.index(0)) else []
        return [*sums.start(), *products, *sums.each(finish)]
