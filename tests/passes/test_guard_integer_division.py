"""`GuardIntegerDivision`."""

from __future__ import annotations

import numpy as np
import pytest
import tvm
from tvm import relax, te, tirx

from edgecompile.decision import Decision
from edgecompile.frontend.model import TensorSpec
from edgecompile.passes.guard_integer_division import GuardIntegerDivision
from tests.relax_models import make_model, run_virtual_machine

OPERATORS = {
    "truncdiv": (tirx.truncdiv, lambda a, b: np.trunc(a / b)),
    "truncmod": (tirx.truncmod, np.fmod),
    "floordiv": (tirx.floordiv, np.floor_divide),
    "floormod": (tirx.floormod, np.mod),
}


def divided(dtype: str, operator: str, divisor: int | None = None) -> tvm.IRModule:
    specs = [TensorSpec(name, (6,), dtype) for name in "ab"]
    function = OPERATORS[operator][0]

    def compute(a: te.Tensor, b: te.Tensor) -> te.Tensor:
        return te.compute((6,), lambda i: function(a[i], b[i] if divisor is None else tirx.const(divisor, dtype)))

    model = make_model(specs, lambda builder, a, b: builder.emit_te(compute, a, b), specs[:1])
    return model.module


def guard(module: tvm.IRModule) -> tuple[tvm.IRModule, list[Decision]]:
    decisions: list[Decision] = []
    return GuardIntegerDivision()(module, decisions), decisions


@pytest.mark.parametrize("dtype", ["int32", "int64", "int8", "uint8"])
@pytest.mark.parametrize("operator", OPERATORS)
def test_every_divisor_has_an_answer(operator: str, dtype: str) -> None:
    least = np.iinfo(dtype).min
    a = np.array([7, 9, 100, least, least, 5], dtype)
    b = np.array([2, 0, 3, np.array(-1).astype(dtype), 0, 4], dtype)
    module, decisions = guard(divided(dtype, operator))
    assert len(decisions) == 1
    (found,) = run_virtual_machine(module, a, b)
    divides = operator.endswith("div")
    for left, right, result in zip(a.tolist(), b.tolist(), found.tolist(), strict=True):
        if right == 0:
            assert result == (0 if divides else left)
        elif right == -1:
            assert result == (least if divides else 0)  # -least does not exist: it wraps around
        else:
            assert result == int(OPERATORS[operator][1](left, right))


def test_constant_divisors_and_floats_are_left_alone() -> None:
    module = divided("int32", "truncdiv", divisor=3)
    guarded, decisions = guard(module)
    assert decisions == []
    tvm.ir.assert_structural_equal(guarded, module)
    spec = TensorSpec("x", (4,), "float32")
    floats = make_model([spec], lambda b, x: relax.op.divide(x, relax.const(2.0)), [spec]).module
    floats = relax.transform.LegalizeOps()(floats)
    assert guard(floats)[1] == []
