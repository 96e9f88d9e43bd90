"""Operators between tensors that can compute on integers: sums, concatenations, averages."""

from __future__ import annotations

from tvm import relax

from edgecompile.compress.graph.uses import Uses

_PAIRS = ("add", "subtract", "multiply")  # of two tensors, of which one may broadcast
_AVERAGES = ("mean", "nn.adaptive_avg_pool2d", "nn.avg_pool2d", "image.resize2d")


def joined_tensors(uses: Uses, variable: relax.Var) -> list[relax.Var] | None:
    """The float32 tensors that a joining operator reads; None where there is none such."""
    operator, call = uses.operator(variable), uses.call(variable)
    if call is None:
        return None
    if operator == "concat":
        operands = list(call.args[0].fields) if isinstance(call.args[0], relax.Tuple) else [call.args[0]]
    elif operator in _PAIRS:
        operands = list(call.args)
    elif operator in _AVERAGES and _is_average(call):
        operands = [call.args[0]]
    else:
        return None
    return operands if all(_is_tensor(operand) for operand in operands) else None


def _is_tensor(value: relax.Expr) -> bool:
    return isinstance(value, relax.Var) and isinstance(value.ty, relax.TensorType) and str(value.ty.dtype) == "float32"


def _is_average(call: relax.Call) -> bool:
    """False for what integers cannot compute; what moves pixels is none either."""
    return call.op.name != "relax.image.resize2d" or (
        str(call.attrs.method) == "linear" and str(call.attrs.layout) == "NCHW"
    )
