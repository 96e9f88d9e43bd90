"""Pooling against NumPy in float64."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest

from edgecompile.convolution import Convolution
from edgecompile.pooling import Pooling, PoolingKind
from edgecompile.target import find_target
from schedules.cpu import CpuImplementations
from tests.schedules.cpu.convolutions import check
from tests.schedules.cpu.integer_kernels import from_blocks, placeholders
from tests.schedules.cpu.integer_kernels import run as run_kernel
from tests.schedules.cpu.kernels import run_with_epilogue, to_blocks


def windows(channels: int, height: int, width: int, *numbers: tuple[int, ...]) -> Convolution:
    return Convolution(1 + channels % 2, channels, channels, height, width, *numbers, groups=channels)  # type: ignore[arg-type]


def odd_problems() -> list[Pooling]:
    """Windows of four sizes, strides of one to three, uneven borders, images from one pixel on."""
    kinds: itertools.cycle[PoolingKind] = itertools.cycle(["max", "average"])
    counts = itertools.cycle([True, False, False])
    sizes = itertools.cycle([(1, 1), (7, 5), (13, 15), (8, 14), (15, 31)])
    kernels = itertools.cycle([(3, 3), (5, 5), (1, 3), (2, 2)])
    strides = itertools.cycle([(1, 1), (2, 2), (3, 1), (1, 3), (2, 2)])
    paddings = itertools.cycle([(1, 1, 1, 1), (4, 4, 4, 4), (2, 3, 4, 2), (4, 4, 5, 7)])
    dilations = itertools.cycle([(1, 1), (1, 1), (1, 1), (2, 2), (1, 2)])
    return [
        Pooling(
            next(kinds),
            windows(channels, *next(sizes), next(kernels), next(strides), next(paddings), next(dilations)),
            next(counts),
        )
        for channels in (1, 7, 13, 16, 17, 24, 31, 96)
        for _ in range(3)
    ]


def expected(x: np.ndarray, pooling: Pooling) -> np.ndarray:
    """By the definition, window by window."""
    problem = pooling.windows
    top, left, _, _ = problem.padding
    shape = (*x.shape[:2], problem.out_height, problem.out_width)
    found = np.zeros(shape)
    for h, w in itertools.product(range(problem.out_height), range(problem.out_width)):
        rows = h * problem.strides[0] - top + np.arange(problem.kernel[0]) * problem.dilations[0]
        columns = w * problem.strides[1] - left + np.arange(problem.kernel[1]) * problem.dilations[1]
        rows, columns = rows[(rows >= 0) & (rows < problem.height)], columns[(columns >= 0) & (columns < problem.width)]
        met = x[:, :, rows][:, :, :, columns].astype(np.float64).reshape(*x.shape[:2], -1)
        if pooling.kind == "max":
            found[:, :, h, w] = met.max(axis=-1, initial=np.finfo(np.float32).min)
        else:
            count = np.prod(problem.kernel) if pooling.counts_padding else max(1, met.shape[-1])
            found[:, :, h, w] = met.sum(axis=-1) / count
    return found


def run(pooling: Pooling, target_name: str) -> None:
    """`max(pool(x), residual) * residual` by the template and by NumPy."""
    target = find_target(target_name)
    offers = CpuImplementations(target.cpu)
    problem = pooling.windows
    rng = np.random.default_rng(0)
    x = rng.standard_normal((problem.batch, problem.in_channels, problem.height, problem.width), np.float32) - 1
    residual = rng.standard_normal((*x.shape[:2], problem.out_height, problem.out_width), np.float32)
    block = offers.block(problem.in_channels)
    (way,) = offers.poolings(pooling, block)
    got = run_with_epilogue(way.compute, [to_blocks(x, block)], residual, target)
    check(got, np.maximum(expected(x, pooling), residual) * residual)


@pytest.mark.parametrize("pooling", odd_problems(), ids=str)
def test_odd_sizes(pooling: Pooling) -> None:
    run(pooling, "host")


@pytest.mark.parametrize("target", ["host,vector_bytes=32,vector_registers=16", "host,vector_bytes=16"])
@pytest.mark.parametrize("pooling", odd_problems()[::5], ids=str)
def test_shorter_vectors(pooling: Pooling, target: str) -> None:
    run(pooling, target)


@pytest.mark.parametrize("kind", ["max", "average"])
@pytest.mark.parametrize("size", [(1, 1), (7, 7), (13, 15), (9, 31)])
def test_whole_images(kind: PoolingKind, size: tuple[int, int]) -> None:
    run(Pooling(kind, windows(31, *size, size, size)), "host")


def test_wide_windows_over_the_border_are_refused() -> None:
    offers = CpuImplementations(find_target("host").cpu)
    assert not offers.poolings(Pooling("max", windows(16, 31, 31, (17, 17), (1, 1), (8, 8, 8, 8))), 16)
    assert offers.poolings(Pooling("max", windows(16, 31, 31, (17, 17), (1, 1))), 16)


@pytest.mark.parametrize("target_name", ["host", "host,vector_bytes=32,vector_registers=16"])
@pytest.mark.parametrize("pooling", [pooling for pooling in odd_problems() if pooling.kind == "max"][::2], ids=str)
def test_bytes(pooling: Pooling, target_name: str) -> None:
    """Maxima of int8 in their own blocks; a window that lies in the padding answers the least of them."""
    target, problem = find_target(target_name), pooling.windows
    offers = CpuImplementations(target.cpu)
    shape = (problem.batch, problem.in_channels, problem.height, problem.width)
    x = np.random.default_rng(0).integers(-128, 128, shape, dtype=np.int8)
    block = offers.integer_block(problem.in_channels)
    (way,) = offers.poolings(dataclasses.replace(pooling, dtype="int8"), block)
    arrays = [to_blocks(x, block)]
    sources = placeholders(arrays)
    got = from_blocks(run_kernel(sources, way.compute(*sources), arrays, target, np.int8))
    np.testing.assert_array_equal(got, np.clip(expected(x, pooling), -128, 127).astype(np.int8))
