"""The original model's own answers, by ONNX Runtime where it can run the model, else by ONNX's reference evaluator."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import onnx

from edgecompile.frontend.model import Reference

Runner: TypeAlias = Callable[[dict[str, np.ndarray]], list[Any]]

_MAX_PROTOBUF_BYTES = 2**31 - 1
_SMALL_BYTES = 4096
"""Weights up to this size, such as shapes and axes, are shown to ONNX Runtime when it is asked if it runs the model."""


def make_reference(model: onnx.ModelProto, weights: Mapping[str, np.ndarray]) -> tuple[Reference | None, str]:
    """A function that runs the frozen original, and the name of what it runs on; (None, "") for models above 2 GB.

    What it runs on is decided now, on a copy of the model without its large weights. The runner itself is made at the
    first call, so that loading a model costs neither its memory nor its time; it never falls back to something else.
    """
    if sum(array.nbytes for array in weights.values()) > _MAX_PROTOBUF_BYTES - 2**24:
        return None, ""
    names = [value.name for value in model.graph.input]
    refusal = _onnxruntime_refusal(_outline(model, weights))
    make_runner = _run_onnxruntime if refusal is None else _run_onnx
    library = "onnxruntime" if refusal is None else "onnx"
    runner: list[Runner] = []

    def reference(inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        if not runner:
            if refusal:
                reason = f"ONNX Runtime refused the model ({refusal}); the reference is onnx.reference"
                warnings.warn(reason, stacklevel=2)
            runner.append(make_runner(_whole(model, weights)))
        return [np.asarray(output) for output in runner[0](dict(zip(names, inputs, strict=True)))]

    return reference, f"{library} {importlib.metadata.version(library)}"


def _whole(model: onnx.ModelProto, weights: Mapping[str, np.ndarray]) -> onnx.ModelProto:
    whole = onnx.ModelProto()
    whole.CopyFrom(model)
    for name, array in weights.items():
        whole.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    whole.ir_version = max(whole.ir_version, 4)  # from 4 on, initializers need not be inputs, too
    return whole


def _outline(model: onnx.ModelProto, weights: Mapping[str, np.ndarray]) -> onnx.ModelProto:
    """The whole model, but its large weights are inputs."""
    large = {name: array for name, array in weights.items() if array.nbytes > _SMALL_BYTES and array.dtype != object}
    outline = _whole(model, {name: array for name, array in weights.items() if name not in large})
    for name, array in large.items():
        element_type = onnx.helper.np_dtype_to_tensor_dtype(array.dtype)
        outline.graph.input.append(onnx.helper.make_tensor_value_info(name, element_type, array.shape))
    return outline


def _onnxruntime_refusal(outline: onnx.ModelProto) -> str | None:
    """Why ONNX Runtime cannot run the model, "" where it is not installed; None where it can."""
    if not importlib.util.find_spec("onnxruntime"):
        return ""
    try:
        _session(outline, optimize=False)
    except Exception as error:  # ONNX Runtime raises a dozen kinds that share no base class
        return str(error).splitlines()[0][:200]
    return None


def _session(model: onnx.ModelProto, *, optimize: bool) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    if not optimize:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def _run_onnxruntime(model: onnx.ModelProto) -> Runner:
    session = _session(model, optimize=True)
    return lambda inputs: session.run(None, inputs)


def _run_onnx(model: onnx.ModelProto) -> Runner:
    from onnx.reference import ReferenceEvaluator

    evaluator = ReferenceEvaluator(model)
    return lambda inputs: evaluator.run(None, inputs)
