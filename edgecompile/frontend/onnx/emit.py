"""Short ways to emit what many operators need: constants like a tensor, casts, and broadcast tensor expressions."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tvm
from tvm import relax, te

from edgecompile.frontend.onnx.context import (
    Context,
    Dim,
    Inputs,
    Result,
    dtype_of,
    is_half,
    make_constant,
    shape_of,
)
from edgecompile.frontend.onnx.node import Node
from edgecompile.frontend.onnx.registry import Operator


def scalar(number: float | int | bool, dtype: str) -> relax.Expr:
    """A rank-0 constant."""
    return make_constant(np.array(number).astype(np.dtype(dtype)))


def cast(context: Context, value: relax.Expr, dtype: str) -> relax.Expr:
    """`value` as `dtype` by plain conversion; no call when it has that dtype already."""
    if dtype_of(value) == dtype:
        return value
    array = context.constant(value)
    if array is not None and array.size <= 1024:
        return make_constant(array.astype(np.dtype(dtype)))
    return context.emit(relax.op.astype(value, dtype))


def in_float32(function: Operator) -> Operator:
    """Decorates an operator of one floating result: 16-bit floats enter as float32 and are rounded once, at the end.

    ONNX Runtime's CPU kernels do the same. Rounding after each step would lose up to all digits of differences
    such as exp(x) - 1, and sums of a few thousand 16-bit terms stop growing.
    """

    @functools.wraps(function)
    def widened(context: Context, node: Node, inputs: Inputs) -> Result:
        if not is_half(dtype_of(inputs[0])):
            return function(context, node, inputs)
        dtype = dtype_of(inputs[0])
        wide = Inputs(
            cast(context, value, "float32") if isinstance(value, relax.Expr) and is_half(dtype_of(value)) else value
            for value in inputs
        )
        return cast(context, function(context, node, wide), dtype)

    return widened


def reshape(context: Context, value: relax.Expr, shape: Sequence[Dim]) -> relax.Expr:
    """`value` with another shape; no call when it has that shape already."""
    if tuple(shape) == shape_of(value) and all(isinstance(dim, int) for dim in shape):
        return value
    if any(isinstance(dim, int) and dim == 0 for dim in shape):  # in Relax's reshape a 0 would copy the old dimension
        return context.emit(relax.op.zeros(relax.ShapeExpr(shape), dtype_of(value)))
    array = context.constant(value)
    if array is not None and array.size <= 2**16 and all(isinstance(dim, int) for dim in shape):
        return make_constant(array.reshape(shape))
    return context.emit(relax.op.reshape(value, tuple(shape)))


def broadcast_shape(shapes: Sequence[Sequence[Dim]]) -> tuple[Dim, ...]:
    """The shape that all of `shapes` broadcast to by NumPy's rules; raises `ValueError` when they do not."""
    rank = max(map(len, shapes), default=0)
    result: list[Dim] = []
    for axis in range(rank):
        dims = [shape[axis - rank + len(shape)] for shape in shapes if axis - rank + len(shape) >= 0]
        chosen: Dim = 1
        for dim in dims:
            if isinstance(dim, int) and dim == 1:
                continue
            if isinstance(chosen, int) and chosen == 1:
                chosen = dim
            elif not same_dim(chosen, dim):
                raise ValueError(f"shapes {[list(map(str, shape)) for shape in shapes]} do not broadcast")
        result.append(chosen)
    return tuple(result)


def same_dim(left: Dim, right: Dim) -> bool:
    """True when two dimensions are provably equal."""
    if isinstance(left, int) and isinstance(right, int):
        return left == right
    return bool(tvm.sym.Analyzer().can_prove_equal(left, right))


def elementwise(
    context: Context,
    function: Callable[..., Any],
    values: Sequence[relax.Expr],
    name: str,
    sizes: Sequence[Dim] = (),
) -> relax.Expr:
    """`function` of the broadcast elements of `values`, for operators that Relax lacks. -> the broadcast shape.

    `function` also takes `sizes`: dimensions of other tensors, whose variables the kernel could not see otherwise.
    """
    shapes = [shape_of(value) for value in values]
    result = broadcast_shape(shapes)

    def compute(*arguments: Any) -> te.Tensor:
        tensors, numbers = arguments[: len(values)], arguments[len(values) :]

        def at(*indices: Any) -> Any:
            elements = (_element(tensor, shape, indices) for tensor, shape in zip(tensors, shapes, strict=True))
            return function(*elements, *numbers)

        return te.compute(result, at, name=name)

    return context.emit_te(compute, *values, *sizes, name=name)


def _element(tensor: te.Tensor, shape: Sequence[Dim], indices: Sequence[Any]) -> Any:
    offset = len(indices) - len(shape)
    picked = [0 if isinstance(dim, int) and dim == 1 else indices[axis + offset] for axis, dim in enumerate(shape)]
    return tensor(*picked)


def normalized_axis(context: Context, axis: int, rank: int) -> int:
    """`axis` counted from the front; raises when it is outside the tensor."""
    if not -rank <= axis < max(rank, 1):
        raise context.node.invalid(f"an axis from {-rank} to {rank - 1} was needed, found {axis}")
    return axis + rank if axis < 0 else axis
