"""Operators that compute each number from the numbers at the same place, and products of matrices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from tvm import relax

from edgecompile.train.operator import OPERATORS, Operator, operator

_UNARY: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    **{
        name: getattr(torch, name)
        for name in (
            *("abs", "acos", "acosh", "asin", "asinh", "atan", "atanh", "bitwise_not", "ceil", "cos", "cosh", "erf"),
            *("exp", "floor", "isfinite", "isinf", "isnan", "log", "logical_not", "negative", "ones_like", "round"),
            *("rsqrt", "sigmoid", "sign", "sin", "sinh", "sqrt", "square", "tan", "tanh", "trunc", "zeros_like"),
        )
    },
    **{f"nn.{name}": getattr(F, name) for name in ("relu", "relu6", "selu", "silu", "gelu")},
    "nn.gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "stop_gradient": torch.Tensor.detach,
}
_BINARY: dict[str, Callable[..., torch.Tensor]] = {
    **{
        name: getattr(torch, name)
        for name in (
            *("add", "subtract", "multiply", "floor_divide", "atan2", "maximum", "minimum", "greater"),
            *("greater_equal", "less", "less_equal", "not_equal", "logical_and", "logical_or", "logical_xor", "where"),
            *("bitwise_and", "bitwise_or", "bitwise_xor", "matmul"),
        )
    },
    "equal": torch.eq,
    "floor_mod": torch.remainder,
    "mod": torch.fmod,
    "power": torch.pow,
}


def _of_tensors(function: Callable[..., torch.Tensor]) -> Operator:
    return lambda call, arguments: function(*arguments)


OPERATORS.update({name: _of_tensors(function) for name, function in (_UNARY | _BINARY).items()})


@operator("divide")
def divide(call: relax.Call, arguments: Sequence[Any]) -> torch.Tensor:
    """Towards zero, of integers."""
    one, other = arguments
    return torch.divide(one, other, rounding_mode=None if one.is_floating_point() else "trunc")


@operator("clip")
def clip(call: relax.Call, arguments: Sequence[Any]) -> torch.Tensor:
    x, low, high = arguments
    return torch.clamp(x, float(low), float(high))


@operator("astype")
def astype(call: relax.Call, arguments: Sequence[Any]) -> torch.Tensor:
    return arguments[0].to(getattr(torch, str(call.attrs.dtype)))


@operator("nn.leakyrelu")
def leaky_relu(call: relax.Call, arguments: Sequence[Any]) -> torch.Tensor:
    return F.leaky_relu(arguments[0], float(call.attrs.alpha))


@operator("nn.softplus")
def softplus(call: relax.Call, arguments: Sequence[Any]) -> torch.Tensor:
    return F.softplus(arguments[0], float(call.attrs.beta), float(call.attrs.threshold))


@operator("nn.prelu")
def prelu(call: relax.Call, arguments: Sequence[Any]) -> torch.Tensor:
    x, slope = arguments
    axis = int(call.attrs.axis) % x.ndim
    return torch.where(x > 0, x, x * slope.reshape([-1 if place == axis else 1 for place in range(x.ndim)]))


@operator("nn.dropout")
def dropout(call: relax.Call, arguments: Sequence[Any]) -> tuple[torch.Tensor, torch.Tensor]:
    """Nothing is dropped in inference; the second result is the mask."""
    return arguments[0], torch.ones_like(arguments[0])
