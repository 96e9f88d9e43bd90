"""Softmax and layer normalization in integers: kernels against the reference bit for bit, both against real numbers."""

from __future__ import annotations

import numpy as np
import pytest

from edgecompile.integer import operators
from edgecompile.integer.layer_norm import LayerNormNumbers, layer_norm_array
from edgecompile.integer.softmax import SoftmaxNumbers
from tests.integer.test_operators import check, variable

ROWS = ["random", "zeros", "lowest", "highest", "one high", "one low", "ends"]


def _rows(columns: int) -> np.ndarray:
    """int8 `[1, 7, columns]`, a row for each of `ROWS`."""
    x = np.random.default_rng(0).integers(-128, 128, (1, len(ROWS), columns)).astype(np.int8)
    x[0, 1], x[0, 2], x[0, 3], x[0, 4], x[0, 5] = 0, -128, 127, -128, 127
    x[0, 4, 0], x[0, 5, -1] = 127, -128
    x[0, 6, ::2], x[0, 6, 1::2] = -128, 127
    return x


def _real_softmax(x: np.ndarray, scale: float) -> np.ndarray:
    powers = np.exp((x.astype(np.float64) - x.max(axis=-1, keepdims=True)) * scale)
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


@pytest.mark.parametrize("columns", [1, 17, 64])
@pytest.mark.parametrize(
    ("scale", "out_scale", "zero_point"), [(0.05, 1 / 255, -128), (0.7, 1 / 256, -128), (9.0, 0.02, 5)]
)
def test_softmax(columns: int, scale: float, out_scale: float, zero_point: int) -> None:
    x = variable("x", _rows(columns))
    numbers = SoftmaxNumbers.of(scale, out_scale, zero_point, columns)
    assert numbers is not None
    got = check(operators.softmax(x[0], numbers), x)
    exact = np.clip(_real_softmax(x[1], scale) / out_scale + zero_point, -128, 127)
    # A half for rounding; the power is off by 1e-4 of itself, and of 255 steps that is 0.03.
    assert np.abs(got - exact).max() < 0.55


def test_softmax_of_equal_columns_beyond_its_resolution() -> None:
    numbers = SoftmaxNumbers.of(0.1, 1 / 255, -128, 2000)
    assert numbers is not None
    x = variable("x", np.full((1, 2000), 77, np.int8))
    assert set(check(operators.softmax(x[0], numbers), x).ravel()) == {-128}


@pytest.mark.parametrize("columns", [2, 17, 384])
@pytest.mark.parametrize("epsilon", [0.0, 1e-12, 1e-2])
def test_layer_norm(columns: int, epsilon: float) -> None:
    rng = np.random.default_rng(1)
    gamma, beta = rng.uniform(-1.5, 1.5, columns), rng.normal(0, 0.3, columns)
    scale, out_scale, zero_point = 0.03, 4 / 127, -7
    x = variable("x", _rows(columns))
    numbers = LayerNormNumbers.of(scale, gamma, beta, epsilon, out_scale, zero_point)
    assert numbers is not None
    got = check(operators.layer_norm(x[0], numbers), x)
    real = x[1].astype(np.float64) * scale
    centred = real - real.mean(axis=-1, keepdims=True)
    deviation = np.sqrt((centred**2).mean(axis=-1, keepdims=True) + epsilon)
    normal = np.divide(centred, deviation, out=np.zeros_like(centred), where=deviation > 1e-9)
    exact = np.clip((normal * gamma + beta) / out_scale + zero_point, -128, 127)
    # A half for rounding. A row that is constant but for one column has a deviation of few steps, known to 2^-8.
    assert np.abs(got - exact)[0, [0, 1, 2, 3, 6]].max() < 0.56
    assert np.abs(got - exact).max() < 1.5


def test_numbers_that_leave_32_bits_are_refused() -> None:
    ones = np.ones(8)
    assert SoftmaxNumbers.of(1.0, 2.0**-31, 0, 8) is None
    assert SoftmaxNumbers.of(1.0, 1 / 255, 0, 1 << 16) is None
    assert LayerNormNumbers.of(1.0, ones, ones * 1e9, 0.0, 0.01, 0) is None
    assert LayerNormNumbers.of(1e-9, ones, ones, 1.0, 0.01, 0) is None
    assert LayerNormNumbers.of(1.0, ones * np.inf, ones, 0.0, 0.01, 0) is None


def test_extreme_factors_stay_in_32_bits() -> None:
    x = _rows(64)
    for size in (1e-9, 1e-3, 1.0, 1e4):
        numbers = LayerNormNumbers.of(0.5, np.full(64, size), np.zeros(64), 0.0, 0.01, 0)
        assert numbers is not None
        layer_norm_array(x, numbers.gamma, numbers.beta, numbers.epsilon, numbers.shift)  # asserts it
    assert LayerNormNumbers.of(0.5, np.zeros(64), np.zeros(64), 0.0, 0.01, 0) is not None
