"""Lowered Relax module -> `ExecutionPlan`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from edgecompile.errors import CompilerBugError
from edgecompile.frontend.model import TensorSpec
from edgecompile.plan.arena import Lifetime, lay_out
from edgecompile.plan.constants import ConstantBlobBuilder
from edgecompile.plan.execution_plan import ExecutionPlan, KernelCall, Operand, Origin
from edgecompile.plan.joins import JOINS_ATTRIBUTE, Joins, find_joins
from edgecompile.plan.loads import place_loads
from edgecompile.plan.static_program import StaticCall, StaticProgram, Value, read_static_program

if TYPE_CHECKING:
    import tvm


def build_plan(
    module: tvm.IRModule,
    *,
    name: str,
    inputs: Sequence[TensorSpec],
    outputs: Sequence[TensorSpec],
    scratch_bytes: Mapping[str, int],
    origins: Mapping[str, Origin],
) -> ExecutionPlan:
    """Place every tensor of a lowered module.

    Args:
        module: `main` is one dataflow block of `call_tir`, `reshape` and tuples, as `why_not_static` allows.
        name, inputs, outputs: as in the model.
        scratch_bytes: working memory per kernel symbol; kernels that are not listed need none.
        origins: what was fused, per variable of `main`.

    Raises:
        CompilerBugError: the module breaks a rule above.
    """
    program = read_static_program(module)
    joins = find_joins(program, _joining_kernels(module))
    arena = _Arena(program, scratch_bytes, joins)
    constants = ConstantBlobBuilder()
    loads = place_loads(program, constants, scratch_bytes, origins)

    def operand(value: Value) -> Operand:
        if value.constant is not None:
            return constants.add(value.constant)
        if value in loads.operands:
            return loads.operands[value]
        if value.input_index is not None:
            return Operand("input", value.input_index, value.size_bytes)
        if value in arena.output_index:
            return Operand("output", arena.output_index[value], value.size_bytes)
        return Operand("arena", arena.offsets[value], value.size_bytes)

    calls = []
    for step, call in enumerate(program.calls):
        if step in joins.steps:
            continue
        scratch = scratch_bytes.get(call.kernel, 0)
        origin = origins.get(call.variable, Origin())
        calls.append(
            KernelCall(
                kernel=call.kernel,
                operands=tuple(operand(value) for value in (*call.arguments, *call.results)),
                output_count=len(call.results),
                scratch=Operand("arena", arena.scratch_offsets[step], scratch) if scratch else None,
                operators=origin.operators,
                layers=origin.layers,
                kind=origin.kind,
            )
        )
    return ExecutionPlan(
        name,
        tuple(inputs),
        tuple(outputs),
        tuple(calls),
        constants.build(),
        arena.memory,
        loads.calls,
        loads.decoded_bytes,
        loads.scratch_bytes,
    )


def _joining_kernels(module: tvm.IRModule) -> set[str]:
    return {
        variable.name_hint
        for variable, function in module.functions_items()
        if function.attrs is not None and JOINS_ATTRIBUTE in function.attrs
    }


class _Arena:
    """Lifetimes of all tensors that are neither inputs, constants nor outputs, and of every call's scratch.

    A tensor that is part of another lives there: it has no place of its own.
    """

    def __init__(self, program: StaticProgram, scratch_bytes: Mapping[str, int], joins: Joins) -> None:
        self.output_index = _index_outputs(program)
        last_use = _last_uses(program.calls)
        produced = {value: step for step, call in enumerate(program.calls) for value in call.results}
        alive: dict[Value, tuple[int, int]] = {}
        for value, step in produced.items():
            if value not in self.output_index:
                root, _ = joins.root(value)
                first, last = alive.get(root, (step, step))
                alive[root] = min(first, step), max(last, last_use.get(value, step))
        values = list(alive)
        lifetimes = [Lifetime(value.size_bytes, *alive[value]) for value in values]
        scratch_steps = [
            step
            for step, call in enumerate(program.calls)
            if scratch_bytes.get(call.kernel) and step not in joins.steps
        ]
        for step in scratch_steps:
            lifetimes.append(Lifetime(scratch_bytes[program.calls[step].kernel], step, step))
        offsets, self.memory = lay_out(lifetimes)
        roots = dict(zip(values, offsets[: len(values)], strict=True))
        self.offsets: dict[Value, int] = {}
        for value in produced:
            root, offset = joins.root(value)
            if root in roots:
                self.offsets[value] = roots[root] + offset
        self.scratch_offsets = dict(zip(scratch_steps, offsets[len(values) :], strict=True))


def _index_outputs(program: StaticProgram) -> dict[Value, int]:
    produced = {value for call in program.calls for value in call.results}
    index: dict[Value, int] = {}
    for position, value in enumerate(program.outputs):
        if value not in produced or value in index:
            raise CompilerBugError(f"output {position} is not the only result of a kernel; MaterializeOutputs must run")
        index[value] = position
    return index


def _last_uses(calls: Sequence[StaticCall]) -> dict[Value, int]:
    return {value: step for step, call in enumerate(calls) for value in call.arguments}
