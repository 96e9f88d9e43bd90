"""Products of two matrices of bytes, against NumPy, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest

from edgecompile.integer import FixedPoint
from edgecompile.integer.formulas import requantize
from edgecompile.integer.requantization import scale_array
from edgecompile.target import find_target
from schedules.cpu import CpuImplementations
from tests.schedules.cpu.integer_kernels import placeholders, run

BATCH = (2, 3)
SIZES = [(1, 1, 1), (5, 3, 7), (17, 16, 16), (7, 64, 33), (13, 66, 64), (31, 130, 50), (2, 9, 100)]
ZERO_POINTS = [(0, 0), (-128, 0), (5, 127), (127, -128)]
TARGETS = ["host", "host,vector_bytes=32", "host,vector_bytes=32,features=sse4_1:avx2", "host,vector_bytes=16"]
ORDERS = {
    "plain": (0, 1, 2, 3),
    "transposed": (0, 1, 3, 2),
    "heads": (0, 2, 1, 3),
    "keys": (0, 2, 3, 1),
    "odd": (0, 3, 1, 2),
}


def _inverse(axes: tuple[int, ...]) -> list[int]:
    return [axes.index(at) for at in range(len(axes))]


def _check(
    target_name: str,
    sizes: tuple[int, int, int],
    zero_points: tuple[int, int],
    orders: tuple[str, str] = ("plain", "plain"),
    is_extreme: bool = False,
) -> None:
    """The sums, and bytes that they are requantized to in the same kernel."""
    rows, inner, columns = sizes
    target, rng = find_target(target_name), np.random.default_rng(0)
    a = rng.integers(-128, 128, (*BATCH, rows, inner), np.int8)
    w = rng.integers(-128, 128, (*BATCH, inner, columns), np.int8)
    if is_extreme:
        a[:], w[:] = -128, -128
    stored = [
        np.ascontiguousarray(array.transpose(_inverse(ORDERS[order])))
        for array, order in zip((a, w), orders, strict=True)
    ]
    axes = ORDERS[orders[0]], ORDERS[orders[1]]
    (way,) = CpuImplementations(target.cpu).integer_batched_products(*sizes, zero_points, axes)
    sources = placeholders(stored)
    sums = way.compute(*sources)
    expected = (a.astype(np.int64) - zero_points[0]) @ (w.astype(np.int64) - zero_points[1])
    np.testing.assert_array_equal(run(sources, sums, stored, target, np.int32), expected)
    factor = FixedPoint.of(100 / np.abs(expected).max(initial=1))
    tables = [np.asarray(factor.multiplier), np.asarray(factor.places)]
    more = placeholders(tables)
    bytes_ = requantize(sums, *more, lambda indices: indices[-1], 0, 3, -128, 127, "int8", factor.is_short)
    scaled = scale_array(expected, factor.multiplier, factor.shift)
    got = run([*sources, *more], bytes_, [*stored, *tables], target, np.int8)
    np.testing.assert_array_equal(got, np.clip(scaled + 3, -128, 127))


@pytest.mark.parametrize(
    ("target_name", "sizes", "zero_points"),
    [(TARGETS[at % 4], SIZES[at % 7], ZERO_POINTS[at // 4 % 4]) for at in range(0, 28, 3)],
)
def test_odd_sizes(target_name: str, sizes: tuple[int, int, int], zero_points: tuple[int, int]) -> None:
    _check(target_name, sizes, zero_points)


@pytest.mark.parametrize("orders", [("plain", "transposed"), ("heads", "keys"), ("heads", "heads"), ("plain", "odd")])
def test_permuted_operands(orders: tuple[str, str]) -> None:
    _check("host", (13, 66, 40), (3, -4), orders)


@pytest.mark.parametrize("target_name", TARGETS)
def test_the_ends_of_the_range(target_name: str) -> None:
    _check(target_name, (6, 1000, 24), (127, 127), ("plain", "transposed"), is_extreme=True)


def test_refusals() -> None:
    offered = CpuImplementations(find_target("host").cpu)
    assert not offered.integer_batched_products(8, 100_000, 64, (0, 0), ((), ()))  # a panel beyond the stack
    assert not offered.integer_batched_products(8, 64, 64, (0, 0), ((0, 1, 3, 2), ()))  # rows in pieces


@pytest.mark.board
@pytest.mark.parametrize("name", ["armv9", "rpi5", "rpi4"])
def test_on_a_board(name: str) -> None:
    _check(name, (5, 19, 21), (-7, 3), ("heads", "keys"))
    _check(name, (4, 32, 16), (-128, 0))
