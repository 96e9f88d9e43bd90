"""Quantization in float arithmetic, the same on every target, NaN included.

TVM's formula clips from above first, so that NaN becomes the highest level. ONNX Runtime on x86 clips from below first.
Here NaN becomes the lowest level on every target; no number differs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tvm
    from tvm import relax, te


def quantization_legalizations() -> dict[str, Callable[[relax.BlockBuilder, relax.Call], relax.Expr]]:
    """Operator -> legalisation, for `LegalizeOps`."""
    return {"relax.quantize": _legalize_quantize}


def _legalize_quantize(builder: relax.BlockBuilder, call: relax.Call) -> relax.Expr:
    """round_half_even(x / scale) + zero_point, between the bounds of the result's integer dtype.

    x: [..] float; scale: [] or [D], zero_point: [] or [D] integers, D the length of the operator's axis.
    """
    from tvm import te, tirx
    from tvm.tirx import Expr

    dtype = str(call.attrs.out_dtype)
    assert "int" in dtype, f"quantize to integers was expected, found {dtype}"
    # Rounded quotients go on in float32: it holds the bounds of 16-bit integers, which 16-bit floats do not.
    least, most = (tirx.Cast("float32", bound(dtype)) for bound in (tirx.min_value, tirx.max_value))

    def compute(data: te.Tensor, scale: te.Tensor | Expr, zero_point: te.Tensor | Expr) -> te.Tensor:
        axis = call.attrs.axis % max(len(data.shape), 1)

        def at(parameter: te.Tensor | Expr, place: tuple[tirx.Var, ...]) -> Expr:
            if not isinstance(parameter, te.Tensor):
                return parameter
            return parameter(place[axis]) if len(parameter.shape) else parameter()

        def quantize(*place: tirx.Var) -> Expr:
            rounded = tirx.round(data(*place) / at(scale, place))
            level = tirx.Cast("float32", rounded) + tirx.Cast("float32", at(zero_point, place))
            raised = tirx.Select(level > least, level, least)
            return tirx.Cast(dtype, tirx.Select(raised < most, raised, most))

        return te.compute(data.shape, quantize, name="quantized")

    data, *parameters = call.args
    return builder.call_te(compute, data, *map(_as_number, parameters), primfunc_name_hint="quantize")


def _as_number(parameter: relax.Expr) -> relax.Expr | tvm.tirx.Expr:
    """A constant of rank 0 as a number in the code; others as they are."""
    from tvm import ir, tirx

    if isinstance(parameter, ir.GenericConst) and parameter.ty.ndim == 0:
        return tirx.const(parameter.value.numpy().item(), str(parameter.ty.dtype))
    return parameter
