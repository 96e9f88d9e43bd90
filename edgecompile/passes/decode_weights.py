"""Lower the decoding of stored weights, now that nothing folds constants any more."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgecompile.decision import Decision
from edgecompile.plan.static_program import AT_LOAD, why_not_static

if TYPE_CHECKING:
    import tvm
    from tvm import relax


@dataclass(frozen=True)
class DecodeWeights:
    """`edgecompile.decode(constants)` -> `call_tir(kernel, constants)`, the kernel with the attribute `AT_LOAD`."""

    name: str = "DecodeWeights"

    def __call__(self, module: tvm.IRModule, decisions: list[Decision]) -> tvm.IRModule:
        from tvm import relax

        from edgecompile.storage.operators import is_decode

        builder = relax.BlockBuilder(module)
        main = module["main"]
        calls: dict[str, relax.Call] = {}
        blocks = []
        for block in main.body.blocks if isinstance(main.body, relax.SeqExpr) else ():
            bindings = list(block.bindings)
            for position, binding in enumerate(bindings):
                if isinstance(binding, relax.VarBinding) and is_decode(binding.value):
                    bindings[position] = relax.VarBinding(binding.var, _kernel_call(binding.value, builder))
                    calls[binding.var.name] = binding.value
            blocks.append(type(block)(bindings))
        if not calls:
            return module
        result = builder.get()
        body = relax.SeqExpr(blocks, main.body.body)
        result["main"] = relax.Function(main.params, builder.normalize(body), main.ret_ty, main.is_pure, main.attrs)
        when = "when it is opened" if why_not_static(result) is None else "in every inference"
        decisions += [Decision(self.name, name, True, f"{_describe(call)} {when}") for name, call in calls.items()]
        return result.with_attrs(dict(module.attrs)) if module.attrs else result


def _kernel_call(call: relax.Call, builder: relax.BlockBuilder) -> relax.Call:
    """A call of the loops; equal loops are one function."""
    from tvm import relax

    from edgecompile.storage.formulas import formula_of
    from edgecompile.storage.operators import attributes

    workshop = relax.BlockBuilder()
    inner = workshop.call_te(formula_of(attributes(call)), *call.args, primfunc_name_hint="decode")
    function = workshop.get()[inner.args[0]].with_attr(AT_LOAD, 1)
    made = relax.call_tir(builder.add_func(function, "decode"), list(call.args), inner.ty_args[0])
    return builder.normalize(made)


def _describe(call: relax.Call) -> str:
    from edgecompile.storage.operators import stored_weight

    weight = stored_weight(call)
    return f"{weight}, {weight.nbytes:,} bytes, decoded to {weight.float_bytes:,}"
