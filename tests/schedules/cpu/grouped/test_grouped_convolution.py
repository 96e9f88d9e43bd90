"""The grouped convolution against PyTorch in float64: groups that fill vectors, share them, and cross them."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from edgecompile.convolution import Convolution
from edgecompile.target import find_target
from schedules.cpu import CpuImplementations
from schedules.cpu.grouped.config import GroupedConfig
from schedules.cpu.grouped.formula import pack_grouped
from tests.schedules.cpu.convolutions import check, run


def odd_problems() -> list[Convolution]:
    """Inputs and outputs of a group, and groups: every kind of vector, with strides, borders and dilations in turns."""
    groups = [
        *((7, 7, 2), (13, 1, 3), (1, 2, 17), (1, 3, 31), (17, 31, 2), (31, 13, 3), (5, 24, 2)),  # no whole vectors
        *((1, 2, 16), (1, 4, 32), (2, 2, 16), (4, 4, 8), (4, 4, 32), (8, 4, 8), (8, 8, 8), (2, 8, 4)),  # shared ones
        *((16, 16, 2), (32, 48, 3), (24, 80, 2), (20, 40, 4), (1, 16, 13), (3, 32, 7)),  # whole ones
    ]
    sizes = itertools.cycle([(1, 1), (7, 5), (13, 15), (8, 14), (3, 31)])
    kernels = itertools.cycle([(3, 3), (1, 1), (5, 5), (1, 3), (2, 2)])
    strides = itertools.cycle([(1, 1), (1, 1), (2, 2), (3, 1)])
    paddings = itertools.cycle([(1, 1, 1, 1), (4, 4, 4, 4), (3, 3, 4, 3)])
    dilations = itertools.cycle([(1, 1), (1, 1), (1, 1), (1, 2), (2, 1), (1, 1)])
    problems = []
    for at, (inputs, outputs, count) in enumerate(groups):
        (height, width), kernel, padding, dilation = next(sizes), next(kernels), next(paddings), next(dilations)
        pads = (0, 0, 0, 0) if kernel == (1, 1) else padding
        least = 1 if kernel == (1, 1) else 3  # with its borders the image holds the kernel
        shape = (1 + at % 2, inputs * count, outputs * count, max(height, least), max(width, least))
        problems.append(Convolution(*shape, kernel, next(strides), pads, dilation, count))
    return problems


@pytest.mark.parametrize("problem", odd_problems(), ids=str)
def test_odd_sizes(problem: Convolution) -> None:
    target = find_target("host")
    block = CpuImplementations(target.cpu).block(problem.in_channels)
    for way in CpuImplementations(target.cpu).convolutions(problem, block):
        check(*run(problem, target, way_name=way.name))


@pytest.mark.parametrize("target", ["host,vector_bytes=32,vector_registers=16", "host,vector_bytes=16,features=asimd"])
@pytest.mark.parametrize("problem", odd_problems()[::4], ids=str)
def test_shorter_vectors(problem: Convolution, target: str) -> None:
    check(*run(problem, find_target(target)))


def test_groups_of_resnext() -> None:
    """One width of every stage of ResNeXt-50 32x4d: groups of four by shuffles, larger ones without."""
    facts = find_target("host,vector_bytes=64,vector_registers=32").cpu
    names = []
    for width in (128, 256, 512, 1024):
        problem = Convolution(1, width, width, 14, 14, (3, 3), (1, 1), (1, 1, 1, 1), (1, 1), 32)
        ways = CpuImplementations(facts).convolutions(problem, 16)
        names.append(min(ways, key=lambda way: way.cycles).name.split()[0])
    assert names == ["conv2d_grouped_shuffled", "conv2d_grouped", "conv2d_grouped", "conv2d_grouped"]


def test_no_shuffle_where_a_vector_splits_groups() -> None:
    facts = find_target("host").cpu
    problem = Convolution(1, 21, 21, 5, 5, (3, 3), groups=3)
    assert GroupedConfig.choose(problem, 21, shuffles=True, facts=facts) is None


def test_tiles_leave_room_in_the_registers() -> None:
    for vector_bytes, registers in ((64, 32), (32, 16)):
        facts = find_target(f"host,vector_bytes={vector_bytes},vector_registers={registers}").cpu
        for problem in odd_problems():
            block = CpuImplementations(facts).block(problem.in_channels)
            config = GroupedConfig.choose(problem, block, shuffles=False, facts=facts)
            assert config is not None and config.rows * config.vectors + config.vectors < registers


def test_packed_weight_has_zeros_across_groups() -> None:
    problem = Convolution(1, 4, 6, 5, 5, (1, 2), groups=2)
    config = GroupedConfig(rows=1, vectors=1, lanes=4, span=4, shuffles=False)
    weight = np.arange(1, 6 * 2 * 2 + 1, dtype=np.float32).reshape(6, 2, 1, 2)
    packed = pack_grouped(weight, problem, config)
    assert packed.shape == (2, 1, 2, 4, 4)
    assert packed[0, 0, 1, 1, 2] == weight[2, 1, 0, 1] and not packed[0, :, :, 2:, 2].any()
    assert packed[0, 0, 0, 3, 3] == weight[3, 1, 0, 0] and not packed[0, :, :, :2, 3].any()
    assert packed[1, 0, 1, 2, 1] == weight[5, 0, 0, 1] and not packed[1, :, :, :, 2:].any()
