"""Operators that move elements and compute nothing."""

from __future__ import annotations

import math

import numpy as np

from tests.fuzz.builder import MOST_ELEMENTS, GraphBuilder, like
from tests.fuzz.operators.operator import Operator
from tests.fuzz.values import FLOATS, Value

ANY = (*FLOATS, "int32", "int64", "uint8", "int8", "bool")
NUMBERS = ("float32", "int32", "int64")


def transpose(graph: GraphBuilder) -> None:
    x = graph.pick(ANY)
    order = graph.choices.permutation(x.rank)
    attributes = {"perm": order} if order and graph.flag() else {}
    order = order if attributes else list(reversed(range(x.rank)))
    graph.node("Transpose", [x], [like(x, shape=tuple(x.shape[i] for i in order))], **attributes)


def reshape(graph: GraphBuilder) -> None:
    """To any factorisation, with -1 and 0 now and then."""
    x = graph.pick(ANY)
    rest, shape = x.size, []
    for _ in range(graph.integer(0, 4)):
        shape.append(graph.choose([d for d in range(1, rest + 1) if rest % d == 0][:12]))
        rest //= shape[-1]
    if rest > 1 or graph.flag():
        shape.append(rest)
    request = list(shape)
    if shape and graph.flag():
        request[graph.integer(0, len(shape) - 1)] = -1
    for i in range(min(len(shape), x.rank)):
        if request[i] == x.shape[i] and graph.flag():
            request[i] = 0
    graph.node("Reshape", [x, graph.integers(request)], [like(x, shape=tuple(shape))])


def flatten(graph: GraphBuilder) -> None:
    x = graph.pick(FLOATS, (1, 5))
    axis = graph.integer(-x.rank, x.rank)
    split = axis if axis >= 0 else axis + x.rank
    out = like(x, shape=(math.prod(x.shape[:split]), math.prod(x.shape[split:])))
    graph.node("Flatten", [x], [out], axis=axis)


def squeeze(graph: GraphBuilder) -> None:
    x = graph.pick(
        ANY, (1, 5), fits=lambda value: 1 in value.shape, adapt=lambda shape: shape if 1 in shape else (*shape[:-1], 1)
    )
    ones = [axis for axis, size in enumerate(x.shape) if size == 1]
    if graph.flag():
        gone = graph.choices.subset(ones)
        operands = [x, graph.integers([axis - x.rank if graph.flag() else axis for axis in gone])]
    else:
        gone, operands = ones, [x]
    shape = tuple(size for axis, size in enumerate(x.shape) if axis not in gone)
    graph.node("Squeeze", operands, [like(x, shape=shape)])


def unsqueeze(graph: GraphBuilder) -> None:
    x = graph.pick(ANY, (0, 4))
    rank = x.rank + graph.integer(1, 5 - x.rank)
    axes = graph.choices.permutation(rank)[: rank - x.rank]
    sizes = iter(x.shape)
    shape = tuple(1 if axis in axes else next(sizes) for axis in range(rank))
    request = [axis - rank if graph.flag() else axis for axis in axes]
    graph.node("Unsqueeze", [x, graph.integers(request)], [like(x, shape=shape)])


