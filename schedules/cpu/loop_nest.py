"""The schedule of last resort: any kernel as plain parallel loops.

    for outer in parallel(...):        # all spatial axes but the last, fused
        for reduction in ...:          # before the last axis where memory runs along that axis, after it otherwise
            for inner in ...:          # left to LLVM's loop vectoriser, which handles any extent

Elementwise stages with one reader are computed inside it. Blocks with run-time extents stay as they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgecompile.target import Target

from schedules.cpu.blocks import Block, axes_used, first_indices, read_blocks
from schedules.cpu.expression_sizes import ExpressionSizes

if TYPE_CHECKING:
    import tvm
    from tvm.s_tir import Schedule
    from tvm.s_tir.schedule import LoopRV

# Waking the pool costs some microseconds, as long as this many simple operations.
PARALLEL_ITERATIONS = 32 * 1024
# One-dimensional loops are cut into pieces of this many elements, one task each.
PIECE_ELEMENTS = 4096


@dataclass(frozen=True)
class LoopNest:
    """Takes any kernel."""

    name: str = "LoopNest"

    def apply(self, kernel: tvm.tirx.PrimFunc, target: Target) -> Schedule | None:
        from tvm.s_tir import Schedule

        del target  # nothing here depends on the hardware
        schedule = Schedule(kernel)
        inline_elementwise(schedule)
        for block in read_blocks(schedule):
            arrange_loops(schedule, block)
        return schedule


def inline_elementwise(schedule: Schedule) -> None:
    """Compute each elementwise stage inside its only reader, unless that would compute its elements more than once."""
    from tvm.s_tir.schedule import ScheduleError

    blocks = read_blocks(schedule)
    sizes = ExpressionSizes(schedule, blocks)
    by_name = {str(schedule.get(block.handle).name_hint): block for block in blocks}
    for name, block in by_name.items():
        consumers = {str(schedule.get(consumer).name_hint) for consumer in schedule.get_consumers(block.handle)}
        if block.is_reduction or block.is_opaque or not block.is_static or len(consumers) != 1:
            continue
        (reader_name,) = consumers
        reader = by_name[reader_name]
        if reader.is_reduction or reader.is_opaque or not reader.is_static or reader.iterations > block.iterations:
            continue
        if not sizes.may_inline(name, reader_name):
            continue
        try:
            schedule.compute_inline(block.handle)
        except ScheduleError:
            continue  # a stage that cannot be inlined stays a loop of its own
        sizes.inline(name, reader_name)


def arrange_loops(schedule: Schedule, block: Block) -> None:
    """Order, fuse and parallelise the loops of one block; where the scheduler refuses, they stay as they are."""
    from tvm.s_tir.schedule import ScheduleError

    loops = schedule.get_loops(block.handle)
    if len(loops) != len(block.kinds) or block.is_opaque or not block.is_static or block.iterations == 0:
        return
    spatial = [loop for loop, kind in zip(loops, block.kinds, strict=True) if kind == "S"]
    reduction = [loop for loop, kind in zip(loops, block.kinds, strict=True) if kind == "R"]
    try:
        outer = _order(schedule, block, spatial, reduction)
        if len(reduction) > 1 and _takes_extremum(schedule, block):
            # LLVM 22 did not end within minutes on some nests of comparisons (8 x 3 x 13); it does on one loop.
            reduction = [schedule.fuse(*reduction)]
        if outer and block.iterations >= PARALLEL_ITERATIONS:
            schedule.parallel(outer[0] if len(outer) == 1 else schedule.fuse(*outer))
        if reduction:  # last: without its start the block is no reduction to the scheduler
            schedule.decompose_reduction(block.handle, reduction[0])
    except ScheduleError:
        return  # what was done until here is whole and right; the loops are only less well ordered


def _order(schedule: Schedule, block: Block, spatial: list[LoopRV], reduction: list[LoopRV]) -> list[LoopRV]:
    """Bring the loops into order; answer those that may run in parallel."""
    if reduction and spatial and _memory_runs_along_last_spatial_axis(schedule, block):
        schedule.reorder(*spatial[:-1], *reduction, spatial[-1])
        return spatial[:-1]
    if reduction:
        schedule.reorder(*spatial, *reduction)
        return spatial
    if len(spatial) == 1 and block.iterations > PIECE_ELEMENTS and block.iterations % PIECE_ELEMENTS == 0:
        return [schedule.split(spatial[0], [None, PIECE_ELEMENTS])[0]]
    return spatial[:-1]


def _takes_extremum(schedule: Schedule, block: Block) -> bool:
    from tvm import tirx

    return isinstance(getattr(schedule.get(block.handle).body, "value", None), tirx.Max | tirx.Min)


def _memory_runs_along_last_spatial_axis(schedule: Schedule, block: Block) -> bool:
    last = max(index for index, kind in enumerate(block.kinds) if kind == "S")
    if block.extents[last] == 1:
        return False
    body = schedule.get(block.handle)
    return any(last in axes_used(body, first_indices(region)[-1:]) for region in body.reads)
