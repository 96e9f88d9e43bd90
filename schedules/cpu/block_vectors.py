"""The vectors of a block of channels, one after the other."""

from __future__ import annotations

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
