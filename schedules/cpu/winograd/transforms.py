"""Products of vectors with the small matrices of Winograd convolution, whose symmetry saves a quarter of the sums.

Most points come in pairs p and -p. So rows of B^T, and columns of A^T, come in pairs that differ in nothing but signs:

    y[r] = e + o,  y[q] = e - o           e: the terms that both rows have alike, o: those of opposite signs
    y[r] = ... + a[r, c] * (x[c] + x[d])  or (x[c] - x[d]), by the signs of a[r, c] and a[r, d]
"""

from __future__ import annotations

import itertools
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from schedules import wrapping
from schedules.cpu import loops

if TYPE_CHECKING:
    from tvm import tirx

    from schedules.cpu.loops import Expr

    Vector = Callable[[Expr], Expr]  # its value in a lane


@dataclass(frozen=True)
class Arithmetic:
    """How values are added, subtracted and multiplied by a number, and how a statement is made for all lanes."""

    add: Callable[[Expr, Expr], Expr]
    subtract: Callable[[Expr, Expr], Expr]
    scale: Callable[[Expr, float], Expr]
    vector: Callable[[int, Callable[[Expr], tirx.Stmt]], tirx.Stmt]


def _scale(value: Expr, factor: float) -> Expr:
    from tvm import tirx

    dtype = str(value.ty.dtype)
    return value * tirx.const(float(factor) if dtype.startswith("float") else int(factor), dtype)


PLAIN = Arithmetic(operator.add, operator.sub, _scale, loops.vector)
# Of int32 modulo 2^32; its operations take whole vectors, so a `Vector` is asked for all lanes as one.
WRAPPING = Arithmetic(
    wrapping.add,
    wrapping.subtract,
    lambda value, factor: wrapping.multiply(value, int(factor)),
    lambda lanes, body: body(loops.ramp(0, lanes)),
)


class Square:
    """A small matrix of vectors in registers."""

    def __init__(
        self, rows: int, columns: int, lanes: int, dtype: str, name: str, arithmetic: Arithmetic = PLAIN
    ) -> None:
        self.columns = columns
        self.lanes = lanes
        self.arithmetic = arithmetic
        self.buffer = loops.local_buffer([rows * columns * lanes], dtype, name)

    def get(self, i: int, j: int) -> Vector:
        """One element."""
        return lambda lane: loops.load(self.buffer, [loops.behind(lane, (i * self.columns + j) * self.lanes)])

    def put(self, i: int, j: int, value: Vector) -> tirx.Stmt:
        """Replace one element."""
        place = (i * self.columns + j) * self.lanes

        def one(lane: Expr) -> tirx.Stmt:
            return loops.store(self.buffer, value(lane), [loops.behind(lane, place)])

        return self.arithmetic.vector(self.lanes, one)


def both_sides(
    matrix: np.ndarray,
    read: Callable[[int, int], Vector],
    write: Callable[[int, int, Vector], tirx.Stmt],
    lanes: int,
    dtype: str,
    arithmetic: Arithmetic = PLAIN,
) -> list[tirx.Stmt]:
    """`matrix @ square @ matrix^T`.

    Args:
        matrix: `[rows, size]`.
        read: an element of the square, `[size, size]`; each is read once, column by column.
        write: takes an element of the result, `[rows, rows]`.
        lanes: of a vector.
        arithmetic: of `dtype`.
    """
    rows, size = matrix.shape
    square = Square(size, size, lanes, dtype, "square", arithmetic)
    half = Square(rows, size, lanes, dtype, "half", arithmetic)
    statements = [loops.allocate(square.buffer), loops.allocate(half.buffer)]
    for j in range(size):
        statements += [square.put(i, j, read(i, j)) for i in range(size)]
        column = [square.get(i, j) for i in range(size)]
        statements += multiply(matrix, column, lambda r, value, j=j: half.put(r, j, value), lanes, dtype, arithmetic)  # type: ignore[misc]
    for r in range(rows):
        row = [half.get(r, j) for j in range(size)]
        statements += multiply(matrix, row, lambda s, value, r=r: write(r, s, value), lanes, dtype, arithmetic)  # type: ignore[misc]
    return statements


