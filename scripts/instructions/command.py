"""The command line: which networks, which board, and how much about the kernels."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import get_args

from edgecompile import zoo
from edgecompile.cli.tables import print_json
from edgecompile.errors import EdgeCompileError, InvalidInputError, ToolchainError
from edgecompile.target import Target, find_target
from scripts.arguments import names, positive
from scripts.bench.case import case_folder, export, read_case
from scripts.bench.worker import in_fresh_process
from scripts.instructions.counting import LARGEST_DIFFERENCE, LARGEST_INT8_DIFFERENCE, Count, Loader, count
from scripts.instructions.disassembly import read_library
from scripts.instructions.emulator import Emulator
from scripts.instructions.kernels import Kernel, find_kernels
from scripts.instructions.results import Comparison, document, print_comparison
from scripts.instructions.runtimes import EdgeCompile, OnnxRuntime, Precision
from scripts.instructions.throughput import find_analyzer

MODELS = ("resnet18", "mobilenetv2")
_DESCRIPTION = """Instructions that one inference executes on an emulated AArch64 board, beside ONNX Runtime.

Both run under QEMU with the same emulated core, in float32, with one thread. What some inferences execute beyond two
others is counted, so that loading does not matter. ONNX Runtime's wheel for AArch64 is downloaded once. With
`--precision int8` our int8 stands beside our float32 instead, and nothing is downloaded."""
_EXAMPLES = """examples:
  make instructions
  make instructions ARGS="--models resnet18 --kernels"
  make instructions ARGS="--precision int8 --target armv9 --kernels"
  make instructions ARGS="--target rpi4 --throughput --json" > build/instructions.json
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """0 when everything was counted, 1 when something was not, 2 when the request makes no sense."""
    options = _parser().parse_args(arguments)
    try:
        comparisons, target = _run(options)
    except EdgeCompileError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if options.json:
        print_json(document(comparisons, target))
    return 0 if all(comparison.ratio is not None for comparison in comparisons) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="instructions",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--models", type=names, default=MODELS, help=f"of the zoo; default: {','.join(MODELS)}")
    parser.add_argument("--target", default="rpi5", help="rpi4, rpi5 or armv9, overrides allowed; default: rpi5")
    parser.add_argument(
        "--precision", choices=get_args(Precision), default="float32", help="of ours; int8 is compared with our float32"
    )
    parser.add_argument("--inferences", type=positive, default=1, help="that are counted and averaged; default: 1")
    parser.add_argument("--kernels", action="store_true", help="show our kernels and their hottest loops")
    parser.add_argument("--throughput", action="store_true", help="and what llvm-mca says of those loops")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    return parser


def _run(options: argparse.Namespace) -> tuple[list[Comparison], Target]:
    unknown = sorted(set(options.models) - set(zoo.names()))
    if unknown:
        raise InvalidInputError(f"no network is named {unknown[0]!r}; choose from {', '.join(zoo.names())}")
    target = find_target(options.target)
    comparisons = []
    with tempfile.TemporaryDirectory(prefix="instructions-") as name:
        folder = Path(name)
        emulator = Emulator(target, folder)
        for model in options.models:
            comparisons.append(_compare(model, target, emulator, folder, options))
            if not options.json:
                print_comparison(comparisons[-1], target)
    return comparisons, target


def _compare(model: str, target: Target, emulator: Emulator, folder: Path, options: argparse.Namespace) -> Comparison:
    _say(f"{model}: PyTorch exports")
    in_fresh_process(export, model)
    case = read_case(case_folder(model))

    def counted(name: str, load: Loader, limit: float = LARGEST_DIFFERENCE) -> Count:
        _say(f"{model}: {name} runs in the emulator")
        return count(name, load, case, target, emulator, options.inferences, folder, limit)

    if options.precision == "int8":
        int8 = partial(EdgeCompile, precision="int8")
        ours = counted("edgecompile int8", int8, LARGEST_INT8_DIFFERENCE)
        theirs = counted("edgecompile float32", EdgeCompile)
    else:
        ours, theirs = counted(EdgeCompile.name, EdgeCompile), counted(OnnxRuntime.name, OnnxRuntime)
    _say("")
    if not (options.kernels or options.throughput) or ours.library is None:
        return Comparison(case, ours, theirs)
    try:
        return Comparison(case, ours, theirs, _kernels(ours, ours.library, model, options.throughput))
    except ToolchainError as error:
        return Comparison(case, ours, theirs, kernels_reason=str(error))


def _kernels(ours: Count, library: Path, model: str, throughput: bool) -> list[Kernel]:
    return find_kernels(ours, read_library(library), model, find_analyzer() if throughput else None)


def _say(text: str) -> None:
    """What happens now, on stderr: one line that changes on a terminal, else one line each."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
    elif text:
        print(text, file=sys.stderr, flush=True)
