"""Resizing on channel-blocked tensors: vectors along the channels, places and weights from tables.

y[n, c, h, w] = sum over a, b of  x[n, c, row[h, a], column[w, b]] * row_weight[h, a] * column_weight[w, b]

for image, block, line in parallel(...):
    for v in ...:                              # the block's vectors
        for w in width of x:                   # not where there is one tap: then y is a copy
            mixed[w] = sum over a of x[row[line, a], w] * row_weight[line, a]
        for w in width of y:
            y[line, w] = epilogue(sum over b of mixed[column[w, b]] * column_weight[w, b])
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgecompile.implementation import Implementation
from edgecompile.resizing import Resizing
from edgecompile.target import CpuFacts, Target

from schedules.cpu import loops
from schedules.cpu.block_vectors import over_vectors
from schedules.cpu.direct.config import FLOAT_BYTES
from schedules.cpu.epilogue import Epilogue
from schedules.cpu.template import Anchor, attributes

if TYPE_CHECKING:
    from tvm import te, tirx

    from schedules.cpu.loops import Expr

RESIZING = "resizing"

_MIXED_BYTES = 64 * 1024  # a line of mixed pixels lies on the stack
_CYCLES_PER_VECTOR = 4.0  # of the output, on a Zen 5 server, with what it takes to write it


def resizing_ways(problem: Resizing, block: int, facts: CpuFacts) -> Sequence[Implementation]:
    """The template; none for lines of the input that are too long."""
    lanes = min(block, facts.vector_bytes // FLOAT_BYTES)
    if problem.taps > 1 and problem.width * lanes * FLOAT_BYTES > _MIXED_BYTES:
        return ()
    notes = attributes(RESIZING, {"problem": dataclasses.asdict(problem), "lanes": lanes})
    outputs = problem.batch * problem.channels * problem.out_height * problem.out_width
    return (
        Implementation(
            name=f"resize {problem.taps}x{lanes}",
            cycles=_CYCLES_PER_VECTOR * outputs / lanes,
            pack=lambda weight: [],
            compute=lambda x, *tables: resize(x, tables, problem, notes),
        ),
    )


def resize(x: te.Tensor, tables: Sequence[te.Tensor], problem: Resizing, attributes: dict[str, str]) -> te.Tensor:
    """The resizing as a formula.

    Args:
        x: `[N, C / b, H, W, b]`; the result has the same blocks.
        tables: `[OH, taps]` and `[1, OW, taps]` int32: rows and columns; for several taps also their weights.
    """
    from tvm import te

    rows, columns, *weights = tables
    a, b = (te.reduce_axis((loops.index(0), loops.index(problem.taps)), name) for name in ("a", "b"))

    def value(n: tirx.Var, block: tirx.Var, h: tirx.Var, w: tirx.Var, lane: tirx.Var) -> Expr:
        if not weights:
            return x(n, block, _wide(rows(h, 0)), _wide(columns(0, w, 0)), lane)
        read = x(n, block, _wide(rows(h, a)), _wide(columns(0, w, b)), lane)
        return te.sum(read * weights[0](h, a) * weights[1](0, w, b), axis=[a, b])

    shape = [x.shape[0], x.shape[1], loops.index(problem.out_height), loops.index(problem.out_width), x.shape[4]]
    return te.compute(shape, value, name="resize", attrs=attributes)


def emit_resizing(anchor: Anchor, epilogue: Epilogue, target: Target) -> tirx.Stmt:
    """The loops for a block that a way of this template annotated."""
    del target
    by_kind = {(len(buffer.shape), str(buffer.dtype)): buffer for buffer in anchor.reads}
    rows = _Table(by_kind[2, "int32"], by_kind.get((2, "float32")))
    columns = _Table(by_kind[3, "int32"], by_kind.get((3, "float32")))
    problem = Resizing(**anchor.numbers["problem"])
    return ResizingLoops(problem, int(anchor.numbers["lanes"]), by_kind[5, "float32"], rows, columns, epilogue).emit()


@dataclass(frozen=True)
class _Table:
    """Places along one axis, and their weights where there are several."""

    places: tirx.Buffer
    weights: tirx.Buffer | None

    def place(self, pixel: Expr, tap: int) -> Expr:
        return _wide(loops.load(self.places, self._at(pixel, tap)))

    def weight(self, pixel: Expr, tap: int) -> Expr:
        assert self.weights is not None
        return loops.load(self.weights, self._at(pixel, tap))

    def _at(self, pixel: Expr, tap: int) -> list[Expr]:
        return [*[loops.index(0)] * (len(self.places.shape) - 2), pixel, loops.index(tap)]


@dataclass(frozen=True)
class ResizingLoops:
    """Makes the loops of one resizing; x is `[N, C/b, H, W, b]`."""

    problem: Resizing
    lanes: int
    x: tirx.Buffer
    rows: _Table
    columns: _Table
    epilogue: Epilogue

    def emit(self) -> tirx.Stmt:
        """The loops that compute all of the epilogue's target."""
        blocks, lines = int(self.x.shape[1]), self.problem.out_height

        def task(index: Expr) -> list[tirx.Stmt]:
            at, line = [index // (blocks * lines), index // lines % blocks], index % lines
            return over_vectors(
                int(self.x.shape[4]), self.lanes, lambda first, lanes: self._line(at, line, first, lanes)
            )

        return loops.parallel(self.problem.batch * blocks * lines, task)

    def _line(self, at: list[Expr], line: Expr, first: Expr, lanes: int) -> list[tirx.Stmt]:
        """One vector of channels of one row of the output.

        Args:
            at: image and block.
            first: channel of the block.
        """
        width, taps = self.problem.width, range(self.problem.taps)
        mixed = loops.local_buffer([width * lanes], str(self.x.dtype), "mixed")

        def pixel(tap: int, w: Expr, lane: Expr) -> Expr:
            return loops.load(self.x, [*at, self.rows.place(line, tap), w, first + lane])

        def mix(w: Expr) -> list[tirx.Stmt]:
            def one(lane: Expr) -> tirx.Stmt:
                value = _sum([pixel(tap, w, lane) * self.rows.weight(line, tap) for tap in taps])
                return loops.store(mixed, value, [w * lanes + lane])

            return [loops.vector(lanes, one)]

        def write(w: Expr) -> list[tirx.Stmt]:
            def one(lane: Expr) -> tirx.Stmt:
                if len(taps) == 1:
                    value = pixel(0, self.columns.place(w, 0), lane)
                else:
                    value = _sum(
                        [
                            loops.load(mixed, [self.columns.place(w, tap) * lanes + lane]) * self.columns.weight(w, tap)
                            for tap in taps
                        ]
                    )
                indices = [*at, line, w, first + lane]
                return self.epilogue.store(value, indices)

            return [loops.vector(lanes, one)]

        mixing = [loops.allocate(mixed), loops.serial(width, mix, "w")] if len(taps) > 1 else []
        return [*mixing, loops.serial(self.problem.out_width, write, "w")]


def _sum(values: list[Expr]) -> Expr:
    total = values[0]
    for value in values[1:]:
        total = total + value
    return total


def _wide(place: Expr) -> Expr:
    return place.astype(loops.INDEX_TYPE)
