"""Winograd convolution of bytes: the bits of NumPy's direct sums in int64, and when it is refused or chosen."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
import tvm
from tvm import te

from edgecompile.convolution import Convolution
from edgecompile.target import find_target
from schedules.cpu import CpuImplementations
from schedules.cpu.integers.winograd_matrices import (
    WHOLE_POINTS,
    integer_transforms,
    is_exact,
    transform_integer_weight,
)
from schedules.cpu.integers.winograd_ways import word_products
from targets.cpu.object_code import tvm_target
from tests.schedules.cpu.integer_kernels import check, integer_way, placeholders
from tests.schedules.cpu.integers.test_integer_convolution import AVX2, target_with

# By the instruction that the direct way uses, and of how many bytes.
TARGETS = {
    "AVX2": ("vpmaddwd", f"host,num_cores=1,{AVX2}"),
    "AVX2 on three cores": ("vpmaddwd", f"host,num_cores=3,l2_bytes=65536,l1d_bytes=32768,{AVX2}"),
    "SSE4.1": ("vpmaddwd", "host,vector_bytes=16,vector_registers=16,features=sse4_1"),
    "AVX-512BW": ("vpmaddwd", "host,vector_bytes=64,features=avx2:avx512bw:avx512vl:sse4_1"),
    "VNNI": ("vpdpbusd", "host"),
}
LAYER = Convolution(1, 64, 64, 56, 56, (3, 3), (1, 1), (1, 1, 1, 1))
VNNI = "vector_bytes=64,vector_registers=32,features=avx512_vnni:avx512vl:sse4_1"
SERVER = "l1d_bytes=49152,l2_bytes=1048576,num_cores=1"


def way_name(outputs: int) -> str:
    return f"conv2d_int8_winograd F({outputs},3)"


def odd_problems() -> list[Convolution]:
    paddings = itertools.cycle([(1, 1, 1, 1), (0, 0, 0, 0), (2, 0, 1, 3), (0, 1, 2, 0)])
    sizes = [(3, 3), (4, 7), (8, 8), (13, 15), (31, 5)]
    channels = [(16, 16), (24, 20), (6, 40), (128, 48)]
    return [
        Convolution(1 + height % 2, c, k, height, width, (3, 3), padding=next(paddings))
        for (height, width), (c, k) in itertools.product(sizes, channels)
    ]


@pytest.mark.parametrize("outputs", WHOLE_POINTS)
def test_matrices_give_whole_multiples(outputs: int) -> None:
    matrices = integer_transforms(outputs)
    d, g = np.random.default_rng(0).integers(-128, 128, (2, outputs + 2))
    terms = (matrices.weight @ g[:3]) * (matrices.input @ d)
    expected = np.correlate(d, g[:3], "valid")
    scale = int((matrices.output @ terms)[0] // expected[0])
    np.testing.assert_array_equal(matrices.output @ terms, scale * expected)
    square = scale**2
    assert (square >> matrices.shift) % 2 == 1
    assert (square >> matrices.shift) * matrices.inverse % 2**32 == 1


def test_limits() -> None:
    assert [integer_transforms(outputs).limit for outputs in WHOLE_POINTS] == [2**29, 2**25]
    assert is_exact(4, 2**18 - 1) and not is_exact(4, 2**18)


@pytest.mark.parametrize("outputs", WHOLE_POINTS)
def test_transformed_bytes_fit_in_words(outputs: int) -> None:
    weight = np.random.default_rng(0).choice(np.array([-128, 127], np.int8), (64, 64, 3, 3))
    weight[0] = -128
    matrix = integer_transforms(outputs).weight
    exact = np.einsum("ri,kcij,sj->kcrs", matrix, weight.astype(np.int64), matrix)
    np.testing.assert_array_equal(transform_integer_weight(weight, outputs), exact)
    assert (np.abs(integer_transforms(outputs).input).sum(axis=1).max() ** 2) * 128 < 2**15


ODD = [*((2, odd_problems()[at]) for at in (5, 14)), *((4, odd_problems()[at]) for at in (2, 7, 9, 16))]


@pytest.mark.parametrize(("outputs", "problem"), ODD, ids=str)
def test_odd_sizes(outputs: int, problem: Convolution) -> None:
    instruction, name = TARGETS["AVX2"]
    zero_point = (problem.in_channels * 37 + problem.height * 11) % 256 - 128
    check(problem, target_with(name, instruction), zero_point, name=way_name(outputs), alone=False)


@pytest.mark.parametrize(("outputs", "name"), [(2, "VNNI"), *((4, name) for name in list(TARGETS)[1:])])
def test_other_instructions(outputs: int, name: str) -> None:
    instruction, target = TARGETS[name]
    problem = Convolution(1, 32, 48, 15, 9, (3, 3), padding=(1, 1, 1, 1))
    check(problem, target_with(target, instruction), 5, name=way_name(outputs), alone=False)


@pytest.mark.parametrize("outputs", WHOLE_POINTS)
@pytest.mark.parametrize("zero_point", [-128, 127])
def test_the_largest_sums(outputs: int, zero_point: int) -> None:
    """All factors at the ends of their ranges: sums of 255 * 127 * 9 * 224, and terms of F(4,3) beyond 32 bits."""
    instruction, name = TARGETS["AVX2"]
    problem = Convolution(1, 224, 16, 7, 6, (3, 3), padding=(1, 1, 1, 1))
    rng = np.random.default_rng(0)
    x = np.full((1, 224, 7, 6), -128 if zero_point > 0 else 127, np.int8)
    weight = rng.choice(np.array([-127, 127], np.int8), (16, 224, 3, 3))
    weight[:4] = [[[[127]]], [[[-127]]], [[[127]]], [[[-127]]]]
    check(problem, target_with(name, instruction), zero_point, name=way_name(outputs), arrays=(x, weight))


@pytest.mark.parametrize(("outputs", "channels"), [(2, (24, 20)), (4, (16, 40))])
def test_packing_at_load_is_packing(outputs: int, channels: tuple[int, int]) -> None:
    instruction, name = TARGETS["AVX2"]
    target = target_with(name, instruction)
    problem = Convolution(1, *channels, 8, 8, (3, 3), padding=(1, 1, 1, 1))
    way = integer_way(problem, target, 5, 8, way_name(outputs), 2**17)
    weight = np.random.default_rng(0).integers(-128, 128, (channels[1], channels[0], 3, 3)).astype(np.int8)
    weight[0] = -128
    expected, *others = way.pack(weight)
    assert way.at_load is not None
    arrays = [way.at_load.move(weight), *way.at_load.tables]
    sources = placeholders(arrays)
    result = way.at_load.compute(*sources)
    kernel = tvm.compile(te.create_prim_func([*sources, result]), target=tvm_target(target))
    tensors = [tvm.runtime.tensor(array) for array in (*arrays, np.zeros_like(expected))]
    kernel(*tensors)
    np.testing.assert_array_equal(tensors[-1].numpy(), expected)
    assert arrays[0].dtype == np.int8
    for got, beside in zip(way.at_load.others(weight), others, strict=True):
        np.testing.assert_array_equal(got, beside)


def test_refused_where_sums_may_be_too_large() -> None:
    facts = find_target(TARGETS["AVX2"][1]).cpu
    problem = dataclasses.replace(LAYER, in_channels=240)

    def outputs(offered: CpuImplementations, weight_sum: int | None) -> list[str]:
        ways = offered.integer_convolutions(problem, 0, 16, -127, weight_sum)
        assert all("F(4,3) sums below 33554432" in way.note for way in ways) == (len(ways) == 2)
        return [way.name.split()[1] for way in ways[1:]]

    offered = CpuImplementations(facts)
    assert outputs(offered, None) == ["F(2,3)"]  # 240 * 9 * 127 is above 2^18
    assert outputs(offered, 2**18) == ["F(2,3)"]
    assert outputs(offered, 2**18 - 1) == ["F(2,3)", "F(4,3)"]
    ways = offered.integer_convolutions(problem, 0, 16, -127, 2**18 - 1)
    with pytest.raises(AssertionError):
        ways[2].pack(np.full((64, 240, 3, 3), 127, np.int8))


def test_refused() -> None:
    facts = find_target(TARGETS["AVX2"][1]).cpu
    plain = Convolution(1, 32, 32, 8, 8, (3, 3), padding=(1, 1, 1, 1))
    others = [
        dataclasses.replace(plain, strides=(2, 2)),
        dataclasses.replace(plain, dilations=(2, 2)),
        dataclasses.replace(plain, kernel=(5, 3)),
        dataclasses.replace(plain, in_channels=7),
    ]
    offered = CpuImplementations(facts)

    def count(problem: Convolution) -> int:
        return len(offered.integer_convolutions(problem, 0, offered.integer_block(problem.in_channels), -127))

    assert [count(problem) for problem in (plain, *others)] == [3, 1, 1, 1, 1]
    (direct,) = CpuImplementations(facts, prefer="size").integer_convolutions(plain, 0, 16, -127)
    assert "size is preferred" in direct.note
    assert not word_products(dataclasses.replace(facts, features=()))


@pytest.mark.parametrize(
    ("name", "channels", "pixels", "expected"),
    [
        (f"host,{SERVER},{AVX2}", 64, 56, "winograd F(4"),
        (f"host,{SERVER},{AVX2}", 512, 7, "winograd F(2"),
        (
            f"host,{SERVER},vector_bytes=64,vector_registers=32,features=avx512_vnni:avx512vl:sse4_1",
            128,
            28,
            "winograd F(4",
        ),
        (f"host,{SERVER},vector_bytes=64,vector_registers=32,features=avx512_vnni:avx512vl:sse4_1", 512, 7, "vpdpbusd"),
        ("rpi4", 64, 56, "winograd F(4"),
        ("rpi5", 64, 56, "sdot"),
    ],
)
def test_the_estimate_chooses_as_measured(name: str, channels: int, pixels: int, expected: str) -> None:
    """As timed on a Zen 5 server and counted for Cortex-A72; `sdot` multiplies four times as much as `smlal`."""
    problem = dataclasses.replace(LAYER, in_channels=channels, out_channels=channels, height=pixels, width=pixels)
    ways = CpuImplementations(find_target(name).cpu).integer_convolutions(problem, 0, 16, -127, channels * 9 * 28)
    assert expected in min(ways, key=lambda way: way.cycles).name
