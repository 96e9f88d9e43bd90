"""The arithmetic of a kernel, counted in its loops before they are scheduled."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tvm
    from tvm import s_tir


@dataclass(frozen=True)
class KernelCost:
    """What one call of a kernel computes.

    Attributes:
        macs: how often its reductions add a product.
        operations: two for each of `macs`, and one for each iteration of any other stage that computes something.
    """

    macs: int
    operations: int


def kernel_cost(kernel: tvm.tirx.PrimFunc) -> KernelCost:
    """The cost of an unscheduled kernel; unknown extents count as 1."""
    from tvm import s_tir
    from tvm_ffi.structural import structural_walk

    macs = operations = 0

    def visit(block: s_tir.SBlock) -> None:
        nonlocal macs, operations
        value = getattr(block.body, "value", None)  # of a store; blocks around loops have none
        if value is None:
            return
        iterations = _iterations(block)
        if block.init is not None and _adds_product(value):
            macs += iterations
            operations += 2 * iterations
        elif not _only_moves(value):
            operations += iterations

    structural_walk(kernel.body, (s_tir.SBlock, visit))
    return KernelCost(macs, operations)


def _iterations(block: s_tir.SBlock) -> int:
    from tvm import tirx

    extents = [axis.dom.extent for axis in block.iter_vars]
    return math.prod(int(extent) for extent in extents if isinstance(extent, tirx.IntImm))


def _adds_product(value: tvm.ir.Expr) -> bool:
    from tvm import tirx

    if not isinstance(value, tirx.Add):
        return False
    return any(isinstance(_without_cast(side), tirx.Mul) for side in (value.a, value.b))


def _only_moves(value: tvm.ir.Expr) -> bool:
    """True for an element, a constant, or a choice among them by position; what the indices take does not count."""
    import tvm
    from tvm import tirx

    value = _without_cast(value)
    if isinstance(value, tirx.Select):
        return _moves_by_position(value.condition, value.true_value, value.false_value)
    if isinstance(value, tvm.ir.Call) and getattr(value.op, "name", "") == "prim.if_then_else":
        return _moves_by_position(*value.args)
    return isinstance(value, tvm.ir.TensorLoad | tirx.IntImm | tirx.FloatImm | tirx.Var)


def _moves_by_position(condition: tvm.ir.Expr, *choices: tvm.ir.Expr) -> bool:
    import tvm
    from tvm_ffi.structural import structural_walk

    loads: list[tvm.ir.TensorLoad] = []
    structural_walk(condition, (tvm.ir.TensorLoad, loads.append))
    return not loads and all(map(_only_moves, choices))


def _without_cast(expression: tvm.ir.Expr) -> tvm.ir.Expr:
    from tvm import tirx

    while isinstance(expression, tirx.Cast):
        expression = expression.value
    return expression
