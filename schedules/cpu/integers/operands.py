"""What a convolution of bytes reads, and where: `IntegerOperands`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgecompile.convolution import Convolution
from edgecompile.target import CpuFacts

from schedules.cpu import loops
from schedules.cpu.bands import Bands
from schedules.cpu.image_tiles import ImageTiles, Tile
from schedules.cpu.integers.config import IntegerConfig
from schedules.dot_product import DotProduct

if TYPE_CHECKING:
    from tvm import tirx

    from schedules.cpu.loops import Expr, Index


@dataclass(frozen=True)
class IntegerTask:
    """Where the loops around a tile stand: the image of the batch, the band, and the panel."""

    image: Expr
    band: Expr
    panel: Expr


@dataclass(frozen=True)
class IntegerOperands:
    """The tensors of one convolution, and how they are read.

    Attributes:
        x: `[N, blocks, H, W, b]` int8; `[*rows, C]` for a product of matrices.
        weight: as `integers.formula` packs it.
        is_product: the rows of x are its pixels, and the result is `[*rows, K]`.
        facts: of the CPU.
        fold: columns of x that are one of the problem's; see `integers.folded_columns`.
    """

    problem: Convolution
    config: IntegerConfig
    dot: DotProduct
    x: tirx.Buffer
    weight: tirx.Buffer
    is_product: bool
    facts: CpuFacts
    fold: int = 1

    @property
    def bands(self) -> Bands:
        """The tasks."""
        return Bands(self.problem, self.config.rows, self.panels, self.config.pixels_outside, self.facts.num_cores)

    @property
    def tiles(self) -> ImageTiles:
        """Those of a line."""
        return ImageTiles(self.problem, self.config.rows)

    @property
    def panels(self) -> int:
        """Of output channels."""
        return int(self.weight.shape[0])

    @property
    def in_block(self) -> int:
        """Channels of a pixel that lie side by side."""
        return int(self.x.shape[-1]) * self.fold

    def pixel(self, task: IntegerTask, tile: Tile, row: int, block: Expr, i: Expr, j: Index) -> list[Expr] | None:
        """Where the channels of a block of the pixel that meets (i, j) begin in x; None when it is padding."""
        if self.is_product:
            return self.matrix_row(tile.pixel(row))
        if self.problem.groups > 1:
            block = block + task.panel // (self.panels // self.problem.groups) * int(self.weight.shape[1])
        if tile.line is None:
            return [task.image, block, *tile.place(row, self.problem.width)]
        place = self.tiles.source(tile, row, i, j)
        return None if place is None else [task.image, block, place[0], place[1] * self.fold]

    def matrix_row(self, pixel: Expr) -> list[Expr]:
        """The index of a row of a matrix whose rows have several dimensions."""
        return loops.unflatten(pixel, [int(extent) for extent in self.x.shape[:-1]])
