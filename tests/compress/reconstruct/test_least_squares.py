"""Fits of a layer to the results that are wanted of it."""

from __future__ import annotations

import numpy as np

from edgecompile.compress.reconstruct.least_squares import Fit


def gathered(weight: np.ndarray, truth: np.ndarray, bias: np.ndarray, noise: float = 0.0) -> Fit:
    """A fit of rows of which the last input is missing, which goes with the others."""
    random = np.random.default_rng(0)
    fit = Fit(weight)
    for _ in range(8):
        rows = random.normal(size=(1, 64, truth.shape[1])).astype(np.float32)
        rows[..., -1] = rows[..., 0] + 0.1 * rows[..., 1] + noise * rows[..., -1]
        fit.add(np.ascontiguousarray(rows[..., :-1]), rows @ truth.T + bias)
    return fit


def test_what_is_missing_is_made_of_the_rest() -> None:
    random = np.random.default_rng(1)
    truth, bias = random.normal(size=(3, 6)), np.array([1.0, -2.0, 0.5])
    found = gathered(truth[None, :, :-1], truth, bias).least_squares()
    expected = truth[:, :-1].copy()
    expected[:, 0] += truth[:, -1]
    expected[:, 1] += 0.1 * truth[:, -1]
    np.testing.assert_allclose(found.weight[0], expected, atol=1e-3)
    np.testing.assert_allclose(found.bias[0], bias, atol=1e-3)
    assert found.after < 1e-6 < found.before


def test_bias_alone_meets_the_means() -> None:
    random = np.random.default_rng(1)
    truth, bias = random.normal(size=(3, 6)), np.array([1.0, -2.0, 0.5])
    found = gathered(truth[None, :, :-1], truth, bias).bias()
    np.testing.assert_array_equal(found.weight[0], truth[:, :-1])
    np.testing.assert_allclose(found.bias[0], bias, atol=0.2)
    assert found.after < found.before


def test_inputs_that_are_zero_have_an_answer() -> None:
    fit = Fit(np.ones((1, 2, 3)))
    for _ in range(4):
        fit.add(np.zeros((1, 5, 3), np.float32), np.full((1, 5, 2), 7, np.float32))
    found = fit.least_squares()
    assert np.isfinite(found.weight).all()
    np.testing.assert_allclose(found.bias, 7)


def test_groups_are_fitted_apart() -> None:
    random = np.random.default_rng(2)
    truth = random.normal(size=(4, 2, 5))
    fit = Fit(np.zeros_like(truth))
    for _ in range(8):
        rows = random.normal(size=(4, 32, 5)).astype(np.float32)
        fit.add(rows, rows @ truth.transpose(0, 2, 1))
    np.testing.assert_allclose(fit.least_squares().weight, truth, atol=1e-4)


def test_inputs_that_never_vary_leave_the_weights() -> None:
    """Their covariance is rounding, and may be negative."""
    row = np.random.default_rng(3).normal(size=24).astype(np.float32)
    fit = Fit(np.ones((1, 2, 24)))
    for _ in range(4):
        fit.add(np.tile(row, (1, 5, 1)), np.full((1, 5, 2), 7, np.float32))
    found = fit.least_squares()
    np.testing.assert_allclose(found.weight[0] @ row + found.bias[0], 7, atol=1e-4)
