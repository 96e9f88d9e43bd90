#!/usr/bin/env python3
"""Rounding errors of compiled networks and of ONNX Runtime, each against PyTorch's answers in float64.

Both get the same float32 weights and inputs, several random inputs for each network. An error is a part of the range of
the output in float64; the root of the mean square (rms) and the largest are over all elements of all answers."""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import sys
import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from edgecompile import zoo
from edgecompile.errors import EdgeCompileError, InvalidInputError, ToolchainError
from scripts.arguments import names, positive
from scripts.bench.case import case_folder, export, read_case
from scripts.bench.samples import Arrays, answers_in_float64, random_inputs
from scripts.bench.worker import in_fresh_process

LIMIT = 4.0  # times ONNX Runtime's error
_EXAMPLES = """examples:
  make accuracy
  make accuracy ARGS="--models resnet18,mobilenetv2 --inputs 16"
  make accuracy ARGS="--models vgg16 --target host,vector_bytes=32 --json build/accuracy.json"
"""


@dataclass(frozen=True)
class Error:
    """As parts of the range."""

    rms: float
    largest: float


@dataclass(frozen=True)
class Row:
    """One network: how many inputs it had, our error and ONNX Runtime's."""

    model: str
    inputs: int
    ours: Error
    onnxruntime: Error

    @property
    def ratio(self) -> float:
        """The larger of both."""
        return max(self.ratios)

    @property
    def ratios(self) -> tuple[float, float]:
        """Of the rms, and of the largest error."""
        theirs = self.onnxruntime
        return _ratio(self.ours.rms, theirs.rms), _ratio(self.ours.largest, theirs.largest)


def main(arguments: Sequence[str] | None = None) -> int:
    """0 when every ratio is within the limit, 1 when one is beyond it, 2 when the request makes no sense."""
    options = _parser().parse_args(arguments)
    try:
        rows = _run(options)
    except EdgeCompileError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    _print(rows, options.limit)
    return 0 if all(row.ratio <= options.limit for row in rows) else 1


def compare(references: Sequence[Arrays], answers: Sequence[Arrays]) -> Error:
    """The error of the answers to several inputs; each output counts with its own range over all of them."""
    parts = []
    for of_output, of_reference in zip(zip(*answers, strict=True), zip(*references, strict=True), strict=True):
        reference = np.stack(of_reference)
        span = float(reference.max() - reference.min())
        parts.append(((np.stack(of_output).astype(np.float64) - reference) / (span or 1.0)).ravel())
    differences = np.concatenate(parts)
    return Error(float(np.sqrt(np.mean(differences**2))), float(np.abs(differences).max()))


def measure(model: str, target: str, count: int) -> Row:
    """Run one network three ways, one after the other, so that only one copy of its weights is alive at a time."""
    case = read_case(case_folder(model))
    inputs = random_inputs(list(case.inputs.values()), count)
    references = answers_in_float64(model, inputs)
    others = _by_onnxruntime(case.onnx, inputs)
    return Row(model, count, compare(references, _compiled(model, target, inputs)), compare(references, others))


def _by_onnxruntime(path: Path, inputs: Sequence[Arrays]) -> list[Arrays]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    names = [entry.name for entry in session.get_inputs()]
    return [session.run(None, dict(zip(names, arrays, strict=True))) for arrays in inputs]


def _compiled(model: str, target: str, inputs: Sequence[Arrays]) -> list[Arrays]:
    import edgecompile as ec

    module, examples = zoo.build(model)  # not `zoo:NAME`, which is trained where the zoo can train it
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the table says what a warning about accuracy would
        loaded = ec.load(module, example_inputs=examples)
        del module
        with ec.compile(loaded, target, Path(folder) / "artifact") as artifact:
            return [artifact.run(*arrays) for arrays in inputs]


def _run(options: argparse.Namespace) -> list[Row]:
    """Measure each network in a process of its own, whose memory goes with it.

    Raises:
        InvalidInputError: an unknown network.
        ToolchainError: the package that exports networks is missing.
    """
    unknown = sorted(set(options.models) - set(zoo.names()))
    if unknown:
        raise InvalidInputError(f"no network is named {unknown[0]!r}; choose from {', '.join(zoo.names())}")
    try:
        importlib.metadata.version("onnxscript")
    except importlib.metadata.PackageNotFoundError:
        raise ToolchainError("exporting needs onnxscript, which is not installed: pip install -e '.[bench]'") from None
    rows: list[Row] = []
    for at, model in enumerate(options.models):
        print(f"[{at + 1}/{len(options.models)}] {model} ...", file=sys.stderr, flush=True)
        in_fresh_process(export, model)
        rows.append(in_fresh_process(measure, model, options.target, options.inputs))
        if options.json:
            options.json.write_text(json.dumps([{**asdict(row), "ratio": row.ratio} for row in rows], indent=2) + "\n")
    return rows


def _print(rows: Sequence[Row], limit: float) -> None:
    table = Table("model", title="errors against float64, as parts of the output's range")
    for column in ("inputs", "rms", "largest", "ORT rms", "ORT largest", "rms ratio", "largest ratio"):
        table.add_column(column, justify="right")
    table.add_column(f"within {limit:g}")
    for row in rows:
        errors = (row.ours.rms, row.ours.largest, row.onnxruntime.rms, row.onnxruntime.largest)
        cells = (*(f"{error:.2e}" for error in errors), *(f"{ratio:.2f}" for ratio in row.ratios))
        table.add_row(row.model, str(row.inputs), *cells, "yes" if row.ratio <= limit else "NO")
    Console(width=None if sys.stdout.isatty() else 130).print(table)


def _ratio(ours: float, other: float) -> float:
    """How many times the other's error ours is; infinite where only the other has none."""
    if other:
        return ours / other
    return float("inf") if ours else 1.0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="accuracy",
        description=__doc__,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--models", type=names, default=zoo.names(), help="of the zoo; default: all")
    parser.add_argument("--target", default="host", help="that this machine can run; default: host")
    parser.add_argument("--inputs", type=positive, default=8, help="random inputs for each network; default: 8")
    parser.add_argument("--limit", type=float, default=LIMIT, help=f"largest ratio that passes; default: {LIMIT:g}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to this file too")
    return parser


if __name__ == "__main__":
    sys.exit(main())
