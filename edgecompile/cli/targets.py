"""`edgecompile targets`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from edgecompile.cli.tables import json_option, print_json, print_table
from edgecompile.errors import ToolchainError

if TYPE_CHECKING:
    from edgecompile.target import Target


@click.command("targets", short_help="List the devices, and what can be compiled for here.")
@json_option
def command(as_json: bool) -> None:
    """List the names that --target takes, their instruction sets, and the toolchain at hand for each.

    Facts of a target can be overridden: rpi4,num_cores=2 and rpi4,llvm_cpu=cortex-a53.

    \b
    Examples:
      edgecompile targets
      edgecompile targets --json
    """
    from edgecompile.target import list_targets

    rows = [_row(target) for target in list_targets()]
    if as_json:
        print_json(rows)
        return
    table = [
        (row["name"], row["isa"], row["cpu"], row["cores"], row["description"], row["toolchain"] or "none")
        for row in rows
    ]
    print_table(("target", "ISA", "CPU", "cores", "device", "toolchain here"), table)
    for row in rows:
        if row["missing"]:
            click.echo(row["missing"])


def _row(target: Target) -> dict[str, object]:
    toolchain, missing = _toolchain(target)
    return {
        "name": target.name,
        "isa": f"{target.architecture} {target.os}, {8 * target.cpu.vector_bytes} bit vectors",
        "cpu": target.llvm_cpu,
        "cores": target.cpu.num_cores,
        "features": list(target.cpu.features),
        "can_emit": toolchain is not None,
        "toolchain": toolchain,
        "missing": missing,
        "description": target.description,
    }


def _toolchain(target: Target) -> tuple[str | None, str | None]:
    """The toolchain's version, or what to do to have one."""
    from edgecompile.family import family_of

    try:
        return family_of(target).find_toolchain(target).version, None
    except ToolchainError as error:
        return None, str(error)
