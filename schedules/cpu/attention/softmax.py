"""The exponentials of rows that lie in the cache, in place, and what to multiply by to make each row's sum one.

for group of 4 rows:                               # four chains of additions hide each other's latency
    highest[4] = max over the columns
    rows[4] = exp(rows[4] - highest[4]);  totals[4] = sum over the columns
    scales[4] = 1 / totals[4]
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from schedules.cpu import loops
from schedules.cpu.polynomials import exp_of_nonpositive

if TYPE_CHECKING:
    from tvm import tirx

    from schedules.cpu.loops import Expr

ROWS = 4  # in flight
_LOWEST = -3.4028234663852886e38  # less than every score that is no infinity; minus it, minus infinity stays itself


def exponentials(rows: tirx.Buffer, scales: tirx.Buffer, count: int, lanes: int) -> list[tirx.Stmt]:
    """For each of the first `count` rows: `rows[i] = exp(rows[i] - max)`, `scales[i] = 1 / sum`.

    Args:
        rows: `[count or more, columns] float32`; columns divide by `lanes`.
        scales: `[count or more] float32`.
    """
    full, rest = divmod(count, ROWS)
    statements: list[tirx.Stmt] = []
    if full:
        statements.append(loops.serial(full, lambda group: _group(rows, scales, group * ROWS, ROWS, lanes), "group"))
    return statements + (_group(rows, scales, loops.index(full * ROWS), rest, lanes) if rest else [])


def _group(rows: tirx.Buffer, scales: tirx.Buffer, first: Expr, count: int, lanes: int) -> list[tirx.Stmt]:
    from tvm import tirx

    dtype = str(rows.dtype)
    waiting, values = (loops.local_buffer([count * lanes], dtype, name) for name in ("waiting", "values"))
    highest = loops.local_buffer([count], dtype, "highest")

    def each(one: Callable[[int, Expr], tirx.Stmt], width: int = lanes) -> list[tirx.Stmt]:
        """`one` for every row of the group, in vectors."""
        return [loops.vector(width, lambda lane, row=row: one(row, lane)) for row in range(count)]  # type: ignore[misc]

    def update(join: Callable[[Expr, Expr], Expr], value: Callable[[int, Expr], Expr]) -> list[tirx.Stmt]:
        def one(row: int, lane: Expr) -> tirx.Stmt:
            place = [lane + row * lanes]
            return loops.store(waiting, join(loops.load(waiting, place), value(row, lane)), place)

        return each(one)

    def start(number: float) -> list[tirx.Stmt]:
        return each(lambda row, lane: loops.store(waiting, tirx.const(number, dtype), [lane + row * lanes]))

    def joined(join: Callable[[Expr, Expr], Expr]) -> list[tirx.Stmt]:
        """All lanes of each row's vector into its first one, by halves."""
        statements: list[tirx.Stmt] = []
        width = lanes
        while width > 1:
            width //= 2

            def one(row: int, lane: Expr, width: int = width) -> tirx.Stmt:
                pair = (loops.load(waiting, [lane + (row * lanes + half)]) for half in (0, width))
                return loops.store(waiting, join(*pair), [lane + row * lanes])

            statements += each(one, width)
        return statements

    def element(row: int, column: Expr, lane: Expr) -> list[Expr]:
        return [first + row, column * lanes + lane]

    def take_maximum(column: Expr) -> list[tirx.Stmt]:
        return update(tirx.Max, lambda row, lane: loops.load(rows, element(row, column, lane)))

    def take_exponential(column: Expr) -> list[tirx.Stmt]:
        def compute(row: int, lane: Expr) -> tirx.Stmt:
            difference = loops.load(rows, element(row, column, lane)) - loops.load(highest, [row])
            return loops.store(values, exp_of_nonpositive(difference), [lane + row * lanes])

        def value(row: int, lane: Expr) -> Expr:
            return loops.load(values, [lane + row * lanes])

        keep = each(lambda row, lane: loops.store(rows, value(row, lane), element(row, column, lane)))
        return [*each(compute), *keep, *update(tirx.Add, value)]

    steps = int(rows.shape[1]) // lanes
    return [
        *(loops.allocate(buffer) for buffer in (waiting, values, highest)),
        *start(_LOWEST),
        loops.serial(steps, take_maximum, "column"),
        *joined(tirx.Max),
        *(loops.store(highest, loops.load(waiting, [row * lanes]), [row]) for row in range(count)),
        *start(0.0),
        loops.serial(steps, take_exponential, "column"),
        *joined(tirx.Add),
        *(
            loops.store(scales, tirx.const(1.0, dtype) / loops.load(waiting, [row * lanes]), [first + row])
            for row in range(count)
        ),
    ]
