"""How the pixels of a convolution and the panels of its weight become tasks: bands of lines, or of tiles."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgecompile.convolution import Convolution

from schedules.cpu import loops
from schedules.cpu.image_tiles import ImageTiles, Tile

if TYPE_CHECKING:
    from tvm import tirx

    from schedules.cpu.loops import Expr, Index

    Compute = Callable[[Tile], list[tirx.Stmt]]


@dataclass(frozen=True)
class Bands:
    """The bands of one convolution.

    Attributes:
        rows: pixels of a tile.
        panels: of the weight.
        pixels_outside: the loop over bands lies around the one over panels.
    """

    problem: Convolution
    rows: int
    panels: int
    pixels_outside: bool
    cores: int

    @property
    def units(self) -> int:
        """Rows of the image, or tiles of a product of matrices."""
        return math.ceil(self._pixels / self.rows) if self.problem.is_pointwise else self.problem.out_height

    @property
    def size(self) -> int:
        """Units of one task: a row of an image is work enough, and so are a few tiles of a product."""
        if self.pixels_outside:
            return max(1, min(self.units // (4 * self.cores), 4)) if self.problem.is_pointwise else 1
        return self.units if self.panels >= self.cores else math.ceil(self.units / self.cores)

    @property
    def count(self) -> int:
        """Bands of an image."""
        return math.ceil(self.units / self.size)

    @property
    def tiles_of_one(self) -> int:
        """Tiles of a band, which use the same panel one after the other."""
        return self.size * (1 if self.problem.is_pointwise else self._tiles_per_line)

    def turn(self, tile: Tile, band: Expr) -> Expr:
        """The tile's number within its band."""
        first, along = band * self.size, loops.index(tile.start) // self.rows
        return along - first if tile.line is None else (tile.line - first) * self._tiles_per_line + along

    @property
    def _tiles_per_line(self) -> int:
        return math.ceil(self.problem.out_width / self.rows)

    @property
    def _pixels(self) -> int:
        return self.problem.height * self.problem.width

    def tasks(self, body: Callable[[Expr, Expr, Expr], list[tirx.Stmt]]) -> tirx.Stmt:
        """`body(image, band, panel)` for all of them, in parallel."""
        panels, bands = self.panels, self.count

        def task(index: Expr) -> list[tirx.Stmt]:
            if self.pixels_outside:
                image, band = index // bands, index % bands
                return [loops.serial(panels, lambda panel: body(image, band, panel), "panel")]
            return body(index // (bands * panels), index % bands, index // bands % panels)

        return loops.parallel(self.problem.batch * bands * (1 if self.pixels_outside else panels), task)

    def tiles(self, band: Expr, compute: Compute) -> list[tirx.Stmt]:
        """`compute` for each tile of a band."""
        return self._of_product(band, compute) if self.problem.is_pointwise else self._of_image(band, compute)

    def _of_product(self, band: Expr, compute: Compute) -> list[tirx.Stmt]:
        """Whole tiles in a loop; the pixels that are left, after the last one."""
        from tvm import tirx

        first = band * self.size
        full, rest = divmod(self._pixels, self.rows)
        statements: list[tirx.Stmt] = []
        if full:
            whole = full == self.count * self.size
            extent = self.size if whole else tirx.min(loops.index(self.size), full - first)
            statements.append(
                loops.serial(extent, lambda tile: compute(Tile(None, tile * self.rows, self.rows)), "tile", first)
            )
        if rest:
            tail = compute(Tile(None, full * self.rows, rest))
            statements += [loops.when(band.equal(self.count - 1), tail)] if self.count > 1 else tail
        return statements

    def _of_image(self, band: Expr, compute: Compute) -> list[tirx.Stmt]:
        from tvm import tirx

        tiles = ImageTiles(self.problem, self.rows)
        if self.size == 1:
            return tiles.of_line(band, compute)
        first = band * self.size
        extent: Index = self.size
        if self.problem.out_height % self.size:
            extent = tirx.min(loops.index(self.size), self.problem.out_height - first)
        return [loops.serial(extent, lambda line: tiles.of_line(line, compute), "line", first)]
