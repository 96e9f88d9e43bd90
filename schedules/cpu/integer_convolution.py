"""Convolution of bytes with 32-bit sums, and matrix products as its 1x1 case, on channel-blocked tensors.

    y[n, k, h, w] = sum over c, i, j of  (x[n, c, h*s + i*d - p, w*s + j*d - p] - zero_point) * weight[k, c, i, j]

The sums of `rows` neighbouring pixels times `vectors` vectors of output channels stay in registers from their start,
which makes up for the zero point (`integer_borders`), to the bytes that the epilogue makes of them:

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

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgecompile.convolution import Convolution
from edgecompile.target import CpuFacts

from schedules.cpu import loops
from schedules.cpu.accumulators import Accumulators, lanes_of_panel
from schedules.cpu.bands import Bands
from schedules.cpu.epilogue import Epilogue
from schedules.cpu.image_tiles import ImageTiles, Tile
from schedules.cpu.integer_borders import BorderKinds
from schedules.cpu.integer_config import IntegerConfig
from schedules.cpu.integer_epilogue import store_integers
from schedules.cpu.integer_products import line_products, tap_products
from schedules.dot_product import DotProduct

if TYPE_CHECKING:
    from tvm import tirx

    from schedules.cpu.loops import Expr, Index

    Tap = tuple[Expr, Expr, Index]  # block of input channels, row and column of the kernel
    Multiply = Callable[[int, Expr, Tap, Expr], list[tirx.Stmt]]  # of a row, its factors, the tap, and the step


@dataclass(frozen=True)
class _Task:
    """Where the loops around a tile stand: the image of the batch, and the panel."""

    image: Expr
    panel: Expr


@dataclass(frozen=True)
class IntegerConvolution:
    """Makes the loops of one convolution.

    Attributes:
        x: `[N, blocks, H, W, b]` int8; `[*rows, C]` for a product of matrices.
        weight, start: as `integer_formula` packs them.
        is_product: the rows of x are its pixels, and the result is `[*rows, K]`.
        facts: of the CPU.
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

    def emit(self) -> tirx.Stmt:
        """The loops that compute all of the epilogue's target."""
        bands = Bands(self.problem, self.config.rows, self._panels, self.config.pixels_outside, self.facts.num_cores)

        def body(image: Expr, band: Expr, panel: Expr) -> list[tirx.Stmt]:
            return bands.tiles(band, lambda tile: self._tile(_Task(image, panel), tile))

        return bands.tasks(body)

    @property
    def _panels(self) -> int:
        return int(self.weight.shape[0])

    @property
    def _tiles(self) -> ImageTiles:
        return ImageTiles(self.problem, self.config.rows)

    def _tile(self, task: _Task, tile: Tile) -> list[tirx.Stmt]:
        """The sums of one tile, in registers from their start to their end."""
        config, target = self.config, self.epilogue.target
        sums = Accumulators.make(tile.rows, config.vectors, config.lanes, "int32")

        def begin(row: int, v: int, lane: Expr) -> tirx.Stmt:
            channel = task.panel * config.panel + v * config.lanes + lane
            return sums.put(loops.load(self.start, [*self._border_kinds(tile, row), channel]), row, v, lane)

        def finish(row: int, v: int, lane: Expr) -> tirx.Stmt:
            indices = self._output(task, tile, row, v, lane)
            return loops.store(target, self.epilogue.apply(sums.get(row, v, lane), indices), indices)

        def multiply(row: int, factor: Expr, tap: Tap, group: Expr) -> list[tirx.Stmt]:
            operand = self.dot.spread(factor)

            def add(before: Expr, v: int) -> Expr:
                return self.dot.add(before, operand, self._weight(task, v, tap, group))

            return [sums.update(row, v, functools.partial(add, v=v)) for v in range(config.vectors)]

        left = self.problem.out_channels - (self._panels - 1) * config.panel
        short = lanes_of_panel(left, config.vectors, config.lanes)

        def place(row: int, v: int) -> list[Expr]:
            return self._output(task, tile, row, v, loops.index(0))

        def stores_of(counts: Sequence[int]) -> list[tirx.Stmt]:
            return store_integers(self.epilogue, sums, place, counts, finish, self.facts)

        if left == config.panel or self._panels == 1:
            stores = stores_of(short)
        else:
            full = [config.lanes] * config.vectors
            stores = [loops.when(task.panel.equal(self._panels - 1), stores_of(short), stores_of(full))]
        return [loops.allocate(sums.buffer), *sums.each(begin), *self._reduction(task, tile, multiply), *stores]

    def _weight(self, task: _Task, v: int, tap: Tap, group: Expr) -> Expr:
        place = [task.panel, *tap, group, v, loops.ramp(0, self.dot.lanes * self.dot.group)]
        return self.dot.weight(loops.load(self.weight, place))

    def _reduction(self, task: _Task, tile: Tile, multiply: Multiply) -> list[tirx.Stmt]:
        """The loops over the blocks of input channels and the kernel."""
        blocks, width = int(self.weight.shape[1]), self.problem.kernel[1]
        # Beyond the border each column of the kernel has its own products. In one stretch with the others LLVM would
        # keep the factors that several columns share, and spill.
        border = [row for row in range(tile.rows) if self._misses_taps(tile, row)]
        inner = [row for row in range(tile.rows) if row not in border]
        is_widened = self.dot.factor == "int16" and self.config.neighbours == 1

        def columns(block: Expr, i: Expr) -> list[tirx.Stmt]:
            if is_widened:
                return self._widened_line(task, tile, block, i, multiply)
            statements = []
            if inner:
                statements.append(
                    loops.serial(width, lambda j: self._channels(task, tile, inner, (block, i, j), multiply), "j")
                )
            for j in range(width) if border else ():
                statements += self._channels(task, tile, border, (block, i, j), multiply)
            return statements

        if not columns(loops.index(0), loops.index(0)):
            return []  # the whole tile lies in the padding
        low, extent = self._tiles.kernel_rows(tile.line)
        return [
            loops.serial(blocks, lambda block: [loops.serial(extent, lambda i: columns(block, i), "i", low)], "block")
        ]

    def _channels(self, task: _Task, tile: Tile, rows: Sequence[int], tap: Tap, multiply: Multiply) -> list[tirx.Stmt]:
        """The products of one block of channels with one tap, for some of the tile's rows."""
        pixels = {row: self._pixel(task, tile, row, *tap) for row in rows}
        met = {row: place for row, place in pixels.items() if place is not None}
        return tap_products(
            self.x, met, self.dot, self.config.neighbours, lambda row, word, group: multiply(row, word, tap, group)
        )

    def _widened_line(self, task: _Task, tile: Tile, block: Expr, i: Expr, multiply: Multiply) -> list[tirx.Stmt]:
        """The products of one block of channels with one line of the kernel, all of whose pixels are widened first."""
        step, dilation = self.problem.strides[1], self.problem.dilations[1]
        met = {
            (row, j): (row * step + j * dilation, place)
            for j in range(self.problem.kernel[1])
            for row in range(tile.rows)
            if (place := self._pixel(task, tile, row, block, i, j)) is not None
        }
        return line_products(
            self.x, met, self.dot, lambda row, word, j, group: multiply(row, word, (block, i, j), group)
        )

    def _misses_taps(self, tile: Tile, row: int) -> bool:
        """True when some column of the kernel lies beyond the image for this row of the tile."""
        if tile.line is None or not isinstance(tile.start, int):
            return False
        return self._tiles.touches_border(Tile(tile.line, tile.start + row, 1))

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
        return None if place is None else [task.image, block, *place]

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
