"""Small matrices of numbers on both sides of a square of vectors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from schedules.cpu import loops

if TYPE_CHECKING:
    from tvm import tirx

    from schedules.cpu.loops import Expr


class Square:
    """A small matrix of vectors in registers."""

    def __init__(self, rows: int, columns: int, lanes: int, dtype: str, name: str) -> None:
        self.columns = columns
        self.lanes = lanes
        self.buffer = loops.local_buffer([rows * columns * lanes], dtype, name)

    def get(self, i: int, j: int, lane: Expr) -> Expr:
        return loops.load(self.buffer, [lane + (i * self.columns + j) * self.lanes])

    def put(self, i: int, j: int, lane: Expr, value: Expr) -> tirx.Stmt:
        return loops.store(self.buffer, value, [lane + (i * self.columns + j) * self.lanes])


def both_sides(
    matrix: np.ndarray,
    read: Callable[[int, int], tirx.Stmt],
    square: Square,
    half: Square,
    store: Callable[[int, int, Expr, Expr], tirx.Stmt],
    guard: Callable[[int, int, tirx.Stmt], tirx.Stmt] = lambda a, b, statement: statement,
) -> list[tirx.Stmt]:
    """`matrix @ square @ matrix^T`, `half` holding the product of the first two, each result given to `store`.

    Column by column: `read` fills one element of the square, shortly before it is used.
    """
    rows, size = matrix.shape

    def first(r: int, j: int) -> Callable[[Expr], tirx.Stmt]:
        return lambda lane: half.put(r, j, lane, _combination(matrix[r], [square.get(i, j, lane) for i in range(size)]))

    def second(r: int, s: int) -> Callable[[Expr], tirx.Stmt]:
        return lambda lane: store(r, s, lane, _combination(matrix[s], [half.get(r, j, lane) for j in range(size)]))

    statements: list[tirx.Stmt] = []
    for j in range(size):
        statements += [read(i, j) for i in range(size)]
        statements += [loops.vector(square.lanes, first(r, j)) for r in range(rows)]
    return statements + [
        guard(r, s, loops.vector(square.lanes, second(r, s))) for r in range(rows) for s in range(rows)
    ]


def _combination(coefficients: Sequence[float], values: Sequence[Expr]) -> Expr:
    """The sum of the values times their coefficients, without products by 0 and 1."""
    from tvm import tirx

    total: Expr | None = None
    for coefficient, value in zip(coefficients, values, strict=True):
        if coefficient == 0:
            continue
        term = value if coefficient == 1 else value * tirx.const(float(coefficient), str(value.ty.dtype))
        total = term if total is None else total + term
    assert total is not None, "a transform has no empty row"
    return total
