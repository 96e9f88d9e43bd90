"""The innermost loops of the integer convolution in assembly: operands and products, and nothing that is spilled."""

from __future__ import annotations

import platform
import re

import numpy as np
import pytest

from edgecompile.convolution import Convolution
from edgecompile.target import find_target
from schedules.cpu import CpuImplementations
from tests.schedules.cpu.integer_kernels import LOWEST_WEIGHT, integer_way
from tests.schedules.cpu.test_inner_loops import assembly, innermost_loops

VNNI = (
    "host,num_cores=1,vector_bytes=64,vector_registers=32,features=avx512_vnni:avx512vl:fma:sse4_1,"
    "llvm_cpu=x86-64-v4,llvm_features=+avx512vnni:-prefer-256-bit"
)
AVX2 = (
    "host,num_cores=1,vector_bytes=32,vector_registers=16,features=avx2:fma:sse4_1,"
    "llvm_cpu=x86-64-v3,llvm_features=-avx512f"
)
POINTWISE = Convolution(1, 256, 64, 56, 56)
SPATIAL = Convolution(1, 128, 128, 28, 28, (3, 3), (1, 1), (1, 1, 1, 1))


def hot_loop(problem: Convolution, name: str, product: str) -> list[str]:
    """The loop with the most of a product among those that spill nothing."""
    return max(kept_loops(problem, name), key=lambda loop: sum(bool(re.match(product, line)) for line in loop))


