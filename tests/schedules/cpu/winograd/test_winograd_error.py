"""The estimate of Winograd's error beside measured errors, and what it allows."""

from __future__ import annotations

import numpy as np
import pytest

from edgecompile.convolution import Convolution
from edgecompile.target import find_target
from schedules.cpu import CpuImplementations
from schedules.cpu.winograd.error import LIMIT, REFERENCE_SUM, error_growth, error_ratio
from schedules.cpu.winograd.matrices import POINTS
from tests.schedules.cpu.convolutions import run


def direct_error(channels: int) -> float:
    """The relative error of float32 sums of 9 * channels products of normal numbers, by parts of `REFERENCE_SUM`."""
    rng = np.random.default_rng(1)
    products = rng.standard_normal((2, 4000, channels * 9)).astype(np.float32).prod(0)
    parts = np.cumsum(products.reshape(4000, -1, REFERENCE_SUM), axis=2, dtype=np.float32)[:, :, -1]
    sums = np.cumsum(parts, axis=1, dtype=np.float32)[:, -1]
    exact = products.astype(np.float64).sum(1)
    return relative_error(sums, exact)


def relative_error(got: np.ndarray, exact: np.ndarray) -> float:
    return float(np.sqrt(np.mean((got - exact) ** 2) / np.mean(exact**2)))


@pytest.mark.parametrize("channels", [64, 256])
@pytest.mark.parametrize("outputs", POINTS)
def test_the_estimate_is_what_kernels_have(channels: int, outputs: int) -> None:
    problem = Convolution(1, channels, 16, 24, 24, (3, 3), padding=(1, 1, 1, 1))
    got, exact = run(problem, find_target("host"), way_name=f"conv2d_winograd F({outputs}")
    measured = relative_error(got, exact) / direct_error(channels)
    # The spread over random inputs.
    assert measured == pytest.approx(error_ratio(channels, outputs), rel=0.25)


@pytest.mark.parametrize("channels", [4, 16, 64, 128, 512, 2048])
def test_what_is_allowed(channels: int) -> None:
    ratios = [error_ratio(channels, outputs) for outputs in POINTS]
    assert [ratio <= LIMIT for ratio in ratios] == [True, True, False]


def test_short_sums_are_what_allows_the_transform_of_four() -> None:
    assert error_ratio(4096, 4, longest_sum=4096) > LIMIT > error_ratio(4096, 4)


def test_the_refused_transform_is_named() -> None:
    problem = Convolution(1, 64, 64, 56, 56, (3, 3), padding=(1, 1, 1, 1))
    offered = CpuImplementations(find_target("host").cpu)
    ways = offered.convolutions(problem, offered.block(64))
    assert any("F(4,3)" in way.name for way in ways) and not any("F(6,3)" in way.name for way in ways)
    assert all("F(6,3) refused: " in way.note for way in ways)


def test_growth_without_differences_of_large_sums() -> None:
    """F(2,3) by hand: rows of A, B and G have the squares (1, 2, 2, 1), (2, 2, 2, 2) and (1, 3/4, 3/4, 1)."""
    assert error_growth(2) == pytest.approx((1 * 2 * 1 + 2 * 2 * 0.75 + 2 * 2 * 0.75 + 1 * 2 * 1) / 6)
