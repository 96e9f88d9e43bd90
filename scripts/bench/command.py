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
from scripts.bench.case import case_folder, export, read_case
from scripts.bench.peak import Peak, measure_peak
from scripts.bench.results import document, print_comparison, print_summary
from scripts.bench.rivals import OURS, RIVALS, loader
from scripts.bench.rounds import Comparison, compare
from scripts.bench.worker import in_fresh_process

MODELS = ("resnet18", "mobilenetv2", "vgg16", "bert")
_DESCRIPTION = """Latency of networks on this machine, beside the fastest settings of other runtimes.

Every runtime loads the network into a process of its own, all pinned to the same cores. Its answers are compared with
PyTorch's; then the runtimes take turns, so that ratios within one run are fair even on a busy machine. Networks are
exported and converted once, into edgecompile's cache folder (about 2 GB for the four)."""
_EXAMPLES = """examples:
  make bench
  make bench ARGS="--models resnet18,vgg16 --threads 1"
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
    others = [name for name in RIVALS if name != OURS]
    parser.add_argument("--models", type=names, default=MODELS, help=f"of the zoo; default: {','.join(MODELS)}")
    parser.add_argument("--threads", type=_counts, default=(1, 2), help="numbers of threads; default: 1,2")
    parser.add_argument("--repeat", type=positive, default=15, help="rounds, of about 0.3 s for each; default: 15")
    parser.add_argument("--rivals", type=names, default=others, help=f"default: {','.join(others)}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to this file too")
    return parser


def _run(options: argparse.Namespace) -> list[Comparison]:
    cores = _check(options)
    peaks: dict[int, Peak] = {}
    comparisons: list[Comparison] = []
    runtimes = {name: loader(name) for name in (OURS, *options.rivals)}
    for name in options.models:
        _say(f"{name}: PyTorch exports")
        in_fresh_process(export, name)
        case = read_case(case_folder(name))
        for threads in options.threads:
            chosen = cores[-threads:]  # the first core serves most interrupts
            if threads not in peaks:
                _say("measuring the peak")
                peaks[threads] = measure_peak(chosen)
            comparisons.append(compare(case, runtimes, chosen, options.repeat, _say))
            print_comparison(comparisons[-1], peaks[threads])
            print(flush=True)
            if options.json:
                options.json.write_text(json.dumps(document(comparisons, peaks), indent=2) + "\n")
    print_summary(comparisons)
    return comparisons


def _check(options: argparse.Namespace) -> tuple[int, ...]:
    """The cores that this process may use.

    Raises:
        InvalidInputError: an unknown name, or more threads than cores.
        ToolchainError: the package that exports networks is missing.
    """
    rivals = tuple(name for name in RIVALS if name != OURS)
    for kind, known, asked in (("network", zoo.names(), options.models), ("rival", rivals, options.rivals)):
        unknown = sorted(set(asked) - set(known))
        if unknown:
            raise InvalidInputError(f"no {kind} is named {unknown[0]!r}; choose from {', '.join(known)}")
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
