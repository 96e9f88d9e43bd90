"""Percentiles against NumPy's, within a bin."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgecompile.compress.quantize.observers import Histogram, Percentile
from edgecompile.compress.quantize.observers.percentile import quantile
from tests.compress.quantize.observers.arrays import normal, samples


@given(samples(), st.floats(0, 1))
def test_a_quantile_is_within_one_bin(arrays: list[np.ndarray], share: float) -> None:
    histogram = Histogram()
    for array in arrays:
        histogram.update(array)
    values = np.concatenate([array.ravel() for array in arrays]).astype(np.float64)
    exact = np.quantile(values, share, method="inverted_cdf")
    assert abs(quantile(histogram, share) - exact) <= histogram.width


@pytest.mark.parametrize("percent", [90, 99, 99.9])
def test_outliers_are_cut(percent: float) -> None:
    histogram = Histogram()
    histogram.update(np.concatenate([normal(100_000), np.array([40, -90], np.float32)]))
    found = Percentile(percent).result(histogram)
    exact = np.quantile(normal(100_000), [1 - percent / 100, percent / 100])
    assert (found.low, found.high) == pytest.approx(exact, abs=2 * histogram.width)


def test_all_of_the_range() -> None:
    histogram = Histogram()
    histogram.update(np.array([-3, 0.5, 7], np.float32))
    found = Percentile(100).result(histogram)
    assert (found.low, found.high) == (-3, 7)
