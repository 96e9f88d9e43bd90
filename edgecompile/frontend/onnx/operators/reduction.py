"""Reductions over axes given as attribute or input, and arg-reductions."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from tvm import relax, te, tirx

from edgecompile.frontend.onnx.context import (
    Context,
    Inputs,
    Result,
    dtype_of,
    is_float,
    make_constant,
    rank_of,
    shape_of,
)
from edgecompile.frontend.onnx.emit import cast, in_float32, normalized_axis, reshape, scalar
from edgecompile.frontend.onnx.node import Node
from edgecompile.frontend.onnx.registry import operator

op = relax.op
_RELAX: dict[str, Callable[..., relax.Expr]] = {
    "ReduceMax": op.max,
    "ReduceMean": op.mean,
    "ReduceMin": op.min,
    "ReduceProd": op.prod,
    "ReduceSum": op.sum,
}


def _axes(context: Context, node: Node, inputs: Inputs) -> list[int] | None:
    """The axes to reduce, sorted; None asks for a copy (no axes and noop_with_empty_axes)."""
    rank = rank_of(inputs[0])
    axes = node.integers("axes")
    if inputs[1] is not None:
        axes = [int(axis) for axis in context.require_constant(node, 1).reshape(-1)]
    if not axes:
        return None if node.integer("noop_with_empty_axes", 0) else list(range(rank))
    return sorted({normalized_axis(context, axis, rank) for axis in axes})


@operator(*_RELAX, "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceSumSquare")
@in_float32
def reduce(context: Context, node: Node, inputs: Inputs) -> Result:
    """One of ONNX's reductions; with no axes to reduce, only the function of each element is left."""
    axes, keepdims = _axes(context, node, inputs), bool(node.integer("keepdims", 1))
    x, kind = inputs[0], node.op_type
    if kind == "ReduceL1":
        return _sum(context, _absolute(context, x), axes, keepdims)
    if kind in ("ReduceL2", "ReduceSumSquare"):
        squares = _sum(context, context.emit(op.multiply(x, x)), axes, keepdims)
        return squares if kind == "ReduceSumSquare" else _square_root(context, squares)
    if kind == "ReduceLogSum":
        return context.emit(op.log(_sum(context, x, axes, keepdims)))
    if kind == "ReduceLogSumExp":
        return _log_sum_exp(context, x, axes, keepdims)
    return _reduce(context, kind, x, axes, keepdims)


def _absolute(context: Context, x: relax.Expr) -> relax.Expr:
    return x if dtype_of(x).startswith("uint") else context.emit(op.abs(x))


def _square_root(context: Context, x: relax.Expr) -> relax.Expr:
    dtype = dtype_of(x)
    wide = x if is_float(dtype) else cast(context, x, "float64")
    return cast(context, context.emit(op.sqrt(wide)), dtype)


def _sum(context: Context, x: relax.Expr, axes: list[int] | None, keepdims: bool) -> relax.Expr:
    return _reduce(context, "ReduceSum", x, axes, keepdims)


def _log_sum_exp(context: Context, x: relax.Expr, axes: list[int] | None, keepdims: bool) -> relax.Expr:
    """log(sum(exp(x - m))) + m with m the maximum, which does not overflow; an infinite m counts as 0."""
    if axes is None:
        return x
    if _count(x, axes) == 0:
        return context.emit(op.log(_sum(context, x, axes, keepdims)))
    dtype = dtype_of(x)
    largest = _reduce(context, "ReduceMax", x, axes, True)
    finite = context.emit(op.isfinite(largest))
    shift = context.emit(op.where(finite, largest, scalar(0, dtype)))
    powers = context.emit(op.exp(context.emit(op.subtract(x, shift))))
    total = context.emit(op.add(context.emit(op.log(_sum(context, powers, axes, True))), shift))
    return total if keepdims else context.emit(op.squeeze(total, axes)) if axes else total


def _count(x: relax.Expr, axes: list[int]) -> int | None:
    dims = [shape_of(x)[axis] for axis in axes]
    if any(isinstance(dim, int) and dim == 0 for dim in dims):
        return 0
    return math.prod(dims) if all(isinstance(dim, int) for dim in dims) else None


def _reduce(context: Context, kind: str, x: relax.Expr, axes: list[int] | None, keepdims: bool) -> relax.Expr:
    if axes is None or rank_of(x) == 0:
        return x
    dtype = dtype_of(x)
    if _count(x, axes) == 0:
        return _empty(context, kind, x, axes, keepdims)
    if dtype == "bool":  # max is or, min is and
        return cast(context, context.emit(_RELAX[kind](cast(context, x, "uint8"), axes, keepdims)), "bool")
    if kind == "ReduceMean" and not is_float(dtype):
        return cast(context, context.emit(op.mean(cast(context, x, "float64"), axes, keepdims)), dtype)
    if kind in ("ReduceMax", "ReduceMin") and is_float(dtype):
        return _extreme(context, kind == "ReduceMax", x, axes, keepdims)
    return context.emit(_RELAX[kind](x, axes, keepdims))


