"""The calls that decode constants when a network is opened, and where their results live."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edgecompile.plan.arena import Lifetime, lay_out
from edgecompile.plan.constants import ConstantBlobBuilder
from edgecompile.plan.execution_plan import KernelCall, Operand, Origin, align
from edgecompile.plan.static_program import StaticCall, StaticProgram, Value


@dataclass(frozen=True)
class Loads:
    """The calls at load.

    Attributes:
        calls: in order; equal ones are one.
        operands: where each result lies.
        decoded_bytes: of the memory for results that an inference reads.
        scratch_bytes: of the memory for the others, and for the calls' own scratch; it can go when all is decoded.
    """

    calls: tuple[KernelCall, ...]
    operands: Mapping[Value, Operand]
    decoded_bytes: int
    scratch_bytes: int


def place_loads(
    program: StaticProgram,
    constants: ConstantBlobBuilder,
    scratch_bytes: Mapping[str, int],
    origins: Mapping[str, Origin],
) -> Loads:
    """Give each result a place; arguments as of `build_plan`."""
    calls, same = _distinct(program.loads)
    read_later = {same.get(value, value) for call in program.calls for value in call.arguments}
    last_use = {same.get(value, value): step for step, call in enumerate(calls) for value in call.arguments}
    operands: dict[Value, Operand] = {}
    lifetimes: list[Lifetime] = []
    waiting: list[Value] = []
    decoded_bytes = 0
    for step, call in enumerate(calls):
        (result,) = call.results
        if result in read_later:
            operands[result] = Operand("decoded", decoded_bytes, result.size_bytes)
            decoded_bytes += align(result.size_bytes)
        else:
            waiting.append(result)
            lifetimes.append(Lifetime(result.size_bytes, step, last_use.get(result, step)))
    with_scratch = [step for step, call in enumerate(calls) if scratch_bytes.get(call.kernel)]
    lifetimes += [Lifetime(scratch_bytes[calls[step].kernel], step, step) for step in with_scratch]
    offsets, memory = lay_out(lifetimes)
    for value, offset in zip(waiting, offsets, strict=False):
        operands[value] = Operand("scratch", offset, value.size_bytes)
    scratch_at = dict(zip(with_scratch, offsets[len(waiting) :], strict=True))

    def operand(value: Value) -> Operand:
        return operands[same.get(value, value)] if value.constant is None else constants.add(value.constant)

    made = []
    for step, call in enumerate(calls):
        size = scratch_bytes.get(call.kernel, 0)
        origin = origins.get(call.variable, Origin())
        made.append(
            KernelCall(
                kernel=call.kernel,
                operands=tuple(operand(value) for value in (*call.arguments, *call.results)),
                output_count=1,
                scratch=Operand("scratch", scratch_at[step], size) if size else None,
                operators=origin.operators,
                layers=origin.layers,
            )
        )
    everywhere = {value: operand(value) for call in program.loads for value in call.results}
    return Loads(tuple(made), everywhere, decoded_bytes, memory.arena_bytes)


def _distinct(loads: list[StaticCall]) -> tuple[list[StaticCall], dict[Value, Value]]:
    """The calls without those that a former one answers, and whose result stands for that of each one left out."""
    found: dict[tuple[object, ...], StaticCall] = {}
    same: dict[Value, Value] = {}
    for call in loads:
        arguments = (
            same.get(value, value) if value.constant is None else (value.constant.shape, value.constant.tobytes())
            for value in call.arguments
        )
        key = (call.kernel, *arguments)
        if key in found:
            same[call.results[0]] = found[key].results[0]
        else:
            found[key] = call
    return list(found.values()), same
