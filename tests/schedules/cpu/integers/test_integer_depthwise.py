"""The integer depthwise convolution against NumPy in int64, bit for bit."""

from __future__ import annotations

import pytest

from edgecompile.convolution import Convolution
from edgecompile.target import find_target
from schedules.cpu.integers.depthwise_config import IntegerDepthwiseConfig
from tests.schedules.cpu.integer_kernels import check, integer_way
from tests.schedules.cpu.integers.test_integer_convolution import AVX2

PROBLEMS = [
    Convolution(1, 32, 32, 9, 11, (3, 3), (1, 1), (1, 1, 1, 1), groups=32),
    Convolution(2, 48, 48, 13, 14, (3, 3), (2, 2), (0, 0, 1, 1), groups=48),
    Convolution(1, 16, 16, 7, 7, (5, 5), (1, 1), (2, 2, 2, 2), groups=16),
    Convolution(1, 16, 16, 8, 15, (5, 5), (2, 2), (2, 2, 2, 2), groups=16),
    Convolution(1, 16, 16, 4, 4, (7, 7), (1, 1), (3, 3, 3, 3), groups=16),
    Convolution(1, 16, 16, 5, 6, (2, 1), (1, 3), (1, 5, 0, 6), groups=16),
    Convolution(1, 16, 16, 9, 40, (1, 4), (1, 1), groups=16),
    Convolution(1, 24, 24, 9, 5, (3, 3), (1, 1), (1, 1, 1, 1), groups=24),
    Convolution(1, 13, 13, 5, 9, (3, 3), (1, 1), (2, 2, 2, 2), (1, 2), groups=13),
    Convolution(1, 16, 16, 3, 3, (3, 3), (1, 1), (1, 1, 1, 1), groups=16),
]


@pytest.mark.parametrize("name", ["host", f"host,{AVX2}"])
@pytest.mark.parametrize("problem", PROBLEMS, ids=str)
def test_odd_sizes(problem: Convolution, name: str) -> None:
    check(problem, find_target(name), problem.width * 19 % 256 - 128)


@pytest.mark.board
@pytest.mark.parametrize("name", ["armv9", "rpi5", "armv7-neon"])
def test_on_a_board(name: str) -> None:
    for problem in [PROBLEMS[0], PROBLEMS[3], *PROBLEMS[-3:-1]]:
        check(problem, find_target(name), -5)


def test_taps_of_all_bytes_are_added_in_32_bits() -> None:
    """Two products of -128 by -128 are one more than 16 bits hold."""
    facts = find_target("rpi5").cpu
    taps = [IntegerDepthwiseConfig.choose(PROBLEMS[0], 16, facts, lowest).taps for lowest in (-127, -128)]
    assert taps == [2, 1]


def test_quads_where_they_fit() -> None:
    """Sixteen channels side by side, and images as wide as a quad, on CPUs with the instructions."""
    features = "features=avx2:avx512_vnni:avx512bw:avx512vbmi:avx512vl:sse4_1"
    quads = find_target(f"host,vector_bytes=64,vector_registers=32,{features}")
    names = [
        integer_way(problem, quads, 0, 16 if problem.in_channels % 16 == 0 else problem.in_channels).name
        for problem in PROBLEMS
    ]
    assert ["by quads" in name for name in names] == [True] * 7 + [False] * 3
    assert "by quads" not in integer_way(PROBLEMS[0], find_target("rpi5"), 0, 16).name


def test_pairs_where_they_fit() -> None:
    """Sixteen channels side by side, on CPUs with AVX2 and no more."""
    target = find_target(f"host,{AVX2}")
    blocks = [16 if problem.in_channels % 16 == 0 else problem.in_channels for problem in PROBLEMS]
    names = [integer_way(problem, target, 0, block).name for problem, block in zip(PROBLEMS, blocks, strict=True)]
    assert ["by pairs" in name for name in names] == [True] * 7 + [False] * 2 + [True]
    wide = find_target("host,vector_bytes=64,vector_registers=32,features=avx2:avx512bw:avx512vl:sse4_1")
    assert "by pairs" not in integer_way(PROBLEMS[0], wide, 0, 16).name
