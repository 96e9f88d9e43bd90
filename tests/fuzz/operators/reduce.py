"""Reductions, positions of extremes, running sums, sorting."""

from __future__ import annotations

import math
from collections.abc import Callable

from tests.fuzz.builder import GraphBuilder, like
from tests.fuzz.operators.operator import Operator
from tests.fuzz.operators.unary import into_range
from tests.fuzz.values import Value, rounding

# The opset from which the axes come as an input instead of an attribute.
AXES_INPUT = {"ReduceSum": 13}
AXES_INPUT_DEFAULT = 18
POSITIVE = ("ReduceLogSum", "ReduceL2")
INTEGER_TOO = ("ReduceSum", "ReduceMax", "ReduceMin")


def _bounds(op_type: str, x: Value, terms: int) -> tuple[float, float, float]:
    """The interval of the results, and how much they follow an operand's error."""
    m = x.magnitude
    if op_type == "ReduceProd":
        return -(m**terms), m**terms, terms * m ** max(terms - 1, 0)
    return {
        "ReduceSum": (-terms * m, terms * m, terms),
        "ReduceMean": (x.low, x.high, 1.0),
        "ReduceMax": (x.low, x.high, 1.0),
        "ReduceMin": (x.low, x.high, 1.0),
        "ReduceL1": (0.0, terms * m, terms),
        "ReduceL2": (0.0, math.sqrt(terms) * m, math.sqrt(terms)),
        "ReduceSumSquare": (0.0, terms * m * m, 2 * terms * m),
        "ReduceLogSum": (-3.0, math.log(terms * m + 1), 4.0),
        "ReduceLogSumExp": (-m, m + math.log(terms), 1.0),
    }[op_type]


def reduction(op_type: str) -> Callable[[GraphBuilder], None]:
    def build(graph: GraphBuilder) -> None:
        x = graph.pick(("float32", "int32", "int64") if op_type in INTEGER_TOO else ("float32",), (0, 4), magnitude=50)
        axes = graph.choices.subset(range(x.rank)) if graph.integer(0, 3) else []
        reduced = axes or list(range(x.rank))
        terms = math.prod(x.shape[axis] for axis in reduced)
        if op_type in POSITIVE:
            x = into_range(graph, x, 0.25, 50.0)
        if op_type == "ReduceProd":  # near 1, so that the product neither vanishes nor explodes
            reach = min(0.75, 2.0 / terms)
            x = into_range(graph, x, 1 - reach, 1 + reach)
        keep = graph.integer(0, 1)
        shape = tuple(
            1 if axis in reduced else size for axis, size in enumerate(x.shape) if keep or axis not in reduced
        )
        low, high, slope = _bounds(op_type, x, terms)
        scale = max(abs(low), abs(high))
        exact = op_type in ("ReduceMax", "ReduceMin")
        error = slope * x.error + (0.0 if exact else rounding(x.dtype, scale, max(terms, 16)))
        axes = [axis - x.rank if graph.flag() else axis for axis in axes]
        out = Value("", shape, x.dtype, low, high, error)
        attributes: dict[str, object] = {"keepdims": keep}
        operands: list[Value | None] = [x]
        if axes and graph.opset >= AXES_INPUT.get(op_type, AXES_INPUT_DEFAULT):
            operands.append(graph.integers(axes))
        elif axes:
            attributes["axes"] = axes
        graph.node(op_type, operands, [out], **attributes)

    return build


def extreme(op_type: str) -> Callable[[GraphBuilder], None]:
    """Exact operands, so that ties are ties everywhere; which one wins is specified."""

    def build(graph: GraphBuilder) -> None:
        x = graph.pick(("float32", "int32"), (1, 4), exact=True)
        axis = graph.axis(x.rank)
        keep = graph.integer(0, 1)
        shape = tuple(1 if i == axis % x.rank else size for i, size in enumerate(x.shape) if keep or i != axis % x.rank)
        out = Value("", shape, "int64", 0, x.shape[axis] - 1)
        graph.node(op_type, [x], [out], axis=axis, keepdims=keep, select_last_index=graph.integer(0, 1))

    return build


def running_sum(graph: GraphBuilder) -> None:
    x = graph.pick(("float32", "int32", "int64"), (1, 4), magnitude=50)
    axis = graph.axis(x.rank)
    terms = x.shape[axis]
    bound = terms * x.magnitude
    out = like(x, low=-bound, high=bound, error=terms * x.error + rounding(x.dtype, bound, terms))
    attributes = {"exclusive": graph.integer(0, 1), "reverse": graph.integer(0, 1)}
    graph.node("CumSum", [x, graph.integers([axis])], [out], **attributes)


def top_k(graph: GraphBuilder) -> None:
    """Among equal elements the one with the lower index comes first."""
    x = graph.pick(("float32", "int64"), (1, 4), exact=True)
    axis = graph.axis(x.rank)
    k = graph.integer(1, x.shape[axis])
    shape = tuple(k if i == axis % x.rank else size for i, size in enumerate(x.shape))
    outputs = [like(x, shape=shape), Value("", shape, "int64", 0, x.shape[axis] - 1)]
    graph.node("TopK", [x, graph.integers([k])], outputs, axis=axis, largest=graph.integer(0, 1))


OPERATORS = (
    *(
        Operator(name, reduction(name))
        for name in (
            "ReduceSum",
            "ReduceMean",
            "ReduceMax",
            "ReduceMin",
            "ReduceProd",
            "ReduceL1",
            "ReduceL2",
            "ReduceSumSquare",
            "ReduceLogSum",
            "ReduceLogSumExp",
        )
    ),
    Operator("ArgMax", extreme("ArgMax")),
    Operator("ArgMin", extreme("ArgMin")),
    Operator("CumSum", running_sum),
    Operator("TopK", top_k),
)