def multiply(
    matrix: np.ndarray,
    x: Sequence[Vector],
    write: Callable[[int, Vector], tirx.Stmt],
    lanes: int,
    dtype: str,
    arithmetic: Arithmetic = PLAIN,
) -> list[tirx.Stmt]:
    """`write(r, y[r])` for all rows of `y = matrix @ x`, whose elements are vectors."""
    pairs = opposite_rows(matrix)
    if pairs:
        return _by_rows(matrix, pairs, x, write, lanes, dtype, arithmetic)
    return _by_columns(matrix, opposite_rows(matrix.T), x, write, lanes, dtype, arithmetic)


def opposite_rows(matrix: np.ndarray) -> list[tuple[int, int]]:
    """Pairs of rows whose entries are the same but for signs, some equal and some opposite; no row is in two pairs."""
    found: list[tuple[int, int]] = []
    for r, q in itertools.combinations(range(len(matrix)), 2):
        taken = any({r, q} & set(pair) for pair in found)
        alike, opposite = _signs(matrix[r], matrix[q])
        if not taken and np.array_equal(np.abs(matrix[r]), np.abs(matrix[q])) and alike.any() and opposite.any():
            found.append((r, q))
    return found


def _signs(row: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where both rows have the same entry, and where they have opposite ones, zeros aside."""
    return (row == other) & (row != 0), (row == -other) & (row != 0)


def _by_rows(
    matrix: np.ndarray,
    pairs: Sequence[tuple[int, int]],
    x: Sequence[Vector],
    write: Callable[[int, Vector], tirx.Stmt],
    lanes: int,
    dtype: str,
    arithmetic: Arithmetic,
) -> list[tirx.Stmt]:
    parts = Square(len(pairs), 2, lanes, dtype, "parts", arithmetic)
    paired = {row for pair in pairs for row in pair}
    statements = [loops.allocate(parts.buffer)]
    for at, (r, q) in enumerate(pairs):
        alike, opposite = _signs(matrix[r], matrix[q])
        even, odd = parts.get(at, 0), parts.get(at, 1)
        statements += [
            parts.put(at, 0, _combination(np.where(alike, matrix[r], 0), x, arithmetic)),
            parts.put(at, 1, _combination(np.where(opposite, matrix[r], 0), x, arithmetic)),
            write(r, lambda lane, even=even, odd=odd: arithmetic.add(even(lane), odd(lane))),  # type: ignore[misc]
            write(q, lambda lane, even=even, odd=odd: arithmetic.subtract(even(lane), odd(lane))),  # type: ignore[misc]
        ]
    others = [row for row in range(len(matrix)) if row not in paired]
    return statements + [write(row, _combination(matrix[row], x, arithmetic)) for row in others]


def _by_columns(
    matrix: np.ndarray,
    pairs: Sequence[tuple[int, int]],
    x: Sequence[Vector],
    write: Callable[[int, Vector], tirx.Stmt],
    lanes: int,
    dtype: str,
    arithmetic: Arithmetic,
) -> list[tirx.Stmt]:
    parts = Square(len(pairs), 2, lanes, dtype, "parts", arithmetic)
    paired = {column for pair in pairs for column in pair}
    others = [column for column in range(len(x)) if column not in paired]
    statements = [loops.allocate(parts.buffer)] if pairs else []
    for at, (c, d) in enumerate(pairs):
        statements += [
            parts.put(at, 0, lambda lane, c=c, d=d: arithmetic.add(x[c](lane), x[d](lane))),  # type: ignore[misc]
            parts.put(at, 1, lambda lane, c=c, d=d: arithmetic.subtract(x[c](lane), x[d](lane))),  # type: ignore[misc]
        ]
    for r, row in enumerate(matrix):
        values = [x[column] for column in others]
        values += [parts.get(at, int(row[c] != row[d])) for at, (c, d) in enumerate(pairs)]
        coefficients = [*(row[column] for column in others), *(row[c] for c, _ in pairs)]
        statements.append(write(r, _combination(coefficients, values, arithmetic)))
    return statements


def _combination(
    coefficients: Sequence[float] | np.ndarray, values: Sequence[Vector], arithmetic: Arithmetic
) -> Vector:
    """The sum of the values times their coefficients, without products by 0 and 1."""

    def sum_of_terms(lane: Expr) -> Expr:
        total: Expr | None = None
        for coefficient, vector in zip(coefficients, values, strict=True):
            if coefficient == 0:
                continue
            value = vector(lane)
            term = value if coefficient == 1 else arithmetic.scale(value, coefficient)
            total = term if total is None else arithmetic.add(total, term)
        assert total is not None, "a transform has no empty row"
        return total

    return sum_of_terms
