"""The exponentials of rows that lie in the cache, in place, and what to multiply by to make each row's sum one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from schedules.cpu import loops
from schedules.cpu.lane_reduction import join_lanes

if TYPE_CHECKING:
    from tvm import tirx

    from schedules.cpu.loops import Expr

VECTORS = 4  # in flight
_LOWEST = -3.4028234663852886e38  # less than every score that is no infinity; minus it, minus infinity stays itself


def exponentials(rows: tirx.Buffer, scales: tirx.Buffer, count: int, lanes: int) -> tirx.Stmt:
    """For each of the first `count` rows: `rows[i] = exp(rows[i] - max)`, `scales[i] = 1 / sum`.

    Args:
        rows: `[count or more, columns]`; columns divide by `lanes`.
        scales: `[count or more]`.
    """
    columns = int(rows.shape[1])
    vectors = min(VECTORS, columns // lanes)
    steps, left = divmod(columns // lanes, vectors)
    waiting = loops.local_buffer([vectors * lanes], str(rows.dtype), "waiting")
    values = loops.local_buffer([vectors * lanes], str(rows.dtype), "values")

    def row(at: Expr) -> list[tirx.Stmt]:
        from tvm import tirx

        number = loops.local_buffer([1], str(rows.dtype), "number")

        def highest(column: Expr, v: int, lane: Expr) -> list[tirx.Stmt]:
            place = [lane + v * lanes]
            value = tirx.Max(loops.load(waiting, place), loops.load(rows, [at, column + (lane + v * lanes)]))
            return [loops.store(waiting, value, place)]

        def exponential(column: Expr, v: int, lane: Expr) -> list[tirx.Stmt]:
            place, element = [lane + v * lanes], [at, column + (lane + v * lanes)]
            value = tirx.exp(loops.load(rows, element) - loops.load(number, [0]))
            return [
                loops.store(values, value, place),
                loops.store(rows, loops.load(values, place), element),
                loops.store(waiting, loops.load(waiting, place) + loops.load(values, place), place),
            ]

        def sweep(one: object, start: float, join: type[tirx.Max] | type[tirx.Add]) -> list[tirx.Stmt]:
            assert callable(one)

            def step(column: Expr, extent: int) -> list[tirx.Stmt]:
                found = [one(column, v, loops.index(0)) for v in range(extent)]
                return [
                    loops.vector(lanes, lambda lane, v=v, part=part: one(column, v, lane)[part])  # type: ignore[misc]
                    for part in range(len(found[0]))
                    for v in range(extent)
                ]

            constant = tirx.const(start, str(rows.dtype))
            statements = [
                loops.vector(lanes, lambda lane, v=v: loops.store(waiting, constant, [lane + v * lanes]))  # type: ignore[misc]
                for v in range(vectors)
            ]
            statements.append(loops.serial(steps, lambda i: step(i * (vectors * lanes), vectors), "step"))
            if left:
                statements += step(loops.index(steps * vectors * lanes), left)
            return [*statements, *join_lanes(waiting, vectors, lanes, join)]

        return [
            loops.allocate(number),
            *sweep(highest, _LOWEST, tirx.Max),
            loops.store(number, loops.load(waiting, [0]), [0]),
            *sweep(exponential, 0.0, tirx.Add),
            loops.store(scales, tirx.const(1.0, str(rows.dtype)) / loops.load(waiting, [0]), [at]),
        ]

    return loops.sequence([loops.allocate(waiting), loops.allocate(values), loops.serial(count, row, "row")])
