"""OpenVINO's CPU plugin: the latency hint, float32 throughout (it would choose bfloat16 where the CPU has it)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import openvino

from scripts.bench.case import Case

# What the plugin calls the nodes that do nearly all arithmetic.
_HEAVY = ("Convolution", "FullyConnected", "MatMul")


class Request:
    """A model in an inference request.

    Args:
        model: its file.
        inputs: in order.
        threads: that work on one inference.
        settings: of the plugin, beside those that are for all.
    """

    def __init__(self, model: Path, inputs: Iterable[np.ndarray], threads: int, settings: Mapping[str, object]) -> None:
        shared = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1}
        compiled = openvino.Core().compile_model(model, "CPU", {**shared, **settings})
        self._request = compiled.create_infer_request()
        self._inputs, self._outputs = compiled.inputs, compiled.outputs
        self.give(inputs)
        self.model_bytes = sum(path.stat().st_size for path in model.parent.glob(f"{model.stem}.*"))
        self.precision = str(compiled.get_property("INFERENCE_PRECISION_HINT").to_string())
        self.notes = f"latency hint, {self.precision}; {_kernels(compiled)}"

    def give(self, inputs: Iterable[np.ndarray]) -> None:
        for port, array in zip(self._inputs, inputs, strict=True):
            self._request.set_tensor(port, openvino.Tensor(array, shared_memory=True))

    def run(self) -> None:
        self._request.infer()

    def outputs(self) -> list[np.ndarray]:
        return [self._request.get_tensor(port).data.copy() for port in self._outputs]


def _kernels(compiled: openvino.CompiledModel) -> str:
    """The kernels of convolutions and matrix products by name, the most frequent first."""
    facts = [node.get_rt_info() for node in compiled.get_runtime_model().get_ops()]
    counts = Counter(str(fact["primitiveType"].value) for fact in facts if fact["layerType"].value in _HEAVY)
    return " ".join(f"{count} {name}" for name, count in counts.most_common())


def load(case: Case, threads: int) -> Request:
    """The case in an inference request."""
    return Request(case.onnx, case.inputs.values(), threads, {"INFERENCE_PRECISION_HINT": "f32"})
