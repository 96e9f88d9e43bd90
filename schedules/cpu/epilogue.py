"""Elementwise stages after the one that a template computes, applied to each value before it is stored.

y = relu(conv(x, w) + bias)        conv by the template, `relu(_ + bias)` by the epilogue, on registers
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgecompile.integer.formulas import NOTE

from schedules.cpu import loops
from schedules.cpu.expression_sizes import MOST_NODES

if TYPE_CHECKING:
    from tvm import ir, tirx

    from schedules.cpu.loops import Expr


@dataclass(frozen=True)
class Stage:
    """A block that computes `target[axes] = value`, without reduction.

    Attributes:
        target: what it writes.
        axes: its variables, one per dimension of `target`, in order.
        value: the expression.
        note: the block's annotation `formulas.NOTE`, "" without.
    """

    target: tirx.Buffer
    axes: tuple[tirx.Var, ...]
    value: Expr
    note: str = ""

    def at(self, expression: Expr, indices: Sequence[Expr]) -> Expr:
        """An expression of the axes, at `indices`."""
        from tvm.tirx import Var
        from tvm_ffi.structural import structural_mutate

        places = dict(zip(self.axes, indices, strict=True))
        return structural_mutate(expression, ((Var, lambda variable, _: places.get(variable, variable)),))

    @property
    def loads(self) -> list[ir.TensorLoad]:
        """What the value is made of."""
        from tvm import ir
        from tvm_ffi.structural import structural_walk

        found: list[ir.TensorLoad] = []
        structural_walk(self.value, (ir.TensorLoad, found.append))
        return found


@dataclass(frozen=True)
class Epilogue:
    """What becomes of each value of the anchor.

    Attributes:
        anchor: the buffer that the template computes; it is never stored itself, unless there are no stages.
        stages: in order of execution; each has the anchor's shape and reads the anchor, and the stages before it, at
            its own index only.
    """

    anchor: tirx.Buffer
    stages: tuple[Stage, ...]

    @property
    def target(self) -> tirx.Buffer:
        """What is stored."""
        return self.stages[-1].target if self.stages else self.anchor

    def store(self, value: Expr, indices: Sequence[Expr]) -> tirx.Stmt:
        """Store the final value at `indices`, from the anchor's value there.

        What is read several times is computed once, in front of that: copies, and `Let` in them, would double with
        each stage.
        """
        from tvm import ir

        known: dict[Any, Expr] = {}
        statements: list[tirx.Stmt] = []

        def keep(buffer: tirx.Buffer, found: Expr) -> Expr:
            reads = sum(load.source.same_as(buffer) for stage in self.stages for load in stage.loads)
            if reads > 1 and not isinstance(found, ir.TensorLoad):
                kept = loops.local_buffer([1], str(buffer.dtype), f"{buffer.name}_kept")
                statements.extend([loops.allocate(kept), loops.store(kept, found, [0])])
                found = loops.load(kept, [0])
            known[buffer] = found
            return found

        result = keep(self.anchor, value)
        for stage in self.stages:
            result = keep(stage.target, _substituted(stage, known, indices))
        return loops.sequence([*statements, loops.store(self.target, result, indices)])


def read_stage(block: tirx.SBlock, anchor: tirx.Buffer, known: Sequence[tirx.Buffer]) -> Stage | None:
    """`block` as a stage after the anchor, or None when it is not one.

    Args:
        known: the anchor and the targets of the stages before.
    """
    from tvm import ir, tirx
    from tvm_ffi.structural import structural_walk

    body = block.body
    axes = tuple(axis.var for axis in block.iter_vars)
    if not isinstance(body, tirx.BufferStore) or block.init is not None:
        return None
    target = body.buffer
    if [int(extent) for extent in target.shape] != [int(extent) for extent in anchor.shape]:
        return None
    if not _is_identity(body.indices, axes):
        return None
    reads: list[ir.TensorLoad] = []
    size = 0

    def on_expression(expression: ir.Expr) -> None:
        nonlocal size
        size += 1
        if isinstance(expression, ir.TensorLoad):
            reads.append(expression)

    structural_walk(body.value, (ir.Expr, on_expression))
    inner = [read for read in reads if any(read.source.same_as(buffer) for buffer in known)]
    if not inner or not all(_is_identity(read.indices, axes) for read in inner):
        return None
    if size * len(inner) > MOST_NODES:
        return None
    return Stage(target, axes, body.value, str(block.annotations.get(NOTE, "")))


def _is_identity(indices: Sequence[Expr], axes: Sequence[tirx.Var]) -> bool:
    return len(indices) == len(axes) and all(i.same_as(axis) for i, axis in zip(indices, axes, strict=True))


def _substituted(stage: Stage, known: dict[Any, Expr], indices: Sequence[Expr]) -> Expr:
    """The stage's value with the known ones in it."""
    from tvm import ir
    from tvm.tirx import Let, Var
    from tvm_ffi.structural import structural_mutate

    places = dict(zip(stage.axes, indices, strict=True))

    def on_load(read: ir.TensorLoad, mutator: Any) -> Expr:
        found = next((value for buffer, value in known.items() if read.source.same_as(buffer)), None)
        return mutator.default_mutate(read) if found is None else found

    def on_variable(variable: Var, mutator: Any) -> Expr:
        del mutator
        return places.get(variable, variable)

    def on_let(let: Let, mutator: Any) -> Expr:
        """Each copy of the stage binds variables of its own."""
        places[let.var] = Var(let.var.name, let.var.ty)
        return Let(places[let.var], mutator.mutate(let.value), mutator.mutate(let.body))

    return structural_mutate(stage.value, ((ir.TensorLoad, on_load), (Let, on_let), (Var, on_variable)))
