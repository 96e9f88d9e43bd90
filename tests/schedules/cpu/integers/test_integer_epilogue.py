"""The packed epilogue of integer kernels against NumPy, bit for bit: requantization, residual sum, what follows."""

from __future__ import annotations

import dataclasses
from functools import partial

import numpy as np
import pytest
from tvm import te

from edgecompile.convolution import Convolution
from edgecompile.integer import FixedPoint, formulas
from edgecompile.integer.requantization import scale_array
from edgecompile.target import Target
from schedules.cpu import CpuImplementations
from tests.schedules.cpu.integer_kernels import convolve, factors, from_blocks, integer_way, placeholders, run
from tests.schedules.cpu.integers.test_integer_convolution import SHORT, TARGETS, target_with
from tests.schedules.cpu.kernels import to_blocks

PROBLEMS = [
    Convolution(1, 16, 32, 9, 11, (3, 3), (1, 1), (1, 1, 1, 1)),
    Convolution(2, 32, 80, 5, 7),
    Convolution(1, 20, 24, 3, 3),
    Convolution(1, 16, 10, 1, 5),
    Convolution(1, 32, 32, 9, 11, (3, 3), (1, 1), (1, 1, 1, 1), groups=32),
    Convolution(1, 24, 24, 6, 6, (3, 3), (2, 2), (1, 1, 1, 1), groups=24),
]


@dataclasses.dataclass(frozen=True)
class Ending:
    """What follows the sums: bounds, a residual sum on one side, a cast to int32."""

    low: int = -128
    high: int = 127
    residual: str = ""  # "left" or "right" of the sum
    is_scalar: bool = False
    is_cast: bool = False
    is_narrow: bool = False


ENDINGS = [
    Ending(),
    Ending(low=-11, high=90, is_scalar=True),
    Ending(residual="right", low=-100),
    Ending(residual="left", low=3, is_cast=True),
    Ending(residual="right", low=-100, is_scalar=True, is_narrow=True),
]


CASES = [
    *((problem, *target) for problem in PROBLEMS for target in TARGETS.items()),
    (PROBLEMS[1], "vpdpbusd", SHORT["vpdpbusd"][0]),
]


@pytest.mark.parametrize(("problem", "instruction", "name"), CASES, ids=str)
def test_endings(problem: Convolution, instruction: str, name: str) -> None:
    target = target_with(name, instruction)
    for number, ending in enumerate(ENDINGS):
        check(problem, ending, target, seed=number)


def check(problem: Convolution, ending: Ending, target: Target, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, weight = factors(problem, rng)
    offered = CpuImplementations(target.cpu)
    block, out_block = offered.integer_block(problem.in_channels), offered.integer_block(problem.out_channels)
    sums = convolve(x, weight, 5, problem)
    real = 150 / np.abs(sums).max() * rng.uniform(0.4, 1.6, () if ending.is_scalar else problem.out_channels)
    factor = FixedPoint.of(real)
    assert factor.is_short
    along = (lambda table: table) if ending.is_scalar else (lambda table: table.reshape(1, -1, 1, 1))
    expected = np.clip(
        scale_array(sums, along(factor.multiplier), along(factor.shift)) - 7, ending.low, ending.high
    ).astype(np.int8)
    way = integer_way(problem, target, 5, block)
    arrays = [to_blocks(x, block), *way.pack(weight), factor.multiplier, factor.places]
    sources = placeholders(arrays)
    channel = formulas.channel_of_blocks(out_block)
    result = formulas.requantize(
        way.compute(*sources[:3]),
        sources[3],
        sources[4],
        channel,
        0,
        -7,
        ending.low,
        ending.high,
        "int8",
        is_short=True,
        is_narrow=ending.is_narrow,
    )
    if ending.residual:
        # Equal halves of both sides: ties, on both sides of zero.
        residual = rng.integers(-128, 128, expected.shape, dtype=np.int8)
        add = partial(formulas.add, shift=15, zero_point=2, low=ending.low, high=127)
        arrays.append(to_blocks(residual, out_block))
        sources += placeholders(arrays[-1:])
        pair = [result, sources[-1]]
        total = (expected.astype(np.int64) + 7) * 16384 + (residual.astype(np.int64) - 4) * 8192
        if ending.residual == "left":
            result = add(*pair[::-1], multipliers=(8192, 16384), zero_points=(4, -7))
        else:
            result = add(*pair, multipliers=(16384, 8192), zero_points=(-7, 4))
        scaled = scale_array(total, np.array(1), np.array(15))
        assert (total % 2**15 == 2**14).any()
        expected = np.clip(scaled + 2, ending.low, 127).astype(np.int8)
    if ending.is_cast:
        bytes_ = result
        result = te.compute(bytes_.shape, lambda *i: bytes_(*i).astype("int32") * 3, name="cast")
        expected = expected.astype(np.int32) * 3
    got = run(sources, result, arrays, target, expected.dtype.type)
    np.testing.assert_array_equal(from_blocks(got), expected)
