"""One step of Adagrad, Adam and Momentum (domain ai.onnx.preview.training).

Inputs are R (learning rate), T (update count), then all tensors, all gradients, and each kind of state of all tensors.
"""

from __future__ import annotations

from tvm import relax
from tvm.relax import op

from edgecompile.frontend.onnx.context import Context, Inputs, Result, dtype_of
from edgecompile.frontend.onnx.emit import cast, reshape, scalar
from edgecompile.frontend.onnx.node import Node
from edgecompile.frontend.onnx.registry import operator

DOMAIN = "ai.onnx.preview.training"


def _groups(node: Node, inputs: Inputs, kinds: int) -> list[tuple[relax.Expr, ...]]:
    """For each tensor: the tensor, its gradient and its states."""
    values = inputs[2:]
    if not values or len(values) % kinds:
        raise node.invalid(f"a multiple of {kinds} tensors after R and T was needed, found {len(values)}")
    count = len(values) // kinds
    return [tuple(values[kind * count + index] for kind in range(kinds)) for index in range(count)]


def _regularized(node: Node, x: relax.Expr, gradient: relax.Expr, name: str = "norm_coefficient") -> relax.Expr:
    """The gradient of the loss plus that of `name` / 2 * |x|^2."""
    return op.add(op.multiply(scalar(node.floating(name, 0.0), dtype_of(x)), x), gradient)


def _joined(context: Context, results: list[tuple[relax.Expr, ...]]) -> Result:
    return tuple(context.emit(result[kind]) for kind in range(len(results[0])) for result in results)


@operator("Momentum", domain=DOMAIN)
def momentum(context: Context, node: Node, inputs: Inputs) -> Result:
    """V = alpha * V + beta * G, X = X - R * V; nesterov: X = X - R * (G + alpha * V); beta is 1 in the first update."""
    results = []
    for x, gradient, velocity in _groups(node, inputs, 3):
        dtype = dtype_of(x)
        rate, alpha = cast(context, inputs[0], dtype), scalar(node.floating("alpha"), dtype)
        g = context.emit(_regularized(node, x, gradient))
        first = op.equal(reshape(context, inputs[1], ()), scalar(0, "int64"))
        beta = op.where(first, scalar(1.0, dtype), scalar(node.floating("beta"), dtype))
        v = context.emit(op.add(op.multiply(alpha, velocity), op.multiply(beta, g)))
        step = op.add(g, op.multiply(alpha, v)) if node.string("mode") == "nesterov" else v
        results.append((op.subtract(x, op.multiply(rate, step)), v))
    return _joined(context, results)


@operator("Adagrad", domain=DOMAIN)
def adagrad(context: Context, node: Node, inputs: Inputs) -> Result:
    """H = H + G * G, X = X - R / (1 + T * decay_factor) * G / (sqrt(H) + epsilon)."""
    results = []
    for x, gradient, history in _groups(node, inputs, 3):
        dtype = dtype_of(x)
        decay = op.multiply(cast(context, inputs[1], dtype), scalar(node.floating("decay_factor", 0.0), dtype))
        rate = op.divide(cast(context, inputs[0], dtype), op.add(decay, scalar(1.0, dtype)))
        g = context.emit(_regularized(node, x, gradient))
        h = context.emit(op.add(history, op.multiply(g, g)))
        divisor = op.add(op.sqrt(h), scalar(node.floating("epsilon", 1e-6), dtype))
        results.append((op.subtract(x, op.divide(op.multiply(rate, g), divisor)), h))
    return _joined(context, results)


@operator("Adam", domain=DOMAIN)
def adam(context: Context, node: Node, inputs: Inputs) -> Result:
    """V, H = moving averages of G and G * G; X = X - R' * V / (sqrt(H) + epsilon), R' corrects the averages' start."""
    alpha, beta = node.floating("alpha", 0.9), node.floating("beta", 0.999)
    results = []
    for x, gradient, average, square in _groups(node, inputs, 4):
        dtype = dtype_of(x)
        one = scalar(1.0, dtype)
        g = context.emit(_regularized(node, x, gradient))
        v = context.emit(op.add(op.multiply(scalar(alpha, dtype), average), op.multiply(scalar(1 - alpha, dtype), g)))
        squared = op.multiply(scalar(1 - beta, dtype), op.multiply(g, g))
        h = context.emit(op.add(op.multiply(scalar(beta, dtype), square), squared))
        count = cast(context, inputs[1], dtype)
        bias = op.divide(
            op.sqrt(op.subtract(one, op.power(scalar(beta, dtype), count))),
            op.subtract(one, op.power(scalar(alpha, dtype), count)),
        )
        rate = cast(context, inputs[0], dtype)
        first = op.equal(reshape(context, inputs[1], ()), scalar(0, "int64"))
        corrected = op.where(first, rate, op.multiply(rate, bias))
        divisor = op.add(op.sqrt(h), scalar(node.floating("epsilon", 1e-6), dtype))
        moved = op.subtract(x, op.divide(op.multiply(corrected, v), divisor))
        after = scalar(1.0 - node.floating("norm_coefficient_post", 0.0), dtype)
        results.append((op.multiply(after, moved), v, h))
    return _joined(context, results)
