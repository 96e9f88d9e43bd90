"""Lower the decoding of stored weights, now that nothing folds constants any more."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgecompile.decision import Decision
from edgecompile.plan.static_program import AT_LOAD, tensor_bytes, why_not_static

if TYPE_CHECKING:
    import tvm
    from tvm import relax


@dataclass(frozen=True)
class DecodeWeights:
    """`edgecompile.decode(constants)` -> `call_tir(kernel, constants)`, the kernel with the attribute `AT_LOAD`.

    Before that `edgecompile.keep(constant)` -> `constant`, which a kernel with that attribute reads.
    """

    name: str = "DecodeWeights"

    def __call__(self, module: tvm.IRModule, decisions: list[Decision]) -> tvm.IRModule:
        from tvm import relax

        bare, packed = _without_keeps(module)
        result, decoded = _lower_decoding(bare)
        is_static = why_not_static(result) is None
        if packed and not is_static:
            # The virtual machine has no load, and would pack in every inference. What is decoded stays small there.
            result, decoded = _lower_decoding(relax.transform.FoldConstant()(bare))
        when = "when it is opened" if is_static else "in every inference"
        decisions += [Decision(self.name, name, True, f"{_describe(call)} {when}") for name, call in decoded.items()]
        when = when if is_static else "when it is compiled"
        decisions += [Decision(self.name, name, True, f"{change} {when}") for name, change in packed.items()]
        return result


def _without_keeps(module: tvm.IRModule) -> tuple[tvm.IRModule, dict[str, str]]:
    """The module with constants in the place of `edgecompile.keep`, and by variable, how many bytes are packed."""
    from tvm import relax

    from edgecompile.storage.kept import is_kept

    kept: dict[relax.Var, int] = {}
    sizes: dict[str, str] = {}

    def on_binding(binding: relax.Binding) -> relax.Binding:
        value = binding.value
        if isinstance(binding, relax.VarBinding) and is_kept(value):
            kept[binding.var] = tensor_bytes(value.ty)
            return relax.VarBinding(binding.var, value.args[0])
        arguments = value.args[1].fields if _is_kernel_call(value) else ()
        for variable in (argument for argument in arguments if argument in kept):
            sizes[variable.name] = f"{kept[variable]:,} bytes, packed to {tensor_bytes(binding.var.ty):,}"
        return binding

    result = _with_bindings(module, on_binding)
    return (result, sizes) if kept else (module, {})


def _lower_decoding(module: tvm.IRModule) -> tuple[tvm.IRModule, dict[str, relax.Call]]:
    """The module with kernels in the place of `edgecompile.decode`, and by variable, the calls."""
    from tvm import relax

    from edgecompile.storage.operators import is_decode

    builder = relax.BlockBuilder(module)
    calls: dict[str, relax.Call] = {}

    def on_binding(binding: relax.Binding) -> relax.Binding:
        if not isinstance(binding, relax.VarBinding) or not is_decode(binding.value):
            return binding
        calls[binding.var.name] = binding.value
        return relax.VarBinding(binding.var, _kernel_call(binding.value, builder))

    main = _with_bindings(module, on_binding)["main"]
    if not calls:
        return module, {}
    result = builder.get()
    result["main"] = main
    return (result.with_attrs(dict(module.attrs)) if module.attrs else result), calls


def _with_bindings(module: tvm.IRModule, on_binding: Callable[[relax.Binding], relax.Binding]) -> tvm.IRModule:
    """The module with other bindings in `main`."""
    from tvm import relax

    main = module["main"]
    if not isinstance(main.body, relax.SeqExpr):
        return module
    blocks = [type(block)([on_binding(binding) for binding in block.bindings]) for block in main.body.blocks]
    body = relax.BlockBuilder(module).normalize(relax.SeqExpr(blocks, main.body.body))
    result = module.clone()
    result["main"] = relax.Function(main.params, body, main.ret_ty, main.is_pure, main.attrs)
    return result


def _is_kernel_call(value: relax.Expr) -> bool:
    import tvm
    from tvm import relax

    return isinstance(value, relax.Call) and isinstance(value.op, tvm.ir.Op) and value.op.name == "relax.call_tir"


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
