"""A panel of a matrix of bytes, as the instructions read it: the bytes of one step side by side for each column."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from schedules.cpu import loops
from schedules.dot_product import DotProduct

if TYPE_CHECKING:
    from tvm import tirx

    from schedules.cpu.loops import Expr, Index

    Statements = list[tirx.Stmt]

Neighbours = Literal["columns", "rows", "none"]


@dataclass(frozen=True)
class PanelPacking:
    """Makes `packed[k // group, v, lane * group + k % group] = w[k, v * lanes + lane]`, with zeros elsewhere.

    Attributes:
        w: int8; `inner` rows of it are packed.
        packed: `[steps, vectors, lanes * group]` int8.
        place: of k and a column of the panel: where the element lies in w.
        neighbours: what lies side by side in memory: the elements of a row, which are of neighbouring "columns", those
            of a column, which are of neighbouring "rows", or neither.
    """

    w: tirx.Buffer
    packed: tirx.Buffer
    place: Callable[[Index, Index], list[Expr]]
    inner: int
    dot: DotProduct
    neighbours: Neighbours

    def emit(self, lanes: Sequence[int]) -> Statements:
        """Args: lanes: of each vector, how many hold columns."""
        return [statement for v, count in enumerate(lanes) for statement in self._vector(v, count)]

    def _vector(self, v: int, count: int) -> Statements:
        whole, rest = divmod(self.inner, self.dot.group)
        is_full = count == self.dot.lanes
        statements: Statements = []
        if rest or not is_full:
            begin = whole if is_full else 0
            statements.append(
                loops.serial(whole + (rest > 0) - begin, lambda step: self._clear(step, v), "step", begin)
            )
        if count and whole:
            statements.append(loops.serial(whole, lambda step: self._step(step, v, count), "step"))
        return [*statements, *(self._singly(loops.index(whole), v, count, rest) if count and rest else [])]

    def _clear(self, step: Expr, v: int) -> Statements:
        from tvm import tirx

        width = self.dot.lanes * self.dot.group
        zeros = tirx.Broadcast(tirx.const(0, "int8"), width)
        return [loops.store(self.packed, zeros, [step, v, loops.ramp(0, width)])]

    def _step(self, step: Expr, v: int, count: int) -> Statements:
        """All rows of a step."""
        if self.neighbours == "rows":
            return [self._word(step, v, lane) for lane in range(count)]
        if self.neighbours == "columns" and count == self.dot.lanes:
            return [self._interleaved(step, v)]
        return self._singly(step, v, count, self.dot.group)

    def _word(self, step: Expr, v: int, lane: int) -> tirx.Stmt:
        """A step of one column."""
        size = self.dot.group
        *outer, k = self.place(step * size, v * self.dot.lanes + lane)
        if size == 1:
            return loops.store(self.packed, loops.load(self.w, [*outer, k]), [step, v, lane])
        word = loops.load(self.w, [*outer, loops.ramp(k, size)])
        return loops.store(self.packed, word, [step, v, loops.ramp(lane * size, size)])

    def _interleaved(self, step: Expr, v: int) -> tirx.Stmt:
        """Rows as vectors, whose elements take turns."""
        from tvm import tirx

        size, lanes = self.dot.group, self.dot.lanes
        rows = []
        for at in range(size):
            *outer, first = self.place(step * size + at, v * lanes)
            rows.append(loops.load(self.w, [*outer, loops.ramp(first, lanes)]))
        order = [tirx.const(at * lanes + lane, "int32") for lane in range(lanes) for at in range(size)]
        value = rows[0] if size == 1 else tirx.Shuffle(rows, order)
        return loops.store(self.packed, value, [step, v, loops.ramp(0, lanes * size)])

    def _singly(self, step: Expr, v: int, count: int, used: int) -> Statements:
        """The first `used` rows of a step, byte by byte."""
        size = self.dot.group

        def copy(lane: Expr, at: int) -> Statements:
            value = loops.load(self.w, self.place(step * size + at, lane + v * self.dot.lanes))
            return [loops.store(self.packed, value, [step, v, lane * size + at])]

        return [loops.serial(count, lambda lane, at=at: copy(lane, at), "lane") for at in range(used)]  # type: ignore[misc]
