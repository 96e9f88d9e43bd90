"""Kinds of operators."""

from __future__ import annotations

import numpy as np
import pytest
from tvm import relax

from edgecompile.frontend.model import TensorSpec
from edgecompile.integer import operators
from edgecompile.operator_kind import factors_of, kind_of, kind_of_all
from tests.relax_models import constant, make_model

IMAGE = TensorSpec("x", (1, 8, 10, 12), "float32")
LINE = TensorSpec("x", (1, 8, 10), "float32")
BYTES = TensorSpec("x", (1, 8, 10, 12), "int8")


def zeros(*shape: int) -> relax.Expr:
    return constant(np.zeros(shape, np.float32))


def convolved(x: relax.Expr, *shape: int, groups: int = 1) -> relax.Expr:
    """An integer convolution with a weight of this shape."""
    weight, bias = constant(np.zeros(shape, np.int8)), constant(np.zeros(shape[0], np.int32))
    numbers = {"strides": (1, 1), "padding": (0, 0, 0, 0), "dilation": (1, 1)}
    return operators.conv2d(x, weight, bias, **numbers, groups=groups, zero_point=3)


CASES = {
    "conv 3x3": (IMAGE, lambda b, x: relax.op.nn.conv2d(x, zeros(16, 8, 3, 3), padding=1)),
    "conv 1x1": (IMAGE, lambda b, x: relax.op.nn.conv2d(x, zeros(16, 8, 1, 1), strides=2)),
    "conv 1x5": (IMAGE, lambda b, x: relax.op.nn.conv2d(x, zeros(1, 5, 8, 16), kernel_layout="HWIO")),
    "conv 3": (LINE, lambda b, x: relax.op.nn.conv1d(x, zeros(16, 8, 3))),
    "depthwise": (IMAGE, lambda b, x: relax.op.nn.conv2d(x, zeros(8, 1, 3, 3), groups=8)),
    "grouped conv": (IMAGE, lambda b, x: relax.op.nn.conv2d(x, zeros(8, 2, 3, 3), groups=4)),
    "transposed conv 2x2": (IMAGE, lambda b, x: relax.op.nn.conv2d_transpose(x, zeros(8, 4, 2, 2))),
    "matmul": (LINE, lambda b, x: relax.op.matmul(x, zeros(10, 3))),
    "other": (IMAGE, lambda b, x: relax.op.nn.relu(x)),
    "int8 conv 3x1": (BYTES, lambda b, x: convolved(x, 16, 8, 3, 1)),
    "int8 depthwise": (BYTES, lambda b, x: convolved(x, 8, 1, 3, 3, groups=8)),
    "int8 grouped conv": (BYTES, lambda b, x: convolved(x, 8, 2, 3, 3, groups=4)),
    "int8 matmul": (
        BYTES,
        lambda b, x: operators.matmul(x, constant(np.zeros((12, 3), np.int8)), zero_point=1, other_zero_point=0),
    ),
}


@pytest.mark.parametrize("kind", CASES)
def test_kind_of_a_call(kind: str) -> None:
    spec, body = CASES[kind]
    (binding,) = make_model([spec], body, []).module["main"].body.blocks[0].bindings
    assert kind_of(binding.value) == kind


def test_a_channel_that_yields_two_is_no_depthwise_kernel() -> None:
    call = make_model([IMAGE], lambda b, x: relax.op.nn.conv2d(x, zeros(16, 1, 3, 3), groups=8), []).module["main"]
    assert kind_of(call.body.blocks[0].bindings[0].value) == "grouped conv"


def test_integers_that_are_not_multiplied_by_weights() -> None:
    body = make_model([BYTES], lambda b, x: operators.lookup(x, np.zeros(256, np.int8)), []).module["main"].body
    assert kind_of(body.blocks[0].bindings[0].value) == "other"


def test_factors() -> None:
    assert {kind: factors_of(kind) for kind in CASES} == {
        kind: "int8" if kind.startswith("int8 ") else "float32" for kind in CASES
    }


def test_kind_of_a_fused_kernel() -> None:
    assert kind_of_all(["other", "int8 conv 1x1", "other"]) == "int8 conv 1x1"
    assert kind_of_all(["other", "depthwise", "other", "matmul"]) == "depthwise"
    assert kind_of_all(["other", "other"]) == "other"
    assert kind_of_all([]) == "other"
