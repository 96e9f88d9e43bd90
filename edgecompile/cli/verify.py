"""`edgecompile verify`."""

from __future__ import annotations

import math

import click

from edgecompile.cli.failures import CheckFailed
from edgecompile.cli.tables import json_option, print_json, print_table


@click.command("verify", short_help="Check an artifact against its recorded self-test.")
@click.argument("directory")
@click.option("--threads", type=click.IntRange(1, 1024), help="For one inference.  [default: as compiled]")
@click.option("--emulate", is_flag=True, help="Run in an emulator of the target.")
@json_option
def command(directory: str, threads: int | None, emulate: bool, as_json: bool) -> None:
    """Run the self-test of the artifact in DIRECTORY.

    Compares with what the compiled model and the original model answered at compile time. Differences are parts of the
    output's range. Exit status 1 when one is too large.

    \b
    Examples:
      edgecompile verify build/net
      edgecompile verify build/net-rpi4 --emulate --json
    """
    from edgecompile.artifact.open import open

    with open(directory, threads=threads, emulate=emulate) as artifact:
        result = artifact.verify()
    rows = [
        {
            "output": comparison.output,
            "against": comparison.against,
            # JSON knows no infinity
            "difference": comparison.difference if math.isfinite(comparison.difference) else None,
            "tolerance": comparison.tolerance,
            "ok": comparison.ok,
        }
        for comparison in result.comparisons
    ]
    if as_json:
        print_json({"ok": result.ok, "machine": result.machine, "reference": result.reference_name, "outputs": rows})
    else:
        columns = ("output", "against", "difference", "tolerance", "ok")
        reference = f", reference: {result.reference_name}" if result.reference_name else ""
        print_table(columns, [list(row.values()) for row in rows], f"{directory}: {result.machine}{reference}")
        click.echo("ok" if result.ok else _failure(len(rows)))
    if not result.ok:
        raise CheckFailed


def _failure(comparisons: int) -> str:
    return "FAILED" if comparisons else "FAILED: the self-test has no recorded outputs to compare with"