def _extreme(context: Context, largest: bool, x: relax.Expr, axes: list[int], keepdims: bool) -> relax.Expr:
    """Maximum or minimum from an infinite start; Relax's own starts at a finite number, wrong for infinite rows."""
    shape = shape_of(x)
    choose = te.max if largest else te.min
    reducer = te.comm_reducer(
        lambda a, b: choose(a, b), lambda dtype: tirx.const(-np.inf if largest else np.inf, dtype), name="extreme"
    )
    kept = [1 if axis in axes else dim for axis, dim in enumerate(shape) if keepdims or axis not in axes]

    def compute(tensor: te.Tensor) -> te.Tensor:
        reduced = [te.reduce_axis((0, shape[axis]), name="k") for axis in axes]

        def at(*indices: tirx.Var) -> tirx.Var:
            free = (
                [index for index, axis in zip(indices, range(len(shape)), strict=True) if axis not in axes]
                if keepdims
                else list(indices)
            )
            position = [reduced[axes.index(axis)] if axis in axes else free.pop(0) for axis in range(len(shape))]
            return reducer(tensor(*position), axis=reduced)

        return te.compute(kept, at, name="reduce_max" if largest else "reduce_min")

    return context.emit_te(compute, x, name="reduce_max" if largest else "reduce_min")


def _empty(context: Context, kind: str, x: relax.Expr, axes: list[int], keepdims: bool) -> relax.Expr:
    """The neutral element of the reduction: 0, 1, the smallest or the largest number of the dtype; NaN for the mean."""
    dtype = dtype_of(x)
    lowest, highest = (-np.inf, np.inf) if is_float(dtype) else _bounds(dtype)
    neutral = {"ReduceSum": 0, "ReduceProd": 1, "ReduceMax": lowest, "ReduceMin": highest, "ReduceMean": np.nan}[kind]
    shape = [1 if axis in axes else dim for axis, dim in enumerate(shape_of(x)) if keepdims or axis not in axes]
    if all(isinstance(dim, int) for dim in shape):
        return make_constant(np.full(shape, neutral, np.dtype(dtype)))
    return context.emit(op.full(relax.ShapeExpr(shape), scalar(neutral, dtype), dtype))


def _bounds(dtype: str) -> tuple[int, int]:
    return (0, 1) if dtype == "bool" else (int(np.iinfo(dtype).min), int(np.iinfo(dtype).max))


@operator("ArgMax", "ArgMin")
def arg_reduce(context: Context, node: Node, inputs: Inputs) -> Result:
    """The index of the first, or with `select_last_index` the last, extreme element along one axis. -> int64"""
    x = inputs[0]
    axis = normalized_axis(context, node.integer("axis", 0), rank_of(x))
    keepdims, last = bool(node.integer("keepdims", 1)), bool(node.integer("select_last_index", 0))
    shape = shape_of(x)
    if isinstance(shape[axis], int) and shape[axis] == 0:
        raise node.invalid(f"at least one element along axis {axis} was needed, found none")
    larger = node.op_type == "ArgMax"

    def combine(left: tuple[tirx.Var, ...], right: tuple[tirx.Var, ...]) -> tuple[tirx.Var, tirx.Var]:
        better = left[1] > right[1] if larger else left[1] < right[1]
        earlier = left[0] > right[0] if last else left[0] < right[0]
        take = tirx.any(better, tirx.all(left[1] == right[1], earlier))
        take = tirx.all(take, left[0] >= 0) if last else take
        return tirx.Select(take, left[0], right[0]), tirx.Select(take, left[1], right[1])

    def identity(index_dtype: str, value_dtype: str) -> tuple[tirx.Var, tirx.Var]:
        start = -1 if last else np.iinfo(np.int64).max  # loses every tie
        worst = tirx.min_value(value_dtype) if larger else tirx.max_value(value_dtype)
        return tirx.const(start, index_dtype), worst

    reducer = te.comm_reducer(combine, identity, name=node.op_type.lower())
    outer = [dim for position, dim in enumerate(shape) if position != axis]

    def compute(tensor: te.Tensor) -> te.Tensor:
        k = te.reduce_axis((0, shape[axis]), name="k")

        def at(*indices: tirx.Var) -> tuple[tirx.Var, ...]:
            position = (*indices[:axis], k, *indices[axis:])
            return reducer((k.var.astype("int64"), tensor(*position)), axis=k)

        positions, _ = te.compute(tuple(outer), at, name=node.op_type.lower())
        return te.compute(tuple(outer), lambda *indices: positions(*indices), name="index")

    index = context.emit_te(compute, x, name=node.op_type.lower())
    kept = [1 if position == axis else dim for position, dim in enumerate(shape)]
    return reshape(context, index, kept) if keepdims else index
