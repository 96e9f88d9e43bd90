"""What each kernel call of an artifact costs, beside the least that this machine could need for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgecompile.artifact.executor import StepTime
from edgecompile.artifact.manifest import REPORT_NAME
from edgecompile.artifact.report import Report, Step
from edgecompile.errors import InvalidArtifactError
from edgecompile.operator_kind import factors_of
from edgecompile.roofline import Limit, Roofline


@dataclass(frozen=True)
class StepProfile:
    """One kernel call.

    Attributes:
        index: position in the list of calls, from zero.
        kernel: symbol of the kernel.
        layers: the model's own names for what was fused into it.
        kind: of the costliest operator: "conv 3x3", "depthwise", "int8 matmul", "other" and so on.
        template: what scheduled it; "" where the report does not say.
        median_ms: over the profiled inferences.
        share: of the sum of all steps' times, from 0 to 1.
        operations: arithmetic, see `Step.operations`.
        moved_bytes: inputs, weights and outputs, each once; a table of which only some rows are looked up counts whole.
        gflops_per_s: `operations` over the time; None where the time is below the clock's resolution.
        gbytes_per_s: `moved_bytes` over the time; None as above.
        peak_share: `gflops_per_s` as a part of the peak of fp32, or of int8 where the kind says so; None where that is
            unknown. Winograd's convolutions may exceed 1: operations are those of the direct one.
        bound_ms: the least time by `Roofline.bound`; None where that is unknown.
        limit: what binds that time.
    """

    index: int
    kernel: str
    layers: tuple[str, ...]
    kind: str
    template: str
    median_ms: float
    share: float
    operations: int
    moved_bytes: int
    gflops_per_s: float | None
    gbytes_per_s: float | None
    peak_share: float | None
    bound_ms: float | None
    limit: Limit | None


@dataclass(frozen=True)
class KindProfile:
    """All kernel calls of one kind together.

    Attributes:
        kind: as in `StepProfile`.
        calls: how many there are.
        median_ms: the sum of their medians.
        share: of the sum of all steps' times.
        operations: the sum.
        gflops_per_s: all operations over all time.
        peak_share: the calls' shares of the peak, weighted by their times.
        bound_ms: the sum of their bounds.
    """

    kind: str
    calls: int
    median_ms: float
    share: float
    operations: int
    gflops_per_s: float | None
    peak_share: float | None
    bound_ms: float | None


@dataclass(frozen=True)
class Profile:
    """The cost of one inference, kernel call by kernel call.

    Attributes:
        steps: in the order of execution.
        kinds: those with the largest time first.
        total_ms: the sum of the steps' medians.
        repeat: inferences that were timed.
        threads: how many worked on one inference.
        roofline: what the machine can do; None where it could not be measured.
        roofline_missing: why not; "" where it was.
    """

    steps: tuple[StepProfile, ...]
    kinds: tuple[KindProfile, ...]
    total_ms: float
    repeat: int
    threads: int
    roofline: Roofline | None
    roofline_missing: str = ""

    def __str__(self) -> str:
        peak = f"peak {self.roofline.flops_per_s / 1e9:.1f} GFLOP/s" if self.roofline else "peak unknown"
        rate = _rate(sum(step.operations for step in self.steps), self.total_ms) or 0.0
        return (
            f"{len(self.steps)} kernel calls, {self.total_ms:.3f} ms, {rate:.1f} GFLOP/s "
            f"({self.repeat} runs, threads: {self.threads}, {peak})"
        )


def profile_of(
    report: Report,
    times: Sequence[StepTime],
    resident_bytes: int,
    *,
    repeat: int,
    threads: int,
    roofline: Roofline | str,
) -> Profile:
    """Join what the report says with what was measured.

    Args:
        times: one for each step of the report, in order.
        resident_bytes: all weights and activations of the model.
        roofline: of this machine, or the reason why there is none.

    Raises:
        InvalidArtifactError: the report has other steps.
    """
    if [step.kernel for step in report.steps] != [time.kernel for time in times]:
        raise InvalidArtifactError(f"{REPORT_NAME} has other steps than the library: compile the model again")
    total_ms = sum(time.median_ms for time in times)
    known = roofline if isinstance(roofline, Roofline) else None
    steps = tuple(
        _step(step, time.median_ms, total_ms, resident_bytes, known)
        for step, time in zip(report.steps, times, strict=True)
    )
    kinds = [_kind(kind, [step for step in steps if step.kind == kind], known) for kind in {s.kind for s in steps}]
    return Profile(
        steps=steps,
        kinds=tuple(sorted(kinds, key=lambda kind: (-kind.median_ms, kind.kind))),
        total_ms=total_ms,
        repeat=repeat,
        threads=threads,
        roofline=known,
        roofline_missing="" if isinstance(roofline, Roofline) else roofline,
    )


def _step(step: Step, ms: float, total_ms: float, resident_bytes: int, roofline: Roofline | None) -> StepProfile:
    moved = step.bytes_read + step.weight_bytes + step.bytes_written
    gflops_per_s = _rate(step.operations, ms)
    factors = factors_of(step.kind)
    bound = roofline.bound(step.operations, moved, step.weight_bytes, resident_bytes, factors) if roofline else None
    return StepProfile(
        index=step.index,
        kernel=step.kernel,
        layers=step.layers,
        kind=step.kind,
        template=step.template,
        median_ms=ms,
        share=_share(ms, total_ms),
        operations=step.operations,
        moved_bytes=moved,
        gflops_per_s=gflops_per_s,
        gbytes_per_s=_rate(moved, ms),
        peak_share=_peak_share(gflops_per_s, roofline, step.kind),
        bound_ms=bound.ms if bound else None,
        limit=bound.limit if bound else None,
    )


def _kind(kind: str, steps: Sequence[StepProfile], roofline: Roofline | None) -> KindProfile:
    ms = sum(step.median_ms for step in steps)
    operations = sum(step.operations for step in steps)
    gflops_per_s = _rate(operations, ms)
    bounds = [step.bound_ms for step in steps if step.bound_ms is not None]
    return KindProfile(
        kind=kind,
        calls=len(steps),
        median_ms=ms,
        share=sum(step.share for step in steps),
        operations=operations,
        gflops_per_s=gflops_per_s,
        peak_share=_peak_share(gflops_per_s, roofline, kind),
        bound_ms=sum(bounds) if roofline else None,
    )


def _rate(amount: int, ms: float) -> float | None:
    """10^9 per second."""
    return amount / ms / 1e6 if ms > 0 else None


def _share(part: float, whole: float) -> float:
    return part / whole if whole > 0 else 0.0


def _peak_share(gflops_per_s: float | None, roofline: Roofline | None, kind: str) -> float | None:
    if gflops_per_s is None or roofline is None:
        return None
    return gflops_per_s / (roofline.peak(factors_of(kind)) / 1e9)