def kept_loops(problem: Convolution, name: str, in_block: int | None = None) -> list[list[str]]:
    """Those that spill nothing."""
    target = find_target(name)
    block = in_block or CpuImplementations(target.cpu).integer_block(problem.in_channels)
    way = integer_way(problem, target, -3, block)
    packed = way.pack(np.zeros((problem.out_channels, problem.in_channels, *problem.kernel), np.int8))
    shape = (1, -(-problem.in_channels // block), problem.height, problem.width, block)
    text = assembly(way, [shape, *(array.shape for array in packed)], target, ["int8", "int8", "int32"])
    return [loop for loop in innermost_loops(text) if not any(is_spilled(line) for line in loop)]


def is_spilled(line: str) -> bool:
    """True for a use of the stack other than spreading factors that were widened there."""
    return ("%rsp" in line or "[sp" in line) and not line.startswith("vpbroadcastd")


def share(loop: list[str], product: str) -> float:
    return sum(bool(re.match(product, line)) for line in loop) / len(loop)


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the target `host` is this machine")
@pytest.mark.parametrize("problem", [POINTWISE, SPATIAL], ids=str)
def test_vpdpbusd(problem: Convolution) -> None:
    """Factors are loaded, spread and flipped by one instruction, for each row of the tile."""
    loop = hot_loop(problem, VNNI, "vpdpbusd")
    assert share(loop, r"vpdpbusd\s.*zmm") > 0.6, "\n".join(loop)
    assert any(re.match(r"v(pxord|xorps)\s.*\{1to16\}", line) for line in loop)
    assert not any(line.startswith(("vpbroadcast", "vmovd\t", "vpshuf", "vperm")) for line in loop)


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the target `host` is this machine")
@pytest.mark.parametrize("problem", [POINTWISE, SPATIAL], ids=str)
def test_vpmaddwd(problem: Convolution) -> None:
    """Each product is two instructions; weights are widened as they are loaded."""
    loop = hot_loop(problem, AVX2, "vpmaddwd")
    assert share(loop, "vpmaddwd") > 0.33 and share(loop, "vpaddd") > 0.33, "\n".join(loop)
    assert {line.split()[0] for line in loop if "(" in line} <= {"vpbroadcastd", "vpmovsxbw", "vpmaddwd"}


@pytest.mark.parametrize("problem", [POINTWISE, SPATIAL], ids=str)
def test_sdot(problem: Convolution) -> None:
    """One factor is a word of a register."""
    loop = hot_loop(problem, "rpi5", "sdot")
    assert share(loop, r"sdot\s+v\d+\.4s, v\d+\.16b, v\d+\.4b\[\d\]") > 0.78, "\n".join(loop)
    assert not any(line.startswith(("ld1r", "dup")) for line in loop)


@pytest.mark.parametrize(("name", "fetch"), [(VNNI, r"prefetcht[01]\s"), ("rpi5", r"prfm\s+pldl[12]keep")])
@pytest.mark.parametrize("columns", [16, 640])
def test_products_ask_for_the_next_panel(name: str, fetch: str, columns: int) -> None:
    """Where the first-level cache does not keep all weights; and the loops of the products stay what they are."""
    target, inner, rows = find_target(name), 768, (64,)
    problem = Convolution(1, inner, columns, 1, *rows)
    (way,) = CpuImplementations(target.cpu).integer_products(rows, problem, 0, LOWEST_WEIGHT)
    packed = way.pack(np.zeros((columns, inner, 1, 1), np.int8))
    text = assembly(way, [(*rows, inner), *(array.shape for array in packed)], target, ["int8", "int8", "int32"])
    assert bool(re.search(fetch, text)) == (columns == 640)
    product = r"vpdpbusd\s.*zmm" if name == VNNI else r"sdot\s"
    assert columns == 16 or max(share(loop, product) for loop in innermost_loops(text)) > 0.5


@pytest.mark.parametrize(("name", "fetch"), [(VNNI, r"prefetcht1\s"), ("rpi5", r"prfm\s+pldl2keep")])
@pytest.mark.parametrize("channels", [16, 512])
def test_convolutions_ask_for_the_next_panel(name: str, fetch: str, channels: int) -> None:
    """Where all weights are more than the second-level cache keeps."""
    target = find_target(name)
    problem = Convolution(1, channels, channels, 7, 7, (3, 3), (1, 1), (1, 1, 1, 1))
    way = integer_way(problem, target, -3, 16)
    packed = way.pack(np.zeros((channels, channels, 3, 3), np.int8))
    shape = (1, channels // 16, 7, 7, 16)
    text = assembly(way, [shape, *(array.shape for array in packed)], target, ["int8", "int8", "int32"])
    assert bool(re.search(fetch, text)) == (channels == 512)
    product = r"vpdpbusd\s.*zmm" if name == VNNI else r"sdot\s"
    assert channels == 16 or max(share(loop, product) for loop in innermost_loops(text)) > 0.5


@pytest.mark.parametrize("problem", [POINTWISE, SPATIAL], ids=str)
def test_smmla(problem: Convolution) -> None:
    """Two neighbouring pixels of eight channels are one operand, most of which come in pairs; all loops stay loops."""
    loops = [loop for loop in kept_loops(problem, "armv9") if any(line.startswith("smmla") for line in loop)]
    assert max(share(loop, r"smmla\s+v\d+\.4s, v\d+\.16b, v\d+\.16b") for loop in loops) > 0.72
    assert max(len(loop) for loop in loops) < 300
    loop = max(loops, key=lambda loop: share(loop, "smmla"))
    assert not any(line.startswith(("zip", "dup", "mov\tv", "ext", "ld1", "ld2")) for line in loop), "\n".join(loop)


def test_first_layer_of_eight_channels() -> None:
    """Two columns of four channels are one of eight."""
    problem = Convolution(1, 3, 64, 224, 224, (7, 7), (2, 2), (3, 3, 3, 3))
    loops = kept_loops(problem, "armv9", 4)
    assert max(share(loop, "smmla") for loop in loops) > 0.7


def test_first_layer_loads_pixels_once() -> None:
    """A line of the kernel takes its factors from a few registers, whatever the column."""
    target = find_target("rpi5")
    problem = Convolution(1, 3, 64, 224, 224, (7, 7), (2, 2), (3, 3, 3, 3))
    way = integer_way(problem, target, -3, 4)
    packed = way.pack(np.zeros((64, 3, 7, 7), np.int8))
    shapes = [(1, 1, 224, 224, 4), *(array.shape for array in packed)]
    loops = innermost_loops(assembly(way, shapes, target, ["int8", "int8", "int32"]))
    loop = max(loops, key=lambda loop: sum(line.startswith("sdot") for line in loop))
    assert share(loop, r"sdot\s+v\d+\.4s, v\d+\.16b, v\d+\.4b\[\d\]") > 0.8, "\n".join(loop)
    assert sum(line.startswith(("ld1r", "dup")) for line in loop) <= 1  # the last of 17 pixels
