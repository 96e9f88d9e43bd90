"""Centers of numbers on a line, against all possible clusters."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgecompile.compress.quantize.storage.k_means import cluster_centers


def error(values: np.ndarray, weights: np.ndarray, centers: np.ndarray) -> float:
    return float((weights * np.square(values[:, None] - centers).min(axis=1)).sum())


def least_error(values: np.ndarray, weights: np.ndarray, count: int) -> float:
    """Of all ways to cut the sorted values into intervals."""
    order = np.argsort(values)
    values, weights = values[order], weights[order]
    cuts = itertools.combinations(range(1, len(values)), count - 1)
    return min(_error_of_cut(values, weights, [0, *cut, len(values)]) for cut in cuts)


def _error_of_cut(values: np.ndarray, weights: np.ndarray, places: list[int]) -> float:
    total = 0.0
    for begin, end in itertools.pairwise(places):
        part, weight = values[begin:end], weights[begin:end]
        total += float((weight * np.square(part - np.average(part, weights=weight))).sum())
    return total


@given(st.integers(0, 10_000), st.integers(4, 11), st.integers(1, 4))
def test_no_clusters_are_better(seed: int, size: int, count: int) -> None:
    random = np.random.default_rng(seed)
    values, weights = random.standard_normal(size), random.uniform(0.1, 3, size)
    found = cluster_centers(values, weights, count)
    assert len(found) <= count and (np.diff(found) > 0).all()
    assert error(values, weights, found) <= least_error(values, weights, count) * (1 + 1e-9) + 1e-12


def test_better_than_even_spacing_on_many_numbers() -> None:
    values = np.random.default_rng(0).laplace(size=20_000)
    ones = np.ones_like(values)
    centers = cluster_centers(values, ones, 16)
    assert len(centers) == 16
    even = np.linspace(values.min(), values.max(), 16)
    assert error(values, ones, centers) < 0.2 * error(values, ones, even)
    # Lloyd's condition: each center is the mean of what is nearest to it.
    nearest = np.abs(values[:, None] - centers).argmin(axis=1)
    np.testing.assert_allclose([values[nearest == k].mean() for k in range(16)], centers, rtol=1e-9)


@pytest.mark.parametrize("values", [[0.0] * 5, [3.0, 3.0, -1.0], [2.0]])
def test_few_different_numbers_are_kept(values: list[float]) -> None:
    found = cluster_centers(np.array(values), np.ones(len(values)), 4)
    np.testing.assert_array_equal(found, np.unique(values))


def test_far_outliers_get_their_own() -> None:
    values = np.concatenate([np.random.default_rng(0).standard_normal(5000), [1e6]])
    assert cluster_centers(values, np.ones_like(values), 8)[-1] == 1e6
