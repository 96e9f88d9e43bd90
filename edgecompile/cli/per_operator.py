"""The tables of `edgecompile bench --per-op`."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import click

from edgecompile.cli.tables import Percent, print_json, print_table

if TYPE_CHECKING:
    from edgecompile.artifact.profile import KindProfile, Profile, StepProfile
    from edgecompile.roofline import Roofline

_STEP_COLUMNS = (
    *("step", "kernel", "layers", "template", "ms", "time", "GFLOP/s", "peak"),
    *("moved bytes", "GB/s", "bound ms", "limit"),
)
_KIND_COLUMNS = ("kind", "calls", "ms", "time", "GFLOP/s", "peak", "bound ms")


def show_profile(directory: str, profile: Profile, *, by_time: bool, as_json: bool) -> None:
    """One row for each kernel call, one for each kind of operator, and what they are measured against.

    Args:
        by_time: the slowest kernel call first, instead of the first in the order of execution.
    """
    steps = sorted(profile.steps, key=lambda step: -step.median_ms) if by_time else profile.steps
    if as_json:
        print_json(dataclasses.asdict(dataclasses.replace(profile, steps=tuple(steps))))
        return
    print_table(_STEP_COLUMNS, [_step_row(step) for step in steps], f"{directory}: {profile}")
    print_table(_KIND_COLUMNS, [_kind_row(kind) for kind in profile.kinds], "By kind of operator")
    if profile.roofline is None:
        click.echo(f"no peak and no bounds: {profile.roofline_missing}")
    else:
        click.echo(_describe(profile.roofline))


def _step_row(step: StepProfile) -> tuple[object, ...]:
    return (
        step.index,
        step.kernel,
        _shortened(step.layers),
        step.template,
        step.median_ms,
        Percent(step.share),
        step.gflops_per_s,
        _percent(step.peak_share),
        step.moved_bytes,
        step.gbytes_per_s,
        step.bound_ms,
        step.limit,
    )


def _kind_row(kind: KindProfile) -> tuple[object, ...]:
    return (
        kind.kind,
        kind.calls,
        kind.median_ms,
        Percent(kind.share),
        kind.gflops_per_s,
        _percent(kind.peak_share),
        kind.bound_ms,
    )


def _shortened(layers: tuple[str, ...]) -> str:
    """The first layer and how many more: `explain` and --json have them all."""
    return f"{layers[0]} +{len(layers) - 1}" if len(layers) > 1 else "".join(layers)


def _percent(share: float | None) -> Percent | None:
    return None if share is None else Percent(share)


def _describe(roofline: Roofline) -> str:
    rates = ", ".join(f"{read.bytes_per_s / 1e9:.0f} of {_size(read.buffer_bytes)}" for read in roofline.reads)
    int8 = roofline.int8_ops_per_s
    integers = f"; {int8 / 1e9:.1f} GOP/s in int8, by its instructions" if int8 is not None else ""
    return (
        f"This machine's best with {roofline.threads} thread{'s' if roofline.threads > 1 else ''}, by measurement: "
        f"{roofline.flops_per_s / 1e9:.1f} GFLOP/s in fp32{integers}; GB/s reading a buffer: {rates}"
    )


def _size(count: int) -> str:
    return f"{count / 2**20:.0f} MiB" if count >= 2**20 else f"{count / 2**10:.0f} KiB"
