"""Keep scalar zeros out of TVM's arithmetic on immediates, which is not that of floating point."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgecompile.decision import Decision

if TYPE_CHECKING:
    import tvm
    from tvm import relax

_OPERATORS = frozenset(["relax.divide", "relax.floor_divide", "relax.mod", "relax.floor_mod", "relax.multiply"])


@dataclass(frozen=True)
class KeepZeroOperands:
    """Give floating-point zeros that products and quotients take as scalars a dimension of 1.

        x / 0   ->   x / [0]

    TVM's legalisations write a constant of rank 0 into the kernel as an immediate. Arithmetic on immediates fails on
    x / 0 there, and answers 0 for x * 0 and 0 / x, where NaN is right for some x. Constants of rank 1 stay tensors.
    This must run before `FoldConstant`, which legalises every operator to see whether it can be folded.
    """

    name: str = "KeepZeroOperands"

    def __call__(self, module: tvm.IRModule, decisions: list[Decision]) -> tvm.IRModule:
        del decisions  # the meaning, and all that a user can see, stay as they are
        from tvm import relax

        found: list[relax.Call] = []
        relax.analysis.post_order_visit(module["main"], lambda expr: found.extend([expr] if _affected(expr) else []))
        return _rewrite(module) if found else module


def _affected(expr: relax.Expr) -> bool:
    import tvm

    if not isinstance(expr, tvm.ir.Call) or getattr(expr.op, "name", None) not in _OPERATORS:
        return False
    return any(_is_zero(operand) for operand in expr.args)


def _is_zero(operand: relax.Expr) -> bool:
    import tvm

    if not isinstance(operand, tvm.ir.GenericConst) or operand.ty.ndim != 0:
        return False
    return "float" in str(operand.ty.dtype) and not operand.value.numpy().any()


def _rewrite(module: tvm.IRModule) -> tvm.IRModule:
    import tvm
    from tvm import relax

    def ranked(operand: relax.Expr) -> relax.Expr:
        return relax.const(tvm.runtime.tensor(operand.value.numpy().reshape(1))) if _is_zero(operand) else operand

    @relax.expr_functor.mutator
    class Rewriter(relax.PyExprMutator):
        def visit_call_(self, call: relax.Call) -> relax.Expr:
            call = self.visit_expr_post_order(call)
            if not _affected(call):
                return call
            changed = tvm.ir.Call(call.op, [ranked(operand) for operand in call.args], call.attrs)
            return changed if call.ty.ndim else relax.op.reshape(self.builder_.emit(changed), ())

    rewriter = Rewriter(module)
    rewriter.builder_.update_func(module.get_global_var("main"), rewriter.visit_expr(module["main"]))
    return rewriter.builder_.get()
