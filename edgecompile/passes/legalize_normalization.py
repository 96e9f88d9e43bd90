"""Instance and group normalisation by the mean first and the squares of what is left.

TVM's kernels take the variance as E[x^2] - E[x]^2 in one sweep. Where the mean is large beside the spread, that is the
difference of two nearly equal numbers: at a mean of 1000 spreads nothing of float32 is left.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tvm import ir, relax, te, tirx


def normalization_legalizations() -> dict[str, Callable[[relax.BlockBuilder, relax.Call], relax.Expr]]:
    """Operator -> legalisation, for `LegalizeOps`."""
    return {"relax.nn.instance_norm": _legalize_instance_norm, "relax.nn.group_norm": _legalize_group_norm}


def _legalize_instance_norm(builder: relax.BlockBuilder, call: relax.Call) -> relax.Expr:
    """`(x - mean) * rsqrt(variance + epsilon) * gamma + beta` over the pixels of each image and channel."""
    shape = _shape_to_normalize(call)
    if shape is None:
        return _by_tvm(builder, call)
    data, gamma, beta = call.args
    rows = builder.emit(_reshape(data, (shape[0] * shape[1], math.prod(shape[2:]))))

    def compute(x: te.Tensor, scale: te.Tensor, shift: te.Tensor) -> te.Tensor:
        def affine(value: ir.Expr, row: tirx.Var) -> ir.Expr:
            return value * scale(row % shape[1]) + shift(row % shape[1])

        return _normalize(x, float(call.attrs.epsilon), affine)

    normalized = builder.emit(builder.call_te(compute, rows, gamma, beta, primfunc_name_hint="instance_norm"))
    return _reshape(normalized, shape)


def _legalize_group_norm(builder: relax.BlockBuilder, call: relax.Call) -> relax.Expr:
    """The same over the pixels and channels of each image and group; what follows takes `gamma` and `beta` along."""
    from tvm import relax

    shape = _shape_to_normalize(call)
    if shape is None:
        return _by_tvm(builder, call)
    data, gamma, beta = call.args
    groups = int(call.attrs.num_groups)
    rows = builder.emit(_reshape(data, (shape[0] * groups, math.prod(shape[1:]) // groups)))

    def compute(x: te.Tensor) -> te.Tensor:
        return _normalize(x, float(call.attrs.epsilon), lambda value, row: value)

    normalized = builder.emit(builder.call_te(compute, rows, primfunc_name_hint="group_norm"))
    whole = builder.emit(_reshape(normalized, shape))
    along = (shape[1], *[1] * (len(shape) - 2))
    scale, shift = (builder.emit(_reshape(parameter, along)) for parameter in (gamma, beta))
    return relax.op.add(builder.emit(relax.op.multiply(whole, scale)), shift)


def _normalize(x: te.Tensor, epsilon: float, affine: Callable[[ir.Expr, tirx.Var], ir.Expr]) -> te.Tensor:
    """`affine((x - mean) * rsqrt(variance + epsilon), row)` of each row; x is `[rows, columns]`."""
    from tvm import te, tirx

    columns = x.shape[1]
    k = te.reduce_axis((tirx.IntImm("int64", 0), columns), "k")
    count, least = tirx.const(float(int(columns)), x.dtype), tirx.const(epsilon, x.dtype)
    total = te.compute([x.shape[0]], lambda row: te.sum(x(row, k), axis=[k]), name="total")
    mean = te.compute([x.shape[0]], lambda row: total(row) / count, name="mean")
    centred = te.compute(x.shape, lambda row, column: x(row, column) - mean(row), name="centred")
    squares = te.compute([x.shape[0]], lambda row: te.sum(centred(row, k) * centred(row, k), axis=[k]), name="squares")
    factor = te.compute([x.shape[0]], lambda row: tirx.rsqrt(squares(row) / count + least), name="factor")
    return te.compute(x.shape, lambda row, column: affine(centred(row, column) * factor(row), row), name="normalized")


def _shape_to_normalize(call: relax.Call) -> tuple[int, ...] | None:
    """The shape `[N, C, *pixels]` of a float tensor that is normalised over all its pixels; None for any other."""
    from tvm import relax, tirx

    type_, attributes = call.args[0].ty, call.attrs
    if not isinstance(type_.shape, relax.ShapeExpr) or not all(isinstance(n, tirx.IntImm) for n in type_.shape):
        return None
    shape = tuple(int(n) for n in type_.shape)
    axes = {int(axis) % len(shape) for axis in attributes.axes} - ({0} if shape[0] == 1 else set())
    fits = int(attributes.channel_axis) % len(shape) == 1 and axes == set(range(2, len(shape)))
    plain = bool(attributes.center) and bool(attributes.scale) and str(type_.dtype) in ("float32", "float64")
    return shape if fits and plain and len(shape) > 2 and 0 not in shape else None


def _reshape(value: relax.Expr, shape: Sequence[int]) -> relax.Expr:
    from tvm import relax

    return relax.op.reshape(value, tuple(shape))


def _by_tvm(builder: relax.BlockBuilder, call: relax.Call) -> relax.Expr:
    return call.op.get_attr("FLegalize")(builder, call)
