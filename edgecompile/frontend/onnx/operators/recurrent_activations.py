"""The activation functions that ONNX's RNN, GRU and LSTM may name, with their `alpha` and `beta`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from tvm import relax
from tvm.relax import op

from edgecompile.frontend.onnx.emit import scalar
from edgecompile.frontend.onnx.node import Node

Activation: TypeAlias = Callable[[relax.Expr], relax.Expr]

# name -> (default alpha, default beta); None where the function takes no such parameter. The attribute
# `activation_alpha` has entries only for the functions that take an alpha, in their order; so has `activation_beta`.
_PARAMETERS: dict[str, tuple[float | None, float | None]] = {
    "relu": (None, None),
    "tanh": (None, None),
    "sigmoid": (None, None),
    "softsign": (None, None),
    "softplus": (None, None),
    "affine": (1.0, 0.0),
    "leakyrelu": (0.01, None),
    "thresholdedrelu": (1.0, None),
    "scaledtanh": (1.0, 1.0),
    "hardsigmoid": (0.2, 0.5),
    "elu": (1.0, None),
}


def node_activations(node: Node, default: tuple[str, ...], count: int, dtype: str) -> list[Activation]:
    """The `count` activations of a recurrent node: its attribute, or `default` once per direction.

    Raises:
        InvalidModelError: another number of names than the directions need, or a name that ONNX does not define.
    """
    names = node.strings("activations") or list(default) * (count // len(default))
    if len(names) != count:
        raise node.invalid(f"{count} activations were needed for its directions, found {len(names)}")
    alphas, betas = node.floats("activation_alpha") or [], node.floats("activation_beta") or []
    result = []
    for name in names:
        key = name.lower()
        if key not in _PARAMETERS:
            raise node.invalid(f"an activation among {', '.join(sorted(_PARAMETERS))} was needed, found {name!r}")
        alpha, beta = _PARAMETERS[key]
        if alpha is not None and alphas:
            alpha = alphas.pop(0)
        if beta is not None and betas:
            beta = betas.pop(0)
        result.append(_bind(key, alpha or 0.0, beta or 0.0, dtype))
    return result


def _bind(name: str, alpha: float, beta: float, dtype: str) -> Activation:
    """The activation `name` for tensors of `dtype`, its parameters filled in."""

    def number(value: float) -> relax.Expr:
        return scalar(value, dtype)

    def elu(x: relax.Expr) -> relax.Expr:
        # exp of the negative part alone: exp of a large x would be infinite
        negative = op.subtract(op.exp(op.minimum(x, number(0))), number(1))
        return op.where(op.less(x, number(0)), op.multiply(number(alpha), negative), x)

    def softplus(x: relax.Expr) -> relax.Expr:
        # log(1 + exp(x)) = max(x, 0) + log(1 + exp(-|x|)), which does not overflow
        tail = op.log(op.add(number(1), op.exp(op.negative(op.abs(x)))))
        return op.add(op.maximum(x, number(0)), tail)

    def hard_sigmoid(x: relax.Expr) -> relax.Expr:
        return op.minimum(op.maximum(op.add(op.multiply(x, number(alpha)), number(beta)), number(0)), number(1))

    functions: dict[str, Activation] = {
        "relu": op.nn.relu,
        "tanh": op.tanh,
        "sigmoid": op.sigmoid,
        "softsign": lambda x: op.divide(x, op.add(number(1), op.abs(x))),
        "softplus": softplus,
        "affine": lambda x: op.add(op.multiply(x, number(alpha)), number(beta)),
        "leakyrelu": lambda x: op.where(op.less(x, number(0)), op.multiply(x, number(alpha)), x),
        "thresholdedrelu": lambda x: op.where(op.greater_equal(x, number(alpha)), x, number(0)),
        "scaledtanh": lambda x: op.multiply(number(alpha), op.tanh(op.multiply(x, number(beta)))),
        "hardsigmoid": hard_sigmoid,
        "elu": elu,
    }
    return functions[name]
