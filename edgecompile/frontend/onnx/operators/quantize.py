"""QuantizeLinear and DequantizeLinear, which stay `relax.quantize` and `relax.dequantize`; DynamicQuantizeLinear.

Scales are per tensor, per entry of one axis, or per block of one axis. Blocks become rows, and so are per axis, too:
    x [.., D, ..] -> x' [rest * D / B, B], one scale per row
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from tvm import relax
from tvm.relax import op

from edgecompile.frontend.onnx import dtypes
from edgecompile.frontend.onnx.context import Context, Inputs, Result, dtype_of, make_constant, rank_of, shape_of
from edgecompile.frontend.onnx.emit import cast, normalized_axis, reshape, scalar
from edgecompile.frontend.onnx.node import Node
from edgecompile.frontend.onnx.registry import operator

_QUANTIZED = ("int8", "uint8", "int16", "uint16")
_DEQUANTIZED = (*_QUANTIZED, "int32", "float16")
# float16 holds every number of the narrower floats exactly
_NARROW_FLOATS = ("float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz", "float4_e2m1fn")
_NARROW = {"int4": "int8", "uint4": "uint8", "int2": "int8", "uint2": "uint8"}


def widened(value: relax.Expr | np.ndarray | None) -> relax.Expr | None:
    """A constant of 2 or 4 bits as one of 8 bits, of narrow floats as float16, with the same numbers; others as is."""
    if isinstance(value, np.ndarray) and str(value.dtype) in _NARROW_FLOATS:
        return make_constant(value.astype(np.float16))
    if isinstance(value, np.ndarray) and str(value.dtype) in _NARROW:
        return make_constant(value.astype(_NARROW[str(value.dtype)]))
    return value


def check_scale(context: Context, scale: relax.Expr) -> None:
    """Refuses a known scale that is zero, infinite or not a number."""
    array = context.constant(scale)
    if array is not None and not (np.isfinite(array.astype(np.float64)) & (array != 0)).all():
        bad = array.reshape(-1)[~(np.isfinite(array.astype(np.float64)) & (array != 0)).reshape(-1)][0]
        raise context.node.invalid(f"scales must be finite and not 0, found {bad}")


def quantize(
    context: Context,
    x: relax.Expr,
    scale: relax.Expr,
    zero_point: relax.Expr | None,
    axis: int,
    dtype: str,
    precision: str = "float32",
) -> relax.Expr:
    """saturate(round_half_even(x / scale) + zero_point) as `dtype`, the quotient rounded to `precision`.

    scale, zero_point: one element, or one per entry of `axis`.
    """
    node = context.node
    if dtype not in _QUANTIZED:
        raise node.unsupported(f"quantized values of {', '.join(_QUANTIZED)} can be computed, found {dtype}")
    check_scale(context, scale)
    zero_point = scalar(0, dtype) if zero_point is None else zero_point
    x = cast(context, x, precision)
    scale, zero_point = _parameters(context, x, scale, zero_point, axis, precision)
    known, s, zero = context.constant(x), context.constant(scale), context.constant(zero_point)
    if known is not None and s is not None and zero is not None and not np.isnan(known).any():
        # a weight kept in float behind quantize and dequantize, as training tools write it: integers say the same
        return make_constant(_levels(known, s, zero, axis, dtype))
    if precision == "bfloat16" or (precision == "float16" and dtype.endswith("16")):
        # only the quotient may be rounded to so few bits: they cannot hold the bounds of `dtype`
        sizes = [-1 if place == axis else 1 for place in range(rank_of(x))] if rank_of(scale) else []
        x = cast(context, context.emit(op.divide(x, reshape(context, scale, sizes))), "float32")
        scale = make_constant(np.ones(shape_of(scale), np.float32))
    return context.emit(op.quantize(x, scale, zero_point, axis=_relax_axis(x, axis), out_dtype=dtype))


def _levels(x: np.ndarray, scale: np.ndarray, zero_point: np.ndarray, axis: int, dtype: str) -> np.ndarray:
    """saturate(round_half_even(x / scale) + zero_point) as `dtype`; scale, zero point of rank 0, or 1 along `axis`."""
    with np.errstate(over="ignore"):
        rounded = np.rint((x / _along(scale, axis, x.ndim)).astype(np.float32))
    bounds = np.iinfo(dtype)
    levels = rounded + _along(zero_point, axis, x.ndim).astype(np.float32)
    return np.clip(levels, bounds.min, bounds.max).astype(dtype)


def _numbers(x: np.ndarray, scale: np.ndarray, zero_point: np.ndarray, axis: int) -> np.ndarray:
    """(x - zero_point) * scale in float32; scale, zero point of rank 0, or 1 along `axis`."""
    difference = x.astype(np.int64) - _along(zero_point, axis, x.ndim)
    return difference.astype(np.float32) * _along(scale, axis, x.ndim)


def _along(vector: np.ndarray, axis: int, rank: int) -> np.ndarray:
    """A vector in the shape that broadcasts along `axis`; rank 0 stays."""
    return vector.reshape([-1 if place == axis else 1 for place in range(rank)]) if vector.ndim else vector


def dequantize(
    context: Context, x: relax.Expr, scale: relax.Expr, zero_point: relax.Expr | None, axis: int, dtype: str = "float32"
) -> relax.Expr:
    """(x - zero_point) * scale as `dtype`; scale and zero point of one element or one per entry of `axis`."""
    node = context.node
    if dtype_of(x) not in _DEQUANTIZED:
        raise node.unsupported(f"quantized values of {', '.join(_DEQUANTIZED)} can be read, found {dtype_of(x)}")
    check_scale(context, scale)
    zero_point = scalar(0, dtype_of(x)) if zero_point is None else zero_point
    scale, zero_point = _parameters(context, x, scale, zero_point, axis, "float32")
    known, s, zero = context.constant(x), context.constant(scale), context.constant(zero_point)
    if known is not None and s is not None and zero is not None and dtype_of(x) == "int32":
        # a bias: as small in float, and the integer passes give it the scale of the sums that it is added to
        return make_constant(_numbers(known, s, zero, axis).astype(np.dtype(dtype)))
    result = context.emit(op.dequantize(x, scale, zero_point, axis=_relax_axis(x, axis), out_dtype="float32"))
    return cast(context, result, dtype)


def _relax_axis(x: relax.Expr, axis: int) -> int:
    return axis if rank_of(x) > 0 else -1


def _parameters(
    context: Context, x: relax.Expr, scale: relax.Expr, zero_point: relax.Expr, axis: int, scale_dtype: str
) -> tuple[relax.Expr, relax.Expr]:
    """Scale and zero point as rank 0 where they have one element, else as vectors of the length of `axis`.

    Those known at import stay constants, which is what the integer passes look for.
    """
    result = []
    for name, value, dtype in (("scale", scale, scale_dtype), ("zero point", zero_point, dtype_of(zero_point))):
        count = math.prod(context.require_static(context.node, value))
        if count == 1:
            result.append(_reshaped(context, value, (), dtype))
        elif rank_of(x) and count == shape_of(x)[axis] and max(context.require_static(context.node, value)) == count:
            result.append(_reshaped(context, value, (count,), dtype))
        else:
            length = shape_of(x)[axis] if rank_of(x) else 1
            raise context.node.invalid(
                f"the {name} needs one element, or {length} as axis {axis} of its tensor, "
                f"found shape {list(shape_of(value))}"
            )
    return result[0], result[1]


def permute(context: Context, x: relax.Expr, order: Sequence[int]) -> relax.Expr:
    """`x` with its dimensions in `order`; for a dequantized constant, the constant's.

    A transposed weight thus stays next to its product, where the integer passes look for it.
    """
    bound = context.bb.lookup_binding(x) if isinstance(x, relax.Var) else None
    if isinstance(bound, relax.Call) and getattr(bound.op, "name", "") == "relax.dequantize":
        levels, scale, zero_point = bound.args
        array, attrs = context.constant(levels), bound.attrs
        if array is not None:
            moved, axis = make_constant(array.transpose(order)), list(order).index(attrs.axis % array.ndim)
            return context.emit(op.dequantize(moved, scale, zero_point, axis=axis, out_dtype=attrs.out_dtype))
    return context.emit(op.permute_dims(x, order))


def _reshaped(context: Context, value: relax.Expr, shape: tuple[int, ...], dtype: str) -> relax.Expr:
    """`value` of another shape and dtype; a constant stays one, however large."""
    array = context.constant(value)
    if array is not None:
        return make_constant(array.reshape(shape).astype(np.dtype(dtype)))
    return cast(context, reshape(context, value, shape), dtype)


def _to_rows(context: Context, x: relax.Expr, axis: int, block: int) -> relax.Expr:
    """[.., D, ..] -> [rest * D / block, block]."""
    rank = rank_of(x)
    order = [*(i for i in range(rank) if i != axis), axis]
    array = context.constant(x)
    if array is not None:
        return make_constant(array.transpose(order).reshape(-1, block))
    moved = context.emit(op.permute_dims(x, order)) if order != list(range(rank)) else x
    return reshape(context, moved, (math.prod(context.require_static(context.node, x)) // block, block))


def _from_rows(context: Context, rows: relax.Expr, axis: int, shape: tuple[int, ...]) -> relax.Expr:
    """The inverse of `_to_rows` for a tensor of `shape`."""
    order = [*(i for i in range(len(shape)) if i != axis), axis]
    moved = reshape(context, rows, [shape[i] for i in order])
    inverse = [order.index(i) for i in range(len(shape))]
    return context.emit(op.permute_dims(moved, inverse)) if inverse != list(range(len(shape))) else moved


def _pad(context: Context, x: relax.Expr, axis: int, length: int) -> relax.Expr:
    """`x` with zeros behind `axis` until it has `length` entries."""
    missing = length - shape_of(x)[axis]
    if missing == 0:
        return x
    width = [0] * (2 * rank_of(x))
    width[2 * axis + 1] = missing
    return context.emit(op.nn.pad(x, width, pad_value=0))


def _blocked(context: Context, node: Node, inputs: Inputs, function: Callable[..., relax.Expr]) -> relax.Expr:
    """`function` of rows, with a scale per block of `block_size` entries of the attribute `axis`.

    function: (rows, scale per row, zero point per row or None) -> rows.
    """
    x, scale, zero_point = inputs[0], inputs[1], inputs[2]
    shape = context.require_static(node, x)
    axis, block = normalized_axis(context, node.integer("axis", 1), len(shape)), node.integer("block_size")
    if block < 1:
        raise node.invalid(f"a positive block_size was needed, found {block}")
    blocks = -(-shape[axis] // block)
    expected = (*shape[:axis], blocks, *shape[axis + 1 :])
    if context.require_static(node, scale) != expected:
        raise node.invalid(
            f"a scale of shape {list(expected)} was needed for its blocks, found {list(shape_of(scale))}"
        )
    padded_shape = (*shape[:axis], blocks * block, *shape[axis + 1 :])
    rows = _to_rows(context, _pad(context, x, axis, blocks * block), axis, block)
    row_zero = None if zero_point is None else _to_rows(context, zero_point, axis, 1)
    result = function(rows, _to_rows(context, scale, axis, 1), row_zero)
    result = _from_rows(context, result, axis, padded_shape)
    if padded_shape != shape:
        result = context.emit(op.strided_slice(result, [axis], [0], [shape[axis]]))
    return result


def _axis(context: Context, node: Node, x: relax.Expr, scale: relax.Expr) -> int:
    if math.prod(context.require_static(node, scale)) == 1:
        return max(rank_of(x) - 1, 0)
    return normalized_axis(context, node.integer("axis", 1), rank_of(x))


@operator("QuantizeLinear", host_arrays=True)
@operator("QuantizeLinear", domain="com.microsoft", host_arrays=True)
def quantize_linear(context: Context, node: Node, inputs: Inputs) -> Result:
    """x float -> int8, uint8, int16 or uint16."""
    x, scale, zero_point = inputs[0], inputs[1], inputs[2]
    if isinstance(zero_point, np.ndarray):
        raise node.unsupported(f"quantized values of {', '.join(_QUANTIZED)} can be computed, found {zero_point.dtype}")
    dtype = dtype_of(zero_point) if zero_point is not None else "uint8"
    if zero_point is None and node.integer("output_dtype", 0):
        dtype = dtypes.name_of(node.integer("output_dtype"))
    precision = _precision(node, scale)
    if node.integer("block_size", 0):
        return _blocked(
            context, node, inputs, lambda rows, s, zero: quantize(context, rows, s, zero, 0, dtype, precision)
        )
    return quantize(context, x, scale, zero_point, _axis(context, node, x, scale), dtype, precision)


def _precision(node: Node, scale: relax.Expr) -> str:
    """What the quotient is rounded to: from opset 23 on the dtype of the scale or as asked for, before float32.

    Older opsets do not say; ONNX Runtime computes in float32 there.
    """
    if node.integer("precision", 0):
        return dtypes.require_supported(node.integer("precision"), str(node))
    return dtype_of(scale) if node.domain == "" and node.opset >= 23 else "float32"


@operator("DequantizeLinear", host_arrays=True)
@operator("DequantizeLinear", domain="com.microsoft", host_arrays=True)
def dequantize_linear(context: Context, node: Node, inputs: Inputs) -> Result:
    """x int8, uint8, int16, uint16, int32, or a constant of narrower numbers -> the dtype of the scale."""
    x, scale, zero_point = widened(inputs[0]), inputs[1], widened(inputs[2])
    for value in (x, scale, zero_point):
        if isinstance(value, np.ndarray):
            raise node.unsupported(f"quantized values of {', '.join(_DEQUANTIZED)} can be read, found {value.dtype}")
    dtype = dtype_of(scale)
    if node.integer("output_dtype", 0):
        dtype = dtypes.require_supported(node.integer("output_dtype"), str(node))
    if node.integer("block_size", 0):
        return _blocked(
            context,
            node,
            Inputs((x, scale, zero_point)),
            lambda rows, s, zero: dequantize(context, rows, s, zero, 0, dtype),
        )
    return dequantize(context, x, scale, zero_point, _axis(context, node, x, scale), dtype)


@operator("DynamicQuantizeLinear")
def dynamic_quantize_linear(context: Context, node: Node, inputs: Inputs) -> Result:
    """x float32 -> y uint8, its scale and its zero point, from the range of x with 0 in it."""
    y, scale, zero_point = dynamic_parameters(context, inputs[0])
    return y, scale, zero_point


def dynamic_parameters(context: Context, x: relax.Expr) -> tuple[relax.Expr, relax.Expr, relax.Expr]:
    """(y uint8, scale, zero point) of DynamicQuantizeLinear; all zeros give the scale 1, as in ONNX Runtime."""
    zero = scalar(0, "float32")
    low = context.emit(op.minimum(op.min(x), zero))
    high = context.emit(op.maximum(op.max(x), zero))
    span = context.emit(op.divide(op.subtract(high, low), scalar(255, "float32")))
    scale = context.emit(op.where(op.equal(span, zero), scalar(1, "float32"), span))
    offset = context.emit(op.round(op.divide(op.negative(low), scale)))
    clipped = op.minimum(op.maximum(offset, zero), scalar(255, "float32"))
    zero_point = context.emit(op.astype(clipped, "uint8"))
    return quantize(context, x, scale, zero_point, max(rank_of(x) - 1, 0), "uint8"), scale, zero_point
