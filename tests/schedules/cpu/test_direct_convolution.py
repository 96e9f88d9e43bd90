"""The direct convolution against PyTorch in float64: odd channels, images, strides, paddings and dilations."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
import torch
import tvm
from tvm import te, tirx

from edgecompile.convolution import Convolution
from edgecompile.passes.blocked_tensors import blocked_shape
from edgecompile.target import CpuFacts, Target, find_target
from schedules.cpu import CpuImplementations, Template
from schedules.cpu.direct_config import DirectConfig
from schedules.cpu.direct_formula import pack_weight
from schedules.cpu.implementations import EMITTERS
from targets.cpu.object_code import tvm_target

# Sums of up to some thousand products in float32.
TOLERANCE = 1e-5


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


def run(
    problem: Convolution, target: Target, *, plain_input: bool = False, chunk: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """`relu(conv(x, w) + bias) * residual` by the template, and by PyTorch in float64."""
    facts = target.cpu
    block = CpuImplementations(facts).block
    in_block = 1 if plain_input else block(problem.in_channels)
    out_block = block(problem.out_channels)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((problem.batch, problem.in_channels, problem.height, problem.width), np.float32)
    weight = rng.standard_normal((problem.out_channels, problem.in_channels, *problem.kernel), np.float32)
    bias = rng.standard_normal(problem.out_channels, np.float32)
    (way,) = CpuImplementations(facts).convolutions(problem, None if plain_input else in_block)
    packed = way.pack(weight)
    given = x if plain_input else to_blocks(x, in_block)
    shape = (problem.batch, problem.out_channels, problem.out_height, problem.out_width)
    residual = rng.standard_normal(shape, np.float32)
    extents = [[tirx.IntImm("int64", n) for n in array.shape] for array in (given, packed)]
    source, weights = te.placeholder(extents[0], name="x"), te.placeholder(extents[1], name="w")
    result = way.compute(source, weights)
    shift = te.placeholder([1, result.shape[1], 1, 1, out_block], name="bias")
    other = te.placeholder(result.shape, name="residual")
    total = te.compute(result.shape, lambda n, c, h, w, b: result[n, c, h, w, b] + shift[0, c, 0, 0, b])
    final = te.compute(result.shape, lambda *i: tirx.max(total[i], tirx.const(0.0)) * other[i])
    function = te.create_prim_func([source, weights, shift, other, final])
    function = function.with_attr("global_symbol", "main").with_attr("tirx.noalias", True)
    schedule = Template(EMITTERS).apply(function, target)
    assert schedule is not None
    compiled = tvm.compile(schedule.mod, target=tvm_target(target))
    out = np.full([int(extent) for extent in result.shape], np.nan, np.float32)
    arguments = [given, packed, to_blocks(bias.reshape(1, -1, 1, 1), out_block), to_blocks(residual, out_block), out]
    tensors = [tvm.runtime.tensor(np.ascontiguousarray(array)) for array in arguments]
    compiled["main"](*tensors)
    top, left, bottom, right = problem.padding
    padded = torch.nn.functional.pad(torch.from_numpy(x).double(), (left, right, top, bottom))
    kernel = torch.from_numpy(weight).double()
    expected = torch.nn.functional.conv2d(
        padded, kernel, torch.from_numpy(bias).double(), problem.strides, 0, problem.dilations
    )
    got = tensors[-1].numpy().transpose(0, 1, 4, 2, 3).reshape(shape)
    return got, expected.relu().numpy() * residual


def to_blocks(array: np.ndarray, block: int) -> np.ndarray:
    """`[N, C, H, W]` -> `[N, C/b, H, W, b]`."""
    n, blocks, h, w, b = blocked_shape(array.shape, block)
    return np.ascontiguousarray(array.reshape(n, blocks, b, h, w).transpose(0, 1, 3, 4, 2))


def check(got: np.ndarray, expected: np.ndarray) -> None:
    """Both agree within the rounding of float32 sums."""
    np.testing.assert_allclose(got, expected, rtol=0, atol=TOLERANCE * max(1.0, float(np.abs(expected).max())))


@pytest.mark.parametrize("problem", odd_problems(), ids=str)
def test_odd_sizes(problem: Convolution) -> None:
    check(*run(problem, find_target("host")))


@pytest.mark.parametrize("vector_bytes", [16, 32])
@pytest.mark.parametrize("problem", odd_problems()[::7], ids=str)
def test_shorter_vectors(problem: Convolution, vector_bytes: int) -> None:
    check(*run(problem, find_target(f"host,vector_bytes={vector_bytes},vector_registers=16")))


def test_plain_input() -> None:
    check(*run(Convolution(2, 3, 32, 23, 31, (7, 7), (2, 2), (3, 3, 3, 3)), find_target("host"), plain_input=True))


def test_input_channels_in_chunks() -> None:
    """A cache too small for the weights: partial sums wait in the result."""
    target = find_target("host,l2_bytes=65536,l1d_bytes=32768")
    problem = Convolution(1, 128, 96, 9, 17, (3, 3), (1, 1), (1, 1, 1, 1))
    config = DirectConfig.choose(problem, CpuImplementations(target.cpu).block(128), target.cpu)
    assert config.chunk < 128 // CpuImplementations(target.cpu).block(128)
    check(*run(problem, target))


def test_tile_leaves_room_in_the_registers() -> None:
    facts = find_target("host").cpu
    for registers, channels in itertools.product((16, 32), (1, 24, 64, 96, 1000)):
        few = dataclasses.replace(facts, vector_registers=registers)
        config = DirectConfig.choose(Convolution(1, 16, channels, 56, 56, (3, 3)), 16, few)
        assert config.rows * config.vectors + config.vectors < registers
        assert -(-channels // config.lanes) % config.vectors == 0


def test_packed_weight() -> None:
    config = DirectConfig(rows=2, vectors=1, lanes=4, chunk=1, pixels_outside=True)
    weight = np.arange(3 * 4 * 1 * 2, dtype=np.float32).reshape(3, 4, 1, 2)
    packed = pack_weight(weight, 2, config)
    assert packed.shape == (1, 2, 1, 2, 2, 4)
    assert packed[0, 1, 0, 1, 0, 2] == weight[2, 2, 0, 1]
    assert not packed[..., 3].any()


def test_groups_are_refused() -> None:
    facts: CpuFacts = find_target("host").cpu
    assert not CpuImplementations(facts).convolutions(Convolution(1, 8, 8, 5, 5, (3, 3), groups=2), 8)
