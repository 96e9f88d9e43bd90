"""A square of a matrix, transposed in registers.

Quads of rows are transposed within groups of four lanes by two rounds of interleaving, then the groups change places
like elements of a smaller matrix, by one round for each doubling:

    a0 a1 a2 a3      a0 b0 a1 b1      a0 b0 c0 d0
    b0 b1 b2 b3  ->  a2 b2 a3 b3  ->  a1 b1 c1 d1      (four lanes: done)
    c0 c1 c2 c3      c0 d0 c1 d1      a2 b2 c2 d2
    d0 d1 d2 d3      c2 d2 c3 d3      a3 b3 c3 d3

Every result of a round is one shuffle of two vectors, which x86 (`unpck`, `perm2f128`, `permt2`) and AArch64 (`zip`)
have as an instruction: log2(lanes) shuffles a vector.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from schedules.cpu import loops

if TYPE_CHECKING:
    from tvm import tirx

    from schedules.cpu.loops import Expr, Index

    Place = Callable[[int], Sequence[Index]]  # the index of a row's first element

# Of two rows, (row, lane): their low and their high lanes in turns, singly and in pairs.
_SINGLE_LANES = (((0, 0), (1, 0), (0, 1), (1, 1)), ((0, 2), (1, 2), (0, 3), (1, 3)))
_PAIRS_OF_LANES = (((0, 0), (0, 1), (1, 0), (1, 1)), ((0, 2), (0, 3), (1, 2), (1, 3)))

_Round = list[tuple[int, int, list[int]]]  # of each new row: two old rows, and which of their lanes, side by side


def transpose_tile(source: tirx.Buffer, read: Place, target: tirx.Buffer, write: Place, lanes: int) -> list[tirx.Stmt]:
    """`target[write(i) + j] = source[read(j) + i]` for i, j < lanes, along the last dimension of each.

    Args:
        lanes: 4, 8, 16, ...
    """
    dtype = str(source.dtype)
    rows = [_load(source, read(row), lanes) for row in range(lanes)]
    statements: list[tirx.Stmt] = []
    for at, moves in enumerate([None, *rounds(lanes)]):
        values = rows if moves is None else [_shuffle(rows[a], rows[b], picks) for a, b, picks in moves]
        held = loops.local_buffer([lanes * lanes], dtype, f"rows{at}")
        statements.append(loops.allocate(held))
        statements += [_store(held, value, [row * lanes], lanes) for row, value in enumerate(values)]
        rows = [_load(held, [row * lanes], lanes) for row in range(lanes)]
    return [*statements, *(_store(target, row, write(at), lanes) for at, row in enumerate(rows))]


def rounds(lanes: int) -> list[_Round]:
    """The shuffles of each round."""
    assert lanes >= 4 and lanes & (lanes - 1) == 0

    def interleave(first: int, second: int, picks: Sequence[tuple[int, int]]) -> tuple[int, int, list[int]]:
        """The same picks, each (row, lane), in each group of four lanes."""
        return first, second, [row * lanes + group + lane for group in range(0, lanes, 4) for row, lane in picks]

    quads = range(0, lanes, 4)
    found = [
        [interleave(q + i, q + i + 1, picks) for q in quads for i in (0, 2) for picks in _SINGLE_LANES],
        [interleave(q + i, q + i + 2, picks) for q in quads for i in (0, 1) for picks in _PAIRS_OF_LANES],
    ]
    step = 4
    while step < lanes:
        found.append([_exchange(row, step, lanes) for row in range(lanes)])
        step *= 2
    return found


def _exchange(row: int, step: int, lanes: int) -> tuple[int, int, list[int]]:
    """A row of the matrix of groups, after blocks of `step` lanes changed places with those of the row `step` away."""
    if row & step == 0:
        return row, row + step, [lane if lane & step == 0 else lanes + lane - step for lane in range(lanes)]
    return row - step, row, [lane + step if lane & step == 0 else lanes + lane for lane in range(lanes)]


def _shuffle(first: Expr, second: Expr, picks: Sequence[int]) -> Expr:
    from tvm import tirx

    return tirx.Shuffle([first, second], [tirx.IntImm("int32", pick) for pick in picks])


def _load(buffer: tirx.Buffer, place: Sequence[Index], lanes: int) -> Expr:
    from tvm import tirx

    return tirx.BufferLoad(buffer, _vector_place(place, lanes))


def _store(buffer: tirx.Buffer, value: Expr, place: Sequence[Index], lanes: int) -> tirx.Stmt:
    from tvm import tirx

    return tirx.BufferStore(buffer, value, _vector_place(place, lanes))


def _vector_place(place: Sequence[Index], lanes: int) -> list[Expr]:
    from tvm import tirx

    *outer, last = (loops.index(i) for i in place)
    return [*outer, tirx.Ramp(last, loops.index(1), lanes)]
