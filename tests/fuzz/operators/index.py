"""Gathers, scatters, one-hot."""

from __future__ import annotations

import numpy as np

from tests.fuzz.builder import GraphBuilder, like
from tests.fuzz.operators.operator import Operator
from tests.fuzz.values import FLOATS, Value

ANY = (*FLOATS, "int32", "int64", "uint8", "bool")


def _indices(graph: GraphBuilder, shape: tuple[int, ...], size: int) -> Value:
    """Indices into an axis of that size, negative ones too, as a constant or as an input."""
    return graph.parameter(shape, graph.choose(["int64", "int32"]), -size, size - 1)


def gather(graph: GraphBuilder) -> None:
    x = graph.pick(ANY, (1, 4), most=256)
    axis = graph.axis(x.rank)
    at = axis % x.rank
    indices = _indices(graph, graph.shape(0, 2, 8), x.shape[at])
    shape = (*x.shape[:at], *indices.shape, *x.shape[at + 1 :])
    graph.node("Gather", [x, indices], [like(x, shape=shape)], axis=axis)


def gather_elements(graph: GraphBuilder) -> None:
    x = graph.pick(("float32", "int64"), (1, 4), most=512)
    axis = graph.axis(x.rank)
    at = axis % x.rank
    shape = tuple(graph.integer(1, size) for size in x.shape)
    indices = _indices(graph, shape, x.shape[at])
    graph.node("GatherElements", [x, indices], [like(x, shape=shape)], axis=axis)


def gather_nd(graph: GraphBuilder) -> None:
    x = graph.pick(("float32", "int64"), (1, 4), most=512)
    depth = graph.integer(1, x.rank)
    count = graph.integer(1, 5)
    columns = [graph.random.integers(-size, size, size=count) for size in x.shape[:depth]]
    indices = graph.constant(np.stack(columns, axis=-1).astype(np.int64))
    graph.node("GatherND", [x, indices], [like(x, shape=(count, *x.shape[depth:]))])


def scatter_elements(graph: GraphBuilder) -> None:
    """No index twice: the order of writes is not specified."""
    x = graph.pick(("float32",), (1, 4), most=512)
    axis = graph.axis(x.rank)
    at = axis % x.rank
    count = graph.integer(1, x.shape[at])
    shape = tuple(count if i == at else size for i, size in enumerate(x.shape))
    order = graph.random.permutation(x.shape[at])[:count].reshape([count if i == at else 1 for i in range(x.rank)])
    indices = graph.constant(np.ascontiguousarray(np.broadcast_to(order, shape)).astype(np.int64))
    updates = graph.parameter(shape, x.dtype)
    out = like(x, low=min(x.low, updates.low), high=max(x.high, updates.high))
    graph.node("ScatterElements", [x, indices, updates], [out], axis=axis)


def scatter_nd(graph: GraphBuilder) -> None:
    x = graph.pick(("float32",), (1, 4), most=512)
    count = graph.integer(1, x.shape[0])
    rows = graph.random.permutation(x.shape[0])[:count].reshape(count, 1)
    updates = graph.parameter((count, *x.shape[1:]), x.dtype)
    out = like(x, low=min(x.low, updates.low), high=max(x.high, updates.high))
    graph.node("ScatterND", [x, graph.constant(rows.astype(np.int64)), updates], [out])


def one_hot(graph: GraphBuilder) -> None:
    depth = graph.integer(1, 9)
    indices = graph.parameter(graph.shape(1, 2, 64), "int64", -depth, depth - 1)
    axis = graph.axis(indices.rank + 1)
    at = axis % (indices.rank + 1)
    values = graph.constant(np.asarray([0.0, 1.0], np.float32))
    shape = (*indices.shape[:at], depth, *indices.shape[at:])
    out = Value("", shape, "float32", 0.0, 1.0)
    graph.node("OneHot", [indices, graph.constant(np.asarray(depth, np.int64)), values], [out], axis=axis)


def shape_arithmetic(graph: GraphBuilder) -> None:
    """Shape -> Gather -> Unsqueeze -> Concat -> Reshape, as exporters write a flattening."""
    x = graph.pick(("float32",), (2, 5))
    (dims,) = graph.node("Shape", [x], [Value("", (x.rank,), "int64", 0, 2**20)])
    graph.values.remove(dims)
    (batch,) = graph.node(
        "Gather", [dims, graph.constant(np.asarray(0, np.int64))], [Value("", (), "int64", 0, 2**20)], axis=0
    )
    graph.values.remove(batch)
    (vector,) = graph.node("Unsqueeze", [batch, graph.integers([0])], [Value("", (1,), "int64", 0, 2**20)])
    graph.values.remove(vector)
    (request,) = graph.node("Concat", [vector, graph.integers([-1])], [Value("", (2,), "int64", 0, 2**20)], axis=0)
    graph.values.remove(request)
    graph.node("Reshape", [x, request], [like(x, shape=(x.shape[0], x.size // x.shape[0]))])


OPERATORS = (
    Operator("Gather", gather),
    Operator("GatherElements", gather_elements),
    Operator("GatherND", gather_nd),
    Operator("ScatterElements", scatter_elements),
    Operator("ScatterND", scatter_nd),
    Operator("OneHot", one_hot),
    Operator("Shape", shape_arithmetic),
)
