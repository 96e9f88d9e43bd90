"""The loops of Winograd convolution around its arithmetic: rows of tiles go through all steps together, block by block.

for block in ...:                              # what stays in the second-level cache
    for step in (transform in, multiply, transform out):
        for task in ...:  step(block, task)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgecompile.convolution import Convolution

from schedules.cpu import loops
from schedules.cpu.winograd.matrices import TAPS

if TYPE_CHECKING:
    from tvm import tirx

    from schedules.cpu.loops import Body, Expr, Index

    Statements = list[tirx.Stmt]
    Tasks = tuple[int, Callable[[Expr], Statements]]  # of one step: how many, and what one does
    # Of a block of channels, the tile, its first row and column in x, and whether it is guarded.
    ReadTile = Callable[[Expr, Expr, tuple[Expr, Expr], bool], Statements]
    _Loop = Callable[[int, Body, str], tirx.Stmt]


@dataclass(frozen=True)
class TileBlock:
    """Rows of tiles that go through all steps together.

    Attributes:
        group: whose part of the memory it uses.
        image: of the batch.
        first: row of tiles.
        cores: that work on it.
    """

    group: Expr
    image: Expr
    first: Expr
    cores: int


@dataclass(frozen=True)
class TileBlocks:
    """The blocks of one convolution, whose tiles have `outputs` x `outputs` results.

    Attributes:
        tile_rows: rows of tiles of a block; divides their number.
    """

    problem: Convolution
    outputs: int
    tile_rows: int
    cores: int

    @property
    def size(self) -> int:
        """Rows and columns of a transformed tile."""
        return self.outputs + TAPS - 1

    @property
    def rows(self) -> int:
        """Rows of tiles of one image."""
        return math.ceil(self.problem.out_height / self.outputs)

    @property
    def width(self) -> int:
        """Tiles of one row."""
        return math.ceil(self.problem.out_width / self.outputs)

    @property
    def tiles(self) -> int:
        """Tiles of one block."""
        return self.tile_rows * self.width

    @property
    def groups(self) -> int:
        """How many blocks are under way at once, each with memory of its own."""
        return self.cores if self._share else 1

    @property
    def _count(self) -> int:
        return self.problem.batch * self.rows // self.tile_rows

    @property
    def _share(self) -> int:
        """Blocks of one core."""
        return self._count // self.cores if self.cores > 1 else 0

    def emit(self, steps: Callable[[TileBlock], Sequence[Tasks]]) -> Statements:
        """The steps of all blocks.

        Where there are blocks enough, each core does some of them, all three steps, with memory of its own. The blocks
        that are left over, or all where they are few, are done by the cores together, step by step.
        """
        share, groups = self._share, self.groups
        statements: Statements = []
        if share:

            def group(index: Expr) -> Statements:
                return [loops.serial(share, lambda i: self._block(steps, index * share + i, index, 1), "block")]

            statements.append(loops.parallel(groups, group, "group"))
        left = self._count - share * groups
        if left:

            def block(index: Expr) -> Statements:
                return self._block(steps, index + share * groups, loops.index(0), self.cores)

            statements.append(loops.serial(left, block, "block"))
        return statements

    def _block(self, steps: Callable[[TileBlock], Sequence[Tasks]], index: Expr, group: Expr, cores: int) -> Statements:
        blocks = self.rows // self.tile_rows
        block = TileBlock(group, index // blocks, index % blocks * self.tile_rows, cores)
        # Where one core does whole blocks, their steps are within its loop.
        loop: _Loop = loops.serial if self._share and cores == 1 else loops.parallel
        return [loop(tasks, body, "task") for tasks, body in steps(block)]

    def read_line(self, block: TileBlock, task: Expr, body: ReadTile) -> Statements:
        """`body` for the row of tiles of the block of channels that the task stands for.

        Those at the border, which are `guarded`, have a loop of their own, so that the others need not ask.
        """
        from tvm import tirx

        problem, width = self.problem, self.width
        channels, line = task // self.tile_rows, task % self.tile_rows
        low, high = self._columns_inside()
        row = (block.first + line) * self.outputs - problem.padding[0]

        def tile(column: Expr, *, guarded: bool) -> Statements:
            place = (row, column * self.outputs - problem.padding[1])
            return body(channels, line * width + column, place, guarded)

        inside = tirx.all(row >= 0, row + self.size <= problem.height)
        skipped = tirx.Select(inside, loops.index(high - low), loops.index(0))

        def at_border(number: Expr) -> Statements:
            return tile(tirx.Select(number >= low, number + skipped, number), guarded=True)

        plain = loops.serial(high - low, lambda column: tile(column, guarded=False), "tile", low)
        return [
            *([loops.when(inside, [plain])] if high > low else []),
            loops.serial(width - skipped, at_border, "tile"),
        ]

    def _columns_inside(self) -> tuple[int, int]:
        """The first tile of a row that no padding touches from the side, and the first one after them."""
        problem = self.problem
        starts = [column * self.outputs - problem.padding[1] for column in range(self.width)]
        inside = [at for at, start in enumerate(starts) if start >= 0 and start + self.size <= problem.width]
        return (inside[0], inside[-1] + 1) if inside else (0, 0)

    def over_rows(self, rows: int, body: Callable[[Expr, int], Statements]) -> Statements:
        """`body(first tile, count)` for all tiles of a block, `rows` at a time; the last are fewer."""
        full, rest = divmod(self.tiles, rows)
        statements: Statements = []
        if full:
            statements.append(loops.serial(full, lambda tile: body(tile * rows, rows), "tile"))
        return statements + (body(loops.index(full * rows), rest) if rest else [])

    def result(self, block: TileBlock, tile: Expr) -> tuple[Expr, Expr]:
        """The row and column in y of a tile's first result."""
        return (block.first + tile // self.width) * self.outputs, tile % self.width * self.outputs

    def within(self, place: tuple[Expr, Expr], a: Index, b: Index, statement: tirx.Stmt) -> tirx.Stmt:
        """The statement, where the result `[a, b]` of the tile whose first is at `place` belongs to y."""
        from tvm import tirx

        problem, (oh, ow) = self.problem, place
        conditions = []
        if problem.out_height % self.outputs and not (isinstance(a, int) and a == 0):
            conditions.append(oh + a < problem.out_height)
        if problem.out_width % self.outputs and not (isinstance(b, int) and b == 0):
            conditions.append(ow + b < problem.out_width)
        return loops.when(tirx.all(*conditions), [statement]) if conditions else statement
