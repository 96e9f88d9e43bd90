"""Entropy calibration: the divergence against its formula, and what it clips."""

from __future__ import annotations

import math

import numpy as np
import pytest

from edgecompile.compress.quantize.observers import Entropy, Histogram, Range
from edgecompile.compress.quantize.observers.entropy import divergence
from tests.compress.quantize.observers.arrays import normal


def entropy_range(values: np.ndarray, bits: int = 8) -> Range:
    histogram = Histogram()
    histogram.update(values)
    return Entropy(bits).result(histogram)


def slow_divergence(counts: np.ndarray, size: int, levels: int) -> float:
    """The formula, bin by bin."""
    p = [float(count) for count in counts[:size]]
    p[-1] += float(counts[size:].sum())
    q = [0.0] * size
    for level in range(levels):
        bins = range(level * size // levels, (level + 1) * size // levels)
        full = [bin for bin in bins if counts[bin] > 0]
        for bin in full:
            q[bin] = sum(float(counts[other]) for other in full) / len(full)

    def smooth(values: list[float]) -> list[float]:
        given, total = 1e-4 / size, sum(values)
        left = 1 - given * values.count(0.0)
        return [value / total * left if value else given for value in values]

    return sum(a * math.log(a / b) for a, b in zip(smooth(p), smooth(q), strict=True))


@pytest.mark.parametrize(("size", "levels"), [(64, 16), (61, 16), (37, 5), (16, 16), (64, 64)])
def test_divergence(size: int, levels: int) -> None:
    counts = np.random.default_rng(size).poisson(1.5, 64)
    assert divergence(counts, size, levels) == pytest.approx(slow_divergence(counts, size, levels), rel=1e-9)


def test_nothing_inside_diverges_without_bound() -> None:
    assert divergence(np.array([0, 0, 0, 5]), 2, 2) == math.inf


def test_no_loss_where_the_levels_are_the_bins() -> None:
    assert divergence(np.array([3, 0, 2, 5]), 4, 4) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_lone_outlier_is_clipped(sign: int) -> None:
    values = np.append(sign * np.abs(normal(50_000)), np.float32(sign * 100))
    found = entropy_range(values)
    far = found.high if sign > 0 else -found.low
    assert 3 < far < 15


def test_outliers_on_both_sides_are_clipped() -> None:
    found = entropy_range(np.append(normal(50_000), np.array([100, -100], np.float32)))
    assert found.low == -found.high
    assert 3 < found.high < 15


def test_even_values_are_not_clipped() -> None:
    values = np.random.default_rng(0).uniform(-1, 1, 200_000).astype(np.float32)
    found = entropy_range(values)
    assert found.high > 0.98
    assert found.low < -0.98


def test_zeros_change_nothing() -> None:
    values = normal(20_000)
    assert entropy_range(np.append(values, np.zeros(500_000, np.float32))) == entropy_range(values)


def test_with_sixteen_bits_nothing_is_clipped() -> None:
    values = np.append(normal(5000), np.float32(100))
    assert entropy_range(values, 16) == Range(float(values.min()), 100)
