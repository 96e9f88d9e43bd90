"""Activations with bounds let NaN through."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import tvm
from tvm import relax

from edgecompile.frontend.model import TensorSpec
from edgecompile.passes import lower, standard_phases
from tests.relax_models import make_model, run_virtual_machine

X = np.array([-np.inf, -3, -1, -0.0, 0, 0.5, 1, 3, np.inf, np.nan] * 3, np.float32)  # full vectors and a rest
ACTIVATIONS: dict[str, tuple[Callable[[relax.Expr], relax.Expr], Callable[[np.ndarray], np.ndarray]]] = {
    "relu": (relax.op.nn.relu, lambda x: np.maximum(x, x.dtype.type(0))),
    "clip": (lambda x: relax.op.clip(x, -1, 2), lambda x: np.clip(x, x.dtype.type(-1), x.dtype.type(2))),
    "bounds exchanged": (lambda x: relax.op.clip(x, 2, -1), lambda x: np.clip(x, x.dtype.type(2), x.dtype.type(-1))),
}


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int32"])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_an_activation_as_numpy_computes_it(name: str, dtype: str) -> None:
    activate, expected = ACTIVATIONS[name]
    x = np.nan_to_num(X, posinf=9, neginf=-9).astype(dtype) if dtype == "int32" else X.astype(dtype)
    specs = [TensorSpec("x", x.shape, dtype)]
    model = make_model(specs, lambda b, data: [b.emit(activate(data))], specs)
    module = lower(model.module, standard_phases(), tvm.target.Target("llvm")).module
    (found,) = run_virtual_machine(module, x)
    np.testing.assert_array_equal(found, expected(x))
