"""MaxPool, AveragePool, LpPool and the global poolings."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
from tvm import relax, te, tirx

from edgecompile.frontend.onnx.context import (
    Context,
    Inputs,
    Result,
    dtype_of,
    make_constant,
    rank_of,
    shape_of,
)
from edgecompile.frontend.onnx.emit import in_float32, scalar
from edgecompile.frontend.onnx.node import Node
from edgecompile.frontend.onnx.operators.slice import emit_pad
from edgecompile.frontend.onnx.registry import operator
from edgecompile.frontend.onnx.window import Window, read_window

_MAX = {1: relax.op.nn.max_pool1d, 2: relax.op.nn.max_pool2d, 3: relax.op.nn.max_pool3d}
_AVERAGE = {1: relax.op.nn.avg_pool1d, 2: relax.op.nn.avg_pool2d, 3: relax.op.nn.avg_pool3d}


@operator("MaxPool")
def max_pool(context: Context, node: Node, inputs: Inputs) -> Result:
    """The largest element of each window, and on request its index in the whole flattened input."""
    x = inputs[0]
    window = read_window(node, node.integers("kernel_shape") or [], shape_of(x)[2:])
    if node.has_output(1):
        return _max_pool_with_indices(context, node, x, window)
    if len(window.kernel) in _MAX and not window.extra:
        return context.emit(
            _MAX[len(window.kernel)](
                x, window.kernel, strides=window.strides, padding=window.pads, dilation=window.dilations
            )
        )
    context.require_static(node, x)
    return _pool(context, x, window, te.max, tirx.min_value(dtype_of(x)), "max_pool")


@operator("AveragePool")
@in_float32
def average_pool(context: Context, node: Node, inputs: Inputs) -> Result:
    """The mean of each window; padding counts as zeros only with count_include_pad."""
    x, dtype = inputs[0], dtype_of(inputs[0])
    window = read_window(node, node.integers("kernel_shape") or [], shape_of(x)[2:])
    with_pads = bool(node.integer("count_include_pad", 0))
    if len(window.kernel) in _AVERAGE and not window.extra and max(window.dilations) == 1:
        return context.emit(
            _AVERAGE[len(window.kernel)](
                x, window.kernel, strides=window.strides, padding=window.pads, count_include_pad=with_pads
            )
        )
    sizes = context.require_static(node, x)[2:]
    counts = functools.reduce(
        np.multiply.outer, [_counts(window, axis, sizes[axis], with_pads) for axis in range(len(sizes))]
    )
    return context.emit(relax.op.divide(_sum_pool(context, x, window), make_constant(counts.astype(np.dtype(dtype)))))


@operator("LpPool")
@in_float32
def lp_pool(context: Context, node: Node, inputs: Inputs) -> Result:
    """(sum over each window of |x| ** p) ** (1 / p)."""
    x, p = inputs[0], node.integer("p", 2)
    window = read_window(node, node.integers("kernel_shape") or [], shape_of(x)[2:])
    context.require_static(node, x)
    return _root(context, _sum_pool(context, _power(context, x, p), window), p)


@operator("GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool")
@in_float32
def global_pool(context: Context, node: Node, inputs: Inputs) -> Result:
    """The mean, maximum or p-norm over all spatial dimensions, which become 1."""
    x = inputs[0]
    axes = list(range(2, rank_of(x)))
    if node.op_type == "GlobalLpPool":
        p = node.integer("p", 2)
        return _root(context, context.emit(relax.op.sum(_power(context, x, p), axes, keepdims=True)), p)
    function = relax.op.mean if node.op_type == "GlobalAveragePool" else relax.op.max
    return context.emit(function(x, axes, keepdims=True))


def _power(context: Context, x: relax.Expr, p: int) -> relax.Expr:
    if p == 2:
        return context.emit(relax.op.multiply(x, x))
    magnitude = context.emit(relax.op.abs(x))
    return magnitude if p == 1 else context.emit(relax.op.power(magnitude, scalar(p, dtype_of(x))))


def _root(context: Context, x: relax.Expr, p: int) -> relax.Expr:
    if p == 1:
        return x
    return context.emit(relax.op.sqrt(x) if p == 2 else relax.op.power(x, scalar(1 / p, dtype_of(x))))


def _position(window: Window, place: Sequence[Any], axes: Sequence[Any], sizes: Sequence[int]) -> tuple[list[Any], Any]:
    """Where window element `axes` at output `place` lies in the input, and whether that is inside."""
    position = [
        place[axis] * window.strides[axis] + axes[axis] * window.dilations[axis] - window.pads_begin[axis]
        for axis in range(len(sizes))
    ]
    inside = tirx.all(*[tirx.all(p >= 0, p < size) for p, size in zip(position, sizes, strict=True)])
    return position, inside


def _sum_pool(context: Context, x: relax.Expr, window: Window) -> relax.Expr:
    return _pool(context, x, window, te.sum, tirx.const(0, dtype_of(x)), "sum_pool")


def _pool(context: Context, x: relax.Expr, window: Window, reduce: Any, outside: Any, name: str) -> relax.Expr:
    """`reduce` over each window; positions in the padding count as `outside`."""

    def compute(data: te.Tensor) -> te.Tensor:
        axes = [te.reduce_axis((0, size), name="k") for size in window.kernel]

        def at(batch: Any, channel: Any, *place: Any) -> Any:
            position, inside = _position(window, place, axes, shape_of(x)[2:])
            return reduce(tirx.if_then_else(inside, data(batch, channel, *position), outside), axis=axes)

        return te.compute((*shape_of(x)[:2], *window.output), at, name=name)

    return context.emit_te(compute, x, name=name)


def _counts(window: Window, axis: int, size: int, with_pads: bool) -> np.ndarray:
    """How many elements of each window along `axis` are averaged; beyond the padded input none are."""
    low, high = (-window.pads_begin[axis], size + window.pads_end[axis]) if with_pads else (0, size)
    starts = np.arange(window.output[axis] or 0)[:, None] * window.strides[axis] - window.pads_begin[axis]
    places = starts + np.arange(window.kernel[axis])[None, :] * window.dilations[axis]
    return np.sum((places >= low) & (places < high), axis=1)


def _max_pool_with_indices(context: Context, node: Node, x: relax.Expr, window: Window) -> Result:
    """The maxima and the int64 index of the first of each; storage_order 1 is column-major."""
    shape = context.require_static(node, x)
    spatial = shape[2:]
    dtype = dtype_of(x)

    def flat(batch: Any, channel: Any, position: Sequence[Any]) -> Any:
        order = list(range(len(spatial)))
        if node.integer("storage_order", 0):
            order = order[::-1]
        index = batch * shape[1] + channel
        for axis in order:
            index = index * spatial[axis] + position[axis]
        return index.astype("int64")

    def combine(left: Sequence[Any], right: Sequence[Any]) -> tuple[Any, Any]:
        take = tirx.any(left[1] > right[1], tirx.all(left[1] == right[1], left[0] < right[0]))
        return tirx.Select(take, left[0], right[0]), tirx.Select(take, left[1], right[1])

    def identity(index_dtype: str, value_dtype: str) -> tuple[Any, Any]:
        return tirx.const(np.iinfo(np.int64).max, index_dtype), tirx.min_value(value_dtype)

    reducer = te.comm_reducer(combine, identity, name="arg_max")

    def compute(data: te.Tensor) -> list[te.Tensor]:
        axes = [te.reduce_axis((0, size), name="k") for size in window.kernel]

        def at(batch: Any, channel: Any, *place: Any) -> Any:
            position, inside = _position(window, place, axes, spatial)
            value = tirx.if_then_else(inside, data(batch, channel, *position), tirx.min_value(dtype))
            index = tirx.if_then_else(
                inside, flat(batch, channel, position), tirx.const(np.iinfo(np.int64).max, "int64")
            )
            return reducer((index, value), axis=axes)

        indices, values = te.compute((*shape[:2], *window.output), at, name="arg_max_pool")
        return [values, indices]

    return context.unpack(context.emit_te(compute, x, name="max_pool_with_indices"))


@operator("MaxUnpool")
def max_unpool(context: Context, node: Node, inputs: Inputs) -> Result:
    """Zeros, but x at the places that `indices` name in the flattened output."""
    x, indices = inputs[0], inputs[1]
    shape = context.require_static(node, x)
    rank = len(shape) - 2
    kernel = node.integers("kernel_shape") or []
    strides = node.integers("strides") or [1] * rank
    pads = node.integers("pads") or [0] * (2 * rank)
    natural = [*shape[:2]] + [
        (shape[axis + 2] - 1) * strides[axis] + kernel[axis] - pads[axis] - pads[axis + rank] for axis in range(rank)
    ]
    base = make_constant(np.zeros(int(np.prod(natural)), np.dtype(dtype_of(x))))
    flat_x, flat_indices = (context.emit(relax.op.reshape(value, (-1,))) for value in (x, indices))
    filled = context.emit(relax.op.scatter_elements(base, flat_indices, flat_x, axis=0, reduction="update"))
    image = context.emit(relax.op.reshape(filled, tuple(natural)))
    if inputs[2] is None:
        return image
    wanted = [int(dim) for dim in context.require_constant(node, 2)]
    after = [want - have for want, have in zip(wanted, natural, strict=True)]
    return emit_pad(context, image, [0] * len(after), after, "constant", scalar(0, dtype_of(x)))
