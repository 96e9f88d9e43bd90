"""Trials -> the plan and the kernels of a library that runs them one after the other.

The caches should hold what they hold in a model: not the constants, which were last read a whole inference ago; the
memory of the result, which was in use a while ago; the operands, which the layer before has just written. So each run
begins with writing as much memory as the model's other constants take, and before each trial memory as large as the
second-level cache is written, then the result's, then the operands.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from edgecompile.family import LoweredKernel, family_of
from edgecompile.frontend.model import TensorSpec
from edgecompile.plan import ConstantBlob, ExecutionPlan, KernelCall, MemoryUse, Operand
from edgecompile.plan.execution_plan import ALIGNMENT_BYTES, align
from edgecompile.schedule import schedule_kernels
from edgecompile.target import Target
from edgecompile.tune.trial import FLOAT_BYTES, Trial, fill_kernel, size_bytes
from edgecompile.tune.workload import Shape

NAME = "trials"
MOST_SWEPT_BYTES = 2**26  # more than one core's part of any last-level cache
FILL = "fill"


class ConstantPool:
    """Packed weights, at aligned places; those of one workload that have the same shape are one array.

    Two ways that pack alike then read the same memory, as two runs of one way do.
    """

    def __init__(self) -> None:
        self._arrays: dict[tuple[str, int, Shape], np.ndarray] = {}

    def place(self, workload: str, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Such arrays for a workload."""
        return [self._placed((workload, at, array.shape), array) for at, array in enumerate(arrays)]

    def _placed(self, key: tuple[str, int, Shape], array: np.ndarray) -> np.ndarray:
        if key not in self._arrays:
            self._arrays[key] = aligned(array)
        return self._arrays[key]


@dataclass(frozen=True)
class TrialPlan:
    """A library to be made.

    Attributes:
        inputs: the arrays that its plan's inputs stand for, in order: the constants of all trials.
    """

    plan: ExecutionPlan
    kernels: Mapping[str, LoweredKernel]
    inputs: tuple[np.ndarray, ...]


def plan_trials(trials: Sequence[Trial], target: Target, resident_bytes: int, pool: ConstantPool) -> TrialPlan:
    """Schedule and lower the kernels, and list their calls.

    Args:
        resident_bytes: all constants of the model.
    """
    family = family_of(target)
    packed = [pool.place(trial.workload.key, trial.constants()) for trial in trials]
    built = [trial.kernel([array.shape for array in arrays]) for trial, arrays in zip(trials, packed, strict=True)]
    constants = [
        [*arrays, *pool.place("bias", [np.full(shape[-1:], 0.25, np.float32)])]
        for arrays, (_, shape) in zip(packed, built, strict=True)
    ]
    functions = {trial.symbol: function for trial, (function, _) in zip(trials, built, strict=True)}
    placed = [_place(trial, shape) for trial, (_, shape) in zip(trials, built, strict=True)]
    # All trials share the memory for operands and results, behind it that which sweeps the cache, and that for scratch.
    sweep_at = max(operands[-1].position + align(operands[-1].size_bytes) for operands in placed)
    sweep = Operand("arena", sweep_at, align(target.cpu.l2_bytes))
    own_bytes = sum({id(array): array.nbytes for arrays in constants for array in arrays}.values())
    others = Operand("arena", sweep_at, align(max(1, min(resident_bytes, MOST_SWEPT_BYTES) - own_bytes)))
    scratch_at = sweep_at + max(sweep.size_bytes, others.size_bytes)
    counts = {operand.size_bytes // FLOAT_BYTES for operands in (*placed, [sweep, others]) for operand in operands}
    functions |= {f"{FILL}_{count}": fill_kernel(count) for count in sorted({1, *counts})}
    scheduled = schedule_kernels(functions, family.rules(target), target, [])
    kernels = family.lower_kernels(scheduled, family.tvm_target(target))
    calls = [_fill(others)]
    inputs: list[np.ndarray] = []
    for trial, arrays, operands in zip(trials, constants, placed, strict=True):
        weights = [Operand("input", len(inputs) + at, array.nbytes) for at, array in enumerate(arrays)]
        inputs += arrays
        calls += [_fill(operand) for operand in (sweep, operands[-1], *operands[:-1])]
        scratch_bytes = kernels[trial.symbol].scratch_bytes
        scratch = Operand("arena", scratch_at, scratch_bytes) if scratch_bytes else None
        calls.append(_call(trial.symbol, [*operands[:-1], *weights, operands[-1]], scratch))
    calls.append(_fill(Operand("output", 0, FLOAT_BYTES)))  # a network must have an output
    arena_bytes = scratch_at + max(align(kernel.scratch_bytes) for kernel in kernels.values())
    plan = ExecutionPlan(
        NAME,
        tuple(TensorSpec(f"constant{at}", array.shape, "float32") for at, array in enumerate(inputs)),
        (TensorSpec("done", (1,), "float32"),),
        tuple(calls),
        ConstantBlob(b""),
        MemoryUse(arena_bytes, arena_bytes, arena_bytes),
    )
    return TrialPlan(plan, kernels, tuple(inputs))


def _place(trial: Trial, result: Shape) -> list[Operand]:
    """What a trial reads and writes at run time, side by side in the arena."""
    operands: list[Operand] = []
    offset = 0
    for shape in (*trial.workload.operands, result):
        operands.append(Operand("arena", offset, size_bytes(shape)))
        offset += align(size_bytes(shape))
    return operands


def _fill(operand: Operand) -> KernelCall:
    return _call(f"{FILL}_{operand.size_bytes // FLOAT_BYTES}", [operand], None)


def _call(kernel: str, operands: Sequence[Operand], scratch: Operand | None) -> KernelCall:
    return KernelCall(kernel, tuple(operands), 1, scratch, (), ())


def aligned(array: np.ndarray) -> np.ndarray:
    """A copy at an address as the constants of an artifact have."""
    room = np.empty(array.nbytes + ALIGNMENT_BYTES, np.uint8)
    start = -room.ctypes.data % ALIGNMENT_BYTES
    copy = room[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy
