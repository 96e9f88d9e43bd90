"""ONNX Runtime: its own CPU provider (MLAS), which has no Winograd convolution.

Inputs and outputs are bound once. The offline optimizer for transformers was tried and changes nothing on BERT.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import onnxruntime

from scripts.bench.case import Case


class Session:
    """A model in a session.

    Args:
        model: its file.
        inputs: by name.
        threads: that work on one inference.
        entries: of the session's configuration, beside those that are for all.
    """

    notes = "all graph optimizations, bound inputs and outputs"

    def __init__(
        self, model: Path, inputs: Mapping[str, np.ndarray], threads: int, entries: Mapping[str, str] | None = None
    ) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        # Its threads spin while they wait for the next operator, which is faster, but not for the next inference.
        options.add_session_config_entry("session.intra_op.allow_spinning", "1")
        options.add_session_config_entry("session.force_spinning_stop", "1")
        for key, value in (entries or {}).items():
            options.add_session_config_entry(key, value)
        self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self.model_bytes = model.stat().st_size
        self._names = list(inputs)
        self._binding = self._session.io_binding()
        self.give(inputs.values())
        for output in self._session.get_outputs():
            self._binding.bind_output(output.name)

    def give(self, inputs: Iterable[np.ndarray]) -> None:
        for name, array in zip(self._names, inputs, strict=True):
            self._binding.bind_cpu_input(name, array)

    def run(self) -> None:
        self._session.run_with_iobinding(self._binding)

    def outputs(self) -> list[np.ndarray]:
        return self._binding.copy_outputs_to_cpu()


def load(case: Case, threads: int) -> Session:
    """The case in a session."""
    return Session(case.onnx, case.inputs, threads)
