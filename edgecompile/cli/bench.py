"""`edgecompile bench`."""

from __future__ import annotations

import dataclasses

import click

from edgecompile.cli.progress import phases
from edgecompile.cli.tables import json_option, print_json, print_table
from edgecompile.errors import InvalidInputError


@click.command("bench", short_help="Time an artifact on this machine.")
@click.argument("directory")
@click.option("--repeat", type=click.IntRange(1), default=50, show_default=True, help="Inferences that are timed.")
@click.option("--warmup", type=click.IntRange(0), default=5, show_default=True, help="Inferences before, not timed.")
@click.option("--threads", type=click.IntRange(1, 1024), help="For one inference.  [default: as compiled]")
@click.option("--emulate", is_flag=True, help="Run in an emulator; its times say nothing about the device.")
@click.option("--per-op", is_flag=True, help="Time each kernel call, beside this machine's peak and bandwidth.")
@click.option("--sort", type=click.Choice(["step", "time"]), help="Order of the kernel calls.  [default: step]")
@click.option("--measure-again", is_flag=True, help="Measure peak and bandwidth anew instead of trusting the cache.")
@json_option
def command(
    directory: str,
    repeat: int,
    warmup: int,
    threads: int | None,
    emulate: bool,
    per_op: bool,
    sort: str | None,
    measure_again: bool,
    as_json: bool,
) -> None:
    """Time the artifact in DIRECTORY on the inputs of its self-test.

    --per-op shows for each kernel call its template, time, GFLOP/s (a multiply-add is two operations, any other
    arithmetic one per element), share of the peak of fp32 or int8, bytes of inputs, weights and outputs, and the least
    time that the peak and the measured bandwidth of the caches allow, with which of the two limits it.

    \b
    Examples:
      edgecompile bench build/net
      edgecompile bench build/net --repeat 200 --threads 4 --json
      edgecompile bench build/net --per-op --sort time
    """
    if not per_op and (sort or measure_again):
        raise InvalidInputError(f"{'--sort' if sort else '--measure-again'} is for --per-op: add it")
    from edgecompile.artifact.open import open

    if per_op:
        from edgecompile.cli.per_operator import show_profile

        with open(directory, threads=threads, emulate=emulate) as artifact, phases() as progress:
            profile = artifact.profile(repeat, warmup, measure_again=measure_again, progress=progress)
        show_profile(directory, profile, by_time=sort == "time", as_json=as_json)
        return
    with open(directory, threads=threads, emulate=emulate) as artifact:
        stats = artifact.bench(repeat=repeat, warmup=warmup)
    if as_json:
        print_json(dataclasses.asdict(stats))
        return
    values = (stats.median_ms, stats.min_ms, stats.p99_ms, stats.mean_ms, stats.repeat, stats.threads)
    columns = ("median ms", "min ms", "p99 ms", "mean ms", "runs", "threads")
    print_table(columns, [values], f"{directory}: {stats.machine}")
