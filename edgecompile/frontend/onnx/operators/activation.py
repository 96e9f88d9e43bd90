"""Activations that are more than one Relax operator."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from tvm import relax, tirx

from edgecompile.frontend.onnx.context import Context, Inputs, Result, dtype_of, make_constant, rank_of, shape_of
from edgecompile.frontend.onnx.emit import elementwise, in_float32, reshape, scalar
from edgecompile.frontend.onnx.node import Node
from edgecompile.frontend.onnx.registry import operator

op = relax.op


@operator("LeakyRelu")
def leaky_relu(context: Context, node: Node, inputs: Inputs) -> Result:
    """x where x >= 0, else alpha x."""
    return context.emit(op.nn.leakyrelu(inputs[0], node.floating("alpha", 0.01)))


@operator("PRelu")
def parametric_relu(context: Context, node: Node, inputs: Inputs) -> Result:
    """x where x >= 0, else slope x; the slope broadcasts."""
    x, slope = inputs[0], inputs[1]
    zero = scalar(0, dtype_of(x))
    return context.emit(op.where(context.emit(op.less(x, zero)), context.emit(op.multiply(x, slope)), x))


@operator("Elu")
@in_float32
def elu(context: Context, node: Node, inputs: Inputs) -> Result:
    """x where x >= 0, else alpha (exp(x) - 1)."""
    return _exponential(context, inputs[0], node.floating("alpha", 1.0), 1.0, 1.0)


@operator("Selu")
@in_float32
def selu(context: Context, node: Node, inputs: Inputs) -> Result:
    """gamma (x where x > 0, else alpha (exp(x) - 1))."""
    alpha = node.floating("alpha", 1.67326319217681884765625)
    return _exponential(context, inputs[0], alpha, node.floating("gamma", 1.05070102214813232421875), 1.0)


@operator("Celu")
@in_float32
def celu(context: Context, node: Node, inputs: Inputs) -> Result:
    """max(0, x) + min(0, alpha (exp(x / alpha) - 1))."""
    alpha = node.floating("alpha", 1.0)
    return _exponential(context, inputs[0], alpha, 1.0, 1.0 / alpha)


def _exponential(context: Context, x: relax.Expr, alpha: float, gamma: float, slope: float) -> relax.Expr:
    """gamma (x where x > 0, else alpha (exp(slope x) - 1))."""
    dtype = dtype_of(x)
    scaled = x if slope == 1.0 else context.emit(op.multiply(x, scalar(slope, dtype)))
    power = context.emit(op.exp(scaled))
    curve = context.emit(op.multiply(scalar(alpha, dtype), context.emit(op.subtract(power, scalar(1, dtype)))))
    bent = context.emit(op.where(context.emit(op.greater(x, scalar(0, dtype))), x, curve))
    return bent if gamma == 1.0 else context.emit(op.multiply(scalar(gamma, dtype), bent))


@operator("HardSigmoid")
@in_float32
def hard_sigmoid(context: Context, node: Node, inputs: Inputs) -> Result:
    """max(0, min(1, alpha x + beta))."""
    return _hard_sigmoid(context, inputs[0], node.floating("alpha", 0.2), node.floating("beta", 0.5))


@operator("HardSwish")
@in_float32
def hard_swish(context: Context, node: Node, inputs: Inputs) -> Result:
    """x max(0, min(1, x / 6 + 1 / 2))."""
    return context.emit(op.multiply(inputs[0], _hard_sigmoid(context, inputs[0], 1 / 6, 0.5)))


def _hard_sigmoid(context: Context, x: relax.Expr, alpha: float, beta: float) -> relax.Expr:
    dtype = dtype_of(x)
    line = context.emit(op.add(context.emit(op.multiply(x, scalar(alpha, dtype))), scalar(beta, dtype)))
    return context.emit(op.maximum(context.emit(op.minimum(line, scalar(1, dtype))), scalar(0, dtype)))


@operator("Softplus")
@in_float32
def softplus(context: Context, node: Node, inputs: Inputs) -> Result:
    """log(1 + exp(x)), computed as max(x, 0) + log1p(exp(-|x|)), which neither overflows nor loses small results."""
    dtype = dtype_of(inputs[0])

    def function(x: tirx.Var) -> tirx.Var:
        return tirx.max(x, tirx.const(0, dtype)) + tirx.log1p(tirx.exp(-tirx.abs(x)))

    return elementwise(context, function, [inputs[0]], "softplus")


@operator("Softsign")
@in_float32
def softsign(context: Context, node: Node, inputs: Inputs) -> Result:
    """x / (1 + |x|)."""
    dtype = dtype_of(inputs[0])
    below = context.emit(op.add(context.emit(op.abs(inputs[0])), scalar(1, dtype)))
    return context.emit(op.divide(inputs[0], below))


@operator("Mish")
@in_float32
def mish(context: Context, node: Node, inputs: Inputs) -> Result:
    """x tanh(softplus(x)) = x n / (n + 2) with n = exp(x) (exp(x) + 2), which cancels nothing; x itself above 20."""
    x, dtype = inputs[0], dtype_of(inputs[0])
    power = context.emit(op.exp(context.emit(op.minimum(x, scalar(20, dtype)))))
    n = context.emit(op.multiply(power, context.emit(op.add(power, scalar(2, dtype)))))
    factor = context.emit(op.divide(n, context.emit(op.add(n, scalar(2, dtype)))))
    return context.emit(op.multiply(x, factor))


@operator("Swish")
@in_float32
def swish(context: Context, node: Node, inputs: Inputs) -> Result:
    """x sigmoid(alpha x)."""
    alpha = node.floating("alpha", 1.0)
    if alpha == 1.0:
        return context.emit(op.nn.silu(inputs[0]))
    scaled = context.emit(op.multiply(inputs[0], scalar(alpha, dtype_of(inputs[0]))))
    return context.emit(op.multiply(inputs[0], context.emit(op.sigmoid(scaled))))


@operator("Gelu")
@in_float32
def gelu(context: Context, node: Node, inputs: Inputs) -> Result:
    """x / 2 (1 + erf(x / sqrt(2))), or its approximation by tanh."""
    form = node.string("approximate", "none")
    if form not in ("none", "tanh"):
        raise node.invalid(f"approximate 'none' or 'tanh' was needed, found '{form}'")
    return context.emit(op.nn.gelu(inputs[0]) if form == "none" else op.nn.gelu_tanh(inputs[0]))


@operator("Gelu", "FastGelu", domain="com.microsoft")
@in_float32
def microsoft_gelu(context: Context, node: Node, inputs: Inputs) -> Result:
    """ONNX Runtime's Gelu (exact) and FastGelu (tanh of x plus an optional bias)."""
    if node.op_type == "Gelu":
        return context.emit(op.nn.gelu(inputs[0]))
    x = inputs[0] if inputs[1] is None else context.emit(op.add(inputs[0], inputs[1]))
    return context.emit(op.nn.gelu_tanh(x))


@operator("ThresholdedRelu")
def thresholded_relu(context: Context, node: Node, inputs: Inputs) -> Result:
    """x where x > alpha, else 0."""
    dtype = dtype_of(inputs[0])
    above = context.emit(op.greater(inputs[0], scalar(node.floating("alpha", 1.0), dtype)))
    return context.emit(op.where(above, inputs[0], scalar(0, dtype)))


@operator("Shrink")
def shrink(context: Context, node: Node, inputs: Inputs) -> Result:
    """x + bias where x < -lambd, x - bias where x > lambd, else 0."""
    x, dtype = inputs[0], dtype_of(inputs[0])
    limit, bias = scalar(node.floating("lambd", 0.5), dtype), scalar(node.floating("bias", 0.0), dtype)
    below = context.emit(op.less(x, scalar(-node.floating("lambd", 0.5), dtype)))
    above = context.emit(op.greater(x, limit))
    upper = context.emit(op.where(above, context.emit(op.subtract(x, bias)), scalar(0, dtype)))
    return context.emit(op.where(below, context.emit(op.add(x, bias)), upper))


@operator("Softmax", "LogSoftmax")
@in_float32
def flattened_softmax(context: Context, node: Node, inputs: Inputs) -> Result:
    """Before opset 13: softmax over all dimensions from `axis` on, taken as one."""
    function = op.nn.softmax if node.op_type == "Softmax" else op.nn.log_softmax
    axis = node.integer("axis", 1) % max(rank_of(inputs[0]), 1)
    return softmax_from(context, function, inputs[0], axis)


def softmax_from(context: Context, function: Callable[..., relax.Expr], x: relax.Expr, axis: int) -> relax.Expr:
    """`function` (a softmax along one axis) over all dimensions of `x` from `axis` on, taken as one."""
    shape = shape_of(x)
    if axis == rank_of(x) - 1:
        return context.emit(function(x, axis=axis))
    flat = reshape(context, x, (*shape[:axis], math.prod(shape[axis:])))
    return reshape(context, context.emit(function(flat, axis=axis)), shape)


@operator("Softmax", "LogSoftmax", since=13)
@in_float32
def softmax(context: Context, node: Node, inputs: Inputs) -> Result:
    """exp(x) / sum(exp(x)) along one axis, or its logarithm."""
    function = op.nn.softmax if node.op_type == "Softmax" else op.nn.log_softmax
    return context.emit(function(inputs[0], axis=node.integer("axis", -1)))


@operator("Hardmax")
def hardmax(context: Context, node: Node, inputs: Inputs) -> Result:
    """1 at the first maximum along one axis (before opset 13: along all dimensions from `axis` on), else 0."""
    x, rank, shape = inputs[0], rank_of(inputs[0]), shape_of(inputs[0])
    axis = node.integer("axis", 1 if node.opset < 13 else -1) % max(rank, 1)
    flat = x if node.opset >= 13 else reshape(context, x, (math.prod(shape[:axis]), math.prod(shape[axis:])))
    along = axis if node.opset >= 13 else 1
    size = context.require_static(node, flat)[along]
    best = context.convert_node("ArgMax", [flat], axis=along, keepdims=1)[0]
    positions = make_constant(
        np.arange(size, dtype=np.int64).reshape([-1 if a == along else 1 for a in range(rank_of(flat))])
    )
    hit = context.emit(op.astype(context.emit(op.equal(best, positions)), dtype_of(x)))
    return reshape(context, hit, shape)
