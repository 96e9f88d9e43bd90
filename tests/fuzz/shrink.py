"""Makes a failing case smaller: removes nodes as long as the same kind of failure stays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import onnx
from onnx import helper

from tests.fuzz.graphs import Case
from tests.fuzz.reference import run_onnxruntime


def all_values(case: Case) -> dict[str, np.ndarray]:
    """Every intermediate tensor as ONNX Runtime computes it."""
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    known = {value.name for value in model.graph.output}
    for node in model.graph.node:
        model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in node.output if name and name not in known)
    return run_onnxruntime(replace(case, model=model)) | case.inputs


def without_node(case: Case, index: int, values: dict[str, np.ndarray]) -> Case | None:
    """The case less one node: what it computed becomes an input. None when nothing would be left."""
    graph = case.model.graph
    gone = set(graph.node[index].output)
    nodes = [node for i, node in enumerate(graph.node) if i != index]
    outputs = [value for value in graph.output if value.name not in gone]
    if not outputs:  # its operands become the outputs, as far as nodes compute them
        made = {name for node in nodes for name in node.output}
        outputs = [_information(name, values[name]) for name in graph.node[index].input if name in made]
    nodes = _live(nodes, {value.name for value in outputs})
    made = {name for node in nodes for name in node.output}
    outputs = [value for value in outputs if value.name in made]
    if not outputs:
        return None
    read = {name for node in nodes for name in node.input if name}
    initializers = [tensor for tensor in graph.initializer if tensor.name in read]
    constant = {tensor.name for tensor in initializers}
    inputs = sorted(name for name in read - made - constant)
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    model.graph.CopyFrom(
        helper.make_graph(
            nodes, graph.name, [_information(name, values[name]) for name in inputs], outputs, initializers
        )
    )
    tolerances = {
        value.name: case.tolerances.get(value.name, _default_tolerance(values[value.name])) for value in outputs
    }
    return Case(model, {name: values[name] for name in inputs}, tolerances)


def shrink(case: Case, fails: Callable[[Case], bool]) -> Case:
    """The smallest case that still fails and cannot lose one more node."""
    values = all_values(case)
    shrunk = True
    while shrunk:
        candidates = (without_node(case, index, values) for index in reversed(range(len(case.model.graph.node))))
        smaller = next((candidate for candidate in candidates if candidate and fails(candidate)), None)
        shrunk = smaller is not None
        case = smaller or case
    return case


def _live(nodes: list[onnx.NodeProto], wanted: set[str]) -> list[onnx.NodeProto]:
    kept: list[onnx.NodeProto] = []
    for node in reversed(nodes):
        if wanted.intersection(node.output):
            kept.insert(0, node)
            wanted |= set(node.input)
    return kept


def _information(name: str, array: np.ndarray) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)


def _default_tolerance(array: np.ndarray) -> float:
    """For a tensor that was no output: loose, since how it came about is not known here."""
    return 1e-3 * float(np.max(np.abs(array), initial=1.0)) if array.dtype.kind == "f" else 0.0
