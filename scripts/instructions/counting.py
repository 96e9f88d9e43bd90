"""Instructions of one inference: what more inferences execute beyond a few."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from edgecompile.errors import EdgeCompileError, RuntimeFailureError
from edgecompile.target import Target
from scripts.bench.case import Case
from scripts.instructions.emulator import Emulator, Executed
from scripts.instructions.runtimes import Runtime

# The first inferences plan their memory, in ONNX Runtime.
_FIRST = 2
LARGEST_DIFFERENCE = 1e-3  # of the output's range, as in scripts/bench
# Of int8 with a few random inputs for calibration, where PyTorch computes in float32: what is larger is no rounding.
# That the bits are right is for the tests of the integer program.
LARGEST_INT8_DIFFERENCE = 0.2

Loader = Callable[[Case, Target, Path], Runtime]


@dataclass(frozen=True)
class Count:
    """One network in one runtime.

    Attributes:
        runtime, version: whose.
        reason: why nothing was counted; empty otherwise.
        difference: the largest one to PyTorch's answer, as a part of its range.
        executed: instructions of one inference, by place.
        library: holds the kernels.
    """

    runtime: str
    version: str = ""
    reason: str = ""
    difference: float | None = None
    executed: Executed = field(default_factory=Counter)
    library: Path | None = None

    @property
    def instructions(self) -> int | None:
        """Of one inference."""
        return self.executed.total() if self.executed else None


def count(
    name: str,
    load: Loader,
    case: Case,
    target: Target,
    emulator: Emulator,
    inferences: int,
    folder: Path,
    limit: float = LARGEST_DIFFERENCE,
) -> Count:
    """Load the network, check its answer, and count; a failure is in the result.

    Args:
        inferences: that are counted; their average is the result.
        folder: for the network's files.
        limit: of the difference to PyTorch's answer.
    """
    try:
        runtime = load(case, target, folder)
        output = folder / f"{case.name}.output"
        before, _ = emulator.run(runtime.command(_FIRST, output))
        difference = relative_difference(np.fromfile(output, np.float32), case.expected[0], limit)
        after, _ = emulator.run(runtime.command(_FIRST + inferences, output))
    except EdgeCompileError as error:
        return Count(name, reason=str(error))
    return Count(
        name, runtime.version, "", difference, per_inference(before, after, inferences), runtime.library.resolve()
    )


def per_inference(before: Executed, after: Executed, inferences: int) -> Executed:
    """The average of what `after` executed beyond `before`, in whole instructions."""
    places = before.keys() | after.keys()
    return Counter({place: round((after[place] - before[place]) / inferences) for place in places})


def relative_difference(got: np.ndarray, expected: np.ndarray, limit: float = LARGEST_DIFFERENCE) -> float:
    """The largest difference as a part of the expected range.

    Raises:
        RuntimeFailureError: another number of elements, or a difference that no rounding explains.
    """
    if got.size != expected.size:
        raise RuntimeFailureError(f"the answer has {got.size} elements, expected {expected.size}")
    difference = float(np.abs(got.reshape(expected.shape) - expected).max() / np.ptp(expected))
    if not difference <= limit:
        raise RuntimeFailureError(f"the answer differs from PyTorch's by {difference:.1e} of its range")
    return difference
