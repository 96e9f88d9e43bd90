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

Beyond the upper and lower border other rows are read, and the words of their weights are masked.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
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
from schedules.cpu.integers.epilogue import read_scales, store_integers
from schedules.x86.words import PACKED, Words, has_words

if TYPE_CHECKING:
    from tvm import te, tirx

    from schedules.cpu.integers.epilogue import Scales
    from schedules.cpu.loops import Expr

_CHANNELS, _LANES = 16, 8
_PIXELS = PACKED // 2  # whose bytes are packed together
_MOST_ROWS = 16  # few are in registers at a time; the more, the fewer pixels are met by two tiles


@dataclass(frozen=True)
class PairsConfig:
    """The numbers of the template: `rows` pixels of a tile."""

    rows: int

    @staticmethod
    def choose(problem: Convolution, block: int, facts: CpuFacts) -> PairsConfig | None:
        """Tiles that come out even where they can; None where the template does not fit."""
        fits = block == _CHANNELS and problem.dilations == (1, 1)
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
    """The products of a kernel, in the order of the packed weight."""

    problem: Convolution

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

    def rows(self, step: int) -> tuple[int, int]:
        """The rows of the kernel that a step's two taps lie in."""
        height, width = self.problem.kernel
        pair = step // width
        return (2 * pair, 2 * pair + 1) if pair < height // 2 else (height - 1, height - 1)


