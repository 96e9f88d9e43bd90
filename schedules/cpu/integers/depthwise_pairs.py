"""The integer depthwise convolution by products of pairs of words: for x86 with AVX2, but without VNNI.

`vpmaddwd` adds two taps of a channel at once, when their words lie side by side. So the bytes of two pixels are
interleaved and widened, which four instructions do for sixteen channels; they serve all the outputs that they meet:

    for line, tile in ...:
        for two rows of the kernel, column of the tile:        # pixels above each other
            pair = widen(interleave(x[row, column], x[row + 1, column]))
            for pixel, tap of the column: sums[pixel] += pair * (w[row, tap], w[row + 1, tap])
        for two columns of the last row, where it is left:     # pixels beside each other
            ...
        y[tile] = epilogue(start[border kind] + sums)

Beyond the upper and lower border the rows that are read are moved into the image, and the taps are moved against them:
the weight is there once for each such way, with zeros for the taps that leave.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from edgecompile.convolution import Convolution
from edgecompile.target import CpuFacts

from schedules.cpu import loops
from schedules.cpu.accumulators import Accumulators
from schedules.cpu.block_vectors import over_lines
from schedules.cpu.epilogue import Epilogue
from schedules.cpu.image_tiles import ImageTiles, Tile
from schedules.cpu.integers.borders import BorderKinds, corrections
from schedules.cpu.integers.config import EPILOGUE_INSTRUCTIONS
from schedules.cpu.integers.epilogue import store_integers
from schedules.x86.words import Words, has_words

if TYPE_CHECKING:
    from tvm import te, tirx

    from schedules.cpu.loops import Expr

_CHANNELS, _LANES = 16, 8
_MOST_ROWS = 6  # two vectors of sums each, a pair, and what is in between: sixteen registers


@dataclass(frozen=True)
class PairsConfig:
    """The numbers of the template: `rows` pixels of a tile."""

    rows: int

    @staticmethod
    def choose(problem: Convolution, block: int, facts: CpuFacts) -> PairsConfig | None:
        """Tiles that come out even where they can; None where the template does not fit."""
        fits = block == _CHANNELS and problem.dilations == (1, 1) and problem.height >= problem.kernel[0]
        if not fits or facts.vector_bytes != 4 * _LANES or not has_words(facts, _LANES):
            return None
        width = problem.out_width
        rows = min(range(1, min(width, _MOST_ROWS) + 1), key=lambda rows: (math.ceil(width / rows), rows))
        return PairsConfig(rows)

    def cycles(self, problem: Convolution, facts: CpuFacts) -> float:
        """What one core needs, at two instructions per port and cycle."""
        products = 3 * math.ceil(math.prod(problem.kernel) / 2)
        vectors = problem.in_channels // _LANES * problem.batch * problem.out_height * problem.out_width
        return vectors * (products + EPILOGUE_INSTRUCTIONS) / (2 * facts.fma_ports)


@dataclass(frozen=True)
class _Steps:
    """The products of a kernel, in the order of the packed weight, and how far rows are moved into the image."""

    problem: Convolution

    @property
    def least(self) -> int:
        """The row that the first line wants, above the first one that is read."""
        return -self.problem.padding[0]

    @property
    def most(self) -> int:
        """How far below the rows that are read those lie that the last line wants."""
        problem = self.problem
        last = (problem.out_height - 1) * problem.strides[0] - problem.padding[0]
        return max(0, last - (problem.height - problem.kernel[0]))

    @property
    def count(self) -> int:
        """Products of a sum."""
        height, width = self.problem.kernel
        return height // 2 * width + height % 2 * (width + 1)

    def above(self, pair: int, column: int) -> int:
        """The step of two rows of the kernel, in one of its columns."""
        return pair * self.problem.kernel[1] + column

    def beside(self, column: int) -> int:
        """The step of two columns of the last row, from -1 on: beyond the kernel's ends there are zeros."""
        return self.problem.kernel[0] // 2 * self.problem.kernel[1] + column + 1


