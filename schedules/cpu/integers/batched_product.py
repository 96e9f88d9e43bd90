"""Products of matrices of bytes that are both computed at run time, one pair per batch: attention.

    y[b, m, n] = sum over k of  (a[b, m, k] - z) * (w[b, k, n] - o)

The instruction adds up D = (a + offset) * w. With Z = z + offset, and K products in a sum,

    y[b, m, n] = D[b, m, n] - Z * column_sum[b, n] - o * row_sum[b, m] + K * Z * o

where column_sum adds up w, and row_sum a + offset. The same instruction finds both: of w times ones, and of a times
ones, which is one more vector of weights, and only there where o is not zero.

for b, panel in parallel(...):
    packed = w[b, :, panel]                     # the bytes that a step multiplies side by side, zeros behind the end
    start = K * Z * o - Z * column_sum
    for tile in ...:                            # rows of a
        sums = start
        for step in ...:
            sums[row, v] = dot(sums[row, v], a[b, row, step], packed[step, v])
        y[b, tile, panel] = epilogue(sums - o * row_sum)
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgecompile.integer.formulas import ordered, places_of
from edgecompile.target import CpuFacts

from schedules.cpu import loops
from schedules.cpu.accumulators import Accumulators, by_panel_width
from schedules.cpu.epilogue import Epilogue
from schedules.cpu.integers.batched_config import BatchedNumbers
from schedules.cpu.integers.batched_packing import Neighbours, PanelPacking
from schedules.cpu.integers.config import IntegerConfig, held_rows
from schedules.cpu.integers.dot_sums import add_products, in_matrices, step_weights
from schedules.cpu.integers.epilogue import store_integers
from schedules.cpu.integers.pixel_pairs import PIXELS, Pair, exchange_halves, pair_products
from schedules.cpu.integers.products import line_products, tap_products
from schedules.dot_product import DotProduct

if TYPE_CHECKING:
    from tvm import tirx

    from schedules.cpu.loops import Expr, Index

    Statements = list[tirx.Stmt]


@dataclass(frozen=True)
class IntegerBatchedProduct:
    """Makes the loops of one batch of products of int8 a and w."""

    config: IntegerConfig
    dot: DotProduct
    numbers: BatchedNumbers
    a: tirx.Buffer
    w: tirx.Buffer
    epilogue: Epilogue
    facts: CpuFacts

    def emit(self) -> tirx.Stmt:
        """The loops that compute all of the epilogue's target."""
        batch = self._shape[:-2]
        panels = math.ceil(self._columns / self.config.panel)

        def task(index: Expr) -> Statements:
            place = loops.unflatten(index // panels, batch)
            return self._by_width(place, index % panels, panels)

        return loops.parallel(math.prod(batch) * panels, task)

    @property
    def _shape(self) -> list[int]:
        """Of a, `[*batch, M, K]`."""
        return [int(extent) for extent in ordered(list(self.a.shape), self.numbers.axes)]

    @property
    def _columns(self) -> int:
        return int(ordered(list(self.w.shape), self.numbers.other_axes)[-1])

    @property
    def _neighbours(self) -> Neighbours:
        """Of w in memory."""
        last = len(self.w.shape) - 1
        *_, inner, columns = self.numbers.other_axes or range(last + 1)
        return "columns" if columns == last else "rows" if inner == last else "none"

    @property
    def _moved_zero_point(self) -> int:
        """Of a as the instruction reads it."""
        return self.numbers.zero_point + self.dot.offset

    def _by_width(self, batch: list[Expr], panel: Expr, panels: int) -> Statements:
        """The panel, with code of its own where the last one is narrower."""
        body = functools.partial(self._panel, batch, panel)
        return by_panel_width(panel, panels, self._columns, self.config.vectors, self.config.lanes, body)

    def _panel(self, batch: list[Expr], panel: Expr, lanes: Sequence[int]) -> Statements:
        config, (rows, inner) = self.config, self._shape[-2:]
        steps = math.ceil(inner / self.dot.group)
        packed = loops.local_buffer([steps, config.vectors, config.lanes * self.dot.group], "int8", "packed")
        start = loops.local_buffer([config.panel], "int32", "start")

        def place(k: Index, n: Index) -> list[Expr]:
            column = panel * config.panel + n
            return places_of([*batch, loops.index(k), column], self.numbers.other_axes)

        packing = PanelPacking(self.w, packed, place, inner, self.dot, self._neighbours)
        statements = [
            loops.allocate(packed),
            *packing.emit(lanes),
            loops.allocate(start),
            *self._start(packed, start, steps),
        ]
        full, rest = divmod(rows, config.rows)

        def tile(first: Index, count: int) -> Statements:
            return self._tile(packed, start, batch, panel, first, count, lanes)

        if full:
            statements.append(loops.serial(full, lambda at: tile(at * config.rows, config.rows), "tile"))
        return [*statements, *(tile(full * config.rows, rest) if rest else [])]

    def _start(self, packed: tirx.Buffer, start: tirx.Buffer, steps: int) -> Statements:
        """What the sums of a column begin with."""
        from tvm import tirx

        config, zero_point = self.config, self._moved_zero_point
        inner = self._shape[-1]
        beyond = (steps * self.dot.group - inner) * self.dot.offset  # zeros that fill the last step count in row sums
        constant = tirx.const(self.numbers.other_zero_point * (inner * zero_point + beyond), "int32")
        if not zero_point:
            return [
                loops.vector(config.lanes, lambda lane, v=v: loops.store(start, constant, [lane + v * config.lanes]))  # type: ignore[misc]
                for v in range(config.vectors)
            ]
        totals = Accumulators.make(self.dot.pixels, config.vectors, config.lanes, "int32")
        ones = self._word_of_ones()

        def step(at: Expr) -> Statements:
            def weight(v: int, part: int) -> Expr:
                return step_weights(self.dot, packed, [at, v], part)

            return add_products(totals, self.dot, 0, ones, weight)

        def finish(row: int, v: int, lane: Expr) -> tirx.Stmt:
            return loops.store(start, constant - totals.get(row, v, lane) * zero_point, [lane + v * config.lanes])

        exchange = exchange_halves(totals) if self.dot.pixels == PIXELS else []
        first_row = dataclasses.replace(totals, rows=1)
        return [
            *totals.start(tirx.const(0, "int32")),
            loops.serial(steps, step, "step"),
            *exchange,
            *first_row.each(finish),
        ]

    def _word_of_ones(self) -> Expr:
        """Factors that the instruction takes for ones, the offset being added to them."""
        from tvm import tirx

        bits = 8 if self.dot.factor == "int8" else 16
        one = (1 - self.dot.offset) % (1 << bits)
        whole = sum(one << bits * at for at in range(self.dot.group))
        size = bits * self.dot.group
        word = tirx.const(whole - (1 << size if whole >> (size - 1) else 0), self.dot.word)
        return tirx.Broadcast(word, PIXELS) if self.dot.pixels == PIXELS else word

    def _tile(
        self,
        packed: tirx.Buffer,
        start: tirx.Buffer,
        batch: list[Expr],
        panel: Expr,
        first: Index,
        rows: int,
        lanes: Sequence[int],
    ) -> Statements:
        """The sums of one tile, in registers from their start to their end."""
        config, dot = self.config, self.dot
        held = held_rows(rows, dot)
        sums = Accumulators.make(held, config.vectors, config.lanes, "int32")
        row_sums = Accumulators.make(held, 1, config.lanes, "int32")
        has_row_sums = self.numbers.other_zero_point != 0

        def begin(row: int, v: int, lane: Expr) -> tirx.Stmt:
            return sums.put(loops.load(start, [lane + v * config.lanes]), row, v, lane)

        def multiply(row: int, factor: Expr, step: Expr) -> Statements:
            def weight(v: int, part: int) -> Expr:
                return step_weights(dot, packed, [step, v], part)

            products = add_products(sums, dot, row, factor, weight)
            return products + (add_products(row_sums, dot, row, factor, self._ones) if has_row_sums else [])

        def place(row: int, v: int) -> list[Expr]:
            return [*batch, loops.index(first) + row, panel * config.panel + v * config.lanes]

        def finish(value: Expr, row: int, v: int, lane: Expr) -> tirx.Stmt:
            *outer, column = place(row, v)
            indices = [*outer, column + lane]
            return self.epilogue.store(value, indices)

        done = dataclasses.replace(sums, rows=rows)
        products = in_matrices(sums, dot, self._reduction(batch, first, rows, multiply))
        if has_row_sums:
            products = [*row_sums.start(_zero()), *products, *self._subtract(sums, row_sums, rows)]
        stores = store_integers(
            self.epilogue, done, place, lanes, finish, config.vectors_of_a_store(self.facts), self.facts
        )
        return [loops.allocate(sums.buffer), *sums.each(begin), *products, *stores]

    def _subtract(self, sums: Accumulators, row_sums: Accumulators, rows: int) -> Statements:
        """`sums -= other_zero_point * row_sums`."""
        from tvm import tirx

        other = tirx.Broadcast(tirx.const(self.numbers.other_zero_point, "int32"), self.config.lanes)
        exchange = exchange_halves(row_sums) if self.dot.pixels == PIXELS else []
        return [
            *exchange,
            *(
                sums.update(row, v, lambda before, row=row: before - row_sums.vector(row, 0) * other)  # type: ignore[misc]
                for row in range(rows)
                for v in range(self.config.vectors)
            ),
        ]

    def _ones(self, v: int, part: int) -> Expr:
        """Weights of one."""
        from tvm import tirx

        del v, part  # all are the same
        size = self.dot.lanes * self.dot.group // self.dot.pixels
        return self.dot.weight(tirx.Broadcast(tirx.const(1, "int8"), size))

    def _reduction(
        self, batch: list[Expr], first: Index, rows: int, multiply: Callable[[int, Expr, Expr], Statements]
    ) -> Statements:
        """The products of all steps for the rows of a tile."""

        def place(row: int) -> list[Expr]:
            indices = [*batch, loops.index(first) + row, loops.index(0)]
            return places_of(indices, self.numbers.axes)[:-1]

        places = {row: place(row) for row in range(rows)}
        if self.dot.pixels == PIXELS:
            pairs = {row: Pair((places[row], places.get(row + 1)), 0) for row in range(0, rows, PIXELS)}
            inner = int(self.a.shape[-1])
            return pair_products(self.a, pairs, inner, self.dot, self.config.neighbours, multiply)
        if self.dot.factor == "int16" and self.config.neighbours == 1:
            met = {(row, 0): (row, place) for row, place in places.items()}
            return line_products(self.a, met, self.dot, lambda row, word, column, step: multiply(row, word, step))
        return tap_products(self.a, places, self.dot, self.config.neighbours, multiply)


def _zero() -> Expr:
    from tvm import tirx

    return tirx.const(0, "int32")
