"""Attention in one kernel: the scores of a block of queries never leave the cache.

y[b, m, :] = sum over n of  softmax over n of (steps(sum over d of q[b, m, d] * k[b, d, n])) * v[b, n, :]

for b in parallel(...):
    keys = k[b], values = v[b]                     # packed in panels, filled with zeros
    for block in ...:                              # of queries; where heads are few, bands of blocks run in parallel
        for panel of keys, tile of rows:           # the micro-kernel of the batched product
            scores[tile, panel] = steps(q[b, tile] @ keys[panel])
        for row in block:
            scores[row] = exp(scores[row] - highest of the row)
            scale[row] = 1 / total of the row
        for panel of values, tile of rows:
            y[b, tile, panel] = (scores[tile] @ values[panel]) * scale[tile]

Queries, keys, values and the result are read and written where they lie, whatever their strides.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgecompile.attention import Attention, Placed

from schedules.cpu import loops
from schedules.cpu.accumulators import Accumulators, fill_panel, lanes_of_panel
from schedules.cpu.attention.config import MOST_STACK_BYTES, AttentionConfig
from schedules.cpu.attention.formula import address, step_of
from schedules.cpu.attention.softmax import exponentials
from schedules.cpu.direct.config import FLOAT_BYTES, DirectConfig

if TYPE_CHECKING:
    from tvm import tirx

    from schedules.cpu.loops import Expr, Index

    Finish = Callable[[Accumulators, Expr, Expr, list[int]], list[tirx.Stmt]]  # first row, panel, lanes that count

_FLOAT = "float32"


@dataclass(frozen=True)
class _Panels:
    """A matrix `[depth, columns]` in panels that lie one after the other.

    Attributes:
        buffer: `[heads, panels, depth, panel]`; one head on a thread's stack.
        head: which of them.
    """

    buffer: tirx.Buffer
    head: Expr
    depth: int
    columns: int
    tile: DirectConfig

    @property
    def count(self) -> int:
        return math.ceil(self.columns / self.tile.panel)

    def lanes(self, panel: int) -> list[int]:
        """How many lanes of each vector of a panel count."""
        left = self.columns - panel * self.tile.panel
        return lanes_of_panel(left, self.tile.vectors, self.tile.lanes)

    def load(self, panel: Expr, row: Expr, v: int, lane: Expr) -> Expr:
        return loops.load(self.buffer, [self.head, panel, row, lane + v * self.tile.lanes])


@dataclass(frozen=True)
class AttentionLoops:
    """Makes the loops of one attention; `arguments` are the buffers, `[elements]` each."""

    problem: Attention
    config: AttentionConfig
    arguments: Sequence[tirx.Buffer]
    result: tirx.Buffer

    def emit(self) -> tirx.Stmt:
        """The loops that compute the whole result."""
        problem, config = self.problem, self.config
        shapes = [
            [math.ceil(columns / tile.panel), depth, tile.panel]
            for depth, columns, tile in (
                (problem.width, problem.keys, config.scores),
                (problem.keys, problem.value_width, config.values),
            )
        ]
        packed_bytes = sum(map(math.prod, shapes)) * FLOAT_BYTES
        on_stack = config.bands == 1 and packed_bytes + config.score_bytes(problem.keys) <= MOST_STACK_BYTES
        packed = [
            loops.local_buffer([1 if on_stack else problem.heads, *shape], _FLOAT, name)
            for shape, name in zip(shapes, ("keys", "values"), strict=True)
        ]
        allocations = [loops.allocate(buffer) for buffer in packed]

        def panels(head: Expr) -> tuple[_Panels, _Panels]:
            copy = loops.index(0) if on_stack else head
            keys = _Panels(packed[0], copy, problem.width, problem.keys, config.scores)
            return keys, _Panels(packed[1], copy, problem.keys, problem.value_width, config.values)

        def pack(head: Expr) -> list[tirx.Stmt]:
            keys, values = panels(head)
            batch = loops.unflatten(head, problem.batch)
            return self._pack(keys, problem.key, batch) + self._pack(values, problem.value, batch)

        def attend(task: Expr) -> list[tirx.Stmt]:
            head = task // config.bands
            return self._head(*panels(head), loops.unflatten(head, problem.batch), task % config.bands)

        if config.bands > 1:  # bands of one head share what is packed
            banded = loops.parallel(problem.heads * config.bands, attend)
            return loops.sequence([*allocations, loops.parallel(problem.heads, pack), banded])
        inside, outside = (allocations, []) if on_stack else ([], allocations)
        return loops.sequence(
            [*outside, loops.parallel(problem.heads, lambda head: [*inside, *pack(head), *attend(head)])]
        )

    def _head(self, keys: _Panels, values: _Panels, batch: list[Expr], band: Expr) -> list[tirx.Stmt]:
        from tvm import tirx

        problem, config = self.problem, self.config
        scores = loops.local_buffer([config.block_rows, config.padded(problem.keys)], _FLOAT, "scores")
        scales = loops.local_buffer([config.block_rows], _FLOAT, "scales")
        statements: list[tirx.Stmt] = [loops.allocate(scores), loops.allocate(scales)]
        block = _Block(self, keys, values, batch, scores, scales)
        full, rest = divmod(problem.rows, config.block_rows)
        per_band = math.ceil(math.ceil(problem.rows / config.block_rows) / config.bands)
        if full:
            first = band * per_band
            extent: Index = full
            if config.bands > 1:
                extent = tirx.max(loops.index(0), tirx.min(loops.index(per_band), full - first))
            statements.append(
                loops.serial(extent, lambda at: block.emit(at * config.block_rows, config.block_rows), "block", first)
            )
        if rest:
            tail = block.emit(loops.index(full * config.block_rows), rest)
            last = band.equal(full // per_band)
            statements += [loops.when(last, tail)] if config.bands > 1 else tail
        return statements

    def _pack(self, panels: _Panels, place: Placed, batch: list[Expr]) -> list[tirx.Stmt]:
        """Copy a matrix into its panels; lanes behind its last column become zero."""
        from tvm import tirx

        source, tile = self.arguments[place.argument], panels.tile

        def row(panel: Index, lanes: list[int], at: Expr) -> list[tirx.Stmt]:
            def copy(v: int, lane: Expr) -> tirx.Stmt:
                column = loops.index(panel) * tile.panel + v * tile.lanes + lane
                value = loops.load(source, [address(place, [*batch, at, column])])
                return loops.store(panels.buffer, value, [panels.head, panel, at, lane + v * tile.lanes])

            def clear(v: int, lane: Expr) -> tirx.Stmt:
                zero = tirx.const(0.0, _FLOAT)
                return loops.store(panels.buffer, zero, [panels.head, panel, at, lane + v * tile.lanes])

            return fill_panel(lanes, tile.lanes, copy, clear)

        return _by_panel(
            panels,
            lambda panel, lanes: [loops.serial(panels.depth, lambda at: row(panel, lanes, at), "row")],
        )


@dataclass(frozen=True)
class _Block:
    """Some queries of one head."""

    loops_of: AttentionLoops
    keys: _Panels
    values: _Panels
    batch: list[Expr]
    scores: tirx.Buffer
    scales: tirx.Buffer

    def emit(self, first: Expr, rows: int) -> list[tirx.Stmt]:
        """The results of the queries `first` to `first + rows - 1`."""
        problem = self.loops_of.problem
        query = self.loops_of.arguments[problem.query.argument]

        def of_query(row: Expr, k: Expr) -> Expr:
            return loops.load(query, [address(problem.query, [*self.batch, first + row, k])])

        def of_scores(row: Expr, k: Expr) -> Expr:
            return loops.load(self.scores, [row, k])

        def keep_scores(sums: Accumulators, row: Expr, panel: Expr, lanes: list[int]) -> list[tirx.Stmt]:
            return self._keep_scores(sums, first, row, panel, lanes)

        def keep_result(sums: Accumulators, row: Expr, panel: Expr, lanes: list[int]) -> list[tirx.Stmt]:
            return self._keep_result(sums, first, row, panel, lanes)

        return [
            *_product(self.keys, rows, of_query, keep_scores),
            *exponentials(self.scores, self.scales, rows, self.loops_of.config.lanes),
            *_product(self.values, rows, of_scores, keep_result),
        ]

    def _keep_scores(
        self, sums: Accumulators, first: Expr, start: Expr, panel: Expr, lanes: list[int]
    ) -> list[tirx.Stmt]:
        """Store the scores of a tile; those behind the last key are minus infinity, which weighs nothing."""
        from tvm import tirx

        problem = self.loops_of.problem

        def finish(row: int, v: int, lane: Expr) -> tirx.Stmt:
            column = panel * self.keys.tile.panel + v * sums.lanes + lane
            indices = [*self.batch, first + start + row, column]
            value = sums.get(row, v, lane)
            for step in problem.steps:
                operand = None
                if step.operand is not None:
                    source = self.loops_of.arguments[step.operand.argument]
                    operand = loops.load(source, [address(step.operand, indices)])
                value = step_of(step, value, operand)
            return loops.store(self.scores, value, [start + row, column])

        def fill(row: int, v: int, lane: Expr) -> tirx.Stmt:
            column = panel * self.keys.tile.panel + v * sums.lanes + lane
            return loops.store(self.scores, tirx.const(-math.inf, _FLOAT), [start + row, column])

        cut = [sums.lanes if 0 < count < sums.lanes else 0 for count in lanes]
        return [*(sums.each(fill, cut) if any(cut) else []), *sums.each(finish, lanes)]

    def _keep_result(
        self, sums: Accumulators, first: Expr, start: Expr, panel: Expr, lanes: list[int]
    ) -> list[tirx.Stmt]:
        """Store the results of a tile; a scale that is no number above zero tells that the row has no weights."""
        from tvm import tirx

        problem, result = self.loops_of.problem, self.loops_of.result

        def finish(row: int, v: int, lane: Expr) -> tirx.Stmt:
            column = panel * self.values.tile.panel + v * sums.lanes + lane
            scale = loops.load(self.scales, [start + row])
            value = sums.get(row, v, lane) * scale
            if problem.nan_is_zero:
                has_weights = tirx.And(scale > tirx.const(0.0, _FLOAT), scale <= tirx.const(1.0, _FLOAT))
                value = tirx.Select(has_weights, value, tirx.const(0.0, _FLOAT))
            place = address(problem.result, [*self.batch, first + start + row, column])
            return loops.store(result, value, [place])

        return sums.each(finish, lanes)


def _product(panels: _Panels, rows: int, factor: Callable[[Expr, Expr], Expr], finish: Finish) -> list[tirx.Stmt]:
    """`rows` rows of factors by all panels, a tile at a time."""
    tile = panels.tile
    full, rest = divmod(rows, tile.rows)

    def one(panel: Expr, lanes: list[int], start: Expr, extent: int) -> list[tirx.Stmt]:
        sums = Accumulators.make(extent, tile.vectors, tile.lanes, _FLOAT)

        def step(k: Expr) -> list[tirx.Stmt]:
            def add(row: int) -> list[tirx.Stmt]:
                return sums.add(row, lambda v, lane: factor(start + row, k) * panels.load(panel, k, v, lane))

            return [statement for row in range(extent) for statement in add(row)]

        return [*sums.start(), loops.serial(panels.depth, step, "k"), *finish(sums, start, panel, lanes)]

    def tiles(panel: Expr, lanes: list[int]) -> list[tirx.Stmt]:
        statements: list[tirx.Stmt] = []
        if full:
            statements.append(loops.serial(full, lambda at: one(panel, lanes, at * tile.rows, tile.rows), "tile"))
        if rest:
            statements += one(panel, lanes, loops.index(full * tile.rows), rest)
        return statements

    return _by_panel(panels, tiles)


def _by_panel(panels: _Panels, body: Callable[[Expr, list[int]], list[tirx.Stmt]]) -> list[tirx.Stmt]:
    """`body` for each panel, with code of its own for a last one that is not full."""
    count = panels.count
    whole = panels.columns // panels.tile.panel
    statements: list[tirx.Stmt] = []
    if whole:
        statements.append(loops.serial(whole, lambda panel: body(panel, panels.lanes(0)), "panel"))
    if whole < count:
        statements += body(loops.index(whole), panels.lanes(whole))
    return statements
