"""Weights that a step of compression did not change stay in the fewer bits in which the model brought them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeAlias

from edgecompile.passes.keep_stored_weights import VIEWS, WEIGHT_AT, operator_of

if TYPE_CHECKING:
    import numpy as np
    import tvm
    from tvm import relax

    Values: TypeAlias = Mapping[relax.Var, relax.Expr]
    Chain: TypeAlias = list[relax.Call]


def restore_weights(before: tvm.IRModule, after: tvm.IRModule) -> tvm.IRModule:
    """Put back what folding made floats of, where the numbers are still the same, bit for bit.

        before: w = dequantize(int8 constant); y = matmul(x, w)
        after:  y = matmul(x, float32 constant)                   ->   as before

    Steps see float weights, whatever they came from. One that a step changed, or that a batch norm was folded into, is
    other numbers and stays. Reshapes and transpositions between come back as well.

    Args:
        before, after: a step's model, and what it made of it.
    """
    import tvm
    from tvm import relax

    main = after["main"]
    chains = _chains(before)
    if not chains or not isinstance(main.body, relax.SeqExpr):
        return after
    blocks = []
    is_changed = False
    for block in main.body.blocks:
        kind = relax.DataflowVar if isinstance(block, relax.DataflowBlock) else relax.Var
        scope: dict[tuple[object, ...], relax.Var] = {}  # a dataflow block's variables are its own
        bindings: list[relax.Binding] = []
        for binding in block.bindings:
            key = _key_of_weight(binding)
            if key in chains:
                if key not in scope:
                    scope[key], made = _bound(chains[key], binding.var.name, kind)
                    bindings += made
                binding = _with_weight(binding, scope[key])
            bindings.append(binding)
        is_changed |= bool(scope)
        blocks.append(type(block)(bindings))
    if not is_changed:
        return after
    body = relax.BlockBuilder().normalize(relax.SeqExpr(blocks, main.body.body))
    result = tvm.IRModule(dict(after.functions_items()), attrs=after.attrs)
    result[after.get_global_var("main")] = relax.Function(main.params, body, main.ret_ty, main.is_pure, main.attrs)
    return result


def _chains(module: tvm.IRModule) -> dict[tuple[object, ...], Chain]:
    """How the weights of layers are made of constants in fewer bits, by their float32 numbers."""
    from tvm import relax

    main = module["main"]
    if not isinstance(main.body, relax.SeqExpr):
        return {}
    bindings = [binding for block in main.body.blocks for binding in block.bindings]
    values = {binding.var: binding.value for binding in bindings if isinstance(binding, relax.VarBinding)}
    found: dict[relax.Var, Chain] = {}
    for value in values.values():
        position = WEIGHT_AT.get(operator_of(value))
        weight = value.args[position] if position is not None else None
        if isinstance(weight, relax.Var) and weight not in found:
            found[weight] = _chain(weight, values)
    return {_key(_computed(chain)): chain for chain in found.values() if chain}


def _chain(weight: relax.Var, values: Values) -> Chain:
    """The calls from a stored constant to a weight, in order; [] where there is another beginning."""
    import tvm
    from tvm import relax

    value = values.get(weight)
    if not isinstance(value, relax.Call):
        return []
    operator = operator_of(value)
    if operator in VIEWS and isinstance(value.args[0], relax.Var):
        chain = _chain(value.args[0], values)
        return [*chain, value] if chain else []
    is_decoding = operator in ("relax.astype", "relax.dequantize") and str(weight.ty.dtype) == "float32"
    is_constant = is_decoding and all(isinstance(argument, tvm.ir.GenericConst) for argument in value.args)
    return [value] if is_constant and value.args[0].ty.dtype.dtype.bits < 32 else []


def _computed(chain: Chain) -> np.ndarray:
    """The numbers, as folding computes them."""
    import numpy as np

    first, *views = chain
    array, *parameters = [argument.value.numpy() for argument in first.args]
    if parameters:
        along = [-1 if axis == int(first.attrs.axis) % array.ndim else 1 for axis in range(array.ndim)]
        scale, zero_point = (value.reshape(along) if value.size > 1 else value.reshape(()) for value in parameters)
        array = (array.astype(np.int32) - zero_point.astype(np.int32)).astype(np.float32) * scale
    array = array.astype(np.float32)
    for view in views:
        if operator_of(view) == "relax.reshape":
            array = array.reshape([int(extent) for extent in view.ty.shape.values])
        else:
            array = array.transpose(None if view.attrs.axes is None else [int(axis) for axis in view.attrs.axes])
    return array


def _key(array: np.ndarray) -> tuple[object, ...]:
    return array.shape, array.dtype.name, hashlib.sha256(array.tobytes(order="C")).digest()


def _key_of_weight(binding: relax.Binding) -> tuple[object, ...] | None:
    import tvm
    from tvm import relax

    value = binding.value if isinstance(binding, relax.VarBinding) else None
    position = WEIGHT_AT.get(operator_of(value)) if value is not None else None
    weight = value.args[position] if value is not None and position is not None else None
    return _key(weight.value.numpy()) if isinstance(weight, tvm.ir.GenericConst) else None


def _bound(chain: Chain, layer: str, kind: type[relax.Var]) -> tuple[relax.Var, list[relax.Binding]]:
    """The chain as bindings, and the variable of its end."""
    from tvm import relax

    bindings: list[relax.Binding] = []
    for at, call in enumerate(chain):
        name = f"{layer}_weight" if call is chain[-1] else f"{layer}_weight_{at}"
        arguments = [bindings[-1].var, *call.args[1:]] if bindings else call.args
        renewed = relax.Call(call.op, arguments, call.attrs, call.ty_args, ret_ty=call.ty)
        bindings.append(relax.VarBinding(kind(name, call.ty), renewed))
    return bindings[-1].var, bindings


def _with_weight(binding: relax.Binding, weight: relax.Var) -> relax.Binding:
    from tvm import relax

    call = binding.value
    arguments = list(call.args)
    arguments[WEIGHT_AT[operator_of(call)]] = weight
    return relax.VarBinding(binding.var, relax.Call(call.op, arguments, call.attrs, call.ty_args, ret_ty=call.ty))
