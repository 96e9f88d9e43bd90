"""Conversions that stay float operators, of uint8 made those of int8: the same real numbers, and no further kernels."""

from __future__ import annotations

from typing import Any

import numpy as np
import tvm
from tvm import relax

from edgecompile.passes.integers.graph import Graph

_SIGN = 128


def signed_quantize(call: relax.Call, graph: Graph) -> relax.Call | None:
    """quantize to uint8 -> the same levels less 128, as int8; None where it is no such call, or has no known zero.

    Rounded quotients, zero points and bounds are whole numbers that float32 holds: they move without a rounding.
    """
    zero_point = _signed_zero_point(call, str(call.ty.dtype))
    if zero_point is None:
        return None
    data, scale = (graph.renewed(argument) for argument in call.args[:2])
    return relax.op.quantize(data, scale, zero_point, axis=int(call.attrs.axis), out_dtype="int8")


def signed_dequantize(value: relax.Var, graph: Graph) -> relax.Call | None:
    """dequantize of uint8 -> that of the same levels less 128; None where those are not at hand."""
    call = graph.call(value, "dequantize")
    signed = graph.known_signed(call.args[0]) if call is not None else None
    zero_point = _signed_zero_point(call, "uint8") if call is not None and signed is not None else None
    if call is None or zero_point is None:
        return None
    scale, axis = graph.renewed(call.args[1]), int(call.attrs.axis)
    return relax.op.dequantize(signed, scale, zero_point, axis=axis, out_dtype=str(call.ty.dtype))


def _signed_zero_point(call: relax.Call, dtype: str) -> relax.Expr | None:
    zero_point: Any = call.args[2]
    if dtype != "uint8" or not isinstance(zero_point, tvm.ir.GenericConst):
        return None
    return relax.const((zero_point.value.numpy().astype(np.int32) - _SIGN).astype(np.int8), "int8")
