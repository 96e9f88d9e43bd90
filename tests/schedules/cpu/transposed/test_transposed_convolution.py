"""The transposed convolution against PyTorch in float64."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from edgecompile.target import find_target
from edgecompile.transposed_convolution import TransposedConvolution
from schedules.cpu import CpuImplementations
from tests.schedules.cpu.convolutions import check
from tests.schedules.cpu.kernels import run_with_epilogue, to_blocks


def odd_problems() -> list[TransposedConvolution]:
    """Kernels smaller than, equal to and larger than strides of one to three; what is cut off and added takes turns."""
    sizes = itertools.cycle([(1, 1), (7, 5), (13, 15), (8, 14)])
    kernels = itertools.cycle([(2, 2), (3, 3), (4, 4), (1, 2), (5, 3), (3, 3), (2, 1)])
    strides = itertools.cycle([(2, 2), (2, 2), (2, 2), (3, 1), (1, 2), (1, 1), (3, 3), (2, 3)])
    cuts = itertools.cycle([(0, 0, 0, 0), (1, 1, 1, 1), (0, 1, 2, 0), (1, 0, 0, 2)])
    dilations = itertools.cycle([(1, 1), (1, 1), (1, 1), (2, 1), (2, 2), (1, 3)])
    problems = []
    for c, k in itertools.product((1, 7, 13, 31, 48), (1, 13, 17, 24, 48)):
        (height, width), kernel, stride, dilation = next(sizes), next(kernels), next(strides), next(dilations)
        cut = next(cuts)
        smallest = min(height, width) == 1 or 1 in kernel
        cut, added = ((0, 0, 0, 0), (0, 1)) if smallest and stride[1] > 1 else (cut, (0, 0))
        if smallest and stride[1] == 1:
            height, width, cut = height + 1, width + 1, (0, 0, 0, 0)
        problems.append(TransposedConvolution(1 + c % 2, c, k, height, width, kernel, stride, cut, dilation, added))
    return problems


def run(problem: TransposedConvolution, target_name: str) -> tuple[np.ndarray, np.ndarray]:
    """`max(conv_transpose(x, w), residual) * residual` by the template and by PyTorch in float64."""
    target = find_target(target_name)
    offers = CpuImplementations(target.cpu)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((problem.batch, problem.in_channels, problem.height, problem.width), np.float32)
    weight = rng.standard_normal((problem.in_channels, problem.out_channels, *problem.kernel), np.float32)
    shape = (problem.batch, problem.out_channels, problem.out_height, problem.out_width)
    residual = rng.standard_normal(shape, np.float32)
    block = offers.block(problem.in_channels)
    (way,) = offers.transposed_convolutions(problem, block)
    got = run_with_epilogue(way.compute, [to_blocks(x, block), *way.pack(weight)], residual, target)
    full = torch.nn.functional.conv_transpose2d(
        torch.from_numpy(x).double(),
        torch.from_numpy(weight).double(),
        None,
        problem.strides,
        0,
        0,
        1,
        problem.dilations,
    )
    top, left, bottom, right = problem.padding
    more = problem.output_padding
    expected = torch.nn.functional.pad(full, (-left, more[1] - right, -top, more[0] - bottom))
    return got, np.maximum(expected.numpy(), residual) * residual


@pytest.mark.parametrize("problem", odd_problems(), ids=str)
def test_odd_sizes(problem: TransposedConvolution) -> None:
    check(*run(problem, "host"))


@pytest.mark.parametrize("target", ["host,vector_bytes=32,vector_registers=16", "host,vector_bytes=16,features=asimd"])
@pytest.mark.parametrize("problem", odd_problems()[4::11], ids=str)
def test_shorter_vectors(problem: TransposedConvolution, target: str) -> None:
    check(*run(problem, target))


def test_input_channels_in_chunks() -> None:
    """A cache too small for the weights: partial sums wait in the result, pixel by pixel of a phase."""
    problem = TransposedConvolution(1, 128, 96, 9, 7, (4, 4), (2, 2), (1, 1, 1, 1))
    check(*run(problem, "host,l2_bytes=65536,l1d_bytes=32768"))
