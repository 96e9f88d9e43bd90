"""The histogram: exact counts, whatever the order and the cut of the data."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgecompile.compress.quantize.observers.histogram import _BLOCK, MAX_BINS, Histogram
from edgecompile.errors import InvalidCalibrationError
from tests.compress.quantize.observers.arrays import normal, samples


def histogram_of(*arrays: np.ndarray) -> Histogram:
    histogram = Histogram()
    for array in arrays:
        histogram.update(array)
    return histogram


def facts(histogram: Histogram) -> tuple[object, ...]:
    return (
        histogram.low,
        histogram.high,
        histogram.width,
        histogram.first,
        histogram.zeros,
        histogram.total,
        histogram.counts.tolist(),
    )


@given(samples())
def test_every_value_is_counted_in_its_bin(arrays: list[np.ndarray]) -> None:
    histogram = histogram_of(*arrays)
    values = np.concatenate([array.ravel() for array in arrays]).astype(np.float64)
    assert histogram.total == values.size
    assert histogram.zeros == np.count_nonzero(values == 0)
    assert (histogram.low, histogram.high) == (values.min(), values.max())
    if not values.any():
        assert histogram.width == 0 == len(histogram.counts)
        return
    expected = np.zeros(len(histogram.counts), np.int64)
    for value in values:
        expected[math.floor(value / histogram.width) - histogram.first] += 1
    np.testing.assert_array_equal(histogram.counts, expected)


@given(samples(), st.randoms())
def test_order_and_cut_of_the_samples_change_nothing(arrays: list[np.ndarray], random: object) -> None:
    pieces = [piece for array in arrays for piece in np.array_split(array.ravel(), 2) if piece.size]
    random.shuffle(pieces)  # type: ignore[attr-defined]
    whole = np.concatenate([array.ravel() for array in arrays])
    assert facts(histogram_of(*pieces)) == facts(histogram_of(*arrays)) == facts(histogram_of(whole))


@given(samples())
def test_bins_are_few_enough_and_fine_enough(arrays: list[np.ndarray]) -> None:
    histogram = histogram_of(*arrays)
    span = max(histogram.high, 0) - min(histogram.low, 0)
    assert len(histogram.counts) <= MAX_BINS
    assert histogram.width <= span / (MAX_BINS / 2 - 2)


def test_arrays_larger_than_a_block() -> None:
    values = normal(2 * _BLOCK + 17)
    histogram = histogram_of(values.reshape(1, -1))
    borders = (histogram.first + np.arange(len(histogram.counts) + 1)) * histogram.width
    np.testing.assert_array_equal(histogram.counts, np.histogram(values.astype(np.float64), borders)[0])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused(value: float) -> None:
    with pytest.raises(InvalidCalibrationError, match="must be finite"):
        Histogram().update(np.array([1, value, 2], np.float32))
