"""Depthwise convolution of bytes with 32-bit sums: each channel by itself, vectors along the channels of a block.

y[n, c, h, w] = sum over i, j of  (x[n, c, h*s + i - p, w*s + j - p] - zero_point) * weight[c, i, j]

With AVX-512 VBMI and VNNI four neighbouring pixels of sixteen channels, 64 bytes side by side, are transposed so that
each channel's four bytes are one lane, and one `vpdpbusd` adds four taps:

    for line, tile in ...:
        sums = start[border kind]
        for i in kernel rows, quad of taps in the row, pixel of the tile:
            sums[pixel] = dot(sums[pixel], transpose(x[line, 4 pixels]), weight[i, quad, shift])

At the border the four pixels are moved into the image, and the taps are moved against them; those that leave the quad
are the ones beyond the image. Elsewhere each tap is a product of widened channels. AArch64 multiplies sixteen channels
without widening them: `smull` and `smlal` make sums of two taps in 16 bits, which two products of bytes do not leave
where no weight is -128, and `saddw` adds them to the 32-bit sums.
"""

from __future__ import annotations

import dataclasses
import functools
import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgecompile.convolution import Convolution
from edgecompile.target import CpuFacts

from schedules.cpu import loops
from schedules.cpu.accumulators import Accumulators
from schedules.cpu.block_vectors import over_lines, over_vectors
from schedules.cpu.epilogue import Epilogue
from schedules.cpu.image_tiles import ImageTiles, Tile
from schedules.cpu.integers.borders import BorderKinds
from schedules.cpu.integers.depthwise_config import QUAD, IntegerDepthwiseConfig, quads_of
from schedules.cpu.integers.depthwise_quads import QuadProducts
from schedules.cpu.integers.epilogue import store_integers

if TYPE_CHECKING:
    from tvm import tirx

    from schedules.cpu.loops import Expr


@dataclass(frozen=True)
class IntegerDepthwise:
    """Makes the loops of one depthwise convolution; operands as `pack_integer_depthwise` makes them."""

    problem: Convolution
    config: IntegerDepthwiseConfig
    x: tirx.Buffer
    weight: tirx.Buffer
    start: tirx.Buffer
    epilogue: Epilogue
    facts: CpuFacts

    def emit(self) -> tirx.Stmt:
        """The loops that compute all of the epilogue's target."""

        def body(image: Expr, block: Expr, line: Expr) -> list[tirx.Stmt]:
            def vectors(tile: Tile) -> list[tirx.Stmt]:
                return over_vectors(
                    int(self.x.shape[4]),
                    self.config.lanes,
                    lambda first, lanes: self._tile(tile, image, block, first, lanes),
                )

            return self._tiles.of_line(line, vectors)

        return over_lines(self.problem.batch, int(self.x.shape[1]), self.problem.out_height, self.facts.num_cores, body)

    @property
    def _tiles(self) -> ImageTiles:
        """With quads each pixel reaches as far as the last of them."""
        problem = self.problem
        if self.config.has_quads:
            height, width = problem.kernel
            reach = quads_of(width) * QUAD
            top, left, bottom, right = problem.padding
            padding = (top, left, bottom, right + reach - width)
            problem = dataclasses.replace(problem, kernel=(height, reach), padding=padding)
        return ImageTiles(problem, self.config.rows)

    def _tile(self, tile: Tile, image: Expr, block: Expr, first: Expr, lanes: int) -> list[tirx.Stmt]:
        assert tile.line is not None
        line = tile.line
        sums = Accumulators.make(tile.rows, 1, lanes, "int32")
        line_kinds, column_kinds = (BorderKinds.along(self.problem, axis) for axis in (0, 1))

        def begin(row: int, v: int, lane: Expr) -> tirx.Stmt:
            is_known = isinstance(tile.start, int)
            kind = column_kinds.of(tile.start + row) if is_known else column_kinds.before
            channel = block * int(self.x.shape[4]) + first + lane
            return sums.put(loops.load(self.start, [line_kinds.of(line), loops.index(kind), channel]), row, v, lane)

        def place(row: int, v: int) -> list[Expr]:
            del v  # there is one
            return [image, block, line, tile.pixel(row), first]

        def finish(value: Expr, row: int, v: int, lane: Expr) -> tirx.Stmt:
            indices = [*place(row, v)[:-1], first + lane]
            return self.epilogue.store(value, indices)

        def kernel_row(i: Expr) -> list[tirx.Stmt]:
            if self.config.has_quads:
                return QuadProducts(self.problem, self._tiles, self.x, self.weight, tile, sums).emit(image, block, i)
            return self._taps(tile, image, block, first, i, sums)

        low, extent = self._tiles.kernel_rows(line)
        products = [loops.serial(extent, kernel_row, "i", low)] if kernel_row(loops.index(0)) else []
        stores = store_integers(self.epilogue, sums, place, [lanes], finish, 1, self.facts)
        return [loops.allocate(sums.buffer), *sums.each(begin), *products, *stores]

    def _taps(self, tile: Tile, image: Expr, block: Expr, first: Expr, i: Expr, sums: Accumulators) -> list[tirx.Stmt]:
        """One product for each tap, or the sum of two."""
        from tvm import tirx

        def factors(j: int, place: tuple[Expr, Expr], lane: Expr) -> tuple[Expr, Expr]:
            value = loops.load(self.x, [image, block, *place, first + lane])
            weight = loops.load(self.weight, [block, i, j, first + lane])
            return tirx.Cast("int16", value), tirx.Cast("int16", weight)

        def add(row: int, taps: Sequence[tuple[int, tuple[Expr, Expr]]]) -> list[tirx.Stmt]:
            def product(v: int, lane: Expr) -> Expr:
                del v  # there is one
                found = [factors(j, place, lane) for j, place in taps]
                if self.config.taps == 1:
                    ((value, weight),) = found
                    return tirx.Cast("int32", value) * tirx.Cast("int32", weight)
                return tirx.Cast("int32", functools.reduce(operator.add, [value * weight for value, weight in found]))

            return sums.add(row, product)

        statements: list[tirx.Stmt] = []
        columns, step = self.problem.kernel[1], self.config.taps
        for begin in range(0, columns, step):
            for row in range(tile.rows):
                places = [(j, self._tiles.source(tile, row, i, j)) for j in range(begin, min(begin + step, columns))]
                met = [(j, place) for j, place in places if place is not None]
                if met:
                    statements += add(row, met)
        return statements
