"""Costs of operators and models."""

from __future__ import annotations

import numpy as np
import pytest
from tvm import relax

from edgecompile.frontend.model import TensorSpec
from tests.relax_models import constant, make_model

IMAGE = TensorSpec("x", (1, 8, 10, 12), "float32")
ANY = TensorSpec("y", (1,), "float32")


def zeros(*shape: int) -> relax.Expr:
    return constant(np.zeros(shape, np.float32))


CASES = {
    "convolution": (IMAGE, lambda b, x: relax.op.nn.conv2d(x, zeros(16, 8, 3, 3), padding=1), 16 * 8 * 9 * 120),
    "strided": (IMAGE, lambda b, x: relax.op.nn.conv2d(x, zeros(16, 8, 1, 1), strides=2), 16 * 8 * 30),
    "depthwise": (IMAGE, lambda b, x: relax.op.nn.conv2d(x, zeros(8, 1, 3, 3), padding=1, groups=8), 8 * 9 * 120),
    "transposed": (IMAGE, lambda b, x: relax.op.nn.conv2d_transpose(x, zeros(8, 4, 2, 2), strides=2), 8 * 120 * 4 * 4),
    "matmul": (TensorSpec("x", (5, 7), "float32"), lambda b, x: relax.op.matmul(x, zeros(7, 3)), 5 * 7 * 3),
    "relu": (IMAGE, lambda b, x: relax.op.nn.relu(x), 0),
    "dynamic": (TensorSpec("x", ("n", 7), "float32"), lambda b, x: relax.op.matmul(x, zeros(7, 3)), 0),
}


@pytest.mark.parametrize("name", CASES)
def test_macs(name: str) -> None:
    spec, body, macs = CASES[name]
    model = make_model([spec], body, [ANY])
    (layer,) = model.layers
    assert layer.macs == model.macs == macs


def test_constants_count_once_per_model_and_once_per_layer() -> None:
    shared = zeros(7, 7)

    def body(b: relax.BlockBuilder, x: relax.Var) -> relax.Expr:
        return relax.op.matmul(b.emit(relax.op.matmul(x, shared), name_hint="first"), shared)

    model = make_model([TensorSpec("x", (5, 7), "float32")], body, [ANY])
    assert [layer.weight_bytes for layer in model.layers] == [196, 196]
    assert model.layers[0].name == "first"
    assert model.params == 49
    assert model.weight_bytes == 196


def test_a_model_prints_what_it_costs() -> None:
    model = make_model([IMAGE], lambda b, x: relax.op.nn.relu(x), [IMAGE], name="tiny")
    text = str(model)
    assert text.splitlines()[0] == "tiny (torch)"
    assert "x: float32[1, 8, 10, 12]" in text
    assert "1 operators, 0 MACs, 0 parameters, 0 bytes" in text
