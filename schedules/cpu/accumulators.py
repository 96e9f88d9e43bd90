"""Sums that stay in registers: `rows` x `vectors` vectors, every one named by constants."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from schedules.cpu import loops

if TYPE_CHECKING:
    from tvm import tirx

    from schedules.cpu.loops import Expr, Index

    PerVector = Callable[[int, int, Expr], tirx.Stmt]  # of a row, its vector, and the lane
    PerValue = Callable[[Expr, int, int, Expr], tirx.Stmt]  # of a sum too


@dataclass(frozen=True)
class Accumulators:
    """One tile's sums.

    Attributes:
        buffer: `[rows * vectors * lanes]`; all its indices are constant, so that it becomes registers.
    """

    rows: int
    vectors: int
    lanes: int
    buffer: tirx.Buffer

    @staticmethod
    def make(rows: int, vectors: int, lanes: int, dtype: str) -> Accumulators:
        """Sums for a tile, not yet allocated."""
        return Accumulators(rows, vectors, lanes, loops.local_buffer([rows * vectors * lanes], dtype, "sums"))

    def start(self, value: Expr | None = None) -> list[tirx.Stmt]:
        """Allocate them and set them to a value, which is zero where none is given."""
        from tvm import tirx

        first = tirx.const(0.0, str(self.buffer.dtype)) if value is None else value
        return [loops.allocate(self.buffer), *self.each(lambda row, v, lane: self.put(first, row, v, lane))]

    def add(self, row: int, product: Callable[[int, Expr], Expr]) -> list[tirx.Stmt]:
        """`sums[row, v] += product(v, lane)` for all vectors of a row."""
        return [self.add_to(row, v, functools.partial(product, v)) for v in range(self.vectors)]

    def add_to(self, row: int, v: int, product: Callable[[Expr], Expr]) -> tirx.Stmt:
        """`sums[row, v] += product(lane)`."""
        return loops.vector(self.lanes, lambda lane: self.put(self.get(row, v, lane) + product(lane), row, v, lane))

    def each(self, one: PerVector, lanes: Sequence[int] | None = None) -> list[tirx.Stmt]:
        """`one` for every vector, of which `lanes[v]` lanes count."""
        counts = lanes or [self.lanes] * self.vectors
        return [
            loops.vector(count, self._at(row, v, one))
            for row in range(self.rows)
            for v, count in enumerate(counts)
            if count
        ]

    def each_of_panel(self, one: PerVector, panel: Expr, panels: int, channels: int) -> list[tirx.Stmt]:
        """`one` for every vector, shortened in the last of the panels that hold `channels` together."""

        def each(lanes: list[int]) -> list[tirx.Stmt]:
            return self.each(one, lanes)

        return by_panel_width(panel, panels, channels, self.vectors, self.lanes, each)

    def each_joined(self, one: PerValue, count: int, lanes: Sequence[int] | None = None) -> list[tirx.Stmt]:
        """`one` for every `count` vectors together, whose number divides by it; those that are short one by one."""
        counts = lanes or [self.lanes] * self.vectors
        statements: list[tirx.Stmt] = []
        for row in range(self.rows):
            for v in range(0, self.vectors, count):
                if count > 1 and all(size == self.lanes for size in counts[v : v + count]):
                    statements += self._joined(row, v, count, one)
                    continue
                for at in range(v, v + count):
                    if counts[at]:
                        statements.append(loops.vector(counts[at], self._finish(row, at, one)))
        return statements

    def _joined(self, row: int, v: int, count: int, one: PerValue) -> list[tirx.Stmt]:
        """Through a buffer of their own: LLVM would keep sums that are read as longer vectors in memory."""
        wide = loops.local_buffer([count * self.lanes], str(self.buffer.dtype), "joined")
        copies = [
            loops.store(wide, self.vector(row, v + at), [loops.ramp(at * self.lanes, self.lanes)])
            for at in range(count)
        ]
        stores = loops.vector(count * self.lanes, lambda lane: one(loops.load(wide, [lane]), row, v, lane))
        return [loops.allocate(wide), *copies, stores]

    def _finish(self, row: int, v: int, one: PerValue) -> Callable[[Expr], tirx.Stmt]:
        return lambda lane: one(self.get(row, v, lane), row, v, lane)

    def update(self, row: int, v: int, change: Callable[[Expr], Expr]) -> tirx.Stmt:
        """`sums[row, v] = change(sums[row, v])`, of a whole vector."""
        return self.replace(change(self.vector(row, v)), row, v)

    def replace(self, value: Expr, row: int, v: int) -> tirx.Stmt:
        """`sums[row, v] = value`, of a whole vector."""
        return loops.store(self.buffer, value, self._vector_place(row, v))

    def vector(self, row: int, v: int) -> Expr:
        """A whole vector."""
        return loops.load(self.buffer, self._vector_place(row, v))

    def get(self, row: int, v: int, lane: Expr) -> Expr:
        """One sum."""
        return loops.load(self.buffer, self._place(row, v, lane))

    def put(self, value: Expr, row: int, v: int, lane: Expr) -> tirx.Stmt:
        """Replace one sum."""
        return loops.store(self.buffer, value, self._place(row, v, lane))

    def _place(self, row: int, v: int, lane: Expr) -> list[Index]:
        return [lane + (row * self.vectors + v) * self.lanes]

    def _vector_place(self, row: int, v: int) -> list[Index]:
        return [loops.ramp(self._place(row, v, loops.index(0))[0], self.lanes)]

    @staticmethod
    def _at(row: int, v: int, one: PerVector) -> Callable[[Expr], tirx.Stmt]:
        return lambda lane: one(row, v, lane)


def lanes_of_panel(channels: int, vectors: int, lanes: int) -> list[int]:
    """How many lanes of each vector hold channels, where only `channels` are left."""
    return [min(lanes, max(0, channels - v * lanes)) for v in range(vectors)]


def by_panel_width(
    panel: Expr, panels: int, channels: int, vectors: int, lanes: int, body: Callable[[list[int]], list[tirx.Stmt]]
) -> list[tirx.Stmt]:
    """What a body does for the lanes of each vector that hold channels, apart for a last panel that is narrower.

    Args:
        panel: which one it is, of `panels` that hold `channels` together.
        vectors, lanes: of a whole panel.
    """
    left = channels - (panels - 1) * vectors * lanes
    short = lanes_of_panel(left, vectors, lanes)
    if left == vectors * lanes or panels == 1:
        return body(short)
    return [loops.when(panel.equal(panels - 1), body(short), body([lanes] * vectors))]


def fill_panel(
    lanes: Sequence[int], width: int, copy: Callable[[int, Expr], tirx.Stmt], clear: Callable[[int, Expr], tirx.Stmt]
) -> list[tirx.Stmt]:
    """`copy(v, lane)` for the lanes that hold channels; `clear` first where some of a vector's `width` do not."""

    def one(v: int, count: int, body: Callable[[int, Expr], tirx.Stmt]) -> tirx.Stmt:
        return loops.vector(count, lambda lane: body(v, lane))

    statements = []
    for v, count in enumerate(lanes):
        if count < width:
            statements.append(one(v, width, clear))
        if count:
            statements.append(one(v, count, copy))
    return statements
