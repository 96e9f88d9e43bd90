"""Lower the decoding of stored weights, now that nothing folds constants any more."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgecompile.decision import Decision
from edgecompile.plan.static_program import AT_LOAD

if TYPE_CHECKING:
    import tvm

@dataclass(frozen=True)
class DecodeWeights:
    """`edgecompile.decode(constants)` -> `call_tir(kernel, constants)`, where the kernel has the attribute `AT_LOAD`."""

    name: str = "DecodeWeights"

    def __call__(self, module: tvm.IRModule, decisions: list[Decision]) -> tvm.IRModule:
        from tvm import relax
        from tvm_ffi.structural import structural_mutate

        from edgecompile.storage.operators import is_decode

        del decisions  # what is stored was decided by the recipe
        builder = relax.BlockBuilder(module)

        def on_call(call: relax.Call, mutator: Any) -> relax.Expr:
            return _kernel_call(call, builder) if is_decode(call) else mutator.default_mutate(call)

        main = module["main"]
        import tvm

        body = structural_mutate(main.body, ((tvm.ir.Call, on_call),))
        if body.same_as(main.body):
            return module
        result = builder.get()
        result["main"] = relax.Function(main.params, body, main.ret_ty, main.is_pure, main.attrs)
        return result.with_attrs(dict(module.attrs)) if module.attrs else result


def _kernel_call(call: relax.Call, builder: relax.BlockBuilder) -> relax.Call:
    """A call of the loops; equal loops are one function."""
    from tvm import relax

    from edgecompile.storage import formulas, operators

    numbers = operators.attributes(call)
    formula: Any = formulas.widen
    if numbers.method != operators.HALF:
        decode = formulas.decode_uniform if numbers.method == operators.UNIFORM else formulas.decode_table
        formula = functools.partial(decode, bits=numbers.bits, shape=numbers.shape)
    workshop = relax.BlockBuilder()
    inner = workshop.call_te(formula, *call.args, primfunc_name_hint="decode")
    function = workshop.get()[inner.args[0]].with_attr(AT_LOAD, 1)
    made = relax.call_tir(builder.add_func(function, "decode"), list(call.args), inner.ty_args[0])
    return builder.normalize(made)
