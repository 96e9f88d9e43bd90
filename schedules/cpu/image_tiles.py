"""Tiles of neighbouring pixels along the rows of a convolution's output, and where their padding lies.

Pixels beyond the border are left out: the kernel's rows by the bounds of its loop, its columns by tiles of their own at
both ends of the width, whose products are known when the code is made.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgecompile.convolution import Convolution

from schedules.cpu import loops

if TYPE_CHECKING:
    from tvm import tirx

    from schedules.cpu.loops import Expr, Index


@dataclass(frozen=True)
class Tile:
    """Neighbouring pixels along the width.

    Attributes:
        line: the output row; None for products of matrices, whose rows are all one line.
        start: the first pixel; a number where it is known when the code is made.
        rows: how many.
    """

    line: Expr | None
    start: Index
    rows: int

    def pixel(self, row: int) -> Expr:
        """The column of one of its pixels."""
        return loops.index(self.start) + row

    def place(self, row: int, width: int) -> tuple[Expr, Expr]:
        """The line and column of one of its pixels, in an image of `width` columns where the tile has no line."""
        pixel = self.pixel(row)
        return (self.line, pixel) if self.line is not None else (pixel // width, pixel % width)


@dataclass(frozen=True)
class ImageTiles:
    """The tiles of `rows` pixels that cover the output of `problem`."""

    problem: Convolution
    rows: int

    def of_line(self, line: Expr, body: Callable[[Tile], list[tirx.Stmt]]) -> list[tirx.Stmt]:
        """`body` for all tiles of one row: at the borders one by one, between them in a loop."""
        statements: list[tirx.Stmt] = []
        for first, rows, count in self.runs():
            if count == 1:
                statements += body(Tile(line, first, rows))
            else:
                statements.append(self._run(line, first, count, body))
        return statements

    def _run(self, line: Expr, first: int, count: int, body: Callable[[Tile], list[tirx.Stmt]]) -> tirx.Stmt:
        return loops.serial(count, lambda tile: body(Tile(line, tile * self.rows + first, self.rows)), "tile")

    def runs(self) -> list[tuple[int, int, int]]:
        """The tiles of a line as (first pixel, rows, count), those that no padding touches together."""
        width = self.problem.out_width
        runs: list[tuple[int, int, int]] = []
        joins = False
        for start in range(0, width, self.rows):
            size = min(self.rows, width - start)
            inside = size == self.rows and self._is_inside(start, size)
            if inside and joins:
                runs[-1] = (runs[-1][0], size, runs[-1][2] + 1)
            else:
                runs.append((start, size, 1))
            joins = inside
        return runs

    def touches_border(self, tile: Tile) -> bool:
        """True when some column of the kernel lies beyond the image for some of its pixels."""
        return tile.line is not None and isinstance(tile.start, int) and not self._is_inside(tile.start, tile.rows)

    def _is_inside(self, start: int, rows: int) -> bool:
        pixels, columns = (start, start + rows - 1), (0, self.problem.kernel[1] - 1)
        return all(0 <= self._column(pixel, j) < self.problem.width for pixel in pixels for j in columns)

    def _column(self, pixel: int, j: int) -> int:
        return pixel * self.problem.strides[1] + j * self.problem.dilations[1] - self.problem.padding[1]

    def source(self, tile: Tile, row: int, i: Index, j: Index) -> tuple[Expr, Expr] | None:
        """The pixel of the input, as row and column, that meets the kernel's (i, j); None when it is padding."""
        problem = self.problem
        top, left, _, _ = problem.padding
        assert tile.line is not None
        line = tile.line * problem.strides[0] + loops.index(i) * problem.dilations[0] - top
        if isinstance(tile.start, int) and isinstance(j, int):
            column = self._column(tile.start + row, j)
            return (line, loops.index(column)) if 0 <= column < problem.width else None
        first = tile.pixel(row) * problem.strides[1] - left
        return line, first + loops.index(j) * problem.dilations[1]

    def kernel_rows(self, line: Expr | None) -> tuple[Index, Index]:
        """The first row of the kernel that lies within the image's height, and how many do."""
        from tvm import tirx

        problem = self.problem
        top, _, bottom, _ = problem.padding
        if line is None or not (top or bottom):
            return 0, problem.kernel[0]
        dilation = problem.dilations[0]
        above = top - line * problem.strides[0]
        low = tirx.max(loops.index(0), (above + (dilation - 1)) // dilation)
        high = tirx.min(loops.index(problem.kernel[0]), (above + (problem.height - 1)) // dilation + 1)
        return low, tirx.max(high - low, loops.index(0))


def in_blocks(image: Expr, place: tuple[Expr, Expr], channel: Expr, lane: Expr, block: int, lanes: int) -> list[Expr]:
    """The index of a lane of a vector of channels in `[N, C / block, H, W, block]`.

    Args:
        place: line and column.
        channel: of the vector's first lane.
    """
    if block % lanes == 0:  # a vector lies in one block
        return [image, channel // block, *place, channel % block + lane]
    return [image, loops.index(0), *place, channel + lane]
