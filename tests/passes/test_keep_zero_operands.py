"""Products and quotients with a constant zero."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import tvm
from tvm import relax

from edgecompile.frontend.model import TensorSpec
from edgecompile.passes import lower, standard_phases
from edgecompile.passes.keep_zero_operands import KeepZeroOperands
from tests.relax_models import make_model, run_virtual_machine

X = np.array([0.0, 1.0, -2.0, np.nan, np.inf], np.float32)
CASES: dict[str, tuple[Callable[..., relax.Expr], Callable[..., np.ndarray]]] = {
    "x / 0": (lambda x, zero: relax.op.divide(x, zero), lambda x, zero: x / zero),
    "0 / x": (lambda x, zero: relax.op.divide(zero, x), lambda x, zero: zero / x),
    "x * 0": (lambda x, zero: relax.op.multiply(x, zero), lambda x, zero: x * zero),
}


@pytest.mark.parametrize("shape", [(5,), ()])
@pytest.mark.parametrize("zero", [0.0, -0.0])
@pytest.mark.parametrize("name", CASES)
def test_zero_behaves_as_in_numpy(name: str, zero: float, shape: tuple[int, ...]) -> None:
    build, expected = CASES[name]
    spec = TensorSpec("x", shape, "float32")
    model = make_model([spec], lambda b, x: [b.emit(build(x, relax.const(zero, "float32")))], [spec])
    module = lower(model.module, standard_phases(), tvm.target.Target("llvm")).module
    x = X if shape else X[2]
    with np.errstate(all="ignore"):
        wanted = expected(x, np.float32(zero))
    (found,) = run_virtual_machine(module, np.asarray(x))
    np.testing.assert_array_equal(found, wanted)
    assert found.shape == shape


@pytest.mark.parametrize("number", [relax.const(2.0, "float32"), relax.const(np.zeros(1, np.float32))])
def test_other_constants_are_left_alone(number: relax.Constant) -> None:
    spec = TensorSpec("x", (5,), "float32")
    model = make_model([spec], lambda b, x: [b.emit(relax.op.divide(x, number))], [spec])
    assert KeepZeroOperands()(model.module, []).same_as(model.module)
