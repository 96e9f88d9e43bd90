"""Convolution of bytes with 32-bit sums, and matrix products as its 1x1 case, on channel-blocked tensors.

    y[n, k, h, w] = sum over c, i, j of  (x[n, c, h*s + i*d - p, w*s + j*d - p] - zero_point) * weight[k, c, i, j]

The sums of `rows` neighbouring pixels times `vectors` vectors of output channels stay in registers from their start,
which makes up for the zero point (`integers.borders`), to the bytes that the epilogue makes of them:

    for band, panel in parallel(...):              # a panel: `vectors` vectors of output channels
        for tile in ...:                           # rows pixels along the width
            sums = start[border kind, panel]
            for block, i, j, group in ...:         # `group` channels, side by side in x
                for row in unrolled(rows):         # a pixel's group, spread over a vector
                    for v in unrolled(vectors):
                        sums[row, v] = dot(sums[row, v], x[...], weight[panel, block, i, j, group, v])
            y[tile] = epilogue(sums)

Groups are whole blocks of channels and whole panels; a panel meets the blocks of its group only.

Where the instruction multiplies words, the channels of all pixels that a line of the kernel meets are widened first.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgecompile.convolution import Convolution
from edgecompile.target import CpuFacts

from schedules.cpu import loops
from schedules.cpu.accumulators import Accumulators, by_panel_width
from schedules.cpu.bands import Bands
from schedules.cpu.epilogue import Epilogue
from schedules.cpu.image_tiles import ImageTiles, Tile
from schedules.cpu.integers.borders import BorderKinds
from schedules.cpu.integers.config import IntegerConfig, held_rows
from schedules.cpu.integers.epilogue import store_integers
from schedules.cpu.integers.pair_loops import columns_inside, columns_outside
from schedules.cpu.integers.pixel_pairs import PIXELS, Pair, exchange_halves, pair_products
from schedules.cpu.integers.products import line_products, tap_products, window_products
from schedules.cpu.weight_stream import WeightStream
from schedules.dot_product import DotProduct

if TYPE_CHECKING:
    from tvm import tirx

    from schedules.cpu.loops import Expr, Index

    Tap = tuple[Expr, Expr, Index]  # block of input channels, row and column of the kernel
    Multiply = Callable[[int, Expr, Tap, Expr], list[tirx.Stmt]]  # of a row, its factors, the tap, and the step
    LineProducts = Callable[..., list[tirx.Stmt]]  # see `line_products`


@dataclass(frozen=True)
class _Task:
    """Where the loops around a tile stand: the image of the batch, the band, and the panel."""

    image: Expr
    band: Expr
    panel: Expr


@dataclass(frozen=True)
class IntegerConvolution:
    """Makes the loops of one convolution.

    Attributes:
        x: `[N, blocks, H, W, b]` int8; `[*rows, C]` for a product of matrices.
        weight, start: as `integers.formula` packs them.
        is_product: the rows of x are its pixels, and the result is `[*rows, K]`.
        facts: of the CPU.
        fold: columns of x that are one of the problem's; see `integers.folded_columns`.
    """

    problem: Convolution
    config: IntegerConfig
    dot: DotProduct
    x: tirx.Buffer
    weight: tirx.Buffer
    start: tirx.Buffer
    epilogue: Epilogue
    is_product: bool
    facts: CpuFacts
    fold: int = 1

    def emit(self) -> tirx.Stmt:
        """The loops that compute all of the epilogue's target."""
        bands = self._bands

        def body(image: Expr, band: Expr, panel: Expr) -> list[tirx.Stmt]:
            return bands.tiles(band, lambda tile: self._tile(_Task(image, band, panel), tile))

        return bands.tasks(body)

    @property
    def _bands(self) -> Bands:
        return Bands(self.problem, self.config.rows, self._panels, self.config.pixels_outside, self.facts.num_cores)

    @property
    def _panels(self) -> int:
        return int(self.weight.shape[0])

    @property
    def _in_block(self) -> int:
        """Channels of a pixel that lie side by side."""
        return int(self.x.shape[-1]) * self.fold

    @property
    def _tiles(self) -> ImageTiles:
        return ImageTiles(self.problem, self.config.rows)

    def _tile(self, task: _Task, tile: Tile) -> list[tirx.Stmt]:
        """The sums of one tile, in registers from their start to their end."""
        config = self.config
        sums = Accumulators.make(held_rows(tile.rows, self.dot), config.vectors, config.lanes, "int32")

        def begin(row: int, v: int, lane: Expr) -> tirx.Stmt:
            channel = task.panel * config.panel + v * config.lanes + lane
            kinds = self._border_kinds(tile, min(row, tile.rows - 1))
            return sums.put(loops.load(self.start, [*kinds, channel]), row, v, lane)

        def finish(value: Expr, row: int, v: int, lane: Expr) -> tirx.Stmt:
            indices = self._output(task, tile, row, v, lane)
            return self.epilogue.store(value, indices)

        def multiply(row: int, factor: Expr, tap: Tap, group: Expr) -> list[tirx.Stmt]:
            operand = self.dot.spread(factor)

            def add(before: Expr, v: int, part: int) -> Expr:
                return self.dot.add(before, operand, self._weight(task, v, part, tap, group))

            return [
                sums.update(row + part, v, functools.partial(add, v=v, part=part))
                for v in range(config.vectors)
                for part in range(self.dot.pixels)
            ]

        joined, done = self._vectors_of_a_store, dataclasses.replace(sums, rows=tile.rows)

        def place(row: int, v: int) -> list[Expr]:
            return self._output(task, tile, row, v, loops.index(0))

        def stores_of(counts: list[int]) -> list[tirx.Stmt]:
            return store_integers(self.epilogue, done, place, counts, finish, joined, self.facts)

        channels = self.problem.out_channels
        stores = by_panel_width(task.panel, self._panels, channels, config.vectors, config.lanes, stores_of)
        products = self._reduction(task, tile, multiply)
        if self.dot.pixels == PIXELS:
            products = [*exchange_halves(sums), *products, *exchange_halves(sums)]
        return [loops.allocate(sums.buffer), *sums.each(begin), *products, *stores]

    @property
    def _vectors_of_a_store(self) -> int:
        """Vectors of sums whose bytes fill a register, if they lie side by side in the result."""
        config = self.config
        block = self.problem.out_channels if self.is_product else int(self.epilogue.anchor.shape[4])
        for count in (4, 2):
            lanes = count * config.lanes
            if lanes <= self.facts.vector_bytes and config.vectors % count == 0 and block % lanes == 0:
                return count
        return 1

    def _weight(self, task: _Task, v: int, part: int, tap: Tap, group: Expr) -> Expr:
        """A step's weights of a vector of channels, or one of as many parts as a step takes pixels."""
        size = self.dot.lanes * self.dot.group // self.dot.pixels
        place = [task.panel, *tap, group, v, loops.ramp(part * size, size)]
        return self.dot.weight(loops.load(self.weight, place))

    def _reduction(self, task: _Task, tile: Tile, multiply: Multiply) -> list[tirx.Stmt]:
        """The loops over the blocks of input channels and the kernel."""
        blocks, width = int(self.weight.shape[1]), self.problem.kernel[1]
        # Beyond the border each column of the kernel has its own products. In one stretch with the others LLVM would
        # keep the factors that several columns share, and spill.
        border = self._rows_at_border(tile)
        inner = [row for row in range(tile.rows) if row not in border]
        is_widened = self.dot.factor == "int16" and self.config.neighbours == 1
        is_window = (
            self.facts.multiplies_by_lane
            and self.dot.pixels == 1
            and self.dot.factor == "int8"
            and not self.dot.spread_instructions  # LLVM keeps what it spread, for as long as a column meets it
            and self._in_block == self.dot.group
            and tile.line is not None
        )

        def columns(block: Expr, i: Expr) -> list[tirx.Stmt]:
            if is_widened:
                return self._line(task, tile, block, i, multiply, line_products)
            if is_window:
                return self._line(task, tile, block, i, multiply, window_products)
            statements = []
            if inner:
                statements.append(
                    loops.serial(width, lambda j: self._channels(task, tile, inner, (block, i, j), multiply), "j")
                )
            for j in range(width) if border else ():
                statements += self._channels(task, tile, border, (block, i, j), multiply)
            return statements

        low, extent = self._tiles.kernel_rows(tile.line)
        if self.dot.pixels == PIXELS:

            def products(block: Expr, i: Expr, j: int) -> list[tirx.Stmt]:
                return self._channels(task, tile, range(tile.rows), (block, i, j), multiply)

            if self._in_block > self.dot.group:
                return columns_outside(blocks, width, (low, extent), products)
            return columns_inside(blocks, self.problem.kernel, (low, extent), products)
        if not columns(loops.index(0), loops.index(0)):
            return []  # the whole tile lies in the padding
        return [
            loops.serial(blocks, lambda block: [loops.serial(extent, lambda i: columns(block, i), "i", low)], "block")
        ]

    def _channels(self, task: _Task, tile: Tile, rows: Sequence[int], tap: Tap, multiply: Multiply) -> list[tirx.Stmt]:
        """The products of one block of channels with one tap, for some of the tile's rows."""

        def by_tap(row: int, word: Expr, group: Expr) -> list[tirx.Stmt]:
            return multiply(row, word, tap, group)

        pixels = {row: self._pixel(task, tile, row, *tap) for row in rows}
        if self.dot.pixels == PIXELS:
            pairs = self._pairs(pixels, tile, tap[2])
            return pair_products(self.x, pairs, self._in_block, self.dot, self.config.neighbours, by_tap)
        met = {row: place for row, place in pixels.items() if place is not None}
        requests = self._requests(task, tile) if self.is_product else None
        return tap_products(self.x, met, self.dot, self.config.neighbours, by_tap, requests)

    def _requests(self, task: _Task, tile: Tile) -> tuple[int, Callable[[Expr], list[tirx.Stmt]]] | None:
        """What asks for the next panel's weights of a product while this one's are in use; None where it is no use."""
        bands, steps = self._bands, int(self.weight.shape[4])
        step_bytes = self.config.vectors * self.dot.lanes * self.dot.group
        is_near = 2 * steps * step_bytes <= self.facts.l1d_bytes
        stream = WeightStream(self.weight, bands.size, steps, step_bytes, is_near)
        if not stream.pays(self.facts):
            return None
        zero = loops.index(0)
        block, i, j, group, ahead = stream.begin(zero, 1)
        turn = loops.index(tile.start) // self.config.rows - task.band * bands.size
        return stream.strip, stream.requests([task.panel, block, i, j, group, zero, ahead], turn, zero)

    def _pairs(self, pixels: Mapping[int, Sequence[Expr] | None], tile: Tile, j: Index) -> dict[int, Pair]:
        """By their first row, those of which at least one pixel is there."""
        pairs = {row: (pixels.get(row), pixels.get(row + 1)) for row in {row // PIXELS * PIXELS for row in pixels}}
        return {
            row: Pair(places, self._apart(places, tile, row, j))
            for row, places in sorted(pairs.items())
            if any(place is not None for place in places)
        }

    def _apart(
        self, places: tuple[Sequence[Expr] | None, Sequence[Expr] | None], tile: Tile, row: int, j: Index
    ) -> int:
        """See `Pair`."""
        problem, step = self.problem, self.problem.strides[1]
        if None in places or self._in_block != self.config.neighbours * self.dot.group:
            return 0
        if step == PIXELS and self.config.neighbours == 1 and tile.line is not None:
            if isinstance(tile.start, int) and isinstance(j, int):
                column = (tile.start + row) * step + j * problem.dilations[1] - problem.padding[1]
                return PIXELS if column + 2 * PIXELS <= problem.width else 0
            return PIXELS if row + PIXELS < tile.rows else 0  # else a tile that touches the border may end with it
        return 1 if step == 1 else 0

    def _line(
        self, task: _Task, tile: Tile, block: Expr, i: Expr, multiply: Multiply, products: LineProducts
    ) -> list[tirx.Stmt]:
        """The products of one block of channels with one line of the kernel, all of whose pixels are loaded first."""
        step, dilation = self.problem.strides[1], self.problem.dilations[1]
        met = {
            (row, j): (row * step + j * dilation, place)
            for j in range(self.problem.kernel[1])
            for row in range(tile.rows)
            if (place := self._pixel(task, tile, row, block, i, j)) is not None
        }
        return products(self.x, met, self.dot, lambda row, word, j, group: multiply(row, word, (block, i, j), group))

    def _rows_at_border(self, tile: Tile) -> list[int]:
        """Those that some column of the kernel meets beyond the image, and those that are taken together with them."""
        if tile.line is None or not isinstance(tile.start, int):
            return []
        pixels = self.dot.pixels
        return [
            row
            for first in range(0, tile.rows, pixels)
            if self._tiles.touches_border(Tile(tile.line, tile.start + first, min(pixels, tile.rows - first)))
            for row in range(first, min(first + pixels, tile.rows))
        ]

    def _pixel(self, task: _Task, tile: Tile, row: int, block: Expr, i: Expr, j: Index) -> list[Expr] | None:
        """Where the channels of a block of the pixel that meets (i, j) begin in x; None when it is padding."""
        if self.is_product:
            return self._row(tile.pixel(row))
        if self.problem.groups > 1:
            block = block + task.panel // (self._panels // self.problem.groups) * int(self.weight.shape[1])
        if tile.line is None:
            pixel = tile.pixel(row)
            return [task.image, block, pixel // self.problem.width, pixel % self.problem.width]
        place = self._tiles.source(tile, row, i, j)
        return None if place is None else [task.image, block, place[0], place[1] * self.fold]

    def _border_kinds(self, tile: Tile, row: int) -> list[Expr]:
        """The kinds of a pixel's line and column."""
        if tile.line is None:
            return [loops.index(0), loops.index(0)]
        lines, columns = (BorderKinds.along(self.problem, axis) for axis in (0, 1))
        column = columns.of(tile.start + row) if isinstance(tile.start, int) else columns.before
        return [lines.of(tile.line), loops.index(column)]

    def _output(self, task: _Task, tile: Tile, row: int, v: int, lane: Expr) -> list[Expr]:
        pixel = tile.pixel(row)
        channel = task.panel * self.config.panel + v * self.config.lanes
        if self.is_product:
            return [*self._row(pixel), channel + lane]
        h, w = (
            (tile.line, pixel) if tile.line is not None else (pixel // self.problem.width, pixel % self.problem.width)
        )
        block = int(self.epilogue.anchor.shape[4])
        if block % self.config.lanes == 0:  # a vector lies in one block
            return [task.image, channel // block, h, w, channel % block + lane]
        return [task.image, loops.index(0), h, w, channel + lane]

    def _row(self, pixel: Expr) -> list[Expr]:
        """The index of a row of a matrix whose rows have several dimensions."""
        return loops.unflatten(pixel, [int(extent) for extent in self.x.shape[:-1]])
