#!/usr/bin/env python3
"""What each way of choosing integers is worth: accuracy and signal-to-noise ratio of networks, by form of weights.

The digits networks are judged on the whole test split, after calibration on training images; bert_tiny, whose weights
are random, by its answers alone, on random tokens. The signal-to-noise ratio is that of all outputs, against the float
network."""

from __future__ import annotations

import argparse
import json
import sys
import time
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
    from edgecompile.frontend.model import Model

NETWORKS = ("digits_resnet", "digits_mobilenet", "bert_tiny")
FORMS = {
    "int8 per tensor": "granularity=per_tensor",
    "int8 per channel": "granularity=per_channel",
    "int4 per tensor": "weights=int4,granularity=per_tensor",
    "int4 per channel": "weights=int4,granularity=per_channel",
}
METHODS = {
    "nearest": "",
    "equalize": "equalize",
    "bias correction": "bias_correction",
    "adaround": "rounding=adaround",
    "gptq": "rounding=gptq",
    "equalize + bias correction": "equalize,bias_correction",
    "adaround + bias correction": "rounding=adaround,bias_correction",
    "gptq + bias correction": "rounding=gptq,bias_correction",
    "smooth 0.5": "smooth=0.5",
}
_RANDOM_INPUTS = 64
_EXAMPLES = """examples:
  python scripts/rounding_gains.py
  python scripts/rounding_gains.py --networks digits_resnet --samples 200 --json build/gains.json
"""

Inputs = list[np.ndarray]  # in the model's order


@dataclass(frozen=True)
class Row:
    """One network quantized one way.

    Attributes:
        accuracy: in percent; None for a network without labels.
        snr_db: of the outputs.
        seconds: that compression took.
    """

    network: str
    form: str
    method: str
    accuracy: float | None
    snr_db: float
    seconds: float


@dataclass(frozen=True)
class Case:
    """A network, inputs to calibrate with and to judge by, and the labels of these where there are any."""

    model: Model
    calibration: list[Inputs]
    test: list[Inputs]
    labels: np.ndarray | None


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


def read_case(network: str, samples: int) -> Case:
    """A network and its data."""
    import edgecompile as ec
    from edgecompile.zoo.digits import calibration, load_digits

    model = ec.load(f"zoo:{network}")
    if network.startswith("digits"):
        data = load_digits()
        test = [[image[None]] for image in data.test_images]
        return Case(model, [list(inputs) for inputs in calibration(samples)], test, data.test_labels)
    rng = np.random.default_rng(0)

    def one() -> Inputs:
        shapes = [[int(extent) for extent in spec.shape] for spec in model.inputs]
        return [
            rng.integers(1, 100, shape) if spec.name == "input_ids" else np.ones(shape, spec.dtype)
            for spec, shape in zip(model.inputs, shapes, strict=True)
        ]

    return Case(model, [one() for _ in range(samples)], [one() for _ in range(_RANDOM_INPUTS)], None)


def measure(case: Case, network: str, form: str, method: str, float_outputs: np.ndarray) -> Row:
    """Quantize and judge."""
    import edgecompile as ec

    recipe = ",".join(part for part in ("int8", FORMS[form], METHODS[method]) if part)
    started = time.monotonic()
    model = ec.compress(case.model, recipe, case.calibration)
    seconds = time.monotonic() - started
    found = by_reference(model, case.test) if case.labels is not None else answers(model, case.test)
    noise = float(np.square(found - float_outputs, dtype=np.float64).sum())
    signal = float(np.square(float_outputs, dtype=np.float64).sum())
    return Row(
        network, form, method, _accuracy(found, case.labels), 10 * float(np.log10(signal / noise)), round(seconds, 1)
    )


def answers(model: Model, inputs: Sequence[Inputs]) -> np.ndarray:
    """`[inputs, numbers]`: all outputs of the compiled model, one after the other."""
    import tempfile

    import edgecompile as ec

    with tempfile.TemporaryDirectory() as folder, ec.compile(model, out=Path(folder) / "artifact") as artifact:
        return np.stack([np.concatenate([output.ravel() for output in artifact.run(*each)]) for each in inputs])


def by_reference(model: Model, inputs: Sequence[Inputs]) -> np.ndarray:
    """The same of a network that is integers all through, in NumPy: the bits of an artifact without its compilation."""
    from edgecompile.integer.reference import run_reference
    from edgecompile.passes.integers import FuseIntegerOperators
    from edgecompile.passes.pipeline import eliminate_dead_code

    module = eliminate_dead_code()(FuseIntegerOperators()(model.module, []), [])
    return np.stack([np.concatenate([output.ravel() for output in run_reference(module, each)]) for each in inputs])


def _accuracy(outputs: np.ndarray, labels: np.ndarray | None) -> float | None:
    return None if labels is None else round(100 * float((outputs.argmax(axis=1) == labels).mean()), 2)


def _run(options: argparse.Namespace) -> list[Row]:
    for given, known in ((options.networks, NETWORKS), (options.forms, FORMS), (options.methods, METHODS)):
        unknown = sorted(set(given) - set(known))
        if unknown:
            raise InvalidInputError(f"{unknown[0]!r} is not among {', '.join(known)}")
    rows: list[Row] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a loss of accuracy, which the table shows
        for network in options.networks:
            case = read_case(network, options.samples)
            float_outputs = answers(case.model, case.test)
            rows.append(Row(network, "float", "-", _accuracy(float_outputs, case.labels), float("inf"), 0.0))
            for form in options.forms:
                for method in options.methods:
                    print(f"{network}, {form}, {method} ...", file=sys.stderr, flush=True)
                    rows.append(measure(case, network, form, method, float_outputs))
                    if options.json:
                        options.json.write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n")
    return rows


def _print(rows: Sequence[Row]) -> None:
    """One table for each network: methods by forms."""
    console = Console(width=None if sys.stdout.isatty() else 130)
    for network in dict.fromkeys(row.network for row in rows):
        here = {(row.form, row.method): row for row in rows if row.network == network}
        plain = here.pop(("float", "-"))
        title = network if plain.accuracy is None else f"{network}: {plain.accuracy:.2f} % in float"
        table = Table("method", title=title)
        forms = list(dict.fromkeys(form for form, _ in here))
        for form in forms:
            table.add_column(form, justify="right")
        for method in dict.fromkeys(method for _, method in here):
            table.add_row(method, *(_cell(here[form, method]) for form in forms))
        console.print(table)


def _cell(row: Row) -> str:
    accuracy = "" if row.accuracy is None else f"{row.accuracy:.2f} %  "
    return f"{accuracy}{row.snr_db:5.2f} dB"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="rounding_gains",
        description=__doc__,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--networks", type=names, default=NETWORKS, metavar="A,B", help=f"default: {','.join(NETWORKS)}"
    )
    parser.add_argument(
        "--forms", type=names, default=tuple(FORMS), metavar="A,B", help="of weights, by comma; default: all"
    )
    parser.add_argument("--methods", type=names, default=tuple(METHODS), metavar="A,B", help="by comma; default: all")
    parser.add_argument("--samples", type=positive, default=64, help="to calibrate with; default: 64")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to this file too")
    return parser


if __name__ == "__main__":
    sys.exit(main())
