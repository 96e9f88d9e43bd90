"""The command line: which networks, thread counts and rivals."""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from edgecompile import zoo
from edgecompile.errors import EdgeCompileError, InvalidInputError, ToolchainError
from scripts.arguments import names, positive
from scripts.bench.accuracy import export_probes, read_probes
from scripts.bench.case import case_folder, export, read_case
from scripts.bench.peak import Peak, measure_peak
from scripts.bench.results import document, print_comparison, print_int8_comparison, print_summary
from scripts.bench.rivals import OURS, RIVALS, int8, loader
from scripts.bench.rounds import Comparison, compare
from scripts.bench.worker import in_fresh_process

MODELS = ("resnet18", "mobilenetv2", "vgg16", "bert")
_DESCRIPTION = """Latency of networks on this machine, beside the fastest settings of other runtimes.

Every runtime loads the network into a process of its own, all pinned to the same cores. Its answers are compared with
PyTorch's; then the runtimes take turns, so that ratios within one run are fair even on a busy machine. Networks are
exported and converted once, into edgecompile's cache folder (about 2 GB for the four).

With --precision int8 each runtime's own tool quantizes the same float network with the same calibration data. Answers
to several random inputs are then compared with PyTorch's in float64: SNR is the least ratio of signal to noise of an
output. The networks' weights are random, so their accuracy says little about that of trained ones; where only a small
part of the answers differs between inputs, the noise is to be compared with that part."""
_EXAMPLES = """examples:
  make bench
  make bench ARGS="--models resnet18,vgg16 --threads 1"
  make bench ARGS="--precision int8 --threads 1 --json build/int8.json"
  make bench ARGS="--rivals onnxruntime,mnn --repeat 30 --json build/bench.json"
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """0 when ours was timed everywhere, 1 when it failed somewhere, 2 when the request makes no sense."""
    options = _parser().parse_args(arguments)
    try:
        comparisons = _run(options)
    except EdgeCompileError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0 if all(comparison.ours.status == "timed" for comparison in comparisons) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="bench",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    others, in_int8 = ",".join(_rivals("float32")), ",".join(_rivals("int8"))
    parser.add_argument("--models", type=names, default=MODELS, help=f"of the zoo; default: {','.join(MODELS)}")
    parser.add_argument("--precision", choices=("float32", "int8"), default="float32", help="default: float32")
    parser.add_argument("--threads", type=_counts, default=(1, 2), help="numbers of threads; default: 1,2")
    parser.add_argument("--repeat", type=positive, default=15, help="rounds, of about 0.3 s for each; default: 15")
    parser.add_argument("--rivals", type=names, help=f"default: {others}; in int8: {in_int8}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to this file too")
    return parser


def _run(options: argparse.Namespace) -> list[Comparison]:
    cores = _check(options)
    peaks: dict[int, Peak] = {}
    comparisons: list[Comparison] = []
    in_int8 = options.precision == "int8"
    rivals = _rivals(options.precision) if options.rivals is None else options.rivals
    runtimes = int8.loaders(rivals) if in_int8 else {name: loader(name) for name in (OURS, *rivals)}
    for name in options.models:
        _say(f"{name}: PyTorch exports")
        in_fresh_process(export, name)
        case = read_case(case_folder(name))
        if in_int8:
            _say(f"{name}: PyTorch answers in float64")
            in_fresh_process(export_probes, name)
        for threads in options.threads:
            chosen = cores[-threads:]  # the first core serves most interrupts
            if in_int8:
                probes = read_probes(case)
                comparisons.append(
                    compare(case, runtimes, chosen, options.repeat, _say, probes=probes, baseline=int8.BASELINE)
                )
                print_int8_comparison(comparisons[-1])
            else:
                if threads not in peaks:
                    _say("measuring the peak")
                    peaks[threads] = measure_peak(chosen)
                comparisons.append(compare(case, runtimes, chosen, options.repeat, _say))
                print_comparison(comparisons[-1], peaks[threads])
            print(flush=True)
            if options.json:
                options.json.write_text(json.dumps(document(comparisons, peaks, options.precision), indent=2) + "\n")
    print_summary(comparisons)
    if in_int8:
        print("\n".join(f"{name} is left out: {reason}" for name, reason in int8.LEFT_OUT.items()))
    return comparisons


def _rivals(precision: str) -> tuple[str, ...]:
    """Those that are compared unless others are asked for."""
    return tuple(name for name in RIVALS if name != OURS and (precision == "float32" or name not in int8.LEFT_OUT))


def _check(options: argparse.Namespace) -> tuple[int, ...]:
    """The cores that this process may use.

    Raises:
        InvalidInputError: an unknown name, a rival without int8, or more threads than cores.
        ToolchainError: the package that exports networks is missing.
    """
    rivals = _rivals("float32")
    for kind, known, asked in (("network", zoo.names(), options.models), ("rival", rivals, options.rivals or ())):
        unknown = sorted(set(asked) - set(known))
        if unknown:
            raise InvalidInputError(f"no {kind} is named {unknown[0]!r}; choose from {', '.join(known)}")
    without = [name for name in options.rivals or () if options.precision == "int8" and name in int8.LEFT_OUT]
    if without:
        raise InvalidInputError(f"{without[0]} is not compared in int8: {int8.LEFT_OUT[without[0]]}")
    cores = tuple(sorted(os.sched_getaffinity(0)))
    if max(options.threads) > len(cores):
        raise InvalidInputError(f"{max(options.threads)} threads need as many cores, found {len(cores)}: --threads")
    try:
        importlib.metadata.version("onnxscript")
    except importlib.metadata.PackageNotFoundError:
        raise ToolchainError("exporting needs onnxscript, which is not installed: pip install -e '.[bench]'") from None
    return cores


def _say(text: str) -> None:
    """What happens now, on stderr: one line that changes on a terminal, else nothing but the beginnings."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
    elif "round" not in text:
        print(text, file=sys.stderr, flush=True)


def _counts(text: str) -> tuple[int, ...]:
    return tuple(dict.fromkeys(positive(part) for part in text.split(",")))
