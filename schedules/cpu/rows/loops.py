"""The loops of a kernel that works row by row.

for chunk in parallel(...):
    for row in chunk:
        for sweep in ...:
            totals[4 vectors] = start                       # one accumulator per vector in flight hides the latency
            for columns in steps of 4 vectors:
                every stage of the sweep
            the columns that are left: a vector at a time; the last one ends at the row's end, over columns that were
                done before, which reductions leave out
            total = all lanes of totals
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from schedules.cpu import loops
from schedules.cpu.lane_reduction import join_lanes
from schedules.cpu.loop_nest import PARALLEL_ITERATIONS
from schedules.cpu.rows.stages import RowGroup, RowStage
from schedules.cpu.rows.sweeps import Sweep, kept_rows, make_sweeps

if TYPE_CHECKING:
    from tvm import tirx

    from schedules.cpu.loops import Expr, Index

VECTORS = 4  # in flight
MOST_KEPT_BYTES = 128 * 1024  # rows that wait on a thread's stack


@dataclass(frozen=True)
class _Vectors:
    """Neighbouring columns that are computed together.

    Attributes:
        first: column.
        count: of whole vectors.
        skipped: leading columns that were done before; of a single vector only.
    """

    first: Expr
    count: int
    skipped: int = 0


class RowLoops:
    """Makes the loops of one group of blocks."""

    def __init__(self, group: RowGroup, vector_bytes: int) -> None:
        self.group = group
        self.sweeps = make_sweeps(group.stages)
        bits = max(stage.target.dtype.bits for stage in group.stages if stage.kind != "scalar")
        lanes = vector_bytes * 8 // bits
        while lanes > group.width:
            lanes //= 2
        self.lanes = lanes
        self.rows = {b: loops.local_buffer([group.width], str(b.dtype), "row") for b in kept_rows(group, self.sweeps)}
        self.scalars = {
            stage.target: loops.local_buffer([1], str(stage.target.dtype), "number")
            for stage in group.stages
            if stage.kind != "elements"
        }

    @property
    def kept_bytes(self) -> int:
        """What waits on the stack of a thread."""
        return sum(self.group.width * buffer.dtype.bits // 8 for buffer in self.rows)

    def emit(self) -> tirx.Stmt:
        """The loops that compute all rows."""
        rows, width = self.group.row_count, self.group.width
        chunk = max(1, PARALLEL_ITERATIONS // (width * len(self.group.stages)))
        buffers = [loops.allocate(buffer) for buffer in (*self.rows.values(), *self.scalars.values())]
        if rows <= chunk:
            return loops.sequence([*buffers, loops.serial(rows, self._row, "row")])

        def task(index: Expr) -> list[tirx.Stmt]:
            from tvm import tirx

            first = index * chunk
            extent: Index = chunk
            if rows % chunk:
                extent = tirx.min(loops.index(chunk), rows - first)
            return [*buffers, loops.serial(extent, self._row, "row", first)]

        return loops.parallel(math.ceil(rows / chunk), task)

    def _row(self, row: Expr) -> list[tirx.Stmt]:
        place = loops.unflatten(row, self.group.rows)
        return [statement for sweep in self.sweeps for statement in self._sweep(sweep, place)]

    def _sweep(self, sweep: Sweep, row: Sequence[Expr]) -> list[tirx.Stmt]:
        """One sweep, and the numbers that it ends with."""
        width, lanes = self.group.width, self.lanes
        vectors = min(VECTORS, width // lanes)
        waiting = {
            stage.target: loops.local_buffer([vectors * lanes], str(stage.target.dtype), stage.kind)
            for stage in sweep.stages
        }

        def step(columns: _Vectors) -> list[tirx.Stmt]:
            return [s for stage in sweep.stages for s in self._stage(sweep, stage, row, columns, waiting)]

        statements: list[tirx.Stmt] = [loops.allocate(buffer) for buffer in waiting.values()]
        for stage in sweep.stages:
            if stage.start is not None:
                statements += self._start(stage, waiting[stage.target], vectors)
        if sweep.stages:
            steps, left = divmod(width, vectors * lanes)
            statements.append(loops.serial(steps, lambda i: step(_Vectors(i * (vectors * lanes), vectors)), "step"))
            done = steps * vectors * lanes
            if left // lanes:
                statements += step(_Vectors(loops.index(done), left // lanes))
            if left % lanes:
                statements += step(_Vectors(loops.index(width - lanes), 1, lanes - left % lanes))
        for stage in sweep.stages:
            if stage.kind == "reduction":
                statements += self._join(stage, waiting[stage.target], vectors)
                statements += self._publish(stage, row)
        for stage in sweep.scalars:
            value = self._value(stage, row, None, {})
            statements.append(loops.store(self.scalars[stage.target], value, [0]))
            statements += self._publish(stage, row)
        return statements

    def _start(self, stage: RowStage, totals: tirx.Buffer, vectors: int) -> list[tirx.Stmt]:
        assert stage.start is not None
        start = stage.start
        return [
            loops.vector(self.lanes, lambda lane, v=v: loops.store(totals, start, [lane + v * self.lanes]))  # type: ignore[misc]
            for v in range(vectors)
        ]

    def _stage(
        self,
        sweep: Sweep,
        stage: RowStage,
        row: Sequence[Expr],
        columns: _Vectors,
        waiting: Mapping[tirx.Buffer, tirx.Buffer],
    ) -> list[tirx.Stmt]:
        """One stage on some vectors; its values wait in registers, and in memory where more than the sweep reads it."""
        registers = waiting[stage.target]

        def places(v: int, lane: Expr) -> tuple[Expr, Expr]:
            return columns.first + (lane + v * self.lanes), lane + v * self.lanes

        def compute(v: int, lane: Expr) -> tirx.Stmt:
            column, register = places(v, lane)
            known = {buffer: loops.load(waiting[buffer], [register]) for buffer in waiting if sweep.knows(buffer)}
            value = self._value(stage, row, column, known)
            if stage.kind == "reduction":
                value = self._counted(stage, value, lane, columns.skipped)
                value = _combined(stage, loops.load(registers, [register]), value)
            return loops.store(registers, value, [register])

        def keep(v: int, lane: Expr) -> tirx.Stmt:
            column, register = places(v, lane)
            value = loops.load(registers, [register])
            if stage.target in self.rows:
                return loops.store(self.rows[stage.target], value, [column])
            return loops.store(stage.target, value, self._indices(stage, row, column))

        statements = [loops.vector(self.lanes, lambda lane, v=v: compute(v, lane)) for v in range(columns.count)]  # type: ignore[misc]
        if stage.target in self.rows or (stage.kind == "elements" and self.group.is_stored(stage.target)):
            statements += [loops.vector(self.lanes, lambda lane, v=v: keep(v, lane)) for v in range(columns.count)]  # type: ignore[misc]
        return statements

    @staticmethod
    def _counted(stage: RowStage, value: Expr, lane: Expr, skipped: int) -> Expr:
        """The value, or what changes nothing where the column was counted before."""
        from tvm import tirx

        return tirx.Select(lane >= skipped, value, stage.start) if skipped else value

    def _join(self, stage: RowStage, totals: tirx.Buffer, vectors: int) -> list[tirx.Stmt]:
        """All lanes of the totals into the stage's number, by halves."""
        statements = join_lanes(totals, vectors, self.lanes, lambda a, b: _combined(stage, a, b))
        return [*statements, loops.store(self.scalars[stage.target], loops.load(totals, [0]), [0])]

    def _publish(self, stage: RowStage, row: Sequence[Expr]) -> list[tirx.Stmt]:
        """Store a row's number where others than this row read it."""
        if not self.group.is_stored(stage.target):
            return []
        value = loops.load(self.scalars[stage.target], [0])
        return [loops.store(stage.target, value, self._indices(stage, row, None))]

    def _indices(self, stage: RowStage, row: Sequence[Expr], column: Expr | None) -> list[Index]:
        """Where a stage stores its value; extents of one that stand between the columns included."""
        columns = loops.unflatten(column, self.group.columns) if column is not None else []
        indices: list[Index] = [*row]
        wide = iter(columns)
        for extent in list(stage.target.shape)[len(row) :]:
            indices.append(0 if int(extent) == 1 else next(wide))
        return indices

    def _value(self, stage: RowStage, row: Sequence[Expr], column: Expr | None, known: Mapping[Any, Expr]) -> Expr:
        """The stage's expression at one place; `known` holds the elements that the sweep has in registers."""
        from tvm import ir, tirx
        from tvm_ffi.structural import structural_mutate

        places: dict[Any, Expr] = dict(zip(stage.row_axes, row, strict=True))
        if column is not None:
            places.update(zip(stage.column_axes, loops.unflatten(column, self.group.columns), strict=True))

        def on_load(read: ir.TensorLoad, mutator: Any) -> Expr:
            for buffer, value in known.items():
                if read.source.same_as(buffer):
                    return value
            for buffer, number in self.scalars.items():
                if read.source.same_as(buffer):
                    return loops.load(number, [0])
            for buffer, kept in self.rows.items():
                if read.source.same_as(buffer):
                    assert column is not None
                    return loops.load(kept, [column])
            return mutator.default_mutate(read)

        def on_variable(variable: tirx.Var, mutator: Any) -> Expr:
            del mutator
            return places.get(variable, variable)

        def on_let(let: tirx.Let, mutator: Any) -> Expr:
            """Each copy of the stage binds variables of its own."""
            places[let.var] = tirx.Var(let.var.name, let.var.ty)
            return tirx.Let(places[let.var], mutator.mutate(let.value), mutator.mutate(let.body))

        return structural_mutate(stage.value, ((ir.TensorLoad, on_load), (tirx.Let, on_let), (tirx.Var, on_variable)))


def _combined(stage: RowStage, a: Expr, b: Expr) -> Expr:
    from tvm import tirx

    return {"Add": tirx.Add, "Max": tirx.Max, "Min": tirx.Min}[stage.combine or ""](a, b)
