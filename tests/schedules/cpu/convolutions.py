"""One convolution with an epilogue, by a template and by PyTorch."""

from __future__ import annotations

import math

import numpy as np
import torch
import tvm
from tvm import te, tirx

from edgecompile.convolution import Convolution
from edgecompile.target import Target
from schedules.cpu import CpuImplementations, Template
from schedules.cpu.implementations import EMITTERS
from targets.cpu.object_code import tvm_target
from tests.schedules.cpu.kernels import to_blocks

# Sums of up to some thousand products in float32.
TOLERANCE = 1e-5


def run(
    problem: Convolution, target: Target, *, plain_input: bool = False, way_name: str = "", way_key: str = ""
) -> tuple[np.ndarray, np.ndarray]:
    """`relu(conv(x, w) + bias) * residual` by the first template whose name begins so, and by PyTorch in float64.

    `way_key` names a template with other numbers than its own choice.
    """
    offered = CpuImplementations(target.cpu, variants=bool(way_key), error_limit=math.inf)
    block = offered.block
    in_block = 1 if plain_input else block(problem.in_channels)
    out_block = block(problem.out_channels)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((problem.batch, problem.in_channels, problem.height, problem.width), np.float32)
    weight = rng.standard_normal((problem.out_channels, problem.group_channels, *problem.kernel), np.float32)
    bias = rng.standard_normal(problem.out_channels, np.float32)
    ways = offered.convolutions(problem, None if plain_input else in_block)
    way = next(way for way in ways if way.name.startswith(way_name) and way.key.endswith(way_key))
    packed = way.pack(weight)
    given = x if plain_input else to_blocks(x, in_block)
    shape = (problem.batch, problem.out_channels, problem.out_height, problem.out_width)
    residual = rng.standard_normal(shape, np.float32)
    extents = [[tirx.IntImm("int64", n) for n in array.shape] for array in (given, *packed)]
    sources = [te.placeholder(extent, name=f"x{at}") for at, extent in enumerate(extents)]
    result = way.compute(*sources)
    shift = te.placeholder([1, result.shape[1], 1, 1, out_block], name="bias")
    other = te.placeholder(result.shape, name="residual")
    total = te.compute(result.shape, lambda n, c, h, w, b: result[n, c, h, w, b] + shift[0, c, 0, 0, b])
    final = te.compute(result.shape, lambda *i: tirx.max(total[i], tirx.const(0.0)) * other[i])
    function = te.create_prim_func([*sources, shift, other, final])
    function = function.with_attr("global_symbol", "main").with_attr("tirx.noalias", True)
    schedule = Template(EMITTERS).apply(function, target)
    assert schedule is not None
    compiled = tvm.compile(schedule.mod, target=tvm_target(target))
    out = np.full([int(extent) for extent in result.shape], np.nan, np.float32)
    arguments = [given, *packed, to_blocks(bias.reshape(1, -1, 1, 1), out_block), to_blocks(residual, out_block), out]
    tensors = [tvm.runtime.tensor(np.ascontiguousarray(array)) for array in arguments]
    compiled["main"](*tensors)
    top, left, bottom, right = problem.padding
    padded = torch.nn.functional.pad(torch.from_numpy(x).double(), (left, right, top, bottom))
    kernel = torch.from_numpy(weight).double()
    expected = torch.nn.functional.conv2d(
        padded, kernel, torch.from_numpy(bias).double(), problem.strides, 0, problem.dilations, problem.groups
    )
    got = tensors[-1].numpy().transpose(0, 1, 4, 2, 3).reshape(shape)
    return got, expected.relu().numpy() * residual


def check(got: np.ndarray, expected: np.ndarray) -> None:
    """Both agree within the rounding of float32 sums."""
    np.testing.assert_allclose(got, expected, rtol=0, atol=TOLERANCE * max(1.0, float(np.abs(expected).max())))