def pack_pairs(weight: np.ndarray, problem: Convolution, zero_point: int) -> list[np.ndarray]:
    """`[C, 1, KH, KW]` int8 to the weight and what the sums begin with.

    Returns:
        `[C / 16, steps, 2, 16]` int16: for both halves of the channels two taps of each, side by side; and
        `[line kinds, column kinds, C]` int32.
    """
    steps, (height, width) = _Steps(problem), problem.kernel
    taps = weight.reshape(-1, _CHANNELS, height, width).astype(np.int16)
    packed = np.zeros((len(taps), steps.count, 2, _LANES, 2), np.int16)

    def put(step: int, element: int, i: int, j: int) -> None:
        if 0 <= j < width:
            packed[:, step, :, :, element] = taps[:, :, i, j].reshape(-1, 2, _LANES)

    for pair in range(height // 2):
        for j in range(width):
            for element in range(2):
                put(steps.above(pair, j), element, 2 * pair + element, j)
    for j in range(-1, width) if height % 2 else ():
        for element in range(2):
            put(steps.beside(j), element, height - 1, j + element)
    return [packed.reshape(*packed.shape[:3], 2 * _LANES), corrections(weight, problem, zero_point)]


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
        read = weight(block, step, lane // _LANES, lane % _LANES * 2 + element)
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
        assert tile.line is not None
        stores = _Stores(self, tile, [image, block])
        masks = _masks(self.problem, tile.line)
        lower, upper = (_Half(self, tile, [image, block], masks, half) for half in range(2))
        statements = [*stores.begin(), *(loops.allocate(mask) for mask, _ in masks.values())]
        statements += [loops.store(mask, value, [loops.ramp(0, _LANES)]) for mask, value in masks.values()]
        return [*statements, *lower.products(stores), *upper.products(stores, is_last=True)]


def _masks(problem: Convolution, line: Expr) -> dict[tuple[int, int], tuple[tirx.Buffer, Expr]]:
    """By two rows of the kernel: ones where a tap lies within the image, at the words of the packed weight.

    Rows beyond the image are read elsewhere, and meet weights of zero.
    """
    from tvm import tirx

    if not any(problem.padding[::2]):
        return {}
    steps = _Steps(problem)
    found: dict[tuple[int, int], tuple[tirx.Buffer, Expr]] = {}
    for rows in sorted({steps.rows(step) for step in range(steps.count)}):
        word = tirx.const(0, "int32")
        for row, ones in zip(rows, (0xFFFF, -0x10000), strict=True):
            wanted = line * problem.strides[0] - problem.padding[0] + row
            inside = tirx.all(wanted >= 0, wanted < problem.height)
            word = word | tirx.Select(inside, tirx.const(ones, "int32"), tirx.const(0, "int32"))
        found[rows] = loops.local_buffer([_LANES], "int32", "mask"), tirx.Broadcast(word, _LANES)
    return found


class _Stores:
    """The sums of a tile, and their end: four vectors are packed together, of pixels side by side.

    Those of the first half wait in memory for those of the second.
    """

    def __init__(self, kernel: IntegerDepthwisePairs, tile: Tile, at: list[Expr]) -> None:
        self._kernel, self._tile, self._at = kernel, tile, at
        self._sums = [
            Accumulators.make(min(_PIXELS, tile.rows - first), 2, _LANES, "int32")
            for first in range(0, tile.rows, _PIXELS)
        ]
        self._scales: Scales = {}

    def begin(self) -> list[tirx.Stmt]:
        """Room for the sums, and what they begin with."""
        kernel, tile = self._kernel, self._tile
        assert tile.line is not None
        lines, columns = (BorderKinds.along(kernel.problem, axis) for axis in (0, 1))
        statements = [loops.allocate(sums.buffer) for sums in self._sums]
        for row in range(tile.rows):
            kind = columns.of(tile.start + row) if isinstance(tile.start, int) else columns.before
            for half in range(2):
                channel = loops.ramp(self._at[1] * _CHANNELS + half * _LANES, _LANES)
                start = loops.load(kernel.start, [lines.of(tile.line), loops.index(kind), channel])
                statements.append(self._sums[row // _PIXELS].replace(start, row % _PIXELS, half))
        self._scales, made = read_scales(kernel.epilogue, self._place(0), [_LANES, _LANES], kernel.facts)
        return [*statements, *made]

    def update(self, row: int, half: int, change: Callable[[Expr], Expr]) -> tirx.Stmt:
        """A change of one of the sums."""
        return self._sums[row // _PIXELS].update(row % _PIXELS, half, change)

    def store(self, group: int) -> list[tirx.Stmt]:
        """What becomes of the complete sums of a group of pixels."""
        kernel, place = self._kernel, self._place(group * _PIXELS)

        def finish(value: Expr, row: int, v: int, lane: Expr) -> tirx.Stmt:
            *before, first = place(row, v)
            return kernel.epilogue.store(value, [*before, first + lane])

        counts = [_LANES, _LANES]
        return store_integers(kernel.epilogue, self._sums[group], place, counts, finish, 1, kernel.facts, self._scales)

    def _place(self, first: int) -> Callable[[int, int], list[Expr]]:
        line, tile = self._tile.line, self._tile
        assert line is not None
        return lambda row, v: [*self._at, line, tile.pixel(first + row), loops.index(v * _LANES)]


@dataclass(frozen=True)
class _Meeting:
    """Two pixels side by side in words, and the outputs that they meet.

    Attributes:
        pixels: `_LANES` channels each; None for zeros.
        uses: rows of the tile, and the step of the packed weight for each.
    """

    pixels: tuple[Expr | None, Expr | None]
    uses: Sequence[tuple[int, int]]


@dataclass(frozen=True)
class _Half:
    """Half of the channels of a tile: fewer sums at a time, and so its weights stay in registers.

    Attributes:
        at: image and block.
        masks: of `_masks`.
    """

    kernel: IntegerDepthwisePairs
    tile: Tile
    at: list[Expr]
    masks: Mapping[tuple[int, int], tuple[tirx.Buffer, Expr]]
    half: int

    def products(self, stores: _Stores, *, is_last: bool = False) -> list[tirx.Stmt]:
        """In the order of the columns; the last half stores each group of pixels when it is complete."""
        meetings = self._meetings()
        last = [-1] * math.ceil(self.tile.rows / _PIXELS)  # where each group is complete
        for at, meeting in enumerate(meetings):
            for row, _ in meeting.uses:
                last[row // _PIXELS] = at
        statements: list[tirx.Stmt] = []
        for at in range(-1, len(meetings)):
            statements += self._add(meetings[at], stores) if at >= 0 else []
            if is_last:
                for group in range(len(last)):
                    statements += stores.store(group) if last[group] == at else []
        return statements

    def _meetings(self) -> list[_Meeting]:
        """In the order of the columns."""
        problem, steps = self.kernel.problem, _Steps(self.kernel.problem)
        (height, width), step = problem.kernel, problem.strides[1]
        rows = range(self.tile.rows)
        met = sorted({row * step + j for row in rows for j in range(width)})
        found: list[_Meeting] = []
        for column in range(met[-1] + 1):
            offsets = [(row, column - row * step) for row in rows]
            for pair in range(height // 2):
                upper, lower = (self._pixel(2 * pair + i, column) for i in range(2))
                uses = [(row, steps.above(pair, j)) for row, j in offsets if 0 <= j < width]
                if uses and upper is not None and lower is not None:
                    found.append(_Meeting((upper, lower), uses))
            is_second = column % 2 == 1
            if height % 2 and (is_second or column == met[-1]):
                left = column - 1 if is_second else column
                both = [self._pixel(height - 1, c) if c in met else None for c in (left, left + 1)]
                uses = [(row, steps.beside(left - row * step)) for row in rows if -1 <= left - row * step < width]
                if any(pixel is not None for pixel in both):
                    found.append(_Meeting((both[0], both[1]), uses))
        return found

    def _pixel(self, i: int, column: int) -> Expr | None:
        """The half of a pixel, by its row and column in the window; None for padding."""
        problem, start = self.kernel.problem, self.tile.start
        place = loops.index(start) * problem.strides[1] - problem.padding[1] + column
        if isinstance(start, int):
            known = start * problem.strides[1] - problem.padding[1] + column
            if not 0 <= known < problem.width:
                return None
            place = loops.index(known)
        return loops.load(self.kernel.x, [*self.at, self._row(i), place, loops.ramp(self.half * _LANES, _LANES)])

    def _row(self, i: int) -> Expr:
        """The row of x that meets one of the kernel; some other where that lies beyond the image."""
        from tvm import tirx

        problem = self.kernel.problem
        assert self.tile.line is not None
        wanted = self.tile.line * problem.strides[0] - problem.padding[0] + i
        return tirx.max(tirx.min(wanted, problem.height - 1), 0) if any(problem.padding[::2]) else wanted

    def _weights(self, step: int) -> Expr:
        count = 2 * _LANES
        weights = loops.load(self.kernel.weight, [self.at[1], step, self.half, loops.ramp(0, count)])
        if not self.masks:
            return weights
        mask, _ = self.masks[_Steps(self.kernel.problem).rows(step)]
        return weights & Words(_LANES).reinterpreted(loops.load(mask, [loops.ramp(0, _LANES)]), 16)

    def _add(self, meeting: _Meeting, stores: _Stores) -> list[tirx.Stmt]:
        from tvm import tirx

        words, count = Words(_LANES), 2 * _LANES
        nothing = tirx.Broadcast(tirx.const(0, "int8"), _LANES)
        pixels = [nothing if pixel is None else pixel for pixel in meeting.pixels]
        order = [pixel * _LANES + channel for channel in range(_LANES) for pixel in range(2)]
        both = tirx.Shuffle(pixels, [tirx.const(at, "int32") for at in order])
        pair, whole = loops.local_buffer([count], "int16", "pair"), [loops.ramp(0, count)]
        statements = [loops.allocate(pair), loops.store(pair, tirx.Cast(f"int16x{count}", both), whole)]
        for row, step in meeting.uses:
            product = words.pair_products(loops.load(pair, whole), self._weights(step))
            statements.append(stores.update(row, self.half, functools.partial(words.sum_in_order, product)))
        return statements
