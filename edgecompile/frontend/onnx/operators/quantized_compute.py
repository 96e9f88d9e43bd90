"""Operators on quantized tensors.

QLinear* become dequantize -> float operator -> quantize, with their scales and zero points in the IR, for the integer
passes to fuse; *Integer operators become exact integer arithmetic.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from tvm import relax
from tvm.relax import op

from edgecompile.frontend.onnx.context import Context, Inputs, Result, dtype_of, make_constant, rank_of, shape_of
from edgecompile.frontend.onnx.emit import cast, normalized_axis, reshape, scalar
from edgecompile.frontend.onnx.node import Node
from edgecompile.frontend.onnx.operators.activation import softmax_from
from edgecompile.frontend.onnx.operators.quantize import dequantize, dynamic_parameters, quantize
from edgecompile.frontend.onnx.registry import operator

MICROSOFT = "com.microsoft"
_CONV_ATTRIBUTES = ("auto_pad", "dilations", "group", "kernel_shape", "pads", "strides")


def _attributes(node: Node, names: Sequence[str]) -> dict[str, Any]:
    return {name: node.attributes[name] for name in names if name in node.attributes}


def _read(context: Context, inputs: Inputs, first: int, axis: int = -1) -> relax.Expr:
    """The tensor at input `first` as float32, its scale and zero point being the two inputs behind it."""
    x = inputs[first]
    rank = rank_of(x)
    return dequantize(context, x, inputs[first + 1], inputs[first + 2], axis % rank if rank else 0)


def _write(
    context: Context, value: relax.Expr, scale: relax.Expr, zero_point: relax.Expr | None, like: str
) -> relax.Expr:
    """`value` quantized per tensor to the dtype of the zero point, or to `like` where there is none."""
    dtype = like if zero_point is None else dtype_of(zero_point)
    return quantize(context, value, scale, zero_point, max(rank_of(value) - 1, 0), dtype)


def _one(context: Context, op_type: str, inputs: Sequence[relax.Expr | None], **attributes: Any) -> relax.Expr:
    result = context.convert_node(op_type, inputs, **attributes)[0]
    if not isinstance(result, relax.Expr):
        raise context.node.unsupported(f"the float operator {op_type} inside it cannot be imported")
    return result


def _bias(
    context: Context, bias: relax.Expr, x_scale: relax.Expr, w_scale: relax.Expr, factor: float = 1.0
) -> relax.Expr:
    """An int32 bias [.., N], its scale the product of `factor` and the scales of input (one) and weight (1 or N)."""
    known = [context.constant(x_scale), context.constant(w_scale)]
    if known[0] is not None and known[1] is not None:
        scale = make_constant((known[0].reshape(()) * known[1] * np.float32(factor)).astype(np.float32))
    else:
        scale = context.emit(op.multiply(reshape(context, x_scale, ()), w_scale))
        if factor != 1.0:
            scale = context.emit(op.multiply(scale, scalar(factor, "float32")))
    return dequantize(context, bias, scale, None, max(rank_of(bias) - 1, 0))


@operator("QLinearConv")
def qlinear_conv(context: Context, node: Node, inputs: Inputs) -> Result:
    """x [N, C, ..] and w [M, C / group, ..], w per tensor or per output channel; bias int32 [M]."""
    x, w = _read(context, inputs, 0), _read(context, inputs, 3, axis=0)
    bias = None if inputs[8] is None else _bias(context, inputs[8], inputs[1], inputs[4])
    y = _one(context, "Conv", [x, w, bias], **_attributes(node, _CONV_ATTRIBUTES))
    return _write(context, y, inputs[6], inputs[7], dtype_of(inputs[0]))


@operator("QLinearMatMul")
def qlinear_matmul(context: Context, node: Node, inputs: Inputs) -> Result:
    """a [.., M, K] per tensor or row, b [.., K, N] per tensor or column."""
    a, b = _read(context, inputs, 0, axis=-2 if rank_of(inputs[0]) > 1 else -1), _read(context, inputs, 3)
    y = _one(context, "MatMul", [a, b])
    return _write(context, y, inputs[6], inputs[7], dtype_of(inputs[0]))


def _centred(context: Context, value: relax.Expr, zero_point: relax.Expr | None, axis: int) -> relax.Expr:
    """`value` minus its zero point (one element, or one per entry of `axis`) as int16, which holds it exactly."""
    array, zeros = context.constant(value), context.constant(zero_point)
    if zeros is not None and not zeros.any():
        zero_point = None
    if zero_point is not None and rank_of(zero_point) == 1 and shape_of(zero_point)[0] != 1:
        shape = [1] * rank_of(value)
        shape[axis] = shape_of(zero_point)[0]
        zero_point = reshape(context, zero_point, shape)
    elif zero_point is not None and rank_of(zero_point) == 1:
        zero_point = reshape(context, zero_point, ())
    zeros = context.constant(zero_point)
    if array is not None and (zero_point is None or zeros is not None):
        return make_constant(array.astype(np.int16) - (0 if zeros is None else zeros.astype(np.int16)))
    wide = cast(context, value, "int16")
    return wide if zero_point is None else context.emit(op.subtract(wide, cast(context, zero_point, "int16")))


@operator("MatMulInteger", "MatMulInteger16")
@operator("MatMulInteger16", domain=MICROSOFT)
def matmul_integer(context: Context, node: Node, inputs: Inputs) -> Result:
    """(A - a_zero) @ (B - b_zero) in int32; zero points per tensor, per row of A, per column of B."""
    return _matmul_integer(context, inputs[0], inputs[1], inputs[2], inputs[3])


def _matmul_integer(
    context: Context, a: relax.Expr, b: relax.Expr, a_zero: relax.Expr | None, b_zero: relax.Expr | None
) -> relax.Expr:
    if dtype_of(a) == dtype_of(b) == "int16":
        return context.emit(op.matmul(a, b, out_dtype="int32"))
    left = _centred(context, a, a_zero, -2 if rank_of(a) > 1 else -1)
    return context.emit(op.matmul(left, _centred(context, b, b_zero, -1), out_dtype="int32"))


@operator("ConvInteger")
def conv_integer(context: Context, node: Node, inputs: Inputs) -> Result:
    """conv(x - x_zero, w - w_zero) in int32; padding adds zeros after the subtraction, as ONNX demands."""
    x = cast(context, _centred(context, inputs[0], inputs[2], 1), "int32")
    w = cast(context, _centred(context, inputs[1], inputs[3], 0), "int32")
    return _one(context, "Conv", [x, w], **_attributes(node, _CONV_ATTRIBUTES))


@operator("MatMulIntegerToFloat", domain=MICROSOFT)
def matmul_integer_to_float(context: Context, node: Node, inputs: Inputs) -> Result:
    """MatMulInteger(A, B) * a_scale * b_scale + bias; inputs A, B, a_scale, b_scale, a_zero, b_zero, bias."""
    product = _matmul_integer(context, inputs[0], inputs[1], inputs[4], inputs[5])
    return _scaled(context, product, inputs[2], inputs[3], inputs[6])


@operator("DynamicQuantizeMatMul", domain=MICROSOFT)
def dynamic_quantize_matmul(context: Context, node: Node, inputs: Inputs) -> Result:
    """DynamicQuantizeLinear(A) times quantized B, scaled back; inputs A, B, b_scale, b_zero, bias."""
    a, a_scale, a_zero = dynamic_parameters(context, inputs[0])
    product = _matmul_integer(context, a, inputs[1], a_zero, inputs[3])
    return _scaled(context, product, a_scale, inputs[2], inputs[4])


def _scaled(
    context: Context, product: relax.Expr, a_scale: relax.Expr, b_scale: relax.Expr, bias: relax.Expr | None
) -> relax.Expr:
    value = context.emit(op.multiply(cast(context, product, "float32"), context.emit(op.multiply(a_scale, b_scale))))
    return value if bias is None else context.emit(op.add(value, bias))


@operator("QLinearAdd", "QLinearMul", domain=MICROSOFT)
def qlinear_binary(context: Context, node: Node, inputs: Inputs) -> Result:
    """A with its scale and zero point, B with its, scale and zero point of the result."""
    float_op = op.add if node.op_type == "QLinearAdd" else op.multiply
    value = context.emit(float_op(_read(context, inputs, 0), _read(context, inputs, 3)))
    return _write(context, value, inputs[6], inputs[7], dtype_of(inputs[0]))


_UNARY = {
    "QLinearSigmoid": ("Sigmoid", ()),
    "QLinearLeakyRelu": ("LeakyRelu", ("alpha",)),
    "QLinearReduceMean": ("ReduceMean", ("axes", "keepdims")),
    "QLinearAveragePool": (
        "AveragePool", ("auto_pad", "ceil_mode", "count_include_pad", "kernel_shape", "pads", "strides"),
    ),
    "QLinearGlobalAveragePool": ("GlobalAveragePool", ()),
}  # fmt: skip


@operator(*_UNARY, domain=MICROSOFT)
def qlinear_unary(context: Context, node: Node, inputs: Inputs) -> Result:
    """X with its scale and zero point, scale and zero point of the result; X is channels-first or -last."""
    op_type, names = _UNARY[node.op_type]
    x = _read(context, inputs, 0)
    last = node.integer("channels_last", 0) == 1
    rank = rank_of(x)
    if last:
        x = context.emit(op.permute_dims(x, [0, rank - 1, *range(1, rank - 1)]))
    attributes = _attributes(node, names)
    operands: list[relax.Expr | None] = [x]
    if "axes" in attributes:  # from opset 18 on the axes of reductions are an input
        axes = attributes.pop("axes")
        value = context.emit(op.mean(x, list(axes), keepdims=bool(attributes.get("keepdims", 1))))
    else:
        value = _one(context, op_type, operands, **attributes)
    if last:
        value = context.emit(op.permute_dims(value, [0, *range(2, rank), 1]))
    return _write(context, value, inputs[3], inputs[4], dtype_of(inputs[0]))


@operator("QLinearSoftmax", domain=MICROSOFT)
def qlinear_softmax(context: Context, node: Node, inputs: Inputs) -> Result:
    """Inputs as of the other unary operators; the attribute `opset` tells whose Softmax it is."""
    x = _read(context, inputs, 0)
    axis = normalized_axis(context, node.integer("axis", -1), rank_of(x))
    if node.integer("opset", 13) < 13:
        value = softmax_from(context, op.nn.softmax, x, axis)
    else:
        value = context.emit(op.nn.softmax(x, axis=axis))
    return _write(context, value, inputs[3], inputs[4], dtype_of(inputs[0]))


@operator("QLinearConcat", domain=MICROSOFT)
def qlinear_concat(context: Context, node: Node, inputs: Inputs) -> Result:
    """Scale and zero point of the result, then each tensor with its scale and zero point."""
    if len(inputs) < 5 or (len(inputs) - 2) % 3:
        raise node.invalid(f"2 inputs and 3 for each tensor were needed, found {len(inputs)}")
    values = [_read(context, inputs, index) for index in range(2, len(inputs), 3)]
    joined = context.emit(op.concat(values, axis=node.integer("axis")))
    return _write(context, joined, inputs[0], inputs[1], dtype_of(inputs[2]))


@operator("QLinearWhere", domain=MICROSOFT)
def qlinear_where(context: Context, node: Node, inputs: Inputs) -> Result:
    """A condition, X and Y with scale and zero point each, scale and zero point of the result."""
    value = context.emit(op.where(inputs[0], _read(context, inputs, 1), _read(context, inputs, 4)))
    return _write(context, value, inputs[7], inputs[8], dtype_of(inputs[1]))


@operator("QGemm", domain=MICROSOFT)
def qgemm(context: Context, node: Node, inputs: Inputs) -> Result:
    """alpha * A @ B + C, C int32 with the scale alpha * a_scale * b_scale; float32 where no output scale is given."""
    transposed = node.integer("transB", 0)
    a, b = _read(context, inputs, 0), _read(context, inputs, 3, axis=0 if transposed else 1)
    alpha = node.floating("alpha", 1.0)
    value = _one(context, "Gemm", [a, b], alpha=alpha, transA=node.integer("transA", 0), transB=transposed)
    if inputs[6] is not None:
        value = context.emit(op.add(value, _bias(context, inputs[6], inputs[1], inputs[4], alpha)))
    if inputs[7] is None:
        return value
    return _write(context, value, inputs[7], inputs[8], dtype_of(inputs[0]))


@operator("MatMulNBits", domain=MICROSOFT)
def matmul_n_bits(context: Context, node: Node, inputs: Inputs) -> Result:
    """A [.., K] times a constant weight of 4 or 8 bits, [N, K / block, block * bits / 8], a scale per block."""
    k, n = node.integer("K"), node.integer("N")
    bits, block = node.integer("bits", 4), node.integer("block_size")
    if bits not in (4, 8) or inputs[4] is not None:
        raise node.unsupported("weights of 4 or 8 bits without g_idx were needed; export without activation ordering")
    blocks = -(-k // block)
    packed = context.require_constant(node, 1).reshape(n, blocks, -1)
    weight = _unpack(packed, bits).reshape(n * blocks, block)
    zeros = np.full((n * blocks,), 1 << (bits - 1), np.uint8)
    if inputs[3] is not None:
        given = context.require_constant(node, 3)
        if given.dtype != np.uint8:
            raise node.unsupported(f"zero points of dtype uint8 were needed, found {given.dtype}")
        zeros = _unpack(given.reshape(n, -1), bits)[:, :blocks].reshape(-1)
    scales = make_constant(context.require_constant(node, 2).astype(np.float32).reshape(-1))
    rows = dequantize(context, make_constant(weight), scales, make_constant(zeros), 0, dtype_of(inputs[0]))
    matrix = reshape(context, rows, (n, blocks * block))
    if blocks * block != k:
        matrix = context.emit(op.strided_slice(matrix, [1], [0], [k]))
    value = _one(context, "MatMul", [inputs[0], context.emit(op.permute_dims(matrix, [1, 0]))])
    return value if inputs[5] is None else context.emit(op.add(value, inputs[5]))


def _unpack(packed: np.ndarray, bits: int) -> np.ndarray:
    """[.., bytes] uint8 -> [.., bytes * 8 / bits] uint8; the low bits of a byte come first."""
    if bits == 8:
        return packed
    return np.stack([packed & 15, packed >> 4], axis=-1).reshape(*packed.shape[:-1], -1)
