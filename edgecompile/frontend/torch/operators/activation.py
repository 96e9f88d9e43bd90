"""Activations, kept as one Relax operator where Relax has one."""

from __future__ import annotations

from tvm import relax

from edgecompile.frontend.torch.context import Arguments, Context, shape_of
from edgecompile.frontend.torch.registry import converter


@converter("relu.default")
def relu(context: Context, args: Arguments) -> relax.Expr:
    """`max(self, 0)`."""
    return relax.op.nn.relu(args.self)


@converter("hardtanh.default", "relu6.default")
def hardtanh(context: Context, args: Arguments) -> relax.Expr:
    """`min(max(self, min_val), max_val)`; PyTorch's ReLU6 is exported in this form."""
    low, high = float(args.get("min_val", 0.0)), float(args.get("max_val", 6.0))
    return relax.op.nn.relu6(args.self) if (low, high) == (0.0, 6.0) else relax.op.clip(args.self, low, high)


@converter("gelu.default")
def gelu(context: Context, args: Arguments) -> relax.Expr:
    """GELU, exact or with the tanh approximation."""
    return relax.op.nn.gelu_tanh(args.self) if args.approximate == "tanh" else relax.op.nn.gelu(args.self)


@converter("silu.default")
def silu(context: Context, args: Arguments) -> relax.Expr:
    """`x * sigmoid(x)`."""
    return relax.op.nn.silu(args.self)


@converter("leaky_relu.default")
def leaky_relu(context: Context, args: Arguments) -> relax.Expr:
    """`x > 0 ? x : negative_slope * x`."""
    return relax.op.nn.leakyrelu(args.self, float(args.negative_slope))


@converter("elu.default")
def elu(context: Context, args: Arguments) -> relax.Expr:
    """`scale * (x > 0 ? x : alpha * (exp(input_scale * x) - 1))`; SELU and CELU are exported in this form."""
    x, dtype = args.self, context.dtype
    zero, one = context.tensor(0, dtype), context.tensor(1, dtype)
    negative = relax.op.minimum(x, zero)
    exponent = relax.op.multiply(negative, context.tensor(args.input_scale, dtype))
    below = relax.op.multiply(relax.op.subtract(relax.op.exp(exponent), one), context.tensor(args.alpha, dtype))
    value = context.emit(relax.op.where(relax.op.greater(x, zero), x, below))
    return value if args.scale == 1 else relax.op.multiply(value, context.tensor(args.scale, dtype))


@converter("prelu.default", "_prelu_kernel.default")
def prelu(context: Context, args: Arguments) -> relax.Expr:
    """`x > 0 ? x : weight * x`, the weight broadcast along the channels."""
    x, weight = args.self, args.weight
    rank, channels = len(shape_of(x)), shape_of(weight)
    if len(channels) == 1 and rank > 1:
        weight = context.emit(relax.op.reshape(weight, [1, channels[0]] + [1] * (rank - 2)))
    zero = context.tensor(0, context.dtype)
    return relax.op.where(relax.op.greater(x, zero), x, context.emit(relax.op.multiply(x, weight)))


@converter("_softmax.default", "softmax.int")
def softmax(context: Context, args: Arguments) -> relax.Expr:
    """Softmax along one dimension."""
    x = context.wide(context.tensor(args.self, context.dtype))
    return context.narrow(relax.op.nn.softmax(x, args.dim) if shape_of(x) else relax.op.ones_like(x))


@converter("_log_softmax.default", "log_softmax.int")
def log_softmax(context: Context, args: Arguments) -> relax.Expr:
    """Logarithm of softmax along one dimension."""
    x = context.wide(context.tensor(args.self, context.dtype))
    return context.narrow(relax.op.nn.log_softmax(x, args.dim) if shape_of(x) else relax.op.zeros_like(x))
