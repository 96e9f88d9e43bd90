"""Costs of kernel calls, by numbers computed by hand."""

from __future__ import annotations

import dataclasses

import pytest

from edgecompile.artifact.executor import StepTime
from edgecompile.artifact.profile import Profile, profile_of
from edgecompile.artifact.report import Report, Step
from edgecompile.decision import Decision
from edgecompile.errors import InvalidArtifactError
from edgecompile.roofline import ReadRate, Roofline

# 100 GFLOP/s and 10 GB/s, whatever the size.
MACHINE = Roofline(2, 100e9, (ReadRate(1024, 10e9),))
REFUSED = Decision("DirectTile", "conv", False, "too small")
SCHEDULED = Decision("schedule", "conv", True, "direct convolution")
REPORT = Report(
    executor="plan",
    steps=(
        Step(index=0, kernel="conv", kind="conv 3x3", layers=("a", "b"), macs=49, operations=100_000_000,
             bytes_read=1_000_000, bytes_written=2_000_000, weight_bytes=3_000_000, decisions=(REFUSED, SCHEDULED)),
        Step(index=1, kernel="copy", bytes_read=4_000_000, bytes_written=4_000_000),
        Step(index=2, kernel="conv", kind="conv 3x3", operations=200_000_000),
    ),
)  # fmt: skip
TIMES = [StepTime(0, "conv", 2.0), StepTime(1, "copy", 1.0), StepTime(2, "conv", 5.0)]


def profile(times: list[StepTime] = TIMES, roofline: Roofline | str = MACHINE) -> Profile:
    return profile_of(REPORT, times, 7_000_000, repeat=3, threads=2, roofline=roofline)


def test_a_step() -> None:
    step = profile().steps[0]
    assert (step.index, step.kernel, step.layers, step.kind) == (0, "conv", ("a", "b"), "conv 3x3")
    assert step.template == "direct convolution"
    assert (step.median_ms, step.share) == (2.0, 0.25)
    assert (step.operations, step.moved_bytes) == (100_000_000, 6_000_000)
    assert step.gflops_per_s == pytest.approx(50)
    assert step.gbytes_per_s == pytest.approx(3)
    assert step.peak_share == pytest.approx(0.5)
    assert (step.bound_ms, step.limit) == (pytest.approx(1.0), "compute")


def test_a_step_that_only_moves_data() -> None:
    step = profile().steps[1]
    assert (step.template, step.kind, step.gflops_per_s, step.peak_share) == ("", "other", 0, 0)
    assert step.gbytes_per_s == pytest.approx(8)
    assert (step.bound_ms, step.limit) == (pytest.approx(0.8), "memory")


def test_products_of_bytes_are_measured_against_their_own_peak() -> None:
    """100 million operations in 0.5 ms are twice the peak of fp32, and half of the one of int8."""
    steps = tuple(REPORT.steps[0].model_copy(update={"kind": kind}) for kind in ("int8 conv 3x3", "conv 3x3"))
    report = REPORT.model_copy(update={"steps": steps})
    times = [StepTime(0, "conv", 0.5), StepTime(1, "conv", 0.5)]
    machine = dataclasses.replace(MACHINE, int8_ops_per_s=400e9)
    found = profile_of(report, times, 0, repeat=1, threads=2, roofline=machine)
    integer, plain = found.steps
    assert (integer.peak_share, plain.peak_share) == (pytest.approx(0.5), pytest.approx(2.0))
    assert (integer.bound_ms, integer.limit) == (pytest.approx(0.6), "memory")
    assert (plain.bound_ms, plain.limit) == (pytest.approx(1.0), "compute")
    assert {kind.kind: kind.peak_share for kind in found.kinds} == {
        "int8 conv 3x3": pytest.approx(0.5),
        "conv 3x3": pytest.approx(2.0),
    }


def test_kinds_weigh_their_steps_by_time() -> None:
    convolutions, others = profile().kinds
    assert (convolutions.kind, convolutions.calls, convolutions.median_ms) == ("conv 3x3", 2, 7.0)
    assert convolutions.share == pytest.approx(7 / 8)
    # 2 ms at 50 % and 5 ms at 40 % of the peak.
    assert convolutions.peak_share == pytest.approx((2 * 0.5 + 5 * 0.4) / 7)
    assert convolutions.bound_ms == pytest.approx(1.0 + 2.0)
    assert (others.kind, others.calls, others.bound_ms) == ("other", 1, pytest.approx(0.8))


def test_without_a_peak_times_and_rates_stay() -> None:
    found = profile(roofline="no compiler")
    assert (found.roofline, found.roofline_missing) == (None, "no compiler")
    assert [step.gflops_per_s for step in found.steps] == [step.gflops_per_s for step in profile().steps]
    for entry in (*found.steps, *found.kinds):
        assert (entry.peak_share, entry.bound_ms) == (None, None)
    assert "peak unknown" in str(found)


def test_a_time_below_the_clocks_resolution_has_no_rate() -> None:
    found = profile([dataclasses.replace(time, median_ms=0.0) for time in TIMES])
    for entry in (*found.steps, *found.kinds):
        assert (entry.share, entry.gflops_per_s, entry.peak_share) == (0, None, None)
    assert [step.bound_ms for step in found.steps] == pytest.approx([1.0, 0.8, 2.0])


def test_a_report_of_other_steps_is_refused() -> None:
    with pytest.raises(InvalidArtifactError, match=r"report.json has other steps than the library"):
        profile(TIMES[:2])
    with pytest.raises(InvalidArtifactError, match="compile the model again"):
        profile([*TIMES[:2], StepTime(2, "copy", 1.0)])


def test_it_prints_its_sums() -> None:
    assert str(profile()) == "3 kernel calls, 8.000 ms, 37.5 GFLOP/s (3 runs, threads: 2, peak 100.0 GFLOP/s)"
