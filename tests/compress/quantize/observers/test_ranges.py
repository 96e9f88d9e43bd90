"""What holds for every observer: zero inside, never wider than the values, right on degenerate tensors."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings

from edgecompile.compress.quantize.observers import (
    Entropy,
    MeanSquaredError,
    MovingAverage,
    Observer,
    Percentile,
    Range,
    find_observer,
    observer_names,
)
from edgecompile.errors import InvalidCalibrationError
from tests.compress.quantize.observers.arrays import normal, samples

OBSERVERS = [find_observer(name) for name in observer_names()]
every_observer = pytest.mark.parametrize("observer", OBSERVERS, ids=str)


def range_of(observer: Observer, *arrays: np.ndarray) -> Range:
    statistic = observer.needs()
    for array in arrays:
        statistic.update(array)
    return observer.result(statistic)


@every_observer
@settings(max_examples=40)
@given(samples())
def test_zero_is_inside_and_nothing_is_wider_than_the_values(observer: Observer, arrays: list[np.ndarray]) -> None:
    found = range_of(observer, *arrays)
    values = np.concatenate([array.ravel() for array in arrays])
    # The moving average divides by a weight, which costs it the last digits.
    slack = 1 + 1e-9
    assert min(float(values.min()), 0) * slack <= found.low <= 0 <= found.high <= max(float(values.max()), 0) * slack


@every_observer
def test_all_zero(observer: Observer) -> None:
    assert range_of(observer, np.zeros((1, 4, 3), np.float32), np.zeros(5, np.float32)) == Range(0, 0)


@every_observer
@pytest.mark.parametrize("value", [5, -5, 1e-38, 3e38])
def test_constant(observer: Observer, value: float) -> None:
    array = np.full((1, 7), value, np.float32)
    found = range_of(observer, array, array)
    expected = Range.around_zero(float(array[0, 0]), float(array[0, 0]))
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=1e-9)


@every_observer
@pytest.mark.parametrize("sign", [1, -1])
def test_one_sided(observer: Observer, sign: int) -> None:
    """As after ReLU: half of the values are zero, and the range begins there."""
    found = range_of(observer, *(sign * np.maximum(normal(10_000, seed), 0) for seed in range(3)))
    near, far = (found.low, found.high) if sign > 0 else (-found.high, -found.low)
    assert near == 0
    assert 2 < far < 5


@every_observer
def test_two_sided_and_uneven(observer: Observer) -> None:
    values = normal(50_000)
    found = range_of(observer, np.where(values < 0, values / 8, values))
    assert found.high > 2
    assert -0.7 < found.low < -0.25


@every_observer
def test_zeros_before_the_first_value(observer: Observer) -> None:
    """The width of the histogram's bins is not known while all is zero."""
    values = normal(1000)
    zeros = np.zeros(1000, np.float32)
    if str(observer).startswith("moving_average"):
        assert range_of(observer, zeros, values).high == pytest.approx(float(values.max()) / 2, rel=0.01)
    else:
        assert range_of(observer, zeros, values) == range_of(observer, values, zeros)


@every_observer
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused(observer: Observer, value: float) -> None:
    with pytest.raises(InvalidCalibrationError, match="must be finite"):
        range_of(observer, np.array([[0, value]], np.float32))


def test_names() -> None:
    assert observer_names() == ("entropy", "min_max", "moving_average", "mse", "percentile")
    with pytest.raises(InvalidCalibrationError, match=r"no observer is named 'max': choose from entropy, min_max"):
        find_observer("max")


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: Entropy(1), "bits must be from 2 to 16, found 1"),
        (lambda: MeanSquaredError(17), "bits must be from 2 to 16, found 17"),
        (lambda: MovingAverage(0), "rate must be above 0 and at most 1, found 0"),
        (lambda: Percentile(float("nan")), "percent must be above 50 and at most 100, found nan"),
    ],
)
def test_options_out_of_range(make: Callable[[], Observer], text: str) -> None:
    with pytest.raises(InvalidCalibrationError, match=text):
        make()
