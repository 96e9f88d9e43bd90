"""The least time of some work, by numbers computed by hand."""

from __future__ import annotations

import dataclasses

import pytest

from edgecompile.roofline import Bound, ReadRate, Roofline

KIB, MIB = 2**10, 2**20
# 100 GFLOP/s; 200 GB/s from the first cache, 50 GB/s from the second, 10 GB/s from memory.
MACHINE = Roofline(1, 100e9, (ReadRate(32 * KIB, 200e9), ReadRate(MIB, 50e9), ReadRate(64 * MIB, 10e9)))


@pytest.mark.parametrize(
    ("buffer_bytes", "bytes_per_s"),
    [
        (0, 200e9),
        (32 * KIB, 200e9),
        (MIB - 1, 200e9),
        (MIB, 50e9),
        (64 * MIB - 1, 50e9),
        (64 * MIB, 10e9),
        (10**12, 10e9),
    ],
)
def test_the_rate_of_the_largest_measured_buffer_that_is_not_larger(buffer_bytes: int, bytes_per_s: float) -> None:
    assert MACHINE.bytes_per_s(buffer_bytes) == bytes_per_s


def test_a_disturbed_measurement_is_not_believed() -> None:
    disturbed = Roofline(1, 1e9, (ReadRate(KIB, 20e9), ReadRate(MIB, 90e9), ReadRate(64 * MIB, 10e9)))
    assert [disturbed.bytes_per_s(size) for size in (KIB, MIB, 64 * MIB)] == [90e9, 90e9, 10e9]


@pytest.mark.parametrize(
    ("operations", "moved", "weights", "resident", "expected"),
    [
        # 3 GFLOP at 100 GFLOP/s against 2 MB at 50 GB/s.
        (3_000_000_000, 2_000_000, 0, 0, Bound(30.0, "compute")),
        # 10 kB at 200 GB/s against one operation.
        (1, 10_000, 0, 0, Bound(5e-5, "memory")),
        # 4 MB at 50 GB/s are 0.08 ms; 3 MB of them are weights, which a model of 100 MB reads at 10 GB/s: 0.3 ms.
        (1_000_000, 4_000_000, 3_000_000, 100_000_000, Bound(0.3, "memory")),
        # The same in a model of 2 MB: the weights are where the activations are.
        (1_000_000, 4_000_000, 3_000_000, 2_000_000, Bound(0.08, "memory")),
        # Nothing at all.
        (0, 0, 0, 0, Bound(0.0, "compute")),
    ],
)
def test_bound(operations: int, moved: int, weights: int, resident: int, expected: Bound) -> None:
    found = MACHINE.bound(operations, moved, weights, resident)
    assert found.ms == pytest.approx(expected.ms, rel=1e-12)
    assert found.limit == expected.limit


def test_bytes_have_a_peak_of_their_own() -> None:
    machine = dataclasses.replace(MACHINE, int8_ops_per_s=400e9)
    assert (machine.peak("float32"), machine.peak("int8")) == (100e9, 400e9)
    found = machine.bound(1_000_000_000, 0, 0, 0, "int8")
    assert (found.ms, found.limit) == (pytest.approx(2.5), "compute")
    assert machine.bound(1_000_000_000, 0, 0, 0).ms == pytest.approx(10)


def test_bytes_without_instructions_take_as_long_as_other_numbers() -> None:
    assert MACHINE.peak("int8") == 100e9
    with pytest.raises(AssertionError):
        dataclasses.replace(MACHINE, int8_ops_per_s=0.0)
