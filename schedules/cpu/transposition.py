"""Kernels that only change the order of a tensor's dimensions.

Neighbouring dimensions that stay neighbours count as one. Where the innermost one is another than before, squares are
transposed in registers; where it stays, whole rows are copied:

for rest, rows in parallel(...):           # all other dimensions, and tiles of the source's innermost one
    for columns in tiles(innermost of the target):
        target[rest, rows, columns] = source[rest, columns, rows]       # the last tiles overlap those before
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgecompile.schedule import SCHEDULE_NAME
from edgecompile.target import Target

from schedules.cpu import loops
from schedules.cpu.blocks import read_blocks
from schedules.cpu.direct.config import FLOAT_BYTES
from schedules.cpu.template import replace_loops
from schedules.cpu.transposed.tile import transpose_tile

if TYPE_CHECKING:
    import tvm
    from tvm import tirx
    from tvm.s_tir import Schedule

    from schedules.cpu.loops import Expr, Index

_FEWEST_LANES = 4  # of a tile


@dataclass(frozen=True)
class Transposition:
    """Takes kernels that do nothing but transpose float32."""

    name: str = "Transposition"

    def apply(self, kernel: tvm.tirx.PrimFunc, target: Target) -> Schedule | None:
        from tvm import IRModule
        from tvm.s_tir import Schedule

        schedule = Schedule(kernel)
        blocks = read_blocks(schedule)
        if len(blocks) != 1 or not blocks[0].is_static or min(blocks[0].extents, default=0) < 1:
            return None
        found = _read(schedule.get(blocks[0].handle))
        if found is None:
            return None
        source, result, order = found
        runs = _runs(order, [int(extent) for extent in result.shape])
        lanes = _lanes(runs, target.cpu.vector_bytes // FLOAT_BYTES)
        if lanes < _FEWEST_LANES or len(runs) == 1:  # a copy as it is
            return None
        function = replace_loops(schedule.mod["main"], 0, 1, _Loops(source, result, order, runs, lanes).emit())
        return Schedule(IRModule({"main": function.with_attr(SCHEDULE_NAME, "transposition")}))


@dataclass(frozen=True)
class _Run:
    """Dimensions that lie side by side in both tensors.

    Attributes:
        axes: of the target; the first and one behind the last.
        place: its first dimension in the source.
        extent: of all of them together.
    """

    axes: tuple[int, int]
    place: int
    extent: int


@dataclass(frozen=True)
class _Loops:
    """Makes the loops.

    Attributes:
        order: for each dimension of the target, which one of the source it is.
        runs: in the order of the target.
        lanes: of a tile, or of a vector that is copied.
    """

    source: tirx.Buffer
    target: tirx.Buffer
    order: Sequence[int]
    runs: Sequence[_Run]
    lanes: int

    def emit(self) -> tirx.Stmt:
        """The loops that write all of the target."""
        from tvm import tirx

        innermost = max(self.runs, key=lambda run: run.place)  # of the source
        last = self.runs[-1]
        rest = [run for run in self.runs if run is not innermost and run is not last]

        tiles = math.ceil(innermost.extent / self.lanes)

        def others(index: Expr) -> dict[_Run, Index]:
            at: dict[_Run, Index] = {}
            for run in reversed(rest):
                at[run] = index % run.extent
                index = index // run.extent
            return at

        def copy(index: Expr) -> list[tirx.Stmt]:
            at = others(index)
            return self._over(last.extent, lambda column: self._copy({**at, last: column}))

        def transpose(index: Expr) -> list[tirx.Stmt]:
            # The last tile writes some elements again that the one before writes too: the same values.
            row = tirx.min(index % tiles * self.lanes, loops.index(innermost.extent - self.lanes))
            at = {**others(index // tiles), innermost: row}
            return self._over(last.extent, lambda column: self._transpose(innermost, {**at, last: column}))

        count = math.prod(run.extent for run in rest)
        return loops.parallel(count, copy) if innermost is last else loops.parallel(count * tiles, transpose)

    def _over(self, extent: int, tile: Callable[[Expr], list[tirx.Stmt]]) -> list[tirx.Stmt]:
        """Whole tiles; the last one overlaps the one before where they do not divide the extent."""
        whole, rest = divmod(extent, self.lanes)
        statements = [loops.serial(whole, lambda number: tile(number * self.lanes), "tile")]
        return statements + (tile(loops.index(extent - self.lanes)) if rest else [])

    def _transpose(self, rows: _Run, at: dict[_Run, Index]) -> list[tirx.Stmt]:
        last = self.runs[-1]

        def read(number: int) -> Sequence[Index]:
            return self._in_source({**at, last: at[last] + number})

        def write(number: int) -> Sequence[Index]:
            return self._in_target({**at, rows: at[rows] + number})

        return transpose_tile(self.source, read, self.target, write, self.lanes)

    def _copy(self, at: dict[_Run, Index]) -> list[tirx.Stmt]:
        def one(lane: Expr) -> tirx.Stmt:
            place = {**at, self.runs[-1]: at[self.runs[-1]] + lane}
            return loops.store(self.target, loops.load(self.source, self._in_source(place)), self._in_target(place))

        return [loops.vector(self.lanes, one)]

    def _in_target(self, at: dict[_Run, Index]) -> list[Index]:
        """A run is counted along its last dimension, beyond its end: what follows there is its next row."""
        found: list[Index] = [0] * len(self.order)
        for run, place in at.items():
            found[run.axes[1] - 1] = place
        return found

    def _in_source(self, at: dict[_Run, Index]) -> list[Index]:
        found: list[Index] = [0] * len(self.order)
        for run, place in at.items():
            found[run.place + run.axes[1] - run.axes[0] - 1] = place
        return found


def _runs(order: Sequence[int], extents: Sequence[int]) -> list[_Run]:
    """The dimensions of the target by those that stay neighbours."""
    starts = [axis for axis in range(len(order)) if axis == 0 or order[axis] != order[axis - 1] + 1]
    return [
        _Run((start, end), order[start], math.prod(extents[start:end]))
        for start, end in zip(starts, [*starts[1:], len(order)], strict=True)
    ]


def _lanes(runs: Sequence[_Run], most: int) -> int:
    """Of the largest tile that fits both innermost dimensions."""
    least = min(runs[-1].extent, max(runs, key=lambda run: run.place).extent)
    while most >= _FEWEST_LANES and most > least:
        most //= 2
    return most


def _read(block: tvm.s_tir.SBlock) -> tuple[tirx.Buffer, tirx.Buffer, list[int]] | None:
    """What the block reads and writes, and for each dimension of the target which one of the source it is."""
    from tvm import ir, tirx

    body = block.body
    if not isinstance(body, tirx.BufferStore) or block.init is not None or not isinstance(body.value, ir.TensorLoad):
        return None
    source, target = body.value.source, body.buffer
    axes = [axis.var for axis in block.iter_vars]
    if {str(source.dtype), str(target.dtype)} != {"float32"} or len(source.shape) != len(axes):
        return None
    if [axis for axis in axes if not any(axis.same_as(index) for index in body.value.indices)]:
        return None
    if not all(index.same_as(axis) for index, axis in zip(body.indices, axes, strict=True)):
        return None
    order = [next(at for at, index in enumerate(body.value.indices) if index.same_as(axis)) for axis in axes]
    expected = [int(source.shape[place]) for place in order]
    return (source, target, order) if expected == [int(extent) for extent in target.shape] else None
