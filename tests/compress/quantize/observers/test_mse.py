"""The mean-square rule against the error of really quantizing."""

from __future__ import annotations

import numpy as np
import pytest

from edgecompile.compress.quantize.observers import Histogram, MeanSquaredError, MinMax, Range
from tests.compress.quantize.observers.arrays import normal


def error(values: np.ndarray, found: Range, bits: int) -> float:
    """Mean square of what rounding to 2^bits evenly spaced values, zero among them, changes."""
    step = (found.high - found.low) / (2**bits - 1)
    zero = round(-found.low / step)
    integers = np.clip(np.rint(values / step) + zero, 0, 2**bits - 1)
    return float(np.mean(((integers - zero) * step - values) ** 2))


def best_by_search(values: np.ndarray, bits: int) -> float:
    """The least error of all ranges on a grid."""
    ends = np.linspace(0.02, 1, 50)
    low, high = min(values.min(), 0), max(values.max(), 0)
    return min(error(values, Range(low * a, high * b), bits) for a in (ends if low else [1]) for b in ends)


TENSORS = {
    "normal": normal(20_000),
    "relu": np.maximum(normal(20_000), 0),
    "heavy tail": np.sign(normal(20_000)) * normal(20_000, 1) ** 4,
    "uneven": np.where(normal(20_000) < 0, normal(20_000, 1) / 8, normal(20_000, 2) ** 2).astype(np.float32),
    "one outlier": np.append(normal(20_000), np.float32(60)),
}


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("values", TENSORS.values(), ids=TENSORS)
def test_close_to_the_best_range(values: np.ndarray, bits: int) -> None:
    """Within 5 %: the model of the error is exact only for many steps."""
    observer, histogram = MeanSquaredError(bits), Histogram()
    histogram.update(values)
    assert error(values, observer.result(histogram), bits) <= 1.05 * best_by_search(values, bits)


def test_better_than_min_max_where_there_are_outliers() -> None:
    values = TENSORS["heavy tail"]
    histogram, extremes = Histogram(), MinMax().needs()
    histogram.update(values)
    extremes.update(values)
    clipped, full = MeanSquaredError(4).result(histogram), MinMax().result(extremes)
    assert error(values, clipped, 4) < 0.8 * error(values, full, 4)
