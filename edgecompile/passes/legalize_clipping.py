"""Activations that bound their input, and let NaN through as PyTorch and ONNX Runtime do.

TVM's use `max` and `min`, which answer the bound where the input is NaN: a network with broken weights would then give
plausible numbers. A selection by comparison costs as much: on x86 it is the same instruction.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tvm import relax, te


def clipping_legalizations() -> dict[str, Callable[[relax.BlockBuilder, relax.Call], relax.Expr]]:
    """Operator -> legalisation, for `LegalizeOps`."""
    return {"relax.nn.relu": _legalize_relu, "relax.clip": _legalize_clip}


def _legalize_relu(builder: relax.BlockBuilder, call: relax.Call) -> relax.Expr:
    """relu(x) = 0 if x < 0 else x"""
    from tvm import te, tirx

    def compute(data: te.Tensor) -> te.Tensor:
        zero = tirx.const(0, data.dtype)
        return te.compute(data.shape, lambda *i: tirx.Select(data(*i) < zero, zero, data(*i)), name="relu")

    return builder.call_te(compute, call.args[0], primfunc_name_hint="relu")


def _legalize_clip(builder: relax.BlockBuilder, call: relax.Call) -> relax.Expr:
    """clip(x, low, high) = high if x > high else (low if x < low else x), and high where low is above it"""
    from tvm import te, tirx

    def compute(data: te.Tensor, low: tirx.Expr, high: tirx.Expr) -> te.Tensor:
        least, most = tirx.Cast(data.dtype, low), tirx.Cast(data.dtype, high)

        def clip(*place: tirx.Var) -> tirx.Expr:
            raised = tirx.Select(data(*place) < least, least, data(*place))
            return tirx.Select(raised > most, most, raised)

        return te.compute(data.shape, clip, name="clip")

    return builder.call_te(compute, *call.args, primfunc_name_hint="clip")
