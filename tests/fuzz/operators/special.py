"""Operators on inputs with NaN and infinities, whose results nothing else reads."""

from __future__ import annotations

import numpy as np

from tests.fuzz.builder import GraphBuilder, like
from tests.fuzz.operators.operator import Operator
from tests.fuzz.values import Value, rounding

# What IEEE 754 decides; the standard leaves open what Max, Min, Relu and Clip make of a NaN.
PROPAGATE = ("Neg", "Abs", "Identity", "Sqrt", "Exp", "Transpose", "Add", "Mul", "Sub", "Cast", "Where")


def _special_input(graph: GraphBuilder) -> Value:
    """Every third element is NaN or infinite."""
    value = graph.input(graph.shape(), "float32")
    graph.values.remove(value)
    flat = graph.inputs[value.name].reshape(-1)
    flat[::3] = graph.choose([np.nan, np.inf, -np.inf])
    return value


def _finish(graph: GraphBuilder, op_type: str, operands: list[Value], out: Value, **attributes: object) -> None:
    (result,) = graph.node(op_type, operands, [out], **attributes)
    graph.values.remove(result)
    graph.unread.append(result)


def is_nan(graph: GraphBuilder) -> None:
    value = _special_input(graph)
    graph.node("IsNaN", [value], [like(value, dtype="bool", low=0, high=1)])


def is_infinite(graph: GraphBuilder) -> None:
    value = _special_input(graph)
    signs = graph.choose([{}, {"detect_negative": 0}, {"detect_positive": 0}])
    graph.node("IsInf", [value], [like(value, dtype="bool", low=0, high=1)], **signs)


def propagate(graph: GraphBuilder) -> None:
    """NaN and infinities come out in the same places."""
    value = _special_input(graph)
    op_type = graph.choose(PROPAGATE)
    out = like(value, error=rounding("float32", 8.0, 16))
    if op_type in ("Add", "Mul", "Sub"):
        _finish(graph, op_type, [value, graph.weight((), "float32")], out)
    elif op_type == "Where":
        condition = graph.parameter(value.shape, "bool")
        _finish(graph, op_type, [condition, value, graph.weight((), "float32")], out)
    elif op_type == "Transpose":
        _finish(graph, op_type, [value], like(out, shape=value.shape[::-1]))
    elif op_type == "Cast":
        _finish(graph, op_type, [value], like(out, dtype="float64"), to=11)
    else:
        _finish(graph, op_type, [value], out)


OPERATORS = (
    Operator("IsNaN", is_nan),
    Operator("IsInf", is_infinite),
    Operator("NonFinite", propagate),
)
