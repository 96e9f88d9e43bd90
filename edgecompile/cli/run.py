"""`edgecompile run`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgecompile.cli.arguments import pairs, read_npy
from edgecompile.cli.tables import json_option, print_json, print_table

if TYPE_CHECKING:
    import numpy as np


@click.command("run", short_help="Run an artifact on inputs from files.")
@click.argument("directory")
@click.option("--input", "inputs", multiple=True, metavar="NAME=FILE.npy", help="One input (repeatable).")
@click.option("-o", "--out", metavar="FILE.npz", help="Where to save the outputs.")
@click.option("--threads", type=click.IntRange(1, 1024), help="For one inference.  [default: as compiled]")
@click.option("--emulate", is_flag=True, help="Run in an emulator of the target.")
@json_option
def command(
    directory: str, inputs: tuple[str, ...], out: str | None, threads: int | None, emulate: bool, as_json: bool
) -> None:
    """Run the artifact in DIRECTORY once and print what its outputs look like.

    \b
    Examples:
      edgecompile run build/net --input image=cat.npy
      edgecompile run build/net --input image=cat.npy -o scores.npz --json
      edgecompile run build/net-rpi4 --input image=cat.npy --emulate
    """
    from edgecompile.artifact.open import open

    with open(directory, threads=threads, emulate=emulate) as artifact:
        names = [entry.name for entry in artifact.outputs]
        arrays = {name: read_npy(Path(text)) for name, text in pairs("--input", inputs).items()}
        outputs = dict(zip(names, artifact.run(arrays), strict=True))
    if out:
        _save(Path(out), outputs)
    rows = [_summary(name, array) for name, array in outputs.items()]
    if as_json:
        print_json(rows)
    else:
        print_table(("output", "dtype", "shape", "min", "max", "mean"), [list(row.values()) for row in rows])


def _save(path: Path, outputs: dict[str, np.ndarray]) -> None:
    """Write beside `path` and rename, so that a full disk leaves no half file."""
    from edgecompile.artifact.selftest import encode_npz
    from edgecompile.artifact.write import write_file

    write_file(path, encode_npz(outputs))


def _summary(name: str, array: np.ndarray) -> dict[str, object]:
    import numpy as np

    numbers = array.astype(np.float64)
    known = numbers[np.isfinite(numbers)]
    extremes = (float(known.min()), float(known.max()), float(known.mean())) if known.size else (None, None, None)
    shape = "x".join(map(str, array.shape)) or "scalar"
    return {"output": name, "dtype": array.dtype.name, "shape": shape} | dict(
        zip(("min", "max", "mean"), extremes, strict=True)
    )
