"""Selections that bound a value -> one instruction, on AArch64.

    select(x < 0, 0, x)    ->    llvm.maximum(x, 0)

Passes bound values by comparison, since TVM's own `max` loses NaN. On x86 that is one instruction; on AArch64 LLVM
makes two of it, while FMAX and FMIN, which let NaN through, do the same. Only the sign of zero differs: -0 becomes +0
where the bound is +0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import tvm

_TYPES = ("float32", "float64")


def bound_by_intrinsics(body: tvm.tirx.Stmt) -> tvm.tirx.Stmt:
    """Every selection between a value and a constant, by their order, as `llvm.maximum` or `llvm.minimum`."""
    from tvm import tirx
    from tvm_ffi.structural import structural_mutate

    def on_select(select: tirx.Select, mutator: Any) -> tvm.ir.Expr:
        inside = mutator.default_mutate(select)
        name = _intrinsic(inside)
        if name is None:
            return inside
        return tirx.call_llvm_pure_intrin(str(inside.ty.dtype), name, inside.false_value, inside.true_value)

    return structural_mutate(body, ((tirx.Select, on_select),))


def _intrinsic(select: tvm.tirx.Select) -> str | None:
    """Which intrinsic computes the selection; None where none does."""
    from tvm import tirx
    from tvm_ffi.structural import structural_equal

    condition, bound, value = select.condition, select.true_value, select.false_value
    if not isinstance(condition, (tirx.LT, tirx.GT)) or not isinstance(bound, tirx.FloatImm):
        return None
    if str(value.ty.dtype) not in _TYPES:
        return None
    low, high = (condition.a, condition.b) if isinstance(condition, tirx.LT) else (condition.b, condition.a)
    if structural_equal(low, value) and structural_equal(high, bound):
        return "llvm.maximum"
    if structural_equal(low, bound) and structural_equal(high, value):
        return "llvm.minimum"
    return None
