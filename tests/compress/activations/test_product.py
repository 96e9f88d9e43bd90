"""Rows times a matrix are the sums of the operator itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tvm import relax

from edgecompile.compress.activations.product import products_of
from edgecompile.frontend.model import TensorSpec
from edgecompile.storage.runs import spread
from tests.relax_models import constant, make_model, run_virtual_machine

RANDOM = np.random.default_rng(0)

CONVOLUTIONS: list[dict[str, Any]] = [
    {"weight": (4, 6, 3, 3), "padding": (1, 1, 1, 1)},
    {"weight": (6, 3, 3, 2), "groups": 2, "strides": (2, 1), "padding": (0, 1, 2, 0)},
    {"weight": (12, 1, 3, 3), "groups": 6, "dilation": (2, 1)},
]


@pytest.mark.parametrize("case", CONVOLUTIONS)
def test_convolution(case: dict[str, Any]) -> None:
    weight = RANDOM.standard_normal(case["weight"]).astype(np.float32)
    options = {name: value for name, value in case.items() if name != "weight"}

    def body(builder: relax.BlockBuilder, x: relax.Var) -> relax.Expr:
        return builder.emit(relax.op.nn.conv2d(x, constant(weight), **options), name_hint="sums")

    x = RANDOM.standard_normal((2, 6, 9, 7)).astype(np.float32)
    model = make_model([TensorSpec("x", x.shape, "float32")], body, [TensorSpec("y", (), "float32")])
    _check(model.module, x, channels=1)


def test_matrix_product() -> None:
    weight = RANDOM.standard_normal((5, 3)).astype(np.float32)
    x = RANDOM.standard_normal((2, 4, 5)).astype(np.float32)

    def body(builder: relax.BlockBuilder, x: relax.Var) -> relax.Expr:
        return builder.emit(relax.op.matmul(x, constant(weight)), name_hint="sums")

    model = make_model([TensorSpec("x", x.shape, "float32")], body, [TensorSpec("y", (), "float32")])
    _check(model.module, x, channels=2)


def _check(module: Any, x: np.ndarray, channels: int) -> None:
    (product,) = products_of(module["main"], {"sums"})
    (expected,) = run_virtual_machine(module, x)
    assert product.result_axis == channels
    expected = np.moveaxis(expected, channels, -1)
    rows = product.rows(x, 10_000, np.random.default_rng(0))
    found = np.einsum("gnk,gck->ngc", rows, product.matrix(product.weight))
    np.testing.assert_allclose(found.reshape(expected.shape), expected, rtol=1e-4, atol=1e-5)
    shape = product.weight.shape
    np.testing.assert_array_equal(product.from_matrix(product.matrix(product.weight), shape), product.weight)
    channel, summed = (0, 1) if product.is_convolution else (1, 0)
    for blocks in ({}, {channel: shape[channel]}, {channel: shape[channel], summed: shape[summed]}):
        numbers = np.random.default_rng(2).random([blocks.get(axis, 1) for axis in range(len(shape))])
        of_matrix = product.matrix(numbers)
        whole = product.matrix(spread(numbers, shape))
        np.testing.assert_array_equal(spread(of_matrix, whole.shape), whole)
        np.testing.assert_array_equal(product.from_matrix(of_matrix, numbers.shape), numbers)
    few = product.rows(x, 3, np.random.default_rng(1))
    assert few.shape == (rows.shape[0], 3, rows.shape[2])
    assert all(any(np.array_equal(few[:, i], rows[:, j]) for j in range(rows.shape[1])) for i in range(3))
