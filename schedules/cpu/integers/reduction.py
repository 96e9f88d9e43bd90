"""Which products make the sums of a tile of a convolution of bytes, and in which order: `IntegerReduction`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from schedules.cpu import loops
from schedules.cpu.image_tiles import Tile
from schedules.cpu.integers.operands import IntegerOperands, IntegerTask
from schedules.cpu.integers.pair_loops import columns_inside, columns_outside
from schedules.cpu.integers.pixel_pairs import PIXELS, Pair, pair_products
from schedules.cpu.integers.products import line_products, tap_products, window_products
from schedules.cpu.weight_stream import WeightStream

if TYPE_CHECKING:
    from tvm import tirx

    from schedules.cpu.loops import Expr, Index

    Tap = tuple[Expr, Expr, Index]  # block of input channels, row and column of the kernel
    Multiply = Callable[[int, Expr, Tap, Expr], list[tirx.Stmt]]  # of a row, its factors, the tap, and the step
    LineProducts = Callable[..., list[tirx.Stmt]]  # see `line_products`


@dataclass(frozen=True)
class IntegerReduction:
    """The reduction of one tile.

    Attributes:
        operands: what the convolution reads.
        multiply: adds the products of a row's factors to its sums.
    """

    operands: IntegerOperands
    task: IntegerTask
    tile: Tile
    multiply: Multiply

    def emit(self) -> list[tirx.Stmt]:
        """The loops over the blocks of input channels and the kernel."""
        blocks, width = int(self.operands.weight.shape[1]), self.operands.problem.kernel[1]
        # Beyond the border each column of the kernel has its own products. In one stretch with the others LLVM would
        # keep the factors that several columns share, and spill.
        border = self._rows_at_border()
        inner = [row for row in range(self.tile.rows) if row not in border]
        is_widened = self.operands.dot.factor == "int16" and self.operands.config.neighbours == 1
        is_window = (
            self.operands.facts.multiplies_by_lane
            and self.operands.dot.pixels == 1
            and self.operands.dot.factor == "int8"
            and not self.operands.dot.spread_instructions  # LLVM keeps what it spread, for as long as a column meets it
            and self.operands.in_block == self.operands.dot.group
            and self.tile.line is not None
        )

        def columns(block: Expr, i: Expr) -> list[tirx.Stmt]:
            if is_widened:
                return self._line(block, i, line_products)
            if is_window:
                return self._line(block, i, window_products)
            statements = []
            if inner:
                statements.append(loops.serial(width, lambda j: self._channels(inner, (block, i, j)), "j"))
            for j in range(width) if border else ():
                statements += self._channels(border, (block, i, j))
            return statements

        low, extent = self.operands.tiles.kernel_rows(self.tile.line)
        if self.operands.dot.pixels == PIXELS:

            def products(block: Expr, i: Expr, j: int) -> list[tirx.Stmt]:
                return self._channels(range(self.tile.rows), (block, i, j))

            if self.operands.in_block > self.operands.dot.group:
                return columns_outside(blocks, width, (low, extent), products)
            return columns_inside(blocks, self.operands.problem.kernel, (low, extent), products)
        if not columns(loops.index(0), loops.index(0)):
            return []  # the whole tile lies in the padding
        return [
            loops.serial(blocks, lambda block: [loops.serial(extent, lambda i: columns(block, i), "i", low)], "block")
        ]

    def _channels(self, rows: Sequence[int], tap: Tap) -> list[tirx.Stmt]:
        """The products of one block of channels with one tap, for some of the tile's rows."""

        def by_tap(row: int, word: Expr, group: Expr) -> list[tirx.Stmt]:
            return self.multiply(row, word, tap, group)

        pixels = {row: self.operands.pixel(self.task, self.tile, row, *tap) for row in rows}
        if self.operands.dot.pixels == PIXELS:
            pairs = self._pairs(pixels, tap[2])
            return pair_products(
                self.operands.x,
                pairs,
                self.operands.in_block,
                self.operands.dot,
                self.operands.config.neighbours,
                by_tap,
            )
        met = {row: place for row, place in pixels.items() if place is not None}
        requests = self._requests(tap)
        return tap_products(self.operands.x, met, self.operands.dot, self.operands.config.neighbours, by_tap, requests)

    def _requests(self, tap: Tap) -> tuple[int, Callable[[Expr], list[tirx.Stmt]]] | None:
        """What asks for the next panel's weights while this one's are in use; None where it is no use.

        Where bands are outside, the panels of a convolution are all in the second-level cache after the first band.
        """
        operands, bands = self.operands, self.operands.bands
        if operands.config.pixels_outside and not operands.is_product:
            return None
        blocks, height, width, groups = (int(extent) for extent in operands.weight.shape[1:5])
        steps = blocks * height * width * groups
        step_bytes = operands.config.vectors * operands.dot.lanes * operands.dot.group
        is_near = 2 * steps * step_bytes <= operands.facts.l1d_bytes
        stream = WeightStream(operands.weight, bands.tiles_of_one, steps, step_bytes, is_near, groups)
        if not stream.pays(operands.facts):
            return None
        *behind, ahead = stream.begin(loops.index(0), blocks)
        at = [self.task.panel, *behind, loops.index(0), ahead]
        block, i, j = tap
        done = ((block * height + i) * width + j) * groups
        return stream.strip, stream.requests(at, bands.turn(self.tile, self.task.band), done)

    def _pairs(self, pixels: Mapping[int, Sequence[Expr] | None], j: Index) -> dict[int, Pair]:
        """By their first row, those of which at least one pixel is there."""
        pairs = {row: (pixels.get(row), pixels.get(row + 1)) for row in {row // PIXELS * PIXELS for row in pixels}}
        return {
            row: Pair(places, self._apart(places, row, j))
            for row, places in sorted(pairs.items())
            if any(place is not None for place in places)
        }

    def _apart(self, places: tuple[Sequence[Expr] | None, Sequence[Expr] | None], row: int, j: Index) -> int:
        """See `Pair`."""
        problem, step = self.operands.problem, self.operands.problem.strides[1]
        if None in places or self.operands.in_block != self.operands.config.neighbours * self.operands.dot.group:
            return 0
        if step == PIXELS and self.operands.config.neighbours == 1 and self.tile.line is not None:
            if isinstance(self.tile.start, int) and isinstance(j, int):
                column = (self.tile.start + row) * step + j * problem.dilations[1] - problem.padding[1]
                return PIXELS if column + 2 * PIXELS <= problem.width else 0
            return PIXELS if row + PIXELS < self.tile.rows else 0  # else a tile that touches the border may end with it
        return 1 if step == 1 else 0

    def _line(self, block: Expr, i: Expr, products: LineProducts) -> list[tirx.Stmt]:
        """The products of one block of channels with one line of the kernel, all of whose pixels are loaded first."""
        step, dilation = self.operands.problem.strides[1], self.operands.problem.dilations[1]
        met = {
            (row, j): (row * step + j * dilation, place)
            for j in range(self.operands.problem.kernel[1])
            for row in range(self.tile.rows)
            if (place := self.operands.pixel(self.task, self.tile, row, block, i, j)) is not None
        }
        return products(
            self.operands.x,
            met,
            self.operands.dot,
            lambda row, word, j, group: self.multiply(row, word, (block, i, j), group),
        )

    def _rows_at_border(self) -> list[int]:
        """Those that some column of the kernel meets beyond the image, and those that are taken together with them."""
        if self.tile.line is None or not isinstance(self.tile.start, int):
            return []
        pixels = self.operands.dot.pixels
        return [
            row
            for first in range(0, self.tile.rows, pixels)
            if self.operands.tiles.touches_border(
                Tile(self.tile.line, self.tile.start + first, min(pixels, self.tile.rows - first))
            )
            for row in range(first, min(first + pixels, self.tile.rows))
        ]
