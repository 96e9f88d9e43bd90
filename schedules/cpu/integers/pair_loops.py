"""The loops around the products of pixel pairs: over blocks of input channels, and over the kernel."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from schedules.cpu import loops
from schedules.cpu.integers.pixel_pairs import PIXELS

if TYPE_CHECKING:
    from tvm import tirx

    from schedules.cpu.loops import Expr, Index

    Statements = list[tirx.Stmt]
    Products = Callable[[Expr, Expr, int], Statements]  # of a block with one tap, (i, j) of the kernel
    Lines = tuple[Index, Index]  # the first line of the kernel that lies within the image, and how many do


def columns_outside(blocks: int, width: int, lines: Lines, products: Products) -> Statements:
    """Loops of their own for each column of the kernel: within one LLVM would keep what two of them share of blocks of
    several steps, and spill. At the border each column knows the rows that it meets."""
    low, extent = lines

    def column(j: int) -> Statements:
        if not products(loops.index(0), loops.index(0), j):
            return []
        return [
            loops.serial(
                blocks,
                lambda block: [loops.serial(extent, lambda i: products(block, i, j), "i", low)],
                "block",
            )
        ]

    return [statement for j in range(width) for statement in column(j)]


def columns_inside(blocks: int, kernel: tuple[int, int], lines: Lines, products: Products) -> Statements:
    """All columns of the kernel within the loop over blocks of one step, and all lines where the image has them.

    Each second column meets the same pairs of pixels but one, so that those come one after the other, and LLVM keeps
    the pairs. The loops stay loops: unrolled, their addresses are out of reach of `ldp`, and spill.
    """
    (height, width), (low, extent) = kernel, lines
    order = [*range(0, width, PIXELS), *range(1, width, PIXELS)]
    zero, known = loops.unknown_zero()

    def taps(block: Expr, i: Expr) -> Statements:
        return [statement for j in order for statement in products(block, i, j)]

    def over_blocks(body: Callable[[Expr], Statements]) -> Statements:
        return [loops.serial(blocks + zero if blocks > 1 else blocks, body, "block")]

    def all_lines(block: Expr) -> Statements:
        return [statement for i in range(height) for statement in taps(block, loops.index(i))]

    def some_lines(block: Expr) -> Statements:
        return [loops.serial(extent + zero, lambda i: taps(block, i), "i", low)]

    if not taps(loops.index(0), loops.index(0)):
        return []  # the whole tile lies in the padding
    if blocks == 1 and height > 1:
        return [known, *some_lines(loops.index(0))]
    if isinstance(extent, int):
        return [known, *over_blocks(all_lines)]
    return [known, loops.when(extent.equal(height), over_blocks(all_lines), over_blocks(some_lines))]
