"""`edgecompile bench`."""

from __future__ import annotations

import dataclasses

import click

from edgecompile.cli.tables import json_option, print_json, print_table


@click.command("bench", short_help="Time an artifact on this machine.")
@click.argument("directory")
@click.option("--repeat", type=click.IntRange(1), default=50, show_default=True, help="Inferences that are timed.")
@click.option("--warmup", type=click.IntRange(0), default=5, show_default=True, help="Inferences before, not timed.")
@click.option("--threads", type=click.IntRange(1, 1024), help="For one inference.  [default: as compiled]")
@click.option("--emulate", is_flag=True, help="Run in an emulator; its times say nothing about the device.")
@json_option
def command(directory: str, repeat: int, warmup: int, threads: int | None, emulate: bool, as_json: bool) -> None:
    """Time the artifact in DIRECTORY on the inputs of its self-test.

    \b
    Examples:
      edgecompile bench build/net
      edgecompile bench build/net --repeat 200 --threads 4 --json
    """
    from edgecompile.artifact.open import open

    with open(directory, threads=threads, emulate=emulate) as artifact:
        stats = artifact.bench(repeat=repeat, warmup=warmup)
    if as_json:
        print_json(dataclasses.asdict(stats))
        return
    values = (stats.median_ms, stats.min_ms, stats.p99_ms, stats.mean_ms, stats.repeat, stats.threads)
    columns = ("median ms", "min ms", "p99 ms", "mean ms", "runs", "threads")
    print_table(columns, [values], f"{directory}: {stats.machine}")
