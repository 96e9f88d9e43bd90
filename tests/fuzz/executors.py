"""The ways to run a case that are compared with ONNX Runtime, and the verdict on one case."""

from __future__ import annotations

import importlib
import tempfile
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from tests.fuzz import isolated
from tests.fuzz.graphs import Case
from tests.fuzz.reference import difference, run_onnxruntime

Kind = Literal["agrees", "mismatch", "refused", "error", "crash", "timeout", "invalid"]
Executor = Callable[[Case], "list[np.ndarray]"]


@dataclass(frozen=True)
class Verdict:
    """How a case ended.

    Attributes:
        kind: "refused" is a typed error that names what is not supported; "invalid" means that ONNX Runtime itself
            would not run the model, which is a defect of the generator.
    """

    kind: Kind
    message: str = ""

    @property
    def is_defect(self) -> bool:
        return self.kind not in ("agrees", "refused")


def run_virtual_machine(case: Case) -> list[np.ndarray]:
    """The frontend's module on Relax's virtual machine with TVM's own schedules: a check of the frontend alone."""
    import tvm
    from tvm import relax

    from edgecompile.frontend.onnx import load_onnx

    model = load_onnx(case.model)
    machine = relax.VirtualMachine(tvm.compile(model.module, "llvm"), tvm.cpu())
    outputs = machine["main"](*(tvm.runtime.tensor(case.inputs[spec.name]) for spec in model.inputs))
    single = isinstance(outputs, tvm.runtime.Tensor)
    return [output.numpy() for output in ([outputs] if single else outputs)]


def run_compiled(case: Case) -> list[np.ndarray]:
    """The whole compiler: a library for this machine, loaded and run as an app would."""
    import edgecompile as ec

    model = ec.load(case.model)
    with tempfile.TemporaryDirectory(prefix="edgecompile-fuzz-") as folder:
        artifact = ec.compile(model, target="host", out=str(Path(folder) / "net"))
        return list(artifact.run(**case.inputs))


def run_onnx_reference(case: Case) -> list[np.ndarray]:
    """The onnx package's NumPy evaluator: checks the generator and its tolerances, not the compiler."""
    from onnx.reference import ReferenceEvaluator

    return [np.asarray(output) for output in ReferenceEvaluator(case.model).run(None, case.inputs)]


REPOSITORY = Path(__file__).resolve().parent.parent.parent
EXECUTORS: Mapping[str, Executor] = {
    "vm": run_virtual_machine,
    "compile": run_compiled,
    "reference": run_onnx_reference,
}
# Loaded once by the parent, so that not every child pays for them.
MODULES = {
    "vm": ("onnxruntime", "tvm.relax", "edgecompile.frontend.onnx"),
    "compile": ("onnxruntime", "tvm.relax", "edgecompile.frontend.onnx", "targets.host_cpu"),
    "reference": ("onnxruntime", "onnx.reference"),
}


def preload(executor: str) -> None:
    for module in MODULES[executor]:
        importlib.import_module(module)
    if executor == "compile":
        edgecompile = importlib.import_module("edgecompile")
        assert all(map(callable, (edgecompile.load, edgecompile.compile)))  # each is imported by its first use


def judge(case: Case, executor: str, timeout_s: float = 120.0) -> Verdict:
    """Runs the case in a child and compares."""

    def work(send: Callable[[Any], None]) -> None:
        try:
            expected = run_onnxruntime(case)
        except Exception as error:  # ONNX Runtime's exceptions have no common base
            send(Verdict("invalid", str(error).splitlines()[0]))
            return
        send("reference done")
        send(compare(case, executor, expected))

    outcome = isolated.collect(work, timeout_s)
    last = outcome.results[-1] if outcome.results else None
    if isinstance(last, Verdict):
        return last
    if last is None:
        return Verdict("invalid", f"ONNX Runtime ended with {outcome.death}")
    return Verdict("timeout" if outcome.death == "timeout" else "crash", outcome.death)


def compare(case: Case, executor: str, expected: Mapping[str, np.ndarray]) -> Verdict:
    """Runs the case in this process and compares with what ONNX Runtime answered."""
    from edgecompile.errors import UnsupportedModelError

    try:
        found = EXECUTORS[executor](case)
    except UnsupportedModelError as error:
        return Verdict("refused", str(error))
    except Exception as error:
        return Verdict("error", f"{type(error).__name__}: {_last_line(error)} ({_origin(error)})")
    message = difference(case, dict(expected), found)
    return Verdict("mismatch", message) if message else Verdict("agrees")


def _last_line(error: BaseException) -> str:
    return (str(error).strip() or "no message").splitlines()[-1]


def _origin(error: BaseException) -> str:
    """The innermost line of the project's own code; of any code where none took part."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if Path(frame.filename).is_relative_to(REPOSITORY)]
    ours = [frame for frame in ours if "site-packages" not in frame.filename]
    frame = (ours or frames)[-1]
    return f"{Path(frame.filename).name}:{frame.lineno}"
