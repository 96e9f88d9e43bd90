"""Comparisons and negations that hold for NaN.

TVM simplifies `not (a < b)` to `b <= a`, and its code for `a != b` answers false where one of them is NaN. A negation
written as arithmetic on bits is out of the simplifier's sight.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tvm
    from tvm import relax, te


def negate(condition: tvm.tirx.Expr) -> tvm.tirx.Expr:
    """`not condition`, for a condition that compares floating-point numbers."""
    from tvm import tirx

    return tirx.bitwise_xor(tirx.Cast("int8", condition), tirx.const(1, "int8")).astype("bool")


def comparison_legalizations() -> dict[str, Callable[[relax.BlockBuilder, relax.Call], relax.Expr]]:
    """Operator -> legalisation, for `LegalizeOps`."""
    return {"relax.logical_not": _legalize_logical_not, "relax.not_equal": _legalize_not_equal}


def _legalize_logical_not(builder: relax.BlockBuilder, call: relax.Call) -> relax.Expr:
    def compute(data: te.Tensor) -> te.Tensor:
        from tvm import te

        return te.compute(data.shape, lambda *place: negate(data(*place)), name="logical_not")

    return builder.call_te(compute, call.args[0], primfunc_name_hint="logical_not")


def _legalize_not_equal(builder: relax.BlockBuilder, call: relax.Call) -> relax.Expr:
    from tvm import te, topi

    def compute(left: te.Tensor, right: te.Tensor) -> te.Tensor:
        if "float" not in str(left.dtype):
            return topi.not_equal(left, right)
        equal = topi.equal(left, right)
        return te.compute(equal.shape, lambda *place: negate(equal(*place)), name="not_equal")

    return builder.call_te(compute, call.args[0], call.args[1], primfunc_name_hint="not_equal")
