"""Counts the nodes in a serialized model before it is parsed: parsed, a few megabytes of tiny nodes fill gigabytes."""

from __future__ import annotations

from edgecompile.errors import InvalidModelError
from edgecompile.settings import LIMITS

# message -> field number of the protobuf schema -> the message inside; all other fields are stepped over.
_CHILDREN: dict[str, dict[int, str]] = {
    "model": {7: "graph", 25: "function"},
    "graph": {1: "node", 5: "tensor", 11: "tensor", 12: "tensor", 13: "tensor"},  # weights, inputs, outputs, value_info
    "function": {4: "name", 5: "name", 7: "node"},
    "node": {1: "name", 2: "name", 5: "attribute"},
    "attribute": {6: "graph", 11: "graph"},
}
_LEAVES = {"tensor", "name"}  # counted, not entered
_MAX_LEVELS = 3 * LIMITS.subgraph_depth + 6  # graph, node and attribute for each subgraph


def check_counts(data: bytes, what: str) -> None:
    """Refuses serialized models of too many functions, nodes, tensors, names, attributes, or subgraph levels.

    Raises:
        InvalidModelError: too much of one, or bytes that are no protobuf message.
    """
    view = memoryview(data)
    most = LIMITS.nodes
    limits = {"function": most, "node": most, "tensor": most, "name": 4 * most, "attribute": 4 * most}
    counts = dict.fromkeys(limits, 0)
    stack = [("model", 0, len(view), 0)]
    while stack:
        kind, position, end, level = stack.pop()
        if level > _MAX_LEVELS:
            raise InvalidModelError(
                f"at most {LIMITS.subgraph_depth} subgraphs within each other were expected in {what}"
            )
        children = _CHILDREN[kind]
        while position < end:
            key, position = _varint(view, position, end, what)
            wire_type = key & 7
            if wire_type == 2:
                length, position = _varint(view, position, end, what)
                child = children.get(key >> 3)
                if child is not None:
                    if child in limits:
                        counts[child] += 1
                        if counts[child] > limits[child]:
                            raise InvalidModelError(
                                f"at most {limits[child]} {child}s were expected, found more in {what}; simplify the "
                                "model"
                            )
                    if position + length <= end and child not in _LEAVES:
                        stack.append((child, position, position + length, level + 1))
                position += length
            elif wire_type == 0:
                _, position = _varint(view, position, end, what)
            elif wire_type in (1, 5):
                position += 8 if wire_type == 1 else 4
            else:
                raise InvalidModelError(f"an ONNX model was needed, found {what}, which is not one or is cut off")
        if position != end:
            raise InvalidModelError(f"an ONNX model was needed, found {what}, which is not one or is cut off")


def _varint(view: memoryview, position: int, end: int, what: str) -> tuple[int, int]:
    number = shift = 0
    while position < end and shift < 70:
        byte = view[position]
        position += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, position
        shift += 7
    raise InvalidModelError(f"an ONNX model was needed, found {what}, which is not one or is cut off")
