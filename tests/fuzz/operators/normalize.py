"""Normalisations and softmax."""

from __future__ import annotations

import math
from collections.abc import Callable

from tests.fuzz.builder import GraphBuilder, like
from tests.fuzz.operators.operator import Operator
from tests.fuzz.values import Value, rounding

# A large epsilon bounds what a division by a small variance does to rounding errors.
EPSILON = 0.05


def _normalized(x: Value, scale: Value, bias: Value | None, terms: int) -> Value:
    """scale * (x - mean) / sqrt(variance + EPSILON) + bias over `terms` elements."""
    steepest = 1 / math.sqrt(EPSILON)
    # A deviation is at most sqrt(terms) standard deviations.
    bound = scale.magnitude * math.sqrt(terms) + (bias.magnitude if bias else 0.0)
    within = x.error + rounding(x.dtype, x.magnitude, terms)
    # The error of the variance moves every result by at most as much again.
    error = 2 * steepest * scale.magnitude * within + rounding(x.dtype, bound)
    return like(x, low=-bound, high=bound, error=error)


def _channel_parameters(graph: GraphBuilder, x: Value, count: int) -> tuple[Value, Value]:
    return graph.parameter((count,), x.dtype, 0.5, 1.5), graph.parameter((count,), x.dtype, -1.0, 1.0)


def batch_norm(graph: GraphBuilder) -> None:
    x = graph.pick(("float32",), (2, 5))
    channels = x.shape[1]
    scale, bias = _channel_parameters(graph, x, channels)
    mean = graph.weight((channels,), x.dtype, -1.0, 1.0)
    variance = graph.weight((channels,), x.dtype, 0.25, 2.0)
    bound = 2 * scale.magnitude * (x.magnitude + 1) + 1
    error = 2 * scale.magnitude * x.error + rounding(x.dtype, bound, 4)
    out = like(x, low=-bound, high=bound, error=error)
    graph.node("BatchNormalization", [x, scale, bias, mean, variance], [out], epsilon=1e-5)


def instance_norm(graph: GraphBuilder) -> None:
    x = graph.pick(("float32",), (3, 5), magnitude=50)
    scale, bias = _channel_parameters(graph, x, x.shape[1])
    out = _normalized(x, scale, bias, math.prod(x.shape[2:]))
    graph.node("InstanceNormalization", [x, scale, bias], [out], epsilon=EPSILON)


def layer_norm(graph: GraphBuilder) -> None:
    x = graph.pick(("float32",), (1, 4), magnitude=50)
    axis = graph.axis(x.rank)
    shape = x.shape[axis % x.rank :]
    scale = graph.parameter(shape, x.dtype, 0.5, 1.5)
    bias = graph.parameter(shape, x.dtype, -1.0, 1.0) if graph.flag() else None
    out = _normalized(x, scale, bias, math.prod(shape))
    graph.node("LayerNormalization", [x, scale, bias], [out], axis=axis, epsilon=EPSILON)


def group_norm(graph: GraphBuilder) -> None:
    x = graph.pick(("float32",), (3, 4), magnitude=50)
    channels = x.shape[1]
    groups = graph.choose([g for g in range(1, channels + 1) if channels % g == 0])
    scale, bias = _channel_parameters(graph, x, channels)
    out = _normalized(x, scale, bias, math.prod(x.shape[1:]) // groups)
    graph.node("GroupNormalization", [x, scale, bias], [out], num_groups=groups, epsilon=EPSILON)


def local_response(graph: GraphBuilder) -> None:
    x = graph.pick(("float32",), (4, 4), magnitude=50)
    size = graph.choose([3, 1, 5])
    error = 2 * x.error + rounding(x.dtype, x.magnitude, 16)
    graph.node("LRN", [x], [like(x, error=error)], size=size, alpha=0.001, beta=0.75, bias=1.0)


def soft(op_type: str) -> Callable[[GraphBuilder], None]:
    def build(graph: GraphBuilder) -> None:
        x = graph.pick(("float32", "float64") if graph.flag() else (), (1, 4), magnitude=30)
        axis = graph.axis(x.rank)
        low, high = (0.0, 1.0) if op_type == "Softmax" else (-2 * x.magnitude - 10, 0.0)
        error = 2 * x.error + rounding(x.dtype, max(1.0, -low), 16)
        graph.node(op_type, [x], [like(x, low=low, high=high, error=error)], axis=axis)

    return build


def hardmax(graph: GraphBuilder) -> None:
    x = graph.pick(("float32",), (1, 4), exact=True)
    graph.node("Hardmax", [x], [like(x, low=0.0, high=1.0)], axis=graph.axis(x.rank))


OPERATORS = (
    Operator("BatchNormalization", batch_norm),
    Operator("InstanceNormalization", instance_norm),
    Operator("LayerNormalization", layer_norm, 17),
    Operator("GroupNormalization", group_norm, 21),
    Operator("LRN", local_response),
    Operator("Softmax", soft("Softmax")),
    Operator("LogSoftmax", soft("LogSoftmax")),
    Operator("Hardmax", hardmax),
)
