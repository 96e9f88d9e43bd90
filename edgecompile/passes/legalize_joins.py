"""Concatenation as TVM's loops; where these only put tensors one behind the other, the kernel says so to the plan."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from edgecompile.plan.joins import JOINS_ATTRIBUTE

if TYPE_CHECKING:
    import tvm
    from tvm import relax


def joining_legalizations() -> dict[str, Callable[[relax.BlockBuilder, relax.Call], relax.Expr]]:
    """Operator -> legalisation, for `LegalizeOps`."""
    return {"relax.concat": _legalize_concat}


def _legalize_concat(builder: relax.BlockBuilder, call: relax.Call) -> relax.Expr:
    """All dimensions before the axis are 1: the parts lie in the result as they are."""
    from tvm import tirx

    result = call.op.get_attr("FLegalize")(builder, call)
    shape = getattr(call.ty.shape, "values", None)
    if not hasattr(result, "op") or result.op.name != "relax.call_tir" or shape is None:
        return result
    axis = int(call.attrs.axis) % len(shape)
    if all(isinstance(extent, tirx.IntImm) for extent in shape) and all(int(extent) == 1 for extent in shape[:axis]):
        kernel: tvm.ir.GlobalVar = result.args[0]
        builder.update_func(kernel, builder.get()[kernel].with_attr(JOINS_ATTRIBUTE, 1))
    return result
