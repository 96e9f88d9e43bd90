"""Runs ONNX's backend node suite through edgecompile and prints a table by operator.

Each case is imported, built and run on its own data in a child process, so that a crash costs one case. A case whose
model cannot be imported is tried again with its shape-like inputs (integers, booleans, short vectors beyond the first
input) frozen to the case's data. A case counts as passed when every output has the expected dtype, shape and values
within the case's tolerances.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import queue
import re
import subprocess
import sys
import tempfile
import threading
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

CASE_SECONDS = 120
PASSED = ("passed", "passed-frozen", "passed-constant")


def main() -> int:
    """Parses the command line; with --worker, runs cases from standard input instead."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--executor", choices=("vm", "compile"), default="compile", help="what runs the imported model")
    parser.add_argument("--filter", default="", help="regular expression over case names or operators (Op:Name)")
    parser.add_argument("--limit", type=int, default=0, help="run at most so many cases")
    parser.add_argument(
        "--json", type=Path, help="write every case's status there; cases already in it are not run again"
    )
    parser.add_argument("--rerun", default="", help="regular expression of statuses in --json to run again")
    parser.add_argument("--failures", action="store_true", help="print each case that did not pass, with the reason")
    parser.add_argument("--minimum", type=int, default=0, help="end with status 1 when fewer cases pass")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        return work(options.executor)
    operators = {
        name: operator for name, operator in case_operators().items() if matches(options.filter, name, operator)
    }
    selected = list(operators)[: options.limit or None]
    results: dict[str, dict[str, str]] = {}
    if options.json and options.json.exists():
        results = json.loads(options.json.read_text())
    todo = [
        name
        for name in selected
        if name not in results or (options.rerun and re.search(options.rerun, results[name]["status"]))
    ]
    for done, (name, result) in enumerate(run_all(todo, options.executor), 1):
        results[name] = {"operator": operators[name], **result}
        if options.json and (done % 25 == 0 or done == len(todo)):
            options.json.write_text(json.dumps(results, indent=0, sort_keys=True))
        if sys.stderr.isatty():
            print(f"\r{done}/{len(todo)} {name[:60]:60}", end="", file=sys.stderr)
    chosen = {name: results[name] for name in selected if name in results}
    print_table(chosen, options.failures)
    passed = sum(result["status"] in PASSED for result in chosen.values())
    return 1 if passed < options.minimum else 0


def matches(pattern: str, name: str, operator: str) -> bool:
    """True when `pattern` is found in the case's name, or in its operator where it starts with Op:."""
    if pattern.startswith("Op:"):
        return re.fullmatch(pattern[3:], operator) is not None
    return re.search(pattern, name) is not None


def load_cases() -> list[Any]:
    """The cases of the installed `onnx` package, in its order."""
    from onnx.backend.test.case.node import collect_testcases

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cases = list(collect_testcases(None))
    converted = []
    for case in cases:
        data_sets = [(as_arrays(inputs), as_arrays(outputs)) for inputs, outputs in case.data_sets or []]
        converted.append(dataclasses.replace(case, data_sets=data_sets))
    return converted


def as_arrays(values: Any) -> list[Any]:
    """The values with each `TensorProto` among them as an array."""
    import onnx

    return [onnx.numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else value for value in values]


def case_operators() -> dict[str, str]:
    """Case name -> the operator it is about: of its one node, or by the name of the case it was expanded from."""
    cases = load_cases()
    single = {case.name: case.model.graph.node[0].op_type for case in cases if len(case.model.graph.node) == 1}
    found = {}
    for case in cases:
        origin = re.sub(r"_expanded(_ver\d+|_function)?$|_expanded.*$", "", case.name)
        several = "+".join(sorted({node.op_type for node in case.model.graph.node}))
        found[case.name] = single.get(case.name) or single.get(origin) or several[:40]
    return found


def run_all(names: list[str], executor: str) -> Any:
    """Yields (case, result) for each name, restarting the child whenever it dies or hangs."""
    waiting = list(names)
    while waiting:
        command = [sys.executable, __file__, "--worker", "--executor", executor]
        child = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert child.stdin and child.stdout
        child.stdin.write("\n".join(waiting) + "\n")
        child.stdin.close()
        lines: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=forward, args=(child.stdout, lines), daemon=True).start()
        problem = ""
        while waiting and not problem:
            try:
                line = lines.get(timeout=CASE_SECONDS)
            except queue.Empty:
                child.kill()
                problem = f"timeout: no answer in {CASE_SECONDS} s"
                break
            if line is None:
                problem = f"crash: the process ended with status {child.wait()}"
                break
            if line.startswith("{"):
                answer = json.loads(line)
                waiting.remove(answer["name"])
                yield answer.pop("name"), answer
        if problem and waiting:
            yield waiting.pop(0), {"status": problem.split(":")[0], "reason": problem}
        child.wait()


def forward(stream: Any, lines: queue.Queue[str | None]) -> None:
    """Moves lines from a pipe to a queue, whose reader can give up waiting; None marks the end."""
    for line in stream:
        lines.put(line)
    lines.put(None)


def work(executor: str) -> int:
    """Runs the cases named on standard input and answers with one JSON line each."""
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what libraries print must not mix with the answers
    names = [line.strip() for line in sys.stdin if line.strip()]
    cases = {case.name: case for case in load_cases()}
    for name in names:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                result = run_case(cases[name], executor)
        except Exception as error:
            lines = [line for line in str(error).splitlines() if line.strip()] or [""]
            result = {"status": "error", "reason": f"{type(error).__name__}: {lines[-1][:300]}"}
        answers.write(json.dumps({"name": name, **result}) + "\n")
    return 0


