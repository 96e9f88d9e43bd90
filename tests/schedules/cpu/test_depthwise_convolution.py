"""The depthwise convolution against PyTorch in float64."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from edgecompile.convolution import Convolution
from edgecompile.target import find_target
from schedules.cpu.depthwise_convolution import DepthwiseConfig, pack_depthwise
from tests.schedules.cpu.convolutions import check, run


def odd_problems() -> list[Convolution]:
    """Kernels of three sizes, strides of one to three, uneven borders, images from one pixel on."""
    sizes = itertools.cycle([(1, 1), (7, 5), (13, 15), (8, 14), (15, 31)])
    kernels = itertools.cycle([(3, 3), (5, 5), (1, 3), (2, 2)])
    strides = itertools.cycle([(1, 1), (2, 2), (3, 1), (1, 3)])
    dilations = itertools.cycle([(1, 1), (1, 1), (1, 1), (2, 2), (1, 2)])
    problems = []
    for channels, padding in itertools.product((7, 13, 16, 17, 24, 31, 96), ((1, 1, 1, 1), (4, 4, 4, 4), (2, 3, 4, 2))):
        height, width = next(sizes)
        problems.append(
            Convolution(
                1 + channels % 2,
                channels,
                channels,
                height,
                width,
                next(kernels),
                next(strides),
                padding,
                next(dilations),
                channels,
            )
        )
    return problems


@pytest.mark.parametrize("problem", odd_problems(), ids=str)
def test_odd_sizes(problem: Convolution) -> None:
    check(*run(problem, find_target("host")))


@pytest.mark.parametrize("problem", odd_problems()[::5], ids=str)
def test_short_vectors(problem: Convolution) -> None:
    check(*run(problem, find_target("host,vector_bytes=16,vector_registers=16")))


def test_tiles_come_out_even() -> None:
    facts = find_target("host,vector_bytes=32,vector_registers=16").cpu
    problem = Convolution(1, 8, 8, 56, 56, (3, 3), padding=(1, 1, 1, 1), groups=8)
    assert DepthwiseConfig.choose(problem, 8, facts) == DepthwiseConfig(rows=8, lanes=8)


def test_packed_weight() -> None:
    packed = pack_depthwise(np.arange(4 * 2 * 3, dtype=np.float32).reshape(4, 1, 2, 3), 2)
    assert packed.shape == (2, 2, 3, 2)
    assert packed[1, 0, 2, 1] == 3 * 6 + 2
