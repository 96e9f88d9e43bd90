"""OpenVINO's CPU plugin: the latency hint, float32 throughout (it would choose bfloat16 where the CPU has it)."""

from __future__ import annotations

from collections import Counter

import numpy as np
import openvino

from scripts.bench.case import Case

# What the plugin calls the nodes that do nearly all arithmetic.
_HEAVY = ("Convolution", "FullyConnected", "MatMul")


class _Network:
    def __init__(self, case: Case, threads: int) -> None:
        settings = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": "f32",
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
        }
        compiled = openvino.Core().compile_model(case.onnx, "CPU", settings)
        self._request = compiled.create_infer_request()
        for port, array in zip(compiled.inputs, case.inputs.values(), strict=True):
            self._request.set_tensor(port, openvino.Tensor(array, shared_memory=True))
        self._ports = compiled.outputs
        self.notes = f"latency hint, f32; {_kernels(compiled)}"

    def run(self) -> None:
        self._request.infer()

    def outputs(self) -> list[np.ndarray]:
        return [self._request.get_tensor(port).data.copy() for port in self._ports]


def _kernels(compiled: openvino.CompiledModel) -> str:
    """The kernels of convolutions and matrix products by name, the most frequent first."""
    facts = [node.get_rt_info() for node in compiled.get_runtime_model().get_ops()]
    counts = Counter(str(fact["primitiveType"].value) for fact in facts if fact["layerType"].value in _HEAVY)
    return " ".join(f"{count} {name}" for name, count in counts.most_common())


def load(case: Case, threads: int) -> _Network:
    """The case in an inference request."""
    return _Network(case, threads)
