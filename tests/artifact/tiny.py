"""A complete artifact around a network written by hand in C: made in a second, without TVM."""

from __future__ import annotations

import hashlib
import platform
import subprocess
from pathlib import Path

import numpy as np

import edgecompile
from edgecompile.artifact.manifest import REPORT_NAME, Facts, Manifest, TensorEntry
from edgecompile.artifact.report import MemoryEntry, Report, Step
from edgecompile.artifact.selftest import SelfTest, write_selftest
from edgecompile.artifact.write import seal, staging
from edgecompile.decision import Decision
from edgecompile.target import CpuFacts, Target

RUNTIME = Path(edgecompile.__file__).parent / "runtime"
WEIGHTS = np.arange(16, dtype=np.float32)
X = np.array([[1, 2, 3], [4, 5, 6.5]], np.float32)
SHIFT = np.arange(8, dtype=np.int32).reshape(2, 4)


def expected(x: np.ndarray, shift: np.ndarray) -> list[np.ndarray]:
    """What the network answers, by NumPy."""
    return [x @ WEIGHTS[:12].reshape(3, 4) + WEIGHTS[12:], shift + np.int32(1)]


def target(**changes: object) -> Target:
    """This machine, with no feature asked of it."""
    facts = {
        "name": "host",
        "family": "host_cpu",
        "architecture": platform.machine(),
        "os": "linux",
        "llvm_triple": f"{platform.machine()}-linux-gnu",
        "llvm_cpu": "generic",
        "llvm_features": (),
        "cpu": CpuFacts(16, 16, 1, 32768, 262144, 1, ()),
        "emulator": (),
        "description": "the machine at hand",
    }
    return Target(**{**facts, **changes})  # type: ignore[arg-type]


def facts(**changes: object) -> Facts:
    """What the compiler would say about the network."""
    known = {
        "name": "tiny",
        "executor": "plan",
        "inputs": (
            TensorEntry(name="x", shape=(2, 3), dtype="float32"),
            TensorEntry(name="shift", shape=(2, 4), dtype="int32"),
        ),
        "outputs": (
            TensorEntry(name="y", shape=(2, 4), dtype="float32"),
            TensorEntry(name="z", shape=(2, 4), dtype="int32"),
        ),
        "target": target(),
        "versions": {"edgecompile": "0.1.0", "apache-tvm": "0.27.0.post1"},
        "source": "onnx",
        "opset": 21,
        "arena_bytes": 64,
        "weight_bytes": WEIGHTS.nbytes,
        "weights_embedded": False,
        "library": "libtiny.so",
        "headers": ("include/edgecompile.h",),
        "weights": "weights.bin",
        "reference_name": "numpy",
    }
    return Facts.model_validate({**known, **changes})


def report() -> Report:
    """Two steps and one decision."""
    kept = Decision(step="FuseBias", subject="dense", kept=True, reason="one consumer")
    return Report(
        executor="plan",
        steps=(
            Step(
                index=0,
                kernel="tiny_dense",
                operators=("relax.matmul", "relax.add"),
                layers=("dense",),
                macs=24,
                bytes_read=24,
                bytes_written=32,
                weight_bytes=64,
                decisions=(kept,),
            ),
            Step(index=1, kernel="tiny_add", operators=("relax.add",), bytes_read=32, bytes_written=32),
        ),
        decisions=(Decision(step="FoldBatchNorm", subject="main", kept=False, reason="no batch norm"),),
        memory=MemoryEntry(arena_bytes=64, sum_bytes=128, lower_bound_bytes=64),
    )


def selftest() -> SelfTest:
    """One sample; NumPy's answer stands for both records."""
    answers = dict(zip(("y", "z"), expected(X, SHIFT), strict=True))
    return SelfTest(inputs={"x": X, "shift": SHIFT}, reference=answers, compiled=answers)


def compile_library(path: Path) -> None:
    """The network and the runtime in one shared library."""
    digest = hashlib.sha256(WEIGHTS.tobytes()).digest()
    defines = [
        f"-DWEIGHTS_BYTES={WEIGHTS.nbytes}",
        f"-DWEIGHTS_SHA256={','.join(map(str, digest))}",
        "-DEC_PARALLEL_LAUNCH=tiny_parallel_launch",
        "-DEC_STEP_DONE=tiny_step_done",
        "-D_GNU_SOURCE",
    ]
    sources = [Path(__file__).with_name("network.c"), *sorted((RUNTIME / "src").glob("*.c"))]
    flags = ["-std=c11", "-O1", "-fPIC", "-shared", "-pthread", "-fvisibility=hidden", "-Wl,-z,defs"]
    includes = [f"-I{RUNTIME / 'include'}", f"-I{RUNTIME / 'src'}"]
    subprocess.run(["cc", *flags, *defines, *includes, *map(str, sources), "-o", str(path)], check=True)


def write(out: Path, library: Path, **changes: object) -> Manifest:
    """Write the artifact to `out`; `library` is what `compile_library` made."""
    with staging(out) as folder:
        (folder / "include").mkdir()
        (folder / "include/edgecompile.h").write_bytes((RUNTIME / "include/edgecompile.h").read_bytes())
        (folder / "libtiny.so").write_bytes(library.read_bytes())
        (folder / "weights.bin").write_bytes(WEIGHTS.tobytes())
        (folder / REPORT_NAME).write_bytes(report().encode())
        write_selftest(folder, selftest())
        return seal(folder, facts(**changes))
