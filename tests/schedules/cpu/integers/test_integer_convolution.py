"""The integer convolution against NumPy in int64, bit for bit: odd channels, images, strides, paddings, dilations."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest

from edgecompile.convolution import Convolution
from edgecompile.target import Target, find_target
from schedules.cpu import CpuImplementations
from schedules.cpu.integers.borders import BorderKinds, corrections
from schedules.cpu.integers.config import IntegerConfig, registers_needed
from schedules.cpu.integers.formula import pack_integer_weight
from schedules.cpu.integers.groups import merge_groups, merge_weight
from schedules.cpu.integers.ways import dot_products
from tests.schedules.cpu.direct.test_direct_convolution import odd_problems
from tests.schedules.cpu.integer_kernels import LOWEST_WEIGHT, check, check_product, integer_way

AVX2 = "vector_bytes=32,vector_registers=16,features=avx2:fma:sse4_1"
# By the instruction that each uses; every x86-64 machine with AVX2 runs the second.
TARGETS = {"vpdpbusd": "host", "vpmaddwd": f"host,{AVX2}"}
SHORT = {
    "vpdpbusd": ["host,vector_bytes=32,vector_registers=16", "host,vector_bytes=16"],
    "vpmaddwd": [
        "host,vector_bytes=16,vector_registers=16,features=sse4_1",
        "host,vector_bytes=64,features=avx2:avx512bw:avx512vl:sse4_1",
    ],
}


def target_with(name: str, instruction: str, lowest_weight: int = LOWEST_WEIGHT) -> Target:
    """The target, where this machine has the instruction that it is to use for such weights."""
    features = find_target("host").cpu.features
    target = find_target(name)
    needed = {16: "sse4_1", 32: "avx2", 64: "avx512bw"}[target.cpu.vector_bytes]
    names = [dot.name for dot in dot_products(target.cpu) if dot.lowest_weight <= lowest_weight]
    if needed not in features or names[:1] != [instruction]:
        pytest.skip(f"this machine has no {instruction} of {target.cpu.vector_bytes} bytes")
    return target


ODD = [*itertools.product(["vpdpbusd"], odd_problems()[::3]), *itertools.product(["vpmaddwd"], odd_problems()[1::3])]


@pytest.mark.parametrize(("instruction", "problem"), ODD, ids=str)
def test_odd_sizes(instruction: str, problem: Convolution) -> None:
    zero_point = (problem.in_channels * 37 + problem.out_channels * 11) % 256 - 128
    check(problem, target_with(TARGETS[instruction], instruction), zero_point)


@pytest.mark.parametrize(
    ("instruction", "name"), [(instruction, name) for instruction, names in SHORT.items() for name in names]
)
@pytest.mark.parametrize("problem", odd_problems()[5::15], ids=str)
def test_other_vectors(problem: Convolution, instruction: str, name: str) -> None:
    check(problem, target_with(name, instruction), 5)


@pytest.mark.parametrize("instruction", TARGETS)
@pytest.mark.parametrize("zero_point", [-128, 127, 0])
def test_extreme_zero_points(zero_point: int, instruction: str) -> None:
    """Sums of -128 * -127 and 127 * 127, far beyond 16 bits: an instruction that saturates would lose them."""
    problem = Convolution(1, 32, 48, 9, 11, (3, 3), (1, 1), (1, 1, 1, 1))
    check(problem, target_with(TARGETS[instruction], instruction), zero_point)


@pytest.mark.parametrize("instruction", TARGETS)
def test_input_in_larger_blocks_than_channels(instruction: str) -> None:
    """A first layer: the fourth channel of each pixel holds anything."""
    problem = Convolution(2, 3, 32, 23, 31, (7, 7), (2, 2), (3, 3, 3, 3))
    check(problem, target_with(TARGETS[instruction], instruction), -7, in_block=4)


@pytest.mark.parametrize("instruction", TARGETS)
@pytest.mark.parametrize("num_cores", [1, 3])
def test_panels_outside_of_pixels(num_cores: int, instruction: str) -> None:
    """Weights too large for the cache stay there while all pixels use them; each core has its own lines and tiles."""
    caches = f"l2_bytes=65536,l1d_bytes=32768,num_cores={num_cores}"
    target = target_with(f"{TARGETS[instruction]},{caches}", instruction)
    for problem in (
        Convolution(1, 128, 96, 9, 7, (3, 3), (1, 1), (1, 1, 1, 1)),
        Convolution(2, 256, 272, 5, 7),
    ):
        way = integer_way(problem, target, 3, 16)
        assert '"pixels_outside": false' in way.key
        check(problem, target, 3)


@pytest.mark.parametrize("instruction", TARGETS)
@pytest.mark.parametrize(("rows", "inner", "columns"), [((1,), 64, 10), ((2, 5), 77, 33), ((2, 3, 7), 197, 64)])
def test_products(rows: tuple[int, ...], inner: int, columns: int, instruction: str) -> None:
    check_product(rows, inner, columns, target_with(TARGETS[instruction], instruction), -9)


GROUPED = [
    Convolution(1, 64, 64, 6, 7, (3, 3), (1, 1), (1, 1, 1, 1), groups=16),  # of four channels, four in a block
    Convolution(2, 64, 128, 5, 6, (3, 3), (2, 2), (1, 1, 0, 2), groups=2),
    Convolution(1, 96, 32, 4, 9, groups=2),
    Convolution(1, 12, 20, 5, 5, (3, 3), (1, 1), (1, 1, 1, 1), groups=4),  # no whole blocks: one group
    Convolution(1, 16, 32, 5, 6, (3, 3), (1, 1), (1, 1, 1, 1), groups=16),  # two results for each channel
]


@pytest.mark.parametrize(
    ("problem", "instruction"), [*((p, "vpdpbusd") for p in GROUPED), (GROUPED[0], "vpmaddwd")], ids=str
)
def test_groups(problem: Convolution, instruction: str) -> None:
    check(problem, target_with(TARGETS[instruction], instruction), 9)


def test_merged_groups() -> None:
    assert [merge_groups(problem, 16, 16).groups for problem in GROUPED[:3]] == [4, 2, 2]
    weight = np.arange(1, 9, dtype=np.int8).reshape(4, 2, 1, 1)
    merged = merge_weight(weight, Convolution(1, 4, 4, 1, 1, groups=1))
    np.testing.assert_array_equal(merged[:, :, 0, 0], [[1, 2, 0, 0], [3, 4, 0, 0], [0, 0, 5, 6], [0, 0, 7, 8]])


def test_cpu_without_vectors_is_refused() -> None:
    offered = CpuImplementations(dataclasses.replace(find_target("host").cpu, features=()))
    assert not offered.integer_convolutions(Convolution(1, 8, 8, 5, 5), 0, 8, -127)
    assert not offered.integer_products((5,), Convolution(1, 8, 8, 1, 5), 0, -127)


def test_blocks() -> None:
    block = CpuImplementations(find_target("host").cpu).integer_block
    assert [block(channels) for channels in (16, 48, 24, 3, 1000)] == [16, 16, 24, 3, 1000]
    block = CpuImplementations(find_target("armv9").cpu).integer_block  # a step of a matrix instruction
    assert [block(channels) for channels in (16, 48, 24, 3, 1000)] == [8, 8, 8, 3, 8]


def test_border_kinds() -> None:
    problem = Convolution(1, 1, 1, 9, 2, (5, 3), (2, 1), (3, 1, 1, 1), (1, 1))
    lines, columns = (BorderKinds.along(problem, axis) for axis in (0, 1))
    assert [lines.of(line) for line in range(problem.out_height)] == [0, 1, 2, 2, 3]
    assert [columns.of(column) for column in range(problem.out_width)] == [0, 1]
    assert [lines.of(lines.example(kind)) for kind in range(lines.count)] == [0, 1, 2, 3]


def test_corrections() -> None:
    weight = np.full((1, 2, 3, 3), 3, np.int8)
    found = corrections(weight, Convolution(1, 2, 1, 5, 5, (3, 3), (1, 1), (1, 1, 1, 1)), 10)
    np.testing.assert_array_equal(found[..., 0], -60 * np.outer([2, 3, 2], [2, 3, 2]))


def test_tile_leaves_room_in_the_registers() -> None:
    facts = find_target("host").cpu
    for dot, channels, pixels in itertools.product(dot_products(facts), (1, 24, 64, 96, 1000), (7, 14, 56)):
        problem = Convolution(1, 16, channels, pixels, pixels, (3, 3))
        config = IntegerConfig.choose(problem, 16, dot, facts)
        assert registers_needed(config.rows, config.vectors, dot, 1, problem) <= facts.vector_registers
        assert -(-channels // config.lanes) % config.vectors == 0


def test_packed_weight() -> None:
    facts = dataclasses.replace(find_target("host").cpu, vector_bytes=16, features=("sse4_1",))
    (dot,) = dot_products(facts)
    config = IntegerConfig("vpmaddwd", rows=2, vectors=1, lanes=4, pixels_outside=True)
    weight = np.arange(5 * 3 * 1 * 2, dtype=np.int8).reshape(5, 3, 1, 2)
    packed = pack_integer_weight(weight, 3, config, dot)
    assert packed.shape == (2, 1, 1, 2, 2, 1, 8)  # three channels are two pairs
    assert packed[0, 0, 0, 1, 0, 0, 2 * 3 + 1] == weight[3, 1, 0, 1]
    assert packed[1, 0, 0, 0, 1, 0, 0] == weight[4, 2, 0, 0]
    assert not packed[..., 1, :, 1::2].any() and not packed[1, ..., 2:].any()
