"""`comparison`: what a pruned module takes on a target, beside the whole one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeAlias

from edgecompile.artifact.machine import runs_here
from edgecompile.compress.measuring.estimate import estimated_cycles
from edgecompile.compress.measuring.timing import Cost
from edgecompile.compress.measuring.workbench import ESTIMATED, MEASURED, Workbench
from edgecompile.errors import UnsupportedModelError
from edgecompile.frontend.model import Model
from edgecompile.target import Target

if TYPE_CHECKING:
    import numpy as np
    import tvm

Compare: TypeAlias = "Callable[[tvm.IRModule, str], tuple[Cost, Cost]]"
"""A module, and a name for it, to what the whole one and it take for one inference."""


def unit_of(target: Target) -> str:
    """In what a comparison tells: "ms" measured here, or "cycles" estimated for a target that cannot run here."""
    return MEASURED if runs_here(target) else ESTIMATED


@contextmanager
def comparison(
    model: Model, target: Target, sample: Mapping[str, np.ndarray], progress: Callable[[str], None]
) -> Iterator[Compare]:
    """Compile the whole model, and each module that shall be compared; both take turns.

    Args:
        model: the whole one.
        target: where it shall run.
        sample: the inputs, by name, that are timed; the self-test's where it is empty.

    Raises:
        UnsupportedModelError: the target cannot run here, and its cycles cannot be estimated.
    """
    if runs_here(target):
        with Workbench(model, (), target, sample, progress) as bench:
            plain = bench.build("the whole model", model.module)

            def measured(module: tvm.IRModule, name: str) -> tuple[Cost, Cost]:
                whole, other = bench.compare([plain, bench.build(name, module)])
                return whole, other

            yield measured
        return
    whole = _cycles(model.module, target)

    def estimated(module: tvm.IRModule, name: str) -> tuple[Cost, Cost]:
        progress(f"estimate {name}")
        cycles = _cycles(module, target)
        return Cost(whole, whole, 1.0), Cost(cycles, cycles, cycles / whole)

    yield estimated


def _cycles(module: tvm.IRModule, target: Target) -> float:
    cycles = sum(estimated_cycles(module, target, ()).values())
    if not cycles:
        raise UnsupportedModelError(
            f"a budget of latency for {target.name}, which cannot run here, needs a model whose layouts can be "
            f"planned; compress where the target runs, or give a budget of macs"
        )
    return cycles
