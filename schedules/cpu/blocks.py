"""Reading the blocks of a kernel before it is scheduled."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tvm
    from tvm.s_tir import Schedule
    from tvm.s_tir.schedule import SBlockRV

UNKNOWN = -1


@dataclass(frozen=True)
class Block:
    """One block of a kernel.

    Attributes:
        handle: the schedule's name for it.
        kinds: "S" (spatial), "R" (reduction) or "O" (opaque), one letter per block axis.
        extents: how far each axis runs; UNKNOWN where that is not a constant.
    """

    handle: SBlockRV
    kinds: str
    extents: tuple[int, ...]

    @property
    def is_static(self) -> bool:
        return UNKNOWN not in self.extents

    @property
    def is_reduction(self) -> bool:
        return "R" in self.kinds

    @property
    def is_opaque(self) -> bool:
        return "O" in self.kinds

    @property
    def iterations(self) -> int:
        """How often the body of a static block runs."""
        return math.prod(self.extents)


def read_blocks(schedule: Schedule) -> list[Block]:
    """The blocks under the root, in order of execution; none for kernels that were written as plain loops."""
    body = schedule.mod["main"].body
    if getattr(getattr(body, "block", None), "name_hint", "") != "root":
        return []
    return [_read(schedule, handle) for handle in schedule.get_child_blocks(schedule.get_sblock("root"))]


def _read(schedule: Schedule, handle: SBlockRV) -> Block:
    from tvm import tirx

    axes = schedule.get(handle).iter_vars
    kinds = {tirx.IterVar.DataPar: "S", tirx.IterVar.CommReduce: "R"}
    extents = tuple(int(a.dom.extent) if isinstance(a.dom.extent, tirx.IntImm) else UNKNOWN for a in axes)
    return Block(handle, "".join(kinds.get(axis.iter_type, "O") for axis in axes), extents)


def axes_used(block: tvm.s_tir.SBlock, indices: Iterable[tvm.ir.Expr]) -> set[int]:
    """The positions of the block axes that the index expressions depend on."""
    from tvm import tirx
    from tvm_ffi.structural import structural_walk

    positions = {axis.var: index for index, axis in enumerate(block.iter_vars)}
    used: set[int] = set()

    def visit(variable: tirx.Var) -> None:
        if variable in positions:
            used.add(positions[variable])

    for index in indices:
        structural_walk(index, (tirx.Var, visit))
    return used


def first_indices(region: tvm.tirx.BufferRegion) -> list[tvm.ir.Expr]:
    """Where a read or written region starts, one index per dimension of the buffer."""
    return [extent.min for extent in region.region]
