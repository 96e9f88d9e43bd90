"""Functions of libm that have no half-precision form, computed in float32."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import tvm

# Those that TVM calls by name; it has rules of its own for the others.
_LIBM_FUNCTIONS = frozenset(
    f"tirx.{name}" for name in ("acos", "acosh", "asin", "asinh", "atan", "atan2", "cosh", "erf", "sinh")
)


def widen_half_functions(body: tvm.tirx.Stmt) -> tvm.tirx.Stmt:
    """cosh(x: float16)   ->   float16(cosh(float32(x)))"""
    from tvm import ir, tirx
    from tvm_ffi.structural import structural_mutate

    def on_call(call: ir.Call, mutator: Any) -> ir.Expr:
        call = mutator.default_mutate(call)
        if getattr(call.op, "name", "") not in _LIBM_FUNCTIONS or not str(call.ty.dtype).startswith("float16"):
            return call
        wide = str(call.ty.dtype).replace("float16", "float32")
        arguments = [tirx.Cast(wide, argument) for argument in call.args]
        return tirx.Cast(str(call.ty.dtype), ir.Call(call.op, arguments, ret_ty=ir.PrimType(wide)))

    return structural_mutate(body, ((ir.Call, on_call),))
