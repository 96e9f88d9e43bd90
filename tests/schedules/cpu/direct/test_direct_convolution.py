"""The direct convolution against PyTorch in float64: odd channels, images, strides, paddings and dilations."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest

from edgecompile.convolution import Convolution
from edgecompile.target import find_target
from schedules.cpu import CpuImplementations
from schedules.cpu.direct.config import LONGEST_SUM, DirectConfig, product_block
from schedules.cpu.direct.formula import pack_weight
from tests.schedules.cpu.convolutions import check, run


def odd_problems() -> list[Convolution]:
    """Every channel count with images from one pixel on; strides, borders and dilations take turns."""
    shapes = itertools.cycle([(1, 1), (3, 5), (7, 7), (13, 8), (15, 15)])
    kernels = itertools.cycle([(3, 3), (1, 1), (5, 2), (2, 3)])
    strides = itertools.cycle([(1, 1), (2, 2), (3, 1), (1, 3), (2, 1)])
    paddings = itertools.cycle([(1, 1, 1, 1), (2, 0, 1, 3), (4, 4, 4, 4), (1, 2, 3, 0)])
    dilations = itertools.cycle([(1, 1), (1, 1), (2, 1), (1, 2)])
    channels = itertools.product((1, 7, 13, 17, 31, 48), repeat=2)
    problems = []
    for c, k in channels:
        height, width = next(shapes)
        kernel, dilation, padding = next(kernels), next(dilations), next(paddings)
        pointwise = kernel == (1, 1)
        padding = (0, 0, 0, 0) if pointwise and c % 2 else padding
        problem = {"kernel": kernel, "strides": next(strides), "padding": padding, "dilations": dilation}
        try:
            problems.append(Convolution(1 + c % 2, c, k, height, width, **problem))  # type: ignore[arg-type]
        except AssertionError:  # the kernel is larger than the padded image
            problems.append(Convolution(1, c, k, height + 9, width + 9, **problem))  # type: ignore[arg-type]
    return problems


@pytest.mark.parametrize("problem", odd_problems(), ids=str)
def test_odd_sizes(problem: Convolution) -> None:
    check(*run(problem, find_target("host")))


@pytest.mark.parametrize("vector_bytes", [16, 32])
@pytest.mark.parametrize("problem", odd_problems()[::7], ids=str)
def test_shorter_vectors(problem: Convolution, vector_bytes: int) -> None:
    check(*run(problem, find_target(f"host,vector_bytes={vector_bytes},vector_registers=16")))


@pytest.mark.parametrize("problem", odd_problems()[::5], ids=str)
def test_factors_by_lane(problem: Convolution) -> None:
    """The order of AArch64, on this machine: channels that are no whole number of vectors have single factors too."""
    check(*run(problem, find_target("host,vector_bytes=16,features=asimd")))


@pytest.mark.parametrize(
    "problem",
    [
        Convolution(2, 3, 32, 23, 31, (7, 7), (2, 2), (3, 3, 3, 3)),
        Convolution(1, 1, 13, 15, 15, (3, 3), (1, 1), (1, 2, 3, 0)),
        Convolution(1, 3, 16, 5, 1, (3, 5), (1, 3), (1, 4, 1, 4)),
        Convolution(1, 2, 8, 9, 13, (2, 3), (2, 1), (0, 2, 1, 3), (1, 2)),
        Convolution(1, 3, 7, 7, 8, (1, 4), (1, 5), (0, 1, 0, 0), (1, 1)),
        Convolution(1, 3, 24, 1, 1, (1, 1), (1, 1), (1, 1, 1, 1)),
    ],
    ids=str,
)
def test_pixels_by_lane(problem: Convolution) -> None:
    """Plain input on AArch64, in the order of its code on this machine: borders and pixels that are no whole vector."""
    check(*run(problem, find_target("host,vector_bytes=16,features=asimd"), plain_input=True))


def test_plain_input() -> None:
    check(*run(Convolution(2, 3, 32, 23, 31, (7, 7), (2, 2), (3, 3, 3, 3)), find_target("host"), plain_input=True))


def test_input_channels_in_chunks() -> None:
    """A cache too small for the weights: partial sums wait in the result."""
    target = find_target("host,l2_bytes=65536,l1d_bytes=32768")
    problem = Convolution(1, 128, 96, 9, 17, (3, 3), (1, 1), (1, 1, 1, 1))
    config = DirectConfig.choose(problem, CpuImplementations(target.cpu).block(128), target.cpu)
    assert config.chunk < 128 // CpuImplementations(target.cpu).block(128)
    check(*run(problem, target))


@pytest.mark.parametrize("l2_bytes", [65536, 1 << 20])
@pytest.mark.parametrize("shape", [(3072, 32, 1, 1), (2560, 40, 3, 5), (512, 16, 4, 5)])
def test_long_sums_are_made_by_parts(shape: tuple[int, int, int, int], l2_bytes: int) -> None:
    """The error of sums of thousands of products is that of `LONGEST_SUM`, with and without chunks for the cache."""
    c, k, height, width = shape
    size = 3 if c == 512 else 1
    target = find_target(f"host,l2_bytes={l2_bytes},l1d_bytes=32768")
    problem = Convolution(1, c, k, height, width, (size, size), padding=(size // 2,) * 4)
    got, expected = run(problem, target)
    products = c * size**2
    error = np.sqrt(np.mean((got - expected) ** 2) / np.mean(expected**2))
    # Each of n partial sums is rounded by up to 2^-24 of itself, on average by some 0.4 of that: sqrt(n / 2) of them.
    in_one_sum = 0.4 * 2**-24 * np.sqrt(products / 2)
    assert products > 2 * LONGEST_SUM and error < 0.6 * in_one_sum


@pytest.mark.parametrize(
    ("channels", "block"), [(768, 768), (25088, 896), (1040, 520), (30, 30), (1280, 640), (1153, 1153)]
)
def test_products_have_blocks_that_sums_can_end_behind(channels: int, block: int) -> None:
    assert product_block(channels) == block


def test_bands_of_lines_with_input_channels_in_chunks() -> None:
    """Each of several cores has its own lines, of one tile each, and comes back to them with every chunk."""
    target = find_target("host,l2_bytes=65536,l1d_bytes=32768,num_cores=3")
    check(*run(Convolution(1, 128, 32, 9, 7, (3, 3), (1, 1), (1, 1, 1, 1)), target, way_name="conv2d "))


def test_tile_leaves_room_in_the_registers() -> None:
    facts = find_target("host").cpu
    for registers, channels in itertools.product((16, 32), (1, 24, 64, 96, 1000)):
        few = dataclasses.replace(facts, vector_registers=registers)
        config = DirectConfig.choose(Convolution(1, 16, channels, 56, 56, (3, 3)), 16, few)
        assert config.rows * config.vectors + config.vectors < registers
        assert -(-channels // config.lanes) % config.vectors == 0


def test_tile_by_lane_leaves_room_in_the_registers() -> None:
    facts = find_target("rpi5").cpu
    for channels, pixels in itertools.product((4, 24, 64, 96, 1000), (7, 14, 56)):
        config = DirectConfig.choose(Convolution(1, 16, channels, pixels, pixels, (3, 3), (2, 2)), 4, facts)
        assert config.neighbours == config.lanes
        pixels_met = 2 * config.rows + 1  # by three columns of the kernel, in steps of two
        assert config.rows * config.vectors + pixels_met + 2 <= facts.vector_registers


def test_tile_of_pixels_by_lane_leaves_room_in_the_registers() -> None:
    facts = find_target("rpi5").cpu
    problem = Convolution(1, 3, 64, 224, 224, (7, 7), (2, 2), (3, 3, 3, 3))
    config = DirectConfig.choose(problem, 1, facts)
    pixels = 2 * (config.rows - 1) + 7
    assert config.neighbours == 4
    assert config.rows * config.vectors + -(-pixels // 4) + 2 <= facts.vector_registers


def test_packed_weight() -> None:
    config = DirectConfig(rows=2, vectors=1, lanes=4, chunk=1, pixels_outside=True)
    weight = np.arange(3 * 4 * 1 * 2, dtype=np.float32).reshape(3, 4, 1, 2)
    packed = pack_weight(weight, 2, config)
    assert packed.shape == (1, 2, 1, 2, 2, 4)
    assert packed[0, 1, 0, 1, 0, 2] == weight[2, 2, 0, 1]
    assert not packed[..., 3].any()


def test_groups_read_blocked_tensors_only() -> None:
    offered = CpuImplementations(find_target("host").cpu)
    problem = Convolution(1, 8, 8, 5, 5, (3, 3), groups=2)
    assert offered.convolutions(problem, 8)
    assert not offered.convolutions(problem, None)
