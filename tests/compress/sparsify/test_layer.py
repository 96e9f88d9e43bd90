"""Weights as sums over input channels, and back."""

from __future__ import annotations

import numpy as np
import pytest

from edgecompile.compress.sparsify.layer import SparseLayer

LAYERS = {
    "nn.conv2d": ((6, 5, 3, 2), 1, (6, 6, 5)),
    "grouped": ((6, 5, 3, 2), 3, (6, 6, 5)),
    "nn.conv1d": ((4, 3, 5), 1, (4, 5, 3)),
    "nn.conv2d_transpose": ((6, 5, 3, 2), 1, (5, 6, 6)),
    "grouped_transpose": ((6, 5, 3, 2), 2, (10, 6, 3)),
    "matmul": ((7, 4), 1, (4, 1, 7)),
    "batched": ((2, 7, 4), 1, (8, 1, 7)),
    "vector": ((7,), 1, (1, 1, 7)),
}


def layer(name: str) -> SparseLayer:
    shape, groups, _ = LAYERS[name]
    operator = "matmul" if name in ("batched", "vector") else {"grouped": "nn.conv2d"}.get(name, name)
    weight = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    return SparseLayer(name, "x", operator, groups, weight)


@pytest.mark.parametrize("name", LAYERS)
def test_sums_and_back(name: str) -> None:
    found = layer(name)
    assert found.sums().shape == LAYERS[name][2]
    np.testing.assert_array_equal(found.from_sums(found.sums()), found.weight)


def test_inputs_are_last() -> None:
    conv, product = layer("nn.conv2d"), layer("matmul")
    np.testing.assert_array_equal(conv.sums()[2, 3], conv.weight[2, :, 1, 1])
    np.testing.assert_array_equal(product.sums()[1, 0], product.weight[:, 1])
    transposed = layer("grouped_transpose")
    # Output 7 is the third of the second group, which reads input channels 3 to 5.
    np.testing.assert_array_equal(transposed.sums()[7, 2], transposed.weight[3:6, 2, 1, 0])


def test_numbers_of_channels_stand_beside_the_weights_that_read_them() -> None:
    found = layer("grouped").of_inputs(np.arange(15.0))
    assert found.shape == (6, 1, 5)
    np.testing.assert_array_equal(found[:, 0, 0], [0, 0, 5, 5, 10, 10])
