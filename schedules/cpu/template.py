"""Kernels that a template of ours computes: found by the annotation of their block, rebuilt from it.

Passes state such a kernel as a plain formula and annotate its block with the template's name and its numbers. Fusion
adds elementwise stages behind it. Here the formula's loops are replaced by the template's, with those stages as the
epilogue; stages that are no epilogue (another shape, say) stay loops of their own, after it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgecompile.schedule import SCHEDULE_NAME
from edgecompile.target import Target

from schedules.cpu.blocks import read_blocks
from schedules.cpu.epilogue import Epilogue, Stage, read_stage
from schedules.cpu.loop_nest import arrange_loops

if TYPE_CHECKING:
    import tvm
    from tvm import tirx
    from tvm.s_tir import Schedule

TEMPLATE_KEY = "edgecompile.template"
NUMBERS_KEY = "edgecompile.numbers"


@dataclass(frozen=True)
class Anchor:
    """The annotated block.

    Attributes:
        template: its name.
        numbers: what `attributes` was given.
        reads: the buffers that it reads, in the order of its formula's first use.
        target: the buffer that it writes.
    """

    template: str
    numbers: Mapping[str, Any]
    reads: tuple[tirx.Buffer, ...]
    target: tirx.Buffer


Emitter = Callable[[Anchor, Epilogue, Target], "tirx.Stmt"]


def attributes(template: str, numbers: Mapping[str, Any]) -> dict[str, str]:
    """The annotations of a block that `template` shall compute."""
    return {TEMPLATE_KEY: template, NUMBERS_KEY: json.dumps(numbers, sort_keys=True)}


@dataclass(frozen=True)
class Template:
    """Takes kernels with an annotated block whose template is known."""

    emitters: Mapping[str, Emitter]
    name: str = "Template"

    def apply(self, kernel: tvm.tirx.PrimFunc, target: Target) -> Schedule | None:
        from tvm import IRModule
        from tvm.s_tir import Schedule

        schedule = Schedule(kernel)
        blocks = [block.handle for block in read_blocks(schedule)]
        found = [at for at, block in enumerate(blocks) if TEMPLATE_KEY in schedule.get(block).annotations]
        if not found or found != list(range(found[0], found[-1] + 1)):
            return None
        first, last = found[0], found[-1]
        anchor = _read_anchor([schedule.get(block) for block in blocks[first : last + 1]])
        if anchor.template not in self.emitters:
            return None
        stages = _epilogue_stages(schedule, [schedule.get(block) for block in blocks[last + 1 :]], anchor.target)
        end = last + 1 + len(stages)
        for block in read_blocks(schedule)[:first] + read_blocks(schedule)[end:]:
            arrange_loops(schedule, block)
        statement = self.emitters[anchor.template](anchor, Epilogue(anchor.target, tuple(stages)), target)
        function = replace_loops(schedule.mod["main"], first, end, statement).with_attr(SCHEDULE_NAME, anchor.template)
        return Schedule(IRModule({"main": function}))


def _read_anchor(blocks: Sequence[tvm.s_tir.SBlock]) -> Anchor:
    written = [region.source for block in blocks for region in block.writes]
    reads: list[tirx.Buffer] = []
    for region in (region for block in blocks for region in block.reads):
        if not any(region.source.same_as(buffer) for buffer in (*written, *reads)):
            reads.append(region.source)
    notes = blocks[-1].annotations
    return Anchor(str(notes[TEMPLATE_KEY]), json.loads(str(notes[NUMBERS_KEY])), tuple(reads), written[-1])


def _epilogue_stages(schedule: Schedule, blocks: Sequence[tvm.s_tir.SBlock], anchor: tirx.Buffer) -> list[Stage]:
    """The longest run of stages after the anchor that leaves only its last result to be read by what follows."""
    stages: list[Stage] = []
    known = [anchor]
    for block in blocks:
        stage = read_stage(block, anchor, known)
        if stage is None:
            break
        stages.append(stage)
        known.append(stage.target)
    while stages and _are_read(blocks[len(stages) :], [anchor, *(stage.target for stage in stages[:-1])]):
        stages.pop()
    outputs = schedule.mod["main"].params
    if any(stage.target.same_as(output) for stage in stages[:-1] for output in outputs):
        return []
    return stages


def _are_read(blocks: Sequence[tvm.s_tir.SBlock], buffers: Sequence[tirx.Buffer]) -> bool:
    return any(region.source.same_as(buffer) for block in blocks for region in block.reads for buffer in buffers)


def replace_loops(function: tirx.PrimFunc, first: int, end: int, statement: tirx.Stmt) -> tirx.PrimFunc:
    """The function with the top-level loops `first` to `end - 1` replaced; buffers that only those used go."""
    from tvm import tirx
    from tvm.s_tir import SBlock, SBlockRealize

    root = function.body.block
    nests = list(root.body.seq) if isinstance(root.body, tirx.SeqStmt) else [root.body]
    nests[first:end] = [statement]
    body = nests[0] if len(nests) == 1 else tirx.SeqStmt(nests)
    used = _buffers_of(body)
    buffers = [buffer for buffer in root.alloc_buffers if any(buffer.same_as(other) for other in used)]
    block = SBlock([], [], [], root.name_hint, body, alloc_buffers=buffers, annotations=root.annotations)
    return function.with_body(SBlockRealize([], True, block))


def _buffers_of(body: tirx.Stmt) -> list[tirx.Buffer]:
    from tvm import ir, tirx
    from tvm_ffi.structural import structural_walk

    used: list[tirx.Buffer] = []
    structural_walk(
        body,
        (
            (ir.TensorLoad, lambda read: used.append(read.source)),
            (tirx.BufferStore, lambda write: used.append(write.buffer)),
        ),
    )
    return used
