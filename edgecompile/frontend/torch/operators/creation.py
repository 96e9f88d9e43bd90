"""Tensors made from nothing, and changes of dtype."""

from __future__ import annotations

import numpy as np
from tvm import relax

from edgecompile.frontend.torch.context import Arguments, Context, dtype_of, shape_of
from edgecompile.frontend.torch.registry import converter


@converter("full.default", "new_full.default")
def full(context: Context, args: Arguments) -> relax.Expr:
    """A tensor of one value."""
    return relax.op.full(list(args.size), context.tensor(args.fill_value, context.dtype), context.dtype)


@converter("full_like.default")
def full_like(context: Context, args: Arguments) -> relax.Expr:
    """A tensor of one value in the shape of another."""
    return relax.op.full(shape_of(args.self), context.tensor(args.fill_value, context.dtype), context.dtype)


@converter("fill.Scalar", "fill.Tensor")
def fill(context: Context, args: Arguments) -> relax.Expr:
    """A tensor of one value in the shape of another."""
    return relax.op.full(shape_of(args.self), context.tensor(args.value, context.dtype), context.dtype)


@converter(
    "zeros.default", "new_zeros.default", "ones.default", "new_ones.default", "zeros_like.default", "ones_like.default"
)
def constant(context: Context, args: Arguments) -> relax.Expr:
    """Zeros or ones."""
    value = 1 if "ones" in args.node.target.__name__ else 0
    shape = list(args.size) if args.get("size") is not None else shape_of(args.self)
    return relax.op.full(shape, context.tensor(value, context.dtype), context.dtype)


@converter("empty.memory_format", "empty_like.default", "new_empty.default", "empty_permuted.default")
def empty(context: Context, args: Arguments) -> relax.Expr:
    """Zeros: what PyTorch leaves undefined."""
    shape = list(args.size) if args.get("size") is not None else shape_of(args.self)
    return relax.op.zeros(shape, context.dtype)


@converter("scalar_tensor.default")
def scalar_tensor(context: Context, args: Arguments) -> relax.Expr:
    """A number as a tensor."""
    return context.tensor(args.s, context.dtype)


@converter("arange.start_step")
def arange(context: Context, args: Arguments) -> relax.Expr:
    """`start, start + step, ...` before `end`; folded where the bounds are known."""
    bounds = (args.start, args.end, args.step)
    if all(isinstance(bound, int | float) for bound in bounds):
        count = int(context.node.meta["val"].shape[0])
        wide = "float64" if any(isinstance(bound, float) for bound in bounds) else "int64"
        values = (np.asarray(args.start, wide) + np.arange(count).astype(wide) * np.asarray(args.step, wide)).astype(
            wide
        )
        dtype = "float32" if context.dtype == "bfloat16" else context.dtype
        return context.tensor(relax.const(values.astype(dtype), dtype), context.dtype)
    return relax.op.arange(*bounds, dtype=context.dtype)


@converter("eye.default", "eye.m")
def eye(context: Context, args: Arguments) -> relax.Expr:
    """The identity matrix."""
    return relax.op.eye(args.n, args.get("m", args.n), dtype=context.dtype)


@converter("_to_copy.default", "to.dtype", "to.dtype_layout", "type_as.default")
def to_dtype(context: Context, args: Arguments) -> relax.Expr:
    """A change of dtype; to boolean, whether the value is not zero."""
    if context.dtype == "bool" and dtype_of(args.self) != "bool":
        return relax.op.not_equal(args.self, context.tensor(0, dtype_of(args.self)))
    return context.tensor(args.self, context.dtype)


@converter("copy.default")
def copy(context: Context, args: Arguments) -> relax.Expr:
    """`src` with the dtype and shape of `self`."""
    source = context.tensor(args.src, context.dtype)
    return source if shape_of(source) == shape_of(args.self) else relax.op.broadcast_to(source, shape_of(args.self))


@converter("tril.default", "triu.default")
def triangle(context: Context, args: Arguments) -> relax.Expr:
    """The lower or upper triangle of each matrix, zeros elsewhere."""
    operator = relax.op.tril if "tril" in args.node.target.__name__ else relax.op.triu
    if context.dtype != "bool":
        return operator(args.self, args.diagonal)
    return relax.op.astype(operator(context.tensor(args.self, "int8"), args.diagonal), "bool")
