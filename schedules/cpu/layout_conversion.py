"""Conversions between `[N, C, H, W]` and `[N, C/b, H, W, b]`: for each block a matrix `[b, H * W]` is transposed.

for image, block in parallel(...):
    for pixels in tiles(H * W):            # the last one overlaps the one before, where the pixels do not divide
        for channels in tiles(b):
            target[pixels, channels] = source[channels, pixels]     # or back; a square in registers
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgecompile.schedule import SCHEDULE_NAME
from edgecompile.target import Target

from schedules.cpu import loops
from schedules.cpu.blocks import read_blocks
from schedules.cpu.template import replace_loops
from schedules.cpu.transposed.tile import transpose_tile

if TYPE_CHECKING:
    import tvm
    from tvm import tirx
    from tvm.s_tir import Schedule

    from schedules.cpu.loops import Expr, Index

FLOAT_BYTES = 4
_FEWEST_LANES = 4  # of a tile


@dataclass(frozen=True)
class LayoutConversion:
    """Takes kernels that do nothing but convert, of blocks that divide into vectors."""

    name: str = "LayoutConversion"

    def apply(self, kernel: tvm.tirx.PrimFunc, target: Target) -> Schedule | None:
        from tvm import IRModule
        from tvm.s_tir import Schedule

        schedule = Schedule(kernel)
        blocks = read_blocks(schedule)
        if len(blocks) != 1 or not blocks[0].is_static:
            return None
        found = _read(schedule.get(blocks[0].handle))
        if found is None:
            return None
        source, result = found
        blocked = result if len(result.shape) == 5 else source
        pixels, block = int(blocked.shape[2]) * int(blocked.shape[3]), int(blocked.shape[4])
        lanes = target.cpu.vector_bytes // FLOAT_BYTES
        while lanes > _FEWEST_LANES and (block % lanes or pixels < lanes):
            lanes //= 2
        if lanes < _FEWEST_LANES or block % lanes or pixels < lanes:
            return None
        statement = _Conversion(source, result, blocked, pixels, block, lanes).emit()
        function = replace_loops(schedule.mod["main"], 0, 1, statement)
        return Schedule(IRModule({"main": function.with_attr(SCHEDULE_NAME, "layout conversion")}))


@dataclass(frozen=True)
class _Conversion:
    """Makes the loops.

    Attributes:
        blocked: the one of source and target that is in blocks.
        pixels: of one image.
        block: channels that lie side by side.
        lanes: of a tile; divides `block` and is at most `pixels`.
    """

    source: tirx.Buffer
    target: tirx.Buffer
    blocked: tirx.Buffer
    pixels: int
    block: int
    lanes: int

    def emit(self) -> tirx.Stmt:
        """The loops that write all of the target."""
        blocks = int(self.blocked.shape[1])
        return loops.parallel(
            int(self.blocked.shape[0]) * blocks, lambda task: self._matrix(task // blocks, task % blocks)
        )

    def _matrix(self, image: Expr, block: Expr) -> list[tirx.Stmt]:
        full, rest = divmod(self.pixels, self.lanes)
        statements = [loops.serial(full, lambda tile: self._tiles(image, block, tile * self.lanes), "tile")]
        if rest:
            statements += self._tiles(image, block, loops.index(self.pixels - self.lanes))
        return statements

    def _tiles(self, image: Expr, block: Expr, pixel: Expr) -> list[tirx.Stmt]:
        """All channels of the block, of `lanes` pixels.

        Pixels are counted along the width, beyond its end: rows of an image lie one after the other.
        """

        def plain(part: Expr) -> Callable[[int], list[Index]]:
            channel = block * self.block + part * self.lanes
            return lambda row: [image, channel + row, 0, pixel]

        def in_blocks(part: Expr) -> Callable[[int], list[Index]]:
            return lambda row: [image, block, 0, pixel + row, part * self.lanes]

        def tile(part: Expr) -> list[tirx.Stmt]:
            read, write = (in_blocks, plain) if self.blocked is self.source else (plain, in_blocks)
            return transpose_tile(self.source, read(part), self.target, write(part), self.lanes)

        parts = self.block // self.lanes
        return tile(loops.index(0)) if parts == 1 else [loops.serial(parts, tile, "part")]


def _read(block: tvm.s_tir.SBlock) -> tuple[tirx.Buffer, tirx.Buffer] | None:
    """What the block converts and into what; None where it does anything else."""
    from tvm import ir, tirx

    body = block.body
    if not isinstance(body, tirx.BufferStore) or block.init is not None or not isinstance(body.value, ir.TensorLoad):
        return None
    source, target = body.value.source, body.buffer
    axes = [axis.var for axis in block.iter_vars]
    if {str(source.dtype), str(target.dtype)} != {"float32"} or not _are_equal(block, body.indices, axes):
        return None
    shapes = [int(extent) for extent in source.shape], [int(extent) for extent in target.shape]
    if [len(shape) for shape in shapes] == [4, 5]:
        n, c, h, w, lane = axes
        expected, (plain, blocked) = [n, c * shapes[1][4] + lane, h, w], shapes
    elif [len(shape) for shape in shapes] == [5, 4]:
        n, c, h, w = axes
        expected, (blocked, plain) = [n, c // shapes[0][4], h, w, c % shapes[0][4]], shapes
    else:
        return None
    images, blocks, height, width, size = blocked
    if plain != [images, blocks * size, height, width] or not _are_equal(block, body.value.indices, expected):
        return None
    return source, target


def _are_equal(block: tvm.s_tir.SBlock, found: list[Expr], expected: list[Expr]) -> bool:
    """True where the indices agree for all values of the block's axes."""
    from tvm.sym import Analyzer

    analyzer = Analyzer()
    for axis in block.iter_vars:
        analyzer.bind(axis.var, axis.dom)
    return len(found) == len(expected) and all(
        analyzer.can_prove_equal(a, b) for a, b in zip(found, expected, strict=True)
    )
