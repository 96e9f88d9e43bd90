"""Normalisations, kept as one Relax operator so that passes can fold or fuse them."""

from __future__ import annotations

import numpy as np
from tvm import relax

from edgecompile.frontend.torch.context import Arguments, Context, dtype_of, shape_of
from edgecompile.frontend.torch.registry import converter


def _filled(value: float, shape: list[int], dtype: str) -> relax.Expr:
    return relax.op.astype(relax.const(np.full(shape, value, "float32"), "float32"), dtype) if dtype == "bfloat16" else (
        relax.const(np.full(shape, value, dtype), dtype)
    )


@converter("_native_batch_norm_legit_no_training.default")
def batch_norm(context: Context, args: Arguments) -> tuple[relax.Expr, None, None]:
    """`(x - running_mean) / sqrt(running_var + eps) * weight + bias` along dimension 1.

    The saved statistics, which only training reads, are not computed.
    """
    channels, dtype = [shape_of(args.input)[1]], dtype_of(args.running_mean)
    weight = args.weight if args.weight is not None else _filled(1.0, channels, dtype)
    bias = args.bias if args.bias is not None else _filled(0.0, channels, dtype)
    normalized = relax.op.nn.batch_norm(
        args.input, weight, bias, args.running_mean, args.running_var, axis=1, epsilon=args.eps, training=False
    )
    return context.emit(normalized)[0], None, None


@converter("_native_batch_norm_legit.no_stats")
def batch_norm_of_batch(context: Context, args: Arguments) -> tuple[relax.Expr, None, None]:
    """Normalises with the statistics of the batch itself; instance normalisation is exported in this form."""
    shape, dtype = shape_of(args.input), context.dtype
    weight = args.weight if args.weight is not None else _filled(1.0, [shape[1]], dtype)
    bias = args.bias if args.bias is not None else _filled(0.0, [shape[1]], dtype)
    axes = [0, *range(2, len(shape))]
    return relax.op.nn.instance_norm(args.input, weight, bias, 1, axes, epsilon=args.eps), None, None


@converter("native_layer_norm.default")
def layer_norm(context: Context, args: Arguments) -> tuple[relax.Expr, None, None]:
    """Normalises over the last dimensions."""
    shape = list(args.normalized_shape)
    weight = args.weight if args.weight is not None else _filled(1.0, shape, context.dtype)
    bias = args.bias if args.bias is not None else _filled(0.0, shape, context.dtype)
    axes = list(range(-len(shape), 0))
    return relax.op.nn.layer_norm(args.input, weight, bias, axes=axes, epsilon=args.eps), None, None


@converter("rms_norm.default")
def rms_norm(context: Context, args: Arguments) -> relax.Expr:
    """`x / sqrt(mean(x^2) + eps) * weight` over the last dimensions."""
    shape = list(args.normalized_shape)
    weight = args.weight if args.weight is not None else _filled(1.0, shape, context.dtype)
    epsilon = args.eps if args.eps is not None else float(np.finfo(np.float32).eps)
    return relax.op.nn.rms_norm(args.input, weight, axes=list(range(-len(shape), 0)), epsilon=epsilon)


@converter("native_group_norm.default")
def group_norm(context: Context, args: Arguments) -> tuple[relax.Expr, None, None]:
    """Normalises over groups of channels."""
    shape = shape_of(args.input)
    weight = args.weight if args.weight is not None else _filled(1.0, [shape[1]], context.dtype)
    bias = args.bias if args.bias is not None else _filled(0.0, [shape[1]], context.dtype)
    normalized = relax.op.nn.group_norm(
        args.input, weight, bias, num_groups=args.group, channel_axis=1, axes=list(range(2, len(shape))),
        epsilon=args.eps,
    )
    return normalized, None, None