def run_case(case: Any, executor: str) -> dict[str, str]:
    """Status and reason of one case."""
    from edgecompile.errors import EdgeCompileError
    from edgecompile.frontend.onnx import load_onnx

    refusal = ""
    for frozen in freezings(case):
        try:
            model = load_onnx(case.model, freeze=frozen)
        except EdgeCompileError as error:
            refusal = f"{type(error).__name__}: {error}"
            continue
        names = [value.name for value in case.model.graph.input]
        for inputs, expected in case.data_sets:
            given = [array for name, array in zip(names, inputs, strict=False) if name not in frozen]
            actual = (run_vm if executor == "vm" else run_compiled)(model, given)
            found = difference(actual, expected, case.rtol, case.atol)
            if found:
                return {"status": "wrong", "reason": found}
        status = "passed" if not frozen else "passed-frozen" if model.inputs else "passed-constant"
        return {"status": status, "reason": f"frozen: {', '.join(frozen)}" if frozen else ""}
    return {"status": "refused", "reason": refusal}


def freezings(case: Any) -> Any:
    """Yields the sets of inputs to freeze, in the order in which they are tried: none, then more and more."""
    import numpy as np

    yield {}
    inputs = case.data_sets[0][0]
    named = list(zip([value.name for value in case.model.graph.input], inputs, strict=False))
    arrays = [(name, np.asarray(array)) for name, array in named if isinstance(array, (np.ndarray, np.generic))]
    discrete = {name: array for name, array in arrays[1:] if array.dtype.kind in "iub" and array.ndim <= 1}
    short = {name: array for name, array in arrays[1:] if array.ndim <= 1 and array.size <= 16}
    whole = {name: array for name, array in arrays if array.dtype.kind in "iub"}
    tried: list[set[str]] = [set()]
    for candidate in (discrete, {**discrete, **short}, {**short, **whole}, dict(arrays) if shape_like(arrays) else {}):
        if set(candidate) not in tried:
            tried.append(set(candidate))
            yield candidate


def shape_like(arrays: list[tuple[str, Any]]) -> bool:
    """True when every input is a scalar or a short vector, as those of Range and ConstantOfShape are."""
    return all(array.ndim <= 1 and array.size <= 16 for _, array in arrays)


def run_vm(model: Any, inputs: list[Any]) -> list[Any]:
    """The outputs by TVM's own compiler and virtual machine."""
    import tvm
    from tvm import relax

    machine = relax.VirtualMachine(tvm.compile(model.module, "llvm"), tvm.cpu())
    outputs = machine["main"](*[tvm.runtime.tensor(array) for array in inputs])
    tensors = [outputs] if hasattr(outputs, "numpy") else list(outputs)
    return [tensor.numpy() for tensor in tensors]


def run_compiled(model: Any, inputs: list[Any]) -> list[Any]:
    """The outputs by an artifact compiled for this machine."""
    import edgecompile as ec

    with tempfile.TemporaryDirectory() as folder:
        artifact = ec.compile(model, target="host", out=Path(folder) / "case")
        with contextlib.closing(artifact) if hasattr(artifact, "close") else contextlib.nullcontext():
            return list(artifact.run(*inputs))


def difference(actual: list[Any], expected: list[Any], rtol: float, atol: float) -> str:
    """What differs, or "" when nothing does."""
    import numpy as np

    if len(actual) != len(expected):
        return f"{len(actual)} outputs where {len(expected)} were expected"
    for index, (have, want) in enumerate(zip(actual, expected, strict=True)):
        if not isinstance(want, np.ndarray) and not np.isscalar(want):
            return f"output {index}: a {type(want).__name__} was expected"
        want = np.asarray(want)
        if have.dtype != want.dtype or have.shape != want.shape:
            return f"output {index}: {want.dtype}{list(want.shape)} was expected, found {have.dtype}{list(have.shape)}"
        exact = want.dtype.kind in "iub"
        left, right = (have, want) if exact else (have.astype(np.float64), want.astype(np.float64))
        close = (left == right) if exact else np.isclose(left, right, rtol=rtol, atol=atol, equal_nan=True)
        if not np.all(close):
            return f"output {index}: {int(np.sum(~close))} of {close.size} elements differ"
    return ""


def print_table(results: dict[str, dict[str, str]], failures: bool) -> None:
    """The count of each status by operator, and the sum."""
    by_operator: dict[str, Counter[str]] = {}
    for result in results.values():
        by_operator.setdefault(result["operator"], Counter())[result["status"]] += 1
    columns = ["passed", "passed-frozen", "passed-constant", "refused", "wrong", "error", "crash", "timeout"]
    print(f"{'operator':42}" + "".join(f"{column:>16}" for column in columns))
    total: Counter[str] = Counter()
    for operator, counts in sorted(by_operator.items()):
        total.update(counts)
        print(f"{operator:42}" + "".join(f"{counts[column] or '':>16}" for column in columns))
    print(f"{'all':42}" + "".join(f"{total[column]:>16}" for column in columns))
    passed = sum(total[status] for status in PASSED)
    print(f"{passed} of {len(results)} cases pass")
    if failures:
        for name, result in results.items():
            if result["status"] not in PASSED:
                print(f"{name} [{result['operator']}] {result['status']}: {result['reason'][:300]}")


if __name__ == "__main__":
    sys.exit(main())
