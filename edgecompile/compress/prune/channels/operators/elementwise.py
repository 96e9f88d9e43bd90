"""Operators that compute each number from the numbers at the same place, with broadcasting."""

from __future__ import annotations

from edgecompile.compress.prune.channels.rule import rule
from edgecompile.compress.prune.channels.site import Site

_UNARY = (
    *("abs", "acos", "acosh", "asin", "asinh", "astype", "atan", "atanh", "bitwise_not", "ceil", "clip", "cos", "cosh"),
    *("erf", "exp", "floor", "isfinite", "isinf", "isnan", "log", "logical_not", "negative", "round", "rsqrt"),
    *("sigmoid", "sign", "sin", "sinh", "sqrt", "square", "tan", "tanh", "trunc", "nn.dropout", "nn.gelu"),
    *("nn.gelu_tanh", "nn.leakyrelu", "nn.relu", "nn.relu6", "nn.selu", "nn.silu", "nn.softplus"),
    *("full_like", "ones_like", "zeros_like", "stop_gradient"),
)
_BINARY = {
    **dict.fromkeys(("add", "subtract"), "adds"),
    **dict.fromkeys(("multiply", "divide"), "multiplies"),
    **dict.fromkeys(("floor_divide", "mod", "floor_mod", "power", "atan2", "log_add_exp"), "computes number by number"),
    **dict.fromkeys(("maximum", "minimum"), "compares"),
    **dict.fromkeys(("greater", "greater_equal", "less", "less_equal", "equal", "not_equal"), "compares"),
    **dict.fromkeys(("logical_and", "logical_or", "logical_xor", "where"), "chooses"),
    **dict.fromkeys(("bitwise_and", "bitwise_or", "bitwise_xor"), "computes bit by bit"),
}
_OPERANDS = {"add": "bias", "subtract": "bias", "multiply": "scale", "divide": "scale"}


@rule(*_UNARY)
def link_unary(site: Site) -> None:
    """y[i] = f(x[i])."""
    x = site.argument(0)
    for output in site.outputs:
        site.linker.link_axes(x, output, [(axis, axis) for axis in range(output.rank)])


@rule(*_BINARY)
def link_broadcast(site: Site) -> None:
    """y[i] = f(x[i], z[i], ...), where an axis of one element counts for all."""
    tensors = [(index, tensor) for index in range(len(site.call.args)) for tensor in site.tensors_of(index)]
    reason = _BINARY[site.operator] if sum(not tensor.is_fixed for _, tensor in tensors) > 1 else ""
    output = site.output
    for index, tensor in tensors:
        for axis in range(tensor.rank):
            place = output.rank - tensor.rank + axis
            if tensor.shape[axis] == 1 and output.shape[place] != 1:
                continue
            site.linker.link(tensor.elements(axis), output.elements(place), reason)
            if (tensor.shape[axis] or 0) > 1:
                site.note(index, axis, _OPERANDS.get(site.operator, "operand"), "each")


@rule("nn.prelu")
def link_prelu(site: Site) -> None:
    """y[i] = x[i] or slope[c] x[i]."""
    link_unary(site)
    slope = site.argument(1)
    if slope.shape != (1,):
        site.linker.link(slope.elements(0), site.output.elements(int(site.call.attrs.axis)))
        site.note(1, 0, "slope", "each")
