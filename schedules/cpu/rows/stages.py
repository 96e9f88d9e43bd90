"""Kernels that work row by row, read: softmax, normalisations, reductions along the last axes.

Every stage of such a kernel has the same leading axes, the rows. Behind them it has either the columns (one value per
element of a row), the columns as reduction axes (one value per row), or nothing (one value per row, of such values).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import tvm
    from tvm import ir, tirx

    from schedules.cpu.loops import Expr

LEAST_COLUMNS = 4  # below, a row is no vector

Kind = Literal["elements", "reduction", "scalar"]
Combine = Literal["Add", "Max", "Min"]
_DTYPES = frozenset(("float32", "float64", "int8", "int32", "int64"))


@dataclass(frozen=True)
class RowStage:
    """One block of such a kernel.

    Attributes:
        kind: "elements" computes every element of a row, "reduction" and "scalar" one number of it.
        target: what it writes.
        row_axes: its variables that name the row.
        column_axes: its variables that name the column; none for scalars.
        value: what it stores, or for a reduction, what it combines.
        combine: how a reduction joins two values; None otherwise.
        start: of a reduction; joining it once more changes nothing.
    """

    kind: Kind
    target: tirx.Buffer
    row_axes: tuple[tirx.Var, ...]
    column_axes: tuple[tirx.Var, ...]
    value: Expr
    combine: Combine | None = None
    start: Expr | None = None


@dataclass(frozen=True)
class RowGroup:
    """Neighbouring blocks of a kernel that can all be computed for one row before the next.

    Attributes:
        first, end: the blocks `first` to `end - 1` of the kernel.
        rows: extents of the leading axes.
        columns: extents of the others, none of them one.
        stages: in order.
        stored: targets that are needed as a whole: outputs of the kernel, and what later blocks read.
    """

    first: int
    end: int
    rows: tuple[int, ...]
    columns: tuple[int, ...]
    stages: tuple[RowStage, ...]
    stored: tuple[tirx.Buffer, ...]

    @property
    def row_count(self) -> int:
        return math.prod(self.rows)

    @property
    def width(self) -> int:
        """Elements of a row."""
        return math.prod(self.columns)

    def is_stored(self, buffer: tirx.Buffer) -> bool:
        return any(buffer.same_as(other) for other in self.stored)


def read_row_group(blocks: Sequence[tvm.s_tir.SBlock], outputs: Sequence[tirx.Buffer]) -> RowGroup | None:
    """The longest run of `blocks` that works row by row, if it has all reductions of the kernel; None otherwise."""
    reductions = [at for at, block in enumerate(blocks) if _reduction_axes(block)]
    if not reductions:
        return None
    extents = _extents(blocks[reductions[0]])
    if extents is None:
        return None
    reduced = _reduction_axes(blocks[reductions[0]])
    rows = _without_trailing_ones(extents[: reduced[0]])
    columns = tuple(extent for extent in (extents[axis] for axis in reduced) if extent != 1)
    if math.prod(columns) < LEAST_COLUMNS or 0 in rows:
        return None
    first, stages = reductions[0], list[RowStage]()
    for start in range(reductions[0] + 1):
        stages = _read_stages(blocks[start:], rows, columns)
        if start + len(stages) > reductions[-1]:
            first = start
            break
    else:
        return None
    end = first + len(stages)
    read_later = [region.source for block in blocks[end:] for region in block.reads]
    stored = tuple(stage.target for stage in stages if any(stage.target.same_as(b) for b in (*outputs, *read_later)))
    return RowGroup(first, end, rows, columns, tuple(stages), stored)


def _read_stages(blocks: Sequence[tvm.s_tir.SBlock], rows: tuple[int, ...], columns: tuple[int, ...]) -> list[RowStage]:
    """The stages from the first block on, until one does not fit."""
    stages: list[RowStage] = []
    for block in blocks:
        stage = _read_stage(block, rows, columns)
        if stage is None or not _reads_fit(stage, stages, columns):
            break
        stages.append(stage)
    return stages


def _read_stage(block: tvm.s_tir.SBlock, rows: tuple[int, ...], columns: tuple[int, ...]) -> RowStage | None:
    from tvm import tirx

    extents, body = _extents(block), block.body
    reduced = _reduction_axes(block)
    if extents is None or not isinstance(body, tirx.BufferStore) or str(body.buffer.dtype) not in _DTYPES:
        return None
    axes = [axis.var for axis in block.iter_vars]
    count = len(rows)
    spatial = len(axes) - len(reduced)
    if extents[:count] != rows or count > spatial or reduced != list(range(spatial, len(axes))):
        return None
    behind = [(axis, extent) for axis, extent in zip(axes[count:], extents[count:], strict=True)]
    units = tuple(axis for axis, extent in behind if extent == 1)
    wide = tuple(axis for axis, extent in behind if extent != 1)
    if wide and tuple(extent for _, extent in behind if extent != 1) != columns:
        return None
    if any(not index.same_as(axis) for index, axis in zip(body.indices, axes[:spatial], strict=False)):
        return None
    if len(body.indices) != spatial:
        return None
    row_axes = tuple(axes[:count])
    if not reduced:
        if block.init is not None:
            return None
        kind: Kind = "elements" if wide else "scalar"
        return RowStage(kind, body.buffer, row_axes, wide, _without_units(body.value, units))
    if any(extents[axis] != 1 for axis in range(count, spatial)):
        return None
    return _read_reduction(block, body, row_axes, wide, units)


def _read_reduction(
    block: tvm.s_tir.SBlock,
    body: tirx.BufferStore,
    row_axes: tuple[tirx.Var, ...],
    wide: tuple[tirx.Var, ...],
    units: tuple[tirx.Var, ...],
) -> RowStage | None:
    from tvm import ir, tirx

    combines: dict[type, Combine] = {tirx.Add: "Add", tirx.Max: "Max", tirx.Min: "Min"}
    combine = combines.get(type(body.value))
    if combine is None or not isinstance(block.init, tirx.BufferStore):
        return None
    start = block.init.value
    if not isinstance(start, tirx.IntImm | tirx.FloatImm) or (combine == "Add" and start.value != 0):
        return None
    so_far, value = body.value.a, body.value.b
    if not (isinstance(so_far, ir.TensorLoad) and so_far.source.same_as(body.buffer)):
        return None
    return RowStage("reduction", body.buffer, row_axes, wide, _without_units(value, units), combine, start)


def _reads_fit(stage: RowStage, before: Sequence[RowStage], columns: tuple[int, ...]) -> bool:
    """True when a stage reads its own row only of the stages before, and neighbours side by side of everything."""
    for read in loads_of(stage.value):
        if read.source.same_as(stage.target):
            return False
        producer = next((other for other in before if other.target.same_as(read.source)), None)
        if producer is not None and not _is_own_row(stage, producer, read):
            return False
        if not _runs_along_columns(stage, read, columns):
            return False
    return True


def _is_own_row(stage: RowStage, producer: RowStage, read: ir.TensorLoad) -> bool:
    """True when a read of what `producer` wrote stays in the row, and at the element, that `stage` computes."""
    count = len(stage.row_axes)
    places = [(index, int(extent)) for index, extent in zip(read.indices, read.source.shape, strict=True)]
    wanted = list(stage.row_axes)
    if any(not index.same_as(axis) for (index, extent), axis in zip(places, wanted, strict=False) if extent != 1):
        return False
    if producer.kind != "elements":
        return True
    behind = [index for index, extent in places[count:] if extent != 1]
    return len(behind) == len(stage.column_axes) and all(map(_is_same, behind, stage.column_axes))


def _runs_along_columns(stage: RowStage, read: ir.TensorLoad, columns: tuple[int, ...]) -> bool:
    """True when a read does not depend on the column, or neighbouring columns are neighbours in memory."""
    if not any(_depends(index, stage.column_axes) for index in read.indices):
        return True
    wide = [(index, _number(extent)) for index, extent in zip(read.indices, read.source.shape, strict=True)]
    wide = [(index, extent) for index, extent in wide if extent != 1]
    before, along = wide[: -len(columns)], wide[-len(columns) :]
    if len(along) != len(columns) or any(_depends(index, stage.column_axes) for index, _ in before):
        return False
    return all(map(_is_same, [index for index, _ in along], stage.column_axes)) and (
        tuple(extent for _, extent in along[1:]) == columns[1:]
    )


def _is_same(index: Expr, axis: tirx.Var) -> bool:
    return bool(index.same_as(axis))


def _number(extent: Expr) -> int | None:
    from tvm import tirx

    return int(extent) if isinstance(extent, tirx.IntImm) else None


def _without_units(value: Expr, units: Sequence[tirx.Var]) -> Expr:
    """The expression with zero for axes of extent one, and `0 * 7 + k` in the indices of its reads made `k`."""
    from tvm import ir, tirx
    from tvm.sym import Analyzer
    from tvm_ffi.structural import structural_mutate

    analyzer = Analyzer()

    def on_load(read: ir.TensorLoad, mutator: Any) -> Expr:
        read = mutator.default_mutate(read)
        return tirx.BufferLoad(read.source, [analyzer.simplify(index) for index in read.indices])

    def on_variable(variable: tirx.Var, mutator: Any) -> Expr:
        del mutator
        return tirx.IntImm(variable.ty.dtype, 0) if any(variable.same_as(unit) for unit in units) else variable

    return structural_mutate(value, ((ir.TensorLoad, on_load), (tirx.Var, on_variable)))


def loads_of(value: Expr) -> list[ir.TensorLoad]:
    """Every read of a tensor in an expression."""
    from tvm import ir
    from tvm_ffi.structural import structural_walk

    found: list[ir.TensorLoad] = []
    structural_walk(value, (ir.TensorLoad, found.append))
    return found


def _depends(value: Expr, variables: Sequence[tirx.Var]) -> bool:
    from tvm import tirx
    from tvm_ffi.structural import structural_walk

    found: list[tirx.Var] = []
    structural_walk(value, (tirx.Var, found.append))
    return any(one.same_as(other) for one in found for other in variables)


def _extents(block: tvm.s_tir.SBlock) -> tuple[int, ...] | None:
    from tvm import tirx

    extents = [axis.dom.extent for axis in block.iter_vars]
    kinds = {axis.iter_type for axis in block.iter_vars}
    if not kinds <= {tirx.IterVar.DataPar, tirx.IterVar.CommReduce}:
        return None
    if not all(isinstance(extent, tirx.IntImm) for extent in extents):
        return None
    return tuple(int(extent) for extent in extents)


def _reduction_axes(block: tvm.s_tir.SBlock) -> list[int]:
    from tvm import tirx

    return [at for at, axis in enumerate(block.iter_vars) if axis.iter_type == tirx.IterVar.CommReduce]


def _without_trailing_ones(extents: tuple[int, ...]) -> tuple[int, ...]:
    while extents and extents[-1] == 1:
        extents = extents[:-1]
    return extents