def pack_pairs(weight: np.ndarray, problem: Convolution, zero_point: int) -> list[np.ndarray]:
    """`[C, 1, KH, KW]` int8 to the weight and what the sums begin with.

    Returns:
        `[C / 16, moves, steps, 2, 16]` int16: for both halves of the channels two taps of each, side by side; and
        `[line kinds, column kinds, C]` int32.
    """
    steps, (height, width) = _Steps(problem), problem.kernel
    taps = weight.reshape(-1, _CHANNELS, height, width).astype(np.int16)
    packed = np.zeros((len(taps), steps.most - steps.least + 1, steps.count, 2, _LANES, 2), np.int16)

    def put(move: int, step: int, element: int, i: int, j: int) -> None:
        row = i - move  # of the kernel
        if 0 <= row < height and 0 <= j < width:
            channels = taps[:, :, row, j].reshape(-1, 2, _LANES)
            packed[:, move - steps.least, step, :, :, element] = channels

    for move in range(steps.least, steps.most + 1):
        for pair in range(height // 2):
            for j in range(width):
                for element in range(2):
                    put(move, steps.above(pair, j), element, 2 * pair + element, j)
        for j in range(-1, width) if height % 2 else ():
            for element in range(2):
                put(move, steps.beside(j), element, height - 1, j + element)
    return [packed.reshape(*packed.shape[:4], 2 * _LANES), corrections(weight, problem, zero_point)]


def convolve_pairs(
    x: te.Tensor, weight: te.Tensor, start: te.Tensor, problem: Convolution, attributes: dict[str, str]
) -> te.Tensor:
    """The convolution as a formula: x is `[N, C / 16, H, W, 16]` int8, the result has the same blocks in int32."""
    from tvm import te, tirx

    top, left, _, _ = problem.padding
    steps = _Steps(problem)
    row, column = (
        te.reduce_axis((loops.index(0), loops.index(problem.kernel[axis])), name) for axis, name in ((0, "i"), (1, "j"))
    )
    lines, columns = (BorderKinds.along(problem, axis) for axis in (0, 1))
    height = problem.kernel[0]

    def product(n: tirx.Var, block: tirx.Var, h: tirx.Var, w: tirx.Var, lane: tirx.Var) -> Expr:
        ih, iw = h * problem.strides[0] + row - top, w * problem.strides[1] + column - left
        inside = tirx.all(ih >= 0, ih < problem.height, iw >= 0, iw < problem.width)
        factor = tirx.if_then_else(inside, x(n, block, ih, iw, lane).astype("int32"), tirx.const(0, "int32"))
        is_last = tirx.all(row.equal(height - 1), height % 2 == 1)
        step = tirx.Select(is_last, steps.beside(0) + column, row // 2 * problem.kernel[1] + column)
        element = tirx.Select(is_last, loops.index(0), row % 2)
        read = weight(block, -steps.least, step, lane // _LANES, lane % _LANES * 2 + element)
        return te.sum(factor * read.astype("int32"), axis=[row, column])

    extents = [loops.index(n) for n in (problem.batch, int(x.shape[1]), problem.out_height, problem.out_width)]
    sums = te.compute([*extents, loops.index(_CHANNELS)], product, name="products", attrs=attributes)

    def corrected(n: tirx.Var, block: tirx.Var, h: tirx.Var, w: tirx.Var, lane: tirx.Var) -> Expr:
        return sums(n, block, h, w, lane) + start(lines.of(h), columns.of(w), block * _CHANNELS + lane)

    return te.compute(sums.shape, corrected, name="depthwise", attrs=attributes)


@dataclass(frozen=True)
class IntegerDepthwisePairs:
    """Makes the loops of one depthwise convolution; operands as `pack_pairs` makes them."""

    problem: Convolution
    config: PairsConfig
    x: tirx.Buffer
    weight: tirx.Buffer
    start: tirx.Buffer
    epilogue: Epilogue
    facts: CpuFacts

    def emit(self) -> tirx.Stmt:
        """The loops that compute all of the epilogue's target."""
        tiles = ImageTiles(self.problem, self.config.rows)

        def body(image: Expr, block: Expr, line: Expr) -> list[tirx.Stmt]:
            return tiles.of_line(line, lambda tile: self._tile(tile, image, block))

        return over_lines(self.problem.batch, int(self.x.shape[1]), self.problem.out_height, self.facts.num_cores, body)

    def _tile(self, tile: Tile, image: Expr, block: Expr) -> list[tirx.Stmt]:
        from tvm import tirx

        assert tile.line is not None
        line = tile.line
        problem, steps = self.problem, _Steps(self.problem)
        sums = Accumulators.make(tile.rows, 2, _LANES, "int32")
        wanted = line * problem.strides[0] - problem.padding[0]
        first = tirx.max(tirx.min(wanted, problem.height - problem.kernel[0]), loops.index(0))
        window = _Window(self, tile, [image, block], first, [block, wanted - first - steps.least], sums)
        lines, columns = (BorderKinds.along(problem, axis) for axis in (0, 1))

        def begin(row: int, v: int, lane: Expr) -> tirx.Stmt:
            kind = columns.of(tile.start + row) if isinstance(tile.start, int) else columns.before
            channel = block * _CHANNELS + v * _LANES + lane
            return sums.put(loops.load(self.start, [lines.of(line), loops.index(kind), channel]), row, v, lane)

        def place(row: int, v: int) -> list[Expr]:
            return [image, block, line, tile.pixel(row), loops.index(v * _LANES)]

        def finish(value: Expr, row: int, v: int, lane: Expr) -> tirx.Stmt:
            indices = [image, block, line, tile.pixel(row), lane + v * _LANES]
            return self.epilogue.store(value, indices)

        return [
            loops.allocate(sums.buffer),
            *sums.each(begin),
            *window.products(),
            *store_integers(self.epilogue, sums, place, [_LANES, _LANES], finish, 1, self.facts),
        ]


@dataclass(frozen=True)
class _Window:
    """The pixels that a tile meets.

    Attributes:
        at: image and block.
        first: the first row of x that is read.
        weights: where a step's weights begin in the packed weight: block and move.
    """

    kernel: IntegerDepthwisePairs
    tile: Tile
    at: list[Expr]
    first: Expr
    weights: list[Expr]
    sums: Accumulators

    def products(self) -> list[tirx.Stmt]:
        """All of them, in the order of the columns: a pair is needed for a short while only."""
        problem, steps = self.kernel.problem, _Steps(self.kernel.problem)
        (height, width), step = problem.kernel, problem.strides[1]
        rows = range(self.tile.rows)
        met = sorted({row * step + j for row in rows for j in range(width)})
        statements: list[tirx.Stmt] = []
        for pair in range(height // 2):
            for column in met:
                upper, lower = (self._pixel(2 * pair + i, column) for i in range(2))
                if upper is None or lower is None:
                    continue  # padding
                uses = [
                    (row, steps.above(pair, column - row * step)) for row in rows if 0 <= column - row * step < width
                ]
                statements += self._add(upper, lower, uses)
        for column in range(0, met[-1] + 1, 2) if height % 2 else ():
            left, right = (self._pixel(height - 1, c) if c in met else None for c in (column, column + 1))
            uses = [(row, steps.beside(column - row * step)) for row in rows if -1 <= column - row * step < width]
            if left is not None or right is not None:
                statements += self._add(left, right, uses)
        return statements

    def _pixel(self, i: int, column: int) -> Expr | None:
        """Sixteen channels of a pixel, by its row and column in the window; None for padding."""
        problem, start = self.kernel.problem, self.tile.start
        place = loops.index(start) * problem.strides[1] - problem.padding[1] + column
        if isinstance(start, int):
            known = start * problem.strides[1] - problem.padding[1] + column
            if not 0 <= known < problem.width:
                return None
            place = loops.index(known)
        return loops.load(self.kernel.x, [*self.at, self.first + i, place, loops.ramp(0, _CHANNELS)])

    def _add(self, first: Expr | None, second: Expr | None, uses: list[tuple[int, int]]) -> list[tirx.Stmt]:
        """The products of two pixels, None for zeros, with all outputs that they meet: as (row of the tile, step)."""
        from tvm import tirx

        words, count = Words(_LANES), 2 * _LANES
        nothing = tirx.Broadcast(tirx.const(0, "int8"), _CHANNELS)
        pixels = [nothing if pixel is None else pixel for pixel in (first, second)]
        pair = loops.local_buffer([2 * count], "int16", "pair")
        statements: list[tirx.Stmt] = [loops.allocate(pair)]
        for half in range(2):
            channels = range(half * _LANES, (half + 1) * _LANES)
            order = [pixel * _CHANNELS + channel for channel in channels for pixel in range(2)]
            both = tirx.Shuffle(pixels, [tirx.const(at, "int32") for at in order])
            widened = tirx.Cast(f"int16x{count}", both)
            statements.append(loops.store(pair, widened, [loops.ramp(half * count, count)]))
        for row, step in uses:
            for half in range(2):
                factors = loops.load(pair, [loops.ramp(half * count, count)])
                weights = loops.load(self.kernel.weight, [*self.weights, step, half, loops.ramp(0, count)])
                product = words.pair_products(factors, weights)
                statements.append(self.sums.update(row, half, functools.partial(words.sum_in_order, product)))
        return statements
