"""Walks an untrusted model without recursion deeper than its limits, and refuses what is too large or ill-formed."""

from __future__ import annotations

from collections.abc import Iterator

import onnx

from edgecompile.errors import InvalidModelError, UnsupportedModelError
from edgecompile.settings import LIMITS

FunctionKey = tuple[str, str, str]  # domain, name, overload


def all_nodes(nodes: object, depth: int = 0) -> Iterator[onnx.NodeProto]:
    """Each node, and each node of the subgraphs in its attributes; refuses more than `LIMITS.subgraph_depth` levels."""
    if depth > LIMITS.subgraph_depth:
        raise InvalidModelError(
            f"at most {LIMITS.subgraph_depth} subgraphs within each other were expected, found more; simplify the model"
        )
    for node in nodes:  # type: ignore[attr-defined]
        yield node
        for attribute in node.attribute:
            for graph in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                yield from all_nodes(graph.node, depth + 1)


def attribute_tensors(nodes: object) -> Iterator[onnx.TensorProto]:
    """Each tensor inside the nodes' attributes and their subgraphs' initializers."""
    for node in all_nodes(nodes):
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
            for graph in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                yield from graph.initializer


def check_model(model: onnx.ModelProto) -> None:
    """Refuses a model beyond `LIMITS`, of an unknown opset, or with recursive functions.

    Raises:
        InvalidModelError: what is too large, too deep or malformed.
        UnsupportedModelError: an opset outside what the installed `onnx` package and this frontend know.
    """
    if not model.HasField("graph") or (not model.graph.node and not model.graph.output):
        raise InvalidModelError("an ONNX model was needed, found a file without a graph; export the model again")
    _check_opsets(model)
    _check_count(len(model.graph.node))
    _check_count(sum(1 for _ in all_nodes(model.graph.node)))
    _check_functions(model)
    for tensor in model.graph.initializer:
        check_dimensions(tensor.name, list(tensor.dims))
    for tensor in attribute_tensors(model.graph.node):
        check_dimensions(tensor.name, list(tensor.dims))
    for value in (*model.graph.input, *model.graph.output, *model.graph.value_info):
        if value.type.HasField("tensor_type"):
            dims = value.type.tensor_type.shape.dim
            check_dimensions(value.name, [dim.dim_value for dim in dims if dim.HasField("dim_value")])


def check_dimensions(name: str, dims: list[int]) -> None:
    """Refuses negative or enormous dimensions of the tensor `name`."""
    elements = 1
    for dim in dims:
        if not 0 <= dim <= LIMITS.dimension:
            raise InvalidModelError(
                f"tensor '{name}': dimensions from 0 to {LIMITS.dimension} were needed, found {dim}; export it again"
            )
        elements *= dim
    if len(dims) > LIMITS.rank or elements > LIMITS.tensor_elements:
        raise InvalidModelError(
            f"tensor '{name}': at most {LIMITS.rank} dimensions and {LIMITS.tensor_elements} elements were expected, "
            f"found {len(dims)} and {elements}; split the tensor"
        )


def _check_count(count: int) -> None:
    if count > LIMITS.nodes:
        raise InvalidModelError(
            f"at most {LIMITS.nodes} nodes were expected (functions expanded), found {count}; simplify the model"
        )


def _check_opsets(model: onnx.ModelProto) -> None:
    versions = {("" if entry.domain == "ai.onnx" else entry.domain): entry.version for entry in model.opset_import}
    newest = onnx.defs.onnx_opset_version()
    version = versions.get("")
    if version is None:
        if any(node.domain in ("", "ai.onnx") for node in model.graph.node):
            raise InvalidModelError(
                "an opset_import of ONNX's own domain was needed, found none; export the model again"
            )
    elif not 7 <= version <= newest:
        advice = "export with a newer opset" if version < 7 else f"install a newer onnx or export with opset {newest}"
        raise UnsupportedModelError(f"an opset from 7 to {newest} was needed, found {version}; {advice}")


def _check_functions(model: onnx.ModelProto) -> None:
    """Refuses recursive functions, deep call chains, and expansions to more than `LIMITS.nodes` nodes."""
    table: dict[FunctionKey, onnx.FunctionProto] = {}
    for function in model.functions:
        key = (function.domain, function.name, function.overload)
        if key in table:
            raise InvalidModelError(f"one function named {function.domain}.{function.name} was expected, found two")
        table[key] = function
    sizes: dict[FunctionKey, int] = {}
    active: list[FunctionKey] = []

    def size(nodes: object) -> int:
        total = 0
        for node in all_nodes(nodes):
            key = (node.domain, node.op_type, node.overload)
            total += expanded(key) if key in table else 1
        return total

    def expanded(key: FunctionKey) -> int:
        if key in active:
            raise InvalidModelError(f"functions that end were needed, found {key[0]}.{key[1]} calling itself")
        if len(active) >= LIMITS.function_depth:
            raise InvalidModelError(
                f"at most {LIMITS.function_depth} functions within each other were expected, found more"
            )
        if key not in sizes:
            active.append(key)
            sizes[key] = size(table[key].node)
            active.pop()
        return sizes[key]

    for key in table:
        _check_count(expanded(key))
    if table:
        _check_count(size(model.graph.node))
