"""Sums that `vpmaddubsw` saturates, on every instruction for x86: bit for bit those of integers without an end.

Bytes of 255 meet pairs of weights of the same sign, so that two products leave the 16 bits that the instruction adds
them in. Tools that use it for weights of eight bits answer something else here.
"""

from __future__ import annotations

import platform
import re

import numpy as np
import pytest

from edgecompile.convolution import Convolution
from edgecompile.target import Target, find_target
from schedules.cpu import CpuImplementations
from tests.schedules.cpu.integer_kernels import convolve, from_blocks, placeholders, run
from tests.schedules.cpu.integers.test_integer_convolution import AVX2, SHORT, TARGETS, target_with
from tests.schedules.cpu.kernels import to_blocks
from tests.schedules.cpu.test_inner_loops import assembly

pytestmark = pytest.mark.skipif(platform.machine() != "x86_64", reason="the target `host` is this machine")

AVX_VNNI = (
    "host,vector_bytes=32,vector_registers=16,features=avx2:avx_vnni:fma:sse4_1,"
    "llvm_cpu=x86-64-v3,llvm_features=+avxvnni:-avx512f"
)
PATHS = [
    *((instruction, name, 127) for instruction, name in TARGETS.items()),
    ("vpdpbusd", SHORT["vpdpbusd"][0], 127),
    ("vpdpbusd", AVX_VNNI, 127),
    ("vpmaddwd", SHORT["vpmaddwd"][0], 127),
    ("vpmaddubsw", f"host,{AVX2}", 63),
    ("vpmaddubsw", f"host,{AVX2}", 64),
    ("vpmaddubsw", "host,vector_bytes=16,vector_registers=16,features=avx2:sse4_1", 64),
    ("vpmaddubsw", "host,vector_bytes=64,features=avx2:avx512bw:avx512vl:sse4_1", 64),
]
PROBLEMS = [
    Convolution(1, 32, 32, 5, 6),
    Convolution(1, 16, 16, 6, 5, (3, 3), (1, 1), (1, 1, 1, 1)),
    Convolution(1, 32, 32, 6, 7, (3, 3), (1, 1), (1, 1, 1, 1), groups=32),
]


def target_of(instruction: str, name: str, size: int) -> Target:
    target = target_with(name, instruction, -size)
    if "avx_vnni" in name and "avx_vnni" not in find_target("host").cpu.features:
        pytest.skip("this machine has no AVX-VNNI")
    return target


def extremes(problem: Convolution, size: int) -> tuple[np.ndarray, np.ndarray]:
    """x of 127, which is 255 without a sign, and weights of the same sign for pairs of channels, or of taps."""
    x = np.full((1, problem.in_channels, problem.height, problem.width), 127, np.int8)
    signs = np.resize([1, 1, -1, -1, 1, 1], problem.kernel[1] if problem.is_depthwise else problem.in_channels)
    shape = (problem.out_channels, problem.group_channels, *problem.kernel)
    weight = (size * (signs if problem.is_depthwise else signs[:, None, None])) * np.ones(shape)
    weight[::2] = size
    weight[1::4] = -size
    return x, weight.astype(np.int8)


def saturating_sums(x: np.ndarray, weight: np.ndarray, zero_point: int) -> np.ndarray:
    """What `vpmaddubsw` makes of a matrix product: x `[rows, C]`, weight `[K, C]`, both int8 -> `[rows, K]`."""
    unsigned = x.astype(np.int64) + 128
    pairs = (unsigned[:, None] * weight.astype(np.int64)[None]).reshape(len(x), len(weight), -1, 2).sum(-1)
    return np.clip(pairs, -(2**15), 2**15 - 1).sum(-1) - (128 + zero_point) * weight.sum(-1, dtype=np.int64)


CASES = [
    *((problem, *path) for problem in PROBLEMS[:1] for path in PATHS),
    *((problem, *path) for problem in PROBLEMS[1:] for path in PATHS[:5]),
]


@pytest.mark.parametrize(("problem", "instruction", "name", "size"), CASES, ids=str)
def test_no_sum_saturates(problem: Convolution, instruction: str, name: str, size: int) -> None:
    target = target_of(instruction, name, size)
    x, weight = extremes(problem, size)
    block = CpuImplementations(target.cpu).integer_block(problem.in_channels)
    way = CpuImplementations(target.cpu).integer_convolutions(problem, -128, block, -size)[0]
    assert instruction in way.name or problem.is_depthwise
    arrays = [to_blocks(x, block), *way.pack(weight)]
    sources = placeholders(arrays)
    got = run(sources, way.compute(*sources), arrays, target, np.int32)
    np.testing.assert_array_equal(from_blocks(got), convolve(x, weight, -128, problem))


def test_saturating_instruction_answers_otherwise() -> None:
    """These factors tell exact sums from others: full weights saturate, those of seven bits do not."""
    for size, is_exact in ((127, False), (65, False), (64, True), (63, True)):
        x, weight = extremes(PROBLEMS[0], size)
        rows = x[0].reshape(32, -1).T
        exact = (rows.astype(np.int64) + 128) @ weight[:, :, 0, 0].T.astype(np.int64)
        assert np.array_equal(saturating_sums(rows, weight[:, :, 0, 0], -128), exact) == is_exact


def test_full_weights_never_meet_it() -> None:
    """Nor do those that are short on one side only."""
    offered = CpuImplementations(find_target(f"host,{AVX2}").cpu)
    problem = PROBLEMS[0]
    names = [offered.integer_convolutions(problem, 0, 16, lowest)[0].name for lowest in (-128, -127, -65, -64, 0)]
    assert ["vpmaddubsw" in name for name in names] == [False, False, False, True, True]
    way = offered.integer_convolutions(problem, 0, 16, -64)[0]
    with pytest.raises(AssertionError):
        way.pack(np.full((32, 32, 1, 1), 65, np.int8))


def test_avx_vnni_is_used() -> None:
    """In the encoding that CPUs without AVX-512 know."""
    target = find_target(f"{AVX_VNNI},num_cores=1")
    way = CpuImplementations(target.cpu).integer_convolutions(PROBLEMS[0], 0, 16, -127)[0]
    shapes = [(1, 2, 5, 6, 16), *(array.shape for array in way.pack(np.zeros((32, 32, 1, 1), np.int8)))]
    text = assembly(way, shapes, target, ["int8", "int8", "int32"])
    assert re.search(r"\{vex\}\s+vpdpbusd\s.*ymm", text)
    assert "zmm" not in text and "{1to" not in text
