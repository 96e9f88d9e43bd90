"""The original model's own answers, by ONNX Runtime where it is installed, else by ONNX's reference evaluator."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx

from edgecompile.frontend.model import Reference

_MAX_PROTOBUF_BYTES = 2**31 - 1


def make_reference(model: onnx.ModelProto, weights: Mapping[str, np.ndarray]) -> tuple[Reference | None, str]:
    """A function that runs the frozen original, and the name of what it runs on; (None, "") for models above 2 GB.

    The session is made at the first call, so that loading a model does not wait for it.
    """
    if sum(array.nbytes for array in weights.values()) > _MAX_PROTOBUF_BYTES - 2**24:
        return None, ""
    names = [value.name for value in model.graph.input]
    runner: list[Callable[[dict[str, np.ndarray]], list[Any]]] = []

    def reference(inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        if not runner:
            runner.append(_make_runner(_whole(model, weights)))
        return [np.asarray(output) for output in runner[0](dict(zip(names, inputs, strict=True)))]

    library = "onnxruntime" if importlib.util.find_spec("onnxruntime") else "onnx"
    return reference, f"{library} {importlib.metadata.version(library)}"


def _whole(model: onnx.ModelProto, weights: Mapping[str, np.ndarray]) -> onnx.ModelProto:
    whole = onnx.ModelProto()
    whole.CopyFrom(model)
    for name, array in weights.items():
        whole.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    whole.ir_version = max(whole.ir_version, 4)  # from 4 on, initializers need not be inputs, too
    return whole


def _make_runner(model: onnx.ModelProto) -> Callable[[dict[str, np.ndarray]], list[Any]]:
    if importlib.util.find_spec("onnxruntime"):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        options.intra_op_num_threads = 1
        try:
            session = onnxruntime.InferenceSession(
                model.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # ONNX Runtime raises a dozen kinds that share no base class
            reason = str(error).splitlines()[0][:200]
            warnings.warn(f"ONNX Runtime refused the model ({reason}); the reference is onnx.reference", stacklevel=3)
        else:
            return lambda inputs: session.run(None, inputs)
    from onnx.reference import ReferenceEvaluator

    evaluator = ReferenceEvaluator(model)
    return lambda inputs: evaluator.run(None, inputs)
