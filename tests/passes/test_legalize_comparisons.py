"""Comparisons with NaN."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import tvm
from tvm import relax

from edgecompile.frontend.model import TensorSpec
from edgecompile.passes import lower, standard_phases
from tests.relax_models import make_model, run_virtual_machine

A = np.array([1.0, np.nan, 2.0, np.nan, 3.0, np.inf], np.float32)
B = np.array([2.0, 1.0, np.nan, np.nan, 3.0, np.inf], np.float32)
COMPARISONS: dict[str, tuple[Callable[..., relax.Expr], Callable[..., np.ndarray]]] = {
    "less": (relax.op.less, np.less),
    "less_equal": (relax.op.less_equal, np.less_equal),
    "greater": (relax.op.greater, np.greater),
    "greater_equal": (relax.op.greater_equal, np.greater_equal),
    "equal": (relax.op.equal, np.equal),
    "not_equal": (relax.op.not_equal, np.not_equal),
}


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int32"])
@pytest.mark.parametrize("name", COMPARISONS)
def test_comparison_and_its_negation(name: str, dtype: str) -> None:
    compare, expected = COMPARISONS[name]
    specs = [TensorSpec(name, A.shape, dtype) for name in "ab"]

    def body(b: relax.BlockBuilder, left: relax.Var, right: relax.Var) -> list[relax.Expr]:
        result = b.emit(compare(left, right))
        return [result, b.emit(relax.op.logical_not(result))]

    model = make_model(specs, body, specs)
    module = lower(model.module, standard_phases(), tvm.target.Target("llvm")).module
    a, b = (np.nan_to_num(v, posinf=9) if dtype == "int32" else v for v in (A, B))
    found, negated = run_virtual_machine(module, a.astype(dtype), b.astype(dtype))
    np.testing.assert_array_equal(found, expected(a.astype(dtype), b.astype(dtype)))
    np.testing.assert_array_equal(negated, ~found)
