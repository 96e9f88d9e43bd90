"""MNN by its session interface, converted with the optimizations that it calls the fastest.

"high" precision is float32; "low" would be bfloat16 or float16. The module interface, the memory levels and the
converter's other preferences were tried: none is faster. Without Winograd VGG-16 takes 1.4 times as long. The wheel of
3.6.1 for x86-64 has no AVX-512 code: where the CPU has it, a build from source may be faster.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import MNN
import numpy as np

from scripts.bench.case import Case
from scripts.bench.rivals import UnusableRival

# `MNN.tools.mnnconvert`, the official way, installs a package with pip and sends statistics; this is what it wraps.
_CONVERT = "import sys, _tools; _tools.mnnconvert(sys.argv)"


class _Network:
    notes = "session, precision high, optimizePrefer 2, Winograd on"

    def __init__(self, case: Case, threads: int) -> None:
        folder = case.converted("mnn", lambda place: _convert(case.onnx, place / "model.mnn"))
        self._network = MNN.Interpreter(str(folder / "model.mnn"))
        self._session = self._network.createSession({"backend": "CPU", "precision": "high", "numThread": threads})
        for name, array in case.inputs.items():
            self._network.getSessionInput(self._session, name).copyFrom(_tensor(array))
        self._names = _output_names(case.onnx)
        self._shapes = [array.shape for array in case.expected]

    def run(self) -> None:
        self._network.runSession(self._session)

    def outputs(self) -> list[np.ndarray]:
        arrays = []
        for name, shape in zip(self._names, self._shapes, strict=True):
            copy = _tensor(np.zeros(shape, np.float32))
            self._network.getSessionOutput(self._session, name).copyToHostTensor(copy)
            arrays.append(np.array(copy.getNumpyData()).reshape(shape))
        return arrays


def load(case: Case, threads: int) -> _Network:
    """The case in a session."""
    return _Network(case, threads)


def _convert(source: Path, target: Path) -> None:
    arguments = ["-f", "ONNX", "--modelFile", str(source), "--MNNModel", str(target), "--bizCode", "bench"]
    result = subprocess.run(
        [sys.executable, "-c", _CONVERT, *arguments, "--optimizePrefer", "2"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if not target.exists():  # its exit status says nothing
        lines = [line for line in result.stdout.splitlines() if "Not Support" in line] or result.stdout.splitlines()
        raise UnusableRival(f"the converter failed: {lines[-1] if lines else 'it said nothing'}")


def _tensor(array: np.ndarray) -> MNN.Tensor:
    """A host tensor in the order of the array; integers become 32 bits wide, MNN has no others."""
    integer = np.issubdtype(array.dtype, np.integer)
    kind, dtype = (MNN.Halide_Type_Int, np.int32) if integer else (MNN.Halide_Type_Float, np.float32)
    return MNN.Tensor(array.shape, kind, np.ascontiguousarray(array, dtype), MNN.Tensor_DimensionType_Caffe)


def _output_names(path: Path) -> list[str]:
    import onnx

    return [entry.name for entry in onnx.load(path, load_external_data=False).graph.output]
