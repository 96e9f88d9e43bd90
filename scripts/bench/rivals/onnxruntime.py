"""ONNX Runtime: its own CPU provider (MLAS), which has no Winograd convolution.

Inputs and outputs are bound once. The offline optimizer for transformers was tried and changes nothing on BERT.
"""

from __future__ import annotations

import numpy as np
import onnxruntime

from scripts.bench.case import Case


class _Network:
    notes = "all graph optimizations, bound inputs and outputs"

    def __init__(self, case: Case, threads: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        # Its threads spin while they wait for the next operator, which is faster, but not for the next inference.
        options.add_session_config_entry("session.intra_op.allow_spinning", "1")
        options.add_session_config_entry("session.force_spinning_stop", "1")
        self._session = onnxruntime.InferenceSession(case.onnx, options, providers=["CPUExecutionProvider"])
        self._binding = self._session.io_binding()
        for name, array in case.inputs.items():
            self._binding.bind_cpu_input(name, array)
        for output in self._session.get_outputs():
            self._binding.bind_output(output.name)

    def run(self) -> None:
        self._session.run_with_iobinding(self._binding)

    def outputs(self) -> list[np.ndarray]:
        return self._binding.copy_outputs_to_cpu()


def load(case: Case, threads: int) -> _Network:
    """The case in a session."""
    return _Network(case, threads)
