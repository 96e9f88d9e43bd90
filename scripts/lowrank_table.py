#!/usr/bin/env python3
"""What low-rank factorisation is worth, by method: parameters, multiply-accumulates, measured time and accuracy.

Each method factorises a trained network to the same budget without fine-tuning, once by the error of weights and once
by that of the layers' results on calibration images, to which all layers are then refitted. Accuracy is that of the
compiled model on the whole test split; the time is that of one inference on one thread of this machine, measured in
turns with the network as it was."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from rich.console import Console
from rich.table import Table

from edgecompile.errors import EdgeCompileError, InvalidInputError
from scripts.arguments import names, positive

if TYPE_CHECKING:
    from edgecompile.artifact.artifact import Artifact
    from edgecompile.frontend.model import Model

NETWORKS = ("digits_vgg", "digits_resnet")
METHODS = ("auto", "svd", "spatial", "tucker", "cp")
_EXAMPLES = """examples:
  python scripts/lowrank_table.py
  python scripts/lowrank_table.py --budget macs=0.5 --methods tucker,cp --json build/lowrank.json
"""


@dataclass(frozen=True)
class Row:
    """One network factorised one way.

    Attributes:
        method: of the recipe; "-" for the network as it was.
        errors_of: "weights" or "results"; "-" likewise.
        params, macs: what is left of them.
        time: the median over rounds of the ratio to the network as it was.
        least_time: the ratio of the least times.
        accuracy: in percent.
        note: what kept it from the budget; "" where nothing did.
    """

    network: str
    method: str
    errors_of: str
    params: float
    macs: float
    time: float
    least_time: float
    accuracy: float
    note: str = ""


def main(arguments: Sequence[str] | None = None) -> int:
    """0 when all was measured, 2 when the request makes no sense."""
    options = _parser().parse_args(arguments)
    try:
        rows = _run(options)
    except EdgeCompileError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    _print(rows)
    return 0


def measure(network: str, methods: Sequence[str], budget: str, samples: int) -> list[Row]:
    """Factorise every way, compile, and judge all in turns."""
    import edgecompile as ec
    from edgecompile.compress.measuring.timing import time_in_turns
    from edgecompile.errors import InvalidRecipeError
    from edgecompile.zoo.digits import calibration

    model = ec.load(f"zoo:{network}")
    images = list(calibration(samples))
    made: list[tuple[str, str, Model]] = [("-", "-", model)]
    missed: list[Row] = []
    for method in methods:
        for errors_of, data in (("weights", None), ("results", images)):
            print(f"{network}, {method}, errors of {errors_of} ...", file=sys.stderr, flush=True)
            try:
                made.append((method, errors_of, ec.compress(model, f"lowrank,{budget},method={method}", data)))
            except InvalidRecipeError as error:
                nothing = float("nan")
                missed.append(Row(network, method, errors_of, nothing, nothing, nothing, nothing, nothing, str(error)))
    with tempfile.TemporaryDirectory() as folder:
        artifacts = [
            ec.compile(each, out=Path(folder) / str(index), threads=1) for index, (_, _, each) in enumerate(made)
        ]
        costs = time_in_turns(artifacts, {})
        rows = [
            Row(
                network,
                method,
                errors_of,
                each.params / model.params,
                each.macs / model.macs,
                cost.ratio,
                cost.least / costs[0].least,
                accuracy_of(artifact),
            )
            for (method, errors_of, each), artifact, cost in zip(made, artifacts, costs, strict=True)
        ]
        for artifact in artifacts:
            artifact.close()
    return rows + missed


def accuracy_of(artifact: Artifact) -> float:
    """In percent, on the test split of the digits."""
    from edgecompile.zoo.digits import accuracy

    return round(100 * accuracy(lambda image: np.asarray(artifact.run(image)[0])), 2)


def _run(options: argparse.Namespace) -> list[Row]:
    for given, known in ((options.networks, NETWORKS), (options.methods, METHODS)):
        unknown = sorted(set(given) - set(known))
        if unknown:
            raise InvalidInputError(f"{unknown[0]!r} is not among {', '.join(known)}")
    rows: list[Row] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a loss of accuracy, which the table shows
        for network in options.networks:
            rows += measure(network, options.methods, options.budget, options.samples)
            if options.json:
                options.json.write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n")
    return rows


def _print(rows: Sequence[Row]) -> None:
    """One table for each network."""
    console = Console(width=None if sys.stdout.isatty() else 130)
    for network in dict.fromkeys(row.network for row in rows):
        table = Table("method", "errors of", title=network)
        for column in ("parameters", "MACs", "time", "least time", "accuracy"):
            table.add_column(column, justify="right")
        for row in (row for row in rows if row.network == network):
            if row.note:
                table.add_row(row.method, row.errors_of, row.note)
                continue
            shares = (f"{share:.3f}" for share in (row.params, row.macs, row.time, row.least_time))
            table.add_row(row.method, row.errors_of, *shares, f"{row.accuracy:.2f} %")
        console.print(table)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="lowrank_table",
        description=__doc__,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--networks", type=names, default=NETWORKS[:1], metavar="A,B", help=f"of {','.join(NETWORKS)}")
    parser.add_argument("--methods", type=names, default=METHODS, metavar="A,B", help="by comma; default: all")
    parser.add_argument("--budget", default="params=0.33", metavar="WHAT=SHARE", help="default: params=0.33")
    parser.add_argument("--samples", type=positive, default=128, help="to calibrate with; default: 128")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to this file too")
    return parser


if __name__ == "__main__":
    sys.exit(main())
