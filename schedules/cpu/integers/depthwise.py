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
import math
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from edgecompile.convolution import Convolution
from edgecompile.target import CpuFacts

from schedules.cpu import loops
from schedules.cpu.accumulators import Accumulators
from schedules.cpu.block_vectors import over_lines, over_vectors
from schedules.cpu.epilogue import Epilogue
from schedules.cpu.image_tiles import ImageTiles, Tile
from schedules.cpu.integers.borders import BorderKinds, corrections
from schedules.cpu.integers.config import EPILOGUE_INSTRUCTIONS
from schedules.cpu.integers.epilogue import store_integers
from schedules.x86.dot_products import byte_products, flip_signs

if TYPE_CHECKING:
    from tvm import te, tirx

    from schedules.cpu.loops import Expr

QUAD = 4  # neighbouring pixels, and taps, of one product
_QUAD_CHANNELS = 16
_SHIFTS = range(1 - QUAD, QUAD)  # of the taps against the pixels of their quad
_MOST_ROWS, _MOST_QUAD_ROWS = 8, 16  # the more rows, the more of them share the same four pixels
_MOST_SUMS = 16  # registers of them, beside those of factors


@dataclass(frozen=True)
class IntegerDepthwiseConfig:
    """The numbers of the template.

    Attributes:
        rows: pixels of a tile.
        lanes: 32-bit sums of a vector.
        has_quads: four taps are added at once.
        taps: that are added in 16 bits; 1 where each is a product of 32 bits.
    """

    rows: int
    lanes: int
    has_quads: bool
    taps: int = 1

    @property
    def offset(self) -> int:
        """What is added to x."""
        return 128 if self.has_quads else 0

    @staticmethod
    def choose(problem: Convolution, block: int, facts: CpuFacts, lowest_weight: int) -> IntegerDepthwiseConfig:
        """Tiles that come out even where they can, of as many sums as a core has in flight."""
        lanes, taps = facts.vector_bytes // 4, 1
        if facts.multiplies_by_lane and block % (2 * lanes) == 0:  # a register of bytes, or half of one
            lanes, taps = facts.vector_bytes, 2 if lowest_weight > -128 else 1
        while lanes > 1 and block <= lanes // 2:
            lanes //= 2
        has_dots = facts.vector_bytes == 64 and {"avx512_vnni", "avx512vbmi"} <= set(facts.features)
        has_quads = has_dots and block == _QUAD_CHANNELS and problem.width >= QUAD and problem.dilations[1] == 1
        width, registers = problem.out_width, max(lanes * 4 // facts.vector_bytes, 1)
        most = min(width, _MOST_QUAD_ROWS if has_quads else _MOST_ROWS, _MOST_SUMS // registers)
        rows = min(range(1, most + 1), key=lambda rows: (math.ceil(width / rows), rows))
        return IntegerDepthwiseConfig(rows, lanes, has_quads, taps)

    def cycles(self, problem: Convolution, facts: CpuFacts) -> float:
        """What one core needs, at two instructions per port and cycle."""
        height, width = problem.kernel
        products = 3 * height * quads_of(width) if self.has_quads else 3 * height * width
        vectors = math.ceil(problem.in_channels / self.lanes) * problem.batch * problem.out_height * problem.out_width
        return vectors * (products + EPILOGUE_INSTRUCTIONS) / (2 * facts.fma_ports)


def quads_of(width: int) -> int:
    """Products of a row of the kernel."""
    return math.ceil(width / QUAD)


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
    packed = np.zeros((channels // block, height, quads_of(width), len(_SHIFTS), block, QUAD), np.int8)
    taps = weight.reshape(channels // block, block, height, width)
    for at, shift in enumerate(_SHIFTS):
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
            tap = [block, row, column // QUAD, loops.index(_SHIFTS.index(0)), lane * QUAD + column % QUAD]
        return te.sum(factor * weight(*tap).astype("int32"), axis=[row, column])

    extents = [
        loops.index(extent)
        for extent in (problem.batch, int(x.shape[1]), problem.out_height, problem.out_width, block_size)
    ]
    sums = te.compute(extents, product, name="products", attrs=attributes)

    def corrected(n: tirx.Var, block: tirx.Var, h: tirx.Var, w: tirx.Var, lane: tirx.Var) -> Expr:
        return sums(n, block, h, w, lane) + start(lines.of(h), columns.of(w), block * block_size + lane)

    return te.compute(extents, corrected, name="depthwise", attrs=attributes)


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
                return self._quads(tile, image, block, i, sums)
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

    def _quads(self, tile: Tile, image: Expr, block: Expr, i: Expr, sums: Accumulators) -> list[tirx.Stmt]:
        """One product for each four taps."""
        from tvm import tirx

        problem, add = self.problem, byte_products(_QUAD_CHANNELS).add
        line = self._tiles.source(Tile(tile.line, loops.index(0), 1), 0, i, 0)
        assert line is not None  # padding is found out where the column is known
        statements: list[tirx.Stmt] = []
        for quad in range(quads_of(problem.kernel[1])):
            moved, loaded = None, None
            for row in range(tile.rows):
                fitting = self._fitting(tile, row, quad, loaded)
                if fitting is None:
                    continue  # all of its taps lie in the padding
                column, shift = fitting
                if moved is None or column != loaded:
                    loaded = column
                    moved = loops.local_buffer([QUAD * _QUAD_CHANNELS], "int8", "moved")
                    first = loops.index(column)
                    if not isinstance(tile.start, int):
                        first = tile.start * problem.strides[1] - problem.padding[1] + quad * QUAD + column
                    place = [image, block, line[0], first, _whole_quad()]
                    pixels = tirx.Shuffle(
                        [flip_signs(loops.load(self.x, place))], [tirx.const(at, "int32") for at in _transposition()]
                    )
                    statements += [loops.allocate(moved), loops.store(moved, pixels, [_whole_quad()])]
                weight = loops.load(self.weight, [block, i, quad, _SHIFTS.index(shift), _whole_quad()])
                statements.append(sums.update(row, 0, _adder(add, loops.load(moved, [_whole_quad()]), weight)))
        return statements

    def _fitting(self, tile: Tile, row: int, quad: int, loaded: int | None) -> tuple[int, int] | None:
        """Four pixels for a quad of taps of a row of the tile: their first column, and how far the taps are moved.

        Columns count from that of the first row's first tap where the tile's place is not known, then all taps lie
        within the image. None where none of them does.

        Args:
            loaded: the column of the four pixels at hand, which are taken where they do.
        """
        problem, taps = self.problem, min(QUAD, self.problem.kernel[1] - quad * QUAD)
        wanted = row * problem.strides[1]
        columns = list(range(wanted, wanted + taps))
        last = wanted
        if isinstance(tile.start, int):
            wanted += tile.start * problem.strides[1] - problem.padding[1] + quad * QUAD
            columns = [column for column in range(wanted, wanted + taps) if 0 <= column < problem.width]
            last = min(max(wanted, 0), problem.width - QUAD)
        if not columns:
            return None
        if loaded is not None and loaded <= columns[0] and columns[-1] < loaded + QUAD:
            return loaded, wanted - loaded
        return last, wanted - last


def _whole_quad() -> Expr:
    return loops.ramp(0, QUAD * _QUAD_CHANNELS)


def _adder(add: Callable[[Expr, Expr, Expr], Expr], x: Expr, weight: Expr) -> Callable[[Expr], Expr]:
    return lambda sums: add(sums, x, weight)


def _transposition() -> list[int]:
    """Where each byte of four pixels of sixteen channels comes from, for sixteen channels of four pixels."""
    return [pixel * _QUAD_CHANNELS + channel for channel in range(_QUAD_CHANNELS) for pixel in range(QUAD)]
