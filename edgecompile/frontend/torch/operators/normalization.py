"""Normalisations, kept as one Relax operator so that passes can fold or fuse them."""

from __future__ import annotations

import numpy as np
from tvm import relax

from edgecompile.frontend.torch.context import Arguments, Context, dtype_of, shape_of
from edgecompile.frontend.torch.registry import converter


def _parameter(context: Context, value: relax.Expr | None, default: float, shape: list[int], dtype: str) -> relax.Expr:
    """A weight or bias in the dtype of the computation, the neutral one where there is none."""
    if value is None:
        return relax.const(np.full(shape, default, dtype), dtype)
    return context.tensor(value, dtype)


@converter("_native_batch_norm_legit_no_training.default")
def batch_norm(context: Context, args: Arguments) -> tuple[relax.Expr, None, None]:
    """`(x - running_mean) / sqrt(running_var + eps) * weight + bias` along dimension 1.

    The saved statistics, which only training reads, are not computed.
    """
    data = context.wide(args.input)
    channels, dtype = [shape_of(data)[1]], dtype_of(data)
    normalized = relax.op.nn.batch_norm(
        data,
        _parameter(context, args.weight, 1.0, channels, dtype),
        _parameter(context, args.bias, 0.0, channels, dtype),
        context.tensor(args.running_mean, dtype),
        context.tensor(args.running_var, dtype),
        axis=1,
        epsilon=args.eps,
        training=False,
    )
    return context.narrow(context.emit(normalized)[0]), None, None


@converter("_native_batch_norm_legit.no_stats")
def batch_norm_of_batch(context: Context, args: Arguments) -> tuple[relax.Expr, None, None]:
    """Normalises with the statistics of the batch itself; instance normalisation is exported in this form."""
    data = context.wide(args.input)
    shape, dtype = shape_of(data), dtype_of(data)
    weight = _parameter(context, args.weight, 1.0, [shape[1]], dtype)
    bias = _parameter(context, args.bias, 0.0, [shape[1]], dtype)
    axes = [0, *range(2, len(shape))]
    normalized = relax.op.nn.instance_norm(data, weight, bias, 1, axes, epsilon=args.eps)
    return context.narrow(normalized), None, None


@converter("native_layer_norm.default")
def layer_norm(context: Context, args: Arguments) -> tuple[relax.Expr, None, None]:
    """Normalises over the last dimensions."""
    data, shape = context.wide(args.input), list(args.normalized_shape)
    weight = _parameter(context, args.weight, 1.0, shape, dtype_of(data))
    bias = _parameter(context, args.bias, 0.0, shape, dtype_of(data))
    axes = list(range(-len(shape), 0))
    if dtype_of(data) == "float64":  # TVM's kernel has float16 and float32 only
        return _layer_norm_by_parts(context, data, weight, bias, axes, args.eps), None, None
    return context.narrow(relax.op.nn.layer_norm(data, weight, bias, axes=axes, epsilon=args.eps)), None, None


def _layer_norm_by_parts(
    context: Context, data: relax.Expr, weight: relax.Expr, bias: relax.Expr, axes: list[int], epsilon: float
) -> relax.Expr:
    centred = context.emit(relax.op.subtract(data, relax.op.mean(data, axes, keepdims=True)))
    variance = relax.op.mean(relax.op.multiply(centred, centred), axes, keepdims=True)
    scale = relax.op.rsqrt(relax.op.add(variance, context.tensor(epsilon, "float64")))
    normalized = context.emit(relax.op.multiply(centred, scale))
    return relax.op.add(context.emit(relax.op.multiply(normalized, weight)), bias)


@converter("rms_norm.default")
def rms_norm(context: Context, args: Arguments) -> relax.Expr:
    """`x / sqrt(mean(x^2) + eps) * weight` over the last dimensions."""
    data, shape = context.wide(args.input), list(args.normalized_shape)
    weight = _parameter(context, args.weight, 1.0, shape, dtype_of(data))
    epsilon = args.eps if args.eps is not None else float(np.finfo(dtype_of(data)).eps)
    axes = list(range(-len(shape), 0))
    if len(shape_of(data)) > len(shape):
        return context.narrow(relax.op.nn.rms_norm(data, weight, axes=axes, epsilon=epsilon))
    # TVM's kernel wants a dimension that is not normalised.
    batched = context.emit(relax.op.expand_dims(data, 0))
    normalized = context.emit(relax.op.nn.rms_norm(batched, weight, axes=axes, epsilon=epsilon))
    return context.narrow(relax.op.squeeze(normalized, [0]))


@converter("native_group_norm.default")
def group_norm(context: Context, args: Arguments) -> tuple[relax.Expr, None, None]:
    """Normalises over groups of channels."""
    data = context.wide(args.input)
    shape, dtype = shape_of(data), dtype_of(data)
    weight = _parameter(context, args.weight, 1.0, [shape[1]], dtype)
    bias = _parameter(context, args.bias, 0.0, [shape[1]], dtype)
    axes = list(range(2, len(shape)))
    normalized = relax.op.nn.group_norm(data, weight, bias, args.group, 1, axes, epsilon=args.eps)
    return context.narrow(normalized), None, None
