"""The way of a tile of bytes into Winograd's products: B^T x B, in 16 bits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgecompile.convolution import Convolution
from edgecompile.target import CpuFacts

from schedules.cpu import loops
from schedules.cpu.block_vectors import over_vectors
from schedules.cpu.integers.winograd_config import MOST_TRANSFORM_LANES, WORD_BYTES
from schedules.cpu.integers.winograd_matrices import integer_transforms
from schedules.cpu.winograd.blocks import TileBlock
from schedules.cpu.winograd.transforms import both_sides

if TYPE_CHECKING:
    from tvm import tirx

    from schedules.cpu.loops import Expr, Index
    from schedules.cpu.winograd.transforms import Vector


@dataclass(frozen=True)
class IntegerWinogradInput:
    """Transforms the tiles of one convolution.

    Attributes:
        zero_point: of x, and of pixels beyond it.
        outputs: rows and columns of a tile's results.
        x: `[N, C / b, H, W, b]` int8.
        v: `[groups, n * n, C / b + 1, tiles, b]` int16.
        facts: of the CPU.
    """

    problem: Convolution
    zero_point: int
    outputs: int
    x: tirx.Buffer
    v: tirx.Buffer
    facts: CpuFacts

    def tile(self, block: TileBlock, c: Expr, tile: Expr, place: tuple[Expr, Expr], guarded: bool) -> list[tirx.Stmt]:
        """One tile of one block of channels; see `TileBlocks.read_line`."""
        from tvm import tirx

        problem, matrix = self.problem, integer_transforms(self.outputs).input
        size = matrix.shape[1]
        row, column = place

        def some(first: Expr, lanes: int) -> list[tirx.Stmt]:
            def pixel(i: Index, j: Index, lane: Expr) -> Expr:
                return tirx.Cast("int16", loops.load(self.x, [block.image, c, row + i, column + j, first + lane]))

            def write(r: int, s: int, value: Vector) -> tirx.Stmt:
                target = [block.group, r * size + s, c, tile]
                return loops.vector(lanes, lambda lane: loops.store(self.v, value(lane), [*target, first + lane]))

            def transform(read: Callable[[int, int], Vector]) -> list[tirx.Stmt]:
                return both_sides(matrix, read, write, lanes, "int16")

            if not guarded:
                return transform(lambda i, j: lambda lane: pixel(i, j, lane))
            # A question for each pixel, spelled out, would take TVM seconds: a loop asks it, and keeps the answers.
            pixels = loops.local_buffer([size, size, lanes], "int16", "pixels")

            def fetch(i: Expr, j: Expr) -> tirx.Stmt:
                ih, iw = row + i, column + j
                inside = tirx.all(ih >= 0, ih < problem.height, iw >= 0, iw < problem.width)

                def one(lane: Expr) -> tirx.Stmt:
                    found = tirx.if_then_else(inside, pixel(i, j, lane), tirx.const(self.zero_point, "int16"))
                    return loops.store(pixels, found, [i, j, lane])

                return loops.vector(lanes, one)

            return [
                loops.allocate(pixels),
                loops.serial(size, lambda i: [loops.serial(size, lambda j: [fetch(i, j)], "j")], "i"),
                *transform(lambda i, j: lambda lane: loops.load(pixels, [i, j, lane])),
            ]

        most = min(MOST_TRANSFORM_LANES, self.facts.vector_bytes // WORD_BYTES)
        return over_vectors(int(self.x.shape[4]), most, some)
