"""Products of matrices that are both computed at run time, one pair per batch: attention.

y[b, m, n] = sum over k of  a[b, m, k] * w[b, k, n]

for b, panel in parallel(...):
    packed = w[b, :, panel]                    # side by side, filled with zeros behind the last column
    for tile in ...:                           # rows of a
        for k in ...:
            for row in unrolled(rows):
                for v in unrolled(vectors):
                    sums[row, v] += a[b, row, k] * packed[k, v]
        y[b, tile, panel] = epilogue(sums)
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgecompile.convolution import Convolution
from edgecompile.target import CpuFacts

from schedules.cpu import loops
from schedules.cpu.accumulators import Accumulators, by_panel_width, fill_panel
from schedules.cpu.direct.config import FLOAT_BYTES, DirectConfig
from schedules.cpu.epilogue import Epilogue
from schedules.cpu.factors import Step

if TYPE_CHECKING:
    from tvm import te, tirx

    from schedules.cpu.loops import Expr, Index

MOST_PACKED_BYTES = 192 * 1024  # a thread's stack holds the packed panel


def choose_tile(rows: int, inner: int, columns: int, facts: CpuFacts) -> DirectConfig | None:
    """The tile of a product `[rows, inner] @ [inner, columns]`; None where a packed panel would be too large."""
    config = DirectConfig.choose(Convolution(1, inner, columns, 1, rows), inner, facts)
    return config if fits_stack(inner, config) else None


def fits_stack(inner: int, config: DirectConfig) -> bool:
    """True where a thread's stack can hold the packed panel of `inner` rows."""
    return inner * config.panel * FLOAT_BYTES <= MOST_PACKED_BYTES


def multiply_batches(a: te.Tensor, w: te.Tensor, attributes: dict[str, str]) -> te.Tensor:
    """The product as a formula; `a` is `[*batch, M, K]`, `w` `[*batch, K, N]` with the same batch."""
    from tvm import te

    k = te.reduce_axis((loops.index(0), a.shape[-1]), "k")

    def value(*indices: tirx.Var) -> Expr:
        *batch, m, n = indices
        return te.sum(a(*batch, m, k) * w(*batch, k, n), axis=[k])

    return te.compute([*a.shape[:-1], w.shape[-1]], value, name="batch_matmul", attrs=attributes)


@dataclass(frozen=True)
class BatchedProduct:
    """Makes the loops of one batch of products; a is `[*batch, M, K]`, w `[*batch, K, N]`."""

    config: DirectConfig
    a: tirx.Buffer
    w: tirx.Buffer
    epilogue: Epilogue

    def emit(self) -> tirx.Stmt:
        """The loops that compute all of the epilogue's target."""
        batch = [int(extent) for extent in self.a.shape[:-2]]
        panels = math.ceil(self._columns / self.config.panel)

        def task(index: Expr) -> list[tirx.Stmt]:
            return self._by_width(loops.unflatten(index // panels, batch), index % panels, panels)

        return loops.parallel(math.prod(batch) * panels, task)

    @property
    def _columns(self) -> int:
        return int(self.w.shape[-1])

    def _by_width(self, batch: list[Expr], panel: Expr, panels: int) -> list[tirx.Stmt]:
        """The panel, with code of its own where the last one is narrower."""
        body = functools.partial(self._panel, batch, panel)
        return by_panel_width(panel, panels, self._columns, self.config.vectors, self.config.lanes, body)

    def _panel(self, batch: list[Expr], panel: Expr, lanes: list[int]) -> list[tirx.Stmt]:
        config = self.config
        rows, inner = int(self.a.shape[-2]), int(self.a.shape[-1])
        packed = loops.local_buffer([inner, config.panel], str(self.w.dtype), "packed")
        full, rest = divmod(rows, config.rows)
        statements = [
            loops.allocate(packed),
            loops.serial(inner, lambda k: self._pack(packed, batch, panel, k, lanes), "k"),
        ]
        if full:
            statements.append(
                loops.serial(
                    full,
                    lambda tile: self._tile(packed, batch, panel, tile * config.rows, config.rows, lanes),
                    "tile",
                )
            )
        if rest:
            statements += self._tile(packed, batch, panel, full * config.rows, rest, lanes)
        return statements

    def _pack(self, packed: tirx.Buffer, batch: list[Expr], panel: Expr, k: Expr, lanes: list[int]) -> list[tirx.Stmt]:
        from tvm import tirx

        config = self.config

        def copy(v: int, lane: Expr) -> tirx.Stmt:
            value = loops.load(self.w, [*batch, k, panel * config.panel + v * config.lanes + lane])
            return loops.store(packed, value, [k, lane + v * config.lanes])

        def clear(v: int, lane: Expr) -> tirx.Stmt:
            return loops.store(packed, tirx.const(0.0, str(self.w.dtype)), [k, lane + v * config.lanes])

        return fill_panel(lanes, config.lanes, copy, clear)

    def _tile(
        self, packed: tirx.Buffer, batch: list[Expr], panel: Expr, start: Index, rows: int, lanes: list[int]
    ) -> list[tirx.Stmt]:
        config = self.config
        sums = Accumulators.make(rows, config.vectors, config.lanes, str(self.a.dtype))

        def read(row: int, k: Expr) -> Expr:
            return loops.load(self.a, [*batch, loops.index(start) + row, k])

        def multiply(row: int, v: int, factor: Expr, k: Expr) -> tirx.Stmt:
            return sums.add_to(row, v, lambda lane: factor * loops.load(packed, [k, lane + v * config.lanes]))

        step = Step(range(rows), config.vectors, config.neighbours, str(self.a.dtype))
        products = step.repeat(int(self.a.shape[-1]), read, multiply)

        def finish(row: int, v: int, lane: Expr) -> tirx.Stmt:
            indices = [*batch, loops.index(start) + row, panel * config.panel + v * config.lanes + lane]
            return self.epilogue.store(sums.get(row, v, lane), indices)

        return [*sums.start(), *products, *sums.each(finish, lanes)]
