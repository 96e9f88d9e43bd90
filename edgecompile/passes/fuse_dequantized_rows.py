"""Let the kernels of rows read integers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgecompile.decision import Decision

if TYPE_CHECKING:
    import tvm
    from tvm import ir, relax, te


@dataclass(frozen=True)
class FuseDequantizedRows:
    """Softmax and layer normalization of a dequantized tensor -> one kernel, whose first stage dequantizes.

        softmax(dequantize(q))   ->   call_tir(softmax of (q - zero_point) * scale, q)

    Fusion joins what follows to such a kernel, but nothing that stands before it. The arithmetic is that of two
    kernels: each number is rounded before the row reads it. Scales are per tensor, and shapes static.
    """

    name: str = "FuseDequantizedRows"

    def __call__(self, module: tvm.IRModule, decisions: list[Decision]) -> tvm.IRModule:
        from edgecompile.passes.layouts.problem import why_not_plannable

        del decisions  # nothing else would be chosen
        if why_not_plannable(module["main"]) is not None:
            return module
        made = {binding.var: binding.value for binding in module["main"].body.blocks[0].bindings}
        rows = {
            variable: read
            for variable, value in made.items()
            if (read := _dequantized(value, made)) is not None and _of_rows(value) is not None
        }
        return _rewritten(module, rows) if rows else module


def _rewritten(module: tvm.IRModule, rows: dict[relax.Var, relax.Call]) -> tvm.IRModule:
    """The module with the operators that define `rows` reading what their dequantize reads."""
    import tvm
    from tvm import relax

    main = module["main"]
    builder = relax.BlockBuilder(tvm.IRModule(dict(module.functions_items())))
    bindings: list[relax.Binding] = []
    for binding in main.body.blocks[0].bindings:
        value = binding.value
        if binding.var in rows:
            value = builder.normalize(_call(builder, value, rows[binding.var]))
        bindings.append(relax.VarBinding(binding.var, value))
    body = builder.normalize(relax.SeqExpr([relax.DataflowBlock(bindings)], main.body.body))
    result = builder.get()
    result["main"] = relax.Function(main.params, body, main.ret_ty, main.is_pure, main.attrs)
    return result.with_attrs(dict(module.attrs)) if module.attrs else result


def _call(builder: relax.BlockBuilder, call: relax.Call, read: relax.Call) -> relax.Expr:
    from tvm import relax

    found = _of_rows(call)
    assert found is not None
    name, formula = found
    scale, zero_point = (argument.value.numpy() for argument in read.args[1:])

    def compute(levels: te.Tensor, *others: te.Tensor) -> te.Tensor:
        return formula(_real(levels, float(scale), int(zero_point)), *others)

    workshop = relax.BlockBuilder()
    made = workshop.call_te(compute, read.args[0], *call.args[1:])
    function = workshop.get()[made.args[0]]
    return relax.call_tir(builder.add_func(function, f"dequantized_{name}"), made.args[1], made.ty_args[0])


def _real(levels: te.Tensor, scale: float, zero_point: int) -> te.Tensor:
    """float32 `(levels - zero_point) * scale`; the product is not contracted into the sums of the row."""
    from tvm import te, tirx

    def value(*indices: ir.Expr) -> ir.Expr:
        steps = tirx.Cast("int32", levels(*indices)) - tirx.const(zero_point, "int32")
        real = tirx.Cast("float32", steps) * tirx.const(scale, "float32")
        return tirx.call_llvm_pure_intrin("float32", "llvm.arithmetic.fence", real)

    return te.compute(levels.shape, value, name="dequantized")


def _of_rows(value: relax.Expr) -> tuple[str, Callable[..., te.Tensor]] | None:
    """The name and the formula of an operator of rows, as TVM legalises it."""
    from functools import partial

    from tvm import topi

    match _name(value):
        case "nn.softmax":
            return "softmax", partial(topi.nn.softmax, axis=value.attrs.axis)
        case "nn.layer_norm":
            return "layer_norm", partial(topi.nn.layer_norm, axis=value.attrs.axes, epsilon=value.attrs.epsilon)
        case _:
            return None


def _dequantized(value: relax.Expr, made: dict[relax.Var, relax.Expr]) -> relax.Call | None:
    """The dequantize of one scale, from int8 to float32, that makes a call's first argument."""
    import tvm
    from tvm import relax

    if not isinstance(value, relax.Call) or not value.args or not isinstance(value.args[0], relax.Var):
        return None
    found = made.get(value.args[0])
    if not isinstance(found, relax.Call) or _name(found) != "dequantize" or str(found.ty.dtype) != "float32":
        return None
    parameters = found.args[1:]
    is_known = all(isinstance(p, tvm.ir.GenericConst) and p.value.numpy().size == 1 for p in parameters)
    return found if is_known and str(found.args[0].ty.dtype) == "int8" else None


def _name(value: relax.Expr) -> str:
    return str(getattr(getattr(value, "op", None), "name", "")).removeprefix("relax.")
