"""A reduction whose results wait in registers: convolutions, matrix products, poolings.

for outer in parallel(...):                   # every spatial axis, the two tiled ones in steps of a tile
    accumulators[rows, columns] = init
    for reduction in ...:
        for row in unrolled(rows):            # a loop over an axis that the operand along the columns does not have
            for column in vectorized(columns):
                accumulators[row, column] += ...
    for row in unrolled(rows):                # the epilogue (bias, activation, residual) reads registers
        for column in vectorized(columns):
            out[...] = epilogue(accumulators[row, column])
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgecompile.target import CpuFacts, Target

from schedules.cpu.blocks import Block, axes_used, first_indices, read_blocks
from schedules.cpu.expression_sizes import ExpressionSizes
from schedules.cpu.loop_nest import PARALLEL_ITERATIONS, arrange_loops

if TYPE_CHECKING:
    import tvm
    from tvm.s_tir import Schedule
    from tvm.s_tir.schedule import LoopRV, SBlockRV

# Below this a plain loop nest is as fast and compiles faster.
LEAST_ITERATIONS = 4096


@dataclass(frozen=True)
class Config:
    """The tile: `rows` x `columns` accumulators."""

    rows: int
    columns: int

    @staticmethod
    def choose(row_extent: int, column_extent: int, lanes: int, facts: CpuFacts) -> Config:
        """The largest tile that divides both extents and leaves a quarter of the registers to the operands."""
        budget = facts.vector_registers * 3 // 4
        while lanes > 1 and column_extent % lanes:
            lanes //= 2  # a narrower vector that fits is faster than one that LLVM must cut into pieces
        widest = 2 * lanes if row_extent > 1 else 4 * lanes
        columns = max(d for d in range(lanes, widest + 1, lanes) if column_extent % d == 0)
        vectors = columns // lanes
        rows = max(d for d in range(1, max(budget // vectors, 1) + 1) if row_extent % d == 0)
        return Config(rows, columns)


@dataclass(frozen=True)
class _Stages:
    """The blocks of a kernel that fits the template."""

    producers: list[Block]
    reduction: Block
    consumers: list[Block]


@dataclass(frozen=True)
class RegisterTile:
    """Takes kernels with one reduction, any stages before it, and elementwise stages after it."""

    name: str = "RegisterTile"

    def apply(self, kernel: tvm.tirx.PrimFunc, target: Target) -> Schedule | None:
        from tvm.s_tir import Schedule

        schedule = Schedule(kernel)
        stages = _find_stages(schedule)
        if stages is None:
            return None
        axes = _choose_axes(schedule, stages.reduction)
        if axes is None:
            return None
        row, column = axes
        config = Config.choose(
            stages.reduction.extents[row] if row is not None else 1,
            stages.reduction.extents[column],
            _lanes(schedule, stages.reduction, target.cpu),
            target.cpu,
        )
        for block in stages.producers:
            arrange_loops(schedule, block)
        epilogue = _make_epilogue(schedule, stages)
        outer = _tile(schedule, epilogue, row, column, config)
        tile, reductions = _accumulate(schedule, stages.reduction, outer[-1], row, column)
        # All that needs a whole reduction comes before its start is split off.
        _issue(schedule, tile, config)
        if stages.reduction.iterations >= PARALLEL_ITERATIONS:
            schedule.parallel(schedule.fuse(*outer[:-1]) if len(outer) > 2 else outer[0])
        start = schedule.decompose_reduction(stages.reduction.handle, reductions[0])
        _issue(schedule, schedule.get_loops(start)[-len(tile) :], config)
        return schedule


def _find_stages(schedule: Schedule) -> _Stages | None:
    blocks = read_blocks(schedule)
    positions = [index for index, block in enumerate(blocks) if block.is_reduction]
    if len(positions) != 1 or any(block.is_opaque or not block.is_static for block in blocks):
        return None
    at = positions[0]
    stages = _Stages(blocks[:at], blocks[at], blocks[at + 1 :])
    reduction = schedule.get(stages.reduction.handle)
    spatial = [index for index, kind in enumerate(stages.reduction.kinds) if kind == "S"]
    if stages.reduction.iterations < LEAST_ITERATIONS or len(reduction.writes) != 1:
        return None
    written = [axes_used(reduction, [index]) for index in first_indices(reduction.writes[0])]
    if written != [{axis} for axis in spatial]:
        return None
    shape = tuple(stages.reduction.extents[axis] for axis in spatial)
    if any(block.extents != shape or not _is_elementwise(schedule, block) for block in stages.consumers):
        return None
    return stages if _fits_in_one_stage(schedule, stages.consumers) else None


def _fits_in_one_stage(schedule: Schedule, consumers: list[Block]) -> bool:
    """True when the last consumer stays small enough with all others computed inside it."""
    sizes = ExpressionSizes(schedule, consumers)
    names = [str(schedule.get(block.handle).name_hint) for block in consumers]
    for index, name in enumerate(names[:-1]):
        for reader in names[index + 1 :]:
            if not sizes.may_inline(name, reader):
                return False
            sizes.inline(name, reader)
    return True


def _is_elementwise(schedule: Schedule, block: Block) -> bool:
    """True when every tensor of the result's shape is read at the index that is written."""
    body = schedule.get(block.handle)
    target = first_indices(body.writes[0])
    axes = [{index} for index in range(len(block.kinds))]
    if len(body.writes) != 1 or [axes_used(body, [index]) for index in target] != axes:
        return False
    from tvm_ffi.structural import structural_equal

    for region in body.reads:
        if tuple(int(extent) for extent in region.source.shape) == block.extents and not all(
            structural_equal(a, b) for a, b in zip(first_indices(region), target, strict=True)
        ):
            return False
    return True


