"""Winograd convolution: its matrices exactly, its loops against PyTorch in float64, and when it is refused."""

from __future__ import annotations

import dataclasses
import itertools
import math

import numpy as np
import pytest

from edgecompile.convolution import Convolution
from edgecompile.target import find_target
from schedules.cpu import CpuImplementations
from schedules.cpu.winograd_error import LIMIT, error_ratio
from schedules.cpu.winograd_matrices import POINTS, transforms
from tests.schedules.cpu.convolutions import check, run

# Four lanes on every host: what is tested is the template, not the width.
HOST = "host,vector_bytes=16,vector_registers=16"


@pytest.mark.parametrize("outputs", POINTS)
def test_matrices(outputs: int) -> None:
    rng = np.random.default_rng(0)
    d, g = rng.standard_normal(outputs + 2), rng.standard_normal(3)
    matrices = transforms(outputs)
    got = matrices.output @ ((matrices.weight @ g) * (matrices.input @ d))
    np.testing.assert_allclose(got, np.correlate(d, g, "valid"), rtol=0, atol=1e-12)
    assert np.array_equal(matrices.input, np.round(matrices.input))


def odd_problems() -> list[Convolution]:
    paddings = itertools.cycle([(1, 1, 1, 1), (0, 0, 0, 0), (2, 0, 1, 3), (0, 1, 2, 0)])
    problems = []
    for (height, width), (c, k) in itertools.product(
        [(3, 3), (4, 7), (8, 8), (13, 15), (31, 5)], [(4, 4), (16, 32), (12, 20)]
    ):
        problems.append(Convolution(1 + height % 2, c, k, height, width, (3, 3), padding=next(paddings)))
    return problems


@pytest.mark.parametrize(
    ("outputs", "problem"),
    [(outputs, problem) for outputs, step in ((2, 2), (4, 1), (6, 4)) for problem in odd_problems()[::step]],
    ids=str,
)
def test_odd_sizes(outputs: int, problem: Convolution) -> None:
    check(*run(problem, find_target(HOST), way_name=f"conv2d_winograd F({outputs}"))


@pytest.mark.parametrize("outputs", POINTS)
def test_whole_vectors_of_this_machine(outputs: int) -> None:
    problem = Convolution(1, 64, 32, 28, 28, (3, 3), padding=(1, 1, 1, 1))
    check(*run(problem, find_target("host"), way_name=f"conv2d_winograd F({outputs}"))


def test_refused() -> None:
    facts = find_target("host,vector_bytes=16,vector_registers=16").cpu
    plain = Convolution(1, 16, 16, 8, 8, (3, 3), padding=(1, 1, 1, 1))
    others = [
        dataclasses.replace(plain, strides=(2, 2)),
        dataclasses.replace(plain, dilations=(2, 2)),
        dataclasses.replace(plain, kernel=(5, 3)),
        dataclasses.replace(plain, in_channels=6),
        dataclasses.replace(plain, out_channels=6),
    ]
    offered = CpuImplementations(facts, error_limit=math.inf)
    count = [len(offered.convolutions(p, offered.block(p.in_channels))) for p in (plain, *others)]
    assert count == [1 + len(POINTS), 1, 1, 1, 1, 1]


@pytest.mark.parametrize(
    ("channels", "pixels", "expected"), [(64, 56, "F(4"), (128, 28, "F(4"), (256, 14, "F(2"), (512, 7, "F(2")]
)
def test_the_estimate_chooses_as_measured(channels: int, pixels: int, expected: str) -> None:
    """Few pixels cannot pay for weights that are four times as large; as timed on a Zen 5 server."""
    facts = find_target("host,vector_bytes=64,vector_registers=32,l1d_bytes=49152,l2_bytes=1048576").cpu
    problem = Convolution(1, channels, channels, pixels, pixels, (3, 3), padding=(1, 1, 1, 1))
    ways = CpuImplementations(facts).convolutions(problem, 16)
    assert min(ways, key=lambda way: way.cycles).name.startswith(f"conv2d_winograd {expected}")


def test_refused_where_it_rounds_too_much() -> None:
    """F(6,3) is right, and beyond the limit for any number of channels; F(4,3) never is."""
    for channels in (16, 64, 256, 512, 4096):
        assert max(error_ratio(channels, 2), error_ratio(channels, 4)) < LIMIT < error_ratio(channels, 6)
    problem = Convolution(1, 64, 64, 56, 56, (3, 3), padding=(1, 1, 1, 1))
    offered = CpuImplementations(find_target("host").cpu)
    names = [way.name for way in offered.convolutions(problem, offered.block(64))]
    assert any("F(4,3)" in name for name in names) and not any("F(6,3)" in name for name in names)


@pytest.mark.parametrize("outputs", POINTS)
def test_the_error_of_a_layer_is_the_stated_one(outputs: int) -> None:
    """Beside a direct sum in parts of 144 products, as ONNX Runtime makes it; the model may be off by a half."""
    rng = np.random.default_rng(0)
    channels, count = 64, 64
    x = rng.standard_normal((count, channels, outputs + 2, outputs + 2)).astype(np.float32)
    w = rng.standard_normal((channels, 3, 3)).astype(np.float32)
    windows = np.lib.stride_tricks.sliding_window_view(x, (3, 3), (2, 3))
    exact = np.einsum("nchwij,cij->nhw", windows.astype(np.float64), w.astype(np.float64))
    products = np.moveaxis(windows * w[:, None, None], 1, 3).reshape(count, outputs, outputs, -1)
    direct = sum(
        np.add.accumulate(products[..., start : start + 144], axis=-1, dtype=np.float32)[..., -1]
        for start in range(0, products.shape[-1], 144)
    )
    matrices = transforms(outputs)
    left, right = (matrix.astype(np.float32) for matrix in (matrices.input, matrices.output))
    v = left @ x @ left.T
    u = (matrices.weight @ w.astype(np.float64) @ matrices.weight.T).astype(np.float32)
    summed = np.add.accumulate(v * u, axis=1, dtype=np.float32)[:, -1]
    got = right @ summed @ right.T
    ratio = np.sqrt(np.mean((got - exact) ** 2) / np.mean((direct - exact) ** 2))
    assert 1 / 1.5 < ratio / error_ratio(channels, outputs) < 1.5
