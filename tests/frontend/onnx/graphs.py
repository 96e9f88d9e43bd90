"""Short ways to write the ONNX models of these tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

Value = tuple[str, int, Sequence[int | str] | None]


def value(name: str, shape: Sequence[int | str] | None = (2, 3), kind: int = TensorProto.FLOAT) -> onnx.ValueInfoProto:
    """A float input or output."""
    return helper.make_tensor_value_info(name, kind, shape)


def model(
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[onnx.ValueInfoProto],
    outputs: Sequence[onnx.ValueInfoProto],
    *,
    weights: Mapping[str, np.ndarray] | None = None,
    opset: int = 21,
    **options: Any,
) -> onnx.ModelProto:
    """A model of one graph; `weights` become initializers."""
    initializers = [onnx.numpy_helper.from_array(array, name) for name, array in (weights or {}).items()]
    graph = helper.make_graph(list(nodes), "net", list(inputs), list(outputs), initializers)
    imports = options.pop("opset_imports", [helper.make_opsetid("", opset)])
    return helper.make_model(graph, opset_imports=imports, ir_version=10, **options)


def relu() -> onnx.ModelProto:
    """x -> Relu -> y, both float32 [2, 3]."""
    return model([helper.make_node("Relu", ["x"], ["y"])], [value("x")], [value("y")])
