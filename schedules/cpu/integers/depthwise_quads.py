"""Depthwise products of four taps at once, of four neighbouring pixels of sixteen channels: `QuadProducts`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgecompile.convolution import Convolution

from schedules.cpu import loops
from schedules.cpu.accumulators import Accumulators
from schedules.cpu.image_tiles import ImageTiles, Tile
from schedules.cpu.integers.depthwise_config import QUAD, QUAD_CHANNELS, SHIFTS, quads_of
from schedules.x86.dot_products import byte_products, flip_signs

if TYPE_CHECKING:
    from tvm import tirx

    from schedules.cpu.loops import Expr


@dataclass(frozen=True)
class QuadProducts:
    """Of one tile.

    Attributes:
        tiles: whose pixels reach as far as the last quad of taps.
        x: `[N, C / 16, H, W, 16]` int8.
        weight: `[C / 16, KH, quads, shifts, 64]` int8.
        sums: of the tile's pixels.
    """

    problem: Convolution
    tiles: ImageTiles
    x: tirx.Buffer
    weight: tirx.Buffer
    tile: Tile
    sums: Accumulators

    def emit(self, image: Expr, block: Expr, i: Expr) -> list[tirx.Stmt]:
        """The products of row i of the kernel."""
        from tvm import tirx

        problem, add = self.problem, byte_products(QUAD_CHANNELS).add
        line = self.tiles.source(Tile(self.tile.line, loops.index(0), 1), 0, i, 0)
        assert line is not None  # padding is found out where the column is known
        statements: list[tirx.Stmt] = []
        for quad in range(quads_of(problem.kernel[1])):
            moved, loaded = None, None
            for row in range(self.tile.rows):
                fitting = self._fitting(row, quad, loaded)
                if fitting is None:
                    continue  # all of its taps lie in the padding
                column, shift = fitting
                if moved is None or column != loaded:
                    loaded = column
                    moved = loops.local_buffer([QUAD * QUAD_CHANNELS], "int8", "moved")
                    first = loops.index(column)
                    if not isinstance(self.tile.start, int):
                        first = self.tile.start * problem.strides[1] - problem.padding[1] + quad * QUAD + column
                    place = [image, block, line[0], first, _whole_quad()]
                    pixels = tirx.Shuffle(
                        [flip_signs(loops.load(self.x, place))], [tirx.const(at, "int32") for at in _transposition()]
                    )
                    statements += [loops.allocate(moved), loops.store(moved, pixels, [_whole_quad()])]
                weight = loops.load(self.weight, [block, i, quad, SHIFTS.index(shift), _whole_quad()])
                statements.append(self.sums.update(row, 0, _adder(add, loops.load(moved, [_whole_quad()]), weight)))
        return statements

    def _fitting(self, row: int, quad: int, loaded: int | None) -> tuple[int, int] | None:
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
        if isinstance(self.tile.start, int):
            wanted += self.tile.start * problem.strides[1] - problem.padding[1] + quad * QUAD
            columns = [column for column in range(wanted, wanted + taps) if 0 <= column < problem.width]
            last = min(max(wanted, 0), problem.width - QUAD)
        if not columns:
            return None
        if loaded is not None and loaded <= columns[0] and columns[-1] < loaded + QUAD:
            return loaded, wanted - loaded
        return last, wanted - last


def _whole_quad() -> Expr:
    return loops.ramp(0, QUAD * QUAD_CHANNELS)


def _adder(add: Callable[[Expr, Expr, Expr], Expr], x: Expr, weight: Expr) -> Callable[[Expr], Expr]:
    return lambda sums: add(sums, x, weight)


def _transposition() -> list[int]:
    """Where each byte of four pixels of sixteen channels comes from, for sixteen channels of four pixels."""
    return [pixel * QUAD_CHANNELS + channel for channel in range(QUAD_CHANNELS) for pixel in range(QUAD)]
