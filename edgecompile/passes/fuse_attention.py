"""Let one kernel compute a whole attention."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgecompile.decision import Decision
from edgecompile.implementation import Implementation, Implementations

if TYPE_CHECKING:
    import tvm
    from tvm import relax

    from edgecompile.passes.attention_matcher import Match

_OPAQUE = 8  # OpPatternKind: nothing joins it


@dataclass(frozen=True)
class FuseAttention:
    """Replace products around a softmax, with the transposes that only move their operands and result.

        q = permute_dims(reshape(a))  ...  matmul(softmax(matmul(q, k) * c + mask), v)  ->  reshape(attention(a, ...))

    Where a tensor has another shape than its memory, the kernel reads and writes the memory. Static float32 only.
    """

    implementations: Implementations
    name: str = "FuseAttention"

    def __call__(self, module: tvm.IRModule, decisions: list[Decision]) -> tvm.IRModule:
        from edgecompile.passes.attention_matcher import AttentionMatcher
        from edgecompile.passes.layouts.problem import why_not_plannable

        if why_not_plannable(module["main"]) is not None:
            return module  # the planner of layouts says why
        chosen: dict[relax.Var, tuple[Match, Implementation]] = {}
        for match in AttentionMatcher(module["main"]).matches():
            ways = self.implementations.attentions(match.problem)
            if not ways:
                reason = "separate kernels are estimated as cheaper"
                decisions.append(Decision(self.name, match.product.name, False, reason))
                continue
            way = min(ways, key=lambda way: way.cycles)
            reason = f"{way.name}, {way.cycles / 1e3:.0f}k cycles estimated"
            decisions.append(Decision(self.name, match.product.name, True, reason))
            chosen[match.result] = match, way
        return _replaced(module, chosen) if chosen else module


def _replaced(module: tvm.IRModule, chosen: dict[relax.Var, tuple[Match, Implementation]]) -> tvm.IRModule:
    """The module with kernels in place of the bindings of `chosen`; what only fed those is dead code now."""
    import tvm
    from tvm import relax

    main = module["main"]
    builder = relax.BlockBuilder(tvm.IRModule(dict(module.functions_items())))
    bindings: list[relax.Binding] = []

    def emit(value: relax.Expr, name: str) -> relax.Var:
        normal = builder.normalize(value)
        variable = relax.DataflowVar(name, normal.ty)
        bindings.append(relax.VarBinding(variable, normal))
        return variable

    for binding in main.body.blocks[0].bindings:
        if binding.var not in chosen:
            bindings.append(binding)
            continue
        match, way = chosen[binding.var]
        arguments = [_flat(argument, emit) for argument in match.arguments]
        flat = emit(_call(builder, way, arguments), match.product.name)
        shape = [int(extent) for extent in binding.var.ty.shape]
        bindings.append(relax.VarBinding(binding.var, builder.normalize(relax.op.reshape(flat, shape))))
    body = builder.normalize(relax.SeqExpr([relax.DataflowBlock(bindings)], main.body.body))
    result = builder.get()
    result["main"] = relax.Function(main.params, body, main.ret_ty, main.is_pure, main.attrs)
    return result.with_attrs(dict(module.attrs)) if module.attrs else result


def _flat(argument: relax.Expr, emit: Callable[[relax.Expr, str], relax.Var]) -> relax.Expr:
    """The memory of a tensor; a reshape of a whole tensor copies nothing."""
    import tvm
    from tvm import relax

    elements = math.prod(int(extent) for extent in argument.ty.shape)
    if isinstance(argument, tvm.ir.GenericConst):
        return relax.const(argument.value.numpy().reshape(elements), str(argument.ty.dtype))
    return emit(relax.op.reshape(argument, (elements,)), f"{argument.name}_memory")


def _call(builder: relax.BlockBuilder, way: Implementation, arguments: Sequence[relax.Expr]) -> relax.Call:
    """A call of the kernel; equal kernels are one function."""
    from tvm import relax

    workshop = relax.BlockBuilder()
    call = workshop.call_te(way.compute, *arguments)
    function = workshop.get()[call.args[0]].with_attr("op_pattern", _OPAQUE)
    return relax.call_tir(builder.add_func(function, "attention"), call.args[1], call.ty_args[0])