def _choose_axes(schedule: Schedule, reduction: Block) -> tuple[int | None, int] | None:
    """The block axes that become rows (None: no operand would be reused) and columns of the tile."""
    spatial = [index for index, kind in enumerate(reduction.kinds) if kind == "S"]
    if not spatial or reduction.extents[spatial[-1]] < 2:
        return None
    column = spatial[-1]
    body = schedule.get(reduction.handle)
    written = body.writes[0].source
    operands = [axes_used(body, first_indices(r)) for r in body.reads if not r.source.same_as(written)]
    along_columns = [axes for axes in operands if column in axes]
    if not any(column in axes_used(body, first_indices(r)[-1:]) for r in body.reads if not r.source.same_as(written)):
        return None  # memory does not run along the columns; gathering them would cost more than it saves
    for axis in reversed(spatial[:-1]):
        if reduction.extents[axis] > 1 and any(axis not in axes for axes in along_columns):
            return axis, column
    return None, column


def _lanes(schedule: Schedule, reduction: Block, facts: CpuFacts) -> int:
    bits = schedule.get(reduction.handle).writes[0].source.dtype.bits
    return max(facts.vector_bytes * 8 // max(bits, 8), 1)


def _make_epilogue(schedule: Schedule, stages: _Stages) -> SBlockRV:
    """The block that writes the result: the last consumer with the others computed inside it, or a plain copy."""
    if not stages.consumers:
        return schedule.cache_write(stages.reduction.handle, 0, "global")
    for block in stages.consumers[:-1]:
        schedule.compute_inline(block.handle)
    return stages.consumers[-1].handle


def _tile(schedule: Schedule, epilogue: SBlockRV, row: int | None, column: int, config: Config) -> list[LoopRV]:
    """Split the epilogue's loops; answer the loops around the tile, outermost first."""
    loops = schedule.get_loops(epilogue)
    column_outer, column_inner = schedule.split(loops[column], [None, config.columns])
    outer, inner = [*loops[:column], column_outer], [column_inner]
    if row is not None:
        row_outer, row_inner = schedule.split(loops[row], [None, config.rows])
        outer[row] = row_outer
        inner = [row_inner, column_inner]
        if row == column - 1:  # a matrix product: the panel along the columns stays in cache for all rows
            outer[row], outer[column] = outer[column], outer[row]
    schedule.reorder(*outer, *inner)
    _issue(schedule, inner, config)
    return outer


def _accumulate(
    schedule: Schedule, reduction: Block, place: LoopRV, row: int | None, column: int
) -> tuple[list[LoopRV], list[LoopRV]]:
    """Move the reduction under `place`, its own loops outside the tile; answer the tile's loops and its own."""
    schedule.compute_at(reduction.handle, place, preserve_unit_loops=True)
    loops = schedule.get_loops(reduction.handle)[-len(reduction.kinds) :]
    tile = [loops[axis] for axis in (row, column) if axis is not None]
    reductions = [loop for loop, kind in zip(loops, reduction.kinds, strict=True) if kind == "R"]
    others = [loop for index, loop in enumerate(loops) if reduction.kinds[index] == "S" and index not in (row, column)]
    schedule.reorder(*others, *reductions, *tile)
    return tile, reductions


def _issue(schedule: Schedule, tile: list[LoopRV], config: Config) -> None:
    """Unroll the rows, and make the columns vectors."""
    if len(tile) == 2:
        schedule.unroll(tile[0])
    if config.columns > 1:
        schedule.vectorize(tile[-1])
