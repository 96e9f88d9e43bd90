"""Kinds of operators."""

from __future__ import annotations

import numpy as np
import pytest
from tvm import relax

from edgecompile.frontend.model import TensorSpec
from edgecompile.operator_kind import kind_of, kind_of_all
from tests.relax_models import constant, make_model

IMAGE = TensorSpec("x", (1, 8, 10, 12), "float32")
LINE = TensorSpec("x", (1, 8, 10), "float32")


def zeros(*shape: int) -> relax.Expr:
    return constant(np.zeros(shape, np.float32))


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
}


@pytest.mark.parametrize("kind", CASES)
def test_kind_of_a_call(kind: str) -> None:
    spec, body = CASES[kind]
    (binding,) = make_model([spec], body, []).module["main"].body.blocks[0].bindings
    assert kind_of(binding.value) == kind


def test_a_channel_that_yields_two_is_no_depthwise_kernel() -> None:
    call = make_model([IMAGE], lambda b, x: relax.op.nn.conv2d(x, zeros(16, 1, 3, 3), groups=8), []).module["main"]
    assert kind_of(call.body.blocks[0].bindings[0].value) == "grouped conv"


def test_kind_of_a_fused_kernel() -> None:
    assert kind_of_all(["other", "depthwise", "other", "matmul"]) == "depthwise"
    assert kind_of_all(["other", "other"]) == "other"
    assert kind_of_all([]) == "other"
