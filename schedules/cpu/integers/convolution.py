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
from dataclasses import dataclass
from typing import TYPE_CHECKING

from schedules.cpu import loops
from schedules.cpu.accumulators import Accumulators, by_panel_width
from schedules.cpu.epilogue import Epilogue
from schedules.cpu.image_tiles import Tile, in_blocks
from schedules.cpu.integers.borders import BorderKinds
from schedules.cpu.integers.config import held_rows
from schedules.cpu.integers.dot_sums import add_products, in_matrices, step_weights
from schedules.cpu.integers.epilogue import store_integers
from schedules.cpu.integers.operands import IntegerOperands, IntegerTask
from schedules.cpu.integers.reduction import IntegerReduction

if TYPE_CHECKING:
    from tvm import tirx

    from schedules.cpu.integers.reduction import Tap
    from schedules.cpu.loops import Expr


@dataclass(frozen=True)
class IntegerConvolution:
    """Makes the loops of one convolution.

    Attributes:
        operands: what it reads.
        start: of the sums, as `integers.formula` packs it.
    """

    operands: IntegerOperands
    start: tirx.Buffer
    epilogue: Epilogue

    def emit(self) -> tirx.Stmt:
        """The loops that compute all of the epilogue's target."""
        bands = self.operands.bands

        def body(image: Expr, band: Expr, panel: Expr) -> list[tirx.Stmt]:
            return bands.tiles(band, lambda tile: self._tile(IntegerTask(image, band, panel), tile))

        return bands.tasks(body)

    def _tile(self, task: IntegerTask, tile: Tile) -> list[tirx.Stmt]:
        """The sums of one tile, in registers from their start to their end."""
        operands, config = self.operands, self.operands.config
        sums = Accumulators.make(held_rows(tile.rows, operands.dot), config.vectors, config.lanes, "int32")

        def begin(row: int, v: int, lane: Expr) -> tirx.Stmt:
            channel = task.panel * config.panel + v * config.lanes + lane
            kinds = self._border_kinds(tile, min(row, tile.rows - 1))
            return sums.put(loops.load(self.start, [*kinds, channel]), row, v, lane)

        def multiply(row: int, factor: Expr, tap: Tap, group: Expr) -> list[tirx.Stmt]:
            def weight(v: int, part: int) -> Expr:
                return step_weights(operands.dot, operands.weight, [task.panel, *tap, group, v], part)

            return add_products(sums, operands.dot, row, factor, weight)

        products = IntegerReduction(operands, task, tile, multiply).emit()
        stores = self._stores(task, tile, dataclasses.replace(sums, rows=tile.rows))
        return [loops.allocate(sums.buffer), *sums.each(begin), *in_matrices(sums, operands.dot, products), *stores]

    def _stores(self, task: IntegerTask, tile: Tile, sums: Accumulators) -> list[tirx.Stmt]:
        """The bytes that the epilogue makes of the sums."""
        operands, config = self.operands, self.operands.config
        channels = operands.problem.out_channels
        block = channels if operands.is_product else int(self.epilogue.anchor.shape[4])
        joined = config.vectors_of_a_store(operands.facts, block)

        def place(row: int, v: int) -> list[Expr]:
            return self._output(task, tile, row, v, loops.index(0))

        def finish(value: Expr, row: int, v: int, lane: Expr) -> tirx.Stmt:
            return self.epilogue.store(value, self._output(task, tile, row, v, lane))

        def stores_of(counts: list[int]) -> list[tirx.Stmt]:
            return store_integers(self.epilogue, sums, place, counts, finish, joined, operands.facts)

        return by_panel_width(task.panel, operands.panels, channels, config.vectors, config.lanes, stores_of)

    def _border_kinds(self, tile: Tile, row: int) -> list[Expr]:
        """The kinds of a pixel's line and column."""
        if tile.line is None:
            return [loops.index(0), loops.index(0)]
        lines, columns = (BorderKinds.along(self.operands.problem, axis) for axis in (0, 1))
        column = columns.of(tile.start + row) if isinstance(tile.start, int) else columns.before
        return [lines.of(tile.line), loops.index(column)]

    def _output(self, task: IntegerTask, tile: Tile, row: int, v: int, lane: Expr) -> list[Expr]:
        """Where a result is stored."""
        config = self.operands.config
        channel = task.panel * config.panel + v * config.lanes
        if self.operands.is_product:
            return [*self.operands.matrix_row(tile.pixel(row)), channel + lane]
        place = tile.place(row, self.operands.problem.width)
        return in_blocks(task.image, place, channel, lane, int(self.epilogue.anchor.shape[4]), config.lanes)
