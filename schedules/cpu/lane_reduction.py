"""Several vectors in registers into one number."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from schedules.cpu import loops

if TYPE_CHECKING:
    from tvm import tirx

    from schedules.cpu.loops import Expr


def join_lanes(totals: tirx.Buffer, vectors: int, lanes: int, combine: Callable[[Expr, Expr], Expr]) -> list[tirx.Stmt]:
    """Combine all of `totals`, `[vectors * lanes]`, into its first element: vector by vector, then by halves."""

    def join(other: int) -> Callable[[Expr], tirx.Stmt]:
        def one(lane: Expr) -> tirx.Stmt:
            return loops.store(totals, combine(loops.load(totals, [lane]), loops.load(totals, [lane + other])), [lane])

        return one

    statements = [loops.vector(lanes, join(v * lanes)) for v in range(1, vectors)]
    while lanes > 1:
        lanes //= 2
        statements.append(loops.vector(lanes, join(lanes)))
    return statements
