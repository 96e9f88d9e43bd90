"""The lines of blocked images as tasks, and the vectors of a block of channels, one after the other."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from schedules.cpu import loops

if TYPE_CHECKING:
    from tvm import tirx

    from schedules.cpu.loops import Expr


def over_vectors(block: int, lanes: int, body: Callable[[Expr, int], list[tirx.Stmt]]) -> list[tirx.Stmt]:
    """`body(first channel, lanes)` for each vector of `block` channels; the last may be shorter."""
    whole, rest = divmod(block, lanes)
    statements: list[tirx.Stmt] = []
    if whole == 1:
        statements += body(loops.index(0), lanes)
    elif whole:
        statements.append(loops.serial(whole, lambda v: body(v * lanes, lanes), "v"))
    return statements + (body(loops.index(whole * lanes), rest) if rest else [])


def over_lines(
    batch: int, blocks: int, lines: int, cores: int, body: Callable[[Expr, Expr, Expr], list[tirx.Stmt]]
) -> tirx.Stmt:
    """`body(image, block, line)` for every line of every block, in parallel.

    Each core has a band of lines of all blocks, as it has where channels are mixed before and behind: then it finds
    what it wrote itself.
    """
    band = lines // math.gcd(lines, cores)

    def task(index: Expr) -> list[tirx.Stmt]:
        image, rest = index // (blocks * lines), index % (blocks * lines)
        return body(image, rest // band % blocks, rest // (blocks * band) * band + rest % band)

    return loops.parallel(batch * blocks * lines, task)
