"""Trials -> the plan and the kernels of a library that runs them one after the other.

Before each trial its operands are written, as a model's layer before it would. Its constants were last read a whole run
ago, with all other trials in between, as they are in a model.
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
FILL = "fill"


class ConstantPool:
    """Packed weights, at aligned places; those of one workload that have the same shape are one array.

    Two ways that pack alike then read the same memory, as two runs of one way do.
    """

    def __init__(self) -> None:
        self._arrays: dict[tuple[str, int, Shape], np.ndarray] = {}

    def place(self, trial: Trial) -> list[np.ndarray]:
        """The constants of a trial."""
        found: list[np.ndarray] = []
        for at, array in enumerate(trial.constants()):
            key = (trial.workload.key, at, array.shape)
            if key not in self._arrays:
                self._arrays[key] = aligned(array)
            found.append(self._arrays[key])
        return found


@dataclass(frozen=True)
class TrialPlan:
    """A library to be made.

    Attributes:
        inputs: the arrays that its plan's inputs stand for, in order: the constants of all trials.
    """

    plan: ExecutionPlan
    kernels: Mapping[str, LoweredKernel]
    inputs: tuple[np.ndarray, ...]


def plan_trials(trials: Sequence[Trial], target: Target, pool: ConstantPool) -> TrialPlan:
    """Schedule and lower the kernels, and list their calls."""
    family = family_of(target)
    constants = [pool.place(trial) for trial in trials]
    built = [trial.kernel([array.shape for array in arrays]) for trial, arrays in zip(trials, constants, strict=True)]
    functions = {trial.symbol: function for trial, (function, _) in zip(trials, built, strict=True)}
    counts = {size_bytes(shape) // FLOAT_BYTES for trial in trials for shape in trial.workload.operands}
    functions |= {f"{FILL}_{count}": fill_kernel(count) for count in {1, *counts}}
    scheduled = schedule_kernels(functions, family.rules(target), target, [])
    kernels = family.lower_kernels(scheduled, family.tvm_target(target))
    # All trials share the memory for operands and results, and behind it that for scratch.
    placed = [_place(trial, shape) for trial, (_, shape) in zip(trials, built, strict=True)]
    scratch_at = max(operands[-1].position + align(operands[-1].size_bytes) for operands in placed)
    calls: list[KernelCall] = []
    inputs: list[np.ndarray] = []
    for trial, arrays, operands in zip(trials, constants, placed, strict=True):
        weights = [Operand("input", len(inputs) + at, array.nbytes) for at, array in enumerate(arrays)]
        inputs += arrays
        calls += [_call(f"{FILL}_{operand.size_bytes // FLOAT_BYTES}", [operand], None) for operand in operands[:-1]]
        scratch_bytes = kernels[trial.symbol].scratch_bytes
        scratch = Operand("arena", scratch_at, scratch_bytes) if scratch_bytes else None
        calls.append(_call(trial.symbol, [*operands[:-1], *weights, operands[-1]], scratch))
    calls.append(_call(f"{FILL}_1", [Operand("output", 0, FLOAT_BYTES)], None))  # a network must have an output
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


def _call(kernel: str, operands: Sequence[Operand], scratch: Operand | None) -> KernelCall:
    return KernelCall(kernel, tuple(operands), 1, scratch, (), ())


def aligned(array: np.ndarray) -> np.ndarray:
    """A copy at an address as the constants of an artifact have."""
    room = np.empty(array.nbytes + ALIGNMENT_BYTES, np.uint8)
    start = -room.ctypes.data % ALIGNMENT_BYTES
    copy = room[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy
