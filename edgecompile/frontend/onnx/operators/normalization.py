"""Normalisations over batch, instance, group, layer and local neighbourhoods."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from tvm import relax, te, tirx

from edgecompile.frontend.onnx.context import Context, Inputs, Result, dtype_of, make_constant, rank_of, shape_of
from edgecompile.frontend.onnx.emit import cast, in_float32, normalized_axis, reshape, scalar
from edgecompile.frontend.onnx.node import Node
from edgecompile.frontend.onnx.registry import operator

op = relax.op


@operator("BatchNormalization")
def batch_normalization(context: Context, node: Node, inputs: Inputs) -> Result:
    """(x - mean) / sqrt(variance + epsilon) scale + bias, per channel; training mode takes the batch's own."""
    x, scale, bias, mean, variance = inputs[:5]
    epsilon = node.floating("epsilon", 1e-5)
    statistics: tuple[relax.Expr | None, ...] = ()
    if node.integer("training_mode", 0):
        momentum = node.floating("momentum", 0.9)
        axes = [axis for axis in range(rank_of(x)) if axis != 1]
        batch_mean = context.emit(op.mean(x, axes))
        batch_variance = context.emit(op.variance(x, axes))
        statistics = (_blend(context, mean, batch_mean, momentum), _blend(context, variance, batch_variance, momentum))
        mean, variance = batch_mean, batch_variance
    dtype = dtype_of(x)
    vectors = [cast(context, vector, dtype) for vector in (scale, bias, mean, variance)]
    if rank_of(x) < 2:
        raise node.unsupported("an input of at least two dimensions was needed")
    result = context.emit(op.nn.batch_norm(x, *vectors, axis=1, epsilon=epsilon, training=False))
    return (context.unpack(result)[0], *statistics)


def _blend(context: Context, old: relax.Expr, new: relax.Expr, momentum: float) -> relax.Expr:
    dtype = dtype_of(old)
    kept = context.emit(op.multiply(old, scalar(momentum, dtype)))
    return context.emit(op.add(kept, context.emit(op.multiply(cast(context, new, dtype), scalar(1 - momentum, dtype)))))


@operator("InstanceNormalization")
@in_float32
def instance_normalization(context: Context, node: Node, inputs: Inputs) -> Result:
    """Normalises each channel of each sample over its spatial dimensions."""
    x = inputs[0]
    axes = list(range(2, rank_of(x)))
    epsilon = node.floating("epsilon", 1e-5)
    normal = _normalize(context, x, axes, epsilon)[0]
    return _scale_and_shift(context, normal, inputs[1], inputs[2])


