"""A complete artifact around a network written by hand in C: made in a second, without TVM."""

from __future__ import annotations

import dataclasses
import hashlib
import shutil
from pathlib import Path

import numpy as np

from edgecompile.artifact.manifest import REPORT_NAME, Facts, Manifest, TensorEntry
from edgecompile.artifact.report import MemoryEntry, Report, Step
from edgecompile.artifact.selftest import SelfTest, write_selftest
from edgecompile.artifact.write import seal, staging
from edgecompile.decision import Decision
from edgecompile.target import Target, find_target
from targets.cpu.link import link_library
from targets.cpu.network import Network, Tensor
from targets.cpu.toolchain import find_toolchain

WEIGHTS = np.arange(16, dtype=np.float32)
X = np.array([[1, 2, 3], [4, 5, 6.5]], np.float32)
SHIFT = np.arange(8, dtype=np.int32).reshape(2, 4)


def expected(x: np.ndarray, shift: np.ndarray) -> list[np.ndarray]:
    """What the network answers, by NumPy."""
    return [x @ WEIGHTS[:12].reshape(3, 4) + WEIGHTS[12:16], shift + np.int32(1)]


def host() -> Target:
    """This machine, with no feature asked of it."""
    found = find_target("host")
    return dataclasses.replace(found, cpu=dataclasses.replace(found.cpu, features=()))


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
        "target": host(),
        "versions": {"edgecompile": "0.1.0", "apache-tvm": "0.27.0.post1"},
        "source": "onnx",
        "opset": 21,
        "arena_bytes": 64,
        "weight_bytes": WEIGHTS.nbytes,
        "weights_embedded": False,
        "library": "libtiny.so",
        "static_library": "libtiny.a",
        "headers": ("include/edgecompile.h", "include/tiny.h"),
        "weights": "weights.bin",
        "reference_name": "numpy",
    }
    return Facts.model_validate({**known, **changes})


def report() -> Report:
    """Two steps and one decision."""
    kept = Decision(step="FuseBias", subject="dense", kept=True, reason="one consumer")
    scheduled = Decision(step="schedule", subject="tiny_dense", kept=True, reason="RegisterTile")
    return Report(
        executor="plan",
        steps=(
            Step(
                index=0,
                kernel="tiny_dense",
                operators=("relax.matmul", "relax.add"),
                layers=("dense",),
                kind="matmul",
                macs=24,
                operations=56,
                bytes_read=24,
                bytes_written=32,
                weight_bytes=64,
                decisions=(kept, scheduled),
            ),
            Step(index=1, kernel="tiny_add", operators=("relax.add",), operations=8, bytes_read=32, bytes_written=32),
        ),
        decisions=(Decision(step="FoldBatchNorm", subject="main", kept=False, reason="no batch norm"),),
        memory=MemoryEntry(arena_bytes=64, sum_bytes=128, lower_bound_bytes=64),
    )


def selftest() -> SelfTest:
    """One sample; NumPy's answer stands for both records."""
    answers = dict(zip(("y", "z"), expected(X, SHIFT), strict=True))
    return SelfTest(inputs={"x": X, "shift": SHIFT}, reference=answers, compiled=answers)


def link(target: Target, folder: Path) -> None:
    """Compile the kernels for `target` and link them with the runtime, as the compiler does."""
    folder.mkdir()
    weights = folder / "weights.bin"
    weights.write_bytes(WEIGHTS.tobytes())
    kernels = folder / "kernels.o"
    source = Path(__file__).with_name("kernels.c")
    toolchain = find_toolchain(target)
    toolchain.compile(["-std=c11", "-O1", "-fPIC", "-c", str(source), "-o", str(kernels)], folder, "compiling kernels")
    tensors = {
        kind: tuple(Tensor(e.name, e.dtype, e.shape, 24 if e.name == "x" else 32) for e in entries)  # type: ignore[arg-type]
        for kind, entries in (("inputs", facts().inputs), ("outputs", facts().outputs))
    }
    network = Network(
        name="tiny",
        target=target,
        arena_bytes=64,
        weights_bytes=WEIGHTS.nbytes,
        weights_sha256=hashlib.sha256(WEIGHTS.tobytes()).hexdigest(),
        embed_weights=False,
        steps=("tiny_dense", "tiny_add"),
        run_symbol="tiny_run",
        **tensors,
    )
    link_library(network, [kernels], weights, folder)
    kernels.unlink()


def write(out: Path, linked: Path, **changes: object) -> Manifest:
    """Write the artifact to `out`; `linked` is the folder that `link` filled."""
    with staging(out) as folder:
        shutil.copytree(linked, folder, dirs_exist_ok=True)
        (folder / REPORT_NAME).write_bytes(report().encode())
        write_selftest(folder, selftest())
        return seal(folder, facts(**changes))
