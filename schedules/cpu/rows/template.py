"""Softmax, normalisations and reductions along the last axes: all stages of a row before the next row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgecompile.schedule import SCHEDULE_NAME
from edgecompile.target import Target

from schedules.cpu.blocks import read_blocks
from schedules.cpu.loop_nest import arrange_loops
from schedules.cpu.rows.loops import MOST_KEPT_BYTES, RowLoops
from schedules.cpu.rows.stages import read_row_group
from schedules.cpu.template import replace_loops

if TYPE_CHECKING:
    import tvm
    from tvm.s_tir import Schedule


@dataclass(frozen=True)
class RowTemplate:
    """Takes kernels whose reductions all run along the last axes of the same rows."""

    name: str = "RowTemplate"

    def apply(self, kernel: tvm.tirx.PrimFunc, target: Target) -> Schedule | None:
        from tvm import IRModule
        from tvm.s_tir import Schedule

        schedule = Schedule(kernel)
        if not any(block.is_reduction for block in read_blocks(schedule)):
            return None
        _inline_copies(schedule)
        blocks = read_blocks(schedule)
        group = read_row_group([schedule.get(block.handle) for block in blocks], list(kernel.params))
        if group is None:
            return None
        rows = RowLoops(group, target.cpu.vector_bytes)
        if rows.kept_bytes > MOST_KEPT_BYTES:
            return None
        for block in blocks[: group.first] + blocks[group.end :]:
            arrange_loops(schedule, block)
        function = replace_loops(schedule.mod["main"], group.first, group.end, rows.emit())
        return Schedule(IRModule({"main": function.with_attr(SCHEDULE_NAME, "rows")}))


def _inline_copies(schedule: Schedule) -> None:
    """Let readers of a copied tensor read the tensor itself; a copied weight has no rows and would part the stages."""
    from tvm import ir, tirx
    from tvm.s_tir.schedule import ScheduleError

    for block in read_blocks(schedule):
        body = schedule.get(block.handle).body
        if isinstance(body, tirx.BufferStore) and isinstance(body.value, ir.TensorLoad) and not block.is_reduction:
            try:
                schedule.compute_inline(block.handle)
            except ScheduleError:
                continue  # an output is written, also where it is a copy
