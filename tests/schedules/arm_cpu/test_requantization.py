"""Requantization by NEON instructions, in the emulator: the bits of its definition."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tvm
from tvm import te

from edgecompile.integer.formulas import add, channel_of_axis, requantize
from edgecompile.integer.requantization import FixedPoint, scale_array
from edgecompile.target import find_target
from schedules.arm_cpu.requantization import use_neon_for_requantization
from targets.cpu.object_code import tvm_target
from tests.schedules.cpu.emulated_kernels import run_emulated
from tests.schedules.cpu.integer_kernels import placeholders

ENDS = [-(2**31), -(2**31) + 1, -(2**15), -1, 0, 1, 2**15, 2**31 - 2, 2**31 - 1]


def vectorized(result: te.Tensor, sources: list[te.Tensor], lanes: int) -> tvm.tirx.PrimFunc:
    """The formula `[rows, columns]`, in vectors along the columns."""
    schedule = tvm.s_tir.Schedule(te.create_prim_func([*sources, result]).with_attr("tirx.noalias", True))
    (block,) = [schedule.get_sblock(result.op.name)]
    _, inner = schedule.split(schedule.get_loops(block)[-1], [None, lanes])
    schedule.vectorize(inner)
    return schedule.mod["main"]


def sums_and_factors() -> tuple[np.ndarray, FixedPoint]:
    """`[rows, 48]` int32, and a factor for each column: all magnitudes of both, and the ends of 32 bits."""
    rng = np.random.default_rng(0)
    sums = (rng.uniform(-1, 1, (40, 48)) * 2.0 ** rng.integers(0, 32, (40, 48))).astype(np.int32)
    sums[: len(ENDS)] = np.array(ENDS, np.int32)[:, None]
    return sums, FixedPoint.of(rng.uniform(0.5, 1, 48) * 2.0 ** -np.arange(3.0, 27.0, 0.5))


@pytest.mark.board
@pytest.mark.parametrize(
    ("lanes", "zero_point", "low", "high"),
    [
        (16, -128, -128, 127),
        (16, 7, -100, 120),
        (8, 0, 0, 127),
        (4, 127, -128, 126),
        (12, -3, -128, 127),
        (3, 1, -5, 5),
    ],
)
def test_requantize(lanes: int, zero_point: int, low: int, high: int, tmp_path: Path) -> None:
    sums, factor = sums_and_factors()
    assert factor.is_short
    arrays = [sums, factor.multiplier, factor.places]
    sources = placeholders(arrays)
    result = requantize(*sources, channel_of_axis(1), 0, zero_point, low, high, "int8", True)
    got = run_emulated(
        vectorized(result, sources, lanes), arrays, np.empty(sums.shape, np.int8), find_target("rpi5"), tmp_path
    )
    expected = np.clip(scale_array(sums, factor.multiplier, factor.shift) + zero_point, low, high)
    np.testing.assert_array_equal(got, expected)


@pytest.mark.board
@pytest.mark.parametrize("lanes", [16, 8, 4])
def test_add_rounds_halves_away_from_zero(lanes: int, tmp_path: Path) -> None:
    a, b = np.meshgrid(np.arange(-128, 128, dtype=np.int8), np.arange(-128, 128, 3, dtype=np.int8)[:80])
    a, b = a[:, :240], b[:, :240]
    sources = placeholders([a, b])
    got = run_emulated(
        vectorized(add(*sources, (16384, -8192), 15, (3, -128), -7, -128, 120), sources, lanes),
        [a, b],
        np.empty(a.shape, np.int8),
        find_target("rpi5"),
        tmp_path,
    )
    total = (a.astype(np.int64) - 3) * 16384 - (b.astype(np.int64) + 128) * 8192
    assert np.any(total % 2**15 == 2**14)  # halves
    rounded = np.sign(total) * ((np.abs(total) + 2**14) >> 15)
    np.testing.assert_array_equal(got, np.clip(rounded - 7, -128, 120))


def test_one_instruction_for_each_step() -> None:
    """Sixteen sums: a product, a shift and a narrowing for every four, and what makes bytes of them."""
    use_neon_for_requantization()
    sums, factor = sums_and_factors()
    sources = placeholders([sums, factor.multiplier, factor.places])
    result = requantize(*sources, channel_of_axis(1), 0, -128, -128, 127, "int8", True)
    kernel = vectorized(result, sources, 16).with_attr("global_symbol", "main")
    text = str(
        tvm.compile(tvm.IRModule({"main": kernel}), target=tvm_target(find_target("rpi5"))).mod.inspect_source("s")
    )
    names = [line.split()[0] for line in text.splitlines() if line.strip() and line.startswith("\t")]
    turns = names.count("sqdmulh") // 4
    assert turns and names.count("srshl") == 4 * turns
    assert names.count("sqxtn") + names.count("sqxtn2") == 6 * turns and names.count("sqadd") == 2 * turns
    assert not {"mul", "smull", "smax", "smin"} & set(names)
