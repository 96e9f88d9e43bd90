"""`edgecompile doctor`."""

from __future__ import annotations

import click

from edgecompile.cli.tables import json_option, print_json, print_table


@click.command("doctor", short_help="Look for toolchains, emulators and packages.")
@json_option
def command(as_json: bool) -> None:
    """Show which toolchains, emulators and packages are here, and how to install those that are not.

    Nothing of it is an error: which ones are needed depends on the targets that are compiled for.

    \b
    Examples:
      edgecompile doctor
      edgecompile doctor --json
    """
    from edgecompile.family import families

    probes = {probe.name: probe for family in families().values() for probe in family.probe_toolchains()}
    rows = [
        {
            "name": probe.name,
            "found": probe.found,
            "version": probe.version,
            "how_to_install": "" if probe.found else probe.how_to_install,
        }
        for probe in probes.values()
    ]
    if as_json:
        print_json(rows)
    else:
        print_table(("what", "found", "version", "how to install"), [list(row.values()) for row in rows])
