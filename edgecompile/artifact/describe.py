"""A plan, its kernels and all decisions -> `Report`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from edgecompile.artifact.kernel_cost import KernelCost, kernel_cost
from edgecompile.artifact.report import CompressionEntry, MemoryEntry, Report, Step
from edgecompile.decision import SCHEDULE_STEP, Decision
from edgecompile.frontend.model import CompressionStep
from edgecompile.plan import ExecutionPlan, KernelCall, Operand

if TYPE_CHECKING:
    import tvm

_KERNEL_STEPS = (SCHEDULE_STEP,)


def describe_plan(
    plan: ExecutionPlan,
    kernels: Mapping[str, tvm.tirx.PrimFunc],
    decisions: Sequence[Decision],
    warnings: Sequence[str],
) -> Report:
    """The report of a static plan.

    Args:
        kernels: as they were before they were scheduled, by symbol; their loops tell the cost.
    """
    costs = {name: kernel_cost(kernel) for name, kernel in kernels.items()}
    by_kernel: dict[str, list[Decision]] = {}
    for decision in decisions:
        if decision.step in _KERNEL_STEPS:
            by_kernel.setdefault(decision.subject, []).append(decision)
    steps = [
        _step(index, call, costs[call.kernel], tuple(by_kernel.get(call.kernel, ())))
        for index, call in enumerate(plan.calls)
    ]
    return Report(
        executor="plan",
        steps=tuple(steps),
        decisions=tuple(decision for decision in decisions if decision.step not in _KERNEL_STEPS),
        memory=MemoryEntry(
            arena_bytes=plan.memory.arena_bytes,
            sum_bytes=plan.memory.sum_bytes,
            lower_bound_bytes=plan.memory.lower_bound_bytes,
            decoded_bytes=plan.decoded_bytes,
        ),
        warnings=tuple(warnings),
    )


def describe_virtual_machine(reason: str, decisions: Sequence[Decision], warnings: Sequence[str]) -> Report:
    """The report of a model that Relax's virtual machine runs."""
    return Report(executor="vm", executor_reason=reason, decisions=tuple(decisions), warnings=tuple(warnings))


def describe_compression(history: Sequence[CompressionStep]) -> tuple[CompressionEntry, ...]:
    """What was done to a model before it was compiled."""
    return tuple(
        CompressionEntry(
            kind=step.kind,
            decisions=step.decisions,
            figures={subject: dict(numbers) for subject, numbers in step.figures.items()},
        )
        for step in history
    )


def _step(index: int, call: KernelCall, cost: KernelCost, decisions: tuple[Decision, ...]) -> Step:
    read, written = call.operands[: -call.output_count], call.operands[-call.output_count :]
    return Step(
        index=index,
        kernel=call.kernel,
        operators=call.operators,
        layers=call.layers,
        kind=call.kind,
        macs=cost.macs,
        operations=cost.operations,
        bytes_read=_total(operand for operand in read if operand.space != "constant"),
        bytes_written=_total(written),
        weight_bytes=_total(operand for operand in read if operand.space == "constant"),
        scratch_bytes=call.scratch.size_bytes if call.scratch else 0,
        decisions=decisions,
    )


def _total(operands: Iterable[Operand]) -> int:
    """Bytes of all operands, each place once."""
    return sum(operand.size_bytes for operand in set(operands))
