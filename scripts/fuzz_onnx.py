#!/usr/bin/env python3
"""Runs random ONNX graphs through the compiler and compares the outputs with ONNX Runtime's.

Each graph runs in a process of its own, so a crash is one result among others. Failing models are made smaller and
saved, each in a folder with `model.onnx`, `inputs.npz` and `verdict.txt`.

Examples:
  scripts/fuzz_onnx.py                                  2,000 graphs through the whole compiler
  scripts/fuzz_onnx.py --executor vm --operators Conv,MaxPool --graphs 100
  scripts/fuzz_onnx.py --seed 7 --first 1234 --graphs 1  one graph of an earlier run again
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import onnx

from tests.fuzz.executors import EXECUTORS, Verdict, judge, preload
from tests.fuzz.graphs import Case, random_case
from tests.fuzz.operators import ALL, Operator
from tests.fuzz.shrink import shrink


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--graphs", type=int, default=2000, help="how many (default %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="names the sequence of graphs (default %(default)s)")
    parser.add_argument("--first", type=int, default=0, help="number of the first graph in the sequence")
    parser.add_argument("--executor", choices=sorted(EXECUTORS), default="compile", help="default %(default)s")
    parser.add_argument("--most-nodes", type=int, default=12, help="operators in one graph (default %(default)s)")
    parser.add_argument("--operators", default="", help="only these, separated by commas")
    parser.add_argument("--timeout", type=float, default=120.0, help="seconds for one graph (default %(default)s)")
    parser.add_argument("--out", type=Path, default=Path("build/fuzz"), help="folder for failing models")
    parser.add_argument("--most-failures", type=int, default=50, help="stop after so many (default %(default)s)")
    parser.add_argument("--no-shrink", action="store_true", help="save failing models as they are")
    parser.add_argument("--json", type=Path, help="write the summary there too")
    return parser.parse_args()


def chosen_operators(names: str) -> list[Operator]:
    wanted = set(filter(None, names.split(",")))
    unknown = wanted - {operator.name for operator in ALL}
    if unknown:
        sys.exit(f"no operators {sorted(unknown)} in the generator; it has {sorted(o.name for o in ALL)}")
    return [operator for operator in ALL if not wanted or operator.name in wanted]


def save(folder: Path, case: Case, verdict: Verdict, origin: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(case.model, folder / "model.onnx")
    np.savez(folder / "inputs.npz", **case.inputs)
    operators = " ".join(node.op_type for node in case.model.graph.node)
    (folder / "verdict.txt").write_text(f"{verdict.kind}: {verdict.message}\noperators: {operators}\nfrom: {origin}\n")


def main() -> int:
    options = parse()
    operators = chosen_operators(options.operators)
    preload(options.executor)
    kinds: Counter[str] = Counter()
    used: Counter[str] = Counter()
    refusals: Counter[str] = Counter()
    failures: list[dict[str, object]] = []
    seen: set[str] = set()
    began = time.monotonic()
    for index in range(options.first, options.first + options.graphs):
        case = random_case(options.seed, index, operators, options.most_nodes)
        used.update({node.op_type for node in case.model.graph.node})
        verdict = judge(case, options.executor, options.timeout)
        kinds[verdict.kind] += 1
        if verdict.kind == "refused":
            refusals[verdict.message] += 1
        if verdict.is_defect:
            if verdict.message not in seen:  # one small model of each failure is enough
                seen.add(verdict.message)
                case, verdict = smallest(case, verdict, options)
            save(options.out / f"{options.seed}-{index}", case, verdict, f"--seed {options.seed} --first {index}")
            types = [node.op_type for node in case.model.graph.node]
            failures.append({"graph": index, "kind": verdict.kind, "message": verdict.message, "operators": types})
            print(f"graph {index}: {verdict.kind} in {', '.join(types)}: {verdict.message}", flush=True)
        if sys.stderr.isatty() or index % 100 == 99:
            done = index + 1 - options.first
            print(f"\r{done}/{options.graphs} {dict(kinds)}", end="\n" if done % 100 == 0 else "", file=sys.stderr)
        if len(failures) == options.most_failures:
            print(f"stopped after {len(failures)} failures", flush=True)
            break
    report(options, kinds, used, refusals, failures, time.monotonic() - began)
    return 1 if failures else 0


def smallest(case: Case, verdict: Verdict, options: argparse.Namespace) -> tuple[Case, Verdict]:
    """The case with as few nodes as possible that ends the same way."""
    if options.no_shrink or verdict.kind in ("invalid", "timeout"):
        return case, verdict
    small = shrink(case, lambda smaller: judge(smaller, options.executor, options.timeout).kind == verdict.kind)
    return small, judge(small, options.executor, options.timeout) if small is not case else verdict


def report(
    options: argparse.Namespace,
    kinds: Counter[str],
    used: Counter[str],
    refusals: Counter[str],
    failures: list[dict[str, object]],
    seconds: float,
) -> None:
    for message, count in refusals.most_common(10):
        print(f"refused {count} times: {message}")
    counts = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
    print(f"{kinds.total()} graphs, {len(used)} operator types, {seconds:.0f} s, executor {options.executor}: {counts}")
    if failures:
        print(f"failing models are in {options.out}")
    if options.json:
        summary = {
            "graphs": kinds.total(),
            "seed": options.seed,
            "first": options.first,
            "executor": options.executor,
            "seconds": round(seconds, 1),
            "verdicts": dict(kinds),
            "operators": dict(used.most_common()),
            "refusals": dict(refusals.most_common()),
            "failures": failures,
        }
        options.json.write_text(json.dumps(summary, indent=2) + "\n")


if __name__ == "__main__":
    sys.exit(main())
