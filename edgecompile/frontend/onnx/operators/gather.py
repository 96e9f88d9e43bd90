"""Reading and writing at indices: Gather, GatherElements, GatherND, Scatter*, OneHot.

Negative indices count from the end.
An index outside its dimension breaks ONNX's rules, and must still not touch foreign memory: it is clamped.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from tvm import relax, te, tirx

from edgecompile.frontend.onnx.context import Context, Dim, Inputs, Result, make_constant, rank_of, shape_of
from edgecompile.frontend.onnx.emit import cast, elementwise, normalized_axis, reshape
from edgecompile.frontend.onnx.node import Node
from edgecompile.frontend.onnx.registry import operator


def _inside(index: Any, size: Dim) -> Any:
    """`index` counted from the front and clamped to a dimension of `size`."""
    dtype = str(index.ty.dtype)
    limit = tirx.const(size, dtype) if isinstance(size, int) else size.astype(dtype)
    zero, one = tirx.const(0, dtype), tirx.const(1, dtype)
    return tirx.max(tirx.min(tirx.Select(index < zero, index + limit, index), limit - one), zero)


def _normalize(context: Context, indices: relax.Expr, size: Dim) -> relax.Expr:
    """The indices counted from the front and clamped to a dimension of `size`; constants are checked at once."""
    known = context.constant(indices)
    if known is not None and isinstance(size, int):
        if known.size and not (-size <= known.min() and known.max() < size):
            raise context.node.invalid(f"indices from {-size} to {size - 1} were needed, found others")
        return make_constant(np.where(known < 0, known + size, known).astype(known.dtype))
    return elementwise(context, _inside, [indices], "normalize_index", [size])


@operator("Gather")
def gather(context: Context, node: Node, inputs: Inputs) -> Result:
    """The slices of x at `indices` along one axis."""
    x, indices = inputs[0], inputs[1]
    axis = normalized_axis(context, node.integer("axis", 0), rank_of(x))
    return context.emit(relax.op.take(x, _normalize(context, indices, shape_of(x)[axis]), axis=axis, mode="clip"))


@operator("GatherElements")
def gather_elements(context: Context, node: Node, inputs: Inputs) -> Result:
    """For each index, the element of x at the same place but for `axis`."""
    x, indices = inputs[0], inputs[1]
    axis = normalized_axis(context, node.integer("axis", 0), rank_of(x))

    def compute(data: te.Tensor, index: te.Tensor) -> te.Tensor:
        def at(*place: Any) -> Any:
            return data(*place[:axis], _inside(index(*place), shape_of(x)[axis]), *place[axis + 1 :])

        return te.compute(shape_of(indices), at, name="gather_elements")

    return context.emit_te(compute, x, indices, name="gather_elements")


@operator("GatherND")
def gather_nd(context: Context, node: Node, inputs: Inputs) -> Result:
    """The slices of x that the rows of `indices` name, after `batch_dims` shared dimensions."""
    x, indices = inputs[0], inputs[1]
    batch = node.integer("batch_dims", 0)
    shape, index_shape = shape_of(x), shape_of(indices)
    depth = index_shape[-1]
    if not isinstance(depth, int) or batch + depth > len(shape):
        raise node.invalid(f"indices of at most {len(shape) - batch} numbers were needed, found {depth}")
    outer = len(index_shape) - 1

    def compute(data: te.Tensor, index: te.Tensor) -> te.Tensor:
        def at(*place: Any) -> Any:
            named = [_inside(index(*place[:outer], k), shape[batch + k]) for k in range(depth)]
            return data(*place[:batch], *named, *place[outer:])

        return te.compute((*index_shape[:-1], *shape[batch + depth :]), at, name="gather_nd")

    return context.emit_te(compute, x, indices, name="gather_nd")


_REDUCTIONS = {"none": "update", "add": "add", "mul": "mul", "max": "max", "min": "min"}


def _reduction(node: Node) -> str:
    reduction = node.string("reduction", "none")
    if reduction not in _REDUCTIONS:
        raise node.invalid(f"a reduction among {', '.join(_REDUCTIONS)} was needed, found '{reduction}'")
    return _REDUCTIONS[reduction]


@operator("Scatter", "ScatterElements")
def scatter_elements(context: Context, node: Node, inputs: Inputs) -> Result:
    """x, but at each index along `axis` the update, or the sum, product or extreme of both."""
    x, indices, updates = inputs[0], inputs[1], inputs[2]
    axis = normalized_axis(context, node.integer("axis", 0), rank_of(x))
    normal = _normalize(context, indices, shape_of(x)[axis])
    return context.emit(relax.op.scatter_elements(x, normal, updates, axis=axis, reduction=_reduction(node)))


@operator("ScatterND")
def scatter_nd(context: Context, node: Node, inputs: Inputs) -> Result:
    """x, but at the places that the rows of `indices` name the update, or the sum, product or extreme of both."""
    x, indices, updates = inputs[0], inputs[1], inputs[2]
    shape = context.require_static(node, x)
    depth = context.require_static(node, indices)[-1]
    sizes = make_constant(np.array(shape[:depth], np.int64))

    def normalize(index: Any, size: Any) -> Any:
        placed = tirx.Select(index < 0, index + size, index)
        return tirx.max(tirx.min(placed, size - 1), tirx.const(0, "int64"))

    normal = elementwise(context, normalize, [cast(context, indices, "int64"), sizes], "normalize_index")
    rows = int(np.prod(shape_of(indices)[:-1], dtype=np.int64))
    inner = int(np.prod(shape[depth:], dtype=np.int64))
    flat = _flat_rows(context, reshape(context, normal, (rows, depth)), shape[:depth])
    spread = elementwise(  # row r of the updates fills elements index(r) * inner + 0 .. inner - 1
        context,
        lambda row, offset: row * inner + offset,
        [reshape(context, flat, (rows, 1)), make_constant(np.arange(inner, dtype=np.int64).reshape(1, inner))],
        "flat_index",
    )
    values = [reshape(context, value, (-1,)) for value in (x, spread, updates)]
    filled = context.emit(relax.op.scatter_elements(*values, axis=0, reduction=_reduction(node)))
    return reshape(context, filled, shape)


def _flat_rows(context: Context, indices: relax.Expr, sizes: tuple[int, ...]) -> relax.Expr:
    """indices: [rows, depth] -> the row-major number of each row within `sizes`, [rows]."""
    strides = [int(np.prod(sizes[axis + 1 :], dtype=np.int64)) for axis in range(len(sizes))]

    def compute(index: te.Tensor) -> te.Tensor:
        def at(row: Any) -> Any:
            total: Any = tirx.const(0, "int64")
            for axis, stride in enumerate(strides):
                total = total + index(row, axis) * stride
            return total

        return te.compute((shape_of(indices)[0],), at, name="flat_row")

    return context.emit_te(compute, indices, name="flat_row")


@operator("OneHot")
def one_hot(context: Context, node: Node, inputs: Inputs) -> Result:
    """off everywhere but on at each index along a new axis of `depth`; indices out of range give off alone."""
    indices, values = inputs[0], inputs[2]
    depth = int(context.require_constant(node, 1).reshape(()))
    axis = normalized_axis(context, node.integer("axis", -1), rank_of(indices) + 1)
    shape = shape_of(indices)
    whole = cast(context, indices, "int64")

    def compute(index: te.Tensor, pair: te.Tensor) -> te.Tensor:
        def at(*place: Any) -> Any:
            number = index(*place[:axis], *place[axis + 1 :])
            wanted = tirx.Select(number < 0, number + depth, number)
            return tirx.if_then_else(wanted == place[axis].astype("int64"), pair(1), pair(0))

        return te.compute((*shape[:axis], depth, *shape[axis:]), at, name="one_hot")

    return context.emit_te(compute, whole, values, name="one_hot")
