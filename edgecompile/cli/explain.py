"""`edgecompile explain`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from edgecompile.cli.compression import show_compression
from edgecompile.cli.tables import json_option, print_json, print_table

if TYPE_CHECKING:
    from edgecompile.artifact.report import Report


@click.command("explain", short_help="Show the kernels of an artifact and why they are so.")
@click.argument("directory")
@click.option("--profile", is_flag=True, help="Run it here and add the time of each kernel.")
@json_option
def command(directory: str, profile: bool, as_json: bool) -> None:
    """Show each kernel call of the artifact in DIRECTORY, and each decision with its reason.

    Of a compressed model also what each step did to each layer, with the numbers that decided.

    \b
    Examples:
      edgecompile explain build/net
      edgecompile explain build/net --profile
      edgecompile explain build/net --json
    """
    report, times = _read(directory, profile)
    if as_json:
        document = report.model_dump(mode="json")
        for step, ms in zip(document["steps"], times, strict=False):
            step["median_ms"] = ms
        print_json(document)
        return
    click.echo(f"executor: {report.executor}" + (f" ({report.executor_reason})" if report.executor_reason else ""))
    for entry in report.compression:
        show_compression(f"compressed: {entry.kind}", entry.decisions, entry.figures)
    _print_steps(report, times)
    # A kernel that several steps call brings its decisions with each of them.
    decisions = dict.fromkeys([*report.decisions, *(decision for step in report.steps for decision in step.decisions)])
    if decisions:
        rows = [(entry.step, entry.subject, "kept" if entry.kept else "dropped", entry.reason) for entry in decisions]
        print_table(("step", "subject", "", "reason"), rows, "Decisions")
    if report.memory:
        memory = report.memory
        click.echo(
            f"arena: {memory.arena_bytes:,} bytes; without reuse {memory.sum_bytes:,}, at least "
            f"{memory.lower_bound_bytes:,}"
        )
        if memory.decoded_bytes:
            click.echo(f"decoded weights: {memory.decoded_bytes:,} bytes, once when it is opened")
    for warning in report.warnings:
        click.echo(f"warning: {warning}")


def _read(directory: str, profile: bool) -> tuple[Report, list[float]]:
    """The report, and the time of each step where asked; code is loaded only for the latter."""
    if profile:
        from edgecompile.artifact.open import open

        with open(directory) as artifact:
            return artifact.report, [step.median_ms for step in artifact.time_steps()]
    from edgecompile.artifact.open import read_report

    return read_report(directory), []


def _print_steps(report: Report, times: list[float]) -> None:
    if not report.steps:
        return
    columns = ["step", "kernel", "layers", "operators", "MACs", "read", "written", "weights", "scratch"]
    rows: list[list[object]] = [
        [
            step.index,
            step.kernel,
            " ".join(step.layers),
            " ".join(name.removeprefix("relax.") for name in step.operators),
            step.macs,
            step.bytes_read,
            step.bytes_written,
            step.weight_bytes,
            step.scratch_bytes,
        ]
        for step in report.steps
    ]
    if times:
        columns.append("ms")
        rows = [[*row, ms] for row, ms in zip(rows, times, strict=True)]
    print_table(columns, rows, "Kernel calls (sizes in bytes)")
