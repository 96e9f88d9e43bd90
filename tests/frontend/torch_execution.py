"""Runs an imported model on TVM's virtual machine, to compare it with PyTorch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tvm
from tvm import relax

from edgecompile.frontend.model import Model


def execute(model: Model, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The model's outputs for the arrays, in the order of its inputs."""
    machine = relax.VirtualMachine(tvm.compile(model.module, tvm.target.Target("llvm")), tvm.cpu())
    result = machine["main"](*[tvm.runtime.tensor(array) for array in arrays])
    outputs = [result] if len(model.outputs) == 1 else list(result)
    return [output.numpy() for output in outputs]


def assert_matches(model: Model, arrays: Sequence[np.ndarray] | None = None, tolerance: float = 1e-5) -> None:
    """Same shapes, dtypes and values as PyTorch; floats within `tolerance` of the output's range.

    float32 sums in another order differ by a few units in the last place: 1e-5 of the range allows about a hundred.
    """
    inputs = [model.sample_inputs[spec.name] for spec in model.inputs] if arrays is None else list(arrays)
    assert model.reference is not None
    expected = model.reference(inputs)
    found = execute(model, inputs)
    assert len(found) == len(expected) == len(model.outputs)
    for spec, left, right in zip(model.outputs, found, expected, strict=True):
        assert left.dtype == right.dtype == np.dtype(spec.dtype), spec
        assert left.shape == right.shape, spec
        if right.dtype.kind in "biu":
            np.testing.assert_array_equal(left, right, err_msg=str(spec))
            continue
        scale = max(1.0, float(np.abs(right.astype(np.float64)[np.isfinite(right.astype(np.float64))]).max(initial=0)))
        np.testing.assert_allclose(
            left.astype(np.float64), right.astype(np.float64), rtol=0, atol=tolerance * scale, err_msg=str(spec)
        )