def concat(graph: GraphBuilder) -> None:
    """The same value twice now and then."""
    x = graph.pick(ANY, (1, 5), most=MOST_ELEMENTS // 2)
    axis = graph.axis(x.rank)
    at = axis % x.rank

    def fits(value: Value) -> bool:
        return value.rank == x.rank and value.shape[:at] + value.shape[at + 1 :] == x.shape[:at] + x.shape[at + 1 :]

    parts = [x]
    for _ in range(graph.integer(0, 2)):
        if graph.flag():
            parts.append(
                graph.choose([x, *(v for v in graph.values if v.dtype == x.dtype and v.is_usable and fits(v))])
            )
        else:
            shape = (*x.shape[:at], graph.integer(1, 3), *x.shape[at + 1 :])
            parts.append(graph.parameter(shape, x.dtype))
    shape = (*x.shape[:at], sum(part.shape[at] for part in parts), *x.shape[at + 1 :])
    out = Value("", shape, x.dtype, min(p.low for p in parts), max(p.high for p in parts), max(p.error for p in parts))
    graph.node("Concat", parts, [out], axis=axis)


def split(graph: GraphBuilder) -> None:
    """In given parts, or in equal ones of which the last may be smaller."""
    x = graph.pick(
        ANY,
        (1, 5),
        fits=lambda value: max(value.shape) > 1,
        adapt=lambda shape: shape if max(shape) > 1 else (2, *shape[1:]),
    )
    axis = graph.choose([i for i, size in enumerate(x.shape) if size > 1])
    size = x.shape[axis]
    if graph.flag():
        first = graph.integer(1, size - 1)
        sizes = [first, size - first]
        operands, attributes = [x, graph.integers(sizes)], {}
    else:
        count = graph.choose([n for n in (2, 3) if size % n == 0] or [size])
        if graph.opset >= 18 and size > 2 and graph.flag():
            count = 2
        chunk = -(-size // count)
        sizes = [chunk] * (count - 1) + [size - chunk * (count - 1)]
        operands, attributes = [x], {"num_outputs": count} if graph.opset >= 18 else {}
    outputs = [like(x, shape=(*x.shape[:axis], part, *x.shape[axis + 1 :])) for part in sizes]
    graph.node("Split", operands, outputs, axis=axis - x.rank if graph.flag() else axis, **attributes)


def slice_(graph: GraphBuilder) -> None:
    """Negative indices, ends beyond the axis, negative steps."""
    x = graph.pick(ANY, (1, 5))
    axes = graph.choices.subset(range(x.rank))
    starts, ends, steps, shape = [], [], [], list(x.shape)
    for axis in axes:
        size = x.shape[axis]
        step = graph.choose([1, 2, -1, 3, -2])
        first = graph.integer(0, size - 1)
        last = graph.integer(first, size - 1) if step > 0 else graph.integer(0, first)
        shape[axis] = len(range(first, last + (1 if step > 0 else -1), step))
        end = last + 1 if step > 0 else last - 1
        if end < 0:
            end = -size - 1 - graph.integer(0, 3)
        elif end < size and graph.flag():
            end -= size
        elif end == size and graph.flag():
            end = graph.choose([size + 5, 2**31 - 1, 2**63 - 1])
        starts.append(first - size if graph.flag() else first)
        ends.append(end)
        steps.append(step)
    named = [axis - x.rank if graph.flag() else axis for axis in axes]
    operands = [x, graph.integers(starts), graph.integers(ends), graph.integers(named), graph.integers(steps)]
    graph.node("Slice", operands, [like(x, shape=tuple(shape))])


def pad(graph: GraphBuilder) -> None:
    """Constant, edge or reflected borders; constant ones may also cut."""
    x = graph.pick(("float32", "int32", "int64"), (1, 4), most=512)
    mode = graph.choose(["constant", "edge", "reflect"])
    most = [min(3, size - 1) if mode == "reflect" else 3 for size in x.shape]
    begins = [graph.integer(0, n) for n in most]
    ends = [graph.integer(0, n) for n in most]
    if mode == "constant" and x.shape[0] > 1 and graph.flag():
        begins[0] = -1
    shape = tuple(size + b + e for size, b, e in zip(x.shape, begins, ends, strict=True))
    operands: list[Value | None] = [x, graph.integers(begins + ends)]
    fill = 0.0
    if mode == "constant" and graph.flag():
        fill = float(graph.integer(-2, 3))
        operands.append(graph.constant(np.asarray(fill, x.dtype)))
    if graph.opset >= 18 and x.rank > 1 and graph.flag():
        kept = [axis for axis in range(x.rank) if begins[axis] or ends[axis]] or [0]
        operands[1] = graph.integers([begins[i] for i in kept] + [ends[i] for i in kept])
        operands += [None] * (3 - len(operands)) + [graph.integers([i - x.rank if graph.flag() else i for i in kept])]
    low, high = (min(x.low, fill), max(x.high, fill)) if mode == "constant" else (x.low, x.high)
    graph.node("Pad", operands, [like(x, shape=shape, low=low, high=high)], mode=mode)


def tile(graph: GraphBuilder) -> None:
    x = graph.pick(ANY, (1, 4), most=128)
    repeats = [graph.integer(1, 2) for _ in x.shape]
    shape = tuple(size * n for size, n in zip(x.shape, repeats, strict=True))
    graph.node("Tile", [x, graph.integers(repeats)], [like(x, shape=shape)])


def expand(graph: GraphBuilder) -> None:
    """The requested shape may be shorter, or have ones where the operand has more."""
    x = graph.pick(ANY, (0, 4), most=256)
    shape = [graph.integer(1, 4) if size == 1 else size for size in x.shape]
    request = [1 if graph.flag() else size for size in shape]
    request = [size if x.shape[i] == 1 else request[i] for i, size in enumerate(shape)]
    if x.rank < 5 and graph.flag():
        shape, request = [2, *shape], [2, *request]
    graph.node("Expand", [x, graph.integers(request)], [like(x, shape=tuple(shape))])


def triangle(graph: GraphBuilder) -> None:
    x = graph.pick(("float32", "int64", "bool"), (2, 4))
    operands = [x]
    if graph.flag():
        operands.append(graph.constant(np.asarray(graph.integer(-3, 3), np.int64)))
    out = like(x, low=min(x.low, 0), high=max(x.high, 0))
    graph.node("Trilu", operands, [out], upper=graph.integer(0, 1))


def depth_to_space(graph: GraphBuilder) -> None:
    block = graph.choose([2, 3])
    if graph.flag():
        x = graph.input((graph.integer(1, 2), block * block * graph.integer(1, 3), graph.integer(1, 5), 3), "float32")
        n, c, h, w = x.shape
        out = like(x, shape=(n, c // block**2, h * block, w * block))
        graph.node("DepthToSpace", [x], [out], blocksize=block, mode=graph.choose(["DCR", "CRD"]))
    else:
        x = graph.input((graph.integer(1, 2), graph.integer(1, 3), block * graph.integer(1, 3), 2 * block), "float32")
        n, c, h, w = x.shape
        out = like(x, shape=(n, c * block**2, h // block, w // block))
        graph.node("SpaceToDepth", [x], [out], blocksize=block)


OPERATORS = (
    Operator("Transpose", transpose),
    Operator("Reshape", reshape),
    Operator("Flatten", flatten),
    Operator("Squeeze", squeeze),
    Operator("Unsqueeze", unsqueeze),
    Operator("Concat", concat),
    Operator("Split", split),
    Operator("Slice", slice_),
    Operator("Pad", pad),
    Operator("Tile", tile),
    Operator("Expand", expand),
    Operator("Trilu", triangle, 14),
    Operator("DepthToSpace", depth_to_space),
)