@operator("GroupNormalization", since=18)
def group_normalization(context: Context, node: Node, inputs: Inputs) -> Result:
    """Normalises groups of channels; scale and bias are per group before opset 21, per channel from then on."""
    x, scale, bias = inputs[:3]
    groups, dtype = node.integer("num_groups"), dtype_of(x)
    shape = shape_of(x)
    wide = cast(context, x, "float32") if node.opset >= 21 and node.integer("stash_type", 1) == 1 else x
    if node.opset < 21:
        each = context.require_static(node, x)[1] // groups
        scale, bias = (_repeat(context, vector, each) for vector in (scale, bias))
    if not isinstance(shape[1], int) or shape[1] % groups:
        raise node.invalid(f"a channel count that {groups} divides was needed, found {shape[1]}")
    grouped = reshape(context, wide, (shape[0], groups, shape[1] // groups, *shape[2:]))
    normal = _normalize(context, grouped, list(range(2, len(shape) + 1)), node.floating("epsilon", 1e-5))[0]
    return _scale_and_shift(context, cast(context, reshape(context, normal, shape), dtype), scale, bias)


def _repeat(context: Context, vector: relax.Expr, count: int) -> relax.Expr:
    return vector if count == 1 else context.emit(op.repeat(vector, count, axis=0))


def _scale_and_shift(context: Context, x: relax.Expr, scale: relax.Expr, bias: relax.Expr) -> relax.Expr:
    """x scale + bias, both vectors over the channels in dimension 1."""
    channels = (1, shape_of(x)[1], *[1] * (rank_of(x) - 2))
    scaled = context.emit(op.multiply(x, reshape(context, scale, channels)))
    return context.emit(op.add(scaled, reshape(context, bias, channels)))


def _normalize(
    context: Context, x: relax.Expr, axes: Sequence[int], epsilon: float
) -> tuple[relax.Expr, relax.Expr, relax.Expr]:
    """(x - mean) / sqrt(variance + epsilon) over `axes`, the mean, and the reciprocal standard deviation."""
    mean = context.emit(op.mean(x, list(axes), keepdims=True))
    centred = context.emit(op.subtract(x, mean))
    variance = context.emit(op.mean(context.emit(op.multiply(centred, centred)), list(axes), keepdims=True))
    deviation = context.emit(op.sqrt(context.emit(op.add(variance, scalar(epsilon, dtype_of(x))))))
    inverse = context.emit(op.divide(scalar(1, dtype_of(x)), deviation))
    return context.emit(op.multiply(centred, inverse)), mean, inverse


@operator("LayerNormalization")
def layer_normalization(context: Context, node: Node, inputs: Inputs) -> Result:
    """Normalises over the dimensions from `axis` on, in float32 where stash_type asks for it."""
    x, scale, bias = inputs[0], inputs[1], inputs[2]
    rank, dtype = rank_of(x), dtype_of(x)
    axis = normalized_axis(context, node.integer("axis", -1), rank)
    axes = list(range(axis, rank))
    epsilon = node.floating("epsilon", 1e-5)
    wide = cast(context, x, "float32") if node.integer("stash_type", 1) == 1 else x
    exact = shape_of(scale) == shape_of(x)[axis:] and (bias is None or shape_of(bias) == shape_of(scale))
    static = all(isinstance(dim, int) for dim in shape_of(scale))
    if dtype == dtype_of(wide) and exact and static and not node.has_output(1) and not node.has_output(2):
        shift = make_constant(np.zeros(shape_of(scale), np.dtype(dtype))) if bias is None else bias
        return context.emit(op.nn.layer_norm(x, scale, shift, axes=[a - rank for a in axes], epsilon=epsilon))
    normal, mean, inverse = _normalize(context, wide, axes, epsilon)
    result = context.emit(op.multiply(cast(context, normal, dtype), scale))
    return result if bias is None else context.emit(op.add(result, bias)), mean, inverse


@operator("RMSNormalization", since=23)
def rms_normalization(context: Context, node: Node, inputs: Inputs) -> Result:
    """x / sqrt(mean(x ** 2) + epsilon) scale over the dimensions from `axis` on."""
    x, scale = inputs[0], inputs[1]
    rank, dtype = rank_of(x), dtype_of(x)
    axes = list(range(normalized_axis(context, node.integer("axis", -1), rank), rank))
    wide = cast(context, x, "float32") if node.integer("stash_type", 1) == 1 else x
    squares = context.emit(op.mean(context.emit(op.multiply(wide, wide)), axes, keepdims=True))
    inner = context.emit(op.add(squares, scalar(node.floating("epsilon", 1e-5), dtype_of(wide))))
    normal = context.emit(op.divide(wide, context.emit(op.sqrt(inner))))
    return context.emit(op.multiply(cast(context, normal, dtype), scale))


@operator("LRN")
@in_float32
def local_response(context: Context, node: Node, inputs: Inputs) -> Result:
    """x / (bias + alpha / size sum of squares over `size` channels around each) ** beta."""
    x, dtype = inputs[0], dtype_of(inputs[0])
    size = node.integer("size")
    before = (size - 1) // 2
    channels = context.require_static(node, x)[1]

    def compute(data: te.Tensor) -> te.Tensor:
        k = te.reduce_axis((0, size), name="k")

        def at(batch: Any, channel: Any, *place: Any) -> Any:
            position = channel + k - before
            inside = tirx.all(position >= 0, position < channels)
            value = data(batch, position, *place)
            return te.sum(tirx.if_then_else(inside, value * value, tirx.const(0, dtype)), axis=k)

        return te.compute(shape_of(x), at, name="square_sum")

    squares = context.emit_te(compute, x, name="local_square_sum")
    scaled = context.emit(op.multiply(squares, scalar(node.floating("alpha", 1e-4) / size, dtype)))
    base = context.emit(op.add(scaled, scalar(node.floating("bias", 1.0), dtype)))
    return context.emit(op.divide(x, context.emit(op.power(base, scalar(node.floating("beta", 0.75), dtype)))))


@operator("LpNormalization")
@in_float32
def lp_normalization(context: Context, node: Node, inputs: Inputs) -> Result:
    """x divided by its 1- or 2-norm along one axis; 0 where the norm is 0."""
    x, dtype = inputs[0], dtype_of(inputs[0])
    axis = normalized_axis(context, node.integer("axis", -1), rank_of(x))
    p = node.integer("p", 2)
    if p not in (1, 2):
        raise node.invalid(f"p of 1 or 2 was needed, found {p}")
    powers = context.emit(op.abs(x) if p == 1 else op.multiply(x, x))
    norm = context.emit(op.sum(powers, [axis], keepdims=True))
    norm = norm if p == 1 else context.emit(op.sqrt(norm))
    is_zero = context.emit(op.equal(norm, scalar(0, dtype)))
    divisor = context.emit(op.where(is_zero, scalar(1, dtype), norm))
    return context.emit(op.divide(x, divisor))


@operator("MeanVarianceNormalization")
@in_float32
def mean_variance(context: Context, node: Node, inputs: Inputs) -> Result:
    """(x - mean) / (standard deviation + 1e-9) over `axes`."""
    x, dtype = inputs[0], dtype_of(inputs[0])
    axes = [normalized_axis(context, axis, rank_of(x)) for axis in node.integers("axes") or [0, 2, 3]]
    centred = context.emit(op.subtract(x, context.emit(op.mean(x, axes, keepdims=True))))
    variance = context.emit(op.mean(context.emit(op.multiply(centred, centred)), axes, keepdims=True))
    below = context.emit(op.add(context.emit(op.sqrt(variance)), scalar(1e-9, dtype)))
    return context.emit(op.divide(centred, below))
